//! Which validators decide which heights, as far as the ledger's final blocks say.
//!
//! One place for all who ask: marshal, which checks certificates of any epoch; the proposer, which stops at an epoch's end;
//! and agreement, which begins anew with each epoch's validators ([`crate::agreement`]).
//!
//! An epoch whose end is not decided is said to have none. Its end is decided some blocks ahead (`Application::EPOCH_NOTICE`), so
//! whoever is not far behind knows it in time. Nobody's safety rests on that: a block says its epoch, executing its parent
//! says which it must be, and in an epoch nobody votes for a block of another.

use std::sync::Arc;

use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::types::{Epoch, EpochInfo, Epocher, Height};
use commonware_cryptography::{
    certificate::{Provider, Scoped},
    ed25519::PublicKey,
};
use commonware_utils::{ordered::Set, sync::RwLock};
use tokio::sync::watch;

use crate::{ConsensusError, Scheme, application::EpochSpan};

/// Last height of an epoch whose end is not decided: beyond any chain.
const OPEN: u64 = u64::MAX / 4;

/// One epoch.
#[derive(Clone, Debug)]
pub(crate) struct Reign {
    pub(crate) epoch: u64,
    first: u64,
    last: Option<u64>,
    pub(crate) validators: Set<PublicKey>,
    scheme: Arc<Scheme>,
}

#[derive(Debug, Default)]
struct State {
    told: Arc<Vec<EpochSpan>>,
    reigns: Vec<Reign>,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Epochs {
    namespace: Arc<Vec<u8>>,
    notice: u64,
    state: Arc<RwLock<State>>,
    current: watch::Sender<u64>,
}

pub(crate) fn key_of(bytes: &[u8; 32]) -> Result<PublicKey, ConsensusError> {
    PublicKey::decode(Copying(bytes.as_slice()))
        .map_err(|_| ConsensusError::Config(format!("{} is not an Ed25519 public key", hex::encode(bytes))))
}

impl Epochs {
    /// `notice`: how many blocks ahead the end of an epoch is known.
    pub(crate) fn new(
        namespace: &[u8],
        notice: u64,
        spans: &Arc<Vec<EpochSpan>>,
    ) -> Result<Self, ConsensusError> {
        let this = Self {
            namespace: Arc::new(namespace.to_vec()),
            notice,
            state: Arc::default(),
            current: watch::channel(0).0,
        };
        this.update(spans)?;
        Ok(this)
    }

    /// Takes in what the ledger says after a commit. What it said before stands.
    pub(crate) fn update(&self, spans: &Arc<Vec<EpochSpan>>) -> Result<(), ConsensusError> {
        if Arc::ptr_eq(&self.state.read().told, spans) {
            return Ok(());
        }
        let mut state = self.state.write();
        for span in spans.iter() {
            if let Some(known) = state.reigns.get_mut(span.epoch as usize) {
                if known.first != span.first || (known.last.is_some() && known.last != span.last) {
                    return Err(ConsensusError::Contract(format!(
                        "the ledger changed its mind on epoch {}: heights {} to {:?}, before {} to {:?}",
                        span.epoch, span.first, span.last, known.first, known.last
                    )));
                }
                known.last = span.last;
                continue;
            }
            let follows = state.reigns.last().map_or(Some(1), |before| before.last.map(|last| last + 1));
            if span.epoch != state.reigns.len() as u64
                || follows != Some(span.first)
                || span.validators.is_empty()
                || !span.validators.is_sorted_by(|a, b| a < b)
            {
                return Err(ConsensusError::Contract(format!("the ledger's epochs do not follow: {span:?}")));
            }
            let keys = span.validators.iter().map(key_of).collect::<Result<Vec<_>, _>>()?;
            let validators = Set::from_iter_dedup(keys);
            let scheme = Arc::new(Scheme::verifier(&self.namespace, validators.clone()));
            state.reigns.push(Reign {
                epoch: span.epoch,
                first: span.first,
                last: span.last,
                validators,
                scheme,
            });
        }
        state.told = spans.clone();
        let current = state.reigns.len() as u64 - 1;
        drop(state);
        self.current.send_if_modified(|known| {
            let news = *known != current;
            *known = current;
            news
        });
        Ok(())
    }

    /// The epoch of the next block.
    pub(crate) fn current(&self) -> Reign {
        self.state.read().reigns.last().expect("there is always one").clone()
    }

    /// Resolves when an epoch is over and its last block is durable in the ledger.
    pub(crate) async fn over(&self, epoch: u64) {
        // The sender lives as long as this.
        let _ = self.current.subscribe().wait_for(|current| *current > epoch).await;
    }

    /// The greatest height of which it is sure, with final blocks up to `acked`, that it belongs to the present epoch.
    pub(crate) fn horizon(&self, acked: u64) -> u64 {
        let current = self.current();
        current.last.unwrap_or_else(|| acked.max(current.first - 1) + self.notice)
    }

    fn reign(&self, epoch: Epoch) -> Option<Reign> {
        self.state.read().reigns.get(usize::try_from(epoch.get()).ok()?).cloned()
    }
}

impl Epocher for Epochs {
    fn containing(&self, height: Height) -> Option<EpochInfo> {
        let state = self.state.read();
        // Genesis counts to the first.
        let reign = state.reigns.iter().rev().find(|r| r.first <= height.get().max(1))?;
        let last = reign.last.unwrap_or(OPEN);
        let first = if reign.epoch == 0 { 0 } else { reign.first };
        (height.get() <= last)
            .then(|| EpochInfo::new(Epoch::new(reign.epoch), height, Height::new(first), Height::new(last)))
    }

    fn first(&self, epoch: Epoch) -> Option<Height> {
        self.reign(epoch).map(|r| Height::new(if r.epoch == 0 { 0 } else { r.first }))
    }

    fn last(&self, epoch: Epoch) -> Option<Height> {
        self.reign(epoch).map(|r| Height::new(r.last.unwrap_or(OPEN)))
    }
}

impl Provider for Epochs {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        self.reign(epoch).map(|reign| Scoped::scheme(reign.scheme))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(epoch: u64, first: u64, last: Option<u64>, secrets: &[u8]) -> EpochSpan {
        let mut validators: Vec<_> = secrets.iter().map(|s| crate::public_key(&[*s; 32])).collect();
        validators.sort_unstable();
        EpochSpan { epoch, first, last, validators }
    }

    #[test]
    fn heights_have_their_epoch_and_a_change_of_mind_is_refused() {
        let epochs = Epochs::new(b"triad", 64, &Arc::new(vec![span(0, 1, None, &[1, 2])])).unwrap();
        let epoch_of = |height| epochs.containing(Height::new(height)).map(|info| info.epoch().get());
        assert_eq!((epoch_of(0), epoch_of(1_000_000)), (Some(0), Some(0)));
        assert_eq!(epochs.horizon(10), 74);
        epochs.update(&Arc::new(vec![span(0, 1, Some(128), &[1, 2])])).unwrap();
        assert_eq!((epoch_of(128), epoch_of(129)), (Some(0), None));
        assert_eq!(epochs.horizon(10), 128);
        assert_eq!(epochs.current().epoch, 0);
        let two = vec![span(0, 1, Some(128), &[1, 2]), span(1, 129, None, &[2, 3])];
        epochs.update(&Arc::new(two.clone())).unwrap();
        assert_eq!((epoch_of(128), epoch_of(129), epochs.current().epoch), (Some(0), Some(1), 1));
        assert_eq!(epochs.last(Epoch::new(0)), Some(Height::new(128)));
        assert_eq!(epochs.first(Epoch::new(1)), Some(Height::new(129)));
        assert!(epochs.scoped(Epoch::new(2)).is_none());

        let moved = vec![span(0, 1, Some(192), &[1, 2]), two[1].clone()];
        assert!(epochs.update(&Arc::new(moved)).is_err());
        let gap = vec![two[0].clone(), span(1, 129, Some(192), &[2, 3]), span(2, 200, None, &[2, 3])];
        assert!(epochs.update(&Arc::new(gap)).is_err());
    }

    #[tokio::test]
    async fn the_end_of_an_epoch_is_heard_of() {
        let epochs = Epochs::new(b"triad", 64, &Arc::new(vec![span(0, 1, Some(64), &[1])])).unwrap();
        let waiting = tokio::spawn({
            let epochs = epochs.clone();
            async move { epochs.over(0).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        epochs.update(&Arc::new(vec![span(0, 1, Some(64), &[1]), span(1, 65, None, &[2])])).unwrap();
        waiting.await.unwrap();
        epochs.over(0).await;
    }
}
