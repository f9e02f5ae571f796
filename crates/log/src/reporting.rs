//! Turns a verified receipt into its report.

use triad_statement::{Content, DeviceKey, Record, Statement, Value};

use crate::fixed::e9_text;
use crate::ids::LeafIndex;
use crate::receipt::Receipt;
use crate::report::{
    AttestedReport, FinalityReport, LogReport, ReadingReport, Report, Signed, StatementReport, ValueReport,
    VerdictReport,
};
use crate::text::{hex0x, utc, utc_ms};
use crate::validators::Validators;
use crate::verdict::Verdict;

impl Receipt {
    /// Only after everything in it was verified.
    pub(crate) fn report(
        &self,
        statement: &Statement,
        key: &DeviceKey,
        validators: &Validators,
        signers: &[usize],
    ) -> Report {
        let (block, checkpoint) = (&self.verdict_leaf, &self.checkpoint);
        let on_it = self.verdicts.iter().filter(|verdict| verdict.leaf == self.leaf_index);
        let verdicts: Vec<_> = on_it.map(|verdict| verdict_report(verdict, statement)).collect();
        Report {
            statement: statement_report(statement, key, block.time_ms),
            logged: LogReport {
                leaf: self.leaf_index,
                height: block.height,
                time_ms: block.time_ms,
                time: utc_ms(block.time_ms),
                block_verdicts: block.count,
            },
            judged: !verdicts.is_empty(),
            verdicts,
            finality: FinalityReport {
                height: checkpoint.height,
                time_ms: checkpoint.time_ms,
                time: utc_ms(checkpoint.time_ms),
                epoch: checkpoint.epoch,
                digest: hex0x(&self.certificate.digest),
                log_size: checkpoint.log_size,
                log_root: hex0x(&checkpoint.log_root),
                signed_by: signers.iter().map(|index| hex0x(&validators.keys()[*index])).collect(),
                validators: validators.len(),
                quorum: validators.quorum(),
            },
            chain_id: checkpoint.chain_id,
            genesis_hash: hex0x(&checkpoint.genesis_hash),
        }
    }
}

fn statement_report(statement: &Statement, key: &DeviceKey, block_time_ms: u64) -> StatementReport {
    let (content, digest) = match statement.content() {
        Content::Senml(_) => ("senml", None),
        Content::Encrypted => ("encrypted", None),
        Content::Verdicts(_) => ("verdicts", None),
        Content::HashEnvelope(envelope) => ("hash-envelope", Some(hex0x(&envelope.digest))),
    };
    let issued_at = statement.issued_at();
    StatementReport {
        id: statement.id(),
        bytes: statement.bytes().len(),
        signer: statement.signer(),
        origin: statement.origin(),
        signed: if statement.on_behalf() { Signed::GatewaySigned } else { Signed::DeviceSigned },
        algorithm: statement.algorithm().name().to_owned(),
        key_fingerprint: hex0x(&key.fingerprint()),
        key_did: key.did_key(),
        key_made_the_id: key.id() == statement.signer(),
        sequence_epoch: statement.sequence().epoch(),
        sequence_counter: statement.sequence().counter(),
        issued_at_us: issued_at,
        content,
        digest,
        readings: statement
            .records()
            .iter()
            .map(|record| reading_report(record, issued_at, block_time_ms))
            .collect(),
    }
}

fn reading_report(record: &Record, issued_at: Option<i64>, block_time_ms: u64) -> ReadingReport {
    let (time_us, clock) = record.time.resolve(issued_at, block_time_ms);
    ReadingReport {
        name: record.name.to_string(),
        stream: record.stream,
        unit: record.unit.as_deref().map(str::to_owned),
        value: match &record.value {
            Value::Number(number) => ValueReport::Number(*number),
            Value::Text(text) => ValueReport::Text(text.to_string()),
            Value::Bool(value) => ValueReport::Bool(*value),
            Value::Data(data) => ValueReport::Data { data: hex0x(data) },
            Value::None => ValueReport::None,
        },
        sum: record.sum,
        time_us,
        time: utc(time_us),
        clock,
    }
}

fn verdict_report(verdict: &Verdict, statement: &Statement) -> VerdictReport {
    let place = usize::from(verdict.record);
    let record = statement.records().get(place).filter(|record| record.stream == verdict.stream);
    let attested = statement.attestation().and_then(|attestation| {
        let signed = attestation.verdicts.get(place)?;
        let same = (signed.stream, signed.model) == (verdict.stream, verdict.model);
        same.then(|| AttestedReport {
            model_file: hex0x(&attestation.file),
            leaf: LeafIndex(signed.leaf),
            record: signed.record,
        })
    });
    VerdictReport {
        record: verdict.record,
        attested,
        name: record.map(|record| record.name.to_string()),
        stream: verdict.stream,
        model: verdict.model,
        class: verdict.class,
        kind: verdict.kind,
        score_ppm: verdict.score.ppm(),
        time_ms: verdict.time_ms,
        value: verdict.value().map(e9_text),
        reason: verdict.reason.as_str().to_owned(),
    }
}
