//! A crash at any await point: a machine that stops between two steps of any of its tasks.
//!
//! A task goes from one await that has to wait to the next whenever it is polled, and each step of the disk waits. So counting the
//! polls of all tasks of a machine, and doing nothing any more from some count on, stops it at any of these points.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

/// Counts down while a machine works.
#[derive(Debug, Default)]
pub(super) struct Fuse {
    /// 0: it does not burn.
    left: AtomicU64,
    blown: AtomicBool,
}

impl Fuse {
    /// The machine stops after so many steps.
    pub(super) fn light(&self, steps: u64) {
        self.left.store(steps, Relaxed);
    }

    pub(super) fn is_blown(&self) -> bool {
        self.blown.load(Relaxed)
    }

    /// The machine is put on again.
    pub(super) fn renew(&self) {
        self.left.store(0, Relaxed);
        self.blown.store(false, Relaxed);
    }

    fn step(&self) {
        match self.left.load(Relaxed) {
            0 => {}
            1 => self.blown.store(true, Relaxed),
            left => self.left.store(left - 1, Relaxed),
        }
    }
}

/// A task of a machine.
pub(super) struct Fused<F> {
    task: Pin<Box<F>>,
    fuse: Arc<Fuse>,
}

impl<F> Fused<F> {
    pub(super) fn new(task: F, fuse: Arc<Fuse>) -> Self {
        Self { task: Box::pin(task), fuse }
    }
}

impl<F: Future> Future for Fused<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.fuse.step();
        if self.fuse.is_blown() { Poll::Pending } else { self.task.as_mut().poll(context) }
    }
}
