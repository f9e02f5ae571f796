//! Makes statements, for devices that we serve or simulate, and for tests.

use crate::{
    ATTESTED_VERDICTS, Algorithm, Attestation, ContentType, DeviceId, HashEnvelope, Sequence, SigningKey,
    Value,
    cbor::Writer,
    claims::claim,
    header::{content_type, label as header_label},
    senml::{decimal_digits, label},
    statement::sig_structure,
};
use bytes::Bytes;

/// Builds one statement. It checks no rule, so that tests can break each; [`crate::Statement::parse`] says whether one
/// did.
///
/// Readings that share their name, unit or time share them in the pack as base fields, and each number takes its
/// shortest exact form. Readings are kept in the order in which they are added.
#[derive(Clone, Debug)]
pub struct StatementBuilder<'a> {
    key: &'a SigningKey,
    kid: DeviceId,
    sequence: Sequence,
    algorithm_id: i64,
    issued_at: Option<i64>,
    issuer: Option<String>,
    subject: Option<String>,
    content: Payload,
}

#[derive(Clone, Debug)]
enum Payload {
    Readings(Vec<Reading>),
    Raw { content_type: u64, bytes: Vec<u8> },
    Hash(HashEnvelope),
    Verdicts(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Reading {
    name: String,
    unit: Option<String>,
    value: Value,
    sum: Option<f64>,
    time: Option<i64>,
}

impl<'a> StatementBuilder<'a> {
    /// A statement of the device whose first key this is. After a rotation, say who it is with [`kid`](Self::kid).
    pub fn new(key: &'a SigningKey, sequence: Sequence) -> Self {
        Self {
            key,
            kid: key.public().id(),
            sequence,
            algorithm_id: key.algorithm().cose_id(),
            issued_at: None,
            issuer: None,
            subject: None,
            content: Payload::Readings(Vec::new()),
        }
    }

    /// The signer's device id, where it is not that of the key.
    pub fn kid(mut self, kid: DeviceId) -> Self {
        self.kid = kid;
        self
    }

    /// Names the algorithm with its fully specified identifier (RFC 9864) where there is one.
    pub fn fully_specified(mut self) -> Self {
        self.algorithm_id = match self.key.algorithm() {
            Algorithm::EdDsa => -19,
            Algorithm::Es256 => -9,
            Algorithm::Es256k => -47,
        };
        self
    }

    /// When the statement was made, in microseconds since the epoch; relative times count from here.
    pub fn iat(mut self, microseconds: i64) -> Self {
        self.issued_at = Some(microseconds);
        self
    }

    /// The `iss` claim: the signer's id as hex or as a DID.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// The readings are those of another device, which cannot sign.
    pub fn on_behalf_of(self, origin: DeviceId) -> Self {
        self.subject(origin.to_string())
    }

    /// The `sub` claim as text: the origin's id as hex or as a DID.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// A number. `time` is in microseconds: absolute from 2^28 seconds on, relative to "now" below, now if `None`.
    pub fn number(self, name: &str, unit: Option<&str>, value: f64, time: Option<i64>) -> Self {
        self.reading(name, unit, Value::Number(value), time)
    }

    /// A text.
    pub fn text(self, name: &str, value: &str, time: Option<i64>) -> Self {
        self.reading(name, None, Value::Text(value.into()), time)
    }

    /// A truth value.
    pub fn bool(self, name: &str, value: bool, time: Option<i64>) -> Self {
        self.reading(name, None, Value::Bool(value), time)
    }

    /// Bytes.
    pub fn data(self, name: &str, value: &[u8], time: Option<i64>) -> Self {
        self.reading(name, None, Value::Data(Bytes::copy_from_slice(value)), time)
    }

    /// A value of any kind.
    pub fn reading(mut self, name: &str, unit: Option<&str>, value: Value, time: Option<i64>) -> Self {
        let reading =
            Reading { name: name.to_owned(), unit: unit.map(str::to_owned), value, sum: None, time };
        match &mut self.content {
            Payload::Readings(readings) => readings.push(reading),
            other => *other = Payload::Readings(vec![reading]),
        }
        self
    }

    /// Gives the last reading an integrated sum; one whose value is [`Value::None`] then has only that.
    pub fn sum(mut self, sum: f64) -> Self {
        if let Payload::Readings(readings) = &mut self.content
            && let Some(last) = readings.last_mut()
        {
            last.sum = Some(sum);
        }
        self
    }

    /// A payload made elsewhere, instead of readings: 112 SenML in CBOR, 16 COSE_Encrypt0, 96 COSE_Encrypt.
    pub fn payload(mut self, content_type: u64, bytes: impl Into<Vec<u8>>) -> Self {
        self.content = Payload::Raw { content_type, bytes: bytes.into() };
        self
    }

    /// The hash of data kept elsewhere, instead of readings. Salt the data, or whoever guesses it can confirm the guess.
    pub fn hash_envelope(mut self, envelope: HashEnvelope) -> Self {
        self.content = Payload::Hash(envelope);
        self
    }

    /// Verdicts of a model that the signer ran, instead of readings.
    pub fn verdicts(mut self, attestation: &Attestation) -> Self {
        self.content = Payload::Verdicts(attestation.encode());
        self
    }

    /// The protected header and the payload.
    pub fn unsigned_parts(&self) -> (Vec<u8>, Vec<u8>) {
        let mut header = Writer::default();
        let hash = match &self.content {
            Payload::Hash(envelope) => Some(envelope),
            _ => None,
        };
        let (hash_fields, plain_field) = match hash {
            Some(hash) => {
                (1 + u64::from(hash.content_type.is_some()) + u64::from(hash.location.is_some()), 0)
            }
            None => (0, 1),
        };
        header.head(5, 3 + hash_fields + plain_field);
        header.integer(header_label::ALG).integer(self.algorithm_id);
        let payload = match &self.content {
            Payload::Readings(readings) => Some((Some(content_type::SENML), pack(readings))),
            Payload::Raw { content_type, bytes } => Some((Some(*content_type), bytes.clone())),
            Payload::Verdicts(bytes) => Some((None, bytes.clone())),
            Payload::Hash(_) => None,
        };
        if let Some((content_type, _)) = &payload {
            header.integer(header_label::CONTENT_TYPE);
            match content_type {
                Some(number) => header.head(0, *number),
                None => header.text(ATTESTED_VERDICTS),
            };
        }
        header.integer(header_label::KID).bytes(&self.kid.0);
        header.integer(header_label::CWT_CLAIMS);
        self.write_claims(&mut header);
        if let Some(hash) = hash {
            header.integer(header_label::PAYLOAD_HASH_ALG).integer(hash.algorithm.cose_id());
            if let Some(content_type) = &hash.content_type {
                header.integer(header_label::PREIMAGE_CONTENT_TYPE);
                match content_type {
                    ContentType::Number(number) => header.head(0, *number),
                    ContentType::Text(text) => header.text(text),
                };
            }
            if let Some(location) = &hash.location {
                header.integer(header_label::PAYLOAD_LOCATION).text(location);
            }
        }
        let payload = match (payload, hash) {
            (Some((_, bytes)), _) => bytes,
            (None, hash) => hash.map_or_else(Vec::new, |hash| hash.digest.to_vec()),
        };
        (header.0, payload)
    }

    fn write_claims(&self, out: &mut Writer) {
        let present = [self.issuer.is_some(), self.subject.is_some(), self.issued_at.is_some()];
        out.head(5, 1 + present.into_iter().map(u64::from).sum::<u64>());
        if let Some(issuer) = &self.issuer {
            out.integer(claim::ISS).text(issuer);
        }
        if let Some(subject) = &self.subject {
            out.integer(claim::SUB).text(subject);
        }
        if let Some(issued_at) = self.issued_at {
            out.integer(claim::IAT);
            match issued_at % 1_000_000 {
                0 => out.integer(issued_at / 1_000_000),
                // Below 2^53 µs (the year 2255) this reads back as the same microsecond.
                _ => out.float(issued_at as f64 / 1e6),
            };
        }
        out.integer(claim::SEQUENCE).head(0, self.sequence.0);
    }

    /// The statement, ready to be sent and in its stored form.
    pub fn sign(&self) -> Bytes {
        let (protected, payload) = self.unsigned_parts();
        let signature = self.key.sign(&sig_structure(&protected, &payload));
        assemble(&protected, &payload, &signature)
    }
}

/// The tagged COSE_Sign1 of these parts.
pub(crate) fn assemble(protected: &[u8], payload: &[u8], signature: &[u8]) -> Bytes {
    let mut out = Writer(Vec::with_capacity(protected.len() + payload.len() + signature.len() + 16));
    out.head(6, 18).head(4, 4).bytes(protected).head(5, 0).bytes(payload).bytes(signature);
    out.0.into()
}

/// The readings as a SenML pack: what all of them share comes first, as base fields of the first record.
fn pack(readings: &[Reading]) -> Vec<u8> {
    let many = readings.len() > 1;
    let first = readings.first();
    let shared_name = first
        .filter(|first| many && readings.iter().all(|reading| reading.name == first.name))
        .map(|reading| &*reading.name);
    let shared_unit = first
        .filter(|first| many && readings.iter().all(|reading| reading.unit == first.unit))
        .and_then(|first| first.unit.as_deref());
    let base_time = if many && readings.iter().all(|reading| reading.time.is_some()) {
        first.and_then(|first| first.time)
    } else {
        None
    };
    let mut out = Writer::default();
    out.head(4, readings.len() as u64);
    for (index, reading) in readings.iter().enumerate() {
        let base = index == 0;
        let name = (shared_name.is_none()).then_some(&*reading.name);
        let unit = if shared_unit.is_none() { reading.unit.as_deref() } else { None };
        let time = reading.time.map(|time| time - base_time.unwrap_or(0));
        let time = time.filter(|time| base_time.is_none() || *time != 0);
        let fields = [
            base && shared_name.is_some(),
            base && base_time.is_some(),
            base && shared_unit.is_some(),
            name.is_some(),
            unit.is_some(),
            reading.value != Value::None,
            reading.sum.is_some(),
            time.is_some(),
        ];
        out.head(5, fields.into_iter().map(u64::from).sum());
        // Deterministic order: 0 to 8, then −1, −2, ….
        if let Some(name) = name {
            out.integer(label::NAME).text(name);
        }
        if let Some(unit) = unit {
            out.integer(label::UNIT).text(unit);
        }
        match &reading.value {
            Value::Number(value) => number(out.integer(label::VALUE), *value),
            Value::Text(text) => {
                out.integer(label::STRING).text(text);
            }
            Value::Bool(value) => {
                out.integer(label::BOOLEAN).bool(*value);
            }
            Value::Data(_) | Value::None => {}
        }
        if let Some(sum) = reading.sum {
            number(out.integer(label::SUM), sum);
        }
        if let Some(time) = time {
            seconds(out.integer(label::TIME), time);
        }
        if let Value::Data(data) = &reading.value {
            out.integer(label::DATA).bytes(data);
        }
        if let Some(name) = shared_name.filter(|_| base) {
            out.integer(label::BASE_NAME).text(name);
        }
        if let Some(time) = base_time.filter(|_| base) {
            seconds(out.integer(label::BASE_TIME), time);
        }
        if let Some(unit) = shared_unit.filter(|_| base) {
            out.integer(label::BASE_UNIT).text(unit);
        }
    }
    out.0
}

/// The shortest of integer, float and decimal fraction that reads back as this f64.
fn number(out: &mut Writer, value: f64) {
    if value == value.trunc() && value.abs() < 9e15 {
        out.integer(value as i64);
        return;
    }
    let mut float = Writer::default();
    float.float(value);
    let fraction = decimal_digits(value).map(|(mantissa, exponent)| {
        let mut fraction = Writer::default();
        fraction.head(6, 4).head(4, 2).integer(exponent).integer(mantissa);
        fraction.0
    });
    match fraction {
        Some(fraction) if value.is_finite() && fraction.len() < float.0.len() => out.0.extend(fraction),
        _ => out.0.extend(float.0),
    }
}

/// Microseconds as seconds, exactly.
fn seconds(out: &mut Writer, time: i64) {
    let (mut mantissa, mut exponent) = (time, -6);
    while exponent < 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        exponent += 1;
    }
    if exponent == 0 {
        out.integer(mantissa);
    } else {
        out.head(6, 4).head(4, 2).integer(exponent).integer(mantissa);
    }
}
