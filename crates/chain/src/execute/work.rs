//! What learned models may cost a block.
//!
//! The other models are so cheap that the limits on readings and runs bound them. A forecast costs some microseconds a reading,
//! an ensemble of trees up to tenths of a millisecond a row, and a file has to be opened before it can judge. So each
//! statement is charged, from what is bound and nothing else, before it enters a block; what does not fit waits for the next
//! one. A unit stands for a tenth of a microsecond; the prices are above what was measured on the slowest machine so far
//! (docs/models.md).

use std::sync::Arc;

use triad_log::Assurance;
use triad_models::{FileCost, FileSpec, Spec};
use triad_statement::{Statement, Value};

use super::statements::BLOCK_FULL;
use crate::error::{ChainError, Refusal, RefusalClass};
use crate::state::records::Bindings;
use crate::state::{Map, Work};

/// A fortieth of a second: on top of the worst block that the other limits allow it stays within a quarter of the leader timeout
/// (docs/performance.md).
const BLOCK_UNITS: u64 = 250_000;
/// Of a forecast: its state read and written, and a reading judged.
const FORECAST_STATE: u64 = 60;
const FORECAST_READING: u64 = 40;
/// Of a row: the verdict, an input looked up, how many splits cost one unit.
const ROW: u64 = 20;
const ROW_INPUT: u64 = 10;
const SPLITS_A_UNIT: u64 = 20;
/// Of a row whose model multiplies, and of one that remembers: how many multiplications cost one unit, and how many numbers that
/// are read, written and kept for a restart (8 bytes each, for 64 blocks).
const PRODUCTS_A_UNIT: u64 = 50;
const NUMBERS_A_UNIT: u64 = 2;
/// Of a file that the block has not opened yet: finding it, and how many of its bytes cost one unit.
const FILE: u64 = 200;
const FILE_BYTES_A_UNIT: u64 = 20;

/// Of a model that others run: its reading noted, and a verdict looked up and taken in.
const AWAIT: u64 = 20;
const VERDICT: u64 = 60;

/// What the statements of a block have been charged so far.
#[derive(Default)]
pub(super) struct ModelWork {
    units: u64,
    opened: Map<FileSpec, ()>,
}

impl ModelWork {
    /// Charges a statement, or says why it cannot enter; a refused one is not charged.
    pub fn charge(
        &mut self,
        defaults: &[Arc<Spec>],
        work: &Work,
        statement: &Statement,
    ) -> Result<Result<(), Refusal>, ChainError> {
        let mut units = 0;
        let mut files: Vec<FileSpec> = Vec::new();
        let mut rows = Vec::new();
        let mut last = None;
        let mut reading_units = 0;
        for record in statement.records().iter().filter(|r| matches!(r.value, Value::Number(_))) {
            if last.replace(record.stream) != Some(record.stream) {
                let bound = work.get::<Bindings>(&record.stream)?.unwrap_or_default();
                let specs = defaults.iter().chain(bound.0.iter().map(|b| &b.spec));
                let (mut forecasts, mut once, mut each) = (0, 0, 0);
                for spec in specs {
                    if matches!(spec.as_ref(), Spec::Forecast(_)) {
                        forecasts += 1;
                    } else if spec.class() == Assurance::Attested {
                        once += AWAIT;
                    } else if let Some(file) = spec.file() {
                        let every = file.judges_each();
                        let row = self.row(file, &mut files);
                        *if every { &mut each } else { &mut once } += row;
                    }
                }
                reading_units = forecasts * FORECAST_READING + each;
                units += forecasts * FORECAST_STATE;
                // However often a stream comes in a statement, its rows are judged once.
                if once > 0 && !rows.contains(&record.stream) {
                    rows.push(record.stream);
                    units += once;
                }
            }
            units += reading_units;
        }
        let file = |file: &FileSpec| FILE + u64::from(file.cost().bytes) / FILE_BYTES_A_UNIT;
        units += VERDICT * statement.attestation().map_or(0, |a| a.verdicts.len() as u64);
        units += files.iter().map(file).sum::<u64>();
        if units > BLOCK_UNITS {
            let why = format!(
                "the models bound to its streams take {units} units of work, a block has {BLOCK_UNITS}"
            );
            return Ok(Err(Refusal::new(RefusalClass::QuotaExceeded, "too-much-work", why)));
        }
        if self.units + units > BLOCK_UNITS {
            let why = "the block has no room for more work of models";
            return Ok(Err(Refusal::new(RefusalClass::QuotaExceeded, BLOCK_FULL, why)));
        }
        self.units += units;
        self.opened.extend(files.into_iter().map(|file| (file, ())));
        Ok(Ok(()))
    }

    /// What a row costs; its file goes to `files` unless it is open.
    fn row(&self, file: FileSpec, files: &mut Vec<FileSpec>) -> u64 {
        let FileCost { inputs, splits, products, memory, .. } = file.cost();
        if !self.opened.contains_key(&file) && !files.contains(&file) {
            files.push(file);
        }
        ROW + ROW_INPUT * u64::from(inputs)
            + u64::from(splits) / SPLITS_A_UNIT
            + u64::from(products) / PRODUCTS_A_UNIT
            + u64::from(memory) / NUMBERS_A_UNIT
    }
}
