//! A small ledger for tests: items in blocks, committed to one append-only file with an fsync a block.
//!
//! Block bytes: parent 32 ‖ height u64 ‖ salt u64 ‖ items, each u32 length ‖ bytes. Digest: SHA-256 of them.
//! Outline of a block: digest 32 ‖ parent 32 ‖ height u64 ‖ salt u64 ‖ a name of 8 bytes an item.
//! Ledger file: a line a block, `height digest item item …`, items in hex.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};
use triad_consensus::{Application, At, Block, Filled, Header, Stored};

#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    work: Arc<Notify>,
    height: watch::Sender<u64>,
    options: Options,
}

/// How the ledger behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most items in a block.
    pub items_a_block: usize,
    /// How long a commit takes besides its fsync.
    pub commit_delay: Duration,
    /// Height whose commit fails.
    pub fail_at: Option<u64>,
    /// Sync the file at each block.
    pub sync: bool,
    /// Height whose proposal panics.
    pub panic_at: Option<u64>,
    /// Blocks are sent as outlines. A quarter of the items were never heard of, another quarter is something else here.
    pub outlines: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            items_a_block: 1000,
            commit_delay: Duration::ZERO,
            fail_at: None,
            sync: true,
            panic_at: None,
            outlines: false,
        }
    }
}

#[derive(Debug)]
struct State {
    file: File,
    digests: Vec<[u8; 32]>,
    queue: VecDeque<Bytes>,
    /// Items of blocks that are not final yet, with their parent.
    pending: HashMap<[u8; 32], ([u8; 32], u64, HashSet<Bytes>)>,
    pub largest_pending: usize,
    pub certificates: Vec<(u64, [u8; 32], Bytes)>,
    /// Final blocks of this process, for peers.
    kept: HashMap<u64, Stored>,
    /// How often a peer got one of them.
    served: u64,
}

pub fn parse(bytes: &[u8]) -> Result<(Header, Vec<Bytes>), String> {
    let (parent, rest) = bytes.split_first_chunk::<32>().ok_or("no parent")?;
    let (height, rest) = rest.split_first_chunk::<8>().ok_or("no height")?;
    let (_salt, mut rest) = rest.split_first_chunk::<8>().ok_or("no salt")?;
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (len, tail) = rest.split_first_chunk::<4>().ok_or("no length")?;
        let len = u32::from_be_bytes(*len) as usize;
        if tail.len() < len {
            return Err("item cut".into());
        }
        items.push(Bytes::copy_from_slice(&tail[..len]));
        rest = &tail[len..];
    }
    let header = Header {
        digest: Sha256::digest(bytes).into(),
        parent: *parent,
        height: u64::from_be_bytes(*height),
        epoch: 0,
    };
    Ok((header, items))
}

fn build(parent: [u8; 32], height: u64, salt: u64, items: &[Bytes]) -> Block {
    let mut bytes = Vec::with_capacity(64 + items.iter().map(|i| i.len() + 4).sum::<usize>());
    bytes.extend_from_slice(&parent);
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&salt.to_be_bytes());
    for item in items {
        bytes.extend_from_slice(&(item.len() as u32).to_be_bytes());
        bytes.extend_from_slice(item);
    }
    let header = Header { digest: Sha256::digest(&bytes).into(), parent, height, epoch: 0 };
    Block::new(header, bytes)
}

/// Items that were submitted to any ledger, by their names.
static HEARD: Mutex<BTreeMap<[u8; 8], Bytes>> = Mutex::new(BTreeMap::new());

fn name(item: &[u8]) -> [u8; 8] {
    Sha256::digest(item)[..8].try_into().unwrap()
}

/// The lines of a ledger file: height, digest, items. A torn last line is left out.
pub fn read(path: &Path) -> Vec<(u64, String, Vec<String>)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    whole
        .lines()
        .map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let height = words.next().unwrap().parse().unwrap();
            (height, words.next().unwrap(), words.collect())
        })
        .collect()
}

pub fn file_of(dir: &Path) -> PathBuf {
    dir.join("ledger")
}

impl Ledger {
    pub fn open(dir: &Path, options: Options) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let path = file_of(dir);
        let lines = read(&path);
        let whole = std::fs::read_to_string(&path).unwrap_or_default().rfind('\n').map_or(0, |end| end + 1);
        let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        file.set_len(whole as u64).unwrap();
        let digest = |text: &str| -> [u8; 32] {
            let bytes: Vec<u8> =
                (0..64).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect();
            bytes.try_into().unwrap()
        };
        let mut digests = vec![genesis().digest];
        for (index, (height, text, _)) in lines.iter().enumerate() {
            assert_eq!(*height, index as u64 + 1, "a height is lost or there twice");
            digests.push(digest(text));
        }
        let height = digests.len() as u64 - 1;
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State {
                    file,
                    digests,
                    queue: VecDeque::new(),
                    pending: HashMap::new(),
                    largest_pending: 0,
                    certificates: Vec::new(),
                    kept: HashMap::new(),
                    served: 0,
                }),
                work: Arc::default(),
                height: watch::channel(height).0,
                options,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap()
    }

    pub fn submit(&self, item: impl Into<Bytes>) {
        let item = item.into();
        HEARD.lock().unwrap().insert(name(&item), item.clone());
        self.state().queue.push_back(item);
        self.inner.work.notify_one();
    }

    pub fn queued(&self) -> usize {
        self.state().queue.len()
    }

    /// What was submitted and is not final.
    pub fn waiting(&self) -> HashSet<Bytes> {
        self.state().queue.iter().cloned().collect()
    }

    pub fn heights(&self) -> watch::Receiver<u64> {
        self.inner.height.subscribe()
    }

    /// Waits until a height is final.
    pub async fn reach(&self, height: u64) {
        self.heights().wait_for(|h| *h >= height).await.unwrap();
    }

    /// Waits until everything submitted is final.
    pub async fn drained(&self) {
        let mut heights = self.heights();
        while self.queued() > 0 {
            heights.changed().await.unwrap();
        }
    }

    pub fn digest(&self, height: u64) -> [u8; 32] {
        self.state().digests[height as usize]
    }

    pub fn served(&self) -> u64 {
        self.state().served
    }

    pub fn certificates(&self) -> Vec<(u64, [u8; 32], Bytes)> {
        self.state().certificates.clone()
    }

    /// Most blocks that were proposed or verified and not final at one time.
    pub fn largest_pending(&self) -> usize {
        self.state().largest_pending
    }
}

fn genesis() -> Block {
    build([0; 32], 0, 0, &[])
}

impl Application for Ledger {
    fn genesis(&self) -> Block {
        genesis()
    }

    fn header(bytes: &[u8]) -> Result<Header, String> {
        parse(bytes).map(|(header, _)| header)
    }

    async fn propose(&self, parent: Block, _: u32, must: bool) -> Option<Block> {
        assert!(self.inner.options.panic_at != Some(parent.height + 1), "the ledger panics (says the test)");
        let mut state = self.state();
        let mut items = Vec::new();
        if !must {
            // What waits and is not in an ancestor that is not final yet.
            let mut ancestors = Vec::new();
            let mut at = parent.digest;
            while let Some((below, _, _)) = state.pending.get(&at) {
                ancestors.push(at);
                at = *below;
            }
            let final_height = state.digests.len() as u64 - 1;
            assert!(
                parent.height <= final_height || ancestors.len() as u64 >= parent.height - final_height,
                "asked to build on a block that was never seen"
            );
            for item in &state.queue {
                if items.len() == self.inner.options.items_a_block {
                    break;
                }
                if !ancestors.iter().any(|a| state.pending[a].2.contains(item)) {
                    items.push(item.clone());
                }
            }
            if items.is_empty() {
                return None;
            }
        }
        let block = build(parent.digest, parent.height + 1, rand::random(), &items);
        state.remember(&block, items);
        Some(block)
    }

    async fn verify(&self, parent: Block, block: Block, _: u32) -> bool {
        let Ok((header, items)) = parse(&block.bytes) else { return false };
        if header.parent != parent.digest || header.height != parent.height + 1 {
            return false;
        }
        let mut state = self.state();
        assert!(
            parent.height < state.digests.len() as u64 || state.pending.contains_key(&parent.digest),
            "asked to verify on a block that was never seen"
        );
        state.remember(&block, items);
        true
    }

    fn knows(&self, digest: &[u8; 32]) -> bool {
        let state = self.state();
        state.digests.last() == Some(digest) || state.pending.contains_key(digest)
    }

    async fn adopt(&self, ancestor: Block) -> bool {
        let Ok((_, items)) = parse(&ancestor.bytes) else { return false };
        let known = self.knows(&ancestor.parent);
        if known {
            self.state().remember(&ancestor, items);
        }
        known
    }

    async fn finalized(&self, block: Block, certificate: Option<Bytes>) -> Result<(), String> {
        if self.inner.options.fail_at == Some(block.height) {
            return Err("the disk is full (says the test)".into());
        }
        tokio::time::sleep(self.inner.options.commit_delay).await;
        let ledger = self.clone();
        tokio::task::spawn_blocking(move || ledger.commit(&block, certificate))
            .await
            .map_err(|e| e.to_string())?
    }

    fn outline(&self, block: &Bytes) -> Option<Bytes> {
        if !self.inner.options.outlines {
            return None;
        }
        let (header, items) = parse(block).ok()?;
        let mut out = header.digest.to_vec();
        out.extend_from_slice(&block[..48]);
        items.iter().for_each(|item| out.extend_from_slice(&name(item)));
        Some(out.into())
    }

    fn fill(&self, outline: &Bytes, items: &BTreeMap<u32, Bytes>) -> Filled {
        let (head, names) = outline.split_at(80);
        let (mut all, mut lacks) = (Vec::new(), Vec::new());
        for (place, name) in (0..).zip(names.chunks_exact(8)) {
            let heard = HEARD.lock().unwrap().get(name).cloned().filter(|_| name[0] % 4 != 0);
            let found = items.get(&place).cloned().or_else(|| {
                heard.map(|item| if name[0] % 4 == 1 { [&item, &b"!"[..]].concat().into() } else { item })
            });
            found.map_or_else(|| lacks.push(place), |item| all.push(item));
        }
        if !lacks.is_empty() {
            return Filled::Lacks(lacks);
        }
        let number = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().unwrap());
        let block = build(head[32..64].try_into().unwrap(), number(64), number(72), &all);
        if block.digest == head[..32] { Filled::Whole(block.bytes) } else { Filled::Wrong }
    }

    fn items(&self, block: &Bytes, places: &[u32]) -> Option<Vec<Bytes>> {
        let (_, items) = parse(block).ok()?;
        places.iter().map(|place| items.get(*place as usize).cloned()).collect()
    }

    fn work(&self) -> Arc<Notify> {
        self.inner.work.clone()
    }

    fn final_height(&self) -> u64 {
        *self.inner.height.borrow()
    }

    async fn stored(&self, at: At) -> Option<Stored> {
        let mut state = self.state();
        let found = match at {
            At::Height(height) => state.kept.get(&height).cloned(),
            At::Digest(digest) => state.kept.values().find(|s| s.block.digest == digest).cloned(),
        };
        state.served += u64::from(found.is_some());
        found
    }
}

impl State {
    fn remember(&mut self, block: &Block, items: Vec<Bytes>) {
        let entry = (block.parent, block.height, items.into_iter().collect());
        self.pending.insert(block.digest, entry);
        self.largest_pending = self.largest_pending.max(self.pending.len());
    }
}

impl Ledger {
    fn commit(&self, block: &Block, certificate: Option<Bytes>) -> Result<(), String> {
        let (_, items) = parse(&block.bytes)?;
        let mut state = self.state();
        let next = state.digests.len() as u64;
        if block.height < next {
            return if state.digests[block.height as usize] == block.digest {
                Ok(())
            } else {
                Err(format!("another block at height {}", block.height))
            };
        }
        if block.height > next || block.parent != state.digests[next as usize - 1] {
            return Err(format!("block {} does not follow height {}", block.height, next - 1));
        }
        let mut line = format!("{} {}", block.height, hex(&block.digest));
        for item in &items {
            line.push(' ');
            // Long items of throughput runs are not kept in full.
            line.push_str(&hex(&item[..item.len().min(16)]));
        }
        line.push('\n');
        state.file.write_all(line.as_bytes()).map_err(|e| e.to_string())?;
        if self.inner.options.sync {
            state.file.sync_data().map_err(|e| e.to_string())?;
        }
        state.digests.push(block.digest);
        let stored = Stored { block: block.clone(), certificate: certificate.clone() };
        state.kept.insert(block.height, stored);
        if let Some(certificate) = certificate {
            state.certificates.push((block.height, block.digest, certificate));
        }
        let done: HashSet<Bytes> = items.into_iter().collect();
        state.queue.retain(|item| !done.contains(item));
        let height = block.height;
        state.pending.retain(|_, (_, at, _)| *at > height);
        drop(state);
        self.inner.height.send_replace(height);
        Ok(())
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
