//! The mark on the target's folder while a restore is under way: an extended attribute that tells
//! the next run three things.
//!
//! * Whether the folder was made by (or empty before) the restore, so that it gets the restored
//!   folder's metadata at the end.
//! * Which boot of the machine wrote into it. After another boot, size and time of what is there
//!   are not trusted: the machine may have gone down with a file's time on the disk and its data
//!   not. The mark reaches the disk no later than any time that is set after it, because file
//!   systems with a journal keep that order.
//! * From when to when restores were at work in it, by the clock of its file system, and what they
//!   restored. What changed last within such a time, in a folder that was new, is the restore's own
//!   work; what changed afterwards is not, even if its time was set back; nor is what a restore of
//!   another snapshot, or of another part of it, has written.
//!
//! Folders above the sources that the restore makes carry the mark too, so that they are known for
//! its own until they are done. Where attributes are not supported the restore works all the same,
//! without these.

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
/// How often it is noted that the restore is at work: what it did since the last time is compared
/// by the next run.
const BEAT: Duration = Duration::from_secs(1);
/// Runs whose times are kept; what older ones did is compared.
const WINDOWS_MAX: usize = 16;

/// What a mark says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Whether the folder is the work of a restore that did not end.
    pub is_ours: bool,
    /// Whether any restore that did not end has been at work in it.
    pub is_begun: bool,
    /// Whether what is there may be the rest of a restore that the machine did not survive.
    pub is_doubtful: bool,
    /// When restores were at work in it, oldest first; only if the folder is their work and this
    /// boot's.
    pub windows: Vec<(Timestamp, Timestamp)>,
}

impl Found {
    /// Returns whether a restore into this folder, which then did not end, was the last to change a
    /// file.
    pub fn wrote(&self, stat: &Stat) -> bool {
        self.windows.iter().any(|(from, to)| (*from..=*to).contains(&stat.ctime))
    }
}

/// Reads the mark of a folder without changing it; `work` is what is going to be restored there.
pub fn read(dir: &Dir, work: &str) -> Found {
    let boot = process::boot_id();
    let value = XattrTarget::Open(dir.as_fd()).read(NAME).ok().flatten();
    let mut found = value.map_or_else(Found::default, |value| parse(&value, &boot, work));
    // A mark in another user's directory may be forged: nothing is believed because of it.
    if !dir.stat_self().is_ok_and(|stat| stat.uid == process::own_ids().0) {
        found.windows.clear();
    }
    found
}

fn parse(value: &[u8], boot: &str, work: &str) -> Found {
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
    Found { is_ours, is_begun: true, is_doubtful, windows: windows.collect() }
}

fn timestamp(text: &str) -> Option<Timestamp> {
    let (seconds, nanos) = text.split_once('.')?;
    Some(Timestamp { seconds: seconds.parse().ok()?, nanos: nanos.parse().ok()? })
}

/// The mark of a restore under way.
pub struct Mark {
    dir: Dir,
    /// What stands before this run's own time.
    before: String,
    began: Option<Timestamp>,
    beaten: Mutex<Instant>,
}

impl Mark {
    /// Marks the target's folder, of which `found` was read; it `is_new` if it was just made or is
    /// empty.
    pub fn set(dir: &Dir, is_new: bool, found: &Found, work: &str) -> io::Result<Self> {
        let state = if is_new || found.is_ours { "new" } else { "old" };
        let kept = &found.windows[found.windows.len().saturating_sub(WINDOWS_MAX - 1)..];
        let mut before = format!("{} {state} {work} ", process::boot_id());
        for (from, to) in kept {
            before += &format!("{}.{}-{}.{},", from.seconds, from.nanos, to.seconds, to.nanos);
        }
        let dir = Dir::from_fd(dir.as_fd().try_clone_to_owned()?);
        let mut mark = Self { dir, before, began: None, beaten: Instant::now().into() };
        // Without the mark the restore is as safe against its own death; only what it tells is
        // lost.
        if mark.write(&mark.before).is_ok() {
            mark.began = Some(mark.dir.stat_self()?.ctime);
            mark.note_time();
        }
        Ok(mark)
    }

    /// Notes now and then that the restore is at work.
    pub fn beat(&self) {
        let mut beaten = lock(&self.beaten);
        if beaten.elapsed() >= BEAT {
            *beaten = Instant::now();
            self.note_time();
        }
    }

    /// Notes that all that was done until now was this restore's work; for a run that ends early.
    pub fn rest(&self) {
        // Writing it makes the folder's own time "now", by the clock that files' times come from.
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

    /// Makes the next run compare everything, because what was written may not be what is on the
    /// disk.
    pub fn distrust(&self) {
        let state = if self.before.contains(" new ") { "no-boot new" } else { "no-boot old" };
        // Best effort: who is told that the disk failed does not rely on this alone.
        let _ = self.write(state);
    }

    /// Removes the mark.
    pub fn clear(&self) -> io::Result<()> {
        let subject = XattrTarget::Open(self.dir.as_fd());
        match subject.read(NAME) {
            Ok(Some(_)) => subject.remove(NAME),
            Ok(None) => Ok(()),
            // The folder has the mode by now that shuts even its owner out: it went before.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Marks a folder that the restore made above the sources; it goes when the folder gets its own
/// attributes.
pub fn mark_way(dir: &Dir) {
    let value = format!("{} new", process::boot_id()).into_bytes();
    // Best effort: without it, a folder that was not finished keeps the mode that it was made with.
    let _ = XattrTarget::Open(dir.as_fd()).write(&Xattr { name: NAME.to_vec(), value });
}

/// Takes the mark off a folder of which other attributes stay.
pub fn take_off(dir: &Dir) {
    let subject = XattrTarget::Open(dir.as_fd());
    if let Ok(Some(_)) = subject.read(NAME) {
        // Best effort, as it was made.
        let _ = subject.remove(NAME);
    }
}

/// Adds the mark that a folder has to what it is to get: it goes when all is on the disk.
pub fn with_mark(dir: &Dir, metadata: &Metadata) -> Metadata {
    let mut metadata = metadata.clone();
    if let Ok(Some(value)) = XattrTarget::Open(dir.as_fd()).read(NAME) {
        metadata.xattrs.retain(|xattr| !is_mark(xattr));
        metadata.xattrs.push(Xattr { name: NAME.to_vec(), value });
        metadata.xattrs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    }
    metadata
}

/// Returns whether an attribute is the mark, which is no part of what is restored.
pub fn is_mark(xattr: &Xattr) -> bool {
    xattr.name == NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: &str = "a-snapshot";

    fn marked(folder: &std::path::Path, is_new: bool) -> (Found, Mark) {
        let dir = Dir::open(folder).unwrap();
        let found = read(&dir, WORK);
        let mark = Mark::set(&dir, is_new, &found, WORK).unwrap();
        (found, mark)
    }

    #[test]
    fn the_next_run_learns_who_made_the_folder_and_when_the_machine_was_booted() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let (first, _) = marked(folder.path(), true);
        assert_eq!(first, Found::default());
        let (again, mark) = marked(folder.path(), false);
        assert!(again.is_ours && !again.is_doubtful);
        mark.write("another-boot old").unwrap();
        let (later, mark) = marked(folder.path(), false);
        assert!(!later.is_ours && later.is_doubtful);
        mark.distrust();
        let (later, mark) = marked(folder.path(), false);
        assert!(!later.is_ours && later.is_doubtful);
        mark.clear().unwrap();
        mark.clear().unwrap();
        assert_eq!(marked(folder.path(), false).0, Found::default());
    }

    #[test]
    fn only_what_changed_last_while_a_restore_was_at_work_is_its_own() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let write = |name: &str| {
            std::fs::write(folder.path().join(name), name).unwrap();
            // The clock of the file system goes in steps.
            std::thread::sleep(Duration::from_millis(12));
        };
        let (_, mark) = marked(folder.path(), true);
        write("mine");
        mark.rest();
        std::thread::sleep(Duration::from_millis(12));
        write("between");
        let (found, mark) = marked(folder.path(), false);
        let dir = Dir::open(folder.path()).unwrap();
        let is_own = |found: &Found| {
            [&b"mine"[..], b"between"].map(|name| found.wrote(&dir.stat(name).unwrap()))
        };
        assert_eq!(is_own(&found), [true, false]);
        mark.rest();
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
