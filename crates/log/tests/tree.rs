//! The tree against a naive one written from RFC 9162's definitions, and against published vectors.

mod common;

use common::Store;
use proptest::prelude::*;
use triad_log::{
    EMPTY_ROOT, Frontier, Hash, LogError, MemoryTree, TileLog, TileSource, TileWriter, leaf_hash, node_hash,
    path_from_subset, root_from_subset, verify_consistency, verify_inclusion,
};

/// RFC 9162 2.1.1, to the letter.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let k = (1..).map(|bit| 1 << bit).take_while(|k| *k < leaves.len()).last().unwrap_or(1);
            node_hash(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
        }
    }
}

/// RFC 9162 2.1.3.1, to the letter.
fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let k = (1..).map(|bit| 1 << bit).take_while(|k| *k < leaves.len()).last().unwrap_or(1);
    if m < k {
        let mut path = naive_path(m, &leaves[..k]);
        path.push(naive_root(&leaves[k..]));
        path
    } else {
        let mut path = naive_path(m - k, &leaves[k..]);
        path.push(naive_root(&leaves[..k]));
        path
    }
}

/// RFC 9162 2.1.4.1, to the letter.
fn naive_subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { vec![] } else { vec![naive_root(leaves)] };
    }
    let k = (1..).map(|bit| 1 << bit).take_while(|k| *k < leaves.len()).last().unwrap_or(1);
    if m <= k {
        let mut path = naive_subproof(m, &leaves[..k], whole);
        path.push(naive_root(&leaves[k..]));
        path
    } else {
        let mut path = naive_subproof(m - k, &leaves[k..], false);
        path.push(naive_root(&leaves[..k]));
        path
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&(n as u64).to_be_bytes())).collect()
}

fn stored(leaves: &[Hash], block: usize) -> (Store, TileWriter) {
    let (mut store, mut writer) = (Store::default(), TileWriter::new());
    for block in leaves.chunks(block) {
        store.put(writer.append(block));
    }
    (store, writer)
}

fn hash(text: &str) -> Hash {
    hex::decode(text).expect("hex").try_into().expect("32 bytes")
}

/// The vectors of the certificate-transparency reference tests, used by every RFC 6962 implementation.
#[test]
fn published_vectors() {
    let inputs =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    assert_eq!(MemoryTree::new().root(), EMPTY_ROOT);
    assert_eq!(triad_log::sha256(b""), EMPTY_ROOT);
    let tree = MemoryTree::of_leaves(inputs.map(|text| hex::decode(text).expect("hex")));
    let mut frontier = Frontier::new();
    for (size, root) in (1..).zip(roots) {
        frontier.append(leaf_hash(&hex::decode(inputs[size - 1]).expect("hex")));
        assert_eq!(frontier.root(), hash(root), "frontier at {size}");
        assert_eq!(tree.root_at(size as u64), Some(hash(root)), "tree at {size}");
    }
    let path = |index, size| tree.inclusion_proof(index, size).expect("inside").map_hex();
    assert_eq!(
        path(0, 8),
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
        ]
    );
    assert_eq!(
        path(5, 8),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
        ]
    );
    assert_eq!(path(2, 3), ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]);
    let consistency = |old, new| tree.consistency_proof(old, new).expect("inside").map_hex();
    assert_eq!(consistency(1, 1), Vec::<String>::new());
    assert_eq!(
        consistency(6, 8),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
        ]
    );
    assert_eq!(
        consistency(2, 5),
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
        ]
    );
}

trait MapHex {
    fn map_hex(self) -> Vec<String>;
}
impl MapHex for Vec<Hash> {
    fn map_hex(self) -> Vec<String> {
        self.iter().map(hex::encode).collect()
    }
}

#[test]
fn every_proof_of_every_small_tree_is_that_of_the_rfc() {
    let all = leaves(70);
    let tree: MemoryTree = all.iter().copied().collect();
    for size in 0..=all.len() {
        let root = naive_root(&all[..size]);
        assert_eq!(tree.root_at(size as u64), Some(root));
        for index in 0..size {
            let path = tree.inclusion_proof(index as u64, size as u64).expect("inside");
            assert_eq!(path, naive_path(index, &all[..size]));
            assert!(verify_inclusion(&all[index], index as u64, size as u64, &path, &root));
            // No other index, size, leaf or shorter or longer path will do.
            for other in 0..size {
                assert_eq!(
                    verify_inclusion(&all[index], other as u64, size as u64, &path, &root),
                    other == index
                );
            }
            let mut longer = path.clone();
            longer.push(root);
            assert!(!verify_inclusion(&all[index], index as u64, size as u64, &longer, &root));
            if let Some((_, shorter)) = path.split_last() {
                assert!(!verify_inclusion(&all[index], index as u64, size as u64, shorter, &root));
            }
        }
        for old in 0..=size {
            let old_root = naive_root(&all[..old]);
            let path = tree.consistency_proof(old as u64, size as u64).expect("inside");
            if old > 0 {
                assert_eq!(path, naive_subproof(old, &all[..size], true));
            }
            assert!(verify_consistency(old as u64, size as u64, &old_root, &root, &path));
            for other in 0..=size {
                let holds = verify_consistency(other as u64, size as u64, &old_root, &root, &path);
                assert_eq!(holds, other == old, "{other} for {old} of {size}");
            }
        }
    }
    assert_eq!(tree.inclusion_proof(70, 70), None);
    assert_eq!(tree.inclusion_proof(0, 71), None);
    assert_eq!(tree.consistency_proof(3, 71), None);
    assert!(!verify_inclusion(&all[0], 0, 0, &[], &EMPTY_ROOT));
}

#[test]
fn subsets_of_small_trees_are_proved_with_nothing_to_spare() {
    let all = leaves(11);
    for size in 0..=all.len() {
        let tree: MemoryTree = all[..size].iter().copied().collect();
        for mask in 0..1u64 << size {
            let indices: Vec<u64> = (0..size as u64).filter(|index| mask >> index & 1 == 1).collect();
            let proof = tree.subset_proof(&indices).expect("inside");
            let shown: Vec<_> = indices.iter().map(|index| (*index, all[*index as usize])).collect();
            assert_eq!(root_from_subset(&shown, size as u64, &proof), Some(tree.root()));
            for index in &indices {
                let path = path_from_subset(&shown, *index, size as u64, &proof);
                assert_eq!(path, tree.inclusion_proof(*index, size as u64), "{index} out of {indices:?}");
            }
            assert_eq!(path_from_subset(&shown, size as u64, size as u64, &proof), None);
            if let [index] = indices[..] {
                let mut path = tree.inclusion_proof(index, size as u64).expect("inside");
                let mut same = proof.clone();
                path.sort_unstable();
                same.sort_unstable();
                assert_eq!(path, same);
            }
            let mut longer = proof.clone();
            longer.push([7; 32]);
            assert_eq!(root_from_subset(&shown, size as u64, &longer), None);
            if let Some((_, shorter)) = proof.split_last() {
                assert_eq!(root_from_subset(&shown, size as u64, shorter), None);
            }
        }
    }
    assert_eq!(root_from_subset(&[(1, all[1]), (0, all[0])], 2, &[]), None, "indices must rise");
    assert_eq!(root_from_subset(&[(0, all[0]), (0, all[0])], 2, &[]), None, "indices must differ");
    assert_eq!(root_from_subset(&[(2, all[2])], 2, &[all[0]]), None, "indices must be inside");
    assert_eq!(root_from_subset(&[(u64::MAX - 1, all[0])], u64::MAX, &[]), None, "huge sizes are no trouble");
}

#[test]
fn tiles_agree_with_the_tree_at_every_edge() {
    // Two and a bit complete level-1 tiles would need 2^17 leaves: one and a bit is enough to cross every edge.
    let all = leaves(65_536 + 700);
    let tree: MemoryTree = all.iter().copied().collect();
    let (store, writer) = stored(&all, 1000);
    assert_eq!(writer.root(), tree.root());
    assert_eq!(store.0[&(0, 0)].len(), 256 * 32);
    assert_eq!(store.0[&(1, 0)].len(), 256 * 32);
    assert_eq!(store.0[&(1, 1)].len(), 2 * 32);
    assert_eq!(store.0[&(2, 0)].len(), 32);
    assert_eq!(store.0[&(0, 258)].len(), (700 % 256) * 32);
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_793, 66_236] {
        let log = TileLog::new(&store, size);
        assert_eq!(log.root(), Ok(tree.root_at(size).expect("inside")), "root at {size}");
        for index in
            [0, 1, 254, 255, 256, 257, 32_768, 65_535, 65_536, 66_000].into_iter().filter(|i| *i < size)
        {
            assert_eq!(log.inclusion_proof(index).ok(), tree.inclusion_proof(index, size));
            assert_eq!(log.consistency_proof(index).ok(), tree.consistency_proof(index, size));
            assert_eq!(log.leaf_hash(index), Ok(all[index as usize]));
        }
        assert_eq!(log.leaf_hash(size), Err(LogError::OutOfRange { asked: size, size }));
    }
    let short = TileLog::new(&store, 66_237).root();
    assert_eq!(short, Err(LogError::ShortTile { level: 0, index: 258, expected: 189, found: 188 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tiles_grow_alike_in_blocks_of_any_size_and_after_restarts(
        blocks in prop::collection::vec((0usize..600, any::<bool>()), 1..12),
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 8),
    ) {
        let all = leaves(blocks.iter().map(|(count, _)| count).sum());
        let (mut store, mut writer) = (Store::default(), TileWriter::new());
        let mut done = 0;
        for (count, restart) in blocks {
            let before = store.clone();
            let changed = writer.append(&all[done..done + count]);
            for tile in &changed {
                let old = before.tile(tile.level, tile.index).expect("infallible");
                prop_assert!(old.len() < tile.hashes.len(), "only what changed");
                prop_assert!(tile.hashes.starts_with(&old), "only growth");
            }
            store.put(changed);
            done += count;
            if restart {
                let loaded = TileWriter::load(&store, done as u64).expect("whole");
                prop_assert_eq!(loaded.frontier(), writer.frontier());
                writer = loaded;
            }
            prop_assert_eq!(writer.size(), done as u64);
            prop_assert_eq!(writer.root(), naive_root(&all[..done]));
            let bytes = writer.frontier().encode();
            prop_assert_eq!(Frontier::decode(&bytes).ok(), Some(writer.frontier().clone()));
            prop_assert!(Frontier::decode(&bytes[1..]).is_err());
        }
        if all.is_empty() {
            return Ok(());
        }
        for (size, index) in picks {
            let size = 1 + size.index(all.len());
            let index = index.index(size);
            let log = TileLog::new(&store, size as u64);
            prop_assert_eq!(log.root().expect("whole"), naive_root(&all[..size]));
            prop_assert_eq!(log.inclusion_proof(index as u64).expect("whole"), naive_path(index, &all[..size]));
            if index > 0 {
                let proof = log.consistency_proof(index as u64).expect("whole");
                prop_assert_eq!(proof, naive_subproof(index, &all[..size], true));
            }
            let mut pair = vec![index as u64, (index / 2) as u64];
            pair.sort_unstable();
            pair.dedup();
            let shown: Vec<_> = pair.iter().map(|index| (*index, all[*index as usize])).collect();
            let proof = log.subset_proof(&pair).expect("whole");
            prop_assert_eq!(root_from_subset(&shown, size as u64, &proof), Some(naive_root(&all[..size])));
        }
    }

    #[test]
    fn a_changed_proof_proves_nothing(size in 1usize..300, at in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let all = leaves(size);
        let tree: MemoryTree = all.iter().copied().collect();
        let index = at.index(size);
        let mut path = tree.inclusion_proof(index as u64, size as u64).expect("inside");
        if flip > 0 && !path.is_empty() {
            let hash = at.index(path.len());
            path[hash][usize::from(flip) % 32] ^= flip;
            prop_assert!(!verify_inclusion(&all[index], index as u64, size as u64, &path, &tree.root()));
        }
    }
}
