//! Memory of this machine about the repository at a place, to detect another repository or a
//! rollback there.
//!
//! It is stored apart from the cache, so that it stays when the cache is deleted. If several copies
//! of a repository are used at one place in turn, each copy has its own memory.
//!
//! Spec: `format-spec/10-keys.md`, section 5, and `format-spec/08-snapshots.md`, section 4.

mod alias;
mod copies;
mod file;
mod policies;
mod snapshots;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use self::file::{
    CopyMemory, FILE, HostHead, PlaceMemory, StoredMemory, lock_for_change, read, set_aside, write,
};
use crate::id::{RepositoryId, encode_hex};
use crate::repo::error::{Error, Result};
use crate::sync::lock;

pub use self::file::{PLACES, PolicyNote};

/// Deviations from the memory that the user accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// Whether to accept an older state than the remembered one.
    pub rollback: bool,
    /// Whether to accept another repository than the remembered one.
    pub new_repository: bool,
}

/// Identity of a repository, from its own config and keys.
#[derive(Clone, Copy, Debug)]
pub struct RepositoryIdentity<'a> {
    /// The id in its config.
    pub repository: RepositoryId,
    /// The fingerprint of its keys.
    pub fingerprint: [u8; 32],
    /// The number of its config.
    pub config: u64,
    /// Name of the key slot that opened it.
    pub slot: &'a str,
}

/// The memory of one place, in a file if there is a state directory.
pub struct Witness {
    file: Option<PathBuf>,
    /// The file of another name of the place, and that name; each change is written there, too.
    alias: Option<(PathBuf, String)>,
    memory: Mutex<PlaceMemory>,
    accept: Accept,
    trouble: Mutex<Option<io::Error>>,
    /// Set while a repository is created here: the file is about another one.
    is_anew: AtomicBool,
    /// Set while the memory comes from the alias alone, and no repository was admitted yet.
    is_borrowed: AtomicBool,
    /// Set if the file could not be read: it is neither read nor written again in this process.
    is_blind: AtomicBool,
    /// Whether nothing is written.
    is_dry: bool,
}

impl Witness {
    /// Reads the memory of a place. If the file cannot be read or decoded, [`Self::trouble`]
    /// returns why, and the memory is empty.
    ///
    /// A damaged file is renamed before a new one is written. A file that cannot be read stays
    /// unchanged, because it may be readable later; this process then remembers in memory only.
    pub fn open(state_dir: Option<&Path>, location: &str, accept: Accept) -> Self {
        let file = state_dir.map(|dir| file_of(dir, location));
        let fresh = PlaceMemory::of(location);
        let (memory, trouble, is_blind) =
            match file.as_deref().map_or(Ok(StoredMemory::Nothing), read) {
                Ok(StoredMemory::Memory(memory)) if memory.location == location => {
                    (memory, None, false)
                }
                Ok(StoredMemory::Memory(_) | StoredMemory::Nothing) => (fresh, None, false),
                Ok(StoredMemory::Broken(why)) => (fresh, Some(why), false),
                Err(error) => (fresh, Some(error), true),
            };
        let (memory, trouble) = (Mutex::new(memory), Mutex::new(trouble));
        let (is_anew, is_borrowed, is_blind) =
            (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(is_blind));
        Self {
            file,
            alias: None,
            memory,
            accept,
            trouble,
            is_anew,
            is_borrowed,
            is_blind,
            is_dry: false,
        }
    }

    /// Returns whether nothing is written.
    pub fn is_dry(&self) -> bool {
        self.is_dry
    }

    /// Makes a memory that ends with the process.
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

    /// Returns the highest number of a valid config.
    pub fn config(&self) -> u64 {
        lock(&self.memory).config
    }

    /// Takes the file and its first error of reading or writing, to be reported once.
    pub fn trouble(&self) -> Option<(PathBuf, io::Error)> {
        Some((self.file.clone()?, lock(&self.trouble).take()?))
    }

    /// Compares a repository with the remembered one, and remembers it.
    ///
    /// Fails with `AnotherRepository`, or with `RolledBack` if its config is older than the one
    /// that was remembered before it was read, unless the user accepts that. (Another process may
    /// have seen a later config since.)
    pub fn admit(&self, identity: &RepositoryIdentity) -> Result<()> {
        let (repository, fingerprint) =
            (identity.repository.to_hex(), encode_hex(&identity.fingerprint));
        let (location, mut known) = {
            let memory = lock(&self.memory);
            (memory.location.clone(), memory.config)
        };
        self.change_where(
            |now| now.location == location,
            |memory| {
                let is_same = memory.repository == repository && memory.fingerprint == fingerprint;
                if !memory.repository.is_empty() && !is_same {
                    if !self.accept.new_repository {
                        let known = memory.fingerprint.clone();
                        return Err(Error::AnotherRepository {
                            location: memory.location.clone(),
                            known,
                            found: fingerprint,
                        });
                    }
                    *memory = PlaceMemory::of(&memory.location);
                    known = 0;
                }
                if identity.config < known && !self.accept.rollback {
                    return Err(Error::RolledBack {
                        location: memory.location.clone(),
                        what: format!("config/{known}"),
                    });
                }
                (memory.repository, memory.fingerprint) = (repository, fingerprint);
                memory.config = if self.accept.rollback {
                    identity.config
                } else {
                    identity.config.max(memory.config)
                };
                identity.slot.clone_into(&mut memory.slot);
                if memory.copies.is_empty() {
                    memory.copies.push(CopyMemory::default());
                }
                self.is_anew.store(false, Ordering::Relaxed);
                self.is_borrowed.store(false, Ordering::Relaxed);
                Ok(())
            },
        )
    }

    /// Clears the memory, because a repository is created here.
    pub fn begin_anew(&self) {
        let mut memory = lock(&self.memory);
        *memory = PlaceMemory::of(&memory.location);
        self.is_anew.store(true, Ordering::Relaxed);
        self.is_borrowed.store(false, Ordering::Relaxed);
        self.is_blind.store(false, Ordering::Relaxed);
    }

    /// Returns the highest remembered generation.
    pub fn generation(&self) -> u64 {
        lock(&self.memory).copies.last().map_or(0, |copy| copy.generation)
    }

    /// Fails with `RolledBack` if the highest generation of a listing is lower than the one that
    /// was remembered before the listing.
    pub fn compare_generation(location: &str, known: u64, highest: u64) -> Result<()> {
        if highest < known {
            let what = format!("the record of generation {known}");
            return Err(Error::RolledBack { location: location.to_owned(), what });
        }
        Ok(())
    }

    /// Remembers a generation of which an authentic record was seen.
    pub fn saw_generation(&self, number: u64) {
        if lock(&self.memory).copies.last().is_some_and(|copy| copy.generation < number) {
            self.change(|memory| {
                // Another process may have seen a higher one meanwhile.
                memory
                    .copies
                    .last_mut()
                    .into_iter()
                    .for_each(|copy| copy.generation = copy.generation.max(number));
            });
        }
    }

    /// Returns whether a repository's directory on this machine has the names of all that is
    /// remembered.
    ///
    /// This costs no request. False if nothing is remembered: then only a listing can tell.
    pub fn fits_folder(&self, folder: &Path) -> bool {
        let memory = lock(&self.memory);
        let is_there = |name: String| folder.join(name).symlink_metadata().is_ok();
        let (Some(copy), [_]) = (memory.copies.last(), &memory.copies[..]) else {
            return false;
        };
        let has_head = |head: &HostHead| {
            is_there(format!("snapshots/{}", head.snapshot))
                || is_there(format!("snapshots/{}.forgotten", head.snapshot))
        };
        is_there(format!("config/{}", memory.config))
            && (memory.slot.is_empty() || is_there(format!("keys/{}", memory.slot)))
            && (copy.generation == 0 || is_there(format!("gc/{}.condemned", copy.generation)))
            && copy.heads.iter().all(has_head)
    }

    /// Changes the memory of the repository that was admitted.
    fn change<R>(&self, change: impl FnOnce(&mut PlaceMemory) -> R) -> R {
        let (location, repository) = {
            let memory = lock(&self.memory);
            (memory.location.clone(), memory.repository.clone())
        };
        self.change_where(|now| now.repository == repository && now.location == location, change)
    }

    /// Changes the memory, after merging what other processes have written meanwhile.
    ///
    /// `is_ours` returns whether the file is still about the same repository; if it is about
    /// another one, it stays unchanged, unless a repository is created here.
    ///
    /// The file is locked meanwhile: without the lock, two processes could overwrite each other's
    /// memory, and a rollback of the lost part would pass.
    fn change_where<R>(
        &self,
        is_ours: impl FnOnce(&PlaceMemory) -> bool,
        change: impl FnOnce(&mut PlaceMemory) -> R,
    ) -> R {
        let file =
            self.file.as_deref().filter(|_| !self.is_dry && !self.is_blind.load(Ordering::Relaxed));
        let _held = file.and_then(lock_for_change);
        let is_anew = self.is_anew.load(Ordering::Relaxed);
        let now = file.filter(|_| !is_anew).map_or(Ok(StoredMemory::Nothing), read);
        let may_write = match &now {
            Ok(StoredMemory::Memory(now)) => is_ours(now),
            Ok(StoredMemory::Nothing | StoredMemory::Broken(_)) => true,
            Err(_) => false,
        };
        let mut memory = lock(&self.memory);
        let mut is_broken = false;
        match now {
            Ok(StoredMemory::Memory(now)) if may_write => take_over(&mut memory, now),
            Ok(StoredMemory::Memory(_) | StoredMemory::Nothing) => {}
            Ok(StoredMemory::Broken(why)) => {
                is_broken = true;
                self.note(why);
            }
            Err(error) => {
                self.is_blind.store(true, Ordering::Relaxed);
                self.note(error);
            }
        }
        let (before, was_borrowed) = (memory.clone(), self.is_borrowed.load(Ordering::Relaxed));
        let result = change(&mut memory);
        let is_new = before != *memory || was_borrowed && !self.is_borrowed.load(Ordering::Relaxed);
        if let Some(file) = file.filter(|_| is_new && may_write) {
            let made_room = if is_broken { set_aside(file) } else { Ok(()) };
            let _ = made_room.and_then(|()| write(file, &memory)).map_err(|error| self.note(error));
            self.note_alias(&memory, &PlaceMemory::default());
        }
        result
    }

    /// Keeps the first error until it is reported.
    fn note(&self, trouble: io::Error) {
        lock(&self.trouble).get_or_insert(trouble);
    }
}

/// Takes the memory of the file, but keeps the copy that this process uses, because other processes
/// may use other copies.
fn take_over(memory: &mut PlaceMemory, now: PlaceMemory) {
    let used = memory.copies.pop();
    *memory = now;
    if let Some(used) = used {
        let at = memory.copies.iter().position(|copy| copy.number == used.number);
        let used = at.map_or(used, |at| memory.copies.remove(at));
        memory.copies.push(used);
    }
}

/// Returns the file of a place's memory.
fn file_of(state_dir: &Path, location: &str) -> PathBuf {
    let hash = blake3::hash(location.as_bytes()).to_hex();
    state_dir.join(PLACES).join(&hash[..32]).join(FILE)
}

#[cfg(test)]
mod tests;
