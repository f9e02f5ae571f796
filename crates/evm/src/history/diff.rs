//! What one block replaced, as one value: sorted by name, so that a name is found by halving.
//!
//! `u8 names indexed on disk? | u32 entries | entries × u32 end of the entry | entries`, an entry = `u8 length | name | old value`.

use crate::state::StateError;
use crate::store::corrupt;

const HEAD: usize = 5;

/// Entries in ascending order of their names, each name at most 255 bytes long.
pub(super) fn encode(entries: &[(Vec<u8>, Vec<u8>)], indexed: bool) -> Vec<u8> {
    let mut out = vec![u8::from(indexed)];
    out.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    let mut end = 0u32;
    for (name, old) in entries {
        end += (1 + name.len() + old.len()) as u32;
        out.extend_from_slice(&end.to_be_bytes());
    }
    for (name, old) in entries {
        out.push(name.len() as u8);
        out.extend_from_slice(name);
        out.extend_from_slice(old);
    }
    out
}

/// An encoded diff of the block at a height.
pub(super) struct Diff<'a> {
    bytes: &'a [u8],
    entries: usize,
    height: u64,
}

impl<'a> Diff<'a> {
    pub fn decode(bytes: &'a [u8], height: u64) -> Result<Self, StateError> {
        let entries = bytes.get(1..HEAD).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        match entries.map(|n| n as usize) {
            Some(entries) if bytes.len() >= HEAD + 4 * entries => Ok(Diff { bytes, entries, height }),
            _ => Err(corrupt("history", height)),
        }
    }

    /// Whether its names have rows in the index on disk.
    pub fn is_indexed(&self) -> bool {
        self.bytes.first() == Some(&1)
    }

    fn end(&self, entry: usize) -> Option<usize> {
        let at = HEAD + 4 * entry;
        let end = self.bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)?;
        Some(HEAD + 4 * self.entries + end as usize)
    }

    fn entry(&self, entry: usize) -> Option<(&'a [u8], &'a [u8])> {
        let start = match entry.checked_sub(1) {
            Some(before) => self.end(before)?,
            None => HEAD + 4 * self.entries,
        };
        let (length, rest) = self.bytes.get(start..self.end(entry)?)?.split_first()?;
        rest.split_at_checked(usize::from(*length))
    }

    fn checked(&self, entry: usize) -> Result<(&'a [u8], &'a [u8]), StateError> {
        self.entry(entry).ok_or_else(|| corrupt("history", self.height))
    }

    pub fn names(&self) -> impl Iterator<Item = Result<&'a [u8], StateError>> {
        (0..self.entries).map(|entry| self.checked(entry).map(|(name, _)| name))
    }

    /// The old value under a name, if the block replaced it.
    pub fn get(&self, name: &[u8]) -> Result<Option<&'a [u8]>, StateError> {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, old) = self.checked(middle)?;
            match found.cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Some(old)),
            }
        }
        Ok(None)
    }
}
