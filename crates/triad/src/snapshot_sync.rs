//! `triad node --snapshot-sync`: beginning with a snapshot that the validators vouch for, instead of with genesis.
//!
//! ```text
//! /v1/snapshots ─▶ head, checked from the genesis file ─▶ chunks, each checked, into snapshots/<height>/ ─▶ import
//!     ─▶ the blocks up to the first certified one ─▶ chain/ ─▶ the node goes on by blocks
//! ```
//!
//! Nobody who serves it is trusted, so several nodes may: each chunk comes from the next one that has it. What was downloaded
//! stays when it is cut short and is not downloaded again. `chain/` appears only once it is whole.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use triad_chain::{
    ChainSpec, Ledger, MAX_BLOCK_BYTES, MAX_CHUNK_BYTES, import, read_chunk, write_chunk, write_head,
};
use triad_log::{MAX_SNAPSHOT_HEAD_BYTES, SnapshotHead, leaf_hash};

use crate::client::Api;
use crate::node::layout::Layout;

/// Fills an empty data directory. `from` are APIs of nodes of this chain.
pub async fn run(layout: &Layout, spec: ChainSpec, from: &[String], quiet: bool) -> anyhow::Result<u64> {
    ensure!(
        !from.is_empty(),
        "--snapshot-sync needs to know a node: give the address of an API, http://HOST:PORT"
    );
    let sources = from.iter().map(|url| Api::new(url)).collect::<anyhow::Result<Vec<_>>>()?;
    let (head, source) = newest(&spec, &sources).await?;
    let height = head.checkpoint.height.0;
    eprintln!(
        "triad: beginning with the state after block {height}, for which {} validators vouch: {} chunks, {:.1} MiB, from {}",
        head.signatures.len(),
        head.chunks.len(),
        head.bytes as f64 / f64::from(1 << 20),
        source.base
    );
    let dir = layout.snapshots().join(height.to_string());
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let bar = bar(head.chunks.len(), "downloaded", quiet);
    for index in 0..head.chunks.len() {
        let here = read_chunk(&dir, index).is_ok_and(|bytes| leaf_hash(&bytes) == head.chunks[index]);
        if !here {
            download(&dir, &head, index, &source, &sources).await?;
        }
        bar.set_position(index as u64 + 1);
    }
    bar.finish_and_clear();
    write_head(&dir, &head)?;
    let mut blocks = Vec::new();
    for checkpoint in &head.later {
        blocks.push(source.bytes_up_to(MAX_BLOCK_BYTES, &format!("/v1/blocks/{}", checkpoint.height)).await?);
    }
    let layout = layout.clone();
    tokio::task::spawn_blocking(move || place(&layout, spec, &dir, &head, &blocks, quiet)).await??;
    Ok(height)
}

/// The newest snapshot that anybody has and that can be believed.
async fn newest(spec: &ChainSpec, sources: &[Api]) -> anyhow::Result<(SnapshotHead, Api)> {
    let mut offered: Vec<(u64, &Api)> = Vec::new();
    let mut why = Vec::new();
    for source in sources {
        match source.get("/v1/snapshots").await {
            Ok(list) => {
                let all = list["snapshots"].as_array().cloned().unwrap_or_default();
                let good = all.iter().filter(|s| s["vouched_for"] == true);
                let heights: Vec<u64> = good.filter_map(|s| s["height"].as_u64()).collect();
                if heights.is_empty() {
                    why.push(format!(
                        "{} has no snapshot yet that a quorum of the validators vouches for",
                        source.base
                    ));
                }
                offered.extend(heights.into_iter().map(|height| (height, source)));
            }
            Err(error) => why.push(format!("{}: {error:#}", source.base)),
        }
    }
    offered.sort_by_key(|(height, _)| std::cmp::Reverse(*height));
    for (height, source) in offered {
        let checked = async {
            let bytes =
                source.bytes_up_to(MAX_SNAPSHOT_HEAD_BYTES, &format!("/v1/snapshots/{height}")).await?;
            let head = SnapshotHead::decode(&bytes)?;
            ensure!(head.checkpoint.height.0 == height, "it is of another block");
            head.verify(&spec.anchor)?;
            anyhow::Ok(head)
        };
        match checked.await {
            Ok(head) => return Ok((head, source.clone())),
            Err(error) => why.push(format!("{}, the snapshot after block {height}: {error:#}", source.base)),
        }
    }
    bail!(
        "no snapshot to begin with:\n  {}\nWithout --snapshot-sync the node goes through all blocks",
        why.join("\n  ")
    )
}

/// From the first that gives the right one.
async fn download(
    dir: &Path,
    head: &SnapshotHead,
    index: usize,
    first: &Api,
    sources: &[Api],
) -> anyhow::Result<()> {
    let path = format!("/v1/snapshots/{}/chunks/{index}", head.checkpoint.height);
    let mut why = Vec::new();
    for source in std::iter::once(first).chain(sources.iter().filter(|s| s.base != first.base)) {
        let got = async {
            let bytes = source.bytes_up_to(MAX_CHUNK_BYTES, &path).await?;
            anyhow::Ok(write_chunk(dir, head, index, &bytes)?)
        };
        match got.await {
            Ok(()) => return Ok(()),
            Err(error) => why.push(format!("{}: {error:#}", source.base)),
        }
    }
    bail!(
        "chunk {index} of {} is not to be had; what was downloaded stays, start again:\n  {}",
        head.chunks.len(),
        why.join("\n  ")
    )
}

/// Writes the chain beside its place, and puts it there when it is whole.
fn place(
    layout: &Layout,
    spec: ChainSpec,
    dir: &Path,
    head: &SnapshotHead,
    blocks: &[Vec<u8>],
    quiet: bool,
) -> anyhow::Result<()> {
    let part = layout.dir.join("chain.part");
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    let bar = bar(head.chunks.len(), "imported", quiet);
    import(&part, &spec, dir, head, |progress| bar.set_position(progress.chunks as u64))?;
    bar.finish_and_clear();
    let certificate = head.certificate.encode();
    if !blocks.is_empty() {
        let ledger = Ledger::open(&part, spec)?;
        for (n, block) in blocks.iter().enumerate() {
            let last = n + 1 == blocks.len();
            ledger.finalize(&block.clone().into(), last.then_some(certificate.as_slice()))?;
        }
    }
    fs::rename(&part, layout.chain())
        .with_context(|| format!("cannot rename {} to {}", part.display(), layout.chain().display()))
}

fn bar(of: usize, what: &str, quiet: bool) -> ProgressBar {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(of as u64) };
    if let Ok(style) =
        ProgressStyle::with_template(&format!("{{bar:40}} {what} {{pos}}/{{len}} chunks · {{eta}} left"))
    {
        bar.set_style(style);
    }
    bar
}
