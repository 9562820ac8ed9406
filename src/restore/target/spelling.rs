//! Names on file systems that do not tell all names apart: upper and lower case, composed and
//! decomposed letters, dots at the end.
//!
//! Where two names of a snapshot are one for the target, the second one is an error, in the first
//! run and in all others, and never takes the place of the first. What is made by this run meets
//! what is there and fails; what was there before is known by the listing of its folder: a name
//! that is found and not listed is another one's, unless it can be nobody else's.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::OnceLock;

use unicode_normalization::UnicodeNormalization;

use crate::os::dir::{Dir, DirNames};
use crate::os::habits::has_exact_names;

/// What is known of the names in a folder that was there before, on a file system that may take two
/// names for one.
pub struct Spelling {
    listed: DirNames,
    /// Keys of the snapshot's names in this folder, sorted; `None` if they cannot be read.
    snapshot: OnceLock<Option<Vec<u64>>>,
}

impl Spelling {
    /// Lists a folder before anything is made in it; `None` where all names are told apart.
    pub fn of(dir: &Dir) -> io::Result<Option<Box<Self>>> {
        if has_exact_names(dir) {
            return Ok(None);
        }
        Ok(Some(Box::new(Self { listed: dir.names()?, snapshot: OnceLock::new() })))
    }

    /// Fails if what was found by a name of the snapshot is, or may be, another name's.
    ///
    /// `names` lists the snapshot's names in this folder, `None` for what cannot be read.
    pub fn check<N: Iterator<Item = Option<Vec<u8>>>>(
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

    /// Returns whether a listed name, which the snapshot does not have, is one of the snapshot's to
    /// the file system.
    ///
    /// Inode numbers do not tell: some of these file systems give one file another number by each
    /// of its spellings. But two names that were both listed are two files.
    pub fn is_one_of<N: Iterator<Item = Option<Vec<u8>>>>(
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

/// Returns the same number for names that file systems may take for one; others mostly have others.
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
