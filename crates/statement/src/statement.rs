//! The outer form, a COSE_Sign1 (RFC 9052, section 4.2) in deterministic CBOR:
//!
//! ```text
//! 18([ protected: bstr, unprotected: {}, payload: bstr, signature: bstr .size 64 ])
//! ```
//!
//! What the signature covers, and whose SHA-256 is the statement's identity, is the `Sig_structure`
//! `["Signature1", protected, h'', payload]`. The signature itself is not covered: of an ECDSA signature's two forms the
//! low one is stored.

use crate::{
    Algorithm, Attestation, DeviceId, Record, Sequence, StatementError, StatementId,
    cbor::{Fault, FaultKind, Reader, is_well_formed},
    ecdsa,
    header::Header,
    limits,
};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::{ops::Range, sync::Arc};

/// A parsed statement: it obeys every rule of the format. Whether its signature is good is for [`crate::verify`] to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    bytes: Bytes,
    id: StatementId,
    header: Header,
    protected: Range<u32>,
    payload: Range<u32>,
    content: Content,
}

/// What the payload is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Readings, in the order of the pack. At least one.
    Senml(Vec<Record>),
    /// COSE_Encrypt0 or COSE_Encrypt: only the holders of its key know what it says.
    Encrypted,
    /// The hash of data kept elsewhere.
    HashEnvelope(HashEnvelope),
    /// Verdicts of a model that the signer ran.
    Verdicts(Attestation),
}

/// A COSE Hash Envelope: the payload is a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashEnvelope {
    /// How the digest was made (header 258).
    pub algorithm: HashAlgorithm,
    /// The digest itself.
    pub digest: Bytes,
    /// Content type of the data (header 259).
    pub content_type: Option<ContentType>,
    /// Where the data can be had (header 260).
    pub location: Option<Arc<str>>,
}

/// Hash functions of RFC 9054 that a hash envelope may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// COSE −16, 32 bytes.
    Sha256,
    /// COSE −43, 48 bytes.
    Sha384,
    /// COSE −44, 64 bytes.
    Sha512,
}

impl HashAlgorithm {
    pub(crate) fn from_cose_id(id: i64) -> Option<Self> {
        match id {
            -16 => Some(Self::Sha256),
            -43 => Some(Self::Sha384),
            -44 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The COSE identifier.
    pub fn cose_id(self) -> i64 {
        match self {
            Self::Sha256 => -16,
            Self::Sha384 => -43,
            Self::Sha512 => -44,
        }
    }

    /// Bytes of a digest.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A content type as COSE has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// A CoAP Content-Format number.
    Number(u64),
    /// A media type.
    Text(Arc<str>),
}

pub(crate) const SIGNATURE_BYTES: usize = 64;
/// `["Signature1", …` : the array's head and its first element.
const SIG_STRUCTURE: [u8; 12] = *b"\x84\x6aSignature1";
/// The empty external data that comes between header and payload.
const NO_EXTERNAL_DATA: u8 = 0x40;

impl Statement {
    /// Parses a statement as a device sends it. A high s is replaced by the low one, so [`bytes`](Self::bytes) may differ
    /// from the input in the last 32 bytes; parsing those bytes again changes nothing.
    ///
    /// # Errors
    /// The first rule that is broken; see [`StatementError`].
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, StatementError> {
        Self::parse_bytes(bytes.into())
    }

    /// Parses a statement as it is stored and as blocks carry it: the bytes stay exactly what they are.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`StatementError::HighS`] for a signature that `parse` would change.
    pub fn parse_stored(bytes: impl Into<Bytes>) -> Result<Self, StatementError> {
        let bytes = bytes.into();
        let statement = Self::parse_bytes(bytes.clone())?;
        if statement.bytes == bytes { Ok(statement) } else { Err(StatementError::HighS) }
    }

    fn parse_bytes(bytes: Bytes) -> Result<Self, StatementError> {
        if bytes.len() > limits::MAX_STATEMENT_BYTES {
            return Err(StatementError::TooLarge { found: bytes.len() });
        }
        let outer = match Outer::parse(&bytes) {
            Ok(outer) => outer,
            Err(fault) => return Err(diagnose(&bytes, fault)),
        };
        let header = Header::parse(&bytes, outer.protected_content.clone())?;
        let id = StatementId(
            Sha256::new()
                .chain_update(SIG_STRUCTURE)
                .chain_update(&bytes[outer.protected.clone()])
                .chain_update([NO_EXTERNAL_DATA])
                .chain_update(&bytes[outer.payload.clone()])
                .finalize()
                .into(),
        );
        let content = header.kind.parse_payload(&bytes, outer.payload_content, header.origin)?;
        let bytes = match ecdsa::low_s(header.algorithm, &bytes) {
            Some(low) => Bytes::from([&bytes[..bytes.len() - low.len()], &low].concat()),
            None => bytes,
        };
        let narrow = |range: Range<usize>| range.start as u32..range.end as u32;
        Ok(Self {
            bytes,
            id,
            header,
            protected: narrow(outer.protected),
            payload: narrow(outer.payload),
            content,
        })
    }
}

/// Where the parts of the outer array are.
struct Outer {
    /// The protected header's byte string, head included: the second element of the `Sig_structure`.
    protected: Range<usize>,
    /// The map inside it.
    protected_content: Range<usize>,
    /// The payload's byte string, head included.
    payload: Range<usize>,
    /// What is inside it.
    payload_content: Range<usize>,
}

impl Outer {
    fn parse(bytes: &[u8]) -> Result<Self, OuterFault> {
        let mut reader = Reader::<true>::new(bytes, 0);
        match reader.peek() {
            Some(0xd2) => {
                reader.head()?;
            }
            Some(initial) if initial >> 5 == 6 => {
                let tag = reader.head()?.value;
                return Err(StatementError::WrongTag { found: Some(tag) }.into());
            }
            Some(initial) if initial >> 5 == 4 => return Err(StatementError::WrongTag { found: None }.into()),
            _ => {}
        }
        let at = reader.offset();
        if reader.array("expected an array")? != 4 {
            return Err(StatementError::NotCose { offset: at, what: "expected an array of four" }.into());
        }
        let (protected, protected_content) =
            byte_string(&mut reader, "expected the protected header in a byte string")?;
        if reader.map("expected the unprotected header, an empty map")? != Some(0) {
            return Err(StatementError::UnprotectedHeader.into());
        }
        if reader.peek() == Some(0xf6) {
            return Err(StatementError::MissingPayload.into());
        }
        let (payload, payload_content) = byte_string(&mut reader, "expected the payload in a byte string")?;
        let signature = reader.bytes("expected the signature in a byte string")?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(StatementError::SignatureLength { found: signature.len() }.into());
        }
        reader.end()?;
        Ok(Self { protected, protected_content, payload, payload_content })
    }
}

#[inline]
fn byte_string(
    reader: &mut Reader<'_, true>,
    what: &'static str,
) -> Result<(Range<usize>, Range<usize>), Fault> {
    let start = reader.offset();
    let content = reader.bytes(what)?;
    let end = reader.offset();
    Ok((start..end, end - content.len()..end))
}

/// What is wrong with the outer form, before asking whether the bytes are CBOR at all.
enum OuterFault {
    Cbor(Fault),
    Rule(StatementError),
}

impl From<Fault> for OuterFault {
    fn from(fault: Fault) -> Self {
        Self::Cbor(fault)
    }
}

impl From<StatementError> for OuterFault {
    fn from(error: StatementError) -> Self {
        Self::Rule(error)
    }
}

const NOT_ONE_ITEM: &str =
    "expected exactly one well-formed item, found a cut or broken one or bytes behind it,";

/// Bytes that are no CBOR item at all are called that, whatever rule they broke first.
#[cold]
fn diagnose(bytes: &[u8], fault: OuterFault) -> StatementError {
    let well_formed = is_well_formed(bytes);
    match fault {
        OuterFault::Cbor(Fault { offset, what, kind }) => match kind {
            FaultKind::NonDeterministic if well_formed => StatementError::NonDeterministic { offset, what },
            FaultKind::Unexpected if well_formed => StatementError::NotCose { offset, what },
            FaultKind::Malformed => StatementError::NotCbor { offset, what },
            _ => StatementError::NotCbor { offset: 0, what: NOT_ONE_ITEM },
        },
        OuterFault::Rule(rule) if well_formed => rule,
        OuterFault::Rule(_) => StatementError::NotCbor { offset: 0, what: NOT_ONE_ITEM },
    }
}

impl Statement {
    /// The stored form: deterministic CBOR, low s.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What was signed, as a hash: the statement's identity.
    pub fn id(&self) -> StatementId {
        self.id
    }

    /// The device whose key signs (`kid`).
    pub fn signer(&self) -> DeviceId {
        self.header.signer
    }

    /// The device that the readings are from: `sub` if present, otherwise the signer.
    pub fn origin(&self) -> DeviceId {
        self.header.origin
    }

    /// Whether the signer speaks for another device: true exactly if [`origin`](Self::origin) is not the signer.
    pub fn on_behalf(&self) -> bool {
        self.header.origin != self.header.signer
    }

    /// The algorithm that the header names.
    pub fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// The number of this statement among its signer's.
    pub fn sequence(&self) -> Sequence {
        self.header.sequence
    }

    /// `iat` in microseconds since the epoch.
    pub fn issued_at(&self) -> Option<i64> {
        self.header.issued_at
    }

    /// What the payload is.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The readings; none for ciphertext, hash envelopes and verdicts.
    pub fn records(&self) -> &[Record] {
        match &self.content {
            Content::Senml(records) => records,
            Content::Encrypted | Content::HashEnvelope(_) | Content::Verdicts(_) => &[],
        }
    }

    /// The verdicts of a model that the signer ran, where the statement holds such.
    pub fn attestation(&self) -> Option<&Attestation> {
        match &self.content {
            Content::Verdicts(attestation) => Some(attestation),
            _ => None,
        }
    }

    /// The payload's bytes as they were signed.
    pub fn payload(&self) -> Bytes {
        let mut reader = Reader::<true>::new(&self.bytes[self.payload_range()], 0);
        let content =
            reader.bytes("").expect("the payload was read as a byte string when the statement was parsed");
        self.bytes.slice_ref(content)
    }

    /// The signature in its stored form, 64 bytes: R and S for Ed25519, r and the low s for ECDSA.
    pub fn signature(&self) -> &[u8; SIGNATURE_BYTES] {
        self.bytes.last_chunk().expect("a parsed statement ends with its signature")
    }

    /// The COSE `Sig_structure`: what the signature signs.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_signed_bytes(&mut out);
        out
    }

    /// Replaces `out` by the `Sig_structure`.
    pub(crate) fn write_signed_bytes(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&SIG_STRUCTURE);
        out.extend_from_slice(&self.bytes[self.protected.start as usize..self.protected.end as usize]);
        out.push(NO_EXTERNAL_DATA);
        out.extend_from_slice(&self.bytes[self.payload_range()]);
    }

    fn payload_range(&self) -> Range<usize> {
        self.payload.start as usize..self.payload.end as usize
    }
}

/// The `Sig_structure` of a header and a payload that are not a statement yet.
pub(crate) fn sig_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = crate::cbor::Writer(SIG_STRUCTURE.to_vec());
    out.bytes(protected).bytes(&[]).bytes(payload);
    out.0
}
