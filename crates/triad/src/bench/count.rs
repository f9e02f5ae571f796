//! What a stopped chain really holds.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use triad_chain::{ChainError, Ledger, Reader};
use triad_statement::Statement;

use super::fleet::Fleet;
use crate::node::layout::Layout;

/// How long the threads of a stopped node may take to let go of the store.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Found {
    /// By statement index.
    pub seen: Vec<bool>,
    pub statements: u64,
    pub readings: u64,
    pub statement_bytes: u64,
    pub blocks: u64,
    pub verdicts: u64,
}

/// Opens the stopped chain and reads every block.
pub fn count(layout: &Layout, fleet: &Fleet, sent: usize) -> anyhow::Result<Found> {
    let ledger = open(layout)?;
    let reader = Reader::new(ledger);
    let mut found = Found {
        seen: vec![false; sent],
        statements: 0,
        readings: 0,
        statement_bytes: 0,
        blocks: reader.height(),
        verdicts: 0,
    };
    for height in 1..=found.blocks {
        let block = reader.block(height)?.with_context(|| format!("block {height} is missing"))?;
        for bytes in &block.body.statements {
            let statement = Statement::parse(bytes.clone())?;
            let index = fleet.index(&statement).filter(|i| *i < sent).context("a statement nobody sent")?;
            anyhow::ensure!(!found.seen[index], "statement {index} is stored twice");
            found.seen[index] = true;
            found.statements += 1;
            found.readings += statement.records().len() as u64;
            found.statement_bytes += bytes.len() as u64;
        }
        if !block.body.statements.is_empty() {
            found.verdicts += reader.block_verdicts(height)?.len() as u64;
        }
    }
    Ok(found)
}

fn open(layout: &Layout) -> anyhow::Result<Ledger> {
    let started = Instant::now();
    loop {
        match Ledger::open(&layout.chain(), layout.spec()?) {
            Ok(ledger) => return Ok(ledger),
            Err(error @ ChainError::Corrupt { .. }) => return Err(error.into()),
            Err(error) if started.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
