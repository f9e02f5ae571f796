//! A model that is ready to run, one row at a time.

use sha2::{Digest, Sha256};
use tract_onnx::pb::{TypeProto, ValueInfoProto, tensor_proto::DataType, tensor_shape_proto, type_proto};
use tract_onnx::tract_hir::internal::*;

use crate::error::{OnnxError, malformed, shown, unsupported};
use crate::operators::{LOOKUP, TREES};
use crate::{file, lookup, rewrite, trees};

/// Most numbers that a row has.
pub const MAX_INPUT_NUMBERS: usize = 1 << 20;
/// Most numbers of all outputs of a row.
const MAX_OUTPUT_NUMBERS: usize = 1 << 20;

/// An input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// As the file names it.
    pub name: String,
    /// `FP32`, `FP64`, `INT64` or `BOOL`, as the Open Inference Protocol has them.
    pub datatype: &'static str,
    /// Of one row; the first is the number of rows, 1.
    pub shape: Vec<usize>,
}

/// What a file takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// SHA-256 of the file.
    pub file: [u8; 32],
    /// Bytes of the file.
    pub bytes: usize,
    /// Who exported it, as the file says.
    pub producer: String,
    /// The one input.
    pub input: Slot,
    /// What is told of a row.
    pub outputs: Vec<Slot>,
    /// Outputs that are not told, and why.
    pub left_out: Vec<(String, String)>,
}

/// Numbers of an output.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `FP32`
    F32(Vec<f32>),
    /// `FP64`
    F64(Vec<f64>),
    /// `INT64`
    I64(Vec<i64>),
    /// `BOOL`
    Bool(Vec<bool>),
}

impl Data {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(list) => list.len(),
            Data::F64(list) => list.len(),
            Data::I64(list) => list.len(),
            Data::Bool(list) => list.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number of a floating output; `None` for others and beyond the end.
    pub fn number(&self, at: usize) -> Option<f64> {
        match self {
            Data::F32(list) => list.get(at).map(|number| f64::from(*number)),
            Data::F64(list) => list.get(at).copied(),
            Data::I64(_) | Data::Bool(_) => None,
        }
    }
}

/// What was told of a row, in the order of [`Description::outputs`].
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// As the file names it.
    pub name: String,
    /// The first is 1.
    pub shape: Vec<usize>,
    /// In row-major order.
    pub data: Data,
}

/// An opened file.
#[derive(Debug, Clone)]
pub struct Model {
    plan: Arc<TypedRunnableModel>,
    description: Description,
    doubles: bool,
}

impl Model {
    /// Opens a file that may be hostile. `width`: how many numbers a row has, for files that leave it open.
    pub fn open(bytes: &[u8], width: Option<usize>) -> Result<Model, OnnxError> {
        let mut proto = file::decode(bytes)?;
        let producer = shown(&proto.producer_name);
        let graph = proto.graph.as_mut().ok_or_else(|| malformed("it holds no graph"))?;
        rewrite::rewrite(graph)?;
        rewrite::check_own_names(graph)?;
        let left_out = file::prune(graph)?;
        let constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
        graph.input.retain(|input| !graph.initializer.iter().any(|tensor| tensor.name == input.name));
        let [input] = graph.input.as_slice() else {
            let names: Vec<String> = graph.input.iter().map(|input| shown(&input.name)).collect();
            let why = format!(
                "it has {} inputs ({}); one with all features is expected",
                names.len(),
                names.join(", ")
            );
            return Err(unsupported(why));
        };
        if let Some(output) = graph.output.iter().find(|output| constant(&output.name)) {
            return Err(unsupported(format!("output `{}` is a constant", shown(&output.name))));
        }
        let (doubles, shape) = shape(input, width)?;
        let name = input.name.clone();
        let names: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();

        let mut framework = tract_onnx::onnx();
        framework.op_register.insert(TREES, trees::build);
        framework.op_register.insert(LOOKUP, lookup::build);
        framework.ignore_value_info = true;
        let failed = |error: TractError| unsupported(causes(&error));
        let mut model = framework.model_for_proto_model(&proto).map_err(failed)?;
        let dt = if doubles { f64::datum_type() } else { f32::datum_type() };
        model.set_input_fact(0, InferenceFact::dt_shape(dt, shape.clone())).map_err(failed)?;
        // What the file says of its outputs' shapes need not hold.
        for output in 0..names.len() {
            model.set_output_fact(output, InferenceFact::default()).map_err(failed)?;
        }
        let typed = model.into_typed().map_err(failed)?.into_optimized().map_err(failed)?;
        let mut outputs = Vec::with_capacity(names.len());
        for (at, name) in names.into_iter().enumerate() {
            let fact = typed.output_fact(at).map_err(failed)?;
            outputs.push(slot(&name, fact)?);
        }
        let numbers: usize = outputs.iter().map(|output| output.shape.iter().product::<usize>()).sum();
        if numbers > MAX_OUTPUT_NUMBERS {
            return Err(unsupported(format!(
                "it tells {numbers} numbers of a row; at most {MAX_OUTPUT_NUMBERS}"
            )));
        }
        let plan = typed.into_runnable().map_err(failed)?;
        let input = Slot { name, datatype: if doubles { "FP64" } else { "FP32" }, shape };
        let (file, bytes) = (Sha256::digest(bytes).into(), bytes.len());
        let description = Description { file, bytes, producer, input, outputs, left_out };
        Ok(Model { plan, description, doubles })
    }

    /// What it takes and gives.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.description.input.shape.iter().product()
    }

    /// What the model tells of a row, whose numbers are in row-major order and finite.
    pub fn run(&self, row: &[f64]) -> Result<Vec<Output>, OnnxError> {
        let shape = &self.description.input.shape;
        if row.len() != self.width() {
            let why = format!("{} numbers; a row has {} (shape {shape:?})", row.len(), self.width());
            return Err(OnnxError::Input(why));
        }
        let finite =
            |number: f64| if self.doubles { number.is_finite() } else { (number as f32).is_finite() };
        if let Some(at) = row.iter().position(|number| !finite(*number)) {
            let why = format!("number {at} is {}; finite numbers of the input's type are expected", row[at]);
            return Err(OnnxError::Input(why));
        }
        let failed = |error: TractError| OnnxError::Failed(causes(&error));
        let tensor = if self.doubles {
            Tensor::from_shape(shape, row)
        } else {
            let row: Vec<f32> = row.iter().map(|number| *number as f32).collect();
            Tensor::from_shape(shape, &row)
        };
        let told = self.plan.run(tvec!(tensor.map_err(failed)?.into_tvalue())).map_err(failed)?;
        let slots = self.description.outputs.iter();
        slots.zip(told).map(|(slot, value)| output(slot, &value).map_err(failed)).collect()
    }
}

/// The causes of an error in one line, without what a debugger would want.
fn causes(error: &TractError) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let first = cause.to_string().lines().next().unwrap_or_default().chars().take(200).collect();
        if !parts.contains(&first) {
            parts.push(first);
        }
    }
    parts.join(": ")
}

/// Whether the input is of doubles, and its shape for one row.
fn shape(input: &ValueInfoProto, width: Option<usize>) -> Result<(bool, Vec<usize>), OnnxError> {
    let name = shown(&input.name);
    let Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) = &input.r#type else {
        return Err(unsupported(format!("the input `{name}` is no tensor")));
    };
    let doubles = match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Float) => false,
        Ok(DataType::Double) => true,
        other => {
            return Err(unsupported(format!(
                "the input `{name}` is of {other:?}; FLOAT or DOUBLE is expected"
            )));
        }
    };
    let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    let dims: Vec<Option<usize>> = dims
        .iter()
        .map(|dim| match &dim.value {
            Some(tensor_shape_proto::dimension::Value::DimValue(value)) => {
                usize::try_from(*value).ok().filter(|value| *value > 0)
            }
            _ => None,
        })
        .collect();
    let Some((rows, rest)) = dims.split_first().filter(|(_, rest)| (1..=5).contains(&rest.len())) else {
        return Err(unsupported(format!(
            "the input `{name}` has {} dimensions; 2 to 6 are expected",
            dims.len()
        )));
    };
    if rows.is_some_and(|rows| rows != 1) {
        return Err(unsupported(format!(
            "the input `{name}` is for {rows:?} rows at once; one, or any number, is expected"
        )));
    }
    let known: Option<usize> =
        rest.iter().flatten().try_fold(1usize, |product, dim| product.checked_mul(*dim));
    let known = known.filter(|known| *known <= MAX_INPUT_NUMBERS);
    let known = known
        .ok_or_else(|| unsupported(format!("a row of `{name}` has more than {MAX_INPUT_NUMBERS} numbers")))?;
    let open = rest.iter().filter(|dim| dim.is_none()).count();
    let missing = match (open, width) {
        (0, _) => 1,
        (1, Some(width)) if width.is_multiple_of(known) && (1..=MAX_INPUT_NUMBERS).contains(&width) => {
            width / known
        }
        (1, Some(width)) => {
            return Err(OnnxError::Input(format!(
                "a row of `{name}` has a multiple of {known} numbers, not {width}"
            )));
        }
        _ => return Err(unsupported(format!("the input `{name}` leaves {open} dimensions of a row open"))),
    };
    let shape = std::iter::once(1).chain(rest.iter().map(|dim| dim.unwrap_or(missing))).collect();
    Ok((doubles, shape))
}

fn slot(name: &str, fact: &TypedFact) -> Result<Slot, OnnxError> {
    let shape = fact.shape.as_concrete().map(<[usize]>::to_vec);
    let shape = shape
        .ok_or_else(|| unsupported(format!("the size of output `{}` depends on values", shown(name))))?;
    let datatype = match fact.datum_type {
        DatumType::F32 => "FP32",
        DatumType::F64 => "FP64",
        DatumType::I64 | DatumType::I32 | DatumType::TDim => "INT64",
        DatumType::Bool => "BOOL",
        other => return Err(unsupported(format!("output `{}` is of {other:?}", shown(name)))),
    };
    Ok(Slot { name: name.into(), datatype, shape })
}

fn output(slot: &Slot, value: &TValue) -> TractResult<Output> {
    let data = match slot.datatype {
        "FP32" => Data::F32(value.to_plain_array_view::<f32>()?.iter().copied().collect()),
        "FP64" => Data::F64(value.to_plain_array_view::<f64>()?.iter().copied().collect()),
        "BOOL" => Data::Bool(value.to_plain_array_view::<bool>()?.iter().copied().collect()),
        _ => Data::I64(value.cast_to::<i64>()?.to_plain_array_view::<i64>()?.iter().copied().collect()),
    };
    Ok(Output { name: slot.name.clone(), shape: value.shape().to_vec(), data })
}
