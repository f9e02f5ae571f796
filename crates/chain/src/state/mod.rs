//! Application state: committed tables, and per-block layers over them.
//!
//! A block is executed on its parent's state, which may not be final yet. Each executed block therefore keeps a
//! [`Layer`] with the rows it changed; reading goes through the layers of the unfinalised ancestors, newest first,
//! and then to the committed [`State`]. At finality a layer is merged; its siblings are dropped.

mod codec;
pub(crate) mod model;
pub(crate) mod records;
mod table;

use std::sync::Arc;

use sha2::{Digest, Sha256};

pub(crate) use codec::{Reader, Writer};
use model::ModelState;
use records::*;
use table::Flushed;
use table::merged;
pub(crate) use table::{BUCKETS, Changes, Map, Ordered, Place, Record, Table};

use crate::error::ChainError;

/// Which field of [`State`] and of [`Tables`] holds a row type.
pub(crate) trait Row: Record {
    fn changes(tables: &Tables) -> &Changes<Self>;
    fn changes_mut(tables: &mut Tables) -> &mut Changes<Self>;
}

macro_rules! tables {
    ($($field:ident: $record:ty = $kind:ident($($arg:expr),*)),* $(,)?) => {
        /// The rows that one block changed.
        #[derive(Default)]
        pub(crate) struct Tables {
            $(pub $field: Changes<$record>,)*
        }

        /// The committed state.
        pub(crate) struct State {
            $(pub $field: $kind<$record>,)*
        }

        /// What a commit wrote in turn, to be settled when it is durable.
        pub(crate) struct FlushedRows {
            $($field: Flushed<$record>,)*
        }

        $(impl Row for $record {
            fn changes(tables: &Tables) -> &Changes<Self> {
                &tables.$field
            }
            fn changes_mut(tables: &mut Tables) -> &mut Changes<Self> {
                &mut tables.$field
            }
        })*

        impl State {
            pub fn open(store: &fjall::Keyspace) -> State {
                State { $($field: $kind::new(store.clone() $(, $arg)*),)* }
            }

            pub fn flush(&self, height: u64, tables: &Tables, batch: &mut fjall::OwnedWriteBatch) -> FlushedRows {
                FlushedRows { $($field: self.$field.flush(height, &tables.$field, batch),)* }
            }

            pub fn settle(&self, height: u64, tables: &Tables, flushed: FlushedRows) {
                $(self.$field.settle(height, &tables.$field, flushed.$field);)*
            }

            /// The rows of every table that changed since they were last written.
            pub fn recent(&self) -> Tables {
                Tables { $($field: self.$field.recent(),)* }
            }

            fn overlay(&self, table: u8, key: &[u8], value: Option<&[u8]>) -> Option<()> {
                $(if table == <$record as Record>::TABLE as u8 {
                    return self.$field.overlay(key, value);
                })*
                None
            }
        }

        impl Tables {
            /// Visits every row of every table, by table and the key's bytes: those that `stored` gives for a table with these
            /// laid over.
            pub fn over(
                &self,
                stored: impl Fn(u8) -> fjall::Iter,
                mut visit: impl FnMut(u8, &[u8], &[u8]) -> Result<(), ChainError>,
            ) -> Result<(), ChainError> {
                $({
                    let table = <$record as Record>::TABLE as u8;
                    merged(&self.$field, stored(table), &mut |key, value| visit(table, key, value))?;
                })*
                Ok(())
            }

            /// Writes the changed rows that `wanted` asks for, in one canonical order: by table, then by key (keys order as
            /// their bytes do, and tables stand here by their numbers). States of models are kept but no part of a delta.
            fn write_rows(&self, out: &mut Vec<u8>, wanted: Wanted) {
                $(if <$record as Record>::TABLE != TableId::Models || wanted != Wanted::All {
                    write_table::<$record>(&self.$field, out, wanted);
                })*
            }
        }
    };
}

tables! {
    devices: Device = Table(262_144),
    windows: Window = Table(262_144),
    opened: Opened = Table(65_536),
    streams: Stream = Table(262_144),
    latest: Latest = Table(262_144),
    bindings: Bindings = Table(262_144),
    registrations: Registration = Table(65_536),
    watchers: Watchers = Table(262_144),
    deadlines: Deadline = Ordered(),
    queue: Queued = Ordered(),
    counters: Counter = Table(16),
    models: ModelState = Table(32_768),
    reigns: Reign = Table(64),
    scheduled: Scheduled = Table(1),
    predictions: Prediction = Table(65_536),
    awaiting: Awaiting = Table(16_384),
    awaited: Awaited = Table(65_536),
}

/// Which changed rows are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    /// Those that do not follow from the statements of the block.
    NotDerived(Place),
}

fn write_table<R: Record>(changes: &Changes<R>, out: &mut Vec<u8>, wanted: Wanted) {
    let rows: Vec<(&R::Key, &Option<R>)> = match wanted {
        Wanted::All => changes.iter().collect(),
        Wanted::NotDerived(block) => {
            changes.iter().filter(|(_, row)| row.as_ref().is_none_or(|row| !row.is_derived(block))).collect()
        }
    };
    out.reserve(rows.len() * 96);
    // The first bytes of keys, which order as their bytes do, nearly always decide, and lie here in one piece.
    let mut name = Vec::new();
    let mut rows: Vec<(u64, &R::Key, &Option<R>)> = rows
        .into_iter()
        .map(|(key, row)| {
            name.clear();
            R::write_key(key, &mut name);
            name.resize(name.len().max(8), 0);
            let first = name.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
            (first, key, row)
        })
        .collect();
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)));
    let mut value = Vec::new();
    for (_, key, row) in rows {
        name.clear();
        R::write_key(key, &mut name);
        let mut w = Writer(out);
        w.u8(R::TABLE as u8).u16(name.len() as u16).raw(&name).u8(row.is_some() as u8);
        if let Some(row) = row {
            value.clear();
            row.encode(&mut value);
            w.bytes(&value);
        }
    }
}

impl Tables {
    /// A block's delta: every changed row as `table ‖ key length (u16) ‖ key ‖ present (u8) ‖ value length (u32) ‖
    /// value`, sorted by table and key. The application digest chains it.
    pub fn delta(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_rows(&mut out, Wanted::All);
        out
    }

    /// The part of the delta that a commit stores: what a restart cannot derive again from the block and its verdicts.
    pub fn kept(&self, block: Place) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_rows(&mut out, Wanted::NotDerived(block));
        out
    }
}

/// SHA-256(parent's application digest ‖ delta).
pub(crate) fn app_digest(parent: &[u8; 32], delta: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(parent).chain_update(delta).finalize().into()
}

impl State {
    /// Lays what a block kept over the tables.
    pub fn overlay_kept(&self, kept: &[u8]) -> Result<(), ChainError> {
        let damaged = || ChainError::corrupt("the rows that a block kept do not decode");
        let mut r = Reader(kept);
        while !r.0.is_empty() {
            let row = (|| {
                let (table, n) = (r.u8()?, r.u16()?);
                let key = r.raw(n as usize)?;
                let value = if r.u8()? == 1 { Some(r.bytes()?) } else { None };
                self.overlay(table, key, value)
            })();
            row.ok_or_else(damaged)?;
        }
        Ok(())
    }

    /// Loads what is held whole in RAM; call it once, after the kept rows.
    pub fn load_ordered(&self) -> Result<(), ChainError> {
        self.deadlines.load()?;
        self.queue.load()
    }
}

/// The state as some block's execution finds it: the layers of its unfinalised ancestors over the committed state.
#[derive(Clone)]
pub(crate) struct View {
    pub state: Arc<State>,
    /// Newest first.
    pub layers: Vec<Arc<Tables>>,
}

/// How a row type is read from the committed state.
pub(crate) trait Keyed: Row {
    fn table(state: &State) -> &Table<Self>;
}

macro_rules! keyed {
    ($($field:ident: $record:ty),* $(,)?) => {
        $(impl Keyed for $record {
            fn table(state: &State) -> &Table<Self> {
                &state.$field
            }
        })*
    };
}

keyed! {
    devices: Device, windows: Window, opened: Opened, streams: Stream, latest: Latest, bindings: Bindings,
    registrations: Registration, watchers: Watchers, counters: Counter, models: ModelState,
    reigns: Reign, scheduled: Scheduled, predictions: Prediction, awaiting: Awaiting, awaited: Awaited,
}

impl View {
    pub fn get<R: Keyed>(&self, key: &R::Key) -> Result<Option<R>, ChainError> {
        for layer in &self.layers {
            if let Some(row) = R::changes(layer).get(key) {
                return Ok(row.clone());
            }
        }
        R::table(&self.state).get(key)
    }
}

/// A view with the changes of the block being executed on top.
pub(crate) struct Work {
    pub base: View,
    pub tables: Tables,
}

impl Work {
    pub fn new(base: View) -> Work {
        Work { base, tables: Tables::default() }
    }

    pub fn get<R: Keyed>(&self, key: &R::Key) -> Result<Option<R>, ChainError> {
        match R::changes(&self.tables).get(key) {
            Some(row) => Ok(row.clone()),
            None => self.base.get(key),
        }
    }

    /// Whether what was read at `height` of the final chain still holds here.
    pub fn unchanged_since<R: Keyed>(&self, height: u64) -> bool {
        R::table(&self.base.state).changed_at() <= height
            && self.layers::<R>().into_iter().all(|changes| changes.is_empty())
    }

    pub fn put<R: Row>(&mut self, key: R::Key, row: R) {
        R::changes_mut(&mut self.tables).insert(key, Some(row));
    }

    pub fn remove<R: Row>(&mut self, key: R::Key) {
        R::changes_mut(&mut self.tables).insert(key, None);
    }

    /// Deadlines that have come, oldest first.
    pub fn due(&self, now_ms: u64, limit: usize) -> Vec<DeadlineKey> {
        let last = (now_ms, triad_statement::StreamId([0xff; 32]), u64::MAX);
        let layers = self.layers::<Deadline>();
        self.base.state.deadlines.up_to(&last, limit, &layers).into_iter().map(|(key, _)| key).collect()
    }

    /// The firings that wait, in their order.
    pub fn queued(&self, limit: usize) -> Vec<((u64, u32, u64), Queued)> {
        let layers = self.layers::<Queued>();
        self.base.state.queue.up_to(&(u64::MAX, u32::MAX, u64::MAX), limit, &layers)
    }

    fn layers<R: Row>(&self) -> Vec<&Changes<R>> {
        let own = std::iter::once(R::changes(&self.tables));
        own.chain(self.base.layers.iter().map(|layer| R::changes(layer))).collect()
    }
}
