//! Removal of entries that the snapshot does not have, or that are in the way of others; never
//! through a link or into another mount.

use std::io;
use std::sync::Arc;

use super::clear_name;
use super::context::RestoreContext;
use super::enter_dir::{ensure_access, is_mount_point, open_read_only};
use super::existing;
use crate::format::entry::EntryKind;
use crate::monitor::ProblemKind;
use crate::os::attributes::{read_flags, write_flags};
use crate::os::dir::{Dir, DirNames};
use crate::os::special;
use crate::os::stat::Stat;
use crate::restore::options::add;
use crate::restore::target::dir::TargetDir;
use crate::restore::target::protected_dirs;

/// The sorted names of an existing directory, merged with the snapshot's names to find those that
/// the snapshot lacks.
pub(crate) struct Extras {
    names: DirNames,
    at: usize,
}

impl Extras {
    /// Lists a directory; `None` if names in it that the snapshot lacks must not be removed.
    ///
    /// That is so outside the sources, on another file system that is mounted below them (a backup
    /// may skip it), in a repository (a backup may have only parts of it), and if more could not be
    /// read than the snapshot lists.
    pub(crate) fn of(context: &RestoreContext, dir: &Arc<TargetDir>) -> Option<Self> {
        let path = dir.path();
        if dir.is_fresh
            || !context.may_delete_in(&path)
            || context.repositories.contains_path(&path)
        {
            return None;
        }
        match Self::list(context, dir) {
            Ok(extras) => extras,
            Err(error) => {
                context.report_failed(&path, error);
                None
            }
        }
    }

    fn list(context: &RestoreContext, dir: &Arc<TargetDir>) -> io::Result<Option<Self>> {
        let open = dir.open(&context.host.dirs)?;
        if let Some(parent) = dir.parent()
            && is_mount_point(&*parent.open(&context.host.dirs)?, &open.stat_self()?)?
        {
            return Ok(None);
        }
        let names = open.names()?;
        let is_sign =
            |name: Option<Vec<u8>>| name.is_some_and(|name| protected_dirs::is_sign(&name));
        if protected_dirs::is_repository(&open, &names) {
            let path = dir.path();
            // Entries of it that are in the snapshot are restored nevertheless.
            match context.names_in(&path).any(is_sign) {
                true => context.monitor.problem(
                    ProblemKind::Notice,
                    &path,
                    protected_dirs::LEFT_REPOSITORY,
                ),
                false => context.report_blocked(&path, protected_dirs::LEFT_REPOSITORY),
            }
            context.repositories.add(path);
            return Ok(None);
        }
        Ok(Some(Self { names, at: 0 }))
    }

    /// Returns the names before `name` that were not returned yet, and skips `name` itself.
    pub(crate) fn before(&mut self, name: &[u8]) -> Vec<Vec<u8>> {
        let extras = self.take_while(|found| found < name);
        if self.at < self.names.len() && self.names.get(self.at) == name {
            self.at += 1;
        }
        extras
    }

    /// Returns all names that were not returned yet.
    pub(crate) fn rest(&mut self) -> Vec<Vec<u8>> {
        self.take_while(|_| true)
    }

    fn take_while(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        while self.at < self.names.len() && wanted(self.names.get(self.at)) {
            taken.push(self.names.get(self.at).to_vec());
            self.at += 1;
        }
        taken
    }
}

/// Returns whether the file system takes a name that is not in the snapshot for one that is, so
/// that it must stay.
pub(crate) fn is_alias(context: &RestoreContext, dir: &TargetDir, name: &[u8]) -> bool {
    dir.spelling
        .as_ref()
        .is_some_and(|spelling| spelling.is_one_of(|| context.names_in(&dir.path()), name))
}

/// Message about a directory that cannot be replaced because something in it stays.
pub(crate) const KEEPS_SOME: &str = "a folder is in the way, and it holds what is not selected";

/// Removes `name` so that an entry of another kind can replace it; removes a directory with content
/// only with `delete`.
pub(crate) fn clear(
    context: &RestoreContext,
    dir: &Arc<TargetDir>,
    name: &[u8],
    stat: &Stat,
) -> io::Result<()> {
    if stat.kind == EntryKind::Dir && context.options.delete {
        let above = dir.path();
        let stays =
            |at: &[u8], is_dir: bool| context.scope.keeps(&[&above[..], b"/", at].concat(), is_dir);
        let is_gone = remove_tree(
            context,
            dir,
            name,
            stat,
            RemovalHooks { on_removed: &mut |_, _| {}, stays: &stays },
        )?;
        return if is_gone { Ok(()) } else { Err(io::Error::other(KEEPS_SOME)) };
    }
    context.protected.refuse_link(stat)?;
    clear_name::remove(&*dir.open(&context.host.dirs)?, name, stat)
}

/// An entry of the target that the snapshot does not have.
pub(crate) enum Extra {
    /// It does not exist any more.
    Gone,
    /// It exists.
    Seen(Stat),
    /// It is a mount of another user (FUSE) that denies access even to root; it stays.
    Unseen,
}

/// Message about such a mount.
pub(crate) const UNSEEN_MOUNT: &str = "not removed: another user's file system is mounted on it";

/// Inspects an entry that the snapshot does not have.
pub(crate) fn inspect_extra(dir: &Dir, name: &[u8]) -> io::Result<Extra> {
    let is_mount = || {
        dir.device_of(name).is_ok_and(|device| dir.stat_self().is_ok_and(|stat| stat.dev != device))
    };
    match existing::stat(dir, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_mount() => {
            Ok(Extra::Unseen)
        }
        found => Ok(found?.map_or(Extra::Gone, Extra::Seen)),
    }
}

/// Callbacks of a removal; paths begin with the name of the removed entry.
pub(crate) struct RemovalHooks<'a> {
    /// Called for each removed entry.
    pub on_removed: &'a mut dyn FnMut(&[u8], &Stat),
    /// Returns whether an entry stays, and so everything below it and the directories above it. The
    /// second argument says whether it is a directory.
    pub stays: &'a dyn Fn(&[u8], bool) -> bool,
}

impl RemovalHooks<'_> {
    /// Counts a removed entry, and calls `on_removed`.
    fn count(&mut self, context: &RestoreContext, path: &[u8], stat: &Stat) {
        add(&context.counts.deleted, 1);
        (self.on_removed)(path, stat);
    }
}

/// Removes `name` and everything below it except what stays; a dry run only counts.
///
/// Returns whether it is gone, or would be. Fails at the first entry that cannot be removed.
pub(crate) fn remove_tree(
    context: &RestoreContext,
    dir: &Arc<TargetDir>,
    name: &[u8],
    stat: &Stat,
    mut removal: RemovalHooks<'_>,
) -> io::Result<bool> {
    if context.coverage.is_unread(&dir.path_of(name)) {
        return Err(io::Error::other(
            "not removed: the snapshot lists it, or something in it, as not read",
        ));
    }
    if stat.kind == EntryKind::Dir {
        return remove_dir_tree(context, dir, name, stat, removal);
    }
    if !context.options.dry_run {
        clear_name::remove(&*dir.open(&context.host.dirs)?, name, stat)?;
    }
    removal.count(context, name, stat);
    Ok(true)
}

/// Removes a directory after its content; returns whether it is gone.
fn remove_dir_tree(
    context: &RestoreContext,
    dir: &Arc<TargetDir>,
    name: &[u8],
    stat: &Stat,
    mut removal: RemovalHooks<'_>,
) -> io::Result<bool> {
    let mut path = name.to_vec();
    let Some(level) = enter(context, dir, name, stat)? else {
        return Ok(false);
    };
    let mut levels = vec![level];
    let mut is_gone = true;
    while let Some(level) = levels.last_mut() {
        if context.is_stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let Some(name) = level.next_name() else {
            let done = levels.pop().expect("it was just looked at");
            is_gone = !done.keeps_some;
            leave(context, &done)?;
            if is_gone {
                removal.count(context, &path, &done.stat);
            } else {
                levels.iter_mut().for_each(|level| level.keeps_some = true);
            }
            path.truncate(path.len().saturating_sub(done.name.len() + 1));
            continue;
        };
        let here = level.dir.open(&context.host.dirs)?;
        let at = [&path[..], b"/", &name].concat();
        let stat = match inspect_extra(&here, &name)? {
            Extra::Gone => continue,
            Extra::Unseen => {
                level.keeps_some = true;
                context.report_blocked(&dir.path_of(&at), UNSEEN_MOUNT);
                continue;
            }
            Extra::Seen(stat) => stat,
        };
        if (removal.stays)(&at, stat.kind == EntryKind::Dir)
            || stat.kind != EntryKind::Dir && context.protected.contains(&stat)
        {
            level.keeps_some = true;
        } else if stat.kind == EntryKind::Dir {
            match enter(context, &level.dir, &name, &stat)? {
                None => level.keeps_some = true,
                Some(below) => {
                    path = at;
                    levels.push(below);
                }
            }
        } else {
            if !context.options.dry_run {
                clear_name::remove(&here, &name, &stat)?;
            }
            removal.count(context, &at, &stat);
        }
    }
    Ok(is_gone)
}

/// Removes a directory that is empty now; resets it if something stays in it.
fn leave(context: &RestoreContext, done: &DeleteLevel) -> io::Result<()> {
    if context.options.dry_run {
        return Ok(());
    }
    if done.keeps_some {
        return give_back(context, done);
    }
    let parent = done.dir.parent().expect("the root of the target is never removed").clone();
    special::remove_dir(&*parent.open(&context.host.dirs)?, &done.name)
}

/// Sets the original mode and flags of a directory that stays.
fn give_back(context: &RestoreContext, level: &DeleteLevel) -> io::Result<()> {
    let dir = level.dir.open(&context.host.dirs)?;
    let now = dir.stat_self()?;
    if now.mode != level.stat.mode {
        let parent = level.dir.parent().expect("the root of the target is never removed").clone();
        special::change_mode(
            &*parent.open(&context.host.dirs)?,
            &level.name,
            EntryKind::Dir,
            level.stat.mode,
        )?;
    }
    let flags = read_flags(&level.stat);
    if read_flags(&now) != flags { write_flags(&*dir, flags) } else { Ok(()) }
}

struct DeleteLevel {
    dir: Arc<TargetDir>,
    name: Vec<u8>,
    stat: Stat,
    names: DirNames,
    at: usize,
    /// Whether an entry of it stays, so that it stays too.
    keeps_some: bool,
}

impl DeleteLevel {
    fn next_name(&mut self) -> Option<Vec<u8>> {
        self.at += 1;
        (self.at <= self.names.len()).then(|| self.names.get(self.at - 1).to_vec())
    }
}

/// Enters a directory that is to be removed; `None` if it is a repository, which stays.
fn enter(
    context: &RestoreContext,
    parent: &Arc<TargetDir>,
    name: &[u8],
    stat: &Stat,
) -> io::Result<Option<DeleteLevel>> {
    let above = parent.open(&context.host.dirs)?;
    if is_mount_point(&above, stat)? {
        return Err(io::Error::other("another file system is mounted on it"));
    }
    if context.protected.contains(stat) {
        return Err(io::Error::other("the repository itself or its cache is in it"));
    }
    if !context.options.dry_run {
        clear_name::unlock(&above, name, stat)?;
        ensure_access(context, &above, name, stat)?;
    }
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let dir = open_read_only(context, parent, name)?.ok_or_else(gone)?;
    let open = dir.open(&context.host.dirs)?;
    let names = open.names()?;
    let is_repository = protected_dirs::is_repository(&open, &names);
    let level =
        DeleteLevel { dir, name: name.to_vec(), stat: *stat, names, at: 0, keeps_some: false };
    if !is_repository {
        return Ok(Some(level));
    }
    context.report_blocked(&parent.path_of(name), protected_dirs::LEFT_REPOSITORY);
    if !context.options.dry_run {
        give_back(context, &level)?;
    }
    Ok(None)
}
