//! What the demo tells.

use serde_json::{Value, json};
use triad_log::VerdictKind;

use super::Outcome;
use crate::timestamp::show;

const SILENT: u8 = VerdictKind::Silent as u8;

impl Outcome {
    fn silences(&self) -> usize {
        self.charges.iter().filter(|c| c.kind == SILENT).count()
    }

    fn excursions(&self) -> usize {
        self.charges.len() - self.silences()
    }

    fn penalty(&self) -> f64 {
        self.charges.iter().map(|c| c.amount.saturating_to::<u128>()).sum::<u128>() as f64 / 1e6
    }

    fn rate(&self) -> f64 {
        self.sent as f64 / self.seconds
    }

    fn bytes_per_reading(&self) -> f64 {
        self.disk_bytes as f64 / self.is_final as f64
    }
}

/// What should have come true and did not.
pub fn expectations(o: &Outcome) -> Vec<String> {
    let e = &o.evidence;
    let paid = o.to_depositor.saturating_to::<u128>() as f64 / 1e6;
    let checks = [
        (o.sent == o.is_final, format!("{} readings sent, {} final", o.sent, o.is_final)),
        (e.labelled_found() >= 1, "none of the labelled failures was found".to_owned()),
        (e.false_alarms() <= 3, format!("{} false alarms", e.false_alarms())),
        (o.excursions() > 0, "no excursion was charged".to_owned()),
        (o.silences() > 0, "no silence was charged".to_owned()),
        (o.penalty() > 0.0 && paid == o.penalty(), format!("{} charged, {paid} paid", o.penalty())),
        (
            o.to_depositor + o.to_warehouse == alloy_primitives::U256::from(o.fee),
            "money is missing".to_owned(),
        ),
        (e.receipt_verified, format!("the receipt did not verify: {}", e.receipt_words)),
        (e.tampered.is_some(), "the tampered receipt was not refused".to_owned()),
    ];
    checks.into_iter().filter(|(held, _)| !held).map(|(_, what)| what).collect()
}

pub fn json(o: &Outcome) -> Value {
    let e = &o.evidence;
    json!({
        "readings_sent": o.sent,
        "readings_final": o.is_final,
        "verdicts": o.audit.verdicts,
        "anomalies": e.alarms.len(),
        "labelled_found": e.labelled_found(),
        "false_alarms": e.false_alarms(),
        "excursions": o.excursions(),
        "silences": o.silences(),
        "penalty_paid": o.to_depositor.saturating_to::<u128>() as f64 / 1e6,
        "receipt_bytes": e.receipt_bytes,
        "receipt_verified": e.receipt_verified,
        "tampered_rejected": e.tampered.is_some(),
        // The audit's failure ends the demo with an error before this.
        "audit_ok": o.audit.height == o.audit.tip && o.audit.tip > 0,
        "readings_per_s": o.rate(),
        "ack_ms_p50": o.replay.percentile_ms(50),
        "ack_ms_p99": o.replay.percentile_ms(99),
        "bytes_per_reading": o.bytes_per_reading(),
        "blocks": o.audit.height,
    })
}

pub fn print(o: &Outcome, kept: bool) {
    let e = &o.evidence;
    println!("\nAnomalies, found by consensus (labelled failures in brackets)");
    for (i, (from, to)) in e.windows.iter().enumerate() {
        println!("  failure {} was labelled {} to {}", i + 1, show(*from), show(*to));
    }
    for alarm in &e.alarms {
        let what = alarm.window.map_or("false alarm".to_owned(), |w| format!("failure {}", w + 1));
        println!("  {}  [{what}]  {}", show(alarm.time_us), alarm.reason);
    }
    println!("\nPenalties, charged by the contract that the verdicts called");
    for charge in &o.charges {
        let kind = VerdictKind::from_u8(charge.kind).map_or("?", VerdictKind::name);
        let time = charge.readingMs.to_string().parse::<i64>().unwrap_or(0) * 1000;
        let value = charge.value.to_string().parse::<f64>().unwrap_or(f64::NAN) / 1e9;
        let what = if charge.kind == SILENT {
            format!("silent after {}", show(time))
        } else {
            format!("{kind} at {}, {value:.1} °F", show(time))
        };
        let reason = e.reason(charge.leaf, kind);
        println!("  {:>6.2} DEMO  {what}: {reason}", charge.amount.saturating_to::<u128>() as f64 / 1e6);
    }
    let whole = |v: alloy_primitives::U256| v.saturating_to::<u128>() as f64 / 1e6;
    println!(
        "  {} excursions and {} silences: {:.2} of {:.2} DEMO went to the depositor, {:.2} to the warehouse",
        o.excursions(),
        o.silences(),
        whole(o.to_depositor),
        o.fee as f64 / 1e6,
        whole(o.to_warehouse)
    );
    println!("\nThe worst reading: {:.2} °F at {}, leaf {}", e.worst.1, show(e.worst.0), e.worst.2);
    println!(
        "  its receipt has {} bytes; verified offline with nothing but the genesis file:",
        e.receipt_bytes
    );
    for line in e.receipt_words.lines() {
        println!("    {line}");
    }
    if let Some(refusal) = &e.tampered {
        println!("  one byte flipped: refused, {refusal}");
    }
    println!(
        "\nAudit: {} blocks re-executed, {} statements, {} readings, {} verdicts: every root reproduced",
        o.audit.height, o.audit.statements, o.audit.readings, o.audit.verdicts
    );
    println!("\nSummary");
    println!("  readings sent / final   {} / {}", o.sent, o.is_final);
    println!("  readings a second       {:.0}", o.rate());
    println!(
        "  send to acknowledgement {:.1} ms (p50), {:.1} ms (p99), each final and on disk",
        o.replay.percentile_ms(50),
        o.replay.percentile_ms(99)
    );
    println!(
        "  bytes on disk a reading {:.0} (verdicts of three models and all indexes included)",
        o.bytes_per_reading()
    );
    let place = if kept { "kept in" } else { "left in" };
    println!("\nWhat it made is {place} {}. Look at it:", o.dir.display());
    println!("  triad verify {} --genesis {}", o.receipt.display(), o.genesis.display());
    println!("  triad audit --data-dir {}", o.dir.display());
    println!("  triad node --data-dir {}", o.dir.display());
    println!("Your own devices: triad node --dev, then examples/device.py");
}
