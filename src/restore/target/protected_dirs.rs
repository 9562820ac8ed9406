//! Directories that a restore must not touch: the repository that it reads, the cache, and, for
//! deletion, any repository.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;

use super::dir::InodeId;
use crate::format::entry::EntryKind;
use crate::os::dir::{Dir, DirNames};
use crate::os::stat::Stat;
use crate::repo::objects::layout::{REPOSITORY_SIGNS, RepositorySign};
use crate::sync::lock;

/// Message about a protected directory.
pub(crate) const LEFT_ALONE: &str = "left alone: it is the repository itself or its cache";
/// Message about a protected directory that the snapshot has entries of.
pub(crate) const NOT_RESTORED: &str = "not restored: it is the repository itself or its cache, and what \
    the snapshot has in it is left out";
/// Message about any repository in which entries would be removed.
pub(crate) const LEFT_REPOSITORY: &str = "nothing is removed: it looks like a repository";

/// Returns whether a directory with these names looks like a repository, this one or any other.
///
/// Two of three signs are enough: one may be lost. Spec: `format-spec/01-layout.md`, section 1.
pub(crate) fn is_repository(dir: &Dir, names: &DirNames) -> bool {
    let holds = |sign: &&RepositorySign| {
        let sign_dir = sign.folder().as_bytes();
        // A directory that cannot be listed may contain the sign.
        names.contains(sign_dir)
            && match dir.open_dir(sign_dir).and_then(|dir| dir.names()) {
                Ok(names) => names.iter().any(|name| sign.fits(name)),
                Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
            }
    };
    REPOSITORY_SIGNS.iter().filter(holds).count() >= 2
}

/// Returns whether a name is that of a directory which is such a sign.
pub(crate) fn is_sign(name: &[u8]) -> bool {
    REPOSITORY_SIGNS.iter().any(|sign| sign.folder().as_bytes() == name)
}

/// Directories of the target that look like repositories, by their paths in the snapshot. Nothing
/// is removed below them.
#[derive(Default)]
pub(crate) struct Repositories(Mutex<Vec<Vec<u8>>>);

impl Repositories {
    /// Adds one, before its content is walked.
    pub(crate) fn add(&self, path: Vec<u8>) {
        lock(&self.0).push(path);
    }

    /// Returns whether a path is inside one of them.
    pub(crate) fn contains_path(&self, path: &[u8]) -> bool {
        let lies_in =
            |top: &Vec<u8>| path.strip_prefix(&top[..]).is_some_and(|rest| rest.starts_with(b"/"));
        lock(&self.0).iter().any(lies_in)
    }
}

/// Protected directories, identified by inode, so that they are recognised through links and other
/// mounts, too.
#[derive(Default)]
pub(crate) struct ProtectedDirs(Vec<InodeId>);

impl ProtectedDirs {
    /// Takes the directories at these paths; missing ones need no protection.
    pub(crate) fn new(paths: &[impl AsRef<Path>]) -> Self {
        let identity = |path: &Path| {
            Dir::open(path).and_then(|dir| dir.stat_self()).ok().map(|stat| InodeId::from(&stat))
        };
        // If a path is a symbolic link, the link is in use, too.
        let link = |path: &Path| {
            let dir = path.parent().and_then(|above| Dir::open_for_lookup(above).ok())?;
            let stat = dir.stat(path.file_name()?.as_bytes()).ok()?;
            (stat.kind == EntryKind::Symlink).then(|| InodeId::from(&stat))
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
    pub(crate) fn contains(&self, stat: &Stat) -> bool {
        self.0.contains(&InodeId::from(stat))
    }

    /// Refuses the removal of a link through which one of them is used.
    pub(crate) fn refuse_link(&self, stat: &Stat) -> io::Result<()> {
        match stat.kind != EntryKind::Dir && self.contains(stat) {
            true => Err(io::Error::other(
                "left alone: the repository or its cache is used through this link",
            )),
            false => Ok(()),
        }
    }

    /// Returns whether a path is one of them or inside one. Its last components need not exist.
    pub(crate) fn contains_path(&self, path: &Path) -> io::Result<bool> {
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
            let temp = tempfile::tempdir().unwrap();
            for file in files.iter().map(|file| temp.path().join(file.replace("ID", &id))) {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, b"").unwrap();
            }
            let dir = Dir::open(temp.path()).unwrap();
            assert_eq!(is_repository(&dir, &dir.names().unwrap()), is_one, "{files:?}");
        }
    }

    #[test]
    fn what_lies_in_them_is_held_whatever_leads_there() {
        let temp = tempfile::tempdir().unwrap();
        let at = |path: &str| temp.path().join(path);
        std::fs::create_dir_all(at("repo/data")).unwrap();
        std::fs::create_dir(at("other")).unwrap();
        std::os::unix::fs::symlink(at("repo/data"), at("other/link")).unwrap();
        let protected = ProtectedDirs::new(&[at("repo"), at("missing")]);
        for inside in [
            "repo",
            "repo/data",
            "repo/data/new/deeper",
            "other/link",
            "other/link/new",
            "other/../repo",
        ] {
            assert!(protected.contains_path(&at(inside)).unwrap(), "{inside}");
        }
        for outside in ["", "other", "other/new/repo", "repository", "repo/.."] {
            assert!(!protected.contains_path(&at(outside)).unwrap(), "{outside}");
        }
    }
}
