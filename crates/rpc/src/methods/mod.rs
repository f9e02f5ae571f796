//! The methods, a file a group.

mod blocks;
mod call;
mod debug;
mod filters;
mod node;
mod pool;
mod raw;
mod simulate;
mod state;
mod subscriptions;
mod transactions;
mod triad;

use std::sync::Arc;

use alloy_primitives::{Address, B256, U64};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde_json::{Value, json};
use triad_chain::{EthBlock, Reader, Submitter};

use crate::bounds::Gate;
use crate::errors::{Answer, chain, invalid};

use crate::feed::Feed;
use crate::filters::Filters;
use crate::places::Places;
use crate::{RpcConfig, params, shapes};

#[derive(Debug)]
pub struct Context {
    pub config: RpcConfig,
    pub reader: Reader,
    pub submitter: Submitter,
    pub accounts: Vec<Address>,
    pub feed: Arc<Feed>,
    pub filters: Filters,
    /// For subscriptions.
    pub places: Places,
}

impl Context {
    fn block(&self, block: &Value) -> Answer<Option<Arc<EthBlock>>> {
        match params::height(&self.reader, block)? {
            None => Ok(None),
            Some(height) => self.reader.eth_block(height).map_err(chain),
        }
    }

    fn block_by_hash(&self, hash: &B256) -> Answer<Option<Arc<EthBlock>>> {
        match self.reader.eth_height(hash).map_err(chain)? {
            None => Ok(None),
            Some(height) => self.reader.eth_block(height).map_err(chain),
        }
    }

    pub fn placed(&self, hash: &B256) -> Answer<Option<(Arc<EthBlock>, usize)>> {
        let Some((height, index)) = self.reader.eth_transaction(hash).map_err(chain)? else {
            return Ok(None);
        };
        Ok(self.reader.eth_block(height).map_err(chain)?.map(|block| (block, index as usize)))
    }

    fn receipt(&self, hash: &B256) -> Answer<Value> {
        let found = self.placed(hash)?;
        Ok(found.and_then(|(block, index)| shapes::receipt(&block, index)).unwrap_or(Value::Null))
    }
}

/// One positional parameter; a missing one is null.
pub(crate) fn at<T: serde::de::DeserializeOwned>(list: &[Value], index: usize, what: &str) -> Answer<T> {
    let value = list.get(index).cloned().unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|e| invalid(format!("parameter {}, {what}: {e}", index + 1)))
}

fn positional(params: &Params<'_>) -> Answer<Vec<Value>> {
    if params.as_str().is_none() {
        return Ok(Vec::new());
    }
    params.parse().map_err(|_| invalid("positional parameters (an array) are expected"))
}

pub(crate) fn quantity(n: u64) -> Value {
    json!(U64::from(n))
}

/// Registers a method that may read the store: on a blocking thread, so that slow ones delay no others.
fn method(
    module: &mut RpcModule<Context>,
    name: &'static str,
    answer: impl Fn(&Context, &[Value]) -> Answer<Value> + Send + Sync + Clone + 'static,
) -> Result<(), RegisterMethodError> {
    module.register_blocking_method::<Result<Value, ErrorObjectOwned>, _>(
        name,
        move |params, context, _| {
            let list = positional(&params)?;
            answer(&context, &list)
        },
    )?;
    Ok(())
}

pub fn module(context: Context, gate: &Gate) -> Result<RpcModule<Context>, RegisterMethodError> {
    let mut module = RpcModule::new(context);
    let m = &mut module;
    node::register(m)?;
    state::register(m, gate)?;
    blocks::register(m)?;
    transactions::register(m)?;
    pool::register(m)?;
    filters::register(m)?;
    subscriptions::register(m)?;
    triad::register(m)?;
    Ok(module)
}
