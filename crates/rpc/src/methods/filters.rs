//! `eth_newFilter` and its like.

use alloy_rpc_types_eth::Filter;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::{Context, at, method};
use crate::errors::Answer;
use crate::params;

fn id(p: &[Value]) -> Answer<u64> {
    params::number(p.first(), "parameter 1, filter id")
}

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "eth_newFilter", |c, p| c.filters.logs(&c.reader, at::<Filter>(p, 0, "filter")?))?;
    method(m, "eth_newBlockFilter", |c, _| c.filters.blocks(&c.reader))?;
    method(m, "eth_newPendingTransactionFilter", |c, _| c.filters.pending(&c.reader))?;
    method(m, "eth_uninstallFilter", |c, p| Ok(json!(c.filters.uninstall(id(p)?))))?;
    method(m, "eth_getFilterChanges", |c, p| c.filters.changes(&c.reader, id(p)?))?;
    method(m, "eth_getFilterLogs", |c, p| c.filters.all_logs(&c.reader, id(p)?))
}
