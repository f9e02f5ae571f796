//! The report for people.

use super::work::Kind;
use super::{Outcome, Report};
use crate::bench::cpu::CLIENT;

pub fn evm(report: &Report) -> String {
    let m = &report.machine;
    let mut out = format!(
        "{} cores, {}; {}, {:.0} fsyncs/s; {} senders, batches of {} on {} connections, {} on their way at most\n",
        m.cores,
        m.cpu,
        m.file_system,
        m.fsyncs_per_s,
        report.senders,
        report.batch,
        report.connections,
        report.window
    );
    match &report.anvil {
        Some(version) => out += &format!("{version}: in memory, blocks mined by hand\n\n"),
        None => out += "anvil was not found: Triad is measured alone\n\n",
    }
    out += "| chain | accounts | transfers | transfers/s | full load p50 / p99 ms | one by one p50 / p99 ms | blocks | state root \
            of execution, of the time | commit, of the time | disk B a transfer |\n";
    out += "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for o in &report.outcomes {
        let spent = o.spent.map_or_else(
            || "– | –".to_owned(),
            |s| {
                format!(
                    "{:.0} %, {:.1} % | {:.0} %",
                    100.0 * s.state_root_s / s.execute_s.max(1e-9),
                    100.0 * s.state_root_s / o.seconds,
                    100.0 * s.commit_s / o.seconds
                )
            },
        );
        let disk = o.disk_bytes_per_transfer.map_or_else(|| "–".to_owned(), |bytes| format!("{bytes:.0}"));
        out += &format!(
            "| {} | {} | {} {} | {:.0} | {:.0} / {:.0} | {:.1} / {:.1} | {} | {spent} | {disk} |\n",
            o.chain,
            o.accounts,
            o.transfers,
            o.kind.name(),
            o.transfers_per_s,
            o.full_ms_p50,
            o.full_ms_p99,
            o.light_ms_p50,
            o.light_ms_p99,
            o.blocks,
        );
    }
    out += "\n";
    for kind in [Kind::Plain, Kind::Erc20] {
        let [anvil, small, large] = [("anvil", false), ("triad", false), ("triad", true)]
            .map(|(chain, large)| report.rate(chain, kind, large));
        let name = kind.name();
        if let (Some(anvil), Some(triad)) = (anvil, small) {
            out += &format!("{name}: {:.1} × anvil (goal: 3)\n", triad / anvil);
        }
        if let (Some(small), Some(large)) = (small, large) {
            out += &format!("{name}: {:.2} of that on the large state (goal: 0.9)\n", large / small);
        }
    }
    out += "\nCPU seconds under full load, by threads; the client's are in no other row\n";
    for o in &report.outcomes {
        out += &threads(o);
    }
    out
}

fn threads(o: &Outcome) -> String {
    let Some(cpu) = &o.cpu_s else { return String::new() };
    let rows: Vec<String> = cpu
        .iter()
        .filter(|(name, _)| *name != "total" && *name != CLIENT)
        .map(|(name, s)| format!("{name} {s:.2}"))
        .collect();
    let of = |name: &str| cpu.get(name).copied().unwrap_or(0.0);
    format!(
        "  {} accounts, {}: client {:.2} · {} · process {:.2} in {:.1} s\n",
        o.accounts,
        o.kind.name(),
        of(CLIENT),
        rows.join(" · "),
        of("total"),
        o.seconds
    )
}
