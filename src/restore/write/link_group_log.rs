//! Log of finished hard-link groups in an unnamed file, so that memory does not grow with their
//! number.
//!
//! The log is a sequence of records, addressed by offset. A directory is one record, which refers
//! to its parent, so that it can be opened again from the root of the target. Sorted runs of (group
//! number, offset) in the same log are the index of groups. No other process reads it: it has no
//! name, and its layout is not part of the format.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::link_group::{FirstLink, Likeness, TargetName};
use crate::format::entry::EntryKind;
use crate::restore::target::dir::{InodeId, TargetDir};

/// Bytes that wait in memory to be written.
const BUFFER_MAX_BYTES: usize = 1 << 20;
/// Groups in memory before they are written as a run.
const RECENT_MAX: usize = 128 << 10;
/// Pairs of a run between two of its fences, which one read loads.
const PAIRS_PER_FENCE: usize = 256;
const PAIR_LEN_BYTES: usize = 16;
/// Directories that are cached after they were read from the log.
const DIRS_MAX: usize = 4096;
/// The fixed part of a record: device, inode, offset of the directory, length of the name, kind
/// (for a directory: whether it is reached through a link), likeness.
const FIXED_LEN_BYTES: usize = 8 + 8 + 8 + 2 + 1 + 16;

/// Kinds of entries that can have several names.
const KINDS: [EntryKind; 6] = [
    EntryKind::File,
    EntryKind::Symlink,
    EntryKind::Fifo,
    EntryKind::Socket,
    EntryKind::CharDevice,
    EntryKind::BlockDevice,
];

/// The offset of a record in the log. [`ROOT`], where no record starts, means the root of the
/// target.
type LogOffset = u64;
const ROOT: LogOffset = LogOffset::MAX;

/// A group of which a member is done.
pub(crate) struct FinishedGroup {
    /// Kind of its members.
    pub kind: EntryKind,
    /// Hash of their content and metadata.
    pub likeness: Likeness,
    /// The member that is done.
    pub first: FirstLink,
}

/// The log of finished groups.
pub(crate) struct GroupLog {
    root: Arc<TargetDir>,
    file: File,
    written: u64,
    buffer: Vec<u8>,
    recent: HashMap<u64, LogOffset>,
    runs: Vec<SortedRun>,
    dirs: HashMap<LogOffset, Arc<TargetDir>>,
}

/// Pairs of group number and offset in ascending order.
struct SortedRun {
    start: LogOffset,
    pairs: usize,
    fences: Vec<u64>,
}

struct Record {
    identity: InodeId,
    dir: LogOffset,
    kind: u8,
    likeness: Likeness,
    name: Box<[u8]>,
}

impl GroupLog {
    /// Starts an empty log in `file`, for the target with this root.
    pub(crate) fn new(root: Arc<TargetDir>, file: File) -> Self {
        Self {
            root,
            file,
            written: 0,
            buffer: Vec::new(),
            recent: HashMap::new(),
            runs: Vec::new(),
            dirs: HashMap::new(),
        }
    }

    /// Appends a group; fails if the file cannot be written.
    pub(crate) fn insert(&mut self, number: u64, group: &FinishedGroup) -> io::Result<()> {
        let FirstLink { name: TargetName { dir, name }, identity } = &group.first;
        let dir = self.offset_of_dir(dir)?;
        let place = self.append(identity, dir, group.kind as u8, &group.likeness, name)?;
        self.recent.insert(number, place);
        if self.recent.len() >= RECENT_MAX { self.close_run() } else { Ok(()) }
    }

    /// Returns the group with this number, `None` if it is not in the log.
    pub(crate) fn get(&mut self, number: u64) -> io::Result<Option<FinishedGroup>> {
        let Some(place) = self.find(number)? else {
            return Ok(None);
        };
        let record = self.read_record(place)?;
        let kind = *KINDS.iter().find(|kind| **kind as u8 == record.kind).ok_or_else(unreadable)?;
        let name = TargetName { dir: self.dir_at(record.dir)?, name: record.name };
        Ok(Some(FinishedGroup {
            kind,
            likeness: record.likeness,
            first: FirstLink { name, identity: record.identity },
        }))
    }

    /// Returns the offset of a directory's record; appends it, and those of its ancestors, if this
    /// is the first group there.
    fn offset_of_dir(&mut self, dir: &Arc<TargetDir>) -> io::Result<LogOffset> {
        let mut missing = Vec::new();
        let mut above = dir;
        let mut place = loop {
            let Some(parent) = above.parent() else {
                break ROOT;
            };
            if let Some(place) = above.record.get() {
                break *place;
            }
            missing.push(above);
            above = parent;
        };
        for dir in missing.into_iter().rev() {
            place =
                self.append(&dir.identity(), place, u8::from(dir.is_linked), &[0; 16], dir.name())?;
            place = *dir.record.get_or_init(|| place);
        }
        Ok(place)
    }

    /// Returns the directory of a record, as this restore created or entered it.
    fn dir_at(&mut self, place: LogOffset) -> io::Result<Arc<TargetDir>> {
        let mut missing = Vec::new();
        let mut at = place;
        let mut dir = loop {
            if at == ROOT {
                break self.root.clone();
            }
            if let Some(known) = self.dirs.get(&at) {
                break known.clone();
            }
            let record = self.read_record(at)?;
            let above = record.dir;
            missing.push((at, record));
            at = above;
        };
        if self.dirs.len() + missing.len() > DIRS_MAX {
            self.dirs.clear();
        }
        for (at, record) in missing.into_iter().rev() {
            dir = TargetDir::known(&dir, &record.name, record.identity, record.kind != 0);
            self.dirs.insert(at, dir.clone());
        }
        Ok(dir)
    }

    fn find(&self, number: u64) -> io::Result<Option<LogOffset>> {
        if let Some(place) = self.recent.get(&number) {
            return Ok(Some(*place));
        }
        for run in self.runs.iter().rev() {
            if let Some(place) = self.find_in(run, number)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn find_in(&self, run: &SortedRun, number: u64) -> io::Result<Option<LogOffset>> {
        let Some(fence) = run.fences.partition_point(|first| *first <= number).checked_sub(1)
        else {
            return Ok(None);
        };
        let first = fence * PAIRS_PER_FENCE;
        let mut pairs = vec![0; PAIRS_PER_FENCE.min(run.pairs - first) * PAIR_LEN_BYTES];
        self.read_at(run.start + (first * PAIR_LEN_BYTES) as u64, &mut pairs)?;
        let (pairs, _) = pairs.as_chunks::<PAIR_LEN_BYTES>();
        let found = pairs.binary_search_by_key(&number, |pair| u64_at(pair, 0));
        Ok(found.ok().map(|at| u64_at(&pairs[at], 8)))
    }

    fn close_run(&mut self) -> io::Result<()> {
        let mut pairs: Vec<(u64, LogOffset)> =
            self.recent.iter().map(|(number, place)| (*number, *place)).collect();
        pairs.sort_unstable();
        let start = self.end();
        for (number, place) in &pairs {
            self.buffer.extend_from_slice(&number.to_le_bytes());
            self.buffer.extend_from_slice(&place.to_le_bytes());
        }
        self.flush()?;
        self.recent.clear();
        let fences = pairs.iter().step_by(PAIRS_PER_FENCE).map(|(number, _)| *number).collect();
        self.runs.push(SortedRun { start, pairs: pairs.len(), fences });
        Ok(())
    }

    fn append(
        &mut self,
        identity: &InodeId,
        dir: LogOffset,
        kind: u8,
        likeness: &Likeness,
        name: &[u8],
    ) -> io::Result<LogOffset> {
        let place = self.end();
        let ((major, minor), inode) = identity.parts();
        let name_len = u16::try_from(name.len())
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidFilename))?;
        self.buffer.extend_from_slice(&major.to_le_bytes());
        self.buffer.extend_from_slice(&minor.to_le_bytes());
        self.buffer.extend_from_slice(&inode.to_le_bytes());
        self.buffer.extend_from_slice(&dir.to_le_bytes());
        self.buffer.extend_from_slice(&name_len.to_le_bytes());
        self.buffer.push(kind);
        self.buffer.extend_from_slice(likeness);
        self.buffer.extend_from_slice(name);
        if self.buffer.len() >= BUFFER_MAX_BYTES {
            self.flush()?;
        }
        Ok(place)
    }

    fn read_record(&self, place: LogOffset) -> io::Result<Record> {
        let mut fixed = [0; FIXED_LEN_BYTES];
        self.read_at(place, &mut fixed)?;
        let half =
            |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().expect("four bytes"));
        let mut name = vec![0; usize::from(u16::from_le_bytes([fixed[24], fixed[25]]))];
        self.read_at(place + FIXED_LEN_BYTES as u64, &mut name)?;
        let identity = InodeId::new(half(0), half(4), u64_at(&fixed, 8));
        let likeness = *fixed.last_chunk().expect("it is the last part");
        Ok(Record {
            identity,
            dir: u64_at(&fixed, 16),
            kind: fixed[26],
            likeness,
            name: name.into(),
        })
    }

    fn end(&self) -> LogOffset {
        self.written + self.buffer.len() as u64
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Reads appended bytes; a record or run is never partly in the buffer.
    fn read_at(&self, place: LogOffset, into: &mut [u8]) -> io::Result<()> {
        match place.checked_sub(self.written) {
            None => self.file.read_exact_at(into, place),
            Some(at) => {
                let from = self
                    .buffer
                    .get(at as usize..at as usize + into.len())
                    .ok_or_else(unreadable)?;
                into.copy_from_slice(from);
                Ok(())
            }
        }
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn unreadable() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}
