//! `LabelEncoder` of ai.onnx.ml 2 from whole numbers to numbers: a table, with a default for what is not in it. scikit-learn's isolation
//! forests look up with it how deep a leaf lies.

use std::collections::BTreeMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::{args_1, as_op, op_as_typed_op, op_out_of_plan};
use tract_onnx::tract_hir::internal::*;

use crate::rewrite::attribute;

/// Keys with the bits of their values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LookupOp {
    table: Arc<BTreeMap<i64, u32>>,
    default: u32,
}

/// Builds the operator.
pub(crate) fn build(
    _: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let list = |name| attribute(node, name);
    let (keys, values) = (list("keys_int64s"), list("values_floats"));
    let (keys, values) = keys.zip(values).context("only tables from int64 to float are run")?;
    let (keys, values) = (&keys.ints, &values.floats);
    ensure!(
        !keys.is_empty() && keys.len() == values.len(),
        "{} keys and {} values",
        keys.len(),
        values.len()
    );
    let default = list("default_float").map_or(0.0, |found| found.f).to_bits();
    let mut table = BTreeMap::new();
    for (key, value) in keys.iter().zip(values) {
        ensure!(table.insert(*key, value.to_bits()).is_none(), "the key {key} is there twice");
    }
    let op = LookupOp { table: Arc::new(table), default };
    Ok((tract_onnx::tract_hir::ops::expandable::expand(op), vec![]))
}

impl Op for LookupOp {
    fn name(&self) -> StaticName {
        "TriadLookup".into()
    }

    op_as_typed_op!();
}

impl EvalOp for LookupOp {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let keys = input.cast_to::<i64>()?;
        let keys = keys.to_plain_array_view::<i64>()?;
        let value = |key: &i64| f32::from_bits(self.table.get(key).copied().unwrap_or(self.default));
        Ok(tvec!(keys.map(value).into_tensor().into_tvalue()))
    }
}

impl TypedOp for LookupOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(inputs[0].shape.iter())))
    }

    as_op!();
}

impl Expansion for LookupOp {
    fn name(&self) -> StaticName {
        "TriadLookup".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        s.equals(&outputs[0].shape, &inputs[0].shape)?;
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}
