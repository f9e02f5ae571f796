//! Closed doors: while the node cannot store more, or cannot make anything final, whoever hands something in hears why.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::error::{Refusal, RefusalClass};

/// The disk is nearly full.
const READ_ONLY: &str = "read-only";

/// Open at first, and while nothing keeps it shut. Reading is not concerned, nor what was handed in before.
#[derive(Debug, Default)]
pub struct Gate {
    shut: AtomicBool,
    /// By the code that callers are told.
    why: Mutex<BTreeMap<&'static str, String>>,
}

impl Gate {
    /// Refuses everything from now on, as `read-only`. `why` says what happened and what the operator has to do.
    pub fn shut(&self, why: impl Into<String>) {
        self.shut_as(READ_ONLY, why);
    }

    /// Ends what [`Gate::shut`] began.
    pub fn open(&self) {
        self.open_as(READ_ONLY);
    }

    /// Refuses everything from now on with this code.
    pub fn shut_as(&self, code: &'static str, why: impl Into<String>) {
        let mut reasons = self.why.lock();
        reasons.insert(code, why.into());
        self.shut.store(true, Ordering::Release);
    }

    /// This is no reason any more; others may remain.
    pub fn open_as(&self, code: &'static str) {
        let mut reasons = self.why.lock();
        reasons.remove(code);
        self.shut.store(!reasons.is_empty(), Ordering::Release);
    }

    /// Why it is shut; `None` while it is open.
    pub fn why(&self) -> Option<String> {
        self.refusal().map(|refusal| refusal.message)
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        if !self.shut.load(Ordering::Acquire) {
            return None;
        }
        let reasons = self.why.lock();
        reasons.iter().next().map(|(code, why)| Refusal::new(RefusalClass::Unavailable, code, why.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_only_when_no_reason_is_left() {
        let gate = Gate::default();
        gate.shut("full");
        gate.shut_as("no-quorum", "alone");
        gate.open();
        assert_eq!(gate.refusal().unwrap().code, "no-quorum");
        gate.open_as("no-quorum");
        assert_eq!(gate.why(), None);
    }
}
