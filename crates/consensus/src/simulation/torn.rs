//! What a disk holds after a crash of what was written and not synced: all of it, nothing, some of the writes, a part of each.
//!
//! commonware's storage promises that a write before a completed sync may be torn, any of its bytes may be there, and bytes
//! outside of it are untouched. Its own simulation can do that when the whole runtime crashes; here one machine of many does.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc, time::Duration};

use commonware_runtime::{
    Blob, BlobVersion, Error, Handle, IoBufs, IoBufsMut, ReadOptions, Storage, WriteOptions,
    deterministic::{self, Context},
};
use commonware_runtime::{Clock as _, reschedule};
use commonware_utils::sync::Mutex;
use rand::RngExt as _;

/// A block of the device: within one the bytes come to it together.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum What {
    Write { offset: u64, bytes: Vec<u8> },
    Resize(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Asked for, and not answered.
    Asked,
    /// Answered, or nobody waits for the answer any more.
    Done,
    /// Surely on the disk. On record nevertheless: what was written there before it must not come over it.
    Durable,
}

/// A change of a file that may not be on the disk yet.
#[derive(Clone, Debug)]
struct Change {
    id: u64,
    what: What,
    state: State,
}

#[derive(Debug)]
struct File {
    version: BlobVersion,
    changes: Vec<Change>,
    next: u64,
}

type Name = (String, Vec<u8>);

/// What one machine wrote and has not synced, by partition and name.
#[derive(Debug)]
pub(super) struct Unsynced {
    files: Mutex<BTreeMap<Name, File>>,
    /// Else the disk only says so.
    syncs: bool,
}

/// How a crash treats a file.
#[derive(Clone, Copy, Debug)]
enum Tear {
    /// Only the process died: the system wrote everything.
    Nothing,
    /// The first changes are there, the last of them in part.
    Prefix,
    /// Any sectors are there, in any order; where none is, the file may be longer and zero.
    Sectors,
    /// Any bytes.
    Bytes,
}

impl Unsynced {
    fn file<T>(&self, name: &Name, act: impl FnOnce(&mut File) -> T) -> Option<T> {
        self.files.lock().get_mut(name).map(act)
    }

    /// After a crash, once nobody has the files open: what survived of what was not synced goes to the disk. How many files
    /// were torn.
    pub(super) async fn tear(&self, context: &Context, rng: &mut impl rand::Rng) -> u64 {
        let files = std::mem::take(&mut *self.files.lock());
        // All are on one disk, but each has its own fate.
        let lost = rng.random_ratio(1, 4);
        let mut torn = 0;
        for ((partition, name), File { version, changes, .. }) in files {
            if lost || changes.is_empty() {
                continue;
            }
            let tear = [Tear::Nothing, Tear::Prefix, Tear::Sectors, Tear::Bytes][rng.random_range(0..4)];
            let blob = reopen(context, &partition, &name, version).await;
            let whole = rng.random_range(0..=changes.len());
            for (index, change) in changes.into_iter().enumerate() {
                // What is durable comes again after what may have been torn before it.
                if matches!(tear, Tear::Prefix) && index > whole && change.state != State::Durable {
                    continue;
                }
                match change.what {
                    What::Resize(to) => {
                        if !matches!(tear, Tear::Sectors | Tear::Bytes) || rng.random() {
                            blob.resize(to).await.expect("the file can be resized");
                        }
                    }
                    What::Write { offset, bytes } => {
                        let len = bytes.len();
                        let kept = match tear {
                            _ if change.state == State::Durable => vec![true; len],
                            Tear::Nothing => vec![true; len],
                            Tear::Prefix if index < whole => vec![true; len],
                            Tear::Prefix => {
                                let until = rng.random_range(0..=len);
                                (0..len).map(|at| at < until).collect()
                            }
                            Tear::Sectors => sectors(offset, len, rng),
                            Tear::Bytes => (0..len).map(|_| rng.random()).collect(),
                        };
                        write(&blob, offset, &bytes, &kept).await;
                    }
                }
            }
            blob.sync().await.expect("the file can be synced");
            torn += 1;
        }
        torn
    }
}

/// The tasks that had it open may take a moment to end.
async fn reopen(
    context: &Context,
    partition: &str,
    name: &[u8],
    version: BlobVersion,
) -> deterministic::Blob {
    for _ in 0..100 {
        match context.open_versioned(partition, name, version..=version).await {
            Ok((blob, ..)) => return blob,
            Err(Error::BlobAlreadyOpen(..)) => context.sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("a file cannot be opened after a crash: {error}"),
        }
    }
    panic!("somebody has a file of a machine that is off");
}

fn sectors(offset: u64, len: usize, rng: &mut impl rand::Rng) -> Vec<bool> {
    let first = offset as usize / SECTOR;
    let last = (offset as usize + len) / SECTOR;
    let kept: Vec<bool> = (first..=last).map(|_| rng.random()).collect();
    (0..len).map(|at| kept[(offset as usize + at) / SECTOR - first]).collect()
}

/// Writes the bytes that are kept; where the file has to grow for them, what is missing in between is zero.
async fn write(blob: &deterministic::Blob, offset: u64, bytes: &[u8], kept: &[bool]) {
    let mut at = 0;
    while at < bytes.len() {
        let same = kept[at..].iter().take_while(|k| **k == kept[at]).count();
        if kept[at] {
            let (piece, options) = (bytes[at..at + same].to_vec(), WriteOptions::default());
            blob.write_at(offset + at as u64, piece, options).await.expect("the file can be written");
        }
        at += same;
    }
}

/// A file of a machine.
pub(super) struct TornBlob {
    inner: deterministic::Blob,
    name: Name,
    unsynced: Arc<Unsynced>,
}

/// A change that is under way.
struct Underway<'a> {
    blob: &'a TornBlob,
    id: u64,
}

impl Underway<'_> {
    fn becomes(&self, state: State) {
        self.blob.unsynced.file(&self.blob.name, |file| {
            let found = file.changes.iter_mut().find(|change| change.id == self.id);
            if let Some(change) = found.filter(|change| change.state == State::Asked) {
                change.state = state;
            }
        });
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.becomes(State::Done);
    }
}

impl TornBlob {
    /// Each step takes its time, and a crash may come before it: what it does is on record by then.
    async fn begin(&self, what: What) -> Underway<'_> {
        let id = self.unsynced.file(&self.name, |file| {
            file.next += 1;
            file.changes.push(Change { id: file.next, what, state: State::Asked });
            file.next
        });
        let underway = Underway { blob: self, id: id.unwrap_or(0) };
        reschedule().await;
        underway
    }
}

impl Blob for TornBlob {
    async fn read_at_buf(
        &self,
        offset: u64,
        len: usize,
        bufs: impl Into<IoBufsMut> + Send,
        options: ReadOptions,
    ) -> Result<IoBufsMut, Error> {
        self.inner.read_at_buf(offset, len, bufs, options).await
    }

    async fn read_at(&self, offset: u64, len: usize, options: ReadOptions) -> Result<IoBufsMut, Error> {
        self.inner.read_at(offset, len, options).await
    }

    async fn write_at(
        &self,
        offset: u64,
        bufs: impl Into<IoBufs> + Send,
        options: WriteOptions,
    ) -> Result<(), Error> {
        let bytes = bufs.into().coalesce();
        let bytes: &[u8] = bytes.as_ref();
        let options = if self.unsynced.syncs { options } else { options.without(WriteOptions::SYNC) };
        let underway = self.begin(What::Write { offset, bytes: bytes.to_vec() }).await;
        self.inner.write_at(offset, bytes.to_vec(), options).await?;
        if options.contains(WriteOptions::SYNC) {
            underway.becomes(State::Durable);
        }
        Ok(())
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        let _underway = self.begin(What::Resize(len)).await;
        self.inner.resize(len).await
    }

    async fn sync(&self) -> Result<(), Error> {
        let done = |file: &mut File| -> Vec<u64> {
            file.changes
                .iter()
                .filter(|change| change.state != State::Asked)
                .map(|change| change.id)
                .collect()
        };
        let done = self.unsynced.file(&self.name, done).unwrap_or_default();
        reschedule().await;
        if !self.unsynced.syncs {
            return Ok(());
        }
        self.inner.sync().await?;
        self.unsynced.file(&self.name, |file| file.changes.retain(|change| !done.contains(&change.id)));
        Ok(())
    }

    async fn start_sync(&self) -> Handle<()> {
        Handle::ready(self.sync().await)
    }
}

/// A machine's disk.
#[derive(Clone, Debug)]
pub(super) struct TornDisk(Arc<Unsynced>);

impl TornDisk {
    pub(super) fn new(syncs: bool) -> Self {
        Self(Arc::new(Unsynced { files: Mutex::default(), syncs }))
    }

    pub(super) async fn open(
        &self,
        context: &Context,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(TornBlob, u64, BlobVersion), Error> {
        reschedule().await;
        let (inner, size, version) = context.open_versioned(partition, name, versions).await?;
        let name = (partition.to_owned(), name.to_vec());
        // Whatever can be read now is durable.
        self.0.files.lock().insert(name.clone(), File { version, changes: Vec::new(), next: 0 });
        Ok((TornBlob { inner, name, unsynced: self.0.clone() }, size, version))
    }

    pub(super) async fn remove(
        &self,
        context: &Context,
        partition: &str,
        name: Option<&[u8]>,
    ) -> Result<(), Error> {
        reschedule().await;
        context.remove(partition, name).await?;
        self.0.files.lock().retain(|(p, n), _| p != partition || name.is_some_and(|name| name != n));
        Ok(())
    }

    /// See [`Unsynced::tear`].
    pub(super) async fn tear(&self, context: &Context, rng: &mut impl rand::Rng) -> u64 {
        self.0.tear(context, rng).await
    }
}

/// Whatever a crash does to what was not synced: a write that was asked to be durable, and answered, is there.
#[test]
fn a_durable_write_survives_what_was_torn_before_it() {
    use commonware_runtime::{Runner as _, Supervisor as _};
    use rand::SeedableRng as _;

    const NAME: (&str, &[u8]) = ("partition", b"name");
    for seed in 0..200 {
        deterministic::Runner::seeded(seed).start(|context| async move {
            let versions = BlobVersion::new(0)..=BlobVersion::new(0);
            let disk = TornDisk::new(true);
            let (blob, ..) = disk.open(&context, NAME.0, NAME.1, versions.clone()).await.unwrap();
            let write =
                async |bytes: &[u8], options| blob.write_at(3, bytes.to_vec(), options).await.unwrap();
            write(b"first", WriteOptions::default()).await;
            write(b"durable", WriteOptions::SYNC).await;
            blob.write_at(10, b"later".to_vec(), WriteOptions::default()).await.unwrap();
            drop(blob);
            disk.tear(&context.child("tear"), &mut rand::rngs::StdRng::seed_from_u64(seed)).await;

            let (blob, ..) = disk.open(&context, NAME.0, NAME.1, versions).await.unwrap();
            let read = blob.read_at(3, 7, ReadOptions::default()).await.unwrap();
            assert_eq!(read.coalesce().as_ref(), b"durable", "after tear {seed}");
        });
    }
}
