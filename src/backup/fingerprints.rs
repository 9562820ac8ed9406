//! Local table of directory fingerprints, and of inode numbers.
//!
//! A fingerprint covers all names of a directory and their metadata. If it is still the same, the
//! directory has exactly the entries of the parent's tree: the tree is neither read nor compared,
//! and only subdirectories are visited. Like the parent's entries (`describe::is_unchanged`), a
//! fingerprint proves something only of times that were settled when it was taken.
//!
//! Snapshots hold no inode numbers. The table has them, to tell a file from another one that took
//! its place: the number of each directory, and a tag for each name on file systems that are not
//! trusted to update the change time of a renamed file. The table is a hint: without it,
//! `trust::EntryTrust` decides by times alone, and more files are read.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::devices::Devices;
use super::timestamps::is_settled;
use crate::format::entry::{EntryKind, Timestamp};
use crate::format::node::Totals;
use crate::id::{ChunkId, SnapshotId};
use crate::os::attributes::read_flags;
use crate::os::stat::Stat;
use crate::repo::open::notes;
use crate::repo::{Repository, Result};
use crate::sync::{self, lock};

/// Most directories in the table (104 bytes each, twice during a backup). The others are compared
/// with the parent's tree.
const DIRECTORIES_MAX: usize = 200_000;
const DIRECTORIES_LOW_MEMORY_MAX: usize = 20_000;
/// Most tags in the table (8 bytes each, twice during a backup), for each directory in it.
const TAGS_PER_DIRECTORY: usize = 10;

/// Keyed hash of names and metadata.
pub(super) type Fingerprint = [u8; HASH_LEN_BYTES];
/// Keyed hash of an absolute path.
pub(super) type PathHash = [u8; HASH_LEN_BYTES];
const HASH_LEN_BYTES: usize = 16;
const RECORD_LEN_BYTES: usize = 2 * HASH_LEN_BYTES + ChunkId::LEN_BYTES + 24 + 8 + 8;
/// First bytes of the table; another version has others.
const MAGIC: &[u8; 8] = b"folders2";
/// Position of the first tag, for a directory without tags.
const NO_TAGS: u32 = u32::MAX;

/// One directory of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownDirectory {
    /// Keyed hash of its path.
    pub path_hash: PathHash,
    /// Its fingerprint; `None` if its times were not settled (all zero in the record).
    pub fingerprint: Option<Fingerprint>,
    /// Its tree in the snapshot of the table.
    pub tree: ChunkId,
    /// Sums over everything below it.
    pub totals: Totals,
    /// Its inode number.
    pub inode: u64,
    /// Position and number of its tags; `None` if it has none.
    tags: Option<(u32, u32)>,
}

/// Keyed hash of a name and its inode number.
pub(super) type NameTag = u64;

/// A directory of the new snapshot.
pub(super) struct NewKnownDirectory {
    /// Its record, without tags.
    pub directory: KnownDirectory,
    /// Tags of its names, sorted; `None` on file systems that need none.
    pub tags: Option<Vec<NameTag>>,
}

impl NewKnownDirectory {
    /// Creates a directory without tags.
    pub(super) fn new(
        path_hash: PathHash,
        inode: u64,
        fingerprint: Option<Fingerprint>,
        tree: ChunkId,
        totals: Totals,
    ) -> Self {
        Self {
            directory: KnownDirectory { path_hash, fingerprint, tree, totals, inode, tags: None },
            tags: None,
        }
    }
}

/// The table of the parent, and the one of the new snapshot.
pub(super) struct KnownDirectories {
    key: [u8; 32],
    /// Records of the parent's directories, sorted by the hashes of their paths.
    parent_records: Vec<u8>,
    /// Tags of the parent's names.
    parent_tags: Vec<NameTag>,
    new_table: Mutex<NewTable>,
    room: usize,
    /// Whether the new table differs from the parent's.
    is_dirty: AtomicBool,
}

#[derive(Default)]
struct NewTable {
    records: Vec<[u8; RECORD_LEN_BYTES]>,
    tags: Vec<NameTag>,
}

impl KnownDirectories {
    /// Loads the table of the snapshot `parent`; empty without a parent, or if the table is of
    /// another snapshot.
    pub(super) fn load(
        repository: &Repository,
        series: &str,
        parent: Option<SnapshotId>,
        is_low_memory: bool,
    ) -> Self {
        let stored =
            parent.and_then(|parent| parse(&notes::load(repository, &note_name(series))?, parent));
        let (parent_records, parent_tags) = stored.unwrap_or_default();
        Self {
            key: *blake3::keyed_hash(repository.records().cache_key(), b"folders").as_bytes(),
            parent_records,
            parent_tags,
            new_table: Mutex::default(),
            room: if is_low_memory { DIRECTORIES_LOW_MEMORY_MAX } else { DIRECTORIES_MAX },
            is_dirty: AtomicBool::new(false),
        }
    }

    /// Finds the directory at an absolute path in the parent's table.
    pub(super) fn find(&self, path: &[u8]) -> Option<KnownDirectory> {
        (!self.parent_records.is_empty())
            .then(|| self.path_hash(path))
            .and_then(|path_hash| self.find_at(path_hash))
    }

    /// Finds the directory `name` in the directory at an absolute path, without joining the two.
    pub(super) fn find_in(&self, path: &[u8], name: &[u8]) -> Option<KnownDirectory> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(path).update(b"/").update(name);
        self.find_at(first_16(hasher.finalize()))
    }

    fn find_at(&self, path_hash: PathHash) -> Option<KnownDirectory> {
        let record = |at: usize| &self.parent_records[at * RECORD_LEN_BYTES..][..RECORD_LEN_BYTES];
        let (mut low, mut high) = (0, self.parent_records.len() / RECORD_LEN_BYTES);
        while low < high {
            let middle = low.midpoint(high);
            match record(middle)[..HASH_LEN_BYTES].cmp(&path_hash) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(decode(record(middle))),
            }
        }
        None
    }

    /// Adds a directory of the new snapshot; `is_new` says that its record differs from the
    /// parent's.
    pub(super) fn add(&self, mut new: NewKnownDirectory, is_new: bool) {
        let mut new_table = lock(&self.new_table);
        if new_table.records.len() == self.room {
            return;
        }
        let tags = new
            .tags
            .filter(|tags| new_table.tags.len() + tags.len() <= TAGS_PER_DIRECTORY * self.room);
        new.directory.tags = tags.map(|tags| {
            let first = new_table.tags.len() as u32;
            new_table.tags.extend(&tags);
            (first, tags.len() as u32)
        });
        new_table.records.push(encode(&new.directory));
        if is_new {
            self.is_dirty.store(true, Ordering::Relaxed);
        }
    }

    /// Adds a directory with the record of the parent.
    pub(super) fn add_unchanged(&self, known: &KnownDirectory) {
        self.add(
            NewKnownDirectory {
                directory: *known,
                tags: self.tags(known).map(<[NameTag]>::to_vec),
            },
            false,
        );
    }

    /// Returns the tags of a directory in the parent's table; `None` if it has none.
    pub(super) fn tags(&self, known: &KnownDirectory) -> Option<&[NameTag]> {
        let (first, count) = known.tags?;
        self.parent_tags.get(first as usize..first as usize + count as usize)
    }

    /// Returns the tag of a name with this inode number, in the directory at the hashed path.
    pub(super) fn tag_of(&self, path_hash: &PathHash, name: &[u8], inode: u64) -> NameTag {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(path_hash).update(&inode.to_le_bytes()).update(name);
        NameTag::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("8 bytes"))
    }

    /// Returns a hasher for directories.
    ///
    /// Times before `settled_before` are settled; `trusted` is the device whose change times this
    /// machine's own clock makes.
    pub(super) fn hasher(
        &self,
        settled_before: Timestamp,
        trusted: Option<(u32, u32)>,
    ) -> FingerprintHasher {
        let hasher = blake3::Hasher::new_keyed(&self.key);
        FingerprintHasher {
            hasher,
            line: Vec::new(),
            count: 0,
            is_settled: true,
            settled_before,
            trusted,
        }
    }

    /// Saves the new table as that of `snapshot`; `is_parent` says that this is the snapshot of the
    /// loaded table.
    pub(super) fn save(
        self,
        repository: &Repository,
        series: &str,
        snapshot: SnapshotId,
        is_parent: bool,
    ) -> Result<()> {
        if is_parent && !self.is_dirty.into_inner() {
            return Ok(());
        }
        let mut new_table = sync::into_inner(self.new_table);
        new_table.records.sort_unstable();
        let count = (new_table.records.len() as u64).to_le_bytes();
        let mut bytes =
            [MAGIC, snapshot.0.as_slice(), &count, new_table.records.as_flattened()].concat();
        new_table.tags.iter().for_each(|tag| bytes.extend_from_slice(&tag.to_le_bytes()));
        notes::save(repository, &note_name(series), &bytes)
    }

    /// Returns the keyed hash of an absolute path.
    pub(super) fn path_hash(&self, path: &[u8]) -> PathHash {
        first_16(blake3::keyed_hash(&self.key, path))
    }
}

/// Hashes the names and metadata of one directory.
pub(super) struct FingerprintHasher {
    hasher: blake3::Hasher,
    line: Vec<u8>,
    count: u64,
    is_settled: bool,
    settled_before: Timestamp,
    trusted: Option<(u32, u32)>,
}

/// Concatenated numbers of one name, without allocation.
struct FixedFields {
    bytes: [u8; 128],
    len_bytes: usize,
}

impl Default for FixedFields {
    fn default() -> Self {
        Self { bytes: [0; 128], len_bytes: 0 }
    }
}

impl FixedFields {
    fn put<const LEN: usize>(&mut self, field: [u8; LEN]) {
        self.bytes[self.len_bytes..][..LEN].copy_from_slice(&field);
        self.len_bytes += LEN;
    }
}

/// Lines are hashed in pieces of at least this size, which is faster.
const LINES_LEN_BYTES: usize = 32 << 10;

impl FingerprintHasher {
    /// Starts another directory.
    pub(super) fn reset(&mut self) {
        self.hasher.reset();
        self.line.clear();
        (self.count, self.is_settled) = (0, true);
    }

    /// Adds the next name, in order.
    ///
    /// Leaves out the device number: it changes with each reboot, and with each snapshot of a
    /// volume.
    pub(super) fn add(&mut self, name: &[u8], stat: &Stat, devices: &Devices) {
        self.count += 1;
        self.is_settled &=
            is_settled(stat.ctime, self.settled_before, self.trusted == Some(stat.dev));
        let is_dir = stat.kind == EntryKind::Dir;
        let linked = stat.nlink > 1 && !is_dir;
        let (major, minor) = stat.device.unwrap_or_default();
        let size = if is_dir { 0 } else { stat.size };
        let inode = if devices.ignore_inodes { 0 } else { stat.inode };
        let mut fields = FixedFields::default();
        fields.put([stat.kind as u8, u8::from(stat.btime.is_some()), u8::from(linked)]);
        fields.put(stat.mode.to_le_bytes());
        [stat.uid, stat.gid, read_flags(stat), major, minor]
            .iter()
            .for_each(|number| fields.put(number.to_le_bytes()));
        fields.put(size.to_le_bytes());
        for time in [stat.mtime, stat.ctime, stat.btime.unwrap_or_default()] {
            fields.put(time.seconds.to_le_bytes());
            fields.put(time.nanos.to_le_bytes());
        }
        fields.put(inode.to_le_bytes());
        let line = &mut self.line;
        line.extend_from_slice(&(name.len() as u64).to_le_bytes());
        line.extend_from_slice(name);
        line.extend_from_slice(&fields.bytes[..fields.len_bytes]);
        if linked {
            line.extend_from_slice(&devices.label(stat.dev));
        }
        if self.line.len() >= LINES_LEN_BYTES {
            self.hasher.update(&self.line);
            self.line.clear();
        }
    }

    /// Returns how many names were added.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the fingerprint, even if times are not settled.
    pub(super) fn finish(&mut self) -> Fingerprint {
        self.hasher.update(&self.line);
        self.line.clear();
        first_16(self.hasher.finalize())
    }

    /// Returns the fingerprint if all times are settled.
    pub(super) fn finish_settled(&mut self) -> Option<Fingerprint> {
        self.is_settled.then(|| self.finish())
    }
}

fn first_16(hash: blake3::Hash) -> [u8; HASH_LEN_BYTES] {
    hash.as_bytes()[..HASH_LEN_BYTES].try_into().expect("a hash is longer")
}

fn note_name(series: &str) -> String {
    format!("folders {series}")
}

/// Splits a table into records and tags; `None` if it is of another snapshot or damaged.
fn parse(bytes: &[u8], parent: SnapshotId) -> Option<(Vec<u8>, Vec<NameTag>)> {
    let (count, rest) = bytes.strip_prefix(MAGIC)?.strip_prefix(&parent.0)?.split_first_chunk()?;
    let records_len_bytes =
        usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(RECORD_LEN_BYTES)?;
    let (records, tags) = rest.split_at_checked(records_len_bytes)?;
    let (tags, rest) = tags.as_chunks();
    rest.is_empty()
        .then(|| (records.to_vec(), tags.iter().map(|tag| NameTag::from_le_bytes(*tag)).collect()))
}

fn encode(directory: &KnownDirectory) -> [u8; RECORD_LEN_BYTES] {
    let mut record = [0; RECORD_LEN_BYTES];
    let Totals { files, dirs, bytes } = directory.totals;
    record[..16].copy_from_slice(&directory.path_hash);
    record[16..32].copy_from_slice(&directory.fingerprint.unwrap_or_default());
    record[32..64].copy_from_slice(&directory.tree.0);
    for (at, number) in [files, dirs, bytes, directory.inode].into_iter().enumerate() {
        record[64 + 8 * at..][..8].copy_from_slice(&number.to_le_bytes());
    }
    let (first, count) = directory.tags.unwrap_or((NO_TAGS, 0));
    record[96..100].copy_from_slice(&first.to_le_bytes());
    record[100..].copy_from_slice(&count.to_le_bytes());
    record
}

fn decode(record: &[u8]) -> KnownDirectory {
    let hash_at = |at: usize| {
        <[u8; HASH_LEN_BYTES]>::try_from(&record[at..at + HASH_LEN_BYTES]).expect("16 bytes")
    };
    let number =
        |at: usize| u64::from_le_bytes(record[64 + 8 * at..][..8].try_into().expect("8 bytes"));
    let half = |at: usize| u32::from_le_bytes(record[at..][..4].try_into().expect("4 bytes"));
    KnownDirectory {
        path_hash: hash_at(0),
        fingerprint: Some(hash_at(HASH_LEN_BYTES)).filter(|hash| *hash != Fingerprint::default()),
        tree: ChunkId(record[32..64].try_into().expect("32 bytes")),
        totals: Totals { files: number(0), dirs: number(1), bytes: number(2) },
        inode: number(3),
        tags: Some((half(96), half(100))).filter(|(first, _)| *first != NO_TAGS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(tags: Option<(u32, u32)>) -> KnownDirectory {
        let totals = Totals { files: 1, dirs: 2, bytes: 3 };
        KnownDirectory {
            path_hash: [1; 16],
            fingerprint: Some([2; 16]),
            tree: ChunkId([3; 32]),
            totals,
            inode: u64::MAX - 1,
            tags,
        }
    }

    #[test]
    fn records_are_decoded_as_they_were() {
        for tags in [None, Some((0, 0)), Some((7, 9))] {
            assert_eq!(decode(&encode(&directory(tags))), directory(tags));
        }
        let none = KnownDirectory { fingerprint: None, ..directory(None) };
        assert_eq!(decode(&encode(&none)), none);
    }

    #[test]
    fn a_table_of_another_snapshot_or_version_is_none() {
        let parent = SnapshotId([9; 16]);
        let record = encode(&directory(Some((0, 2))));
        let (count, tags) = (1u64.to_le_bytes(), [5u64.to_le_bytes(), 6u64.to_le_bytes()].concat());
        let table = [MAGIC.as_slice(), &parent.0, &count, &record, &tags].concat();
        assert_eq!(parse(&table, parent), Some((record.to_vec(), vec![5, 6])));
        assert_eq!(parse(&table, SnapshotId([8; 16])), None);
        assert_eq!(parse(&table[8..], parent), None, "as tables were before");
        assert_eq!(parse(&table[..table.len() - 1], parent), None);
        assert_eq!(parse(&table[..60], parent), None);
    }
}
