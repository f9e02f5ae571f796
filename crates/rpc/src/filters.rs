//! Filters that a client asks for news.
//!
//! A log or block filter is a height up to which its client knows everything, so nothing is kept for it, and nothing is
//! told twice or left out. Filters are bounded in number and forgotten when nobody asks for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::Filter;
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::server::RandomIntegerIdProvider;
use jsonrpsee::types::SubscriptionId;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use triad_chain::Reader;

use crate::errors::{Answer, chain, limit, refused};
use crate::logs;

/// Filters of all clients.
const MAX_FILTERS: usize = 4096;
/// A filter that nobody asked for this long is forgotten.
const LIFETIME: Duration = Duration::from_secs(300);

enum Kind {
    /// And the next block to look at.
    Logs(Box<Filter>, u64),
    Blocks(u64),
    Pending(broadcast::Receiver<B256>),
}

struct Installed {
    kind: Kind,
    asked: Instant,
}

impl Installed {
    fn alive(&self) -> bool {
        self.asked.elapsed() < LIFETIME
    }

    fn ask(&mut self) -> Answer<()> {
        if !self.alive() {
            return Err(refused("filter not found"));
        }
        self.asked = Instant::now();
        Ok(())
    }
}

#[derive(Default)]
pub struct Filters(Mutex<HashMap<u64, Arc<Mutex<Installed>>>>);

impl std::fmt::Debug for Filters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Filters").field(&self.0.lock().len()).finish()
    }
}

impl Filters {
    fn install(&self, kind: Kind) -> Answer<Value> {
        let mut all = self.0.lock();
        if all.len() >= MAX_FILTERS {
            // One that is being asked right now is alive.
            all.retain(|_, installed| installed.try_lock().is_none_or(|i| i.alive()));
        }
        if all.len() >= MAX_FILTERS {
            let why = format!(
                "{MAX_FILTERS} filters are installed, which is the limit: uninstall some, or try again"
            );
            return Err(limit(why, Value::Null));
        }
        // Not to be guessed by other clients.
        let SubscriptionId::Num(id) = RandomIntegerIdProvider.next_id() else {
            return Err(refused("no filter id"));
        };
        all.insert(id, Arc::new(Mutex::new(Installed { kind, asked: Instant::now() })));
        Ok(json!(U64::from(id)))
    }

    pub fn logs(&self, reader: &Reader, filter: Filter) -> Answer<Value> {
        logs::check(&filter)?;
        let next = match logs::range(reader, &filter)? {
            Some((from, _)) if filter.get_from_block().is_some() => from.max(reader.height() + 1),
            _ => reader.height() + 1,
        };
        self.install(Kind::Logs(Box::new(filter), next))
    }

    pub fn blocks(&self, reader: &Reader) -> Answer<Value> {
        self.install(Kind::Blocks(reader.height() + 1))
    }

    pub fn pending(&self, reader: &Reader) -> Answer<Value> {
        self.install(Kind::Pending(reader.watch_pending()))
    }

    pub fn uninstall(&self, id: u64) -> bool {
        let gone = self.0.lock().remove(&id);
        gone.is_some_and(|installed| installed.lock().alive())
    }

    fn get(&self, id: u64) -> Answer<Arc<Mutex<Installed>>> {
        self.0.lock().get(&id).cloned().ok_or_else(|| refused("filter not found"))
    }

    /// News since the last time; what exceeds the bounds of a query comes with the next.
    pub fn changes(&self, reader: &Reader, id: u64) -> Answer<Value> {
        let installed = self.get(id)?;
        // Two who ask at once get each piece of news once between them.
        let mut installed = installed.lock();
        installed.ask()?;
        match &mut installed.kind {
            Kind::Logs(filter, next) => new_logs(reader, filter, next),
            Kind::Blocks(next) => new_blocks(reader, next),
            Kind::Pending(hashes) => Ok(new_pending(hashes)),
        }
    }

    /// All that a log filter matches, from the beginning of its range.
    pub fn all_logs(&self, reader: &Reader, id: u64) -> Answer<Value> {
        let installed = self.get(id)?;
        let filter = {
            let mut installed = installed.lock();
            installed.ask()?;
            match &installed.kind {
                Kind::Logs(filter, _) => filter.clone(),
                Kind::Blocks(_) | Kind::Pending(_) => return Err(refused("filter not found")),
            }
        };
        Ok(json!(logs::query(reader, &filter)?))
    }
}

fn new_logs(reader: &Reader, filter: &Filter, next: &mut u64) -> Answer<Value> {
    let mut last = reader.height().min(*next + logs::MAX_BLOCKS - 1);
    if let Some(bound) = filter.get_to_block() {
        last = last.min(bound);
    }
    let mut out = Vec::new();
    if *next <= last {
        *next = logs::scan(reader, filter, *next, last, &mut out)?;
    }
    Ok(json!(out))
}

fn new_blocks(reader: &Reader, next: &mut u64) -> Answer<Value> {
    let last = reader.height().min(*next + logs::MAX_BLOCKS - 1);
    let mut out = Vec::new();
    while *next <= last {
        let stored = reader.checkpoint(*next).map_err(chain)?;
        out.extend(stored.map(|(checkpoint, _)| B256::from(checkpoint.eth_block_hash)));
        *next += 1;
    }
    Ok(json!(out))
}

fn new_pending(hashes: &mut broadcast::Receiver<B256>) -> Value {
    let mut out = Vec::new();
    loop {
        match hashes.try_recv() {
            Ok(hash) => out.push(hash),
            // The pool remembers so many; older ones are final or gone by now.
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return json!(out),
        }
    }
}
