//! A chain's only validator goes on without the journal of what it voted, because its operator accepts what that means.
//!
//! What the lost journal had voted beyond the newest block here may have been acknowledged, and receipts of it may be in
//! somebody's hands: they contradict the chain that goes on from here, and show two signatures of one key. No program can
//! know that there are none, so it is said in plain words and done once, by a flag.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use triad_chain::{Ledger, Reader};

/// What was done.
#[derive(Debug)]
pub struct Accepted {
    /// The newest block of this chain.
    pub height: u64,
    /// Its time in ms since 1970.
    pub time_ms: u64,
    /// Where the journal and its companions are now, if any were there.
    pub aside: Option<PathBuf>,
}

impl std::fmt::Display for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Accepted { height, time_ms, aside } = self;
        write!(
            f,
            "the chain goes on after block {height} (of {}), without the journal. Whatever was acknowledged after that block is \
             not in it: devices may send it again, and receipts of it contradict this chain. Never start \
             another copy of the data directory: the chain would fork",
            triad_api::rfc3339_ms(*time_ms).unwrap_or_default()
        )?;
        match aside {
            Some(path) => write!(f, ". What was left of the journal is in {}", path.display()),
            None => Ok(()),
        }
    }
}

/// Refuses where others vote, too: they remember, and one of them may hold what this key signed.
pub(crate) fn refuse_several(ledger: &Ledger) -> anyhow::Result<()> {
    let validators = ledger.reigns().last().map_or(1, |reign| reign.validators.len());
    if validators > 1 {
        bail!(
            "--accept-journal-loss is for a chain with one validator, this one has {validators}: start without it. The node asks \
             the others what its key voted and, if they know more than it does, follows without voting until its key is \
             replaced (`triad network change`)"
        );
    }
    Ok(())
}

/// Sets the journal aside and lets the ledger stand on its newest block. Consensus must not run. If it is cut short, it can be
/// done again.
pub(crate) fn accept(
    dir: &Path,
    ledger: &Ledger,
) -> anyhow::Result<(Accepted, triad_consensus::DirectoryLock)> {
    let lock = triad_consensus::lock(dir)?;
    let aside = triad_consensus::set_aside(&lock)?;
    let height = ledger.stand_on_newest().context("the chain cannot go on without the journal")?;
    let time_ms = Reader::new(ledger.clone()).tip().0.time_ms;
    Ok((Accepted { height, time_ms, aside }, lock))
}
