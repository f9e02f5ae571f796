//! The network in words, as JSON, and as metrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use serde_json::{Value, json};
use triad_consensus::{Snapshot, Voting};

use super::peers::{Heard, MAX_CLOCK_OFFSET_MS, SILENT_AFTER, Standing};
use super::{Cluster, Member};

pub(super) fn no_quorum(now: &Standing) -> String {
    format!(
        "only {} validators are in reach (this node included) and {} must agree: nothing can become final. Send it again \
         later or to another node; the node goes on by itself once it reaches the others",
        now.connected, now.quorum
    )
}

pub(super) fn behind(now: &Standing, height: u64) -> String {
    format!(
        "the node is {} blocks behind the others, at block {height}, and is catching up: send it again later or to another \
         node",
        now.lag
    )
}

pub(super) fn wrong_clock(now: &Standing) -> String {
    format!(
        "this machine's clock differs from the other nodes' by {:+.1} s (theirs minus ours; {} ms are allowed for): set it. A \
         wrong clock delays this node's votes and its blocks, nobody else's",
        now.clock_offset_ms as f64 / 1000.0,
        MAX_CLOCK_OFFSET_MS
    )
}

fn role(member: &Member) -> &'static str {
    match member.index {
        Some(_) => "validator",
        None if member.joining => "joining",
        None => "observer",
    }
}

impl Cluster {
    /// What `GET /v1/network` says.
    pub fn json(&self) -> Value {
        let (stats, standing, height) = (self.stats.snapshot(), self.standing(), self.ledger.height());
        let members = self.peers.members();
        let own = members.iter().find(|m| m.key == *self.peers.own());
        let name_of = |index: u32| members.iter().find(|m| m.index == Some(index)).map(|m| m.name.clone());
        let reigns = self.ledger.reigns();
        let last = reigns.last().and_then(|reign| reign.last);
        let proven = self.evidence.counts();
        json!({
            "name": own.map(|m| m.name.clone()),
            "role": own.map_or("observer", role),
            "index": own.and_then(|m| m.index),
            "voting": match stats.voting {
                Voting::Waiting => "waiting",
                Voting::Denied { .. } => "denied",
                Voting::Allowed if own.is_some_and(|m| m.index.is_some()) => "allowed",
                Voting::Allowed => "observer",
            },
            "denied_view": match stats.voting {
                Voting::Denied { view } => Some(view),
                _ => None,
            },
            "epoch": stats.epoch,
            "epoch_last_block": last,
            "validators": stats.validators.len(),
            "quorum": standing.quorum,
            "connected": standing.connected,
            "has_quorum": standing.has_quorum(),
            "height": height,
            "tip": stats.tip,
            "lag": standing.lag,
            "view": stats.view,
            "leader": name_of(stats.leader),
            "finality_ms": stats.finality_recent.as_secs_f64() * 1000.0,
            "views_finalized": stats.finalized,
            "views_given_up": stats.nullified,
            "clock_offset_ms": standing.clock_offset_ms,
            "gossip": {
                "sent": self.counts.sent.load(Relaxed),
                "received": self.counts.received.load(Relaxed),
                "dropped": self.counts.dropped.load(Relaxed) + self.ledger.work_kept(),
                "malformed": self.counts.malformed.load(Relaxed),
            },
            "blocks": {
                "outlines": stats.outlines,
                "items_asked": stats.items_asked,
                "whole": stats.whole_blocks,
                "bytes": stats.block_bytes,
            },
            "evidence": proven.values().sum::<u64>(),
            "nodes": members.iter().map(|m| self.member(m, &stats, &proven)).collect::<Vec<_>>(),
        })
    }

    fn present(&self, member: &Member) -> (Option<Heard>, bool) {
        let heard = self.peers.heard(&member.key);
        let now = Instant::now();
        let present = member.key == *self.peers.own()
            || heard.as_ref().is_some_and(|h| now.saturating_duration_since(h.at) < SILENT_AFTER);
        (heard, present)
    }

    fn member(&self, member: &Member, stats: &Snapshot, proven: &BTreeMap<[u8; 32], u64>) -> Value {
        let own = member.key == *self.peers.own();
        let (heard, connected) = self.present(member);
        let votes = member.index.and_then(|i| stats.validators.get(i as usize));
        json!({
            "name": member.name,
            "role": role(member),
            "index": member.index,
            "key": hex::encode(member.key),
            "address": member.address.map(|a| a.to_string()),
            "self": own,
            "connected": connected,
            "heard_ms": heard.as_ref().map(|h| h.at.elapsed().as_millis() as u64),
            "height": if own { Some(self.ledger.height()) } else { heard.as_ref().map(|h| h.hello.height) },
            "clock_offset_ms": heard.as_ref().map(|h| h.clock_offset_ms),
            "program": heard.as_ref().map(|h| h.hello.program.clone()),
            "http": heard.as_ref().map(|h| h.hello.http.clone()),
            "votes": votes.map(|v| json!({
                "notarize": v.notarize, "nullify": v.nullify, "finalize": v.finalize,
            })),
            "faults": votes.map(|v| v.faults),
            "bytes_sent": stats.peers.get(&member.key).map(|b| b.sent),
            "bytes_received": stats.peers.get(&member.key).map(|b| b.received),
            "evidence": proven.get(&member.key).copied().unwrap_or(0),
        })
    }

    /// Lines for `GET /metrics`.
    pub fn metrics(&self) -> String {
        let (stats, standing) = (self.stats.snapshot(), self.standing());
        let mut out = String::new();
        let mut one = |name: &str, kind: &str, help: &str, value: f64| {
            let total = if kind == "counter" { "_total" } else { "" };
            // Writing into a string cannot fail.
            let _ = writeln!(
                out,
                "# HELP triad_network_{name} {help}.\n# TYPE triad_network_{name} {kind}\ntriad_network_{name}{total} {value}"
            );
        };
        one("epoch", "gauge", "Which set of validators agrees", stats.epoch as f64);
        one("view", "gauge", "View of consensus, counted in its epoch", stats.view as f64);
        one("final_height", "gauge", "Highest block known to be final", stats.tip as f64);
        one("lag_blocks", "gauge", "Final blocks that this node lacks", standing.lag as f64);
        one("connected", "gauge", "Validators in reach, this one included", standing.connected as f64);
        one("quorum", "gauge", "Validators that must agree", standing.quorum as f64);
        let denied = matches!(stats.voting, Voting::Denied { .. });
        one(
            "voting_denied",
            "gauge",
            "1 where this key voted what the journal here does not know",
            f64::from(u8::from(denied)),
        );
        one("clock_offset_ms", "gauge", "Others' clocks minus ours, median", standing.clock_offset_ms as f64);
        one("views_finalized", "counter", "Views that finalised a block", stats.finalized as f64);
        one("views_given_up", "counter", "Views that were given up", stats.nullified as f64);
        one("finality_blocks", "counter", "Blocks whose finality was timed", stats.timed as f64);
        one(
            "finality_seconds",
            "counter",
            "Seconds from a block's first sight here to its finality",
            stats.finality_total.as_secs_f64(),
        );
        let counts = &self.counts;
        one("work_sent", "counter", "Statements and transactions relayed", counts.sent.load(Relaxed) as f64);
        one("work_received", "counter", "Relayed by others", counts.received.load(Relaxed) as f64);
        one(
            "work_dropped",
            "counter",
            "Not relayed or not taken, for lack of room",
            (counts.dropped.load(Relaxed) + self.ledger.work_kept()) as f64,
        );
        one("messages_malformed", "counter", "Not understood", counts.malformed.load(Relaxed) as f64);
        one("block_outlines", "counter", "Blocks that came as an outline", stats.outlines as f64);
        one("block_items_asked", "counter", "Items of outlines that were not here", stats.items_asked as f64);
        one("blocks_whole", "counter", "Blocks that came whole", stats.whole_blocks as f64);
        one(
            "block_bytes",
            "counter",
            "Bytes that came as blocks, outlines or items",
            stats.block_bytes as f64,
        );
        let heads = [
            ("votes", "counter", "Votes seen"),
            ("faults", "counter", "Double votes seen, whether or not they can be proven"),
            ("peer_connected", "gauge", "Heard lately"),
            ("peer_height", "gauge", "Last stored block"),
            ("peer_sent_bytes", "counter", "Bytes to it, all channels, before encryption"),
            ("peer_received_bytes", "counter", "Bytes from it"),
        ];
        for (name, kind, help) in heads {
            let _ = writeln!(out, "# HELP triad_network_{name} {help}.\n# TYPE triad_network_{name} {kind}");
            for member in self.peers.members().iter() {
                let who = member.name.replace(['\\', '"', '\n'], "_");
                let votes = member.index.and_then(|i| stats.validators.get(i as usize)).copied();
                let (heard, connected) = self.present(member);
                let bytes = stats.peers.get(&member.key).copied().unwrap_or_default();
                let _ = match name {
                    "peer_sent_bytes" => {
                        writeln!(out, "triad_network_{name}_total{{node=\"{who}\"}} {}", bytes.sent)
                    }
                    "peer_received_bytes" => {
                        writeln!(out, "triad_network_{name}_total{{node=\"{who}\"}} {}", bytes.received)
                    }
                    "votes" => votes.map_or(Ok(()), |v| {
                        let kinds =
                            [("notarize", v.notarize), ("nullify", v.nullify), ("finalize", v.finalize)];
                        kinds.iter().try_for_each(|(kind, n)| {
                            writeln!(out, "triad_network_votes_total{{node=\"{who}\",kind=\"{kind}\"}} {n}")
                        })
                    }),
                    "faults" => votes.map_or(Ok(()), |v| {
                        writeln!(out, "triad_network_faults_total{{node=\"{who}\"}} {}", v.faults)
                    }),
                    "peer_connected" => {
                        writeln!(
                            out,
                            "triad_network_peer_connected{{node=\"{who}\"}} {}",
                            u8::from(connected)
                        )
                    }
                    _ => heard.map_or(Ok(()), |h| {
                        writeln!(out, "triad_network_peer_height{{node=\"{who}\"}} {}", h.hello.height)
                    }),
                };
            }
        }
        self.evidence_metrics(&mut out);
        out
    }
}
