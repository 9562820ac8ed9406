//! Arguments of the form `SNAP[:PATH]`, and times.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use jiff::civil;
use jiff::tz::TimeZone;

use super::failure::Failure;
use super::series_filter::SeriesFilter;
use crate::format::entry::Timestamp;
use crate::os::owners::home_of_user;
use crate::text::bytes_of_typed;

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

/// Parses a date (its last moment), a local time, or a time with zone; seconds may be left out.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    match text.parse::<civil::Date>() {
        Ok(date) if !text.contains(':') => {
            let next =
                of_jiff(date.tomorrow().ok()?.to_zoned(TimeZone::system()).ok()?.timestamp());
            Some(Timestamp { seconds: next.seconds - 1, nanos: 999_999_999 })
        }
        _ => parse_moment(text),
    }
}

/// Like [`parse_time`], but a date means its first moment.
pub(super) fn parse_time_from(text: &str) -> Option<Timestamp> {
    match text.parse::<civil::Date>() {
        Ok(date) if !text.contains(':') => {
            Some(of_jiff(date.to_zoned(TimeZone::system()).ok()?.timestamp()))
        }
        _ => parse_moment(text),
    }
}

/// Parses a local time, or a time with zone.
fn parse_moment(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(of_jiff(time));
    }
    let time: civil::DateTime = text.contains(':').then(|| text.parse().ok())??;
    Some(of_jiff(time.to_zoned(TimeZone::system()).ok()?.timestamp()))
}

fn of_jiff(time: jiff::Timestamp) -> Timestamp {
    let nanos = time.as_nanosecond();
    let seconds = nanos.div_euclid(1_000_000_000);
    let nanos = nanos.rem_euclid(1_000_000_000);
    Timestamp {
        seconds: seconds.try_into().expect("jiff's range fits"),
        nanos: nanos.try_into().expect("less than 10^9"),
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

    #[test]
    fn times_are_dates_moments_or_instants() {
        assert_eq!(
            parse_time("2026-03-01T12:30:00Z"),
            Some(Timestamp { seconds: 1_772_368_200, nanos: 0 })
        );
        let (morning, day) =
            (parse_time("2026-03-01T08:00").unwrap(), parse_time("2026-03-01").unwrap());
        assert_eq!(day.seconds - morning.seconds, 16 * 3600 - 1);
        for text in ["", "yesterday", "2026-13-01", "12:30"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
