//! What a receipt proved, for people (`Display`) and programs (`serde`).

use std::fmt;

use serde::Serialize;
use triad_statement::{Clock, DeviceId, StatementId, StreamId};

use crate::ids::{Height, LeafIndex, Score};
use crate::kind::{Assurance, VerdictKind};
use crate::text::{foreign, number, utc};

/// Everything that a verified receipt proves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Who signed what.
    pub statement: StatementReport,
    /// Where the log holds it.
    pub logged: LogReport,
    /// What the models said of it in its block, all of it.
    pub verdicts: Vec<VerdictReport>,
    /// False where it is proved that no model of its block judged it.
    pub judged: bool,
    /// Who made it final, and when.
    pub finality: FinalityReport,
    /// Ethereum chain id.
    pub chain_id: u64,
    /// Hash of the genesis file all this rests on.
    pub genesis_hash: String,
}

/// Who signed what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementReport {
    /// SHA-256 of its Sig_structure.
    pub id: StatementId,
    /// Bytes as stored.
    pub bytes: usize,
    /// The device that signed.
    pub signer: DeviceId,
    /// The device whose readings they are.
    pub origin: DeviceId,
    /// `device-signed`, or `gateway-signed` where the signer spoke for the origin.
    pub signed: Signed,
    /// The signature's algorithm.
    pub algorithm: String,
    /// SHA-256 of the COSE_Key.
    pub key_fingerprint: String,
    /// The key as a `did:key`.
    pub key_did: String,
    /// False if the key came by rotation: then the ledger's registry, not the device id, ties it to the signer.
    pub key_made_the_id: bool,
    /// Sequence epoch.
    pub sequence_epoch: u32,
    /// Sequence counter.
    pub sequence_counter: u32,
    /// The signer's own date of the statement, microseconds since 1970.
    pub issued_at_us: Option<i64>,
    /// `senml`, `encrypted`, `hash-envelope` or `verdicts`.
    pub content: &'static str,
    /// For a hash envelope the digest.
    pub digest: Option<String>,
    /// The readings; none where the content is hidden.
    pub readings: Vec<ReadingReport>,
}

/// Whose signature a statement carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signed {
    /// The origin's own.
    DeviceSigned,
    /// Another device's, which the registry lets speak for the origin.
    GatewaySigned,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Signed::DeviceSigned => "device-signed",
            Signed::GatewaySigned => "gateway-signed",
        })
    }
}

/// One reading.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadingReport {
    /// SenML name.
    pub name: String,
    /// keccak256(origin ‖ name).
    pub stream: StreamId,
    /// SenML unit.
    pub unit: Option<String>,
    /// What was measured.
    pub value: ValueReport,
    /// SenML sum.
    pub sum: Option<f64>,
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// The same as RFC 3339.
    pub time: String,
    /// By whose clock.
    pub clock: Clock,
}

/// The value of a reading.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ValueReport {
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// True or false.
    Bool(bool),
    /// Bytes, as hex.
    Data {
        /// 0x…
        data: String,
    },
    /// Only a sum.
    None,
}

/// Where the log holds a statement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogReport {
    /// Its leaf.
    pub leaf: LeafIndex,
    /// Its block.
    pub height: Height,
    /// That block's time, milliseconds since 1970.
    pub time_ms: u64,
    /// The same as RFC 3339.
    pub time: String,
    /// How many verdicts that block gave, on all statements.
    pub block_verdicts: u64,
}

/// One verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictReport {
    /// Which reading of the statement, from 0; of an attested verdict its own place in it.
    pub record: u16,
    /// What its signer attests; None where validators came to it.
    pub attested: Option<AttestedReport>,
    /// The reading's name, where the statement has it.
    pub name: Option<String>,
    /// Its stream.
    pub stream: StreamId,
    /// The model.
    pub model: u64,
    /// On whose word.
    pub class: Assurance,
    /// What it found.
    pub kind: VerdictKind,
    /// How strongly, in parts per million.
    pub score_ppm: u32,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// The value as the verdict has it; None where it did not fit.
    pub value: Option<String>,
    /// Why.
    pub reason: String,
}

/// What a runner signed for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttestedReport {
    /// SHA-256 of the model's file.
    pub model_file: String,
    /// The statement leaf that was judged.
    pub leaf: LeafIndex,
    /// The reading in it.
    pub record: u16,
}

/// Who made it final.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FinalityReport {
    /// The certified block, at or above the statement's.
    pub height: Height,
    /// Its time, milliseconds since 1970.
    pub time_ms: u64,
    /// The same as RFC 3339.
    pub time: String,
    /// Which validator set.
    pub epoch: u64,
    /// What they signed for.
    pub digest: String,
    /// Leaves in the log then.
    pub log_size: u64,
    /// The log's root then.
    pub log_root: String,
    /// Public keys of those who signed.
    pub signed_by: Vec<String>,
    /// How many validators there were.
    pub validators: usize,
    /// How many had to sign.
    pub quorum: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, fin) = (&self.statement, &self.finality);
        writeln!(f, "Proved, from the genesis file alone:\n")?;
        self.fmt_statement(f)?;
        writeln!(
            f,
            "\nIn the log   leaf {} in block {}, {}",
            self.logged.leaf, self.logged.height, self.logged.time
        )?;
        self.fmt_verdicts(f)?;
        let (k, n) = (fin.signed_by.len(), fin.validators);
        writeln!(
            f,
            "\nFinal        by block {} of {}: {k} of {n} validators signed ({} must), epoch {}",
            fin.height, fin.time, fin.quorum, fin.epoch
        )?;
        for key in &fin.signed_by {
            writeln!(f, "             validator {key}")?;
        }
        writeln!(f, "Chain        {}, genesis {}", self.chain_id, self.genesis_hash)?;
        if s.signed == Signed::GatewaySigned {
            writeln!(
                f,
                "\nThe readings rest on the word of the gateway, which the registry let speak for the origin."
            )?;
        }
        Ok(())
    }
}

impl Report {
    fn fmt_statement(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.statement;
        writeln!(f, "Signed by    device {} ({}), {}", s.signer, s.algorithm, s.signed)?;
        if s.origin != s.signer {
            writeln!(f, "For          device {}", s.origin)?;
        }
        let made =
            if s.key_made_the_id { "the key its id was made from" } else { "a later key of the device" };
        writeln!(f, "Key          {}, {made}", s.key_did)?;
        write!(f, "Statement    {}, number {}/{}", s.id, s.sequence_epoch, s.sequence_counter)?;
        match s.issued_at_us {
            Some(time) => writeln!(f, ", issued {}", utc(time))?,
            None => writeln!(f)?,
        }
        match (s.content, &s.digest) {
            ("encrypted", _) => {
                writeln!(f, "Content      encrypted: only the holders of its key can read it")?
            }
            (_, Some(digest)) => writeln!(f, "Content      the hash of data kept elsewhere: {digest}")?,
            ("verdicts", _) => writeln!(f, "Content      verdicts of a model that this device ran")?,
            _ => {}
        }
        for (index, reading) in s.readings.iter().enumerate() {
            let value = match &reading.value {
                ValueReport::Number(value) => number(*value),
                ValueReport::Text(text) => format!("\"{}\"", foreign(text)),
                ValueReport::Bool(value) => value.to_string(),
                ValueReport::Data { data } => data.clone(),
                ValueReport::None => "no value".into(),
            };
            let unit = reading.unit.as_deref().map_or(String::new(), |unit| format!(" {}", foreign(unit)));
            let sum = reading.sum.map_or(String::new(), |sum| format!(", sum {}", number(sum)));
            let name = foreign(&reading.name);
            let clock = reading.clock.name();
            writeln!(f, "Reading {index:<4} {name} = {value}{unit}{sum} at {} ({clock})", reading.time)?;
        }
        Ok(())
    }

    fn fmt_verdicts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = self.logged.height;
        match (self.judged, self.logged.block_verdicts) {
            (true, _) => {}
            (false, 0) => {
                return writeln!(f, "Judged       not judged: block {block} gave no verdict at all");
            }
            (false, total) => {
                return writeln!(
                    f,
                    "Judged       not judged: of the {total} verdicts of block {block} none is on it"
                );
            }
        }
        for verdict in &self.verdicts {
            let (record, kind, class, model) =
                (verdict.record, verdict.kind.words(), verdict.class, verdict.model);
            let score = Score::saturating_from_ppm(verdict.score_ppm);
            let value = verdict.value.as_deref().unwrap_or("too large for contracts");
            let time = utc(verdict.time_ms.saturating_mul(1000));
            let name = verdict.name.as_deref().map_or(String::new(), |name| format!("{}, ", foreign(name)));
            if let Some(AttestedReport { leaf, record: judged, .. }) = &verdict.attested {
                let value =
                    if verdict.kind.is_prediction() { format!("{value} is told") } else { value.into() };
                let stream = verdict.stream;
                writeln!(
                    f,
                    "Verdict      on record {judged} of leaf {leaf}, read at {time}: {value}; {kind}"
                )?;
                writeln!(f, "             stream {stream}")?;
            } else if verdict.kind.is_prediction() {
                let name = name.trim_end_matches(", ");
                writeln!(f, "Verdict      reading {record} ({name} at {time}): {value} is told; {kind}")?;
            } else {
                writeln!(f, "Verdict      reading {record} ({name}{value} at {time}): {kind}")?;
            }
            writeln!(f, "             score {score}, by model {model} ({class})")?;
            if let Some(attested) = &verdict.attested {
                writeln!(f, "             on the word of the signer, by the file {}", attested.model_file)?;
            }
            if !verdict.reason.is_empty() {
                writeln!(f, "             {}", foreign(&verdict.reason))?;
            }
        }
        match self.verdicts.len() {
            1 => writeln!(f, "             this is the only one that block {block} gave on it"),
            count => writeln!(f, "             these {count} are all that block {block} gave on it"),
        }
    }
}
