//! The first half of a block's execution: statements become leaves, readings are judged, automations are triggered.

use std::sync::Arc;

use alloy_primitives::I256;
use triad_log::{Assurance, Hash, Height, LeafIndex, Reason, Score, StatementLeaf, Verdict, value_e9};
use triad_models::{Input, Judgement, Spec, State};
use triad_statement::{DeviceId, StreamId};

use super::Context;
use super::attest;
use super::rows::Rows;
use super::trigger::{Trigger, evaluate};
use super::work::ModelWork;
use crate::admission::{self, Number, Resolved, Verified};
use crate::error::{BlockError, ChainError, Refusal, RefusalClass};
use crate::state::model::{ModelKey, ModelState};
use crate::state::records::*;
use crate::state::{Map, Work};

/// A reading as the index of the read side keeps it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadingRow {
    pub stream: u32,
    pub time_us: i64,
    pub value: f64,
    pub leaf: u64,
    pub record: u16,
}

/// A stream while a run of its readings is taken in.
struct OpenStream {
    id: StreamId,
    number: u32,
    latest: Latest,
    /// Whether any automation has to be asked.
    watched: bool,
    models: Vec<(u64, Arc<Spec>, State)>,
}

/// What a model said of a reading.
pub(super) struct Judged {
    pub reading: LatestReading,
    pub model: u64,
    pub judgement: Judgement,
}

pub(super) fn is_watched(work: &Work, stream: &StreamId) -> Result<bool, ChainError> {
    Ok(work.get::<Watchers>(stream)?.is_some())
}

/// What the statements of a block led to.
#[derive(Default)]
pub(crate) struct Outcome {
    pub accepted: Vec<Arc<Verified>>,
    pub leaves: Vec<Hash>,
    pub readings: Vec<ReadingRow>,
    pub verdicts: Vec<Verdict>,
    pub triggers: Vec<Trigger>,
}

pub(crate) struct Stage<'a> {
    pub(super) ctx: &'a Context<'a>,
    pub(super) work: &'a mut Work,
    pub(super) out: Outcome,
    first_leaf: u64,
    by_device: Map<DeviceId, u64>,
    bytes: u64,
    runs: u64,
    spent: ModelWork,
    pub(super) rows: Rows,
}

impl<'a> Stage<'a> {
    pub fn new(ctx: &'a Context<'a>, work: &'a mut Work, first_leaf: u64) -> Self {
        let (out, by_device) = (Outcome::default(), Map::default());
        let (spent, rows) = (ModelWork::default(), Rows::default());
        Stage { ctx, work, out, first_leaf, by_device, bytes: 0, runs: 0, spent, rows }
    }

    /// Silence is an event too: the detectors whose time has come speak before anything else does.
    pub fn deadlines(&mut self) -> Result<(), ChainError> {
        for key in self.work.due(self.ctx.time_ms, MAX_DEADLINES) {
            let (_, stream, model) = key;
            self.work.remove::<Deadline>(key);
            let Some(spec) = self.spec_of(&stream, model)? else { continue };
            let own = self.work.tables.models.contains_key(&(stream, model));
            let Some(mut state) = self.model(&(stream, model), &spec)? else { continue };
            let before = state.deadline_ms(&spec);
            let spoken = match before {
                Some(at) if at <= self.ctx.time_ms => state.on_deadline(&spec, self.ctx.time_ms),
                _ => None,
            };
            if let Some(next) = state.deadline_ms(&spec) {
                self.work.put((next, stream, model), Deadline);
            }
            // A state that said nothing did not change.
            if own || spoken.is_some() {
                self.work.put((stream, model), ModelState::live(self.ctx.height, state));
            }
            if let Some(judgement) = spoken {
                let Some(mut latest) = self.work.get::<Latest>(&stream)? else { continue };
                let Some(reading) = latest.reading else { continue };
                let judged = Judged { reading, model, judgement };
                let watched = is_watched(self.work, &stream)?;
                self.judged(&stream, &mut latest, watched, judged)?;
                self.work.put(stream, latest);
            }
        }
        Ok(())
    }

    fn spec_of(&self, stream: &StreamId, model: u64) -> Result<Option<Arc<Spec>>, ChainError> {
        if let Some(spec) = self.ctx.defaults.get(model as usize) {
            return Ok(Some(spec.clone()));
        }
        let bindings = self.work.get::<Bindings>(stream)?.unwrap_or_default();
        Ok(bindings.0.iter().find(|b| b.model == model).map(|b| b.spec.clone()))
    }

    /// The state of a model, to be changed and put back, or `None` if it has none yet.
    pub(super) fn model(&mut self, key: &ModelKey, spec: &Spec) -> Result<Option<State>, ChainError> {
        // This block's own is nobody else's yet.
        let stored = match self.work.tables.models.remove(key) {
            Some(own) => own,
            None => self.work.base.get::<ModelState>(key)?,
        };
        stored.map(|stored| stored.take(spec)).transpose()
    }

    /// Takes a statement into the block, or says why not; a refused one leaves no trace.
    pub fn admit(&mut self, verified: &Arc<Verified>) -> Result<Result<(), Refusal>, ChainError> {
        let statement = &verified.statement;
        let limits = &self.ctx.limits;
        let full = |code, what: &str| Ok(Err(Refusal::new(RefusalClass::QuotaExceeded, code, what)));
        let used = self.by_device.get(&statement.signer()).copied().unwrap_or(0);
        let runs = admission::runs(statement);
        if self.out.accepted.len() as u64 >= limits.block_statements
            || self.bytes + statement.bytes().len() as u64 + 5 > limits.block_bytes
            || self.out.readings.len() as u64 + statement.records().len() as u64 > limits.block_readings
            || self.runs + runs > limits.block_runs
        {
            return full(BLOCK_FULL, "the block is full");
        }
        if used >= limits.device_statements {
            return full(BLOCK_FULL, "the device's share of the block is used up");
        }
        // The registry seldom changes between the door and the block.
        if !self.work.unchanged_since::<Device>(verified.checked_at) {
            let key = match admission::signer_key(self.work, statement)? {
                Ok(key) => key,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if key.fingerprint() != verified.key {
                let why = format!("device {} has changed its key since", statement.signer());
                return Ok(Err(Refusal::new(RefusalClass::NotAuthorized, "wrong-key", why)));
            }
        }
        let mut window = match admission::number(self.work, statement)? {
            Ok(Number::Fresh(window)) => window,
            Ok(Number::Used) => return Ok(Err(admission::equivocation(statement))),
            Ok(Number::TooOld) => return Ok(Err(admission::too_old(statement))),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let streams = limits.device_streams;
        let streams = match admission::check_readings(self.work, statement, self.ctx.time_ms, streams)? {
            Ok(streams) => streams,
            Err(refusal) => return Ok(Err(refusal)),
        };

        let told = match attest::check(self.work, self.ctx.attested, statement)? {
            Ok(told) => told,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if (self.ctx.learned || self.ctx.attested)
            && let Err(refusal) = self.spent.charge(self.ctx.defaults, self.work, statement)?
        {
            return Ok(Err(refusal));
        }

        window.0.accept(statement.sequence());
        self.work.put(statement.signer(), window);
        *self.by_device.entry(statement.signer()).or_default() += 1;
        self.bytes += statement.bytes().len() as u64 + 5;
        self.runs += runs;
        let leaf = self.first_leaf + self.out.accepted.len() as u64;
        self.out.accepted.push(verified.clone());
        self.out.leaves.push(statement_leaf(verified, self.ctx.height, self.ctx.time_ms).hash());
        let mut streams = streams.into_iter();
        let mut open: Option<OpenStream> = None;
        for resolved in admission::readings(statement, self.ctx.time_ms) {
            let mut stream = match open.take() {
                Some(same) if same.id == resolved.reading.stream => same,
                other => {
                    if let Some(other) = other {
                        self.close(other);
                    }
                    self.open(statement.origin(), &resolved, streams.next().flatten())?
                }
            };
            self.reading(&mut stream, leaf, resolved)?;
            open = Some(stream);
        }
        if let Some(last) = open {
            self.close(last);
        }
        self.judge_rows(verified, leaf)?;
        self.await_runners(leaf)?;
        self.attested(leaf, told)?;
        Ok(Ok(()))
    }

    /// Looks up, once for a run of readings, everything that they need. `number` is the stream's, if it has one.
    fn open(
        &mut self,
        origin: DeviceId,
        r: &Resolved<'_>,
        number: Option<u32>,
    ) -> Result<OpenStream, ChainError> {
        let id = r.reading.stream;
        let number = match number {
            Some(number) => number,
            // A run before this one may have opened it.
            None => match self.work.get::<Stream>(&id)? {
                Some(known) => known.number,
                None => self.open_stream(origin, r)?,
            },
        };
        let mut models = Vec::new();
        for (model, spec) in self.models_of(&id)? {
            if spec.class() == Assurance::Attested {
                self.rows.awaited(id);
                continue;
            }
            if let Some(file) = spec.file() {
                self.rows.bound(id, model, spec, file);
                continue;
            }
            let state = self.model(&(id, model), &spec)?.unwrap_or_else(|| State::new(&spec));
            models.push((model, spec, state));
        }
        let latest = self.work.get::<Latest>(&id)?.unwrap_or_default();
        Ok(OpenStream { id, number, latest, watched: is_watched(self.work, &id)?, models })
    }

    fn reading(&mut self, stream: &mut OpenStream, leaf: u64, r: Resolved<'_>) -> Result<(), ChainError> {
        let (value, time_us, record, height) = (r.value, r.time_us, r.record, self.ctx.height);
        self.out.readings.push(ReadingRow { stream: stream.number, time_us, value, leaf, record });
        let reading = LatestReading { leaf, record, time_us, value, height };
        stream.latest.read(reading);
        self.rows.read(&stream.id, reading);
        if stream.watched {
            let at = Trigger::reading(leaf, record, stream.id, time_us, value);
            evaluate(self.ctx, self.work, at, &mut self.out.triggers)?;
        }
        let input = Input { time_us, value, block_time_ms: self.ctx.time_ms };
        for (model, spec, state) in &mut stream.models {
            let before = state.deadline_ms(spec);
            let judgement = state.step(spec, input);
            let after = state.deadline_ms(spec);
            // One pending deadline a model: a later one replaces it lazily, when it comes.
            if let (None, Some(at)) = (before, after) {
                self.work.put((at, stream.id, *model), Deadline);
            }
            let judged = Judged { reading, model: *model, judgement };
            self.judged(&stream.id, &mut stream.latest, stream.watched, judged)?;
        }
        Ok(())
    }

    fn close(&mut self, stream: OpenStream) {
        for (model, _, state) in stream.models {
            self.work.put((stream.id, model), ModelState::live(self.ctx.height, state));
        }
        self.work.put(stream.id, stream.latest);
    }

    fn open_stream(&mut self, origin: DeviceId, r: &Resolved<'_>) -> Result<u32, ChainError> {
        let next = self.work.get::<Counter>(&NEXT_STREAM)?.map_or(0, |c| c.0);
        let number = next as u32;
        self.work.put(NEXT_STREAM, Counter(next + 1));
        let opened = self.work.get::<Opened>(&origin)?.map_or(0, |o| o.0);
        self.work.put(origin, Opened(opened + 1));
        let (name, unit) = (r.reading.name.clone(), r.reading.unit.clone());
        self.work.put(r.reading.stream, Stream { number, origin, name, unit });
        Ok(number)
    }

    fn models_of(&self, stream: &StreamId) -> Result<Vec<(u64, Arc<Spec>)>, ChainError> {
        let defaults = self.ctx.defaults.iter().enumerate().map(|(i, spec)| (i as u64, spec.clone()));
        let mut models: Vec<_> = defaults.collect();
        if let Some(bindings) = self.work.get::<Bindings>(stream)? {
            models.extend(bindings.0.iter().map(|b| (b.model, b.spec.clone())));
        }
        Ok(models)
    }

    pub(super) fn judged(
        &mut self,
        stream: &StreamId,
        latest: &mut Latest,
        watched: bool,
        Judged { reading, model, judgement }: Judged,
    ) -> Result<(), ChainError> {
        let LatestReading { leaf, record, time_us, value, .. } = reading;
        let Judgement { kind, score_ppm: score, reason, value: told } = judgement;
        let value = told.unwrap_or(value);
        latest.judged(LatestVerdict { leaf, record, model, kind, score, time_us, height: self.ctx.height });
        if watched {
            let at = Trigger::verdict(leaf, record, *stream, (time_us, value), model, kind, score);
            evaluate(self.ctx, self.work, at, &mut self.out.triggers)?;
        }
        let verdict = Verdict {
            leaf: LeafIndex(leaf),
            record,
            stream: *stream,
            model,
            class: Assurance::Consensus,
            kind,
            score: Score::saturating_from_ppm(score),
            time_ms: time_us.div_euclid(1000),
            value_e9: value_e9(value).unwrap_or(triad_log::DOES_NOT_FIT),
            reason: Reason::new(reason),
        };
        if let Some(prediction) = Prediction::of(&verdict, self.ctx.height) {
            self.work.put((*stream, model), prediction);
        }
        self.out.verdicts.push(verdict);
        Ok(())
    }

    /// Hands over what was gathered.
    pub fn finish(self) -> Outcome {
        let mut out = self.out;
        out.verdicts.sort_by_key(Verdict::order);
        out.triggers.sort_by_key(|t| (t.leaf, t.registration));
        out
    }
}

/// Silence detectors that may speak in one block; the others speak in the next.
const MAX_DEADLINES: usize = 4096;

/// The code of a refusal that only says "not in this block".
pub(crate) const BLOCK_FULL: &str = "block-full";

pub(crate) fn statement_leaf(verified: &Verified, height: u64, time_ms: u64) -> StatementLeaf {
    StatementLeaf {
        statement_hash: triad_log::sha256(verified.statement.bytes()),
        signer: verified.statement.signer(),
        origin: verified.statement.origin(),
        key_fingerprint: verified.key,
        height: Height(height),
        time_ms,
    }
}

/// value × 10⁹ as contracts see it, `None` when it does not fit.
pub(crate) fn contract_value(value: f64) -> Option<I256> {
    triad_evm::to_e9(value)
}

impl From<ChainError> for super::ExecError {
    fn from(error: ChainError) -> Self {
        super::ExecError::Broken(error)
    }
}

impl From<BlockError> for super::ExecError {
    fn from(error: BlockError) -> Self {
        super::ExecError::Invalid(error)
    }
}
