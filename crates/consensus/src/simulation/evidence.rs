//! Who is accused of having voted twice, and whether rightly.

use std::collections::BTreeSet;

use super::{Simulation, roles::Role};
use crate::public_key;

impl Simulation {
    /// Nobody holds evidence against one that did not vote twice, whoever it is; all of it verifies. How many equivocators
    /// honest validators hold evidence against, and how many records.
    pub(super) fn judge(&self) -> (u64, u64) {
        let (mut convicted, mut records) = (BTreeSet::new(), 0);
        for keeper in &self.validators {
            for evidence in keeper.evidence.held().records {
                let accused = &self.validators[self.index_of(&evidence.validator)];
                assert_eq!(evidence.verify(&self.namespace(), &public_key(&accused.secret)), Ok(()));
                // An amnesiac whose votes nobody in reach remembered votes again where it did before.
                let twice = accused.role == Role::Equivocator || accused.wiped > 0;
                assert!(twice, "a {:?} accuses a {:?}: {evidence:?}", keeper.role, accused.role);
                if keeper.role == Role::Honest && accused.role == Role::Equivocator {
                    convicted.insert(evidence.validator);
                    records += 1;
                }
            }
        }
        (convicted.len() as u64, records)
    }

    fn index_of(&self, key: &[u8; 32]) -> usize {
        let found = self.validators.iter().position(|v| public_key(&v.secret) == *key);
        found.expect("evidence names a validator")
    }
}
