//! The mark on the root of the target while a restore runs: an extended attribute that tells the
//! next run three things.
//!
//! * Whether the restore created the directory, or found it empty. Then it gets the restored
//!   directory's metadata at the end.
//! * The boot id of the machine that wrote into it. After another boot, size and time of existing
//!   files are not trusted: the machine may have crashed when a file's time was on the disk and its
//!   data was not. The mark reaches the disk no later than any time that is set after it, because
//!   journalling file systems keep that order.
//! * The periods in which restores ran in it, by the clock of its file system, and what they
//!   restored. In a directory that was new, a file that was last changed within such a period was
//!   written by the restore. A file that was changed later was not, even if its time was set back;
//!   nor was one that a restore of another snapshot, or of another part of it, wrote.
//!
//! Directories above the sources that the restore creates are marked, too, so that the next run
//! recognises them until they are finished. Where extended attributes are not supported, the
//! restore works without marks.

use std::io;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::format::entry::{Timestamp, Xattr};
use crate::os::apply::Metadata;
use crate::os::attributes::XattrTarget;
use crate::os::dir::Dir;
use crate::os::process;
use crate::os::stat::Stat;
use crate::sync::lock;

const NAME: &[u8] = b"user.drumlin.restoring";
/// How often the mark is updated. The next run compares what was written after the last update.
const BEAT: Duration = Duration::from_secs(1);
/// Runs whose periods are kept; files of older runs are compared.
const WINDOWS_MAX: usize = 16;

/// The content of a mark.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MarkState {
    /// Whether an unfinished restore created the directory.
    pub is_ours: bool,
    /// Whether any unfinished restore ran in it.
    pub is_begun: bool,
    /// Whether the machine may have crashed during a restore into it.
    pub is_doubtful: bool,
    /// The periods in which restores ran in it, oldest first; empty unless the directory is ours
    /// and the boot is the same.
    pub windows: Vec<(Timestamp, Timestamp)>,
}

impl MarkState {
    /// Returns whether an unfinished restore into this directory was the last to change a file.
    pub(crate) fn wrote(&self, stat: &Stat) -> bool {
        self.windows.iter().any(|(from, to)| (*from..=*to).contains(&stat.ctime))
    }
}

/// Reads the mark of a directory without changing it; `work` names what is going to be restored
/// there.
pub(crate) fn read(dir: &Dir, work: &str) -> MarkState {
    let boot = process::boot_id();
    let value = XattrTarget::Open(dir.as_fd()).read(NAME).ok().flatten();
    let mut found = value.map_or_else(MarkState::default, |value| parse(&value, &boot, work));
    // A mark in another user's directory may be forged, so its periods are not trusted.
    if !dir.stat_self().is_ok_and(|stat| stat.uid == process::own_ids().0) {
        found.windows.clear();
    }
    found
}

fn parse(value: &[u8], boot: &str, work: &str) -> MarkState {
    let text = String::from_utf8_lossy(value);
    let mut fields = text.split(' ');
    let is_doubtful = fields.next() != Some(boot) || boot.is_empty();
    let is_ours = fields.next() == Some("new");
    let is_same = fields.next() == Some(work);
    let windows = fields.next().filter(|_| is_ours && !is_doubtful && is_same).unwrap_or_default();
    let windows = windows.split(',').filter_map(|window| {
        let (from, to) = window.split_once('-')?;
        Some((timestamp(from)?, timestamp(to)?))
    });
    MarkState { is_ours, is_begun: true, is_doubtful, windows: windows.collect() }
}

fn timestamp(text: &str) -> Option<Timestamp> {
    let (seconds, nanos) = text.split_once('.')?;
    Some(Timestamp { seconds: seconds.parse().ok()?, nanos: nanos.parse().ok()? })
}

/// The mark of a running restore.
pub(crate) struct Mark {
    dir: Dir,
    /// The value up to this run's own period.
    before: String,
    began: Option<Timestamp>,
    beaten: Mutex<Instant>,
}

impl Mark {
    /// Marks the root of the target, whose earlier mark was `found`; `is_new` if it was just
    /// created or is empty.
    pub(crate) fn set(dir: &Dir, is_new: bool, found: &MarkState, work: &str) -> io::Result<Self> {
        let state = if is_new || found.is_ours { "new" } else { "old" };
        let kept = &found.windows[found.windows.len().saturating_sub(WINDOWS_MAX - 1)..];
        let mut before = format!("{} {state} {work} ", process::boot_id());
        for (from, to) in kept {
            before += &format!("{}.{}-{}.{},", from.seconds, from.nanos, to.seconds, to.nanos);
        }
        let dir = Dir::from_fd(dir.as_fd().try_clone_to_owned()?);
        let mut mark = Self { dir, before, began: None, beaten: Instant::now().into() };
        // The restore is as safe against its own death without the mark; the next run only compares
        // more.
        if mark.write(&mark.before).is_ok() {
            mark.began = Some(mark.dir.stat_self()?.ctime);
            mark.note_time();
        }
        Ok(mark)
    }

    /// Extends this run's period to now, at most once a second.
    pub(crate) fn beat(&self) {
        let mut beaten = lock(&self.beaten);
        if beaten.elapsed() >= BEAT {
            *beaten = Instant::now();
            self.note_time();
        }
    }

    /// Ends this run's period now, for a run that stops early.
    pub(crate) fn stop(&self) {
        // The first write sets the directory's change time to now, by the clock of the file system;
        // the second records that time.
        self.note_time();
        self.note_time();
    }

    fn note_time(&self) {
        if let (Some(from), Ok(now)) = (self.began, self.dir.stat_self()) {
            let now = now.ctime;
            let _ = self.write(&format!(
                "{}{}.{}-{}.{}",
                self.before, from.seconds, from.nanos, now.seconds, now.nanos
            ));
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        XattrTarget::Open(self.dir.as_fd())
            .write(&Xattr { name: NAME.to_vec(), value: text.as_bytes().to_vec() })
    }

    /// Makes the next run compare everything, because written data may not be on the disk.
    pub(crate) fn distrust(&self) {
        let state = if self.before.contains(" new ") { "no-boot new" } else { "no-boot old" };
        // Best effort: the failure of the disk is reported as well.
        let _ = self.write(state);
    }

    /// Removes the mark.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let subject = XattrTarget::Open(self.dir.as_fd());
        match subject.read(NAME) {
            Ok(Some(_)) => subject.remove(NAME),
            Ok(None) => Ok(()),
            // The directory has its final mode, which denies access even to its owner: the mark was
            // removed before that.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Marks a directory that the restore created above the sources. The mark is removed when the
/// directory gets its own attributes.
pub(crate) fn mark_ancestor(dir: &Dir) {
    let value = format!("{} new", process::boot_id()).into_bytes();
    // Best effort: without it, an unfinished directory keeps the mode that it was created with.
    let _ = XattrTarget::Open(dir.as_fd()).write(&Xattr { name: NAME.to_vec(), value });
}

/// Removes the mark of a directory whose other attributes are kept.
pub(crate) fn take_off(dir: &Dir) {
    let subject = XattrTarget::Open(dir.as_fd());
    if let Ok(Some(_)) = subject.read(NAME) {
        // Best effort, as setting it was.
        let _ = subject.remove(NAME);
    }
}

/// Adds a directory's mark to the metadata that it gets: the mark is removed only when everything
/// is on the disk.
pub(crate) fn with_mark(dir: &Dir, metadata: &Metadata) -> Metadata {
    let mut metadata = metadata.clone();
    if let Ok(Some(value)) = XattrTarget::Open(dir.as_fd()).read(NAME) {
        metadata.xattrs.retain(|xattr| !is_mark(xattr));
        metadata.xattrs.push(Xattr { name: NAME.to_vec(), value });
        metadata.xattrs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    }
    metadata
}

/// Returns whether an attribute is the mark, which is not part of the restored metadata.
pub(crate) fn is_mark(xattr: &Xattr) -> bool {
    xattr.name == NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: &str = "a-snapshot";

    fn marked(temp: &std::path::Path, is_new: bool) -> (MarkState, Mark) {
        let dir = Dir::open(temp).unwrap();
        let found = read(&dir, WORK);
        let mark = Mark::set(&dir, is_new, &found, WORK).unwrap();
        (found, mark)
    }

    #[test]
    fn the_next_run_learns_who_made_the_directory_and_when_the_machine_was_booted() {
        let temp = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let (first, _) = marked(temp.path(), true);
        assert_eq!(first, MarkState::default());
        let (again, mark) = marked(temp.path(), false);
        assert!(again.is_ours && !again.is_doubtful);
        mark.write("another-boot old").unwrap();
        let (later, mark) = marked(temp.path(), false);
        assert!(!later.is_ours && later.is_doubtful);
        mark.distrust();
        let (later, mark) = marked(temp.path(), false);
        assert!(!later.is_ours && later.is_doubtful);
        mark.clear().unwrap();
        mark.clear().unwrap();
        assert_eq!(marked(temp.path(), false).0, MarkState::default());
    }

    #[test]
    fn only_what_changed_last_while_a_restore_was_at_work_is_its_own() {
        let temp = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let write = |name: &str| {
            std::fs::write(temp.path().join(name), name).unwrap();
            // The clock of the file system goes in steps.
            std::thread::sleep(Duration::from_millis(12));
        };
        let (_, mark) = marked(temp.path(), true);
        write("mine");
        mark.stop();
        std::thread::sleep(Duration::from_millis(12));
        write("between");
        let (found, mark) = marked(temp.path(), false);
        let dir = Dir::open(temp.path()).unwrap();
        let is_own = |found: &MarkState| {
            [&b"mine"[..], b"between"].map(|name| found.wrote(&dir.stat(name).unwrap()))
        };
        assert_eq!(is_own(&found), [true, false]);
        mark.stop();
        let again = read(&dir, WORK);
        assert_eq!((again.windows.len(), is_own(&again)), (2, [true, false]));
        let another = read(&dir, "another-snapshot");
        assert!(another.is_ours && !another.is_doubtful && another.windows.is_empty());
        let parse = |value: &str| super::parse(value.as_bytes(), "this", "it");
        let other_boot = parse("another new it 0.0-9999999999.0");
        assert!(other_boot.is_doubtful && other_boot.windows.is_empty());
        assert!(parse("this old it 0.0-9999999999.0").windows.is_empty());
        assert!(parse("this new that 0.0-9999999999.0").windows.is_empty());
        assert!(parse("this new it x-y,1.5-,3.1-4.2").windows.len() == 1);
    }
}
