//! Names that a directory lists but that cannot be found.
//!
//! Most were deleted in the meantime. But a damaged file system, or one that cannot express a name,
//! gives this answer for ever: such a file would be missing from all snapshots without a report.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::entry::{EntryKind, Timestamp};
use crate::os::dir::Dir;

/// Most names that are listed again in one backup: deletions in huge directories must not make it
/// slow.
const NAMES_MAX: u64 = 4_000_000;

/// Budget of names that may be listed again.
pub(super) struct Listings(AtomicU64);

impl Default for Listings {
    fn default() -> Self {
        Self(NAMES_MAX.into())
    }
}

impl Listings {
    /// Lists a directory again until `is_it` accepts a name and its inode number.
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

    /// Returns the error to report for `name` in `dir`: a name that is still listed was not
    /// deleted.
    pub(super) fn explain_missing(&self, dir: &Dir, name: &[u8], error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::NotFound && self.holds(dir, name) {
            return io::Error::other(format!(
                "its folder lists it, and it cannot be found ({error})"
            ));
        }
        error
    }

    /// Calls `act` for `name` in `dir`, and again if the name is not found but still listed: it may
    /// be a new file.
    pub(super) fn retry_if_listed<T>(
        &self,
        dir: &Dir,
        name: &[u8],
        act: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.holds(dir, name) => {
                act().map_err(|error| self.explain_missing(dir, name, error))
            }
            done => done,
        }
    }

    /// Returns the error to report for a directory that was seen and cannot be opened: if it was
    /// renamed, the snapshot may have it under neither name.
    ///
    /// `seen` is its inode number and birth time, if known.
    pub(super) fn explain_missing_directory(
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
        // A new directory may have the same inode number.
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
    fn only_names_that_are_still_listed_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("there"), b"x").unwrap();
        let (dir, listings) = (Dir::open(directory.path()).unwrap(), Listings::default());
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(
            listings.explain_missing(&dir, b"there", missing()).kind(),
            io::ErrorKind::Other
        );
        assert_eq!(
            listings.explain_missing(&dir, b"gone", missing()).kind(),
            io::ErrorKind::NotFound
        );
        let calls = std::cell::Cell::new(0);
        let appears = || {
            calls.set(calls.get() + 1);
            if calls.get() < 2 { Err(missing()) } else { Ok(()) }
        };
        listings.retry_if_listed(&dir, b"there", appears).unwrap();
        assert!(
            listings
                .retry_if_listed(&dir, b"there", || Err::<(), _>(missing()))
                .is_err_and(|error| error.kind() == io::ErrorKind::Other)
        );
        // Without budget nothing is listed again.
        let none = Listings(0.into());
        assert_eq!(none.explain_missing(&dir, b"there", missing()).kind(), io::ErrorKind::NotFound);
    }
}
