//! Proofs of double votes, with the names of those who voted.

use std::fmt::Write as _;

use triad_api::HeldEvidence;

use super::Cluster;

impl Cluster {
    /// A validator that left the set may have no name any more.
    pub(super) fn name_of(&self, key: &[u8; 32]) -> Option<String> {
        self.peers.members().iter().find(|m| m.key == *key).map(|m| m.name.clone())
    }

    /// What `GET /v1/network/evidence` says.
    pub fn evidence(&self) -> HeldEvidence {
        let held = self.evidence.held();
        HeldEvidence {
            records: held.records.into_iter().map(|e| (self.name_of(&e.validator), e)).collect(),
            dropped: held.dropped,
            unproven: held.unproven,
            damaged: held.damaged,
        }
    }

    /// Lines for `GET /metrics`.
    pub(super) fn evidence_metrics(&self, out: &mut String) {
        let held = self.evidence.held();
        let mut counts = self.evidence.counts();
        for member in self.peers.members().iter().filter(|m| m.index.is_some()) {
            counts.entry(member.key).or_insert(0);
        }
        // Writing into a string cannot fail.
        let _ = writeln!(
            out,
            "# HELP triad_network_evidence Proofs of double votes held.\n# TYPE triad_network_evidence gauge"
        );
        for (key, count) in counts {
            let who = self.name_of(&key).unwrap_or_else(|| hex::encode(key));
            let who = who.replace(['\\', '"', '\n'], "_");
            let _ = writeln!(out, "triad_network_evidence{{node=\"{who}\"}} {count}");
        }
        for (name, help, value) in [
            ("dropped", "Proofs of double votes not kept, because there were enough", held.dropped),
            ("unproven", "Double votes whose signatures did not hold", held.unproven),
        ] {
            let _ = writeln!(
                out,
                "# HELP triad_network_evidence_{name} {help}.\n# TYPE triad_network_evidence_{name} counter\n\
                 triad_network_evidence_{name}_total {value}"
            );
        }
    }
}
