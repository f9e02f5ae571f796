//! Read-only: while the node cannot store more, whoever hands something in hears why.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::error::{Refusal, RefusalClass};

/// Open at first. Reading is not concerned, nor what was handed in before.
#[derive(Debug, Default)]
pub struct Gate {
    shut: AtomicBool,
    why: Mutex<String>,
}

impl Gate {
    /// Refuses everything from now on. `why` says what happened and what the operator has to do.
    pub fn shut(&self, why: impl Into<String>) {
        *self.why.lock() = why.into();
        self.shut.store(true, Ordering::Release);
    }

    pub fn open(&self) {
        self.shut.store(false, Ordering::Release);
    }

    /// Why it is shut; `None` while it is open.
    pub fn why(&self) -> Option<String> {
        self.shut.load(Ordering::Acquire).then(|| self.why.lock().clone())
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.why().map(|why| Refusal::new(RefusalClass::Unavailable, "read-only", why))
    }
}
