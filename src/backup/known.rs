//! What this machine remembers of the folders of the last snapshot: one fingerprint of names and
//! stats each, and which file was behind a name.
//!
//! A folder whose fingerprint is still the same has exactly the entries that the parent's tree
//! holds, so the tree is neither read nor compared; only its subfolders are visited. Like the
//! parent's entries (`describe::is_unchanged`), a fingerprint vouches only for stamps that were
//! settled when it was taken.
//!
//! Snapshots hold no inode numbers, so what tells a file from another that took its place stands
//! here: the number of each folder, and a tag for each name on file systems that are not trusted to
//! mark a file that was moved. The table is a hint: without it `trust::Trust` decides by stamps
//! alone, and has more files read.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::devices::Devices;
use super::options::BackupOptions;
use super::stamps::is_settled;
use crate::format::entry::{EntryKind, Timestamp};
use crate::format::node::Totals;
use crate::id::{ChunkId, SnapshotId};
use crate::os::attributes::read_flags;
use crate::os::stat::Stat;
use crate::repo::open::notes;
use crate::repo::{Repository, Result};
use crate::sync::{self, lock};

/// Folders that are remembered (104 bytes each, twice during a backup); those beyond are compared
/// with the parent's tree.
const FOLDERS_MAX: usize = 200_000;
const FOLDERS_LOW_MEMORY_MAX: usize = 20_000;
/// Names with tags that are remembered (8 bytes each, twice during a backup), for each folder that
/// may be.
const TAGS_PER_FOLDER: usize = 10;

/// A fingerprint; all zero where a folder has none.
pub type Print = [u8; PRINT_LEN_BYTES];
const PRINT_LEN_BYTES: usize = 16;
const RECORD_LEN_BYTES: usize = 2 * PRINT_LEN_BYTES + ChunkId::LEN_BYTES + 24 + 8 + 8;
/// Begins the table, so that one of another version is not taken for it.
const MAGIC: &[u8; 8] = b"folders2";
/// The first tag of a folder without tags.
const NO_TAGS: u32 = u32::MAX;

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
    /// Its inode number.
    pub inode: u64,
    /// Where the tags of its names lie; `None` if it has none.
    tags: Option<(u32, u32)>,
}

/// Stands for a name and the inode number behind it.
pub type Tag = u64;

/// A folder of the snapshot that is being made.
pub struct NewKnown {
    /// What is to be remembered; its tags are not.
    pub folder: KnownFolder,
    /// The tags of its names, sorted; `None` on file systems that need none.
    pub tags: Option<Vec<Tag>>,
}

impl NewKnown {
    /// Describes a folder.
    pub fn new(
        place: Print,
        inode: u64,
        print: Option<Print>,
        tree: ChunkId,
        totals: Totals,
    ) -> Self {
        Self { folder: KnownFolder { place, print, tree, totals, inode, tags: None }, tags: None }
    }
}

/// The folders of the last snapshot, and those of the one that is being made.
pub struct KnownFolders {
    key: [u8; 32],
    /// Records of the parent's folders, sorted by the hashes of their paths.
    before: Vec<u8>,
    /// Their tags.
    tags_before: Vec<Tag>,
    now: Mutex<Now>,
    room: usize,
    /// Whether a folder got a fingerprint that it did not have.
    has_news: AtomicBool,
}

#[derive(Default)]
struct Now {
    /// Records, and where the tags of each begin and end.
    records: Vec<[u8; RECORD_LEN_BYTES]>,
    tags: Vec<Tag>,
}

impl KnownFolders {
    /// Loads what is remembered of the snapshot `parent`; nothing if there is no parent or the note
    /// is of another.
    pub fn load(
        repository: &Repository,
        series: &str,
        parent: Option<SnapshotId>,
        options: &BackupOptions,
    ) -> Self {
        let stored =
            parent.and_then(|parent| parse(&notes::load(repository, &note_name(series))?, parent));
        let (before, tags_before) = stored.unwrap_or_default();
        Self {
            key: *blake3::keyed_hash(repository.records().cache_key(), b"folders").as_bytes(),
            before,
            tags_before,
            now: Mutex::default(),
            room: if options.low_memory { FOLDERS_LOW_MEMORY_MAX } else { FOLDERS_MAX },
            has_news: AtomicBool::new(false),
        }
    }

    /// Returns what is remembered of the folder at an absolute path.
    pub fn find(&self, path: &[u8]) -> Option<KnownFolder> {
        (!self.before.is_empty()).then(|| self.place_of(path)).and_then(|place| self.find_at(place))
    }

    /// Returns what is remembered of the folder `name` in the folder at an absolute path, without
    /// putting the two together.
    pub fn find_in(&self, path: &[u8], name: &[u8]) -> Option<KnownFolder> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(path).update(b"/").update(name);
        self.find_at(first_16(hasher.finalize()))
    }

    fn find_at(&self, wanted: Print) -> Option<KnownFolder> {
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

    /// Remembers a folder of the snapshot that is being made; `is_news` says that its fingerprint
    /// is not the parent's.
    pub fn add(&self, mut new: NewKnown, is_news: bool) {
        let mut now = lock(&self.now);
        if now.records.len() == self.room {
            return;
        }
        let tags =
            new.tags.filter(|tags| now.tags.len() + tags.len() <= TAGS_PER_FOLDER * self.room);
        new.folder.tags = tags.map(|tags| {
            let first = now.tags.len() as u32;
            now.tags.extend(&tags);
            (first, tags.len() as u32)
        });
        now.records.push(encode(&new.folder));
        if is_news {
            self.has_news.store(true, Ordering::Relaxed);
        }
    }

    /// Remembers a folder as it was remembered before.
    pub fn add_again(&self, known: &KnownFolder) {
        self.add(NewKnown { folder: *known, tags: self.tags(known).map(<[Tag]>::to_vec) }, false);
    }

    /// Returns the tags of a folder's names; `None` if it has none.
    pub fn tags(&self, known: &KnownFolder) -> Option<&[Tag]> {
        let (first, count) = known.tags?;
        self.tags_before.get(first as usize..first as usize + count as usize)
    }

    /// Returns what stands for the inode number behind a name of the folder at `place`.
    pub fn tag_of(&self, place: &Print, name: &[u8], inode: u64) -> Tag {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(place).update(&inode.to_le_bytes()).update(name);
        Tag::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("8 bytes"))
    }

    /// Returns an empty fingerprint for the next folder.
    pub fn printer(&self, settled_before: Timestamp, trusted: Option<(u32, u32)>) -> Printer {
        let hasher = blake3::Hasher::new_keyed(&self.key);
        Printer { hasher, line: Vec::new(), count: 0, is_settled: true, settled_before, trusted }
    }

    /// Notes the folders for the backup after `snapshot`; `is_parent` says that it is the one that
    /// they were loaded for.
    pub fn save(
        self,
        repository: &Repository,
        series: &str,
        snapshot: SnapshotId,
        is_parent: bool,
    ) -> Result<()> {
        if is_parent && !self.has_news.into_inner() {
            return Ok(());
        }
        let mut now = sync::into_inner(self.now);
        now.records.sort_unstable();
        let count = (now.records.len() as u64).to_le_bytes();
        let mut bytes = [MAGIC, snapshot.0.as_slice(), &count, now.records.as_flattened()].concat();
        now.tags.iter().for_each(|tag| bytes.extend_from_slice(&tag.to_le_bytes()));
        notes::save(repository, &note_name(series), &bytes)
    }

    /// Returns what stands for an absolute path.
    pub fn place_of(&self, path: &[u8]) -> Print {
        first_16(blake3::keyed_hash(&self.key, path))
    }
}

/// Takes the fingerprint of one folder: everything that tells whether the parent's entries still
/// hold.
pub struct Printer {
    hasher: blake3::Hasher,
    line: Vec<u8>,
    count: u64,
    is_settled: bool,
    settled_before: Timestamp,
    /// The device whose stamps this machine's own clock makes.
    trusted: Option<(u32, u32)>,
}

/// Numbers one behind the other, put together where nothing has to grow: they are as many for each
/// name.
struct Fields {
    bytes: [u8; 128],
    len_bytes: usize,
}

impl Default for Fields {
    fn default() -> Self {
        Self { bytes: [0; 128], len_bytes: 0 }
    }
}

impl Fields {
    fn put<const LEN: usize>(&mut self, field: [u8; LEN]) {
        self.bytes[self.len_bytes..][..LEN].copy_from_slice(&field);
        self.len_bytes += LEN;
    }
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
    ///
    /// The number of a device counts for nothing: it is another after each start, and for each
    /// snapshot of a volume.
    pub fn add(&mut self, name: &[u8], stat: &Stat, devices: &Devices) {
        self.count += 1;
        self.is_settled &=
            is_settled(stat.ctime, self.settled_before, self.trusted == Some(stat.dev));
        let is_dir = stat.kind == EntryKind::Dir;
        let linked = stat.nlink > 1 && !is_dir;
        let (major, minor) = stat.device.unwrap_or_default();
        let size = if is_dir { 0 } else { stat.size };
        let inode = if devices.ignore_inodes { 0 } else { stat.inode };
        let mut fields = Fields::default();
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

/// Takes a table apart: records and tags; `None` if it is of another snapshot.
fn parse(bytes: &[u8], parent: SnapshotId) -> Option<(Vec<u8>, Vec<Tag>)> {
    let (count, rest) = bytes.strip_prefix(MAGIC)?.strip_prefix(&parent.0)?.split_first_chunk()?;
    let records_len_bytes =
        usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(RECORD_LEN_BYTES)?;
    let (records, tags) = rest.split_at_checked(records_len_bytes)?;
    let (tags, rest) = tags.as_chunks();
    rest.is_empty()
        .then(|| (records.to_vec(), tags.iter().map(|tag| Tag::from_le_bytes(*tag)).collect()))
}

fn encode(folder: &KnownFolder) -> [u8; RECORD_LEN_BYTES] {
    let mut record = [0; RECORD_LEN_BYTES];
    let Totals { files, dirs, bytes } = folder.totals;
    record[..16].copy_from_slice(&folder.place);
    record[16..32].copy_from_slice(&folder.print.unwrap_or_default());
    record[32..64].copy_from_slice(&folder.tree.0);
    for (at, number) in [files, dirs, bytes, folder.inode].into_iter().enumerate() {
        record[64 + 8 * at..][..8].copy_from_slice(&number.to_le_bytes());
    }
    let (first, count) = folder.tags.unwrap_or((NO_TAGS, 0));
    record[96..100].copy_from_slice(&first.to_le_bytes());
    record[100..].copy_from_slice(&count.to_le_bytes());
    record
}

fn decode(record: &[u8]) -> KnownFolder {
    let hash_at = |at: usize| Print::try_from(&record[at..at + PRINT_LEN_BYTES]).expect("16 bytes");
    let number =
        |at: usize| u64::from_le_bytes(record[64 + 8 * at..][..8].try_into().expect("8 bytes"));
    let half = |at: usize| u32::from_le_bytes(record[at..][..4].try_into().expect("4 bytes"));
    KnownFolder {
        place: hash_at(0),
        print: Some(hash_at(PRINT_LEN_BYTES)).filter(|hash| *hash != Print::default()),
        tree: ChunkId(record[32..64].try_into().expect("32 bytes")),
        totals: Totals { files: number(0), dirs: number(1), bytes: number(2) },
        inode: number(3),
        tags: Some((half(96), half(100))).filter(|(first, _)| *first != NO_TAGS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(tags: Option<(u32, u32)>) -> KnownFolder {
        let totals = Totals { files: 1, dirs: 2, bytes: 3 };
        KnownFolder {
            place: [1; 16],
            print: Some([2; 16]),
            tree: ChunkId([3; 32]),
            totals,
            inode: u64::MAX - 1,
            tags,
        }
    }

    #[test]
    fn what_is_remembered_comes_back() {
        for tags in [None, Some((0, 0)), Some((7, 9))] {
            assert_eq!(decode(&encode(&folder(tags))), folder(tags));
        }
        let none = KnownFolder { print: None, ..folder(None) };
        assert_eq!(decode(&encode(&none)), none);
    }

    #[test]
    fn a_table_of_another_snapshot_or_version_is_none() {
        let parent = SnapshotId([9; 16]);
        let record = encode(&folder(Some((0, 2))));
        let (count, tags) = (1u64.to_le_bytes(), [5u64.to_le_bytes(), 6u64.to_le_bytes()].concat());
        let table = [MAGIC.as_slice(), &parent.0, &count, &record, &tags].concat();
        assert_eq!(parse(&table, parent), Some((record.to_vec(), vec![5, 6])));
        assert_eq!(parse(&table, SnapshotId([8; 16])), None);
        assert_eq!(parse(&table[8..], parent), None, "as tables were before");
        assert_eq!(parse(&table[..table.len() - 1], parent), None);
        assert_eq!(parse(&table[..60], parent), None);
    }
}
