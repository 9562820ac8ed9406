//! Decisions about existing files: keep, compare, or replace.

use std::io;
use std::sync::Arc;

use super::context::RestoreContext;
use super::file_job::{FileJob, is_for};
use super::stat_trust::StatTrust;
use crate::format::entry::{EntryKind, Timestamp};
use crate::os::apply::Metadata;
use crate::os::attributes::XattrTarget;
use crate::os::dir::Dir;
use crate::os::habits::keeps_owners;
use crate::os::process::own_ids;
use crate::os::special;
use crate::os::stat::Stat;
use crate::restore::options::Overwrite;
use crate::restore::target::dir::TargetDir;

/// The decision about a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileDecision {
    /// It does not exist: it is created.
    Make,
    /// Size and time are trusted: its content stays.
    Keep,
    /// It is compared piece by piece and changed in place.
    Compare,
    /// It has other names: it is compared, and kept only if all of it is right.
    CompareWhole,
    /// It is removed and created again.
    Replace,
    /// It is left alone.
    LeaveAlone,
}

/// The properties of a regular file that is to be restored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedFile {
    /// Its length in bytes.
    pub size: u64,
    /// Its modification time.
    pub mtime: Timestamp,
    /// Its owner.
    pub uid: u32,
    /// Whether other names are linked to it: then its content must be certain.
    pub is_linked: bool,
}

impl WantedFile {
    /// Describes the file of a job.
    pub(crate) fn of(job: &FileJob) -> Self {
        Self {
            size: job.size,
            mtime: job.metadata.mtime,
            uid: job.metadata.uid,
            is_linked: job.group.is_some(),
        }
    }
}

/// Decides about a regular file that has this `stat` in the target.
///
/// Size and time are trusted if the options say so, or for files that this restore wrote before it
/// was interrupted, and then only within limits: see the crash reasoning in `restore/mod.rs`. Files
/// of other users are never trusted, because their content would become the restored owner's.
pub(crate) fn decide(
    stat: Option<&Stat>,
    wanted: &WantedFile,
    overwrite: Overwrite,
    trust: &StatTrust,
) -> FileDecision {
    let Some(stat) = stat else {
        return FileDecision::Make;
    };
    if overwrite == Overwrite::Never {
        return FileDecision::LeaveAlone;
    }
    if stat.kind != EntryKind::File || !is_for(stat.uid, wanted.uid) {
        return FileDecision::Replace;
    }
    let looks_right =
        (stat.size, stat.mtime) == (wanted.size, wanted.mtime) && wanted.mtime < trust.before;
    let is_believed = match overwrite {
        Overwrite::IfChanged => !wanted.is_linked,
        Overwrite::IfDifferent => trust.mark.wrote(stat),
        Overwrite::Always | Overwrite::Never => false,
    };
    match (looks_right && is_believed, stat.nlink > 1, wanted.is_linked) {
        (true, _, _) => FileDecision::Keep,
        (false, false, _) => FileDecision::Compare,
        (false, true, true) => FileDecision::CompareWhole,
        // Whatever its content: a later write to one of its other names must not change this one.
        (false, true, false) => FileDecision::Replace,
    }
}

/// Returns whether an entry with several names already has the right metadata.
///
/// If not, it is replaced: a change would affect the other names, too.
pub(crate) fn may_keep_linked(subject: &XattrTarget<'_>, stat: &Stat, wanted: &Metadata) -> bool {
    let is_right = (stat.uid, stat.gid) == (wanted.uid, wanted.gid)
        && is_as_near(stat.mtime, wanted.mtime)
        && (stat.mode == wanted.mode || stat.kind == EntryKind::Symlink);
    stat.nlink <= 1 || is_right && subject.read_all().is_ok_and(|xattrs| xattrs == wanted.xattrs)
}

/// Returns whether a time is the wanted one, rounded down to what a file system may store: seconds
/// or 100 nanoseconds.
fn is_as_near(time: Timestamp, wanted: Timestamp) -> bool {
    time.seconds == wanted.seconds
        && [wanted.nanos, wanted.nanos / 100 * 100, 0].contains(&time.nanos)
}

/// Returns the `stat` of `name`, `None` if it does not exist.
pub(crate) fn stat(dir: &Dir, name: &[u8]) -> io::Result<Option<Stat>> {
    match dir.stat(name) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the `stat` of `name` in a directory of the target, which is `open`. A directory that
/// this restore created contains nothing else.
///
/// Fails if the entry has another name that the file system takes for this one.
pub(crate) fn find_existing(
    context: &RestoreContext,
    dir: &Arc<TargetDir>,
    open: &Dir,
    name: &[u8],
) -> io::Result<Option<Stat>> {
    let found = if dir.is_fresh { None } else { stat(open, name)? };
    if let (Some(_), Some(spelling)) = (&found, &dir.spelling) {
        spelling.check(|| context.names_in(&dir.path()), name)?;
    }
    Ok(found)
}

/// Returns `stat` with the wanted owner, if the file system does not store owners.
pub(crate) fn as_owned(dir: &Dir, stat: Stat, uid: u32) -> Stat {
    if is_for(stat.uid, uid) || keeps_owners(dir) { stat } else { Stat { uid, ..stat } }
}

/// Adds the owner's permissions to a file of this user that lacks them; returns the new `stat`.
pub(crate) fn make_accessible(
    context: &RestoreContext,
    dir: &Dir,
    name: &[u8],
    stat: Stat,
) -> io::Result<Stat> {
    let is_shut = stat.mode & 0o600 != 0o600 && stat.uid == own_ids().0 && stat.nlink == 1;
    if context.host.is_superuser || stat.kind != EntryKind::File || !is_shut {
        return Ok(stat);
    }
    let mode = stat.mode | 0o600;
    special::change_mode(dir, name, EntryKind::File, mode)?;
    Ok(Stat { mode, ..stat })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::target::restore_mark::MarkState;

    const MARCH: Timestamp = Timestamp { seconds: 1_800_000_000, nanos: 5 };
    const JUNE: Timestamp = Timestamp { seconds: 1_808_000_000, nanos: 0 };
    const WANTED: WantedFile = WantedFile { size: 10, mtime: MARCH, uid: 7, is_linked: false };

    fn found(size: u64, mtime: Timestamp) -> Stat {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("f"), b"").unwrap();
        Stat { size, mtime, uid: 7, ..Dir::open(temp.path()).unwrap().stat(b"f").unwrap() }
    }

    fn trust(before: Timestamp, windows: Vec<(Timestamp, Timestamp)>) -> StatTrust {
        StatTrust {
            before,
            mark: MarkState { is_ours: true, is_begun: true, is_doubtful: false, windows },
        }
    }

    #[test]
    fn size_and_time_are_believed_only_if_asked_for_and_where_no_write_can_have_made_them() {
        let decide = |stat: &Stat, overwrite, before| {
            super::decide(Some(stat), &WANTED, overwrite, &trust(before, Vec::new()))
        };
        let right = found(10, MARCH);
        assert_eq!(decide(&right, Overwrite::IfChanged, JUNE), FileDecision::Keep);
        assert_eq!(decide(&right, Overwrite::IfDifferent, JUNE), FileDecision::Compare);
        assert_eq!(decide(&right, Overwrite::IfChanged, MARCH), FileDecision::Compare);
        assert_eq!(decide(&right, Overwrite::Always, JUNE), FileDecision::Compare);
        assert_eq!(decide(&right, Overwrite::Never, JUNE), FileDecision::LeaveAlone);
        assert_eq!(decide(&found(11, MARCH), Overwrite::IfChanged, JUNE), FileDecision::Compare);
        assert_eq!(decide(&found(10, JUNE), Overwrite::IfChanged, JUNE), FileDecision::Compare);
        assert_eq!(
            super::decide(None, &WANTED, Overwrite::Never, &trust(JUNE, Vec::new())),
            FileDecision::Make
        );
        let linked = WantedFile { is_linked: true, ..WANTED };
        let decision =
            super::decide(Some(&right), &linked, Overwrite::IfChanged, &trust(JUNE, Vec::new()));
        assert_eq!(decision, FileDecision::Compare, "other names would get its content");
    }

    #[test]
    fn what_an_interrupted_restore_changed_last_is_known() {
        let right = Stat { ctime: JUNE, ..found(10, MARCH) };
        let decide = |overwrite, from, to| {
            super::decide(Some(&right), &WANTED, overwrite, &trust(JUNE, vec![(from, to)]))
        };
        let later = Timestamp { seconds: JUNE.seconds + 9, nanos: 0 };
        assert_eq!(decide(Overwrite::IfDifferent, MARCH, JUNE), FileDecision::Keep);
        assert_eq!(decide(Overwrite::IfDifferent, JUNE, later), FileDecision::Keep);
        assert_eq!(decide(Overwrite::IfDifferent, later, later), FileDecision::Compare);
        assert_eq!(decide(Overwrite::IfDifferent, MARCH, MARCH), FileDecision::Compare);
        assert_eq!(decide(Overwrite::Always, MARCH, later), FileDecision::Compare);
    }

    #[test]
    fn what_has_other_names_is_compared_whole_or_replaced_and_so_is_what_others_own() {
        let decide = |stat: &Stat| {
            super::decide(Some(stat), &WANTED, Overwrite::IfChanged, &trust(JUNE, Vec::new()))
        };
        let linked = WantedFile { is_linked: true, ..WANTED };
        let shared = Stat { nlink: 2, ..found(9, MARCH) };
        assert_eq!(
            super::decide(Some(&shared), &linked, Overwrite::Always, &trust(JUNE, Vec::new())),
            FileDecision::CompareWhole
        );
        assert_eq!(decide(&shared), FileDecision::Replace);
        assert_eq!(decide(&Stat { uid: 65_000, ..found(9, MARCH) }), FileDecision::Replace);
        assert_eq!(
            decide(&Stat { uid: 65_000, ..found(10, MARCH) }),
            FileDecision::Replace,
            "its owner may have it open"
        );
        assert_eq!(
            decide(&Stat { kind: EntryKind::Symlink, ..found(10, MARCH) }),
            FileDecision::Replace
        );
        assert_eq!(
            decide(&Stat { kind: EntryKind::Dir, ..found(10, MARCH) }),
            FileDecision::Replace
        );
    }
}
