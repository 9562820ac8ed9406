//! Name collisions on file systems that take two names for one: upper and lower case, composed and
//! decomposed letters, dots at the end.
//!
//! If two names of a snapshot are one for the target, the second one is an error in every run, and
//! never replaces the first. A name that this run creates collides with the existing one and fails.
//! Entries that existed before are known from the listing of their directory: a name that is found
//! but not listed belongs to another spelling, unless only one name of the snapshot can be meant.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::OnceLock;

use unicode_normalization::UnicodeNormalization;

use crate::os::dir::{Dir, DirNames};
use crate::os::habits::has_exact_names;

/// The names of a directory that existed before, on a file system that may take two names for one.
pub(crate) struct Spelling {
    listed: DirNames,
    /// Keys of the snapshot's names in this directory, sorted; `None` if they cannot be read.
    snapshot: OnceLock<Option<Vec<u64>>>,
}

impl Spelling {
    /// Lists a directory before anything is created in it; `None` if the file system distinguishes
    /// all names.
    pub(crate) fn of(dir: &Dir) -> io::Result<Option<Box<Self>>> {
        if has_exact_names(dir) {
            return Ok(None);
        }
        Ok(Some(Box::new(Self { listed: dir.names()?, snapshot: OnceLock::new() })))
    }

    /// Fails if the entry that was found by a name of the snapshot has, or may have, another name.
    ///
    /// `names` lists the snapshot's names in this directory, with `None` for those that cannot be
    /// read.
    pub(crate) fn check<N: Iterator<Item = Option<Vec<u8>>>>(
        &self,
        names: impl Fn() -> N,
        name: &[u8],
    ) -> io::Result<()> {
        if self.listed.contains(name) {
            return Ok(());
        }
        let key = key_of(name);
        let is_listed = || self.listed.iter().any(|listed| key_of(listed) == key);
        let is_only = |keys: &[u64]| {
            keys.partition_point(|known| *known <= key) - keys.partition_point(|known| *known < key)
                == 1
        };
        if self.keys(names).is_some_and(is_only) && is_listed() {
            return Ok(());
        }
        Err(io::Error::other(
            "the file system cannot tell this name from another one that is there, which is left \
                as it is",
        ))
    }

    /// Returns whether the file system takes a listed name that is not in the snapshot for one that
    /// is.
    ///
    /// Inode numbers do not help: some of these file systems give one file a different number for
    /// each spelling. But two names that were both listed are two files.
    pub(crate) fn is_one_of<N: Iterator<Item = Option<Vec<u8>>>>(
        &self,
        names: impl Fn() -> N,
        name: &[u8],
    ) -> bool {
        let key = key_of(name);
        match self.keys(&names) {
            Some(keys) if keys.binary_search(&key).is_err() => false,
            Some(_) => names()
                .flatten()
                .any(|other| key_of(&other) == key && !self.listed.contains(&other)),
            None => true,
        }
    }

    fn keys<N: Iterator<Item = Option<Vec<u8>>>>(&self, names: impl Fn() -> N) -> Option<&[u64]> {
        let read = || {
            let mut keys: Vec<u64> =
                names().map(|name| name.map(|name| key_of(&name))).collect::<Option<_>>()?;
            keys.sort_unstable();
            Some(keys)
        };
        self.snapshot.get_or_init(read).as_deref()
    }
}

/// Returns a hash that is the same for all names that a file system may take for one.
fn key_of(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    match std::str::from_utf8(name) {
        Ok(text) => {
            let text = text.trim_end_matches(['.', ' ']);
            text.nfd()
                .flat_map(char::to_lowercase)
                .nfd()
                .for_each(|letter| letter.hash(&mut hasher));
        }
        Err(_) => name.to_ascii_lowercase().hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_file_systems_take_for_one_have_one_key() {
        let same = [
            ("Readme", "README"),
            ("Caf\u{e9}", "cafe\u{301}"),
            ("\u{419}", "\u{438}\u{306}"),
            ("a.", "a"),
            ("a ", "A"),
        ];
        for (one, other) in same {
            assert_eq!(key_of(one.as_bytes()), key_of(other.as_bytes()), "{one} {other}");
        }
        for (one, other) in [("a", "b"), ("cafe", "caf\u{e9}"), (".a", "a"), ("", "x")] {
            assert_ne!(key_of(one.as_bytes()), key_of(other.as_bytes()), "{one} {other}");
        }
        assert_eq!(key_of(b"\xffA"), key_of(b"\xffa"));
    }
}
