//! What is there already: what to do about it, entering folders, and clearing the way.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{Gid, Mode, Uid};

use super::context::Context;
use super::job::may_change_in_place;
use super::options::Overwrite;
use super::target::{Identity, TargetDir};
use crate::format::entry::{EntryKind, Timestamp};
use crate::os::apply::{LOCKING_FLAGS, Metadata};
use crate::os::attributes::{read_flags, read_xattrs, write_flags};
use crate::os::dir::Dir;
use crate::os::special;
use crate::os::stat::Stat;

/// What to do about a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is nothing: it is made.
    Make,
    /// Its content is right by size and time.
    Keep,
    /// It is compared piece by piece and changed in place.
    Compare,
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
}

/// Decides what to do about a regular file, of which `stat` is there.
///
/// Size and time are trusted only before `trusted_before`: see the crash reasoning in `restore/mod.rs`.
pub fn decide(stat: Option<&Stat>, wanted: &WantedFile, overwrite: Overwrite, trusted_before: Timestamp) -> Decision {
    let Some(stat) = stat else {
        return Decision::Make;
    };
    if overwrite == Overwrite::Never {
        return Decision::LeaveAlone;
    }
    if stat.kind != EntryKind::File {
        return Decision::Replace;
    }
    let looks_right = (stat.size, stat.mtime) == (wanted.size, wanted.mtime) && wanted.mtime < trusted_before;
    if overwrite == Overwrite::IfChanged && looks_right {
        Decision::Keep
    } else if may_change_in_place(stat.nlink, stat.uid, wanted.uid) {
        Decision::Compare
    } else {
        Decision::Replace
    }
}

/// Returns whether an entry with several names has all its metadata already.
///
/// If not it is replaced: changing it would change the other names too, wherever they are.
pub fn may_keep_linked(dir: &Dir, name: &[u8], stat: &Stat, wanted: &Metadata) -> bool {
    let is_right = (stat.uid, stat.gid, stat.mtime) == (wanted.uid, wanted.gid, wanted.mtime)
        && (stat.mode == wanted.mode || stat.kind == EntryKind::Symlink);
    stat.nlink == 1 || is_right && read_xattrs(dir, name, stat.kind).is_ok_and(|xattrs| xattrs == wanted.xattrs)
}

/// Returns the description of `name`, `None` if there is nothing.
pub fn stat(dir: &Dir, name: &[u8]) -> io::Result<Option<Stat>> {
    match dir.stat(name) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes `name`, of which `stat` is known, so that something else can take its place; a folder must be empty.
pub fn remove(dir: &Dir, name: &[u8], stat: &Stat) -> io::Result<()> {
    unlock(dir, name, stat)?;
    if stat.kind != EntryKind::Dir {
        return special::remove(dir, name);
    }
    special::remove_dir(dir, name).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => io::Error::other("a folder that is not empty is in the way"),
        _ => error,
    })
}

/// Takes away the flags that keep a file or folder from being changed; returns whether there were any.
pub fn unlock(dir: &Dir, name: &[u8], stat: &Stat) -> io::Result<bool> {
    let flags = read_flags(stat);
    if flags & LOCKING_FLAGS == 0 {
        return Ok(false);
    }
    match stat.kind {
        EntryKind::File => write_flags(dir.open_file(name)?, flags & !LOCKING_FLAGS)?,
        EntryKind::Dir => write_flags(dir.open_dir(name)?, flags & !LOCKING_FLAGS)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Enters the folder `name` of `parent`, which is made if it is missing, and replaces anything else of that name.
///
/// `None` if what is there is to be left alone, which is told.
pub fn enter(context: &Context, parent: &Arc<TargetDir>, name: &[u8], metadata: Metadata) -> io::Result<Option<Arc<TargetDir>>> {
    let above = parent.open(&context.host.dirs)?;
    let found = if parent.is_fresh { None } else { stat(&above, name)? };
    if found.is_some_and(|stat| context.spares(&stat, || parent.path_of(name))) {
        return Ok(None);
    }
    let is_fresh = found.is_none_or(|stat| stat.kind != EntryKind::Dir);
    if let Some(stat) = found.filter(|_| is_fresh) {
        if context.options.overwrite == Overwrite::Never {
            context.bar(&parent.path_of(name), "what is there is no folder and is left alone");
            return Ok(None);
        }
        remove(&above, name, &stat)?;
    }
    parent.hold();
    let entered = if is_fresh { make(&above, parent, name, metadata) } else { take(context, &above, parent, (name, metadata)) };
    if entered.is_err() {
        parent.release();
    }
    entered.map(Some)
}

fn make(above: &Dir, parent: &Arc<TargetDir>, name: &[u8], metadata: Metadata) -> io::Result<Arc<TargetDir>> {
    special::make_dir(above, name)?;
    let stat = above.stat(name)?;
    if stat.kind != EntryKind::Dir {
        return Err(io::Error::other("it was replaced meanwhile"));
    }
    Ok(TargetDir::made(parent, name, Identity::from(&stat), Box::new(metadata)))
}

fn take(
    context: &Context,
    above: &Dir,
    parent: &Arc<TargetDir>,
    (name, metadata): (&[u8], Metadata),
) -> io::Result<Arc<TargetDir>> {
    let dir = above.open_dir(name)?;
    let metadata = (context.options.overwrite != Overwrite::Never).then(|| Box::new(metadata));
    let stat = dir.stat_self()?;
    context.disks.note(&dir, &stat)?;
    if let Some(metadata) = &metadata {
        take_over(context, &dir, &stat, metadata)?;
    }
    let entered = TargetDir::found(parent, name, dir, metadata)?;
    context.host.dirs.opened(&entered);
    Ok(entered)
}

/// Makes an existing folder one that can be restored into, and that nobody else can meddle with who is not to have it.
fn take_over(context: &Context, dir: &Dir, stat: &Stat, wanted: &Metadata) -> io::Result<()> {
    let flags = read_flags(stat);
    if flags & LOCKING_FLAGS != 0 {
        write_flags(dir, flags & !LOCKING_FLAGS)?;
    }
    let own = rustix::process::geteuid();
    if context.host.is_superuser && stat.uid != wanted.uid && stat.uid != own.as_raw() {
        rustix::fs::fchown(dir, Some(own), None::<Gid>)?;
        rustix::fs::fchmod(dir, Mode::RWXU)?;
    } else if stat.mode & 0o700 != 0o700 && Uid::from_raw(stat.uid) == own {
        rustix::fs::fchmod(dir, Mode::from_raw_mode(u32::from(stat.mode)) | Mode::RWXU)?;
    }
    Ok(())
}

/// Looks at the folder `name` of `parent` without changing anything; `None` if there is none that may be entered.
pub fn look_into(context: &Context, parent: &Arc<TargetDir>, name: &[u8]) -> io::Result<Option<Arc<TargetDir>>> {
    let above = parent.open(&context.host.dirs)?;
    if stat(&above, name)?.is_none_or(|stat| stat.kind != EntryKind::Dir || context.own.contains(&stat)) {
        return Ok(None);
    }
    let entered = TargetDir::found(parent, name, above.open_dir(name)?, None)?;
    context.host.dirs.opened(&entered);
    Ok(Some(entered))
}

/// Returns whether a folder is reached through another mount than the one that it is in.
pub fn is_mount_point(dir: &Dir, inner: &Stat) -> io::Result<bool> {
    let outer = crate::os::dir::stat_of(dir.as_fd())?;
    Ok((outer.mount_id, outer.dev) != (inner.mount_id, inner.dev))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARCH: Timestamp = Timestamp { seconds: 1_800_000_000, nanos: 5 };
    const JUNE: Timestamp = Timestamp { seconds: 1_808_000_000, nanos: 0 };

    fn found(size: u64, mtime: Timestamp) -> Stat {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("f"), b"").unwrap();
        Stat { size, mtime, uid: 7, ..Dir::open(folder.path()).unwrap().stat(b"f").unwrap() }
    }

    #[test]
    fn size_and_time_are_trusted_only_where_no_write_can_have_made_them() {
        let wanted = WantedFile { size: 10, mtime: MARCH, uid: 7 };
        let decide = |stat: &Stat, overwrite, before| super::decide(Some(stat), &wanted, overwrite, before);
        let right = found(10, MARCH);
        assert_eq!(decide(&right, Overwrite::IfChanged, JUNE), Decision::Keep);
        assert_eq!(decide(&right, Overwrite::IfChanged, MARCH), Decision::Compare);
        assert_eq!(decide(&right, Overwrite::Always, JUNE), Decision::Compare);
        assert_eq!(decide(&right, Overwrite::Never, JUNE), Decision::LeaveAlone);
        assert_eq!(decide(&found(11, MARCH), Overwrite::IfChanged, JUNE), Decision::Compare);
        assert_eq!(decide(&found(10, JUNE), Overwrite::IfChanged, JUNE), Decision::Compare);
        assert_eq!(super::decide(None, &wanted, Overwrite::Never, JUNE), Decision::Make);
    }

    #[test]
    fn what_others_share_or_own_is_replaced_not_changed() {
        let wanted = WantedFile { size: 10, mtime: MARCH, uid: 7 };
        let decide = |stat: &Stat| super::decide(Some(stat), &wanted, Overwrite::IfChanged, JUNE);
        assert_eq!(decide(&Stat { nlink: 2, ..found(9, MARCH) }), Decision::Replace);
        assert_eq!(decide(&Stat { uid: 65_000, ..found(9, MARCH) }), Decision::Replace);
        assert_eq!(decide(&Stat { kind: EntryKind::Symlink, ..found(10, MARCH) }), Decision::Replace);
        assert_eq!(decide(&Stat { kind: EntryKind::Dir, ..found(10, MARCH) }), Decision::Replace);
    }
}
