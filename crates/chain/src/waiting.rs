//! The statements that wait for a block, in the order in which they came.
//!
//! Each has a place in a queue; one map finds the place by the device's number, which a device uses once. Who leaves
//! the middle of the queue leaves a hole, and holes at its head are dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use triad_statement::{DeviceId, Statement};

use crate::admission::{self, Verified};
use crate::error::{Refusal, RefusalClass};
use crate::genesis::Limits;
use crate::mempool::{Answer, Waiter};
use crate::state::Map;

/// Statements that may wait; past this the doors slow down.
const MAX_STATEMENTS: usize = 131_072;
const MAX_STATEMENT_BYTES: usize = 64 << 20;
/// Statements of one device that may wait.
const MAX_DEVICE_STATEMENTS: u32 = 16_384;

/// A statement with whoever waits for its answer.
pub(crate) struct Entry {
    pub verified: Arc<Verified>,
    waiter: Waiter,
    /// Whoever sent the very same statement while it waited.
    others: Vec<Waiter>,
    /// Digest of the block that it was last put into.
    proposed: Option<[u8; 32]>,
    /// Height of the parent on whose state it was refused, if that state was not final.
    refused_at: Option<u64>,
}

impl Entry {
    /// Tells everybody who waits.
    pub fn answer(self, answer: &Answer) {
        for waiter in self.others {
            // Whoever has gone away does not want it.
            let _ = waiter.send(answer.clone());
        }
        let _ = self.waiter.send(answer.clone());
    }
}

#[derive(Default)]
pub(crate) struct Waiting {
    queue: VecDeque<Option<Entry>>,
    /// The place of the queue's head.
    head: u64,
    places: Map<(DeviceId, u64), u64>,
    by_device: Map<DeviceId, u32>,
    bytes: usize,
}

fn number(statement: &Statement) -> (DeviceId, u64) {
    (statement.signer(), statement.sequence().0)
}

impl Waiting {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_full(&self) -> bool {
        // Holes count as well: the queue is bounded whatever leaves it.
        self.queue.len() >= MAX_STATEMENTS || self.bytes >= MAX_STATEMENT_BYTES
    }

    /// Puts a statement at the end, or tells its waiter why not.
    pub fn add(&mut self, verified: Arc<Verified>, waiter: Waiter) {
        let statement = &verified.statement;
        let number = number(statement);
        if let Some(place) = self.places.get(&number) {
            let held = self.queue[(place - self.head) as usize].as_mut().expect("a number's place is taken");
            if held.verified.statement.id() == statement.id() {
                held.others.push(waiter);
            } else {
                let _ = waiter.send(Err(admission::equivocation(statement)));
            }
            return;
        }
        let count = self.by_device.entry(number.0).or_default();
        if *count >= MAX_DEVICE_STATEMENTS {
            let why = format!("{count} statements of device {} wait already: slow down", number.0);
            let _ = waiter.send(Err(Refusal::new(RefusalClass::QuotaExceeded, "device-quota", why)));
            return;
        }
        *count += 1;
        self.bytes += statement.bytes().len();
        self.places.insert(number, self.head + self.queue.len() as u64);
        let (others, proposed, refused_at) = (Vec::new(), None, None);
        self.queue.push_back(Some(Entry { verified, waiter, others, proposed, refused_at }));
    }

    /// The oldest statements that somebody at a door of this node waits for.
    pub fn oldest(&self, limit: usize) -> Vec<Bytes> {
        let wanted = |entry: &&Entry| entry.others.iter().chain([&entry.waiter]).any(|w| !w.is_closed());
        let oldest = self.queue.iter().flatten().filter(wanted).take(limit);
        oldest.map(|entry| entry.verified.statement.bytes().clone()).collect()
    }

    fn get(&mut self, statement: &Statement) -> Option<&mut Entry> {
        let place = self.places.get(&number(statement))?;
        let entry = self.queue[(place - self.head) as usize].as_mut()?;
        (entry.verified.statement.id() == statement.id()).then_some(entry)
    }

    /// The very same statement, if it waits here: it was verified.
    pub fn verified(&mut self, statement: &Statement) -> Option<Arc<Verified>> {
        let held = self.get(statement)?.verified.clone();
        (held.statement.bytes() == statement.bytes()).then_some(held)
    }

    pub fn take(&mut self, statement: &Statement) -> Option<Entry> {
        self.get(statement)?;
        let number = number(statement);
        let place = self.places.remove(&number)?;
        let entry = self.queue[(place - self.head) as usize].take()?;
        self.bytes -= entry.verified.statement.bytes().len();
        if let Some(count) = self.by_device.get_mut(&number.0) {
            *count -= 1;
            if *count == 0 {
                self.by_device.remove(&number.0);
            }
        }
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.head += 1;
        }
        Some(entry)
    }

    /// The oldest statements that none of these blocks holds, as many as a block takes. A device with more than its share
    /// of a block holds nobody up.
    pub fn for_block(&self, ancestors: &[[u8; 32]], limits: &Limits) -> Vec<Arc<Verified>> {
        let share = limits.device_statements;
        let crowded = self.by_device.values().any(|count| u64::from(*count) > share);
        let mut used: Map<DeviceId, u64> = Map::default();
        let (mut out, mut bytes, mut readings, mut runs) = (Vec::new(), 0, 0, 0);
        for entry in self.queue.iter().flatten() {
            if entry.proposed.is_some_and(|digest| ancestors.contains(&digest)) {
                continue;
            }
            let statement = &entry.verified.statement;
            if crowded {
                let used = used.entry(statement.signer()).or_default();
                if *used >= share {
                    continue;
                }
                *used += 1;
            }
            bytes += statement.bytes().len() as u64 + 5;
            readings += statement.records().len() as u64;
            runs += admission::runs(statement);
            let full = out.len() as u64 >= limits.block_statements
                || bytes > limits.block_bytes
                || readings > limits.block_readings
                || runs > limits.block_runs;
            if full {
                break;
            }
            out.push(entry.verified.clone());
        }
        out
    }

    pub fn proposed(&mut self, statements: &[Arc<Verified>], digest: [u8; 32]) {
        for verified in statements {
            if let Some(entry) = self.get(&verified.statement) {
                (entry.proposed, entry.refused_at) = (Some(digest), None);
            }
        }
    }

    /// Notes that a statement did not fit the state of a parent; takes it out if that state is final.
    pub fn refused(&mut self, statement: &Statement, parent: u64, final_height: u64) -> Option<Entry> {
        let at = *self.get(statement)?.refused_at.get_or_insert(parent);
        if at <= final_height { self.take(statement) } else { None }
    }
}
