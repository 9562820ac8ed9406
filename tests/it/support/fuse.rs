//! File systems of tests' own, mounted by FUSE: the mount, and numbers for paths.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use fuser::{BackgroundSession, Config, Filesystem, INodeNo, MountOption};

use super::needs::can_run;

/// A mounted file system; it is unmounted when this is dropped.
pub struct FuseMount {
    session: Option<BackgroundSession>,
    dir: PathBuf,
}

impl FuseMount {
    /// Mounts at `dir`, which is made; `None`, after saying so, where the machine has no FUSE.
    pub fn new(
        kernel: impl Filesystem + 'static,
        dir: &Path,
        options: Vec<MountOption>,
    ) -> Option<Self> {
        if !can_run(Path::new("/dev/fuse").exists(), "/dev/fuse") {
            return None;
        }
        std::fs::create_dir_all(dir).unwrap();
        let mut config = Config::default();
        config.mount_options = options;
        let session = fuser::spawn_mount(kernel, dir, &config).unwrap();
        Some(Self { session: Some(session), dir: dir.to_owned() })
    }

    /// Returns where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for FuseMount {
    fn drop(&mut self) {
        // A program that still has a file open keeps it, as with any mount.
        let _ = self.session.take().map(BackgroundSession::umount_and_join);
    }
}

/// The kernel's numbers of paths. Paths begin without `/`; the empty one is the root, number 1.
pub struct Numbers {
    paths: Vec<String>,
    known: HashMap<String, u64>,
}

impl Numbers {
    pub fn new() -> Self {
        Self { paths: vec![String::new()], known: HashMap::from([(String::new(), 1)]) }
    }

    /// Returns the number of a path, a new one if it has none.
    pub fn number(&mut self, path: &str) -> u64 {
        let next = self.paths.len() as u64 + 1;
        let number = *self.known.entry(path.to_owned()).or_insert(next);
        if number == next {
            self.paths.push(path.to_owned());
        }
        number
    }

    /// Returns the path of a number.
    pub fn path(&self, number: INodeNo) -> String {
        self.paths[number.0 as usize - 1].clone()
    }

    /// Returns the path of a name in a directory.
    pub fn below(&self, parent: INodeNo, name: &OsStr) -> String {
        format!("{}{}", prefix(&self.path(parent)), name.to_str().unwrap_or("?"))
    }

    /// Forgets a path: its number is never that of another file later.
    pub fn forget(&mut self, path: &str) {
        self.known.remove(path);
    }

    /// Gives a number another path.
    pub fn rename(&mut self, number: u64, to: &str) {
        self.paths[number as usize - 1] = to.to_owned();
        self.known.insert(to.to_owned(), number);
    }
}

/// Returns what paths in a directory begin with.
pub fn prefix(dir: &str) -> String {
    if dir.is_empty() { String::new() } else { format!("{dir}/") }
}

/// Returns the names in a directory, with their nodes, of a tree by paths.
pub fn names_in<'a, N>(
    tree: &'a BTreeMap<String, N>,
    dir: &str,
) -> impl Iterator<Item = (&'a str, &'a N)> {
    let prefix = prefix(dir);
    tree.iter()
        .filter_map(move |(path, node)| Some((path.strip_prefix(&prefix)?, node)))
        .filter(|(name, _)| !name.is_empty() && !name.contains('/'))
}
