//! The protected header, deterministic CBOR:
//!
//! ```text
//! { 1: alg, ? 2: [+ label], 3: 112 / 16 / 96 / text, 4: kid, 15: { ? 1: iss, ? 2: sub, ? 6: iat, -65537: sequence } }
//! { 1: alg, ? 2: [+ label], 4: kid, 15: {…}, 258: hash algorithm, ? 259: content type, ? 260: location }
//! ```
//!
//! Other parameters and claims are carried, signed and never interpreted, unless `crit` (2) names them. Sources:
//! RFC 9052 section 3, RFC 8392 and RFC 9597 (claims), RFC 9864 (algorithms), COSE Hash Envelope.

use crate::{
    ATTESTED_VERDICTS, Algorithm, Attestation, Content, ContentType, DeviceId, HashAlgorithm, HashEnvelope,
    Sequence, StatementError,
    cbor::{Fault, FaultKind, Major, Reader},
    claims::{Claims, bad_claim, party},
    limits::{self, MAX_EXTENSIONS, MAX_PROTECTED_BYTES},
    senml,
};
use bytes::Bytes;
use std::{ops::Range, sync::Arc};

/// What the header says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) signer: DeviceId,
    pub(crate) origin: DeviceId,
    pub(crate) sequence: Sequence,
    pub(crate) issued_at: Option<i64>,
    pub(crate) kind: Kind,
}

/// How to read the payload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Senml,
    Encrypt0,
    Encrypt,
    Verdicts,
    Hash { algorithm: HashAlgorithm, content_type: Option<ContentType>, location: Option<Arc<str>> },
}

pub(crate) mod label {
    pub(crate) const ALG: i64 = 1;
    pub(crate) const CRIT: i64 = 2;
    pub(crate) const CONTENT_TYPE: i64 = 3;
    pub(crate) const KID: i64 = 4;
    pub(crate) const CWT_CLAIMS: i64 = 15;
    pub(crate) const PAYLOAD_HASH_ALG: i64 = 258;
    pub(crate) const PREIMAGE_CONTENT_TYPE: i64 = 259;
    pub(crate) const PAYLOAD_LOCATION: i64 = 260;
    /// Those that `crit` may name: all that we act on.
    pub(crate) const UNDERSTOOD: [i64; 7] =
        [ALG, CONTENT_TYPE, KID, CWT_CLAIMS, PAYLOAD_HASH_ALG, PREIMAGE_CONTENT_TYPE, PAYLOAD_LOCATION];
}

pub(crate) mod content_type {
    pub(crate) const SENML: u64 = 112;
    pub(crate) const ENCRYPT0: u64 = 16;
    pub(crate) const ENCRYPT: u64 = 96;
}

impl From<Fault> for StatementError {
    /// A fault inside the protected header.
    fn from(Fault { kind, offset, what }: Fault) -> Self {
        match kind {
            FaultKind::Malformed => Self::NotCbor { offset, what },
            FaultKind::NonDeterministic => Self::NonDeterministic { offset, what },
            FaultKind::Unexpected => Self::BadHeader { what },
        }
    }
}

fn bad(what: &'static str) -> StatementError {
    StatementError::BadHeader { what }
}

impl Header {
    /// Parses the map at `range` of the statement's bytes.
    pub(crate) fn parse(bytes: &[u8], range: Range<usize>) -> Result<Self, StatementError> {
        if range.len() > MAX_PROTECTED_BYTES {
            return Err(bad("longer than 4,096 bytes"));
        }
        let start = range.start;
        let mut reader = Reader::<true>::new(&bytes[range], start);
        let mut left = reader.map("expected a map")?;
        let mut previous = None;
        let mut carried = 0;
        let mut algorithm = None;
        let mut critical = None;
        let mut content_type = None;
        let mut signer = None;
        let mut claims = None;
        let mut hash = None;
        let mut hashed_type = None;
        let mut location = None;
        while reader.more(&mut left) {
            let key = reader.position();
            let label = integer_or_text(&mut reader, "a label must be an integer or a text")?;
            reader.ascending(&mut previous, key)?;
            match label {
                Some(label::ALG) => {
                    let found = integer_or_text(&mut reader, "alg (1) must be an integer")?;
                    let found = found.ok_or(bad("alg (1) must be an integer"))?;
                    algorithm = Some(
                        Algorithm::from_cose_id(found).ok_or(StatementError::UnknownAlgorithm { found })?,
                    );
                }
                Some(label::CRIT) => critical = Some(critical_labels(&mut reader)?),
                Some(label::CONTENT_TYPE) => content_type = Some(number_or_text(&mut reader)?),
                Some(label::KID) => {
                    let kid = reader.bytes("").map_err(|fault| or_else(fault, StatementError::BadKid))?;
                    signer = Some(DeviceId::try_from(kid).map_err(|_| StatementError::BadKid)?);
                }
                Some(label::CWT_CLAIMS) => claims = Some(Claims::parse(&mut reader)?),
                Some(label::PAYLOAD_HASH_ALG) => {
                    let what =
                        "the hash algorithm (258) must be SHA-256 (-16), SHA-384 (-43) or SHA-512 (-44)";
                    let found = integer_or_text(&mut reader, what)?.and_then(HashAlgorithm::from_cose_id);
                    hash = Some(found.ok_or(StatementError::BadHashEnvelope { what })?);
                }
                Some(label::PREIMAGE_CONTENT_TYPE) => hashed_type = Some(number_or_text(&mut reader)?),
                Some(label::PAYLOAD_LOCATION) => {
                    location = Some(Arc::from(reader.text("the payload location (260) must be a text")?));
                }
                _ => {
                    carried += 1;
                    if carried > MAX_EXTENSIONS {
                        return Err(bad("more than 16 parameters that are not understood"));
                    }
                    reader.skip()?;
                }
            }
        }
        reader.end()?;

        let signer = signer.ok_or(StatementError::BadKid)?;
        let algorithm = algorithm.ok_or(bad("alg (1) is missing"))?;
        let claims = claims.ok_or(bad("the CWT claims (15), which hold the sequence number, are missing"))?;
        let present = |label| match label {
            label::CONTENT_TYPE => content_type.is_some(),
            label::PAYLOAD_HASH_ALG => hash.is_some(),
            label::PREIMAGE_CONTENT_TYPE => hashed_type.is_some(),
            label::PAYLOAD_LOCATION => location.is_some(),
            _ => true,
        };
        if critical.is_some_and(|labels: Vec<i64>| !labels.into_iter().all(present)) {
            return Err(bad("crit (2) names a parameter that is not there"));
        }
        let kind = match (content_type, hash) {
            (Some(_), Some(_)) => {
                let what = "the content type of the data belongs into 259, not into 3";
                return Err(StatementError::BadHashEnvelope { what });
            }
            (None, Some(algorithm)) => Kind::Hash { algorithm, content_type: hashed_type, location },
            (_, None) if hashed_type.is_some() || location.is_some() => {
                let what = "259 and 260 need the hash algorithm in 258";
                return Err(StatementError::BadHashEnvelope { what });
            }
            (Some(ContentType::Number(content_type::SENML)), None) => Kind::Senml,
            (Some(ContentType::Number(content_type::ENCRYPT0)), None) => Kind::Encrypt0,
            (Some(ContentType::Number(content_type::ENCRYPT)), None) => Kind::Encrypt,
            (Some(ContentType::Text(text)), None) if *text == *ATTESTED_VERDICTS => Kind::Verdicts,
            (_, None) => return Err(StatementError::UnknownContentType),
        };
        if claims.issuer.is_some_and(|issuer| party(issuer) != Some(signer)) {
            return Err(StatementError::IssuerMismatch);
        }
        let origin = match claims.subject {
            Some(subject) => party(subject).ok_or(StatementError::BadSubject)?,
            None => signer,
        };
        let sequence = claims.sequence.ok_or(bad_claim("the sequence number (-65537) is missing"))?;
        Ok(Self {
            algorithm,
            signer,
            origin,
            sequence: Sequence(sequence),
            issued_at: claims.issued_at,
            kind,
        })
    }
}

impl Kind {
    /// Reads the payload at `range` of the statement's bytes.
    pub(crate) fn parse_payload(
        &self,
        bytes: &Bytes,
        range: Range<usize>,
        origin: DeviceId,
    ) -> Result<Content, StatementError> {
        match self {
            Kind::Senml => senml::parse(bytes, range, origin).map(Content::Senml),
            Kind::Encrypt0 => {
                encrypted(&bytes[range.clone()], range.start, 16, 3).map(|()| Content::Encrypted)
            }
            Kind::Encrypt => {
                encrypted(&bytes[range.clone()], range.start, 96, 4).map(|()| Content::Encrypted)
            }
            Kind::Verdicts => Attestation::parse(&bytes[range.clone()], range.start).map(Content::Verdicts),
            Kind::Hash { algorithm, content_type, location } => {
                if range.len() != algorithm.digest_len() {
                    let what = "the payload is not as long as a digest of its algorithm";
                    return Err(StatementError::BadHashEnvelope { what });
                }
                Ok(Content::HashEnvelope(HashEnvelope {
                    algorithm: *algorithm,
                    digest: bytes.slice(range),
                    content_type: content_type.clone(),
                    location: location.clone(),
                }))
            }
        }
    }
}

/// The shape of COSE_Encrypt0 (three elements) or COSE_Encrypt (four), tagged or not, ciphertext attached.
fn encrypted(bytes: &[u8], base: usize, tag: u64, elements: usize) -> Result<(), StatementError> {
    let mut reader = Reader::<false>::new(bytes, base);
    let mut shape = || -> Result<(), Fault> {
        if reader.peek().is_some_and(|initial| initial >> 5 == 6) && reader.head()?.value != tag {
            return Err(Fault {
                kind: FaultKind::Unexpected,
                offset: base,
                what: "another tag than its content type's",
            });
        }
        if reader.array("expected an array")? != elements {
            return Err(Fault {
                kind: FaultKind::Unexpected,
                offset: base,
                what: "an array of another length",
            });
        }
        reader.bytes("expected the protected header in a byte string")?;
        let mut left = reader.map("expected the unprotected header")?;
        while reader.more(&mut left) {
            reader.skip()?;
            reader.skip()?;
        }
        reader.bytes("expected the ciphertext in a byte string")?;
        if elements == 4 {
            let mut recipients = Some(reader.array("expected the recipients")?);
            while reader.more(&mut recipients) {
                reader.skip()?;
            }
        }
        reader.end()
    };
    shape().map_err(|Fault { offset, what, .. }| StatementError::BadCiphertext { offset, what })
}

/// `Some` for an integer of 64 bits, `None` for a text (which is read over) or an integer out of range.
#[inline]
pub(crate) fn integer_or_text(
    reader: &mut Reader<'_, true>,
    what: &'static str,
) -> Result<Option<i64>, Fault> {
    match reader.peek().map(|initial| initial >> 5) {
        Some(3) => reader.text(what).map(|_| None),
        _ => {
            let offset = reader.offset();
            let head = reader.head()?;
            match (head.major, i64::try_from(head.value)) {
                (Major::Unsigned, value) => Ok(value.ok()),
                (Major::Negative, value) => Ok(value.ok().map(|value| -1 - value)),
                _ => Err(Fault { kind: FaultKind::Unexpected, offset, what }),
            }
        }
    }
}

fn number_or_text(reader: &mut Reader<'_, true>) -> Result<ContentType, Fault> {
    const WHAT: &str = "a content type must be an unsigned integer or a text";
    match reader.peek().map(|initial| initial >> 5) {
        Some(3) => reader.text(WHAT).map(|text| ContentType::Text(text.into())),
        _ => reader.unsigned(WHAT).map(ContentType::Number),
    }
}

/// The labels that must be understood; all of them are.
fn critical_labels(reader: &mut Reader<'_, true>) -> Result<Vec<i64>, StatementError> {
    const WHAT: &str = "crit (2) must be an array of one to seven labels";
    let count = reader.array(WHAT)?;
    if !(1..=label::UNDERSTOOD.len()).contains(&count) {
        return Err(bad(WHAT));
    }
    (0..count)
        .map(|_| match reader.peek().map(|initial| initial >> 5) {
            Some(3) => Err(StatementError::CriticalHeader { label: format!("{:?}", reader.text(WHAT)?) }),
            _ => {
                let label = reader.integer(WHAT)?;
                let understood = label::UNDERSTOOD.contains(&label);
                understood.then_some(label).ok_or(StatementError::CriticalHeader { label: label.to_string() })
            }
        })
        .collect()
}

fn or_else(fault: Fault, error: StatementError) -> StatementError {
    if fault.kind == FaultKind::Unexpected { error } else { fault.into() }
}

const _: () = assert!(limits::MAX_PROTECTED_BYTES < limits::MAX_STATEMENT_BYTES);
