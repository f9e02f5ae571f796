//! The reports for people, as Markdown tables.

use super::cpu::CLIENT;
use super::ingest::Report;

pub fn ingest(report: &Report) -> String {
    let m = &report.machine;
    let mut out = format!(
        "{} cores, {}; {}, {:.0} fsyncs/s; {} devices, {} s a case\n\n",
        m.cores, m.cpu, m.file_system, m.fsyncs_per_s, report.devices, report.seconds
    );
    for b in &report.baselines {
        for (whose, best, rates) in
            [("ed25519-zebra", b.library, &b.library_rates), ("the node's own", b.node, &b.node_rates)]
        {
            let sizes: Vec<String> = rates.iter().map(|(n, rate)| format!("{n}: {rate:.0}/s")).collect();
            out += &format!(
                "baseline, packs of {}, {whose}: {best:.0} signatures/s (batches of {})\n",
                b.pack,
                sizes.join(", ")
            );
        }
    }
    out += "\n| door | readings a statement | model | bare ed25519-zebra /s | the node's own, bare /s | statements/s | readings/s | of bare ed25519-zebra | of the node's own | full load p50 / p99 ms \
            | light load p50 / p99 ms | disk B a reading | disk ÷ statement bytes | RSS MiB (pre-signed MiB) |\n";
    out += "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for c in &report.cases {
        let (library, node) = (c.statements_per_s / c.bare.library, c.statements_per_s / c.bare.node);
        out += &format!(
            "| {:?} | {} | {:?} | {:.0} | {:.0} | {:.0} | {:.0} | {library:.2} | {node:.2} | {:.1} / {:.1} | {:.1} / {:.1} | {:.0} | {:.2} | {} ({}) |\n",
            c.door,
            c.pack,
            c.model,
            c.bare.library,
            c.bare.node,
            c.statements_per_s,
            c.readings_per_s,
            c.full_ms_p50,
            c.full_ms_p99,
            c.light_ms_p50,
            c.light_ms_p99,
            c.disk_bytes_per_reading,
            c.disk_per_statement_byte,
            c.resident_bytes >> 20,
            c.presigned_bytes >> 20,
        );
    }
    out += "\nCPU seconds under full load, by threads; the client's are in no other row\n";
    for c in &report.cases {
        let client = c.cpu_s.get(CLIENT).copied().unwrap_or(0.0);
        let total = c.cpu_s.get("total").copied().unwrap_or(0.0);
        let named: f64 = c.cpu_s.iter().filter(|(n, _)| *n != "total").map(|(_, s)| s).sum();
        let rows: Vec<String> = c
            .cpu_s
            .iter()
            .filter(|(name, _)| *name != "total" && *name != CLIENT)
            .map(|(name, s)| format!("{name} {s:.2}"))
            .collect();
        out += &format!(
            "  {:?} · {} · {:?}: client {client:.2} · {} · ended threads {:.2} · process {total:.2} in {:.1} s\n",
            c.door,
            c.pack,
            c.model,
            rows.join(" · "),
            (total - named).max(0.0),
            c.seconds
        );
    }
    out += "\nSent, acknowledged, found after the restart\n";
    for c in &report.cases {
        out += &format!(
            "  {:?} · {} · {:?}: {} sent, {} acknowledged, {} found, {} missing, {} blocks, {} verdicts{}\n",
            c.door,
            c.pack,
            c.model,
            c.sent,
            c.acknowledged,
            c.found,
            c.missing,
            c.blocks,
            c.verdicts,
            if c.refused.is_empty() { String::new() } else { format!(", refused {:?}", c.refused) }
        );
    }
    out += "\nOnly statements found after the restart count. Disk excludes genesis and the registration of the devices; the\n\
            resident memory is that of node and client, pre-signed statements included.\n";
    out
}
