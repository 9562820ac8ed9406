//! `SNAP[:PATH]`: which snapshot, and what in it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use jiff::civil;
use jiff::tz::TimeZone;

use super::failure::{Exit, Failure};
use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::repo::{Error, Reader, Repository, Trees, parallel, snapshots};
use crate::ui::Ui;

/// A parsed `SNAP[:PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapPath {
    /// An id prefix, `latest`, `latest~2` or `APP@TIME`.
    pub snapshot: String,
    /// The path behind the colon, absolute and without trailing slash (`/` itself excepted).
    pub path: Option<Vec<u8>>,
}

impl SnapPath {
    /// Parses what the user typed.
    ///
    /// The path begins at the first `:/`, so that times may hold colons; without one, at the first colon. A path that does not
    /// begin with `/` is taken from the folder `here`.
    pub fn parse(text: &OsStr, here: &Path) -> Result<Self, Failure> {
        let bytes = text.as_bytes();
        let is_time = |rest: &[u8]| std::str::from_utf8(rest).is_ok_and(|rest| parse_time(rest).is_some());
        let colon = bytes.windows(2).position(|pair| pair == b":/").or_else(|| {
            let at = bytes.iter().position(|byte| *byte == b'@');
            if at.is_some_and(|at| is_time(&bytes[at + 1..])) { None } else { bytes.iter().position(|byte| *byte == b':') }
        });
        let (name, path) = match colon {
            Some(colon) => (&bytes[..colon], Some(normal_path(&bytes[colon + 1..], here))),
            None => (bytes, None),
        };
        let snapshot = String::from_utf8_lossy(name).into_owned();
        if snapshot.is_empty() {
            return Err(Failure::usage("no snapshot is named").hint("write latest:/path, or an id of `drumlin snapshots`"));
        }
        Ok(Self { snapshot, path })
    }

    /// Finds the snapshot in the repository.
    pub fn resolve(&self, ui: &Ui, repository: &Repository) -> Result<Snapshot, Failure> {
        resolve(ui, repository, &self.snapshot)
    }

    /// Finds the snapshot, and what reads its trees.
    pub fn open(&self, ui: &Ui, repository: &Arc<Repository>) -> Result<(Snapshot, Trees), Failure> {
        let (snapshot, reader) = open(ui, repository, &self.snapshot, Reader::sparing)?;
        Ok((snapshot, Trees::new(reader)))
    }
}

/// How a reader is made.
pub type NewReader = fn(&Arc<Repository>) -> crate::repo::Result<Arc<Reader>>;

/// Finds the snapshot that a text names, and makes a reader that knows where its chunks are.
pub fn open(
    ui: &Ui,
    repository: &Arc<Repository>,
    text: &str,
    new_reader: NewReader,
) -> Result<(Snapshot, Arc<Reader>), Failure> {
    let (reader, snapshot) = parallel::both(repository.store(), || new_reader(repository), || resolve(ui, repository, text));
    let (snapshot, reader) = (snapshot?, reader?);
    if reader.locate(&snapshot.root)?.is_none() {
        // The index may have been listed before the snapshot was made.
        reader.sync()?;
    }
    Ok((snapshot, reader))
}

/// Finds the snapshot that a text names.
pub fn resolve(ui: &Ui, repository: &Repository, text: &str) -> Result<Snapshot, Failure> {
    let listed = snapshots::list_all(repository)?;
    // A damaged snapshot does not hide the others, unless it may be the one that is meant.
    let damaged = listed.iter().find(|(id, snapshot)| snapshot.is_err() && id.to_hex().starts_with(text)).map(|(id, _)| *id);
    let mut good = Vec::with_capacity(listed.len());
    for (id, snapshot) in listed {
        match snapshot {
            Ok(snapshot) => good.push(snapshot),
            Err(error) if Some(id) == damaged => return Err(error.into()),
            // It may be the newest one: an older one must not be taken for `latest` in silence.
            Err(error) => ui.warn(&format!("snapshot {} is left out: {}", id.short(), Failure::from(error).text())),
        }
    }
    if good.is_empty() {
        return Err(
            Failure::new(Exit::Error, "the repository holds no snapshot").hint("`drumlin backup PATH` takes the first one")
        );
    }
    match resolve_among(&good, text) {
        Err(failure) if is_in_trash(repository, text)? => {
            Err(failure
                .instead("it is in the trash: `drumlin snapshots --forgotten` tells more, `drumlin undelete` brings it back"))
        }
        resolved => resolved,
    }
}

/// Returns whether a text is the start of the id of a forgotten snapshot.
fn is_in_trash(repository: &Repository, text: &str) -> Result<bool, Failure> {
    let is_id = text.len() >= ID_LEN_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let forgotten = if is_id { snapshots::listing(repository)?.forgotten } else { Vec::new() };
    Ok(forgotten.iter().any(|one| one.tombstone.snapshot.to_hex().starts_with(text)))
}

/// How many digits make a text look like an id, when it is looked up in the trash.
const ID_LEN_MIN: usize = 4;

/// Finds the snapshot that a text names among these, which are sorted, oldest first.
pub fn resolve_among(good: &[Snapshot], text: &str) -> Result<Snapshot, Failure> {
    let found = match text.split_once('@') {
        Some((app, time)) => {
            let time = parse_time(time).ok_or_else(|| {
                Failure::usage(format!("`{time}` is not a date or time")).hint("write 2026-03-01 or 2026-03-01T12:30")
            })?;
            snapshots::resolve_app_at(good, app, time).map_err(|error| match error {
                Error::NotFound { what, .. } => Error::NotFound { what, text: text.to_owned() },
                other => other,
            })
        }
        None => snapshots::resolve(good, text),
    };
    Ok(found?.clone())
}

/// Parses a date (its last moment), a local time, or a time with zone; seconds may be left out.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(of_jiff(time));
    }
    let local = |time: civil::DateTime| Some(of_jiff(time.to_zoned(TimeZone::system()).ok()?.timestamp()));
    if text.contains([':']) {
        return local(text.parse().ok()?);
    }
    let date: civil::Date = text.parse().ok()?;
    local(date.to_datetime(civil::time(23, 59, 59, 999_999_999)))
}

fn of_jiff(time: jiff::Timestamp) -> Timestamp {
    let nanos = time.as_nanosecond();
    let seconds = nanos.div_euclid(1_000_000_000);
    let nanos = nanos.rem_euclid(1_000_000_000);
    Timestamp { seconds: seconds.try_into().expect("jiff's range fits"), nanos: nanos.try_into().expect("less than 10^9") }
}

/// Makes a path absolute, and takes out empty parts, `.` and `..`; nothing at all is the root.
pub fn normal_path(path: &[u8], here: &Path) -> Vec<u8> {
    let from: &[u8] = if path.is_empty() || path.starts_with(b"/") { b"" } else { here.as_os_str().as_bytes() };
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

/// An argument of the form `SNAP[:PATH]`.
pub type SnapArg = OsString;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (String, Option<String>) {
        let parsed = SnapPath::parse(OsStr::new(text), Path::new("/home/ada")).unwrap();
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
        assert!(SnapPath::parse(OsStr::new(":/etc"), Path::new("/")).is_err());
    }

    #[test]
    fn times_are_dates_moments_or_instants() {
        assert_eq!(parse_time("2026-03-01T12:30:00Z"), Some(Timestamp { seconds: 1_772_368_200, nanos: 0 }));
        let (morning, day) = (parse_time("2026-03-01T08:00").unwrap(), parse_time("2026-03-01").unwrap());
        assert_eq!(day.seconds - morning.seconds, 16 * 3600 - 1);
        for text in ["", "yesterday", "2026-13-01", "12:30"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
