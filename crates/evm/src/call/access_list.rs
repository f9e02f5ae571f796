//! `eth_createAccessList`.

use super::{CALL_GAS_CAP, CallError, CallRequest, CallStatus, Trial, outcome};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::Bytes;
use revm::inspector::InspectEvm;
use revm_inspectors::access_list::AccessListInspector;

/// A call's way may depend on its gas, and so on its access list: that often it is tried again with the list found.
const ROUNDS: usize = 8;

/// The accounts and slots that a call touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessListOutcome {
    pub access_list: AccessList,
    /// Gas used with that list.
    pub gas_used: u64,
    pub status: CallStatus,
    /// What it returned, or why it reverted.
    pub output: Bytes,
}

/// Tries a call until the list of what it touches is the list that it was given.
pub fn create_access_list(trial: &Trial<'_>, request: &CallRequest) -> Result<AccessListOutcome, CallError> {
    let gas = request.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP);
    let mut request = request.clone();
    let mut round = 0;
    loop {
        round += 1;
        let inspector = AccessListInspector::new(request.access_list.clone());
        let (mut evm, tx) = trial.prepare(&request, gas, inspector)?;
        let done = outcome(evm.inspect_tx(tx))?;
        let found = evm.inspector.into_access_list();
        if found == request.access_list || round == ROUNDS {
            return Ok(AccessListOutcome {
                access_list: request.access_list,
                gas_used: done.gas_used,
                status: done.status,
                output: done.output,
            });
        }
        request.access_list = found;
    }
}
