//! Folders of the target: known by identity, opened step by step, never by a path.

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
use crate::restore::plan::coverage::{Ground, Standing};
use crate::sync::lock;

/// What an inode is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    dev: (u32, u32),
    inode: u64,
}

impl Identity {
    /// Makes an identity of its device's numbers and its own.
    pub fn new(major: u32, minor: u32, inode: u64) -> Self {
        Self { dev: (major, minor), inode }
    }

    /// Returns the device and the inode number.
    pub fn parts(&self) -> ((u32, u32), u64) {
        (self.dev, self.inode)
    }
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self { dev: stat.dev, inode: stat.inode }
    }
}

/// How files come into being in one folder, learnt from the first: group, mask, inherited
/// attributes differ between folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newborn {
    /// Their owner.
    pub uid: u32,
    /// Their group.
    pub gid: u32,
    /// Their file-system flags.
    pub flags: u32,
    /// Permission bits that they keep of those that were asked for; `None` if that cannot be told.
    pub mode_mask: Option<u16>,
    /// Whether they come with attributes of their own (a default ACL).
    pub has_xattrs: bool,
}

/// Where a folder of the target is.
#[derive(Clone, Copy)]
pub struct DirPlace<'a> {
    /// The folder above.
    pub parent: &'a Arc<TargetDir>,
    /// Its name there.
    pub name: &'a [u8],
    /// How it lies to the snapshot's sources.
    pub standing: Standing,
}

/// A folder of the target that this restore made or entered.
///
/// It is finished (gets its metadata) when nothing below it is pending any more.
pub struct TargetDir {
    parent: Option<Arc<TargetDir>>,
    name: Box<[u8]>,
    identity: Identity,
    /// How it lies to the snapshot's sources.
    pub standing: Standing,
    /// Whether it was entered through a symbolic link in its place, which stays.
    pub is_linked: bool,
    /// Whether this restore made it, so that nothing of another origin is in it.
    pub is_fresh: bool,
    /// Whether what is made in it comes with an ACL of its own.
    pub bequeaths: bool,
    /// Its names before this restore, where the file system does not tell all names apart.
    pub spelling: Option<Box<Spelling>>,
    /// Whether its file system may take modes and times and keep others.
    pub is_doubted: bool,
    /// What it gets when everything below it is done; `None` leaves it as it is.
    pub metadata: Option<Box<Metadata>>,
    /// The tree of the folder above, in which its attributes are read again, because they are too
    /// long to be kept.
    pub attributes_in: OnceLock<ChunkId>,
    /// The mode that it had and gets back, if it gets nothing else.
    pub mode_back: OnceLock<u16>,
    /// How files come into being in it.
    pub newborn: OnceLock<Newborn>,
    /// Where the log of hard-link groups describes it.
    pub record: OnceLock<u64>,
    has_links: AtomicBool,
    pending: AtomicUsize,
    open: Mutex<Option<Arc<Dir>>>,
    used: AtomicBool,
}

impl TargetDir {
    /// Takes the target's own folder; `shown` is what stands before the names below it in messages.
    ///
    /// It stays open for the whole restore.
    pub fn root(
        dir: Dir,
        shown: &[u8],
        standing: Standing,
        metadata: Option<Box<Metadata>>,
    ) -> io::Result<Arc<Self>> {
        let identity = Identity::from(&dir.stat_self()?);
        let (bequeaths, spelling) = (has_default_acl(&dir)?, Spelling::of(&dir)?);
        let mut new = Self::new(None, shown, identity, Some(Arc::new(dir)));
        (new.bequeaths, new.is_doubted, new.spelling) = (bequeaths, spelling.is_some(), spelling);
        (new.metadata, new.standing) = (metadata, standing);
        Ok(Arc::new(new))
    }

    /// Returns how the folder `name` in this one lies to the sources.
    pub fn standing_of(&self, ground: &Ground, name: &[u8]) -> Standing {
        if self.standing == Standing::Above {
            ground.standing(&self.path_of(name))
        } else {
            Standing::Below
        }
    }

    /// Takes the folder at `place`, which this restore made; it is opened when it is needed.
    ///
    /// Who wants the parent to wait for it must hold the parent.
    pub fn made(place: DirPlace<'_>, identity: Identity, metadata: Box<Metadata>) -> Arc<Self> {
        let DirPlace { parent, name, standing } = place;
        let mut new = Self::new(Some(parent.clone()), name, identity, None);
        (new.is_fresh, new.bequeaths, new.metadata, new.standing) =
            (true, parent.bequeaths, Some(metadata), standing);
        new.is_doubted = parent.is_doubted;
        Arc::new(new)
    }

    /// Takes the open folder at `place`, which was there before and was reached through a link if
    /// `is_linked`.
    pub fn found(
        place: DirPlace<'_>,
        is_linked: bool,
        dir: Dir,
        metadata: Option<Box<Metadata>>,
    ) -> io::Result<Arc<Self>> {
        let DirPlace { parent, name, standing } = place;
        let identity = Identity::from(&dir.stat_self()?);
        let (bequeaths, spelling) = (has_default_acl(&dir)?, Spelling::of(&dir)?);
        let mut new = Self::new(Some(parent.clone()), name, identity, Some(Arc::new(dir)));
        (new.bequeaths, new.is_doubted, new.spelling) = (bequeaths, spelling.is_some(), spelling);
        new.metadata = metadata;
        (new.standing, new.is_linked) = (standing, is_linked);
        Ok(Arc::new(new))
    }

    /// Takes a folder that this restore has entered before and may have finished: links may be made
    /// from it, nothing else.
    pub fn known(
        parent: &Arc<Self>,
        name: &[u8],
        identity: Identity,
        is_linked: bool,
    ) -> Arc<Self> {
        let mut new = Self::new(Some(parent.clone()), name, identity, None);
        new.is_linked = is_linked;
        Arc::new(new)
    }

    fn new(
        parent: Option<Arc<Self>>,
        name: &[u8],
        identity: Identity,
        dir: Option<Arc<Dir>>,
    ) -> Self {
        Self {
            parent,
            name: name.into(),
            identity,
            standing: Standing::Below,
            is_linked: false,
            is_fresh: false,
            bequeaths: false,
            spelling: None,
            is_doubted: false,
            metadata: None,
            attributes_in: OnceLock::new(),
            mode_back: OnceLock::new(),
            newborn: OnceLock::new(),
            record: OnceLock::new(),
            has_links: AtomicBool::new(false),
            pending: AtomicUsize::new(1),
            open: Mutex::new(dir),
            used: AtomicBool::new(true),
        }
    }

    /// Returns the open folder; opens it again, from the nearest open one above it, if it was
    /// closed.
    ///
    /// Fails if another folder has taken its place (or that of one above it): nothing is ever done
    /// in a folder that was not entered before.
    pub fn open(self: &Arc<Self>, descriptors: &Descriptors<Self>) -> io::Result<Arc<Dir>> {
        if let Some(dir) = self.open_now() {
            return Ok(dir);
        }
        let mut closed = vec![self];
        let mut dir = loop {
            let lowest = closed.last().expect("it starts with one");
            let parent = lowest.parent.as_ref().expect("the target's own folder is never closed");
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
            if Identity::from(&opened.stat_self()?) != below.identity {
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

    /// Notes that something below is not done yet.
    pub fn hold(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that something below is done; returns whether that was the last, so that this folder
    /// can be finished.
    pub fn release(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Notes that a member of a hard-link group is in it, so that it and those above are needed as
    /// long as there may be others.
    pub fn note_link(&self) {
        let mut dir = Some(self);
        while let Some(noted) = dir.filter(|dir| !dir.has_links.swap(true, Ordering::Relaxed)) {
            dir = noted.parent.as_deref();
        }
    }

    /// Returns whether a member of a hard-link group is in it, or anywhere below.
    pub fn has_links(&self) -> bool {
        self.has_links.load(Ordering::Relaxed)
    }

    /// Returns which folder it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns its name in the folder above.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns the folder above, `None` for the target's own.
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// Returns the path of `name` in this folder, as it stands in the snapshot.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut steps = vec![name, &self.name];
        let mut above = &self.parent;
        while let Some(dir) = above {
            steps.push(&dir.name);
            above = &dir.parent;
        }
        steps.reverse();
        steps.join(&b'/')
    }

    /// Returns this folder's own path, as it stands in the snapshot.
    pub fn path(&self) -> Vec<u8> {
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
        // One by one: a chain of a million folders must not be dropped by recursion.
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
        let identity = Identity::from(&above.stat(name).unwrap());
        let place = DirPlace { parent, name, standing: Standing::Below };
        let made = TargetDir::made(place, identity, Box::default());
        made.open(descriptors).unwrap();
        made
    }

    #[test]
    fn deep_folders_are_reached_with_few_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let root =
            TargetDir::root(Dir::open(folder.path()).unwrap(), b"/top", Standing::Below, None)
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
    fn a_folder_that_took_the_place_of_another_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root =
            TargetDir::root(Dir::open(folder.path()).unwrap(), b"", Standing::Below, None).unwrap();
        let descriptors = Descriptors::new(1);
        let a = make(&root, &descriptors, b"a");
        let b = make(&a, &descriptors, b"b");
        descriptors.close_all();
        std::fs::rename(folder.path().join("a"), folder.path().join("old")).unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        assert!(b.open(&descriptors).is_err());
        std::fs::remove_dir_all(folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink("old", folder.path().join("a")).unwrap();
        assert!(b.open(&descriptors).is_err());
    }
}
