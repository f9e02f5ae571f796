use crate::limits;

/// Why bytes are not a statement. Each refusal has a stable [`code`](StatementError::code) for machines and a message
/// that says what was expected, what was found and where. Offsets count from the statement's first byte.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// More bytes than any statement has.
    #[error("the statement has {found} bytes; at most {} are accepted", limits::MAX_STATEMENT_BYTES)]
    TooLarge { found: usize },
    /// The bytes are not one well-formed CBOR item.
    #[error("not CBOR: {what} at byte {offset}")]
    NotCbor { offset: usize, what: &'static str },
    /// CBOR, but not in the one deterministic form of RFC 8949, section 4.2.1.
    #[error("the encoding is not deterministic CBOR (RFC 8949, section 4.2.1): {what} at byte {offset}")]
    NonDeterministic { offset: usize, what: &'static str },
    /// CBOR, but not a COSE_Sign1.
    #[error("not a COSE_Sign1 (RFC 9052, section 4.2): {what} at byte {offset}")]
    NotCose { offset: usize, what: &'static str },
    /// A COSE message without tag 18, or with another tag.
    #[error("expected CBOR tag 18 (COSE_Sign1), found {}", tag_text(*.found))]
    WrongTag { found: Option<u64> },
    /// Something in the unprotected header, which nobody signed.
    #[error("the unprotected header must be empty; move every parameter into the protected header")]
    UnprotectedHeader,
    /// The payload is nil (detached).
    #[error("the payload is missing: a statement carries its payload, detached ones are not accepted")]
    MissingPayload,
    /// A signature of the wrong length.
    #[error(
        "the signature has {found} bytes; all accepted algorithms have 64 (r and s as 32 bytes each, not DER)"
    )]
    SignatureLength { found: usize },
    /// An ECDSA signature in the form that is never stored.
    #[error("the signature has a high s; a stored statement carries the low one")]
    HighS,
    /// A header parameter that is missing, twice there, of the wrong type or too long.
    #[error("protected header: {what}")]
    BadHeader { what: &'static str },
    /// `crit` names a parameter that we do not process.
    #[error("the protected header marks parameter {label} as critical, which is not understood")]
    CriticalHeader { label: String },
    /// `alg` is not one of ours.
    #[error("algorithm {found} is not accepted; use EdDSA (-8 or -19), ES256 (-7 or -9) or ES256K (-47)")]
    UnknownAlgorithm { found: i64 },
    /// The `kid` is not a device id.
    #[error("kid must be the signer's device id, a byte string of 20 bytes")]
    BadKid,
    /// A claim that is missing, of the wrong type or out of range.
    #[error("CWT claims (header 15): {what}")]
    BadClaims { what: &'static str },
    /// `iss` is not the signer.
    #[error(
        "the iss claim must name the signer in kid: 0x and 40 lowercase hex digits, or a DID that ends in them"
    )]
    IssuerMismatch,
    /// `sub` is not a device.
    #[error("the sub claim must name a device: 0x and 40 lowercase hex digits, or a DID that ends in them")]
    BadSubject,
    /// Neither SenML nor ciphertext nor a hash envelope.
    #[error(
        "the content type is not accepted; use 112 (SenML in CBOR), 16 or 96 (encrypted), verdicts, or a hash envelope"
    )]
    UnknownContentType,
    /// A COSE Hash Envelope that breaks its rules.
    #[error("hash envelope: {what}")]
    BadHashEnvelope { what: &'static str },
    /// The payload is not the COSE_Encrypt0 or COSE_Encrypt that the content type promises.
    #[error("ciphertext: {what} at byte {offset}")]
    BadCiphertext { offset: usize, what: &'static str },
    /// The payload is not the verdicts that the content type promises.
    #[error("verdicts: {what} at byte {offset}")]
    BadVerdicts { offset: usize, what: &'static str },
    /// The payload breaks RFC 8428.
    #[error("SenML record {record}: {what}")]
    BadSenml { record: usize, what: &'static str },
    /// NaN, infinite, or too large once base and value are added.
    #[error("SenML record {record}: {field} is not a finite number")]
    NotFinite { record: usize, field: &'static str },
    /// A resolved name with characters that RFC 8428 forbids, or none at all.
    #[error(
        "SenML record {record}: the name (base name and name joined) must start with a letter or digit and hold only \
         letters, digits and -:./_"
    )]
    BadName { record: usize },
    /// A resolved name that is too long.
    #[error(
        "SenML record {record}: the name has {found} bytes; at most {} are accepted",
        limits::MAX_NAME_BYTES
    )]
    NameTooLong { record: usize, found: usize },
    /// An empty or over-long unit, or one with control characters.
    #[error(
        "SenML record {record}: a unit has 1 to {} bytes and no control characters",
        limits::MAX_UNIT_BYTES
    )]
    BadUnit { record: usize },
    /// A time before the year −6060 or after 9999.
    #[error("SenML record {record}: the time is out of range")]
    TimeOutOfRange { record: usize },
    /// A version of SenML, or a field that must be understood, that we do not know.
    #[error("SenML record {record}: {what}")]
    UnsupportedSenml { record: usize, what: &'static str },
    /// Too many records.
    #[error("the pack has {found} records; at most {} are accepted", limits::MAX_RECORDS)]
    TooManyRecords { found: u64 },
}

fn tag_text(found: Option<u64>) -> String {
    found.map_or_else(|| "no tag".to_owned(), |tag| format!("tag {tag}"))
}

impl StatementError {
    /// A stable word for machines: metrics, problem documents, MQTT reason strings.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::NotCbor { .. } => "not-cbor",
            Self::NonDeterministic { .. } => "non-deterministic-cbor",
            Self::NotCose { .. } => "not-cose",
            Self::WrongTag { .. } => "wrong-tag",
            Self::UnprotectedHeader => "unprotected-header",
            Self::MissingPayload => "missing-payload",
            Self::SignatureLength { .. } => "bad-signature-length",
            Self::HighS => "high-s",
            Self::BadHeader { .. } => "bad-header",
            Self::CriticalHeader { .. } => "critical-header",
            Self::UnknownAlgorithm { .. } => "unknown-algorithm",
            Self::BadKid => "bad-kid",
            Self::BadClaims { .. } => "bad-claims",
            Self::IssuerMismatch => "issuer-mismatch",
            Self::BadSubject => "bad-subject",
            Self::UnknownContentType => "unknown-content-type",
            Self::BadHashEnvelope { .. } => "bad-hash-envelope",
            Self::BadCiphertext { .. } => "bad-ciphertext",
            Self::BadVerdicts { .. } => "bad-verdicts",
            Self::BadSenml { .. } => "bad-senml",
            Self::NotFinite { .. } => "not-finite",
            Self::BadName { .. } => "bad-name",
            Self::NameTooLong { .. } => "name-too-long",
            Self::BadUnit { .. } => "bad-unit",
            Self::TimeOutOfRange { .. } => "time-out-of-range",
            Self::UnsupportedSenml { .. } => "unsupported-senml",
            Self::TooManyRecords { .. } => "too-many-records",
        }
    }

    /// Every code, for metrics that want to exist before the first refusal.
    pub const CODES: [&'static str; 28] = [
        "too-large",
        "not-cbor",
        "non-deterministic-cbor",
        "not-cose",
        "wrong-tag",
        "unprotected-header",
        "missing-payload",
        "bad-signature-length",
        "high-s",
        "bad-header",
        "critical-header",
        "unknown-algorithm",
        "bad-kid",
        "bad-claims",
        "issuer-mismatch",
        "bad-subject",
        "unknown-content-type",
        "bad-hash-envelope",
        "bad-ciphertext",
        "bad-verdicts",
        "bad-senml",
        "not-finite",
        "bad-name",
        "name-too-long",
        "bad-unit",
        "time-out-of-range",
        "unsupported-senml",
        "too-many-records",
    ];
}

/// Why bytes or text are not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the one form of a COSE_Key that we accept.
    #[error(
        "not a canonical COSE_Key: expected deterministic CBOR {{1: kty, -1: crv, -2: x}} for Ed25519, with -3: y for \
         P-256 and secp256k1, and nothing else"
    )]
    NotCanonical,
    /// The key is no point of its curve, or one that would let anybody sign.
    #[error("not a usable {0} public key")]
    BadPoint(&'static str),
    /// A raw key of the wrong length.
    #[error("a {algorithm} public key does not have {found} bytes")]
    BadLength { algorithm: &'static str, found: usize },
    /// Secret text that is not an unencrypted PKCS#8 (or SEC 1) PEM of an accepted curve.
    #[error("not a secret key: expected an unencrypted PKCS#8 PEM of Ed25519, P-256 or secp256k1")]
    BadSecret,
}

impl KeyError {
    /// A stable word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotCanonical => "non-canonical-key",
            Self::BadPoint(_) => "bad-public-key",
            Self::BadLength { .. } => "bad-key-length",
            Self::BadSecret => "bad-secret-key",
        }
    }
}
