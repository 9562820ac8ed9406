//! Names of the stream's files, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::backup::FileNumber;
use crate::format::entry::is_valid_name;
use crate::text::printable;

/// Most bytes that the names of all files may take in memory: some 2,000,000 files.
const NAMES_LEN_MAX_BYTES: usize = 256 << 20;
/// Bytes of memory that a file takes, without its name.
const FILE_LEN_BYTES: usize = 96;

/// A file that the stream brought to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpackedFile {
    /// Relative path; not always the one with which the file began.
    pub path: Vec<u8>,
    /// The number that the sink gave to it.
    pub number: FileNumber,
    /// Length of its content.
    pub len_bytes: u64,
}

/// Ending of the definition of a table. The program copies those of all tables that there are, as
/// the last files before it follows DDL statements.
const DEFINITION: &[u8] = b".frm";
/// Ending of files that the program renames with a table of ARCHIVE, but that servers have no more.
const ARCHIVE_METADATA: &[u8] = b".ARM";

/// The complete files by their names.
///
/// The program follows DDL statements by their text, whatever it copied before and after them, and
/// says nothing when a table gets lost that way (seen with 10.11.14). It can be seen in the stream:
/// a file gets the name of another, or that of a file which never came, or a definition is removed.
#[derive(Default)]
pub(super) struct Names {
    /// Numbers and lengths in bytes.
    complete: BTreeMap<Vec<u8>, (FileNumber, u64)>,
    /// Paths that the server has, so that they must be complete in the end.
    awaited: BTreeSet<Vec<u8>>,
    len_bytes: usize,
}

impl Names {
    /// Returns whether a file of this path is complete.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.complete.contains_key(path)
    }

    /// Returns the number of a complete file.
    pub(super) fn number(&self, path: &[u8]) -> Option<FileNumber> {
        self.complete.get(path).map(|(number, _)| *number)
    }

    /// Adds a complete file, in the place of an earlier one of the same path.
    pub(super) fn insert(&mut self, file: UnpackedFile) -> Result<(), String> {
        self.forget(&file.path);
        self.take_room(&file.path)?;
        self.complete.insert(file.path, (file.number, file.len_bytes));
        Ok(())
    }

    /// Gives a file another name, unless it has that already: then it was copied later.
    ///
    /// Returns whether one file is left; else nobody knows which of two it should be.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, String> {
        self.awaited.remove(from);
        let has_new_name = self.has(to);
        match self.forget(from) {
            Some((number, len_bytes)) => {
                self.insert(UnpackedFile { path: to.to_vec(), number, len_bytes })?;
                return Ok(!has_new_name);
            }
            None if !to.ends_with(ARCHIVE_METADATA) => self.wait_for(to)?,
            None => {}
        }
        Ok(true)
    }

    /// Removes a file, all that is below a directory, or, if the path ends in `*`, all files whose
    /// paths begin like it.
    pub(super) fn remove(&mut self, path: &[u8]) -> Result<(), String> {
        self.awaited.retain(|other| other.ends_with(DEFINITION) || !is_removed(other, path));
        let beginning = beginning(path);
        let mut next = self.has(path).then(|| path.to_vec());
        while let Some(path) = next.or_else(|| self.first_with(&beginning)) {
            self.forget(&path);
            if path.ends_with(DEFINITION) {
                self.wait_for(&path)?;
            }
            next = None;
        }
        Ok(())
    }

    /// Returns a file of the server that is missing.
    pub(super) fn lost(&self) -> Option<&[u8]> {
        self.awaited.iter().map(Vec::as_slice).find(|path| !self.has(path))
    }

    /// Returns all files in the order of their paths; fails if one is in the place of a directory.
    pub(super) fn into_files(self) -> Result<Vec<UnpackedFile>, String> {
        for path in self.complete.keys() {
            if self.first_with(&[path, &b"/"[..]].concat()).is_some() {
                return Err(format!("{} is a file and a directory", printable(path)));
            }
        }
        let file = |(path, (number, len_bytes))| UnpackedFile { path, number, len_bytes };
        Ok(self.complete.into_iter().map(file).collect())
    }

    fn wait_for(&mut self, path: &[u8]) -> Result<(), String> {
        if self.awaited.insert(path.to_vec()) { self.take_room(path) } else { Ok(()) }
    }

    /// Counts the memory of a path. That of awaited ones is never given back: there are few.
    fn take_room(&mut self, path: &[u8]) -> Result<(), String> {
        self.len_bytes += path.len() + FILE_LEN_BYTES;
        if self.len_bytes > NAMES_LEN_MAX_BYTES {
            return Err("it holds more files than a server has".to_owned());
        }
        Ok(())
    }

    fn first_with(&self, beginning: &[u8]) -> Option<Vec<u8>> {
        let (path, _) = self.complete.range(beginning.to_vec()..).next()?;
        path.starts_with(beginning).then(|| path.clone())
    }

    fn forget(&mut self, path: &[u8]) -> Option<(FileNumber, u64)> {
        let removed = self.complete.remove(path)?;
        self.len_bytes -= path.len() + FILE_LEN_BYTES;
        Some(removed)
    }
}

/// Returns whether [`Names::remove`] of a path removes the file of another.
pub(super) fn is_removed(path: &[u8], removed: &[u8]) -> bool {
    path == removed || path.starts_with(&beginning(removed))
}

/// Returns the bytes that all paths begin with which go with a removed one.
fn beginning(removed: &[u8]) -> Vec<u8> {
    match removed.strip_suffix(b"*") {
        Some(beginning) => beginning.to_vec(),
        None => [removed, b"/"].concat(),
    }
}

/// Checks that a path is relative and names the same place for everyone.
pub(super) fn check_path(path: &[u8]) -> Result<(), String> {
    if path.split(|byte| *byte == b'/').all(is_valid_name) {
        Ok(())
    } else {
        Err(format!("`{}` is not a relative path", printable(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &[u8], number: u32) -> UnpackedFile {
        UnpackedFile { path: path.to_vec(), number: FileNumber(number), len_bytes: 7 }
    }

    fn names_of(paths: &[&str]) -> Names {
        let mut names = Names::default();
        for (number, path) in (0..).zip(paths) {
            names.insert(file(path.as_bytes(), number)).unwrap();
        }
        names
    }

    fn left(names: Names) -> Vec<(String, u32)> {
        let files = names.into_files().unwrap().into_iter();
        files.map(|file| (String::from_utf8(file.path).unwrap(), file.number.0)).collect()
    }

    #[test]
    fn removal_takes_files_directories_and_patterns() {
        let paths = ["d/t", "d/t.MYD", "d/t#P#a.MYD", "d/t#P#b.MYI", "d/tt", "dd/t", "e"];
        let left_by = |removed: &str| {
            let mut names = names_of(&paths);
            names.remove(removed.as_bytes()).unwrap();
            left(names).into_iter().map(|(path, _)| path).collect::<Vec<_>>()
        };
        assert_eq!(left_by("d"), ["dd/t", "e"]);
        assert_eq!(left_by("d/t#P#*"), ["d/t", "d/t.MYD", "d/tt", "dd/t", "e"]);
        assert_eq!(left_by("d/t"), ["d/t#P#a.MYD", "d/t#P#b.MYI", "d/t.MYD", "d/tt", "dd/t", "e"]);
        assert_eq!(left_by("absent").len(), paths.len());
        assert!(is_removed(b"d/t", b"d/*") && is_removed(b"d/t", b"d") && is_removed(b"d", b"d"));
        assert!(!is_removed(b"d/t", b"d/") && !is_removed(b"dd/t", b"d"));
    }

    #[test]
    fn a_renamed_file_may_have_come_by_its_new_name() {
        let mut names = names_of(&["a", "c"]);
        assert!(names.rename(b"a", b"b").unwrap());
        assert!(names.rename(b"absent", b"c").unwrap());
        assert_eq!(names.lost(), None);
        assert!(!names.rename(b"b", b"c").unwrap());
        assert_eq!(left(names), [("c".to_owned(), 0)]);
    }

    #[test]
    fn a_file_that_the_server_has_is_awaited() {
        let mut names = names_of(&["d/t.frm", "d/t.MAD", "e/t.frm"]);
        names.rename(b"d/absent.MAD", b"d/u.MAD").unwrap();
        assert_eq!(names.lost(), Some(&b"d/u.MAD"[..]));
        names.rename(b"d/u.MAD", b"d/v.MAD").unwrap();
        assert_eq!(names.lost(), Some(&b"d/v.MAD"[..]));
        names.remove(b"d/v.MAD").unwrap();
        names.rename(b"d/absent.ARM", b"d/u.ARM").unwrap();
        assert_eq!(names.lost(), None);
        names.remove(b"d/t.MAD").unwrap();
        names.remove(b"d/never.frm").unwrap();
        assert_eq!(names.lost(), None);
        names.remove(b"d/t.frm").unwrap();
        names.remove(b"e").unwrap();
        assert_eq!(names.lost(), Some(&b"d/t.frm"[..]));
        names.remove(b"d").unwrap();
        names.insert(file(b"e/t.frm", 7)).unwrap();
        assert_eq!(names.lost(), Some(&b"d/t.frm"[..]));
        names.insert(file(b"d/t.frm", 8)).unwrap();
        assert_eq!(names.lost(), None);
    }

    #[test]
    fn names_take_a_bounded_part_of_memory() {
        let mut names = Names::default();
        names.insert(file(b"a", 0)).unwrap();
        assert_eq!(names.len_bytes, 1 + FILE_LEN_BYTES);
        names.insert(file(b"a", 1)).unwrap();
        names.rename(b"a", b"bb").unwrap();
        assert_eq!(names.len_bytes, 2 + FILE_LEN_BYTES);
        names.remove(b"bb").unwrap();
        assert_eq!(names.len_bytes, 0);
        names.len_bytes = NAMES_LEN_MAX_BYTES - FILE_LEN_BYTES - 1;
        names.insert(file(b"a", 2)).unwrap();
        names.insert(file(b"b", 3)).unwrap_err();
    }

    #[test]
    fn a_file_is_no_directory() {
        assert!(names_of(&["a", "a-", "a.b", "b/c"]).into_files().is_ok());
        let error = names_of(&["a", "a-", "a.b", "a/b"]).into_files().unwrap_err();
        assert!(error.contains("a is a file and a directory"), "{error}");
    }
}
