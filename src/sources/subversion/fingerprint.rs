//! Fingerprints of ranges: names, sizes and times of the files that hold their revisions.
//!
//! Revisions never change, but their properties may (a corrected log message), and shards are
//! packed. Each of that makes files anew. A range with the same fingerprint has the same dump.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::repository::Repository;
use crate::sources::failure::failed;

/// Folders of the database with a file, or a folder, for each revision or shard.
const FOLDERS: [&str; 2] = ["db/revs", "db/revprops"];

/// Returns the fingerprint of a range, in hex; `None` if the repository's kind has no such files.
///
/// Must be taken before the range is dumped: what changes after it is then dumped again next time.
pub(super) fn fingerprint(
    repository: &Repository,
    range: &RangeInclusive<u64>,
) -> io::Result<Option<String>> {
    if repository.kind != "fsfs" {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{} {}\n", range.start(), range.end()).as_bytes());
    for path in paths(repository, range) {
        let action = || format!("cannot look at {}", crate::text::path(&path));
        let files = files(&path).map_err(failed(action))?;
        hasher.update(format!("{}\n", files.len()).as_bytes());
        for (name, stamp) in files {
            hasher.update(&(name.len() as u64).to_le_bytes()).update(&name);
            hasher.update(stamp.as_bytes());
        }
    }
    Ok(Some(hasher.finalize().to_hex().to_string()))
}

/// Returns where the revisions of a range are: its files, or the folders of its shards, packed or
/// not. Not all are there.
fn paths(repository: &Repository, range: &RangeInclusive<u64>) -> Vec<PathBuf> {
    let folders = FOLDERS.map(|folder| repository.path.join(folder));
    let below = |name: String| folders.iter().map(move |folder| folder.join(&name));
    match repository.shard_len {
        None => range.clone().flat_map(|revision| below(revision.to_string())).collect(),
        Some(len) => (range.start() / len..=range.end() / len)
            .flat_map(|shard| [format!("{shard}"), format!("{shard}.pack")])
            .flat_map(below)
            .collect(),
    }
}

/// Returns the stamps of a file, or of the files in a folder, by name; none if it is not there.
fn files(path: &Path) -> io::Result<BTreeMap<Vec<u8>, String>> {
    let mut files = BTreeMap::new();
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            files.insert(Vec::new(), stamp(path)?);
            return Ok(files);
        }
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        files.insert(entry.file_name().as_bytes().to_vec(), stamp(&entry.path())?);
    }
    Ok(files)
}

/// Returns size, times and number of a file. A program can set back the time of modification, but
/// not that of change.
fn stamp(path: &Path) -> io::Result<String> {
    let stat = match path.symlink_metadata() {
        Ok(stat) => stat,
        // It was packed, or replaced, between listing and looking: the next fingerprint differs.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok("gone\n".to_owned()),
        Err(error) => return Err(error),
    };
    let (size, number) = (stat.size(), stat.ino());
    let (modified, changed) = (stat.mtime(), stat.ctime());
    let (modified_ns, changed_ns) = (stat.mtime_nsec(), stat.ctime_nsec());
    Ok(format!("{size} {number} {modified} {modified_ns} {changed} {changed_ns}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(path: &Path, shard_len: Option<u64>) -> Repository {
        for file in ["db/revs/0/0", "db/revs/0/1", "db/revs/2", "db/revs/3", "db/revprops/0/1"] {
            let file = path.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        Repository { path: path.to_owned(), kind: "fsfs".to_owned(), shard_len }
    }

    #[test]
    fn anything_that_changes_in_a_shard_is_seen_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let repository = repository(folder.path(), Some(2));
        let see = || fingerprint(&repository, &(0..=1)).unwrap().unwrap();
        let first = see();
        assert_eq!(first, see());
        std::fs::create_dir(folder.path().join("db/revs/1")).unwrap();
        std::fs::write(folder.path().join("db/revs/1/2"), "y").unwrap();
        assert_eq!(first, see(), "another shard");
        // Properties of the same length, with the old time: the file is another one.
        let (old, new) = (folder.path().join("db/revprops/0/1"), folder.path().join("new"));
        std::fs::write(&new, "y").unwrap();
        let modified = std::fs::metadata(&old).unwrap().modified().unwrap();
        std::fs::File::open(&new).unwrap().set_modified(modified).unwrap();
        std::fs::rename(&new, &old).unwrap();
        let changed = see();
        assert_ne!(first, changed);
        std::fs::rename(folder.path().join("db/revs/0"), folder.path().join("db/revs/0.pack"))
            .unwrap();
        assert_ne!(changed, see());
        assert_ne!(see(), fingerprint(&repository, &(0..=0)).unwrap().unwrap());
    }

    #[test]
    fn repositories_without_shards_have_a_file_for_each_revision() {
        let folder = tempfile::tempdir().unwrap();
        let repository = repository(folder.path(), None);
        let see = || fingerprint(&repository, &(2..=3)).unwrap().unwrap();
        let first = see();
        std::fs::write(folder.path().join("db/revs/4"), "y").unwrap();
        assert_eq!(first, see());
        std::fs::write(folder.path().join("db/revprops/3"), "y").unwrap();
        assert_ne!(first, see());
        let other = Repository { kind: "bdb".to_owned(), ..repository.clone() };
        assert_eq!(fingerprint(&other, &(2..=3)).unwrap(), None);
    }
}
