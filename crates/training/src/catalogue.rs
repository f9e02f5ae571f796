//! The kinds of models there are: what they take, what they cost, and on whose word their verdicts rest.

use triad_models::Assurance;

/// One parameter of a kind.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its key.
    pub name: &'static str,
    /// What is accepted.
    pub accepts: &'static str,
    /// What holds where it is left out; `None` where it must be given.
    pub default: Option<&'static str>,
}

/// A kind of model.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What it tells.
    pub tells: &'static str,
    /// `Consensus` where validators run it again; `Attested` where it is run off the chain and somebody has to sign for
    /// it, although the evaluator gives the same bits on every machine.
    pub class: Assurance,
    /// How it comes to a stream or to a file.
    pub used_by: &'static str,
    /// Empty where a file holds everything.
    pub parameters: &'static [Parameter],
    /// Nanoseconds a reading (a row, a sample) with the state at hand, least and most; docs/models.md says how measured.
    pub ns_a_reading: Option<(u32, u32)>,
    /// The largest state of a stream.
    pub state_bytes: Option<usize>,
}

const fn must(name: &'static str, accepts: &'static str) -> Parameter {
    Parameter { name, accepts, default: None }
}

const fn may(name: &'static str, accepts: &'static str, default: &'static str) -> Parameter {
    Parameter { name, accepts, default: Some(default) }
}

/// Of kinds that judge rows by a file and may remember them; `triad model bind` reads all but the last two from the file.
const WINDOW_PARAMETERS: &[Parameter] = &[
    must("file", "SHA-256 of the file, 32 bytes"),
    must("at", "the contract that holds the file, 20 bytes"),
    must("bytes", "1 to 1048576: length of the file"),
    must("inputs", "1 to 64: streams of a row"),
    may("splits", "0 to 32000: splits of trees a row", "0"),
    may("products", "0 to 1000000: multiplications a row", "0"),
    may("memory", "0 to 1024: numbers that are remembered", "0"),
    may("max_age_ms", "0 to 31557600000: how far readings of a row lie apart", "60000"),
    may("names", "streams in the order of the inputs, joined by commas", "those that the file gives"),
];

/// Every kind.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "range",
        tells: "limits, time outside them, mean kinetic temperature",
        class: Assurance::Consensus,
        used_by: "triad model bind",
        parameters: &[
            may("low", "number", "none; low, high or mkt_limit is required"),
            may("high", "number", "none; low, high or mkt_limit is required"),
            may("allowed_low", "number at or below low", "none"),
            may("allowed_high", "number at or above high", "none"),
            may("max_outside_ms", "0 to 3155760000000", "none"),
            may("max_outside_total_ms", "0 to 3155760000000", "none"),
            may("unit", "Cel, Far or K", "none; required with mkt_limit"),
            may("mkt_limit", "temperature in unit", "none"),
            may("mkt_window_ms", "3600000 to 86400000000", "2592000000"),
        ],
        ns_a_reading: Some((25, 80)),
        state_bytes: Some(2_300),
    },
    Kind {
        name: "silence",
        tells: "no reading for longer than expected",
        class: Assurance::Consensus,
        used_by: "triad model bind",
        parameters: &[
            must("interval_ms", "1 to 3155760000000"),
            may("grace_ms", "0 to 3155760000000", "interval_ms / 2"),
        ],
        ns_a_reading: Some((20, 95)),
        state_bytes: Some(20),
    },
    Kind {
        name: "anomaly",
        tells: "a value or a course that the stream has not shown before",
        class: Assurance::Consensus,
        used_by: "triad model bind, triad models score",
        parameters: &[
            may("low", "number; with high the sensor's range", "none"),
            may("high", "number above low", "none"),
        ],
        ns_a_reading: Some((80, 220)),
        state_bytes: Some(611),
    },
    Kind {
        name: "group",
        tells: "anomalies and change points of 1 to 12 streams together",
        class: Assurance::Attested,
        used_by: "triad models eval --suite skab",
        parameters: &[must("columns", "1 to 12"), must("rows that teach", "100 to 480")],
        ns_a_reading: Some((100, 110)),
        state_bytes: Some(4_096),
    },
    Kind {
        name: "heart",
        tells: "heart beats in one lead, 360 samples a second; with a file of ventricular beats those",
        class: Assurance::Attested,
        used_by: "triad models eval|train --suite ecg_mitbih, triad models score --model",
        parameters: &[],
        ns_a_reading: Some((90, 90)),
        state_bytes: Some(18_432),
    },
    Kind {
        name: "forecast",
        tells: "what a regular stream shows some periods ahead, with an interval, and whether what came was as forecast",
        class: Assurance::Consensus,
        used_by: "triad model bind",
        parameters: &[
            must("interval_ms", "1 to 31557600000: from a reading to the next"),
            may("season", "1 to 168 readings", "1: none"),
            may("horizon", "1 to 24 readings ahead", "1"),
            may("low", "number; a forecast below it is expected-low", "none"),
            may("high", "number; a forecast above it is expected-high", "none"),
            may(
                "tells",
                "value, low or high: which of forecast and interval is the verdict's value",
                "value",
            ),
        ],
        ns_a_reading: Some((800, 2_800)),
        state_bytes: Some(3_700),
    },
    Kind {
        name: "trees",
        tells: "the remaining life or the risk of failure that several streams of a device show together, from a file",
        class: Assurance::Consensus,
        used_by: "triad models train --csv, triad models register, triad model bind, triad models score --model",
        parameters: &[
            must("file", "SHA-256 of the file, 32 bytes"),
            must("at", "the contract that holds the file, 20 bytes"),
            must("bytes", "1 to 1048576: length of the file"),
            must("inputs", "1 to 64: streams of a row"),
            must("splits", "0 to 32000: trees times depth"),
            may("max_age_ms", "0 to 31557600000: how far readings of a row lie apart", "60000"),
        ],
        ns_a_reading: None,
        state_bytes: Some(0),
    },
    Kind {
        name: "network",
        tells: "what a small neural network makes of the latest rows of several streams: a life, the risk of a failure, an estimate",
        class: Assurance::Consensus,
        used_by: "triad models import FILE.onnx, triad models register, triad model bind, triad models score --model",
        parameters: WINDOW_PARAMETERS,
        ns_a_reading: None,
        state_bytes: Some(triad_models::MAX_ROW_STATE_BYTES),
    },
    Kind {
        name: "onnx",
        tells: "a failure's risk, a remaining life, an anomaly or a forecast, by any model from scikit-learn or PyTorch that its runner runs",
        class: Assurance::Attested,
        used_by: "triad model bind, triad models run, triad models serve",
        parameters: &[
            must("file", "SHA-256 of the file, 32 bytes"),
            must("runner", "the device that signs the verdicts, 20 bytes"),
            must("tells", "failure-risk, remaining-life, anomaly or forecast: what the number means"),
            may("inputs", "1 to 64 names of streams, joined by commas: a row", "the stream itself"),
            may("window", "1 to 1024 readings of the stream, without inputs", "1"),
            may("output", "name of the output that counts", "the last one with numbers"),
            may("column", "0 to 65535", "the last one"),
            may("gain", "number: the number is output x gain + offset", "1"),
            may("offset", "number", "0"),
            may("limit", "0 to 1: from it on a failure or an anomaly is told", "0.5"),
            may(
                "most",
                "number above 0: the most that is told of a life",
                "none; required with remaining-life",
            ),
            may("unit", "text: of a life", "none; required with remaining-life"),
            may("max_age_ms", "0 to 31557600000: how far readings of a row or window lie apart", "60000"),
        ],
        ns_a_reading: None,
        state_bytes: Some(0),
    },
    Kind {
        name: "regression",
        tells: "the next values of a file with intervals, fitted anew as data arrive",
        class: Assurance::Attested,
        used_by: "triad models eval --suite ett|m4_hourly|load_vic|epf_prices",
        parameters: &[],
        ns_a_reading: None,
        state_bytes: None,
    },
    Kind {
        name: "ensemble",
        tells: "a sum of decision trees over a row of features, from a file (ours, XGBoost's or LightGBM's)",
        class: Assurance::Attested,
        used_by: "triad models import|score|show",
        parameters: &[],
        ns_a_reading: None,
        state_bytes: Some(0),
    },
    Kind {
        name: "life",
        tells: "the cycles that an engine has left, from its settings and sensors since its first cycle, by a trained file",
        class: Assurance::Consensus,
        used_by: "triad models train --suite cmapss, triad models register, triad model bind, triad models score --model",
        parameters: WINDOW_PARAMETERS,
        ns_a_reading: None,
        state_bytes: Some(triad_models::MAX_ROW_STATE_BYTES),
    },
    Kind {
        name: "failures",
        tells: "whether a machine fails and by which mode, from its type and five measurements, by a trained file",
        class: Assurance::Consensus,
        used_by: "triad models train --suite ai4i2020, triad models register, triad model bind, triad models score --model",
        parameters: WINDOW_PARAMETERS,
        ns_a_reading: Some((650, 700)),
        state_bytes: Some(0),
    },
];

/// The kind of that name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use triad_models::{Assurance, Spec, SpecError};

    use super::KINDS;

    #[test]
    fn what_is_listed_is_what_the_models_know() {
        for kind in KINDS {
            let known = !matches!(Spec::decode(kind.name, &[]), Err(SpecError::UnknownKind(_)));
            assert_eq!(known, kind.class == Assurance::Consensus || kind.name == "onnx", "{}", kind.name);
            for parameter in kind.parameters.iter().filter(|_| known) {
                // A map of this key alone; whatever is wrong with its value, the key is known.
                let key = parameter.name.as_bytes();
                let bytes = [&[0xa1, 0x60 + key.len() as u8], key, &[0x01]].concat();
                let said = Spec::decode(kind.name, &bytes);
                assert!(!matches!(said, Err(SpecError::UnknownKey(_) | SpecError::NotAMap(_))), "{said:?}");
            }
        }
    }
}
