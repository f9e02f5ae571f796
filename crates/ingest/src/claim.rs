//! Who a refused statement says it is from: read without judging, only to address an `errors` event.

use minicbor::Decoder;
use minicbor::data::{Tag, Type};

/// Label of CWT claims in a COSE header (RFC 9597) and of the sequence number among them.
const CWT_CLAIMS: i64 = 15;
const SEQUENCE: i64 = -65_537;
const KEY_ID: i64 = 4;

/// What the protected header claims. Nothing of it is verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    pub signer: Option<[u8; 20]>,
    pub sequence: Option<u64>,
}

impl Claim {
    /// As much as can be read; an unreadable statement claims nothing.
    pub(crate) fn read(statement: &[u8]) -> Self {
        let mut claim = Self::default();
        // An error ends the reading: what was found before it stands.
        let _ = claim.fill(statement);
        claim
    }

    fn fill(&mut self, statement: &[u8]) -> Result<(), minicbor::decode::Error> {
        let mut outer = Decoder::new(statement);
        if outer.datatype()? == Type::Tag && outer.tag()? != Tag::new(18) {
            return Ok(());
        }
        outer.array()?;
        let mut header = Decoder::new(outer.bytes()?);
        for _ in 0..header.map()?.unwrap_or(0) {
            match header.i64()? {
                KEY_ID => self.signer = header.bytes()?.try_into().ok(),
                CWT_CLAIMS => {
                    for _ in 0..header.map()?.unwrap_or(0) {
                        if header.i64()? == SEQUENCE {
                            self.sequence = Some(header.u64()?);
                        } else {
                            header.skip()?;
                        }
                    }
                }
                _ => header.skip()?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) fn sample_statement(signer: [u8; 20], sequence: u64) -> Vec<u8> {
    let mut header = minicbor::Encoder::new(Vec::new());
    header.map(4).unwrap();
    header.u8(1).unwrap().i8(-8).unwrap().u8(3).unwrap().u8(112).unwrap();
    header.u8(4).unwrap().bytes(&signer).unwrap();
    header.u8(15).unwrap().map(1).unwrap().i64(SEQUENCE).unwrap().u64(sequence).unwrap();
    let mut outer = minicbor::Encoder::new(Vec::new());
    outer.tag(Tag::new(18)).unwrap().array(4).unwrap().bytes(&header.into_writer()).unwrap();
    outer.map(0).unwrap().bytes(b"\x80").unwrap().bytes(&[0; 64]).unwrap();
    outer.into_writer()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_signer_and_sequence() {
        let statement = sample_statement([7; 20], 1 << 32);
        assert_eq!(Claim::read(&statement), Claim { signer: Some([7; 20]), sequence: Some(1 << 32) });
    }

    #[test]
    fn garbage_claims_nothing() {
        for bytes in [&b""[..], b"\xff", b"hello", &[0xd2; 40], &[0x9f; 100]] {
            assert_eq!(Claim::read(bytes), Claim::default());
        }
        let statement = sample_statement([7; 20], 5);
        for cut in 0..statement.len() {
            Claim::read(&statement[..cut]);
        }
    }
}
