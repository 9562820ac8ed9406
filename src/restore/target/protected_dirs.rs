//! The program's own folders, which no restore may touch: the repository that is read, and its
//! cache.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;

use super::dir::Identity;
use crate::format::entry::EntryKind;
use crate::os::dir::{Dir, DirNames};
use crate::os::stat::Stat;
use crate::repo::objects::layout::{SIGNS, Sign};
use crate::sync::lock;

/// What is said of such a folder.
pub const LEFT_ALONE: &str = "left alone: it is the repository itself or its cache";
/// What is said of one that the snapshot has something in.
pub const NOT_RESTORED: &str = "not restored: it is the repository itself or its cache, and what \
    the snapshot has in it is left out";
/// What is said of any repository in which something would be removed.
pub const LEFT_REPOSITORY: &str = "nothing is removed: it looks like a repository";

/// Returns whether a folder of these names looks like a repository, whichever it is and however it
/// is reached.
///
/// Two of three signs are enough: one may be lost. Spec: `format-spec/01-layout.md`, section 1.
pub fn is_repository(dir: &Dir, names: &DirNames) -> bool {
    let holds = |sign: &&Sign| {
        let folder = sign.folder().as_bytes();
        // What cannot be looked into may hold it.
        names.contains(folder)
            && match dir.open_dir(folder).and_then(|dir| dir.names()) {
                Ok(names) => names.iter().any(|name| sign.fits(name)),
                Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
            }
    };
    SIGNS.iter().filter(holds).count() >= 2
}

/// Returns whether a name is that of a folder that is such a sign.
pub fn is_sign(name: &[u8]) -> bool {
    SIGNS.iter().any(|sign| sign.folder().as_bytes() == name)
}

/// Folders of the target that look like repositories, by their paths in the snapshot: below them
/// nothing is removed either.
#[derive(Default)]
pub struct Repositories(Mutex<Vec<Vec<u8>>>);

impl Repositories {
    /// Takes one more; what lies in it is looked at later.
    pub fn add(&self, path: Vec<u8>) {
        lock(&self.0).push(path);
    }

    /// Returns whether a path lies in one of them.
    pub fn hold(&self, path: &[u8]) -> bool {
        let lies_in =
            |top: &Vec<u8>| path.strip_prefix(&top[..]).is_some_and(|rest| rest.starts_with(b"/"));
        lock(&self.0).iter().any(lies_in)
    }
}

/// The folders, known by what they are, so that no link or other mount leads around this.
#[derive(Default)]
pub struct OwnFolders(Vec<Identity>);

impl OwnFolders {
    /// Takes the folders at these paths; those that do not exist need no protection.
    pub fn new(paths: &[impl AsRef<Path>]) -> Self {
        let identity = |path: &Path| {
            Dir::open(path).and_then(|dir| dir.stat_self()).ok().map(|stat| Identity::from(&stat))
        };
        // A link by which one is named is as much in use.
        let link = |path: &Path| {
            let dir = path.parent().and_then(|above| Dir::open_for_lookup(above).ok())?;
            let stat = dir.stat(path.file_name()?.as_bytes()).ok()?;
            (stat.kind == EntryKind::Symlink).then(|| Identity::from(&stat))
        };
        Self(
            paths
                .iter()
                .flat_map(|path| [identity(path.as_ref()), link(path.as_ref())])
                .flatten()
                .collect(),
        )
    }

    /// Returns whether this is one of them.
    pub fn contains(&self, stat: &Stat) -> bool {
        self.0.contains(&Identity::from(stat))
    }

    /// Refuses to remove a link through which one of them is used.
    pub fn refuse_link(&self, stat: &Stat) -> io::Result<()> {
        match stat.kind != EntryKind::Dir && self.contains(stat) {
            true => Err(io::Error::other(
                "left alone: the repository or its cache is used through this link",
            )),
            false => Ok(()),
        }
    }

    /// Returns whether a path, of which the last steps need not exist, is one of them or lies in
    /// one.
    pub fn hold(&self, path: &Path) -> io::Result<bool> {
        let whole = std::path::absolute(path)?;
        let existing = whole.ancestors().find_map(|path| path.canonicalize().ok());
        let above = existing.iter().flat_map(|path| path.ancestors());
        Ok(above
            .filter_map(|path| Dir::open(path).ok())
            .any(|dir| dir.stat_self().is_ok_and(|stat| self.contains(&stat))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_known_by_what_lies_in_it() {
        let id = "0f".repeat(16);
        for (files, is_one) in [
            (&["config/1", "keys/ID"][..], true),
            (&["keys/ID", "snapshots/ID"], true),
            (&["config/1", "keys/notes", "snapshots/old"], false),
            (&["config/settings.toml", "keys/ID"], false),
            (&["keys/ID"], false),
            (&["config", "keys", "snapshots"], false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for file in files.iter().map(|file| folder.path().join(file.replace("ID", &id))) {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, b"").unwrap();
            }
            let dir = Dir::open(folder.path()).unwrap();
            assert_eq!(is_repository(&dir, &dir.names().unwrap()), is_one, "{files:?}");
        }
    }

    #[test]
    fn what_lies_in_them_is_held_whatever_leads_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("repo/data")).unwrap();
        std::fs::create_dir(at("other")).unwrap();
        std::os::unix::fs::symlink(at("repo/data"), at("other/link")).unwrap();
        let own = OwnFolders::new(&[at("repo"), at("missing")]);
        for inside in [
            "repo",
            "repo/data",
            "repo/data/new/deeper",
            "other/link",
            "other/link/new",
            "other/../repo",
        ] {
            assert!(own.hold(&at(inside)).unwrap(), "{inside}");
        }
        for outside in ["", "other", "other/new/repo", "repository", "repo/.."] {
            assert!(!own.hold(&at(outside)).unwrap(), "{outside}");
        }
    }
}
