//! The tracers that Ethereum tools ask for, within bounds of memory and time.

use super::TraceError;
use crate::call::CallError;
use crate::db::{BlockDb, Stop};
use crate::env::BlockEvm;
use crate::state::StateError;
use alloy_consensus::constants::KECCAK_EMPTY;
use alloy_primitives::{Address, B256, Log, U256};
use alloy_rpc_types_trace::geth::{
    GethDebugBuiltInTracerType as BuiltIn, GethDebugTracerType, GethDebugTracingOptions, GethTrace,
};
use revm::context_interface::result::ResultAndState;
use revm::context_interface::{ContextError, ContextTr};
use revm::handler::FrameResult;
use revm::inspector::{Inspector, JournalExt};
use revm::interpreter::interpreter_types::{MemoryTr, ReturnData};
use revm::interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome, FrameInput, Interpreter};
use revm::state::{AccountInfo, Bytecode};
use revm::{Database, DatabaseRef};
use revm_inspectors::tracing::{DebugInspector, TransactionContext};
use std::cell::RefCell;

/// What one trace may take while it is recorded; its JSON is a few times larger.
pub const MAX_TRACE_BYTES: usize = 64 << 20;
/// What a recorded step takes besides its stack and memory, and what a recorded frame takes besides its input.
const STEP_BYTES: usize = 160;
const FRAME_BYTES: usize = 1_024;
/// Steps between two looks at the clock.
const STEPS: u64 = 1_024;

/// Why a tracer ended the execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    TooLarge,
    Stopped,
}

pub(super) struct Tracer<'a> {
    inner: DebugInspector,
    stop: Option<&'a Stop<'a>>,
    /// What a step records.
    steps: Steps,
    count: u64,
    /// Of `count`, those of the transactions before this one.
    before: u64,
    bytes: usize,
    pub(super) end: Option<End>,
}

#[derive(Clone, Copy, Default)]
struct Steps {
    any: bool,
    stack: bool,
    memory: bool,
    limit: Option<u64>,
}

impl<'a> Tracer<'a> {
    pub(super) fn new(
        options: GethDebugTracingOptions,
        stop: Option<&'a Stop<'a>>,
    ) -> Result<Self, TraceError> {
        let named = options.tracer.as_ref().filter(|tracer| !tracer.as_str().is_empty());
        let steps = match named {
            None => Steps {
                any: true,
                stack: options.config.is_stack_enabled(),
                memory: options.config.is_memory_enabled() || options.config.is_return_data_enabled(),
                limit: options.config.limit.filter(|limit| *limit > 0),
            },
            Some(GethDebugTracerType::BuiltInTracer(
                BuiltIn::CallTracer | BuiltIn::PreStateTracer | BuiltIn::FourByteTracer | BuiltIn::NoopTracer,
            )) => Steps::default(),
            Some(other) => {
                return Err(TraceError::Unsupported(format!(
                    "the tracer `{}` is not here; there are callTracer, prestateTracer, 4byteTracer, noopTracer, and \
                     single steps without a name",
                    other.as_str()
                )));
            }
        };
        let inner = DebugInspector::new(options)
            .map_err(|error| TraceError::Unsupported(format!("the tracer's settings: {error}")))?;
        Ok(Tracer { inner, stop, steps, count: 0, before: 0, bytes: 0, end: None })
    }

    /// Goes on to the next transaction. The bounds are those of all together.
    pub(super) fn next(&mut self) {
        // Only tracers that are refused here can fail to begin again.
        let _ = self.inner.fuse();
        self.before = self.count;
    }

    /// What was seen of the transaction that `evm` has just run.
    pub(super) fn result(
        evm: &mut BlockEvm<'a, Tracer<'a>>,
        done: &ResultAndState,
        place: Option<TransactionContext>,
    ) -> Result<GethTrace, TraceError> {
        let ctx = &mut evm.ctx;
        let (tx, block) = (ctx.tx.clone(), ctx.block.clone());
        let mut before = Before(RefCell::new(&mut ctx.journaled_state.database));
        evm.inspector
            .inner
            .get_result(place, &tx, &block, done, &mut before)
            .map_err(|error| CallError::Invalid(format!("the trace cannot be shown: {error}")).into())
    }

    fn take(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_TRACE_BYTES {
            self.end = Some(End::TooLarge);
        }
    }
}

/// The state before the transaction: what the block's database holds until it is committed.
struct Before<'b, 'a>(RefCell<&'b mut BlockDb<'a>>);

impl DatabaseRef for Before<'_, '_> {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        let db = &mut self.0.borrow_mut();
        let Some(mut info) = db.basic(address)? else { return Ok(None) };
        if info.code.is_none() && info.code_hash != KECCAK_EMPTY {
            info.code = Some(db.code_by_hash(info.code_hash)?);
        }
        Ok(Some(info))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, StateError> {
        self.0.borrow_mut().code_by_hash(hash)
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.0.borrow_mut().storage(address, slot)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
        self.0.borrow_mut().block_hash(number)
    }
}

impl<CTX> Inspector<CTX> for Tracer<'_>
where
    CTX: ContextTr<Journal: JournalExt>,
{
    fn initialize_interp(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.inner.initialize_interp(interp, context);
    }

    fn step(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.count += 1;
        if self.count.is_multiple_of(STEPS) && self.stop.is_some_and(|stop| stop()) {
            self.end = Some(End::Stopped);
        }
        if self.steps.any && self.steps.limit.is_none_or(|limit| self.count - self.before <= limit) {
            let stack = if self.steps.stack { 32 * interp.stack.len() } else { 0 };
            let memory =
                if self.steps.memory { interp.memory.size() + interp.return_data.buffer().len() } else { 0 };
            self.take(STEP_BYTES + stack + memory);
        }
        if self.end.is_some() {
            *context.error() = Err(ContextError::Custom("the trace was ended".to_owned()));
            interp.halt_fatal();
            return;
        }
        self.inner.step(interp, context);
    }

    fn step_end(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.inner.step_end(interp, context);
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        self.take(FRAME_BYTES + log.data.data.len());
        self.inner.log(context, log);
    }

    fn log_full(&mut self, interp: &mut Interpreter, context: &mut CTX, log: Log) {
        self.take(FRAME_BYTES + log.data.data.len());
        self.inner.log_full(interp, context, log);
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.take(FRAME_BYTES + inputs.input.len());
        self.inner.call(context, inputs)
    }

    fn call_end(&mut self, context: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.take(outcome.output().len());
        self.inner.call_end(context, inputs, outcome);
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.take(FRAME_BYTES + inputs.init_code().len());
        self.inner.create(context, inputs)
    }

    fn create_end(&mut self, context: &mut CTX, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        self.take(outcome.output().len());
        self.inner.create_end(context, inputs, outcome);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        Inspector::<CTX>::selfdestruct(&mut self.inner, contract, target, value);
    }

    fn frame_start(&mut self, context: &mut CTX, frame: &mut FrameInput) -> Option<FrameResult> {
        self.inner.frame_start(context, frame)
    }

    fn frame_end(&mut self, context: &mut CTX, frame: &FrameInput, result: &mut FrameResult) {
        self.inner.frame_end(context, frame, result);
    }
}
