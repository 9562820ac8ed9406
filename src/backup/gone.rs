//! Names that a folder lists and that are not there when they are looked at: most went away
//! meanwhile; but a damaged file system, or one that cannot express a name, says so for ever, and
//! then something is missing that nobody would hear of.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::entry::{EntryKind, Timestamp};
use crate::os::dir::Dir;

/// How many names are listed again in one backup: what goes away from huge folders must not make it
/// slow.
const NAMES_MAX: u64 = 4_000_000;

/// How many names may be listed again.
pub struct Listings(AtomicU64);

impl Default for Listings {
    fn default() -> Self {
        Self(NAMES_MAX.into())
    }
}

impl Listings {
    /// Lists a folder once more until a name with its inode number is the one that is looked for;
    /// false if there is none.
    fn find(&self, dir: &Dir, is_it: impl FnMut(&[u8], u64) -> bool) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        let (is_found, count) = dir.search(left, is_it).unwrap_or((false, 1));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(count))
        });
        is_found
    }

    fn holds(&self, dir: &Dir, name: &[u8]) -> bool {
        self.find(dir, |listed, _| listed == name)
    }

    /// Tells an error about `name` in `dir`: what is not there although its folder lists it did not
    /// go away.
    pub fn judge(&self, dir: &Dir, name: &[u8], error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::NotFound && self.holds(dir, name) {
            return io::Error::other(format!(
                "its folder lists it, and it cannot be found ({error})"
            ));
        }
        error
    }

    /// Does something with `name` in `dir`, once more if it is not there although its folder still
    /// lists it: it may be new.
    pub fn insist<T>(
        &self,
        dir: &Dir,
        name: &[u8],
        act: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.holds(dir, name) => {
                act().map_err(|error| self.judge(dir, name, error))
            }
            done => done,
        }
    }

    /// Tells an error about a folder that was seen and could not be opened: one that is there under
    /// another name is in the snapshot under neither.
    ///
    /// `seen` is its inode number and when it was made, if it was looked at.
    pub fn judge_folder(
        &self,
        above: &Dir,
        seen: Option<(u64, Option<Timestamp>)>,
        error: io::Error,
    ) -> io::Error {
        let (Some((inode, btime)), io::ErrorKind::NotFound) = (seen, error.kind()) else {
            return error;
        };
        let mut name = Vec::new();
        let is_listed = self.find(above, |listed, number| {
            name = if number == inode { listed.to_vec() } else { Vec::new() };
            number == inode
        });
        // The number alone may be that of a new folder.
        let is_it = is_listed
            && above.stat(&name).is_ok_and(|stat| {
                (stat.kind, stat.inode, stat.btime) == (EntryKind::Dir, inode, btime)
            });
        if !is_it {
            return error;
        }
        let name = String::from_utf8_lossy(&name).into_owned();
        io::Error::other(format!(
            "it was renamed to {name} during the backup, and is not in it under either name"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_and_cannot_be_found_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there"), b"x").unwrap();
        let (dir, listings) = (Dir::open(folder.path()).unwrap(), Listings::default());
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(listings.judge(&dir, b"there", missing()).kind(), io::ErrorKind::Other);
        assert_eq!(listings.judge(&dir, b"gone", missing()).kind(), io::ErrorKind::NotFound);
        let calls = std::cell::Cell::new(0);
        let appears = || {
            calls.set(calls.get() + 1);
            if calls.get() < 2 { Err(missing()) } else { Ok(()) }
        };
        listings.insist(&dir, b"there", appears).unwrap();
        assert!(
            listings
                .insist(&dir, b"there", || Err::<(), _>(missing()))
                .is_err_and(|error| error.kind() == io::ErrorKind::Other)
        );
        // Without end nothing is listed again.
        let none = Listings(0.into());
        assert_eq!(none.judge(&dir, b"there", missing()).kind(), io::ErrorKind::NotFound);
    }
}
