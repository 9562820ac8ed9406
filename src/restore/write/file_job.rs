//! Job of restoring one regular file: created when its first chunk arrives, written by several
//! threads, reopened if its descriptor was closed.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::clear_name;
use super::link_group::{LinkGroup, TargetName};
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
use crate::restore::target::dir::{CreationDefaults, InodeId, TargetDir};
use crate::sync::lock;

/// Open descriptors of a restore, and the rights of this process.
pub(crate) struct Host {
    /// Open directories.
    pub dirs: Descriptors<TargetDir>,
    /// Open files.
    pub files: Descriptors<FileJob>,
    /// Permission bits that the umask removes from new files.
    pub mask: u16,
    /// Whether owners and locking flags can be changed.
    pub is_superuser: bool,
}

/// A regular file to be restored.
pub(crate) struct FileJob {
    /// Its directory, which is pending until the file is done.
    pub dir: Arc<TargetDir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// Its length in bytes.
    pub size: u64,
    /// The metadata that it gets when its content is complete.
    pub metadata: Metadata,
    /// Its hard-link group, if this is the group's first member.
    pub group: Option<Arc<LinkGroup>>,
    /// Its memory while it is in progress.
    pub _weight: Option<Arc<Weight>>,
    /// Whether its content has several pieces, so that its length is set when it is created.
    pub is_pieced: bool,
    handle: Mutex<JobHandle>,
    used: AtomicBool,
    pending: AtomicU64,
    placed: AtomicU64,
    has_changed: AtomicBool,
    is_touched: AtomicBool,
    is_overwritten: AtomicBool,
    found: OnceLock<OriginalFile>,
    in_the_way: OnceLock<Stat>,
    has_failed: AtomicBool,
    is_unwritable: AtomicBool,
}

enum JobHandle {
    /// Not created yet; an existing file may still have the name.
    Unmade,
    Open(Arc<File>, InodeId, InodeOrigin),
    Closed(InodeId, InodeOrigin),
}

/// The state of an existing file before it was changed.
#[derive(Clone, Copy)]
pub(crate) struct OriginalFile {
    /// Its length in bytes.
    pub len: u64,
    /// Its modification time.
    pub mtime: Timestamp,
    /// Its file-system flags.
    pub flags: u32,
    /// Its permission bits before this restore added write permission.
    pub mode: u16,
}

/// The origin of an inode.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum InodeOrigin {
    /// This restore created it.
    Created,
    /// It existed before and is changed in place.
    Existing,
}

impl FileJob {
    /// Makes a job with one pending piece, which represents the rest of the list until
    /// [`FileJob::add_pending`] was called for every piece.
    pub(crate) fn new(dir: Arc<TargetDir>, name: Box<[u8]>, size: u64, metadata: Metadata) -> Self {
        Self {
            dir,
            name,
            size,
            metadata,
            group: None,
            _weight: None,
            is_pieced: false,
            handle: Mutex::new(JobHandle::Unmade),
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
    pub(crate) fn path(&self) -> Vec<u8> {
        self.dir.path_of(&self.name)
    }

    /// Returns its directory and name.
    pub(crate) fn as_name(&self) -> TargetName {
        TargetName { dir: self.dir.clone(), name: self.name.clone() }
    }

    /// Returns whether one worker creates, writes and finishes the file, because it has only one
    /// piece.
    pub(crate) fn is_whole_at_once(&self) -> bool {
        !self.is_pieced && matches!(*lock(&self.handle), JobHandle::Unmade)
    }

    /// Counts one more pending piece.
    pub(crate) fn add_pending(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a pending piece as done, successfully or not; true for the last one.
    pub(crate) fn piece_done(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Counts bytes that are right in the file now.
    pub(crate) fn count_placed(&self, bytes: u64) {
        self.placed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the bytes that are right in the file.
    pub(crate) fn placed(&self) -> u64 {
        self.placed.load(Ordering::Relaxed)
    }

    /// Notes that an existing file differs from the snapshot and is being changed.
    pub(crate) fn note_change(&self) {
        self.has_changed.store(true, Ordering::Relaxed);
    }

    /// Notes that allocated zeros of an existing file became a hole; its bytes are the same.
    pub(crate) fn note_touch(&self) {
        self.is_touched.store(true, Ordering::Relaxed);
    }

    /// Returns whether zeros of an existing file became a hole.
    pub(crate) fn is_touched(&self) -> bool {
        self.is_touched.load(Ordering::Relaxed)
    }

    /// Notes that bytes of an existing file are going to be replaced.
    pub(crate) fn note_overwrite(&self) {
        self.is_overwritten.store(true, Ordering::Relaxed);
    }

    /// Returns whether bytes of an existing file may have changed.
    pub(crate) fn is_overwritten(&self) -> bool {
        self.is_overwritten.load(Ordering::Relaxed)
    }

    /// Returns the original length of an existing file in bytes.
    pub(crate) fn found_len(&self) -> u64 {
        self.found.get().map_or(self.size, |found| found.len)
    }

    /// Returns the original state of an existing file, `None` if there was none.
    pub(crate) fn found(&self) -> Option<OriginalFile> {
        self.found.get().copied()
    }

    /// Returns whether an existing file differed from the snapshot.
    pub(crate) fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }

    /// Notes that the file cannot be completed; true for the first caller, who reports it.
    pub(crate) fn fail(&self) -> bool {
        !self.has_failed.swap(true, Ordering::Relaxed)
    }

    /// Returns whether the file cannot be completed; chunks that can be read are written
    /// nevertheless.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Notes that the file cannot be written.
    pub(crate) fn give_up_writing(&self) {
        self.is_unwritable.store(true, Ordering::Relaxed);
    }

    /// Returns whether the file cannot be written.
    pub(crate) fn is_unwritable(&self) -> bool {
        self.is_unwritable.load(Ordering::Relaxed)
    }

    /// Takes an existing open file with this `stat`, to be changed in place.
    ///
    /// `mode` are its original permission bits.
    pub(crate) fn adopt(self: &Arc<Self>, host: &Host, file: File, stat: &Stat, mode: u16) {
        let _ = self.found.set(OriginalFile {
            len: stat.size,
            mtime: stat.mtime,
            flags: read_flags(stat),
            mode,
        });
        *lock(&self.handle) =
            JobHandle::Open(Arc::new(file), InodeId::from(stat), InodeOrigin::Existing);
        host.files.opened(self);
    }

    /// Notes that an existing file is to be replaced. It stays until there is content to write.
    pub(crate) fn replace(&self, stat: Stat) {
        let _ = self.in_the_way.set(stat);
    }

    /// Returns whether an existing file is to be replaced.
    pub(crate) fn is_replacing(&self) -> bool {
        self.in_the_way.get().is_some()
    }

    /// Returns the open file; creates it the first time, and reopens it if it was closed meanwhile.
    pub(crate) fn file(self: &Arc<Self>, host: &Host) -> io::Result<Arc<File>> {
        self.used.store(true, Ordering::Relaxed);
        let mut handle = lock(&self.handle);
        if let JobHandle::Open(file, ..) = &*handle {
            return Ok(file.clone());
        }
        let (file, ..) = self.open(host, &mut handle)?;
        drop(handle);
        host.files.opened(self);
        Ok(file)
    }

    fn open(
        &self,
        host: &Host,
        handle: &mut JobHandle,
    ) -> io::Result<(Arc<File>, InodeId, InodeOrigin)> {
        let (file, identity, origin) = match handle {
            JobHandle::Open(file, identity, origin) => {
                return Ok((file.clone(), *identity, *origin));
            }
            JobHandle::Closed(identity, origin) => {
                let file = special::open_to_change(&*self.dir.open(&host.dirs)?, &self.name)?;
                if InodeId::from(&stat_of(&file)?) != *identity {
                    return Err(io::Error::other("another file has taken its place"));
                }
                (file, *identity, *origin)
            }
            JobHandle::Unmade => {
                let dir = self.dir.open(&host.dirs)?;
                let file = self.create(host, &dir)?;
                if self.is_pieced
                    && let Err(error) = file.set_len(self.size)
                {
                    special::remove(&dir, &self.name)?;
                    return Err(error);
                }
                let identity = InodeId::from(&stat_of(&file)?);
                (file, identity, InodeOrigin::Created)
            }
        };
        let file = Arc::new(file);
        *handle = JobHandle::Open(file.clone(), identity, origin);
        Ok((file, identity, origin))
    }

    /// Creates the file, first removing one that it replaces.
    pub(crate) fn create(&self, host: &Host, dir: &Dir) -> io::Result<File> {
        if let Some(stat) = self.in_the_way.get() {
            clear_name::remove(dir, &self.name, stat)?;
        }
        let file = special::create_file(dir, &self.name, self.birth_mode()).map_err(same_name)?;
        if self.dir.creation_defaults.get().is_none() {
            let creation_defaults = self.learn_defaults(host, &file)?;
            let _ = self.dir.creation_defaults.set(creation_defaults);
        }
        Ok(file)
    }

    /// Returns the permission bits for creation. Setuid and setgid bits wait for the owner; a file
    /// that is written in pieces or gets attributes must be accessible to its owner.
    fn birth_mode(&self) -> u16 {
        let needs_access = self.is_pieced || !self.metadata.xattrs.is_empty();
        self.metadata.mode & 0o777 | if needs_access { 0o600 } else { 0 }
    }

    fn learn_defaults(&self, host: &Host, file: &File) -> io::Result<CreationDefaults> {
        let stat = stat_of(file)?;
        let has_xattrs = self.dir.has_default_acl;
        // A default ACL of the directory masks each mode differently.
        let is_plain = !has_xattrs && stat.mode == self.birth_mode() & !host.mask;
        let mode_mask = is_plain.then_some(!host.mask);
        Ok(CreationDefaults {
            uid: stat.uid,
            gid: stat.gid,
            flags: read_flags(&stat),
            mode_mask,
            has_xattrs,
        })
    }

    /// Returns the present metadata of a complete file: predicted without a system call for a
    /// created file.
    pub(crate) fn present(&self, file: &File, origin: InodeOrigin) -> io::Result<CurrentMetadata> {
        if origin == InodeOrigin::Existing && !self.has_changed() && !self.is_touched() {
            return Ok(CurrentMetadata::from(&stat_of(file)?));
        }
        let creation_defaults =
            self.dir.creation_defaults.get().filter(|_| origin == InodeOrigin::Created);
        let Some((creation_defaults, mask)) = creation_defaults
            .and_then(|creation_defaults| Some((creation_defaults, creation_defaults.mode_mask?)))
        else {
            return Ok(CurrentMetadata { mtime: None, ..CurrentMetadata::from(&stat_of(file)?) });
        };
        let CreationDefaults { uid, gid, flags, has_xattrs, .. } = *creation_defaults;
        Ok(CurrentMetadata {
            uid,
            gid,
            flags,
            has_xattrs,
            mode: self.birth_mode() & mask,
            mtime: None,
        })
    }

    /// Takes the file out of the job when all its pieces are done; `None` if it was never created.
    pub(crate) fn take(
        &self,
        host: &Host,
    ) -> io::Result<Option<(Arc<File>, InodeId, InodeOrigin)>> {
        let mut handle = lock(&self.handle);
        if matches!(*handle, JobHandle::Unmade) {
            return Ok(None);
        }
        let taken = self.open(host, &mut handle)?;
        *handle = JobHandle::Unmade;
        Ok(Some(taken))
    }
}

impl Reopenable for FileJob {
    fn used(&self) -> &AtomicBool {
        &self.used
    }

    fn close(&self) {
        let mut handle = lock(&self.handle);
        if let JobHandle::Open(_, identity, origin) = *handle {
            *handle = JobHandle::Closed(identity, origin);
        }
    }
}

/// Returns whether a file of `uid` may be reused as the file that is restored for `owner`.
///
/// Not if it belongs to another user, who may have it open and could read or change the restored
/// content.
pub(crate) fn is_for(uid: u32, owner: u32) -> bool {
    uid == owner || uid == own_ids().0
}
