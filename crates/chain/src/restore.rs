//! How a chain comes back after a stop of any kind.
//!
//! A commit writes its block, the rows that do not follow from it, and one of the buckets of everything else in turn. The
//! last 64 blocks are therefore gone through twice: first the rows that follow from each are derived and those it kept are
//! laid over them; then, on tables that are whole again, index rows and the states of models of readings (a model that remembers
//! rows is kept, since the rows cannot be had again).

use triad_log::{Assurance, TileWriter, Verdict, VerdictKind};
use triad_models::{Input, State};
use triad_statement::{SequenceWindow, Statement};

use crate::admission;
use crate::error::ChainError;
use crate::execute::Rules;
use crate::ledger::Tip;
use crate::state::model::ModelState;
use crate::state::records::{Bindings, Latest, LatestReading, LatestVerdict, Prediction, Stream, Window};
use crate::state::{BUCKETS, Tables, View, Work};
use crate::store::Store;
use crate::store::index::{Pending, Rows, StatementRow, VerdictRow};

/// Brings the tables, the unwritten index rows and the model states to where the last commit left them.
pub(crate) fn restore(
    store: &Store,
    rules: &Rules,
    pending: &Pending,
    height: u64,
) -> Result<Tip, ChainError> {
    // What a snapshot brought is written whole.
    let first = height.saturating_sub(BUCKETS - 1).max(store.base()? + 1);
    for h in first..=height {
        derive(store, &Past::load(store, h)?)?;
        if let Some(kept) = store.kept(h)? {
            store.state.overlay_kept(&kept)?;
        }
    }
    store.state.load_ordered()?;
    for h in first..=height {
        replay(store, rules, pending, &Past::load(store, h)?, height)?;
    }
    let stored = store
        .checkpoint(height)?
        .ok_or_else(|| ChainError::corrupt(format!("the checkpoint of block {height} is missing")))?;
    let eth = store
        .eth_block(height)?
        .map(|block| block.header)
        .ok_or_else(|| ChainError::corrupt(format!("Ethereum block {height} is missing")))?;
    let log = TileWriter::load(store, stored.checkpoint.log_size)
        .map_err(|e| ChainError::corrupt(format!("the log: {e}")))?;
    if log.root() != stored.checkpoint.log_root {
        return Err(ChainError::corrupt("the stored log has another root than the last checkpoint"));
    }
    Ok(Tip {
        digest: stored.checkpoint.digest(),
        eth_hash: eth.hash_slow(),
        state_root: eth.state_root,
        log,
        checkpoint: stored.checkpoint,
    })
}

/// A stored block, taken apart.
struct Past {
    height: u64,
    time_ms: u64,
    first_leaf: u64,
    statements: Vec<Statement>,
    verdicts: Vec<Verdict>,
}

impl Past {
    fn load(store: &Store, height: u64) -> Result<Past, ChainError> {
        let missing = || ChainError::corrupt(format!("the body of block {height} is missing"));
        let block = store.block(height)?.ok_or_else(missing)?;
        let statements = block.body.statements.iter().map(|bytes| {
            Statement::parse(bytes.clone()).map_err(|e| {
                ChainError::corrupt(format!("a statement of block {height} does not parse: {e}"))
            })
        });
        let statements = statements.collect::<Result<Vec<_>, _>>()?;
        Ok(Past {
            height,
            time_ms: block.checkpoint.time_ms,
            // The block's last leaf is that of its verdicts.
            first_leaf: block.checkpoint.log_size - 1 - statements.len() as u64,
            statements,
            verdicts: store.verdicts(height)?,
        })
    }

    /// The statements with their leaves.
    fn leaves(&self) -> impl Iterator<Item = (u64, &Statement)> {
        (self.first_leaf..).zip(&self.statements)
    }
}

/// Derives again the rows that follow from a block: sequence windows, latest readings, verdicts and predictions. The stored rows may
/// be of this block already, or of a later one. A window takes a number once and for all, a latest reading only gives way
/// to a newer one, and later blocks' verdicts follow, so going over all blocks in order leads to the last one's state.
fn derive(store: &Store, block: &Past) -> Result<(), ChainError> {
    let view = View { state: store.state.clone(), layers: Vec::new() };
    let height = block.height;
    let mut work = Work::new(view);
    // Verdicts are sorted by (leaf, record, model), and so were they given.
    let mut verdicts = block
        .verdicts
        .iter()
        // What others attest is no stream's latest verdict.
        .filter(|v| v.leaf.0 >= block.first_leaf && v.class == Assurance::Consensus)
        .peekable();
    for (leaf, statement) in block.leaves() {
        let mut window = match work.get::<Window>(&statement.signer())? {
            Some(window) => window,
            None => Window(SequenceWindow::new(0)),
        };
        window.0.accept(statement.sequence());
        work.put(statement.signer(), window);
        for r in admission::readings(statement, block.time_ms) {
            let (stream, record, time_us, value) = (r.reading.stream, r.record, r.time_us, r.value);
            let mut latest = work.get::<Latest>(&stream)?.unwrap_or_default();
            latest.read(LatestReading { leaf, record, time_us, value, height });
            while let Some(v) = verdicts.next_if(|v| (v.leaf.0, v.record) == (leaf, record)) {
                let (model, kind, score) = (v.model, v.kind, v.score.ppm());
                latest.judged(LatestVerdict { leaf, record, model, kind, score, time_us, height });
            }
            work.put(stream, latest);
        }
    }
    for verdict in &block.verdicts {
        if let Some(prediction) = Prediction::of(verdict, height) {
            work.put((verdict.stream, verdict.model), prediction);
        }
    }
    if verdicts.next().is_some() {
        return Err(ChainError::corrupt(format!("block {height} has verdicts on readings it does not hold")));
    }
    store.state.windows.absorb(&work.tables.windows);
    store.state.latest.absorb(&work.tables.latest);
    store.state.predictions.absorb(&work.tables.predictions);
    Ok(())
}

/// Derives again what a commit leaves in RAM: index rows of buckets not flushed since, and model states.
fn replay(store: &Store, rules: &Rules, pending: &Pending, block: &Past, tip: u64) -> Result<(), ChainError> {
    let (height, time_ms) = (block.height, block.time_ms);
    let view = View { state: store.state.clone(), layers: Vec::new() };
    let mut rows = Rows::default();
    let mut changed = Tables::default();
    let number = |stream: &triad_statement::StreamId| {
        Ok::<_, ChainError>(view.get::<Stream>(stream)?.map(|s| s.number))
    };
    for (ordinal, verdict) in block.verdicts.iter().enumerate() {
        if let Some(stream) = number(&verdict.stream)? {
            rows.verdicts.push(VerdictRow { stream, height, ordinal: ordinal as u32 });
        }
        if verdict.kind == VerdictKind::Silent {
            step(&view, rules, &mut changed, &verdict.stream, height, Some(verdict.model), |spec, state| {
                state.on_deadline(spec, time_ms);
            })?;
        }
    }
    for (leaf, statement) in block.leaves() {
        let mut id = [0; 16];
        id.copy_from_slice(&statement.id().0[..16]);
        let (signer, sequence) = (statement.signer(), statement.sequence().0);
        rows.statements.push(StatementRow { signer, number: sequence, leaf, id });
        for r in admission::readings(statement, time_ms) {
            let Some(stream) = number(&r.reading.stream)? else { continue };
            let (time_us, value, record) = (r.time_us, r.value, r.record);
            rows.readings.push(crate::execute::ReadingRow { stream, time_us, value, leaf, record });
            let input = Input { time_us, value, block_time_ms: time_ms };
            step(&view, rules, &mut changed, &r.reading.stream, height, None, |spec, state| {
                state.step(spec, input);
            })?;
        }
    }
    // A bucket's last flush wrote what came up to it.
    let flushed_at = |bucket: u64| tip.checked_sub((tip + BUCKETS - bucket) % BUCKETS);
    pending.add(&rows, |bucket| flushed_at(bucket).is_none_or(|flushed| height > flushed));
    store.state.models.absorb(&changed.models);
    Ok(())
}

/// Steps the models of a stream that have not seen this block yet.
fn step(
    view: &View,
    rules: &Rules,
    changed: &mut Tables,
    stream: &triad_statement::StreamId,
    height: u64,
    only: Option<u64>,
    mut apply: impl FnMut(&triad_models::Spec, &mut State),
) -> Result<(), ChainError> {
    let bound = view.get::<Bindings>(stream)?.unwrap_or_default();
    let defaults = rules.defaults.iter().enumerate().map(|(i, spec)| (i as u64, 0, spec));
    let all = defaults.chain(bound.0.iter().map(|b| (b.model, b.since, &b.spec)));
    let wanted = |model: u64, since: u64| since < height && only.is_none_or(|o| o == model);
    for (model, _, spec) in
        all.filter(|(model, since, spec)| wanted(*model, *since) && spec.judges_readings())
    {
        let key = (*stream, model);
        let fresh = changed.models.remove(&key).flatten();
        let in_block = fresh.is_some();
        let stored = match fresh {
            Some(state) => Some(state),
            None => view.get::<ModelState>(&key)?,
        };
        if !in_block && stored.as_ref().is_some_and(|s| s.height >= height) {
            continue;
        }
        let mut state = match stored {
            None => State::new(spec),
            Some(stored) => stored.take(spec)?,
        };
        apply(spec, &mut state);
        changed.models.insert(key, Some(ModelState::live(height, state)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
