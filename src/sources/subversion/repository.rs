//! Repositories of Subversion on the disk: where they are, and how they are laid out.

use std::io;
use std::path::{Path, PathBuf};

use crate::sources::failure::failed;

/// Longest file of a repository's settings that is read.
const SETTING_LEN_MAX_BYTES: u64 = 64 << 10;

/// A repository, and what its files say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repository {
    pub path: PathBuf,
    /// Kind of its file system: `fsfs`, `bdb`, `fsx`.
    pub kind: String,
    /// Revisions of a shard; `None` without shards, or if the kind is not `fsfs`.
    pub shard_len: Option<u64>,
}

impl Repository {
    /// Reads what a repository is.
    pub(super) fn look(path: &Path) -> io::Result<Self> {
        if !is_repository(path) {
            let message = "it is no repository of Subversion: there is no `format` or no `db`";
            return Err(io::Error::other(message));
        }
        // Berkeley DB was there before this file.
        let kind = setting(&path.join("db/fs-type"))?.unwrap_or_else(|| "bdb".to_owned());
        let shard_len = match kind == "fsfs" {
            true => shard_len(&setting(&path.join("db/format"))?.unwrap_or_default())?,
            false => None,
        };
        Ok(Self { path: path.to_owned(), kind, shard_len })
    }
}

/// Returns whether a folder is a repository.
pub(super) fn is_repository(path: &Path) -> bool {
    path.join("format").is_file() && path.join("db").is_dir()
}

/// Returns the repositories in a folder, sorted. Fails if there is none.
pub(super) fn repositories_in(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let action = || format!("cannot read the folder {}", crate::text::path(parent));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(parent).map_err(failed(action))? {
        let path = entry.map_err(failed(action))?.path();
        if is_repository(&path) {
            found.push(path);
        }
    }
    if found.is_empty() {
        let message = format!("there is no repository in {}", crate::text::path(parent));
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    found.sort();
    Ok(found)
}

/// Returns the number of revisions of a shard, from the file `db/format`.
fn shard_len(format: &str) -> io::Result<Option<u64>> {
    let unknown = |line: &str| {
        let line = crate::text::harmless(line);
        io::Error::other(format!("its `db/format` is not understood: `{line}`"))
    };
    for line in format.lines() {
        if let Some(layout) = line.strip_prefix("layout ") {
            return match layout.strip_prefix("sharded ") {
                Some(len) => len.trim().parse().map(Some).map_err(|_| unknown(line)),
                None if layout.trim() == "linear" => Ok(None),
                None => Err(unknown(line)),
            };
        }
    }
    // Formats 1 and 2 have no such line, and no shards.
    Ok(None)
}

/// Returns a small file of settings without blanks around it; `None` if it is not there.
fn setting(path: &Path) -> io::Result<Option<String>> {
    use std::io::Read;
    let action = || format!("cannot read {}", crate::text::path(path));
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(action)(error)),
    };
    let mut text = String::new();
    file.take(SETTING_LEN_MAX_BYTES).read_to_string(&mut text).map_err(failed(action))?;
    Ok(Some(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_of_all_formats() {
        assert_eq!(shard_len("8\nlayout sharded 1000\naddressing logical").unwrap(), Some(1000));
        assert_eq!(shard_len("3\nlayout linear").unwrap(), None);
        assert_eq!(shard_len("1").unwrap(), None);
        assert!(shard_len("9\nlayout sharded x").is_err());
        assert!(shard_len("9\nlayout round").unwrap_err().to_string().contains("`layout round`"));
    }

    #[test]
    fn repositories_are_folders_with_a_format_and_a_database() {
        let folder = tempfile::tempdir().unwrap();
        assert!(repositories_in(folder.path()).is_err());
        for name in ["b", "a"] {
            std::fs::create_dir_all(folder.path().join(name).join("db")).unwrap();
            std::fs::write(folder.path().join(name).join("format"), "5\n").unwrap();
        }
        std::fs::create_dir(folder.path().join("other")).unwrap();
        std::fs::write(folder.path().join("a/db/fs-type"), "fsfs\n").unwrap();
        std::fs::write(folder.path().join("a/db/format"), "8\nlayout sharded 4\n").unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        assert_eq!(repositories_in(folder.path()).unwrap(), [a.clone(), b.clone()]);
        let look = |path: &Path| Repository::look(path).unwrap();
        assert_eq!((look(&a).kind.as_str(), look(&a).shard_len), ("fsfs", Some(4)));
        assert_eq!((look(&b).kind.as_str(), look(&b).shard_len), ("bdb", None));
        assert!(Repository::look(&folder.path().join("other")).is_err());
        assert!(repositories_in(&folder.path().join("none")).is_err());
    }
}
