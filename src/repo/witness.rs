//! What this machine remembers of the repository at a place, so that it notices when another one answers there, or an older state of it.
//!
//! It lies in a folder of its own and not among the local copies: deleting those forgets nothing. Of a repository that is copied, and of
//! which several copies are used at one place in turn, each copy is remembered by itself.
//! Spec: `format-spec/10-keys.md`, section 5, and `format-spec/08-snapshots.md`, section 4.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use crate::format::snapshot::Snapshot;
use crate::id::{RepositoryId, SnapshotId, encode_hex};

/// The folder in the state folder.
pub const PLACES: &str = "places";
/// The file in the folder of a place. Each has one of its own, so that the folder of all does not change when one does: a backup that
/// passes it over sees the same.
const FILE: &str = "memory.json";
/// The form of the file.
const FORM: u32 = 1;
/// Copies of one repository that are remembered at one place; the one that was used longest ago makes room.
const COPIES_MAX: usize = 16;
/// Most hashes that are remembered of one kind; then the oldest make room.
const HASHES_MAX: usize = 10_000;

/// All that is remembered of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    form: u32,
    location: String,
    repository: String,
    fingerprint: String,
    /// The highest number of a config that counted.
    config: u64,
    /// The name of the key slot that opened it last.
    #[serde(default)]
    slot: String,
    /// The copies, the one that was used last at the end.
    copies: Vec<CopyMemory>,
}

/// What is remembered of one copy of the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CopyMemory {
    /// Tells its local copies from those of the others.
    number: u32,
    /// The highest generation of collectors.
    generation: u64,
    /// The newest snapshot of each host.
    heads: Vec<Head>,
    /// Hashes of snapshots whose absence was accepted, in hex.
    accepted: Vec<String>,
    /// Hashes of tombstones that this machine took back, in hex.
    #[serde(default)]
    taken_back: Vec<String>,
}

/// The newest snapshot of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    host: String,
    snapshot: String,
    sequence: u64,
}

/// What the user accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// An older state than the one that is remembered.
    pub rollback: bool,
    /// Another repository than the one that is remembered.
    pub new_repository: bool,
}

/// Which repository it is, as it says itself.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Its id.
    pub repository: RepositoryId,
    /// The fingerprint of its keys.
    pub fingerprint: [u8; 32],
    /// The number of its config.
    pub config: u64,
    /// The key slot that opened it.
    pub slot: &'a str,
}

/// The memory of one place, in a file if there is a folder for it.
pub struct Witness {
    file: Option<PathBuf>,
    memory: Mutex<Memory>,
    accept: Accept,
    trouble: Mutex<Option<io::Error>>,
}

impl Witness {
    /// Reads what is remembered of a place. A file that cannot be understood is none, and is said by [`Self::trouble`].
    pub fn open(state_dir: Option<&Path>, location: &str, accept: Accept) -> Self {
        let hash = blake3::hash(location.as_bytes()).to_hex();
        let file = state_dir.map(|dir| dir.join(PLACES).join(&hash[..32]).join(FILE));
        let fresh = Memory { form: FORM, location: location.to_owned(), ..Memory::default() };
        let (memory, trouble) = match file.as_deref().map_or(Ok(None), read) {
            Ok(memory) => (memory.filter(|memory| memory.location == location).unwrap_or(fresh), None),
            Err(error) => (fresh, Some(error)),
        };
        Self { file, memory: Mutex::new(memory), accept, trouble: Mutex::new(trouble) }
    }

    /// Remembers for as long as the process lives.
    pub fn in_memory() -> Self {
        let witness = Self::open(None, "", Accept::default());
        lock(&witness.memory).copies.push(CopyMemory::default());
        witness
    }

    /// Returns what the user accepts.
    pub fn accept(&self) -> Accept {
        self.accept
    }

    /// Returns whether a repository was seen at this place before.
    pub fn knows(&self) -> bool {
        !lock(&self.memory).repository.is_empty()
    }

    /// Returns the name of the key slot that opened the repository last.
    pub fn last_slot(&self) -> Option<String> {
        Some(lock(&self.memory).slot.clone()).filter(|slot| !slot.is_empty())
    }

    /// Takes the trouble that reading or writing the file made, to be told once.
    pub fn trouble(&self) -> Option<(PathBuf, io::Error)> {
        Some((self.file.clone()?, lock(&self.trouble).take()?))
    }

    /// Compares a repository with the one that is remembered, and remembers it.
    ///
    /// Fails with `AnotherRepository`, or with `RolledBack` if its config is older, unless the user accepts that.
    pub fn admit(&self, identity: &Identity) -> Result<()> {
        let mut memory = lock(&self.memory);
        let before = memory.clone();
        let (repository, fingerprint) = (identity.repository.to_hex(), encode_hex(&identity.fingerprint));
        let is_same = memory.repository == repository && memory.fingerprint == fingerprint;
        if !memory.repository.is_empty() && !is_same {
            if !self.accept.new_repository {
                let known = memory.fingerprint.clone();
                return Err(Error::AnotherRepository { location: memory.location.clone(), known, found: fingerprint });
            }
            *memory = Memory { form: FORM, location: memory.location.clone(), ..Memory::default() };
        }
        if identity.config < memory.config && !self.accept.rollback {
            let what = format!("config/{}", memory.config);
            return Err(Error::RolledBack { location: memory.location.clone(), what });
        }
        (memory.repository, memory.fingerprint) = (repository, fingerprint);
        (memory.config, memory.slot) = (identity.config, identity.slot.to_owned());
        if memory.copies.is_empty() {
            memory.copies.push(CopyMemory::default());
        }
        self.save_changed(&before, &memory);
        Ok(())
    }

    /// Forgets what is remembered, because a repository is being made here.
    pub fn begin_anew(&self) {
        let mut memory = lock(&self.memory);
        *memory = Memory { form: FORM, location: memory.location.clone(), ..Memory::default() };
    }

    /// Returns the number of the copy that is used now.
    pub fn copy(&self) -> u32 {
        lock(&self.memory).copies.last().map_or(0, |copy| copy.number)
    }

    /// Returns the numbers of the copies that are remembered, those first that have come furthest.
    pub fn copies(&self) -> Vec<u32> {
        let mut copies = lock(&self.memory).copies.clone();
        let progress = |copy: &CopyMemory| copy.heads.iter().fold(0u64, |sum, head| sum.saturating_add(head.sequence));
        copies.sort_by_key(|copy| std::cmp::Reverse(progress(copy)));
        copies.iter().map(|copy| copy.number).collect()
    }

    /// Says which copy is used now.
    pub fn use_copy(&self, number: u32) {
        self.change(|memory| {
            if let Some(at) = memory.copies.iter().position(|copy| copy.number == number) {
                let copy = memory.copies.remove(at);
                memory.copies.push(copy);
            }
        });
    }

    /// Remembers one copy more, of which nothing is known yet, and returns its number.
    pub fn add_copy(&self) -> u32 {
        let number = lock(&self.memory).copies.iter().map(|copy| copy.number + 1).max().unwrap_or(0);
        self.change(|memory| {
            memory.copies.push(CopyMemory { number, ..CopyMemory::default() });
            let surplus = memory.copies.len().saturating_sub(COPIES_MAX);
            memory.copies.drain(..surplus);
        });
        number
    }

    /// Returns the snapshots that must be there, or be explained: the newest of each host.
    pub fn heads(&self) -> Vec<SnapshotId> {
        let memory = lock(&self.memory);
        let heads = memory.copies.last().into_iter().flat_map(|copy| &copy.heads);
        heads.filter_map(|head| SnapshotId::from_hex(&head.snapshot)).collect()
    }

    /// Remembers snapshots that are there; of each host the newest. `is_gone` says which of the known ones are explained.
    pub fn saw_snapshots<'a>(&self, seen: impl Iterator<Item = &'a Snapshot>, is_gone: impl Fn(&SnapshotId) -> bool) {
        self.change(|memory| {
            let Some(copy) = memory.copies.last_mut() else {
                return;
            };
            copy.heads.retain(|head| SnapshotId::from_hex(&head.snapshot).is_some_and(|id| !is_gone(&id)));
            for snapshot in seen {
                let new = Head { host: snapshot.host.clone(), snapshot: snapshot.id.to_hex(), sequence: snapshot.sequence };
                match copy.heads.iter_mut().find(|head| head.host == snapshot.host) {
                    Some(head) if head.sequence < new.sequence => *head = new,
                    Some(_) => {}
                    None => copy.heads.push(new),
                }
            }
        });
    }

    /// Fails with `RolledBack` if the highest generation of a listing is lower than one that is remembered.
    pub fn compare_generation(&self, location: &str, highest: u64) -> Result<()> {
        let known = lock(&self.memory).copies.last().map_or(0, |copy| copy.generation);
        if highest < known {
            let what = format!("the record of generation {known}");
            return Err(Error::RolledBack { location: location.to_owned(), what });
        }
        Ok(())
    }

    /// Remembers a generation of which a record that somebody with a key made was seen.
    pub fn saw_generation(&self, number: u64) {
        if lock(&self.memory).copies.last().is_some_and(|copy| copy.generation < number) {
            self.change(|memory| memory.copies.last_mut().into_iter().for_each(|copy| copy.generation = number));
        }
    }

    /// Returns whether it was accepted that a snapshot is missing, or accepts it if the user does so now.
    pub fn accepts_missing(&self, hash: &[u8; 32]) -> bool {
        let hash = encode_hex(hash);
        if self.accept.rollback {
            self.change(|memory| {
                if let Some(copy) = memory.copies.last_mut() {
                    add(&mut copy.accepted, hash);
                }
            });
            return true;
        }
        lock(&self.memory).copies.last().is_some_and(|copy| copy.accepted.contains(&hash))
    }

    /// Remembers that a tombstone was taken back.
    pub fn took_back(&self, tombstone: &[u8; 32]) {
        let hash = encode_hex(tombstone);
        self.change(|memory| {
            if let Some(copy) = memory.copies.last_mut() {
                add(&mut copy.taken_back, hash);
            }
        });
    }

    /// Returns whether this machine took a tombstone back.
    pub fn has_taken_back(&self, tombstone: &[u8; 32]) -> bool {
        let hash = encode_hex(tombstone);
        lock(&self.memory).copies.last().is_some_and(|copy| copy.taken_back.contains(&hash))
    }

    /// Returns whether a repository's folder on this machine holds all that is remembered of it, as far as names tell.
    ///
    /// To look there costs no request. Where nothing is remembered, that it has a config is enough.
    pub fn fits_folder(&self, folder: &Path) -> bool {
        let memory = lock(&self.memory);
        let is_there = |name: String| folder.join(name).symlink_metadata().is_ok();
        let (Some(copy), [_]) = (memory.copies.last(), &memory.copies[..]) else {
            return memory.copies.is_empty() && is_there("config/1".to_owned());
        };
        let has_head = |head: &Head| {
            is_there(format!("snapshots/{}", head.snapshot)) || is_there(format!("snapshots/{}.forgotten", head.snapshot))
        };
        is_there(format!("config/{}", memory.config))
            && (memory.slot.is_empty() || is_there(format!("keys/{}", memory.slot)))
            && (copy.generation == 0 || is_there(format!("gc/{}.condemned", copy.generation)))
            && copy.heads.iter().all(has_head)
    }

    fn change(&self, change: impl FnOnce(&mut Memory)) {
        let mut memory = lock(&self.memory);
        // Another process may have learned more since.
        if let Some(Ok(Some(now))) = self.file.as_deref().map(read)
            && (&now.repository, &now.location) == (&memory.repository, &memory.location)
        {
            *memory = now;
        }
        let before = memory.clone();
        change(&mut memory);
        self.save_changed(&before, &memory);
    }

    fn save_changed(&self, before: &Memory, memory: &Memory) {
        if let Some(file) = self.file.as_deref().filter(|_| before != memory)
            && let Err(error) = write(file, memory)
        {
            lock(&self.trouble).get_or_insert(error);
        }
    }
}

fn add(hashes: &mut Vec<String>, hash: String) {
    if !hashes.contains(&hash) {
        hashes.push(hash);
        hashes.drain(..hashes.len().saturating_sub(HASHES_MAX));
    }
}

fn read(file: &Path) -> io::Result<Option<Memory>> {
    refuse_foreign(file.parent().expect("the file has a folder"))?;
    let text = match fs::read(file) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        text => text?,
    };
    let memory: Memory = serde_json::from_slice(&text)?;
    match memory.form {
        FORM => Ok(Some(memory)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it was written by another version of the program")),
    }
}

/// Makes sure that nobody else can write to the folder: whoever could would decide what is remembered.
fn refuse_foreign(folder: &Path) -> io::Result<()> {
    [folder].into_iter().chain(folder.parent()).try_for_each(refuse_one)
}

fn refuse_one(folder: &Path) -> io::Result<()> {
    let found = match folder.symlink_metadata() {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        found => found?,
    };
    let is_own = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
    match is_own && found.is_dir() && found.mode() & 0o022 == 0 {
        true => Ok(()),
        false => Err(io::Error::other("its folder belongs to somebody else, or others may write to it")),
    }
}

/// Writes the memory whole, durably: one that is lost would let a rollback pass.
fn write(file: &Path, memory: &Memory) -> io::Result<()> {
    let folder = file.parent().expect("the file has a folder");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    refuse_foreign(folder)?;
    let mut new = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    new.write_all(&serde_json::to_vec_pretty(memory)?)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    File::open(folder)?.sync_all()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HERE: &str = "/mnt/disk";

    fn identity(fingerprint: u8, config: u64) -> Identity<'static> {
        Identity { repository: RepositoryId([fingerprint; 16]), fingerprint: [fingerprint; 32], config, slot: "5107" }
    }

    fn open(dir: &Path, accept: Accept) -> Witness {
        Witness::open(Some(dir), HERE, accept)
    }

    /// What one process saw the next one knows; of another place nothing is known.
    #[test]
    fn what_was_seen_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), Accept::default());
        assert!(!first.knows());
        first.admit(&identity(1, 3)).unwrap();
        first.saw_generation(7);
        first.took_back(&[9; 32]);
        let next = open(dir.path(), Accept::default());
        assert!(next.knows() && next.trouble().is_none() && next.has_taken_back(&[9; 32]) && !next.has_taken_back(&[8; 32]));
        assert_eq!(next.last_slot().as_deref(), Some("5107"));
        assert!(matches!(next.compare_generation(HERE, 6), Err(Error::RolledBack { .. })));
        next.compare_generation(HERE, 7).unwrap();
        assert!(matches!(next.admit(&identity(1, 2)), Err(Error::RolledBack { .. })));
        assert!(matches!(next.admit(&identity(2, 3)), Err(Error::AnotherRepository { .. })));
        assert!(!Witness::open(Some(dir.path()), "/mnt/other", Accept::default()).knows());
        let accept = Accept { new_repository: true, rollback: false };
        open(dir.path(), accept).admit(&identity(2, 1)).unwrap();
        let after = open(dir.path(), Accept::default());
        after.admit(&identity(2, 1)).unwrap();
        after.compare_generation(HERE, 0).unwrap();
    }

    #[test]
    fn copies_are_remembered_apart_up_to_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let witness = open(dir.path(), Accept::default());
        witness.admit(&identity(1, 1)).unwrap();
        witness.saw_generation(5);
        assert_eq!((witness.add_copy(), witness.copies().len()), (1, 2));
        witness.compare_generation(HERE, 0).unwrap();
        witness.use_copy(0);
        assert!(open(dir.path(), Accept::default()).compare_generation(HERE, 4).is_err());
        let last = (0..2 * COPIES_MAX).map(|_| witness.add_copy()).max();
        assert_eq!((witness.copies().len(), Some(witness.copy())), (COPIES_MAX, last));
    }

    /// A file that is broken, or that others may have written, is none, and is told.
    #[test]
    fn what_cannot_be_trusted_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let witness = open(dir.path(), Accept::default());
        witness.admit(&identity(1, 1)).unwrap();
        let places = dir.path().join(PLACES);
        fs::set_permissions(&places, fs::Permissions::from_mode(0o777)).unwrap();
        let foreign = open(dir.path(), Accept::default());
        assert!(!foreign.knows() && foreign.trouble().is_some());
        fs::set_permissions(&places, fs::Permissions::from_mode(0o700)).unwrap();
        let file = fs::read_dir(&places).unwrap().next().unwrap().unwrap().path().join(FILE);
        fs::write(&file, "{").unwrap();
        let broken = open(dir.path(), Accept::default());
        assert!(!broken.knows() && broken.trouble().is_some() && broken.trouble().is_none());
        let nowhere = Witness::open(Some(&file), HERE, Accept::default());
        nowhere.admit(&identity(1, 1)).unwrap();
        assert!(nowhere.trouble().is_some(), "a file is no folder");
    }
}
