//! One regular file on its way to the target: created late, written by several threads, opened
//! again if it had to be closed.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::clear_name;
use super::link_group::{LinkGroup, Name};
use super::memory_load::Weight;
use crate::format::entry::Timestamp;
use crate::os::apply::{CurrentMetadata, Metadata};
use crate::os::attributes::read_flags;
use crate::os::dir::{Dir, stat_of};
use crate::os::process::own_ids;
use crate::os::special;
use crate::os::stat::Stat;
use crate::restore::error::same_name;
use crate::restore::target::descriptors::{Descriptors, Reopenable};
use crate::restore::target::dir::{Identity, Newborn, TargetDir};
use crate::sync::lock;

/// What the jobs of one restore share: descriptors, and what this process is and does.
pub struct Host {
    /// Open folders.
    pub dirs: Descriptors<TargetDir>,
    /// Open files.
    pub files: Descriptors<FileJob>,
    /// Permission bits that the system takes from new files.
    pub mask: u16,
    /// Whether owners can be given away and locks be lifted.
    pub is_superuser: bool,
}

/// A regular file to be restored.
pub struct FileJob {
    /// The folder it goes into, kept pending until the file is done.
    pub dir: Arc<TargetDir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// Its length in bytes.
    pub size: u64,
    /// What it gets when its content is whole.
    pub metadata: Metadata,
    /// Its hard-link group, if this is the group's first member.
    pub group: Option<Arc<LinkGroup>>,
    /// What it weighs while it is under way.
    pub _weight: Option<Arc<Weight>>,
    /// Whether its content comes in several pieces, so that its length is set when it is made.
    pub is_pieced: bool,
    handle: Mutex<Handle>,
    used: AtomicBool,
    pending: AtomicU64,
    placed: AtomicU64,
    has_changed: AtomicBool,
    is_touched: AtomicBool,
    is_overwritten: AtomicBool,
    found: OnceLock<Found>,
    in_the_way: OnceLock<Stat>,
    has_failed: AtomicBool,
    is_unwritable: AtomicBool,
}

enum Handle {
    /// Nothing of this name has been touched, or all but a file that was there is removed.
    Unmade,
    Open(Arc<File>, Identity, Origin),
    Closed(Identity, Origin),
}

/// What an existing file was like.
#[derive(Clone, Copy)]
pub struct Found {
    /// Its length in bytes.
    pub len: u64,
    /// When it was changed.
    pub mtime: Timestamp,
    /// Its file-system flags.
    pub flags: u32,
    /// Its permission bits, before this restore gave itself the right to change it.
    pub mode: u16,
}

/// Where the inode comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This restore made it.
    Made,
    /// It was there before and is changed in place.
    Found,
}

impl FileJob {
    /// Makes a job with one piece pending: the promise that [`FileJob::expect`] was called for all
    /// others.
    pub fn new(dir: Arc<TargetDir>, name: Box<[u8]>, size: u64, metadata: Metadata) -> Self {
        Self {
            dir,
            name,
            size,
            metadata,
            group: None,
            _weight: None,
            is_pieced: false,
            handle: Mutex::new(Handle::Unmade),
            used: AtomicBool::new(false),
            pending: AtomicU64::new(1),
            placed: AtomicU64::new(0),
            has_changed: AtomicBool::new(false),
            is_touched: AtomicBool::new(false),
            is_overwritten: AtomicBool::new(false),
            found: OnceLock::new(),
            in_the_way: OnceLock::new(),
            has_failed: AtomicBool::new(false),
            is_unwritable: AtomicBool::new(false),
        }
    }

    /// Returns the path in the snapshot.
    pub fn path(&self) -> Vec<u8> {
        self.dir.path_of(&self.name)
    }

    /// Returns its folder and name.
    pub fn as_name(&self) -> Name {
        Name { dir: self.dir.clone(), name: self.name.clone() }
    }

    /// Returns whether the file is made, written and finished by the worker that has its only
    /// piece.
    pub fn is_whole_at_once(&self) -> bool {
        !self.is_pieced && matches!(*lock(&self.handle), Handle::Unmade)
    }

    /// Notes one more piece to come.
    pub fn expect(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a piece is done, rightly or not; true for the last.
    pub fn piece_done(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Counts bytes that are right on the disk now.
    pub fn count_placed(&self, bytes: u64) {
        self.placed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the bytes that are right on the disk.
    pub fn placed(&self) -> u64 {
        self.placed.load(Ordering::Relaxed)
    }

    /// Notes that an existing file was not right and is being changed.
    pub fn note_change(&self) {
        self.has_changed.store(true, Ordering::Relaxed);
    }

    /// Notes that an existing file takes less room now, with the bytes that it had.
    pub fn note_touch(&self) {
        self.is_touched.store(true, Ordering::Relaxed);
    }

    /// Returns whether that is so.
    pub fn is_touched(&self) -> bool {
        self.is_touched.load(Ordering::Relaxed)
    }

    /// Notes that bytes of an existing file are going to be replaced.
    pub fn note_overwrite(&self) {
        self.is_overwritten.store(true, Ordering::Relaxed);
    }

    /// Returns whether bytes of an existing file may be others than before.
    pub fn is_overwritten(&self) -> bool {
        self.is_overwritten.load(Ordering::Relaxed)
    }

    /// Returns the length in bytes that an existing file had.
    pub fn found_len(&self) -> u64 {
        self.found.get().map_or(self.size, |found| found.len)
    }

    /// Returns what an existing file was like, `None` if there was none.
    pub fn found(&self) -> Option<Found> {
        self.found.get().copied()
    }

    /// Returns whether an existing file was not right.
    pub fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }

    /// Notes that the file cannot become whole; true for the first caller, who reports it.
    pub fn fail(&self) -> bool {
        !self.has_failed.swap(true, Ordering::Relaxed)
    }

    /// Returns whether the file cannot become whole; what can be had of it is written nevertheless.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Notes that nothing more can be written.
    pub fn give_up_writing(&self) {
        self.is_unwritable.store(true, Ordering::Relaxed);
    }

    /// Returns whether nothing more can be written.
    pub fn is_unwritable(&self) -> bool {
        self.is_unwritable.load(Ordering::Relaxed)
    }

    /// Takes an existing file, of which `stat` is known, to be changed in place.
    ///
    /// It had the permission bits `mode` first.
    pub fn adopt(self: &Arc<Self>, host: &Host, file: File, stat: &Stat, mode: u16) {
        let _ = self.found.set(Found {
            len: stat.size,
            mtime: stat.mtime,
            flags: read_flags(stat),
            mode,
        });
        *lock(&self.handle) = Handle::Open(Arc::new(file), Identity::from(stat), Origin::Found);
        host.files.opened(self);
    }

    /// Takes it that an existing file must go; it stays until there is content that takes its
    /// place.
    pub fn replace(&self, stat: Stat) {
        let _ = self.in_the_way.set(stat);
    }

    /// Returns whether an existing file was to go.
    pub fn is_replacing(&self) -> bool {
        self.in_the_way.get().is_some()
    }

    /// Returns the open file; makes it the first time, and opens it again if it was closed
    /// meanwhile.
    pub fn file(self: &Arc<Self>, host: &Host) -> io::Result<Arc<File>> {
        self.used.store(true, Ordering::Relaxed);
        let mut handle = lock(&self.handle);
        if let Handle::Open(file, ..) = &*handle {
            return Ok(file.clone());
        }
        let (file, ..) = self.open(host, &mut handle)?;
        drop(handle);
        host.files.opened(self);
        Ok(file)
    }

    fn open(&self, host: &Host, handle: &mut Handle) -> io::Result<(Arc<File>, Identity, Origin)> {
        let (file, identity, origin) = match handle {
            Handle::Open(file, identity, origin) => return Ok((file.clone(), *identity, *origin)),
            Handle::Closed(identity, origin) => {
                let file = special::open_to_change(&*self.dir.open(&host.dirs)?, &self.name)?;
                if Identity::from(&stat_of(&file)?) != *identity {
                    return Err(io::Error::other("another file has taken its place"));
                }
                (file, *identity, *origin)
            }
            Handle::Unmade => {
                let dir = self.dir.open(&host.dirs)?;
                let file = self.create(host, &dir)?;
                if self.is_pieced
                    && let Err(error) = file.set_len(self.size)
                {
                    special::remove(&dir, &self.name)?;
                    return Err(error);
                }
                let identity = Identity::from(&stat_of(&file)?);
                (file, identity, Origin::Made)
            }
        };
        let file = Arc::new(file);
        *handle = Handle::Open(file.clone(), identity, origin);
        Ok((file, identity, origin))
    }

    /// Makes the file in one go, for content that comes in one piece; nobody else will ask for its
    /// handle.
    pub fn create(&self, host: &Host, dir: &Dir) -> io::Result<File> {
        if let Some(stat) = self.in_the_way.get() {
            clear_name::remove(dir, &self.name, stat)?;
        }
        let file = special::create_file(dir, &self.name, self.birth_mode()).map_err(same_name)?;
        if self.dir.newborn.get().is_none() {
            let newborn = self.learn(host, &file)?;
            let _ = self.dir.newborn.set(newborn);
        }
        Ok(file)
    }

    /// Setuid and setgid bits wait for the owner; who writes in pieces or sets attributes must be
    /// able to open the file again.
    fn birth_mode(&self) -> u16 {
        let needs_access = self.is_pieced || !self.metadata.xattrs.is_empty();
        self.metadata.mode & 0o777 | if needs_access { 0o600 } else { 0 }
    }

    fn learn(&self, host: &Host, file: &File) -> io::Result<Newborn> {
        let stat = stat_of(file)?;
        let has_xattrs = self.dir.bequeaths;
        // Where the folder has a default ACL, that takes other bits from each mode.
        let is_plain = !has_xattrs && stat.mode == self.birth_mode() & !host.mask;
        let mode_mask = is_plain.then_some(!host.mask);
        Ok(Newborn {
            uid: stat.uid,
            gid: stat.gid,
            flags: read_flags(&stat),
            mode_mask,
            has_xattrs,
        })
    }

    /// Returns what the finished content's file has: known without asking for a file that was made
    /// here.
    pub fn present(&self, file: &File, origin: Origin) -> io::Result<CurrentMetadata> {
        if origin == Origin::Found && !self.has_changed() && !self.is_touched() {
            return Ok(CurrentMetadata::from(&stat_of(file)?));
        }
        let newborn = self.dir.newborn.get().filter(|_| origin == Origin::Made);
        let Some((newborn, mask)) = newborn.and_then(|newborn| Some((newborn, newborn.mode_mask?)))
        else {
            return Ok(CurrentMetadata { mtime: None, ..CurrentMetadata::from(&stat_of(file)?) });
        };
        let Newborn { uid, gid, flags, has_xattrs, .. } = *newborn;
        Ok(CurrentMetadata {
            uid,
            gid,
            flags,
            has_xattrs,
            mode: self.birth_mode() & mask,
            mtime: None,
        })
    }

    /// Takes the file out of the job when all its pieces are done; `None` if it was never made.
    pub fn take(&self, host: &Host) -> io::Result<Option<(Arc<File>, Identity, Origin)>> {
        let mut handle = lock(&self.handle);
        if matches!(*handle, Handle::Unmade) {
            return Ok(None);
        }
        let taken = self.open(host, &mut handle)?;
        *handle = Handle::Unmade;
        Ok(Some(taken))
    }
}

impl Reopenable for FileJob {
    fn used(&self) -> &AtomicBool {
        &self.used
    }

    fn close(&self) {
        let mut handle = lock(&self.handle);
        if let Handle::Open(_, identity, origin) = *handle {
            *handle = Handle::Closed(identity, origin);
        }
    }
}

/// Returns whether a file of `uid` may become, or stay, the file that is restored for `owner`.
///
/// Not if it is another user's, who may have kept it open, to read what is not meant for him or to
/// write what is not right.
pub fn is_for(uid: u32, owner: u32) -> bool {
    uid == owner || uid == own_ids().0
}
