//! What this machine remembers of the folders of the last snapshot: one fingerprint of names and stats each.
//!
//! A folder whose fingerprint is still the same has exactly the entries that the parent's tree holds, so the tree is neither
//! read nor compared; only its subfolders are visited. Like the parent's entries (`describe::is_unchanged`), a fingerprint
//! vouches only for stamps that were settled when it was taken. The table is a hint: without it every folder is compared
//! with the parent's tree, entry by entry.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::options::BackupOptions;
use super::stamps::is_settled;
use crate::format::entry::{EntryKind, Timestamp};
use crate::format::node::Totals;
use crate::id::{ChunkId, SnapshotId};
use crate::os::attributes::read_flags;
use crate::os::stat::Stat;
use crate::repo::{Repository, Result, state};

/// Folders that are remembered (88 bytes each, twice during a backup); those beyond are compared with the parent's tree.
const FOLDERS_MAX: usize = 200_000;
const FOLDERS_LOW_MEMORY_MAX: usize = 20_000;

/// A fingerprint; all zero where a folder has none.
pub type Print = [u8; PRINT_LEN_BYTES];
const PRINT_LEN_BYTES: usize = 16;
const RECORD_LEN_BYTES: usize = 2 * PRINT_LEN_BYTES + ChunkId::LEN_BYTES + 24;

/// One remembered folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFolder {
    /// Stands for its path.
    pub place: Print,
    /// Its fingerprint; `None` if its entries cannot be vouched for.
    pub print: Option<Print>,
    /// Its tree in the last snapshot.
    pub tree: ChunkId,
    /// Sums over everything below it.
    pub totals: Totals,
}

/// The folders of the last snapshot, and those of the one that is being made.
pub struct KnownFolders {
    key: [u8; 32],
    /// Records of the parent's folders, sorted by the hashes of their paths.
    before: Vec<u8>,
    now: Mutex<Vec<[u8; RECORD_LEN_BYTES]>>,
    room: usize,
    /// Whether a folder got a fingerprint that it did not have.
    has_news: AtomicBool,
}

impl KnownFolders {
    /// Loads what is remembered of the snapshot `parent`; nothing if there is no parent or the note is of another.
    pub fn load(repository: &Repository, series: &str, parent: Option<SnapshotId>, options: &BackupOptions) -> Self {
        let stored = parent.and_then(|parent| {
            let bytes = state::load(repository, &note_name(series))?;
            let records = bytes.strip_prefix(&parent.0)?;
            records.len().is_multiple_of(RECORD_LEN_BYTES).then(|| records.to_vec())
        });
        Self {
            key: *blake3::keyed_hash(repository.keyring().cache_key(), b"folders").as_bytes(),
            before: stored.unwrap_or_default(),
            now: Mutex::default(),
            room: if options.low_memory { FOLDERS_LOW_MEMORY_MAX } else { FOLDERS_MAX },
            has_news: AtomicBool::new(false),
        }
    }

    /// Returns what is remembered of the folder at an absolute path.
    pub fn find(&self, path: &[u8]) -> Option<KnownFolder> {
        if self.before.is_empty() {
            return None;
        }
        let wanted = self.place_of(path);
        let record = |at: usize| &self.before[at * RECORD_LEN_BYTES..][..RECORD_LEN_BYTES];
        let (mut low, mut high) = (0, self.before.len() / RECORD_LEN_BYTES);
        while low < high {
            let middle = low.midpoint(high);
            match record(middle)[..PRINT_LEN_BYTES].cmp(&wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(decode(record(middle))),
            }
        }
        None
    }

    /// Remembers a folder of the snapshot that is being made; `is_news` says that its fingerprint is not the parent's.
    pub fn add(&self, folder: &KnownFolder, is_news: bool) {
        let record = encode(folder);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.len() < self.room {
            now.push(record);
            if is_news {
                self.has_news.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Returns an empty fingerprint for the next folder.
    pub fn printer(&self, settled_before: Timestamp) -> Printer {
        Printer { hasher: blake3::Hasher::new_keyed(&self.key), line: Vec::new(), count: 0, is_settled: true, settled_before }
    }

    /// Notes the folders for the backup after `snapshot`; `is_parent` says that it is the one that they were loaded for.
    pub fn save(self, repository: &Repository, series: &str, snapshot: SnapshotId, is_parent: bool) -> Result<()> {
        if is_parent && !self.has_news.into_inner() {
            return Ok(());
        }
        let mut records = self.now.into_inner().unwrap_or_else(PoisonError::into_inner);
        records.sort_unstable();
        let bytes = [snapshot.0.as_slice(), records.as_flattened()].concat();
        state::save(repository, &note_name(series), &bytes)
    }

    /// Returns what stands for an absolute path.
    pub fn place_of(&self, path: &[u8]) -> Print {
        first_16(blake3::keyed_hash(&self.key, path))
    }
}

/// Takes the fingerprint of one folder: everything that tells whether the parent's entries still hold.
pub struct Printer {
    hasher: blake3::Hasher,
    line: Vec<u8>,
    count: u64,
    is_settled: bool,
    settled_before: Timestamp,
}

/// Hashing is quickest in large pieces.
const LINES_LEN_BYTES: usize = 32 << 10;

impl Printer {
    /// Forgets everything, for another folder.
    pub fn reset(&mut self) {
        self.hasher.reset();
        self.line.clear();
        (self.count, self.is_settled) = (0, true);
    }

    /// Adds the next name of the folder, in order.
    pub fn add(&mut self, name: &[u8], stat: &Stat) {
        self.count += 1;
        self.is_settled &= is_settled(stat.ctime, self.settled_before);
        let is_dir = stat.kind == EntryKind::Dir;
        let linked = stat.nlink > 1 && !is_dir;
        let time = |line: &mut Vec<u8>, time: Timestamp| {
            line.extend_from_slice(&time.seconds.to_le_bytes());
            line.extend_from_slice(&time.nanos.to_le_bytes());
        };
        let line = &mut self.line;
        line.extend_from_slice(&(name.len() as u64).to_le_bytes());
        line.extend_from_slice(name);
        line.extend_from_slice(&[stat.kind as u8, u8::from(stat.btime.is_some()), u8::from(linked)]);
        line.extend_from_slice(&stat.mode.to_le_bytes());
        for number in [stat.uid, stat.gid, read_flags(stat), stat.device.unwrap_or_default().0, stat.device.unwrap_or_default().1]
        {
            line.extend_from_slice(&number.to_le_bytes());
        }
        line.extend_from_slice(&if is_dir { 0 } else { stat.size }.to_le_bytes());
        time(line, stat.mtime);
        time(line, stat.ctime);
        time(line, stat.btime.unwrap_or_default());
        if linked {
            line.extend_from_slice(&stat.dev.0.to_le_bytes());
            line.extend_from_slice(&stat.dev.1.to_le_bytes());
            line.extend_from_slice(&stat.inode.to_le_bytes());
        }
        if self.line.len() >= LINES_LEN_BYTES {
            self.hasher.update(&self.line);
            self.line.clear();
        }
    }

    /// Returns how many names were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the fingerprint, settled or not.
    pub fn finish(&mut self) -> Print {
        self.hasher.update(&self.line);
        self.line.clear();
        first_16(self.hasher.finalize())
    }

    /// Returns the fingerprint if every stamp in it was settled.
    pub fn finish_settled(&mut self) -> Option<Print> {
        self.is_settled.then(|| self.finish())
    }
}

fn first_16(hash: blake3::Hash) -> Print {
    hash.as_bytes()[..PRINT_LEN_BYTES].try_into().expect("a hash is longer")
}

fn note_name(series: &str) -> String {
    format!("folders {series}")
}

fn encode(folder: &KnownFolder) -> [u8; RECORD_LEN_BYTES] {
    let mut record = [0; RECORD_LEN_BYTES];
    let Totals { files, dirs, bytes } = folder.totals;
    record[..16].copy_from_slice(&folder.place);
    record[16..32].copy_from_slice(&folder.print.unwrap_or_default());
    record[32..64].copy_from_slice(&folder.tree.0);
    for (at, number) in [files, dirs, bytes].into_iter().enumerate() {
        record[64 + 8 * at..][..8].copy_from_slice(&number.to_le_bytes());
    }
    record
}

fn decode(record: &[u8]) -> KnownFolder {
    let hash_at = |at: usize| Print::try_from(&record[at..at + PRINT_LEN_BYTES]).expect("16 bytes");
    let number = |at: usize| u64::from_le_bytes(record[64 + 8 * at..][..8].try_into().expect("8 bytes"));
    KnownFolder {
        place: hash_at(0),
        print: Some(hash_at(PRINT_LEN_BYTES)).filter(|hash| *hash != Print::default()),
        tree: ChunkId(record[32..64].try_into().expect("32 bytes")),
        totals: Totals { files: number(0), dirs: number(1), bytes: number(2) },
    }
}
