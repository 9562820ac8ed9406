//! Directories of the target, identified by inode and opened one component at a time, never by
//! path.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::descriptors::{Descriptors, Reopenable};
use super::spelling::Spelling;
use crate::id::ChunkId;
use crate::os::apply::Metadata;
use crate::os::attributes::XattrTarget;
use crate::os::dir::Dir;
use crate::os::stat::Stat;
use crate::restore::plan::coverage::{SourceCoverage, SourceRelation};
use crate::sync::lock;

/// Identity of an inode: device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InodeId {
    dev: (u32, u32),
    inode: u64,
}

impl InodeId {
    /// Makes an identity of the numbers of a device and of an inode.
    pub(crate) fn new(major: u32, minor: u32, inode: u64) -> Self {
        Self { dev: (major, minor), inode }
    }

    /// Returns the device and the inode number.
    pub(crate) fn parts(&self) -> ((u32, u32), u64) {
        (self.dev, self.inode)
    }
}

impl From<&Stat> for InodeId {
    fn from(stat: &Stat) -> Self {
        Self { dev: stat.dev, inode: stat.inode }
    }
}

/// The attributes that new files get in one directory, learnt from the first one that is created
/// there. They differ between directories (setgid, default ACL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CreationDefaults {
    /// Their owner.
    pub uid: u32,
    /// Their group.
    pub gid: u32,
    /// Their file-system flags.
    pub flags: u32,
    /// Permission bits that are kept of the requested ones; `None` if they cannot be predicted.
    pub mode_mask: Option<u16>,
    /// Whether they get extended attributes (from a default ACL).
    pub has_xattrs: bool,
}

/// The place of a directory in the target.
#[derive(Clone, Copy)]
pub(crate) struct DirPlace<'a> {
    /// The directory above.
    pub parent: &'a Arc<TargetDir>,
    /// Its name in the parent.
    pub name: &'a [u8],
    /// Its relation to the snapshot's sources.
    pub relation: SourceRelation,
}

/// A directory of the target that this restore created or entered.
///
/// It gets its metadata when nothing below it is pending any more.
pub(crate) struct TargetDir {
    parent: Option<Arc<TargetDir>>,
    name: Box<[u8]>,
    identity: InodeId,
    /// Its relation to the snapshot's sources.
    pub relation: SourceRelation,
    /// Whether it was entered through a symbolic link, which is kept.
    pub is_linked: bool,
    /// Whether this restore created it, so that it contains nothing else.
    pub is_fresh: bool,
    /// Whether new entries in it inherit an ACL.
    pub has_default_acl: bool,
    /// Its names before this restore, if the file system may take two names for one.
    pub spelling: Option<Box<Spelling>>,
    /// Whether its file system may accept modes and times and store others.
    pub is_doubted: bool,
    /// The metadata that it gets in the end; `None` leaves it as it is.
    pub metadata: Option<Box<Metadata>>,
    /// The tree of its parent, set if its attributes are too long to be kept and are read again
    /// there.
    pub attributes_in: OnceLock<ChunkId>,
    /// Its original mode, to be set again if it gets no other metadata.
    pub mode_back: OnceLock<u16>,
    /// The attributes of new files in it.
    pub creation_defaults: OnceLock<CreationDefaults>,
    /// Offset of its record in the log of hard-link groups.
    pub record: OnceLock<u64>,
    has_links: AtomicBool,
    pending: AtomicUsize,
    open: Mutex<Option<Arc<Dir>>>,
    used: AtomicBool,
}

impl TargetDir {
    /// Takes the root of the target; messages prefix the paths below it with `shown`.
    ///
    /// It stays open for the whole restore.
    pub(crate) fn root(
        dir: Dir,
        shown: &[u8],
        relation: SourceRelation,
        metadata: Option<Box<Metadata>>,
    ) -> io::Result<Arc<Self>> {
        let identity = InodeId::from(&dir.stat_self()?);
        let (has_default_acl, spelling) = (has_default_acl(&dir)?, Spelling::of(&dir)?);
        let mut new = Self::new(None, shown, identity, Some(Arc::new(dir)));
        (new.has_default_acl, new.is_doubted, new.spelling) =
            (has_default_acl, spelling.is_some(), spelling);
        (new.metadata, new.relation) = (metadata, relation);
        Ok(Arc::new(new))
    }

    /// Returns the relation of the subdirectory `name` to the sources.
    pub(crate) fn relation_of(&self, coverage: &SourceCoverage, name: &[u8]) -> SourceRelation {
        if self.relation == SourceRelation::Above {
            coverage.relation(&self.path_of(name))
        } else {
            SourceRelation::Below
        }
    }

    /// Takes the directory at `place`, which this restore created; it is opened on demand.
    ///
    /// The caller must call [`Self::hold`] on the parent if the parent is to wait for it.
    pub(crate) fn made(
        place: DirPlace<'_>,
        identity: InodeId,
        metadata: Box<Metadata>,
    ) -> Arc<Self> {
        let DirPlace { parent, name, relation } = place;
        let mut new = Self::new(Some(parent.clone()), name, identity, None);
        (new.is_fresh, new.has_default_acl, new.metadata, new.relation) =
            (true, parent.has_default_acl, Some(metadata), relation);
        new.is_doubted = parent.is_doubted;
        Arc::new(new)
    }

    /// Takes the open directory at `place`, which existed before and was reached through a link if
    /// `is_linked`.
    pub(crate) fn found(
        place: DirPlace<'_>,
        is_linked: bool,
        dir: Dir,
        metadata: Option<Box<Metadata>>,
    ) -> io::Result<Arc<Self>> {
        let DirPlace { parent, name, relation } = place;
        let identity = InodeId::from(&dir.stat_self()?);
        let (has_default_acl, spelling) = (has_default_acl(&dir)?, Spelling::of(&dir)?);
        let mut new = Self::new(Some(parent.clone()), name, identity, Some(Arc::new(dir)));
        (new.has_default_acl, new.is_doubted, new.spelling) =
            (has_default_acl, spelling.is_some(), spelling);
        new.metadata = metadata;
        (new.relation, new.is_linked) = (relation, is_linked);
        Ok(Arc::new(new))
    }

    /// Takes a directory that this restore entered before and may have finished: only as the source
    /// of hard links.
    pub(crate) fn known(
        parent: &Arc<Self>,
        name: &[u8],
        identity: InodeId,
        is_linked: bool,
    ) -> Arc<Self> {
        let mut new = Self::new(Some(parent.clone()), name, identity, None);
        new.is_linked = is_linked;
        Arc::new(new)
    }

    fn new(
        parent: Option<Arc<Self>>,
        name: &[u8],
        identity: InodeId,
        dir: Option<Arc<Dir>>,
    ) -> Self {
        Self {
            parent,
            name: name.into(),
            identity,
            relation: SourceRelation::Below,
            is_linked: false,
            is_fresh: false,
            has_default_acl: false,
            spelling: None,
            is_doubted: false,
            metadata: None,
            attributes_in: OnceLock::new(),
            mode_back: OnceLock::new(),
            creation_defaults: OnceLock::new(),
            record: OnceLock::new(),
            has_links: AtomicBool::new(false),
            pending: AtomicUsize::new(1),
            open: Mutex::new(dir),
            used: AtomicBool::new(true),
        }
    }

    /// Returns the open directory; if it was closed, opens it again from its nearest open ancestor.
    ///
    /// Fails if it, or an ancestor, is another inode now: a restore only ever works in directories
    /// that it entered itself.
    pub(crate) fn open(self: &Arc<Self>, descriptors: &Descriptors<Self>) -> io::Result<Arc<Dir>> {
        if let Some(dir) = self.open_now() {
            return Ok(dir);
        }
        let mut closed = vec![self];
        let mut dir = loop {
            let lowest = closed.last().expect("it starts with one");
            let parent = lowest.parent.as_ref().expect("the root of the target is never closed");
            match parent.open_now() {
                Some(dir) => break dir,
                None => closed.push(parent),
            }
        };
        for below in closed.into_iter().rev() {
            let opened = if below.is_linked {
                dir.open_through(&below.name)
            } else {
                dir.open_dir(&below.name)
            }?;
            if InodeId::from(&opened.stat_self()?) != below.identity {
                return Err(io::Error::other("another folder has taken its place"));
            }
            dir = Arc::new(opened);
            *lock(&below.open) = Some(dir.clone());
            descriptors.opened(below);
        }
        Ok(dir)
    }

    fn open_now(&self) -> Option<Arc<Dir>> {
        let dir = lock(&self.open).clone();
        if dir.is_some() {
            self.used.store(true, Ordering::Relaxed);
        }
        dir
    }

    /// Counts one more pending entry below this directory.
    pub(crate) fn hold(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one pending entry as done; returns whether it was the last, so that this directory
    /// can be finished.
    pub(crate) fn release(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Notes that a member of a hard-link group is in it: later members are linked from here, so it
    /// and its ancestors must stay accessible.
    pub(crate) fn note_link(&self) {
        let mut dir = Some(self);
        while let Some(noted) = dir.filter(|dir| !dir.has_links.swap(true, Ordering::Relaxed)) {
            dir = noted.parent.as_deref();
        }
    }

    /// Returns whether a member of a hard-link group is anywhere below it.
    pub(crate) fn has_links(&self) -> bool {
        self.has_links.load(Ordering::Relaxed)
    }

    /// Returns its inode.
    pub(crate) fn identity(&self) -> InodeId {
        self.identity
    }

    /// Returns its name in its parent.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns its parent, `None` for the root.
    pub(crate) fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// Returns the path in the snapshot of `name` in this directory.
    pub(crate) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut steps = vec![name, &self.name];
        let mut above = &self.parent;
        while let Some(dir) = above {
            steps.push(&dir.name);
            above = &dir.parent;
        }
        steps.reverse();
        steps.join(&b'/')
    }

    /// Returns its path in the snapshot.
    pub(crate) fn path(&self) -> Vec<u8> {
        self.parent.as_ref().map_or_else(|| self.name.to_vec(), |parent| parent.path_of(&self.name))
    }
}

fn has_default_acl(dir: &Dir) -> io::Result<bool> {
    Ok(XattrTarget::Open(dir.as_fd()).read(b"system.posix_acl_default")?.is_some())
}

impl Reopenable for TargetDir {
    fn used(&self) -> &AtomicBool {
        &self.used
    }

    fn close(&self) {
        if self.parent.is_some() {
            lock(&self.open).take();
        }
    }
}

impl Drop for TargetDir {
    fn drop(&mut self) {
        // In a loop: a chain of a million directories would overflow the stack if it were dropped
        // recursively.
        let mut above = self.parent.take();
        while let Some(mut dir) = above.and_then(Arc::into_inner) {
            above = dir.parent.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::special;

    fn make(
        parent: &Arc<TargetDir>,
        descriptors: &Descriptors<TargetDir>,
        name: &[u8],
    ) -> Arc<TargetDir> {
        let above = parent.open(descriptors).unwrap();
        special::make_dir(&above, name).unwrap();
        let identity = InodeId::from(&above.stat(name).unwrap());
        let place = DirPlace { parent, name, relation: SourceRelation::Below };
        let made = TargetDir::made(place, identity, Box::default());
        made.open(descriptors).unwrap();
        made
    }

    #[test]
    fn deep_directories_are_reached_with_few_descriptors() {
        let temp = tempfile::tempdir().unwrap();
        let root =
            TargetDir::root(Dir::open(temp.path()).unwrap(), b"/top", SourceRelation::Below, None)
                .unwrap();
        let descriptors = Descriptors::new(3);
        let name = [b'n'; 200];
        let mut chain = vec![root];
        for _ in 0..60 {
            let next = make(chain.last().unwrap(), &descriptors, &name);
            chain.push(next);
        }
        for dir in [&chain[60], &chain[1], &chain[30], &chain[59]] {
            dir.open(&descriptors).unwrap().names().unwrap();
        }
        assert_eq!(chain[2].path_of(b"x"), [&b"/top"[..], &name, &name, b"x"].join(&b'/'));
        assert!(chain[60].path().len() > 4096);
    }

    #[test]
    fn a_directory_that_took_the_place_of_another_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let root =
            TargetDir::root(Dir::open(temp.path()).unwrap(), b"", SourceRelation::Below, None)
                .unwrap();
        let descriptors = Descriptors::new(1);
        let a = make(&root, &descriptors, b"a");
        let b = make(&a, &descriptors, b"b");
        descriptors.close_all();
        std::fs::rename(temp.path().join("a"), temp.path().join("old")).unwrap();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        assert!(b.open(&descriptors).is_err());
        std::fs::remove_dir_all(temp.path().join("a")).unwrap();
        std::os::unix::fs::symlink("old", temp.path().join("a")).unwrap();
        assert!(b.open(&descriptors).is_err());
    }
}
