//! The log as tiles: where its hashes lie, how they grow, how proofs read them.
//!
//! A tile holds up to 256 hashes. Tile `index` of level 0 holds the leaf hashes `[256 × index, 256 × (index + 1))`; tile
//! `index` of level L + 1 holds the roots of the complete tiles `[256 × index, …)` of level L. So a hash of level L is
//! the root of a perfect subtree of 256^L leaves, and the hashes between are computed when a proof wants them. A tile
//! with fewer than 256 hashes is the last of its level; it is written again as it grows, a complete one never.
//!
//! Byte format of a tile: its hashes, 32 bytes each, in order.
//!
//! Storage is elsewhere: [`TileWriter::append`] says which tiles changed, a [`TileSource`] hands them back.

use crate::frontier::Frontier;
use crate::hash::{Hash, node_hash};
use crate::proof::{self, Nodes};

/// Hashes in a complete tile.
pub const TILE_WIDTH: usize = 256;
const TILE_HEIGHT: u8 = 8;

/// One tile as it is after an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// 0 for leaf hashes.
    pub level: u8,
    /// Position within its level.
    pub index: u64,
    /// One to 256 hashes.
    pub hashes: Vec<Hash>,
}

impl Tile {
    /// The byte format above.
    pub fn bytes(&self) -> &[u8] {
        self.hashes.as_flattened()
    }

    /// Reads the byte format above; None unless it is one to 256 whole hashes.
    pub fn hashes_from_bytes(bytes: &[u8]) -> Option<Vec<Hash>> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        (rest.is_empty() && (1..=TILE_WIDTH).contains(&hashes.len())).then(|| hashes.to_vec())
    }
}

/// Hands out stored tiles.
pub trait TileSource {
    /// Why a tile could not be read.
    type Error;

    /// The hashes of a tile that exists at the size asked about. More of them than there were then is fine.
    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, Self::Error>;
}

/// Why the log could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError<E> {
    /// The store failed.
    #[error("the tile store failed: {0}")]
    Store(E),
    /// The store holds less than the log's size says.
    #[error(
        "tile {index} of level {level} should hold at least {expected} hashes and holds {found}: the store is damaged"
    )]
    ShortTile {
        /// Its level.
        level: u8,
        /// Its index.
        index: u64,
        /// What the log's size asks for.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// A question about what is not there.
    #[error("the log has {size} leaves; asked about {asked}")]
    OutOfRange {
        /// The index or size asked about.
        asked: u64,
        /// The size it was asked at.
        size: u64,
    },
}

/// Grows a log.
///
/// Holds the right edge only (at most 256 hashes a level), so a clone is cheap enough to keep one for each
/// undecided block.
#[derive(Clone, Debug, Default)]
pub struct TileWriter {
    frontier: Frontier,
    /// The last, incomplete tile of each level; complete ones leave.
    edge: Vec<Vec<Hash>>,
}

impl TileWriter {
    /// An empty log.
    pub fn new() -> TileWriter {
        TileWriter::default()
    }

    /// The writer of a stored log of `size` leaves.
    pub fn load<S: TileSource>(source: &S, size: u64) -> Result<TileWriter, LogError<S::Error>> {
        let mut edge = Vec::new();
        let mut entries = size;
        for level in 0.. {
            if entries == 0 {
                break;
            }
            let width = (entries % TILE_WIDTH as u64) as usize;
            let mut hashes = Vec::new();
            if width > 0 {
                hashes = read_tile(source, level, entries >> TILE_HEIGHT, width)?;
                hashes.truncate(width);
            }
            edge.push(hashes);
            entries >>= TILE_HEIGHT;
        }
        let nodes = Stored { source };
        let mut roots = Vec::new();
        for bit in (0..u64::BITS as u8).rev().filter(|bit| size >> bit & 1 == 1) {
            // The subtree of 2^bit leaves follows all larger ones.
            roots.push(nodes.node(bit, (size >> bit) - 1)?);
        }
        Ok(TileWriter { frontier: Frontier::from_roots(size, roots), edge })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The log's root.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The log's frontier.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The last, incomplete tile of each level that has one: with them the log can be gone on with.
    pub fn edge(&self) -> Vec<Tile> {
        let levels = (0u8..).zip(&self.edge).filter(|(_, hashes)| !hashes.is_empty());
        let index = |level: u8| (self.size() >> (u32::from(level) * u32::from(TILE_HEIGHT))) >> TILE_HEIGHT;
        levels.map(|(level, hashes)| Tile { level, index: index(level), hashes: hashes.clone() }).collect()
    }

    /// Appends the hashes of leaves and returns every tile that changed, each once and as it is now, by level and index.
    pub fn append(&mut self, leaves: &[Hash]) -> Vec<Tile> {
        let mut complete = Vec::new();
        let first = self.size();
        for leaf in leaves {
            let index = self.frontier.size();
            push(&mut self.edge, &mut complete, 0, index, *leaf);
            let Self { frontier, edge } = self;
            frontier.append_seen(*leaf, |height, hash| {
                if height % TILE_HEIGHT == 0 {
                    push(edge, &mut complete, height / TILE_HEIGHT, index >> height, hash);
                }
            });
        }
        for (level, hashes) in self.edge.iter().enumerate() {
            let level = level as u8;
            let shift = u32::from(level * TILE_HEIGHT);
            let (before, now) = (first >> shift, self.size() >> shift);
            if before != now && !hashes.is_empty() {
                complete.push(Tile { level, index: now >> TILE_HEIGHT, hashes: hashes.clone() });
            }
        }
        complete.sort_unstable_by_key(|tile| (tile.level, tile.index));
        complete
    }
}

/// Puts entry `index` of a level into its edge tile and hands the tile over when it is complete.
fn push(edge: &mut Vec<Vec<Hash>>, complete: &mut Vec<Tile>, level: u8, index: u64, hash: Hash) {
    let row = usize::from(level);
    if edge.len() == row {
        edge.push(Vec::new());
    }
    let hashes = &mut edge[row];
    debug_assert_eq!(hashes.len() as u64, index % TILE_WIDTH as u64);
    hashes.push(hash);
    if hashes.len() == TILE_WIDTH {
        complete.push(Tile { level, index: index >> TILE_HEIGHT, hashes: std::mem::take(hashes) });
    }
}

/// A stored log as it was at a size: roots and proofs.
#[derive(Clone, Copy, Debug)]
pub struct TileLog<'a, S> {
    source: &'a S,
    size: u64,
}

impl<'a, S: TileSource> TileLog<'a, S> {
    /// The log when it had `size` leaves. The source must hold them.
    pub fn new(source: &'a S, size: u64) -> TileLog<'a, S> {
        TileLog { source, size }
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root at this size.
    pub fn root(&self) -> Result<Hash, LogError<S::Error>> {
        proof::subtree(&self.nodes(), 0, self.size)
    }

    /// The hash of a leaf.
    pub fn leaf_hash(&self, index: u64) -> Result<Hash, LogError<S::Error>> {
        self.inside(index)?;
        self.nodes().node(0, index)
    }

    /// RFC 9162 inclusion proof, bottom up.
    pub fn inclusion_proof(&self, index: u64) -> Result<Vec<Hash>, LogError<S::Error>> {
        self.inside(index)?;
        proof::inclusion(&self.nodes(), index, self.size)
    }

    /// RFC 9162 consistency proof from the log when it had `old` leaves. Empty if `old` is 0 or this size.
    pub fn consistency_proof(&self, old: u64) -> Result<Vec<Hash>, LogError<S::Error>> {
        if old > self.size {
            return Err(LogError::OutOfRange { asked: old, size: self.size });
        }
        if old == 0 { Ok(Vec::new()) } else { proof::consistency(&self.nodes(), old, self.size) }
    }

    /// The hashes that prove several leaves at once. `indices` strictly rising.
    pub fn subset_proof(&self, indices: &[u64]) -> Result<Vec<Hash>, LogError<S::Error>> {
        assert!(indices.is_sorted_by(|a, b| a < b), "strictly rising indices");
        if let Some(last) = indices.last() {
            self.inside(*last)?;
        }
        proof::subset(&self.nodes(), indices, self.size)
    }

    fn inside(&self, index: u64) -> Result<(), LogError<S::Error>> {
        if index < self.size { Ok(()) } else { Err(LogError::OutOfRange { asked: index, size: self.size }) }
    }

    fn nodes(&self) -> Stored<'a, S> {
        Stored { source: self.source }
    }
}

struct Stored<'a, S> {
    source: &'a S,
}

impl<S: TileSource> Nodes for Stored<'_, S> {
    type Error = LogError<S::Error>;

    fn node(&self, height: u8, index: u64) -> Result<Hash, Self::Error> {
        let level = height / TILE_HEIGHT;
        let inner = height % TILE_HEIGHT;
        let first = index << inner;
        let offset = (first % TILE_WIDTH as u64) as usize;
        let end = offset + (1 << inner);
        let tile = read_tile(self.source, level, first >> TILE_HEIGHT, end)?;
        let mut row = tile[offset..end].to_vec();
        while row.len() > 1 {
            halve(&mut row);
        }
        Ok(row[0])
    }
}

/// The root over a complete tile: the entry that it has one level up.
pub fn tile_root(hashes: &[Hash; TILE_WIDTH]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        halve(&mut row);
    }
    row[0]
}

/// The hashes over pairs of hashes.
fn halve(row: &mut Vec<Hash>) {
    for pair in 0..row.len() / 2 {
        row[pair] = node_hash(&row[2 * pair], &row[2 * pair + 1]);
    }
    row.truncate(row.len() / 2);
}

fn read_tile<S: TileSource>(
    source: &S,
    level: u8,
    index: u64,
    expected: usize,
) -> Result<Vec<Hash>, LogError<S::Error>> {
    let hashes = source.tile(level, index).map_err(LogError::Store)?;
    if hashes.len() < expected {
        return Err(LogError::ShortTile { level, index, expected, found: hashes.len() });
    }
    Ok(hashes)
}
