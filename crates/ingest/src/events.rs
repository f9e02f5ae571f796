//! What subscribers read: the JSON of receipts and errors, and the pick of a block's events for one connection.

use std::sync::Arc;

use crate::claim::Claim;
use crate::door::{Committed, CommittedLeaf, Refusal};
use crate::topics::{Kinds, Who, event_topic, push_hex};

/// One event as MQTT wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub topic: String,
    pub payload: Vec<u8>,
    pub kind: Kinds,
}

/// What waits in a subscriber's queue. A block is shared between all of them.
#[derive(Debug, Clone)]
pub(crate) enum Delivery {
    Block { block: Arc<Committed>, receipts: Picks, verdicts: Picks },
    Error(Arc<Event>),
}

/// Which of a block's entries a connection asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Picks {
    #[default]
    Nothing,
    Everything,
    /// In the block's order. A leaf whose signer spoke for another device has two topics, so it may occur twice.
    Some(Vec<Pick>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pick {
    pub index: u32,
    pub of_signer: bool,
}

impl Picks {
    pub(crate) fn add(&mut self, pick: Pick) {
        match self {
            Self::Everything => {}
            Self::Nothing => *self = Self::Some(vec![pick]),
            // A connection with several matching filters gets the event once.
            Self::Some(picks) if picks.last() == Some(&pick) => {}
            Self::Some(picks) => picks.push(pick),
        }
    }

    /// The pick at `position`, for walking through without expanding `Everything`.
    fn at(&self, position: usize) -> Option<Pick> {
        match self {
            Self::Nothing => None,
            Self::Everything => {
                Some(Pick { index: u32::try_from(position / 2).ok()?, of_signer: position % 2 == 1 })
            }
            Self::Some(picks) => picks.get(position).copied(),
        }
    }
}

/// A walk through one delivery, event by event, so that output stays bounded whatever a block holds.
#[derive(Debug)]
pub(crate) struct Walk {
    delivery: Delivery,
    position: usize,
    in_verdicts: bool,
    done: bool,
}

impl Walk {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self { delivery, position: 0, in_verdicts: false, done: false }
    }

    pub(crate) fn next(&mut self) -> Option<Arc<Event>> {
        if self.done {
            return None;
        }
        match &self.delivery {
            Delivery::Error(event) => {
                self.done = true;
                Some(event.clone())
            }
            Delivery::Block { block, receipts, verdicts } => loop {
                let picks = if self.in_verdicts { verdicts } else { receipts };
                let pick = picks.at(self.position);
                self.position += 1;
                let event = match pick {
                    None => None,
                    Some(pick) if self.in_verdicts => match block.verdicts.get(pick.index as usize) {
                        // A verdict has one topic.
                        Some(_) if pick.of_signer => continue,
                        Some(verdict) => Some(Event {
                            topic: event_topic(Who::Device(verdict.origin), Kinds::VERDICTS),
                            payload: verdict.json.clone().into_bytes(),
                            kind: Kinds::VERDICTS,
                        }),
                        None => None,
                    },
                    Some(pick) => match block.leaves.get(pick.index as usize) {
                        Some(leaf) if pick.of_signer && leaf.signer == leaf.origin => continue,
                        Some(leaf) => Some(receipt(block, leaf, pick.of_signer)),
                        None => None,
                    },
                };
                match event {
                    Some(event) => return Some(Arc::new(event)),
                    None if self.in_verdicts => {
                        self.done = true;
                        return None;
                    }
                    None => (self.in_verdicts, self.position) = (true, 0),
                }
            },
        }
    }
}

fn receipt(block: &Committed, leaf: &CommittedLeaf, of_signer: bool) -> Event {
    let mut json = format!(
        "{{\"leaf\":{},\"height\":{},\"time_ms\":{},\"statement_id\":\"",
        leaf.leaf, block.height, block.time_ms
    );
    push_hex(&mut json, &leaf.statement_id);
    json.push_str("\",\"origin\":\"");
    push_hex(&mut json, &leaf.origin);
    json.push_str("\",\"signer\":\"");
    push_hex(&mut json, &leaf.signer);
    json.push_str("\"}");
    let device = if of_signer { leaf.signer } else { leaf.origin };
    Event {
        topic: event_topic(Who::Device(device), Kinds::RECEIPTS),
        payload: json.into_bytes(),
        kind: Kinds::RECEIPTS,
    }
}

/// The `errors` event of a refused statement. Signer and sequence are what the bytes claim, unverified.
pub(crate) fn error(claim: Claim, refusal: &Refusal) -> (Who, Event) {
    let who = claim.signer.map_or(Who::Unknown, Who::Device);
    let json = serde_json::json!({
        "code": refusal.code,
        "message": refusal.message,
        "class": refusal.class.as_str(),
        "retry": refusal.class.is_temporary(),
        "sequence": claim.sequence,
    });
    let event = Event {
        topic: event_topic(who, Kinds::ERRORS),
        payload: json.to_string().into_bytes(),
        kind: Kinds::ERRORS,
    };
    (who, event)
}
