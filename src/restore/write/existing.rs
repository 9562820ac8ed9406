//! What is there already, and what to do about it.

use std::io;
use std::sync::Arc;

use super::context::{Context, Trust};
use super::file_job::{FileJob, is_for};
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

/// What to do about a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is nothing: it is made.
    Make,
    /// Its content is taken to be right.
    Keep,
    /// It is compared piece by piece and changed in place.
    Compare,
    /// It has other names: it is compared, and stays only if all of it is right.
    CompareWhole,
    /// It is removed and made anew.
    Replace,
    /// It stays as it is.
    LeaveAlone,
}

/// What is known of a regular file that is to be restored.
#[derive(Clone, Copy, Debug)]
pub struct WantedFile {
    /// Its length in bytes.
    pub size: u64,
    /// Its time.
    pub mtime: Timestamp,
    /// Its owner.
    pub uid: u32,
    /// Whether other names are linked to it: then its content must be sure.
    pub is_linked: bool,
}

impl WantedFile {
    /// Describes the file of a job.
    pub fn of(job: &FileJob) -> Self {
        Self {
            size: job.size,
            mtime: job.metadata.mtime,
            uid: job.metadata.uid,
            is_linked: job.group.is_some(),
        }
    }
}

/// Decides what to do about a regular file, of which `stat` is there.
///
/// Size and time are believed if the user says so, or of what this restore wrote before it was
/// interrupted, and even then only in bounds: see the crash reasoning in `restore/mod.rs`. Files of
/// others are never believed: what they hold would become the wanted owner's.
pub fn decide(
    stat: Option<&Stat>,
    wanted: &WantedFile,
    overwrite: Overwrite,
    trust: &Trust,
) -> Decision {
    let Some(stat) = stat else {
        return Decision::Make;
    };
    if overwrite == Overwrite::Never {
        return Decision::LeaveAlone;
    }
    if stat.kind != EntryKind::File || !is_for(stat.uid, wanted.uid) {
        return Decision::Replace;
    }
    let looks_right =
        (stat.size, stat.mtime) == (wanted.size, wanted.mtime) && wanted.mtime < trust.before;
    let is_believed = match overwrite {
        Overwrite::IfChanged => !wanted.is_linked,
        Overwrite::IfDifferent => trust.found.wrote(stat),
        Overwrite::Always | Overwrite::Never => false,
    };
    match (looks_right && is_believed, stat.nlink > 1, wanted.is_linked) {
        (true, _, _) => Decision::Keep,
        (false, false, _) => Decision::Compare,
        (false, true, true) => Decision::CompareWhole,
        // Whatever it holds: who writes to one of its other names later must not change this one.
        (false, true, false) => Decision::Replace,
    }
}

/// Returns whether an entry with several names has all its metadata already.
///
/// If not it is replaced: changing it would change the other names too, wherever they are.
pub fn may_keep_linked(subject: &XattrTarget<'_>, stat: &Stat, wanted: &Metadata) -> bool {
    let is_right = (stat.uid, stat.gid) == (wanted.uid, wanted.gid)
        && is_as_near(stat.mtime, wanted.mtime)
        && (stat.mode == wanted.mode || stat.kind == EntryKind::Symlink);
    stat.nlink <= 1 || is_right && subject.read_all().is_ok_and(|xattrs| xattrs == wanted.xattrs)
}

/// Returns whether a time is the wanted one, as near as a file system that counts in whole seconds
/// or in 100 nanoseconds comes to it.
fn is_as_near(time: Timestamp, wanted: Timestamp) -> bool {
    time.seconds == wanted.seconds
        && [wanted.nanos, wanted.nanos / 100 * 100, 0].contains(&time.nanos)
}

/// Returns the description of `name`, `None` if there is nothing.
pub fn stat(dir: &Dir, name: &[u8]) -> io::Result<Option<Stat>> {
    match dir.stat(name) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks at `name` in a folder of the target, which is `open`; a folder that this restore made has
/// nothing but its own.
///
/// Fails if what is found is another name's, because the file system cannot tell the two apart.
pub fn look(
    context: &Context,
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

/// Returns what is there as if it were the wanted owner's, where the file system gives every file
/// one owner.
pub fn as_owned(dir: &Dir, stat: Stat, uid: u32) -> Stat {
    if is_for(stat.uid, uid) || keeps_owners(dir) { stat } else { Stat { uid, ..stat } }
}

/// Lets a file be opened by its owner, who restores and has taken the right from himself; returns
/// what is there then.
pub fn give_way(context: &Context, dir: &Dir, name: &[u8], stat: Stat) -> io::Result<Stat> {
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
    use crate::restore::target::restore_mark::Found;

    const MARCH: Timestamp = Timestamp { seconds: 1_800_000_000, nanos: 5 };
    const JUNE: Timestamp = Timestamp { seconds: 1_808_000_000, nanos: 0 };
    const WANTED: WantedFile = WantedFile { size: 10, mtime: MARCH, uid: 7, is_linked: false };

    fn found(size: u64, mtime: Timestamp) -> Stat {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("f"), b"").unwrap();
        Stat { size, mtime, uid: 7, ..Dir::open(folder.path()).unwrap().stat(b"f").unwrap() }
    }

    fn trust(before: Timestamp, windows: Vec<(Timestamp, Timestamp)>) -> Trust {
        Trust {
            before,
            found: Found { is_ours: true, is_begun: true, is_doubtful: false, windows },
        }
    }

    #[test]
    fn size_and_time_are_believed_only_if_asked_for_and_where_no_write_can_have_made_them() {
        let decide = |stat: &Stat, overwrite, before| {
            super::decide(Some(stat), &WANTED, overwrite, &trust(before, Vec::new()))
        };
        let right = found(10, MARCH);
        assert_eq!(decide(&right, Overwrite::IfChanged, JUNE), Decision::Keep);
        assert_eq!(decide(&right, Overwrite::IfDifferent, JUNE), Decision::Compare);
        assert_eq!(decide(&right, Overwrite::IfChanged, MARCH), Decision::Compare);
        assert_eq!(decide(&right, Overwrite::Always, JUNE), Decision::Compare);
        assert_eq!(decide(&right, Overwrite::Never, JUNE), Decision::LeaveAlone);
        assert_eq!(decide(&found(11, MARCH), Overwrite::IfChanged, JUNE), Decision::Compare);
        assert_eq!(decide(&found(10, JUNE), Overwrite::IfChanged, JUNE), Decision::Compare);
        assert_eq!(
            super::decide(None, &WANTED, Overwrite::Never, &trust(JUNE, Vec::new())),
            Decision::Make
        );
        let linked = WantedFile { is_linked: true, ..WANTED };
        let decision =
            super::decide(Some(&right), &linked, Overwrite::IfChanged, &trust(JUNE, Vec::new()));
        assert_eq!(decision, Decision::Compare, "other names would get its content");
    }

    #[test]
    fn what_an_interrupted_restore_changed_last_is_known() {
        let right = Stat { ctime: JUNE, ..found(10, MARCH) };
        let decide = |overwrite, from, to| {
            super::decide(Some(&right), &WANTED, overwrite, &trust(JUNE, vec![(from, to)]))
        };
        let later = Timestamp { seconds: JUNE.seconds + 9, nanos: 0 };
        assert_eq!(decide(Overwrite::IfDifferent, MARCH, JUNE), Decision::Keep);
        assert_eq!(decide(Overwrite::IfDifferent, JUNE, later), Decision::Keep);
        assert_eq!(decide(Overwrite::IfDifferent, later, later), Decision::Compare);
        assert_eq!(decide(Overwrite::IfDifferent, MARCH, MARCH), Decision::Compare);
        assert_eq!(decide(Overwrite::Always, MARCH, later), Decision::Compare);
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
            Decision::CompareWhole
        );
        assert_eq!(decide(&shared), Decision::Replace);
        assert_eq!(decide(&Stat { uid: 65_000, ..found(9, MARCH) }), Decision::Replace);
        assert_eq!(
            decide(&Stat { uid: 65_000, ..found(10, MARCH) }),
            Decision::Replace,
            "its owner may have it open"
        );
        assert_eq!(
            decide(&Stat { kind: EntryKind::Symlink, ..found(10, MARCH) }),
            Decision::Replace
        );
        assert_eq!(decide(&Stat { kind: EntryKind::Dir, ..found(10, MARCH) }), Decision::Replace);
    }
}
