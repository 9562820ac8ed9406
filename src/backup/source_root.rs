//! The directory below which sources are read, and without which they are recorded.
//!
//! It is `/`, or where a container sees the host, or the mount of a file-system snapshot. Below
//! another directory than `/` the kernel resolves paths as if that were the root: an absolute
//! symbolic link on the way leads to the host's file, never to one of the same name outside.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::options::Error;
use crate::os::dir::{Dir, stat_path};
use crate::os::stat::Stat;

/// The root of the sources.
#[derive(Default)]
pub(super) struct SourceRoot(Option<Root>);

/// A root other than `/`.
struct Root {
    dir: Dir,
    /// Its path in the kernel's words.
    path: PathBuf,
}

/// A target that was found by following links.
pub(super) struct FollowedPath {
    /// The directory that holds it.
    pub dir: Dir,
    /// Its name there; `None` for the root itself.
    pub name: Option<Vec<u8>>,
}

impl SourceRoot {
    /// Opens the root; `None` and `/` mean the usual one.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path.filter(|path| *path != Path::new("/")) else {
            return Ok(Self(None));
        };
        let failed = |source| Error::Source { path: path.display().to_string(), source };
        let dir = Dir::open_for_lookup(path).map_err(failed)?;
        let path = dir.path().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        Ok(Self(Some(Root { dir, path })))
    }

    /// Returns whether paths are those of this host.
    pub(super) fn is_usual(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the metadata of a recorded path, of a link itself unless it `follows`.
    pub(super) fn stat(&self, path: &[u8], follows: bool) -> io::Result<Stat> {
        match &self.0 {
            None => stat_path(as_path(path), follows),
            Some(root) => root.dir.stat_in_root(as_path(path), follows),
        }
    }

    /// Opens the directory at a recorded path, following links.
    pub(super) fn open_dir(&self, path: &[u8]) -> io::Result<Dir> {
        match &self.0 {
            None => Dir::open(as_path(path)),
            Some(root) => root.dir.open_in_root(as_path(path)),
        }
    }

    /// Opens a directory above a source, which needs no right to list it.
    pub(super) fn open_ancestor(&self, path: &[u8]) -> io::Result<Dir> {
        match &self.0 {
            None => Dir::open_for_lookup(as_path(path)),
            Some(root) => root.dir.lookup_in_root(as_path(path)),
        }
    }

    /// Follows all links of a recorded path.
    pub(super) fn follow(&self, path: &[u8]) -> io::Result<FollowedPath> {
        let target = match &self.0 {
            None => std::fs::canonicalize(as_path(path))?,
            Some(root) => root.follow(as_path(path))?,
        };
        let name = target.file_name().map(|name| name.as_bytes().to_vec());
        let above = target.parent().unwrap_or(&target).as_os_str().as_bytes();
        Ok(FollowedPath { dir: self.open_ancestor(above)?, name })
    }
}

impl Root {
    /// Returns the recorded path of what a path leads to.
    fn follow(&self, path: &Path) -> io::Result<PathBuf> {
        let target = self.dir.path_in_root(path)?;
        let below = target.strip_prefix(&self.path).map_err(|_| {
            let why = format!("it leads out of {} to {}", self.path.display(), target.display());
            io::Error::other(why)
        })?;
        Ok(Path::new("/").join(below))
    }
}

fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(if path.is_empty() { b"/" } else { path }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::format::entry::EntryKind;

    #[test]
    fn absolute_links_stay_below_the_root() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("data/wiki")).unwrap();
        std::fs::write(folder.path().join("data/wiki/page"), b"text").unwrap();
        // `/etc` exists outside; below the root it does not.
        symlink("/etc", folder.path().join("outside")).unwrap();
        symlink("/data/wiki", folder.path().join("link")).unwrap();
        symlink("../../../../data/wiki/page", folder.path().join("up")).unwrap();
        let root = SourceRoot::open(Some(folder.path())).unwrap();
        assert!(!root.is_usual());
        assert_eq!(root.stat(b"/link", false).unwrap().kind, EntryKind::Symlink);
        assert_eq!(root.stat(b"/link", true).unwrap().kind, EntryKind::Dir);
        assert_eq!(root.stat(b"/link/page", false).unwrap().size, 4);
        assert!(root.stat(b"/outside", true).is_err());
        assert!(root.open_dir(b"/link").unwrap().names().unwrap().contains(b"page"));
        assert!(root.open_ancestor(b"/outside").is_err());
        for path in [&b"/link/page"[..], b"/up"] {
            let found = root.follow(path).unwrap();
            assert_eq!(found.name.as_deref(), Some(&b"page"[..]));
            assert_eq!(found.dir.stat(b"page").unwrap().size, 4);
        }
        assert_eq!(root.follow(b"/").unwrap().name, None);
        assert!(root.open_ancestor(b"").unwrap().stat(b"data").is_ok());
    }

    #[test]
    fn the_usual_root_is_the_hosts() {
        let root = SourceRoot::open(Some(Path::new("/"))).unwrap();
        assert!(root.is_usual());
        assert_eq!(root.stat(b"/", true).unwrap().kind, EntryKind::Dir);
        assert_eq!(root.follow(b"/dev/null").unwrap().name.as_deref(), Some(&b"null"[..]));
        assert!(SourceRoot::open(Some(Path::new("/no/such/root"))).is_err());
    }
}
