//! Goal: a backup reads file systems that lie (about holes, numbers, times, lengths, errors) and
//! stores what is there, or names what it could not read. Method: a file system of the tests' own,
//! in memory and mounted by FUSE, that tells each lie.
//!
//! These tests need `/dev/fuse` and the package fuse3; without them they say so.

mod kernel; // FUSE handlers
mod lies; // one test per lie

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::MountOption;

use crate::support::fuse::FuseMount;

/// What a lying file system says about where data is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    /// The file is data up to its end.
    Honest,
    /// There is no data any more.
    NoData,
    /// This error.
    Fails(i32),
    /// Whatever is asked for is right where it was asked from.
    Stuck,
    /// Whatever is asked for is at the beginning.
    Backwards,
}

/// One file or folder and what is said about it.
#[derive(Clone)]
pub struct Node {
    /// What is read; `None` for a folder.
    pub content: Option<Vec<u8>>,
    /// The length that is said.
    pub len: u64,
    /// The blocks that it is said to take.
    pub blocks: u64,
    /// The inode number that is said; 0 for an honest one.
    pub inode: u64,
    /// How many names it is said to have.
    pub links: u32,
    /// Seconds since 1970 of all its times.
    pub seconds: u64,
    /// About holes.
    pub seek: Seek,
    /// Reads from this offset on fail with this error.
    pub fails_at: Option<(u64, i32)>,
    /// So many reads are answered with "try again" first.
    pub busy: u32,
    /// How often its name is listed.
    pub listed: usize,
    /// Names of extended attributes, whose values are `value`.
    pub xattrs: Vec<&'static str>,
    /// Their values cannot be read.
    pub hides_xattrs: bool,
    /// It is listed, and cannot be found.
    pub is_lost: bool,
    /// It is a symbolic link, and its content its target.
    pub is_link: bool,
}

impl Node {
    /// Makes a file about which the truth is said, and which is old.
    pub fn file(content: &[u8]) -> Self {
        let len = content.len() as u64;
        Self { content: Some(content.to_vec()), len, blocks: len.div_ceil(512), ..Self::folder() }
    }

    fn folder() -> Self {
        let (seek, seconds) = (Seek::Honest, 1_500_000_000);
        Self {
            content: None,
            len: 0,
            blocks: 0,
            inode: 0,
            links: 1,
            seconds,
            seek,
            fails_at: None,
            busy: 0,
            listed: 1,
            xattrs: Vec::new(),
            hides_xattrs: false,
            is_lost: false,
            is_link: false,
        }
    }
}

/// All nodes by their paths, which begin without `/`; the empty path is the root.
pub type Tree = BTreeMap<String, Node>;

/// A lying file system; it is unmounted when this is dropped.
pub struct Liar {
    tree: Arc<Mutex<Tree>>,
    mount: FuseMount,
}

impl Liar {
    /// Mounts one without files at `dir`, which is made; `None`, after saying so, where the machine
    /// has no FUSE.
    pub fn mount(dir: &Path) -> Option<Self> {
        let tree = Arc::new(Mutex::new(Tree::from([(String::new(), Node::folder())])));
        let options = vec![MountOption::RO, MountOption::FSName("liar".to_owned())];
        let mount = FuseMount::new(kernel::Kernel::new(tree.clone()), dir, options)?;
        Some(Self { tree, mount })
    }

    /// Returns where it is mounted.
    pub fn dir(&self) -> &Path {
        self.mount.dir()
    }

    /// Returns the tree, to change it.
    pub fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a file and the folders above it.
    pub fn put(&self, path: &str, node: Node) {
        let mut tree = self.tree();
        for (at, _) in path.match_indices('/') {
            tree.entry(path[..at].to_owned()).or_insert_with(Node::folder);
        }
        tree.insert(path.to_owned(), node);
    }

    /// Lets two names change their nodes, with all that lies below them; no time changes.
    pub fn swap(&self, one: &str, other: &str) {
        let mut tree = self.tree();
        let moved = |path: &str, from: &str, to: &str| {
            path.strip_prefix(from)
                .filter(|rest| rest.is_empty() || rest.starts_with('/'))
                .map(|rest| format!("{to}{rest}"))
        };
        *tree = std::mem::take(&mut *tree)
            .into_iter()
            .map(|(path, node)| {
                let new = moved(&path, one, other).or_else(|| moved(&path, other, one));
                (new.unwrap_or(path), node)
            })
            .collect();
    }
}
