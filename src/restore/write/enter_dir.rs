//! Entering of directories in the target: existing ones, new ones, and links to one.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};

use super::clear_name;
use super::context::RestoreContext;
use super::existing;
use crate::format::entry::EntryKind;
use crate::os::apply::{LOCKING_FLAGS, Metadata};
use crate::os::attributes::{read_flags, write_flags};
use crate::os::dir::Dir;
use crate::os::habits::keeps_owners;
use crate::os::process::own_ids;
use crate::os::special;
use crate::os::stat::Stat;
use crate::restore::error::same_name;
use crate::restore::options::Overwrite;
use crate::restore::plan::coverage::SourceRelation;
use crate::restore::target::dir::{DirPlace, InodeId, TargetDir};
use crate::restore::target::restore_mark;
use crate::restore::target::taken_over::DirAttributes;

/// Message if an entry is not the one that was just created or inspected.
pub(crate) const REPLACED: &str = "it was replaced meanwhile";

/// Write permission for group and others, and the sticky bit, with which they can replace only
/// their own entries.
const OTHERS_WRITE: u16 = 0o022;
const STICKY: u16 = 0o1000;

/// The place of a directory to be entered, and its open parent.
struct DirToEnter<'a> {
    place: DirPlace<'a>,
    above: &'a Dir,
}

/// Enters the directory `name` of `parent`. Creates it if it is missing, and replaces any other
/// entry of that name.
///
/// In a restore in place, a link in the place of a source or of its ancestor is kept and followed.
/// `None` if the existing entry is left alone, which is reported.
pub(crate) fn enter(
    context: &RestoreContext,
    parent: &Arc<TargetDir>,
    name: &[u8],
    metadata: Metadata,
) -> io::Result<Option<Arc<TargetDir>>> {
    let above = parent.open(&context.host.dirs)?;
    let relation = parent.relation_of(&context.coverage, name);
    let place = DirToEnter { place: DirPlace { parent, name, relation }, above: &above };
    let mut found = existing::find_existing(context, parent, &above, name)?;
    let linked = follow(context, &place, found.as_ref())?;
    if let Some(dir) = &linked {
        found = Some(dir.stat_self()?);
    }
    if found.is_some_and(|stat| context.skip_all_if_protected(&stat, || parent.path_of(name))) {
        return Ok(None);
    }
    let is_fresh = found.is_none_or(|stat| stat.kind != EntryKind::Dir);
    if let Some(stat) = found.filter(|_| is_fresh) {
        if context.options.overwrite == Overwrite::Never {
            context.report_blocked(
                &parent.path_of(name),
                "what is there is no folder and is left alone",
            );
            return Ok(None);
        }
        context.protected.refuse_link(&stat)?;
        clear_name::remove(&above, name, &stat)?;
    }
    parent.hold();
    let entered = match found.filter(|_| !is_fresh) {
        None => make_new(context, &place, metadata),
        Some(stat) => enter_existing(context, &place, linked, stat, metadata),
    };
    if entered.is_err() {
        parent.release();
    }
    entered.map(Some)
}

/// Opens the directory `name` of `parent` without changing anything; `None` if there is none that
/// may be entered.
pub(crate) fn open_read_only(
    context: &RestoreContext,
    parent: &Arc<TargetDir>,
    name: &[u8],
) -> io::Result<Option<Arc<TargetDir>>> {
    let above = parent.open(&context.host.dirs)?;
    let relation = parent.relation_of(&context.coverage, name);
    let place = DirToEnter { place: DirPlace { parent, name, relation }, above: &above };
    let found = existing::find_existing(context, parent, &above, name)?;
    let linked = follow(context, &place, found.as_ref())?;
    let is_linked = linked.is_some();
    let dir = match (linked, found) {
        (Some(dir), _) => dir,
        (None, Some(found)) if found.kind == EntryKind::Dir => above.open_dir(name)?,
        (None, _) => return Ok(None),
    };
    if context.protected.contains(&dir.stat_self()?) {
        return Ok(None);
    }
    let entered = TargetDir::found(place.place, is_linked, dir, None)?;
    context.host.dirs.opened(&entered);
    Ok(Some(entered))
}

/// Opens the target of a symbolic link in the place of a directory, if links in that place are
/// kept.
///
/// Only a link that no other user can have created: files would be written wherever it leads.
fn follow(
    context: &RestoreContext,
    place: &DirToEnter<'_>,
    found: Option<&Stat>,
) -> io::Result<Option<Dir>> {
    let is_kept = context.coverage.is_in_place() && place.place.relation != SourceRelation::Below;
    let Some(link) = found.filter(|stat| is_kept && stat.kind == EntryKind::Symlink) else {
        return Ok(None);
    };
    let around = place.above.stat_self()?;
    let is_trusted = |uid: u32| [0, own_ids().0].contains(&uid);
    let may_others_write = around.mode & OTHERS_WRITE != 0 && around.mode & STICKY == 0;
    if !is_trusted(link.uid) || !is_trusted(around.uid) || may_others_write {
        return Err(io::Error::other(
            "a symbolic link that others can change is in its place: it is neither followed nor \
                replaced",
        ));
    }
    let led = place.above.open_through(place.place.name).map_err(|error| {
        io::Error::other(format!(
            "the symbolic link in its place is kept, and leads to no folder: {error}"
        ))
    })?;
    Ok(Some(led))
}

fn make_new(
    context: &RestoreContext,
    place: &DirToEnter<'_>,
    metadata: Metadata,
) -> io::Result<Arc<TargetDir>> {
    let DirToEnter { place: DirPlace { parent, name, relation }, above } = *place;
    special::make_dir(above, name).map_err(same_name)?;
    let identity = if parent.is_fresh || is_private(&above.stat_self()?) {
        let stat = above.stat(name)?;
        if stat.kind != EntryKind::Dir {
            return Err(io::Error::other(REPLACED));
        }
        InodeId::from(&stat)
    } else {
        identify_new_dir(above, name)?
    };
    if relation == SourceRelation::Above && !context.is_ours {
        restore_mark::mark_ancestor(&above.open_dir(name)?);
    }
    Ok(TargetDir::made(place.place, identity, Box::new(metadata)))
}

/// Returns whether no other user can change names in a directory.
pub(crate) fn is_private(stat: &Stat) -> bool {
    stat.uid == own_ids().0 && stat.mode & OTHERS_WRITE == 0
}

/// Identifies the directory that was just created where other users can change names; fails if it
/// was replaced.
fn identify_new_dir(above: &Dir, name: &[u8]) -> io::Result<InodeId> {
    let dir = above.open_dir(name)?;
    let stat = dir.stat_self()?;
    let is_own = (stat.uid, stat.mode & 0o777) == (own_ids().0, 0o700) || !keeps_owners(&dir);
    if !is_own || !dir.names()?.is_empty() {
        return Err(io::Error::other(REPLACED));
    }
    Ok(InodeId::from(&stat))
}

fn enter_existing(
    context: &RestoreContext,
    place: &DirToEnter<'_>,
    linked: Option<Dir>,
    found: Stat,
    metadata: Metadata,
) -> io::Result<Arc<TargetDir>> {
    let DirToEnter { place, above } = *place;
    let is_linked = linked.is_some();
    let dir = match linked {
        Some(dir) => dir,
        None => {
            ensure_access(context, above, place.name, &found)?;
            above.open_dir(place.name)?
        }
    };
    let stat = dir.stat_self()?;
    context.file_systems.note(&dir, &stat)?;
    // An ancestor of a source keeps its metadata, unless an unfinished restore created it.
    let is_ancestor = place.relation == SourceRelation::Above
        && !context.is_ours
        && !restore_mark::read(&dir, "").is_ours;
    let is_changed = context.options.overwrite != Overwrite::Never && !is_ancestor;
    let metadata = is_changed.then(|| Box::new(metadata));
    // Another user who swaps the directory must not get the owner and mode of the first one on it.
    let before = if InodeId::from(&found) == InodeId::from(&stat) { found } else { stat };
    let had = DirAttributes::from(&before);
    let prepared = prepare(context, &dir, &stat, is_changed).and_then(|()| dir.stat_self());
    let now = prepared.inspect_err(|_| drop(had.give_back(&dir)))?;
    let entered = TargetDir::found(place, is_linked, dir, metadata);
    let entered = entered.inspect_err(|_| {
        let again =
            if is_linked { above.open_through(place.name) } else { above.open_dir(place.name) };
        let is_it = |dir: &Dir| {
            dir.stat_self().is_ok_and(|now| InodeId::from(&now) == InodeId::from(&before))
        };
        let _ = again.and_then(|dir| if is_it(&dir) { had.give_back(&dir) } else { Ok(()) });
    })?;
    if !is_changed && now.mode != before.mode {
        let _ = entered.mode_back.set(before.mode);
    }
    if had != DirAttributes::from(&now) {
        context.taken_over.note(&entered, had);
    }
    context.host.dirs.opened(&entered);
    Ok(entered)
}

/// Adds the owner's permissions to a directory of this user that lacks them.
pub(crate) fn ensure_access(
    context: &RestoreContext,
    above: &Dir,
    name: &[u8],
    found: &Stat,
) -> io::Result<()> {
    let is_shut =
        || above.open_dir(name).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    if lacks_own_access(context, found)
        || found.uid == own_ids().0 && found.mode & 0o700 != 0o700 && is_shut()
    {
        special::change_mode(above, name, EntryKind::Dir, found.mode | 0o700)?;
    }
    Ok(())
}

/// Returns whether this user owns an entry, lacks permissions on it and can add them.
fn lacks_own_access(context: &RestoreContext, stat: &Stat) -> bool {
    !context.host.is_superuser && stat.uid == own_ids().0 && stat.mode & 0o700 != 0o700
}

fn prepare(context: &RestoreContext, dir: &Dir, stat: &Stat, is_changed: bool) -> io::Result<()> {
    if is_changed {
        take_over(context, dir, stat)
    } else if lacks_own_access(context, stat) {
        // It was reached through a link, so that `ensure_access` did not apply.
        Ok(fchmod(dir, Mode::from_raw_mode(u32::from(stat.mode)) | Mode::RWXU)?)
    } else {
        Ok(())
    }
}

/// Takes over an existing directory: clears locking flags and removes write access of other users
/// until it is finished.
///
/// The superuser takes the ownership, even if another user will own it in the end, because its
/// owner could replace entries while they are being restored.
fn take_over(context: &RestoreContext, dir: &Dir, stat: &Stat) -> io::Result<()> {
    let flags = read_flags(stat);
    if flags & LOCKING_FLAGS != 0 {
        write_flags(dir, flags & !LOCKING_FLAGS)?;
    }
    let own = own_ids().0;
    if context.host.is_superuser && stat.uid != own {
        return match fchown(dir, Some(Uid::from_raw(own)), None::<Gid>) {
            Ok(()) => Ok(fchmod(dir, Mode::RWXU)?),
            // Owners do not exist here or cannot be changed: new entries are checked before they
            // are used.
            Err(
                rustix::io::Errno::PERM | rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP,
            ) => Ok(()),
            Err(error) => Err(error.into()),
        };
    }
    let mut mode = stat.mode;
    if stat.uid == own {
        mode |= 0o700;
    }
    if context.host.is_superuser && mode & STICKY == 0 {
        mode &= !OTHERS_WRITE;
    }
    if mode != stat.mode {
        match fchmod(dir, Mode::from_raw_mode(u32::from(mode))) {
            Err(rustix::io::Errno::PERM) if !keeps_owners(dir) => {}
            changed => changed?,
        }
    }
    Ok(())
}

/// Returns whether an entry of a directory is on another mount than the directory.
pub(crate) fn is_mount_point(dir: &Dir, inner: &Stat) -> io::Result<bool> {
    let outer = crate::os::dir::stat_of(dir.as_fd())?;
    Ok((outer.mount_id, outer.dev) != (inner.mount_id, inner.dev))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path) -> Dir {
        Dir::open(path).unwrap()
    }

    #[test]
    fn a_directory_that_took_the_place_of_a_new_one_is_refused() {
        let temp = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let at = |name: &str| temp.path().join(name);
        let above = open(temp.path());
        special::make_dir(&above, b"made").unwrap();
        assert_eq!(
            identify_new_dir(&above, b"made").unwrap(),
            InodeId::from(&above.stat(b"made").unwrap())
        );
        // Between the two steps, another user replaces it with his own directory, or with a link to
        // it.
        let meddle: [&dyn Fn(); 4] = [
            &|| std::fs::write(at("made/full"), b"").unwrap(),
            &|| {
                std::fs::set_permissions(
                    at("made"),
                    std::os::unix::fs::PermissionsExt::from_mode(0o755),
                )
                .unwrap()
            },
            &|| {
                std::fs::rename(at("made"), at("away")).unwrap();
                std::os::unix::fs::symlink("away", at("made")).unwrap();
            },
            &|| {
                // Only root can play the other user.
                std::fs::rename(at("made"), at("away")).unwrap();
                std::fs::create_dir(at("made")).unwrap();
                std::os::unix::fs::chown(at("made"), Some(4321), None).unwrap();
                std::fs::set_permissions(
                    at("made"),
                    std::os::unix::fs::PermissionsExt::from_mode(0o700),
                )
                .unwrap();
            },
        ];
        let count = if rustix::process::geteuid().is_root() { 4 } else { 3 };
        for (number, meddle) in meddle[..count].iter().enumerate() {
            for name in ["made", "away"] {
                let _ = std::fs::remove_file(at(name));
                let _ = std::fs::remove_dir_all(at(name));
            }
            special::make_dir(&above, b"made").unwrap();
            meddle();
            assert!(identify_new_dir(&above, b"made").is_err(), "{number}");
        }
    }
}
