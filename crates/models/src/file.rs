//! The file of a trained model that is more than one ensemble of trees.
//!
//! ```text
//! "TMDL" | u8 version = 1 | name of the kind | u8 sections (1 to 32) | sections
//! section = name | u32 bytes | those bytes
//! name    = u8 length (1 to 32) | ASCII letters, digits, `-`, `_`
//! ```
//! Big-endian. A section holds an ensemble ("TGBT", [`crate::trees`]) or finite `f64`s, as its kind says; no name
//! comes twice, nothing follows the last section, at most 8 MiB. The same model has one form only, so its SHA-256 names it.

const MAGIC: &[u8; 4] = b"TMDL";
const VERSION: u8 = 1;
const MAX_SECTIONS: usize = 32;
const MAX_NAME: usize = 32;
/// A larger file is refused unread.
pub const MAX_MODEL_BYTES: usize = 8 << 20;

/// A kind and its named parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// The kind of model.
    pub kind: String,
    /// Names and bytes, in their order.
    pub sections: Vec<(String, Vec<u8>)>,
}

/// Why bytes are no model: what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no model: {0}")]
pub struct ModelFileError(pub String);

pub(crate) fn wrong(problem: impl Into<String>) -> ModelFileError {
    ModelFileError(problem.into())
}

impl ModelFile {
    /// Whether bytes begin as such a file does.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// No sections yet.
    pub fn new(kind: &str) -> Self {
        Self { kind: kind.into(), sections: Vec::new() }
    }

    /// With one more section.
    pub fn with(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self.sections.push((name.into(), bytes));
        self
    }

    /// With one more section of numbers.
    pub fn with_numbers(self, name: &str, numbers: impl IntoIterator<Item = f64>) -> Self {
        let bytes = numbers.into_iter().flat_map(|number| number.to_bits().to_be_bytes()).collect();
        self.with(name, bytes)
    }

    /// The one form of this model.
    ///
    /// # Panics
    /// If a name is not 1 to 32 bytes, or there is no section or more than 32: those are the caller's own.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        let name = |out: &mut Vec<u8>, name: &str| {
            assert!((1..=MAX_NAME).contains(&name.len()), "names of kinds and sections are short");
            out.push(name.len() as u8);
            out.extend(name.as_bytes());
        };
        name(&mut out, &self.kind);
        assert!((1..=MAX_SECTIONS).contains(&self.sections.len()), "a kind has few sections");
        out.push(self.sections.len() as u8);
        for (section, bytes) in &self.sections {
            name(&mut out, section);
            out.extend((bytes.len() as u32).to_be_bytes());
            out.extend(bytes);
        }
        out
    }

    /// Reads bytes that may be hostile.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelFileError> {
        if bytes.len() > MAX_MODEL_BYTES {
            return Err(wrong(format!("{} bytes; at most {MAX_MODEL_BYTES} are read", bytes.len())));
        }
        let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| wrong("\"TMDL\" is expected at its begin"))?;
        let version = take(&mut rest, 1)?[0];
        if version != VERSION {
            return Err(wrong(format!(
                "version {version} of the format; this program reads version {VERSION}"
            )));
        }
        let kind = name(&mut rest)?;
        let count = usize::from(take(&mut rest, 1)?[0]);
        if !(1..=MAX_SECTIONS).contains(&count) {
            return Err(wrong(format!("{count} sections; 1 to {MAX_SECTIONS} are expected")));
        }
        let mut sections: Vec<(String, Vec<u8>)> = Vec::new();
        for _ in 0..count {
            let section = name(&mut rest)?;
            if sections.iter().any(|(other, _)| *other == section) {
                return Err(wrong(format!("section {section:?} comes twice")));
            }
            let length = take(&mut rest, 4)?;
            let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
            sections.push((section, take(&mut rest, length)?.to_vec()));
        }
        if rest.is_empty() {
            Ok(Self { kind, sections })
        } else {
            Err(wrong(format!("{} bytes after the last section", rest.len())))
        }
    }

    /// The bytes of a section.
    pub fn section(&self, name: &str) -> Result<&[u8], ModelFileError> {
        let found = self.sections.iter().find(|(section, _)| section == name);
        found.map(|(_, bytes)| bytes.as_slice()).ok_or_else(|| {
            let there = self.sections.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            wrong(format!("no section {name:?}; there are: {there}"))
        })
    }

    /// The numbers of a section, all finite.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, ModelFileError> {
        let (chunks, rest) = self.section(name)?.as_chunks::<8>();
        let numbers: Vec<f64> =
            chunks.iter().map(|bytes| f64::from_bits(u64::from_be_bytes(*bytes))).collect();
        if rest.is_empty() && numbers.iter().all(|number| number.is_finite()) {
            Ok(numbers)
        } else {
            Err(wrong(format!("section {name:?} is no list of finite numbers")))
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], ModelFileError> {
    let (head, tail) = rest.split_at_checked(count).ok_or_else(|| wrong("the file ends too early"))?;
    *rest = tail;
    Ok(head)
}

fn name(rest: &mut &[u8]) -> Result<String, ModelFileError> {
    let length = usize::from(take(rest, 1)?[0]);
    let bytes = take(rest, length)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    if (1..=MAX_NAME).contains(&length) && bytes.iter().all(plain) {
        Ok(bytes.iter().copied().map(char::from).collect())
    } else {
        Err(wrong("a name that is not 1 to 32 letters, digits, \"-\" or \"_\""))
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_MODEL_BYTES, ModelFile};

    #[test]
    fn the_bytes_are_as_documented_and_come_back() {
        let file = ModelFile::new("life").with("a", vec![7]).with_numbers("n", [1.5]);
        let bytes = file.encode();
        let fixture = "544d444c 01 04 6c696665 02 01 61 00000001 07 01 6e 00000008 3ff8000000000000";
        assert_eq!(hex::encode(&bytes), fixture.replace(' ', ""));
        let back = ModelFile::decode(&bytes).unwrap();
        assert_eq!((back.numbers("n").unwrap(), &back), (vec![1.5], &file));
        assert!(back.numbers("a").unwrap_err().to_string().contains("no list of finite numbers"));
        assert!(back.section("b").unwrap_err().to_string().ends_with("there are: a, n"));
    }

    #[test]
    fn hostile_files_are_refused() {
        let good = ModelFile::new("life").with("a", vec![7]).encode();
        for length in 0..good.len() {
            assert!(ModelFile::decode(&good[..length]).is_err());
        }
        let refused = |bytes: &[u8]| ModelFile::decode(bytes).unwrap_err().to_string();
        assert!(refused(&[good.clone(), vec![0]].concat()).contains("1 bytes after the last section"));
        let twice = ModelFile::new("life").with("a", vec![]).with("a", vec![]).encode();
        assert!(refused(&twice).contains("comes twice"));
        // Four gigabytes claimed by a few bytes.
        let claim = hex::decode("544d444c01046c696665010161ffffffff").unwrap();
        assert!(refused(&claim).contains("ends too early"));
        assert!(refused(&vec![0; MAX_MODEL_BYTES + 1]).contains("at most"));
        let mut other = good;
        other[4] = 2;
        assert!(refused(&other).contains("version 2"));
    }
}
