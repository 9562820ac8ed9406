//! Arguments of the form `SNAP[:PATH]`: what the user typed, and the snapshot that it names.

mod candidates;
mod latest;
mod open;
mod times;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::failure::Failure;
use super::series_filter::SeriesFilter;
use crate::os::owners::home_of_user;
use crate::text::bytes_of_typed;

pub(super) use candidates::{Candidates, is_by_id, warn_of_list};
pub(super) use times::{parse_time, parse_time_from};

/// A parsed `SNAP[:PATH]` with a filter of snapshots.
#[derive(Clone, Debug)]
pub(super) struct SnapshotSpec {
    /// An id prefix, `latest`, `latest~2` or `APP@TIME`.
    pub snapshot: String,
    /// The path after the colon, absolute and without trailing slash (`/` itself excepted).
    pub path: Option<Vec<u8>>,
    series_filter: SeriesFilter,
}

impl SnapshotSpec {
    /// Parses what the user typed.
    ///
    /// The path begins at the first `:/`, so that times may contain colons; without one, at the
    /// first colon. A path that does not begin with `/` starts at the directory `here`.
    pub(super) fn parse(text: &OsStr, here: &Path) -> Result<Self, Failure> {
        let bytes = text.as_bytes();
        let is_time =
            |rest: &[u8]| std::str::from_utf8(rest).is_ok_and(|rest| parse_time(rest).is_some());
        let colon = bytes.windows(2).position(|pair| pair == b":/").or_else(|| {
            let at = bytes.iter().position(|byte| *byte == b'@');
            if at.is_some_and(|at| is_time(&bytes[at + 1..])) {
                None
            } else {
                bytes.iter().position(|byte| *byte == b':')
            }
        });
        let (name, path) = match colon {
            Some(colon) => (
                &bytes[..colon],
                Some(normal_path(&from_home(bytes_of_typed(&bytes[colon + 1..])), here)),
            ),
            None => (bytes, None),
        };
        let snapshot = String::from_utf8_lossy(name).into_owned();
        if snapshot.is_empty() {
            return Err(Failure::usage("no snapshot is named")
                .hint("write latest:/path, or an id of `drumlin snapshots`"));
        }
        Ok(Self { snapshot, path, series_filter: SeriesFilter::default() })
    }

    /// Restricts the choice to snapshots that pass a filter.
    pub(super) fn among(self, series_filter: &SeriesFilter) -> Self {
        Self { series_filter: series_filter.clone(), ..self }
    }

    /// Returns the filter.
    pub(super) fn series_filter(&self) -> &SeriesFilter {
        &self.series_filter
    }

    /// Returns the path, unless it is the root, which all snapshots contain.
    pub(super) fn path_below_root(&self) -> Option<&[u8]> {
        self.path.as_deref().filter(|path| *path != b"/")
    }
}

/// Makes a path absolute and removes empty parts, `.` and `..`; an empty path is the root.
pub(super) fn normal_path(path: &[u8], here: &Path) -> Vec<u8> {
    let from: &[u8] =
        if path.is_empty() || path.starts_with(b"/") { b"" } else { here.as_os_str().as_bytes() };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in from.split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    [b"/", parts.join(&b'/').as_slice()].concat()
}

/// Replaces a leading `~` by the home directory, which no shell does after a colon.
fn from_home(path: Vec<u8>) -> Vec<u8> {
    let home = || {
        std::env::var_os("HOME")
            .filter(|home| !home.is_empty())
            .or_else(|| home_of_user().map(Into::into))
    };
    match path.strip_prefix(b"~") {
        Some(rest) if rest.is_empty() || rest.starts_with(b"/") => {
            home().map_or_else(|| path.clone(), |home| [home.as_bytes(), rest].concat())
        }
        _ => path,
    }
}

/// An argument of the form `SNAP[:PATH]`.
pub(super) type SnapArg = OsString;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (String, Option<String>) {
        let parsed = SnapshotSpec::parse(OsStr::new(text), Path::new("/home/ada")).unwrap();
        (parsed.snapshot, parsed.path.map(|path| String::from_utf8(path).unwrap()))
    }

    #[test]
    fn snapshots_and_paths() {
        for (text, snapshot, path) in [
            ("latest", "latest", None),
            ("latest~2:/etc/", "latest~2", Some("/etc")),
            ("3f9a:/etc//./passwd", "3f9a", Some("/etc/passwd")),
            ("latest:documents/x", "latest", Some("/home/ada/documents/x")),
            ("latest:../bob/./y", "latest", Some("/home/bob/y")),
            ("latest:.", "latest", Some("/home/ada")),
            ("latest:/../../x", "latest", Some("/x")),
            ("latest:/", "latest", Some("/")),
            ("latest:", "latest", Some("/")),
            ("latest:/a:b:/c", "latest", Some("/a:b:/c")),
            ("wiki@2026-03-01", "wiki@2026-03-01", None),
            ("wiki@2026-03-01T12:30", "wiki@2026-03-01T12:30", None),
            ("wiki@2026-03-01T12:30:/srv", "wiki@2026-03-01T12:30", Some("/srv")),
            ("wiki@2026-03-01:srv", "wiki@2026-03-01", Some("/home/ada/srv")),
        ] {
            assert_eq!(parse(text), (snapshot.into(), path.map(str::to_owned)), "{text}");
        }
        assert!(SnapshotSpec::parse(OsStr::new(":/etc"), Path::new("/")).is_err());
    }
}
