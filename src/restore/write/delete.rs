//! Removing what is in the way, or in the target but not in the snapshot; never through a link and
//! never into another mount.

use std::io;
use std::sync::Arc;

use super::clear_name;
use super::context::Context;
use super::enter_dir::{is_mount_point, look_into, open_up};
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

/// The names of an existing folder, gone through beside the snapshot's entries to find those that
/// it does not have.
pub struct Extras {
    names: DirNames,
    at: usize,
}

impl Extras {
    /// Lists a folder; `None` if the snapshot's silence about a name in it does not mean that it
    /// should not be there.
    ///
    /// That is so above and beside the folders that were backed up whole, where another file system
    /// is mounted, which a backup may have been told not to enter, in a repository, of which a
    /// backup may have some parts only, and if more could not be read than the snapshot lists.
    pub fn of(context: &Context, dir: &Arc<TargetDir>) -> Option<Self> {
        let path = dir.path();
        if dir.is_fresh || !context.may_delete_in(&path) || context.repositories.hold(&path) {
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

    fn list(context: &Context, dir: &Arc<TargetDir>) -> io::Result<Option<Self>> {
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
            // What the snapshot has of it is restored like anything else.
            match context.names_in(&path).any(is_sign) {
                true => context.monitor.problem(
                    ProblemKind::Notice,
                    &path,
                    protected_dirs::LEFT_REPOSITORY,
                ),
                false => context.bar(&path, protected_dirs::LEFT_REPOSITORY),
            }
            context.repositories.add(path);
            return Ok(None);
        }
        Ok(Some(Self { names, at: 0 }))
    }

    /// Returns the names before `name` that were not returned yet, and passes over `name` itself.
    pub fn before(&mut self, name: &[u8]) -> Vec<Vec<u8>> {
        let extras = self.take_while(|found| found < name);
        if self.at < self.names.len() && self.names.get(self.at) == name {
            self.at += 1;
        }
        extras
    }

    /// Returns all names that were not returned yet.
    pub fn rest(&mut self) -> Vec<Vec<u8>> {
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

/// Returns whether a name that the snapshot does not have is one that it has to the file system, so
/// that it must stay.
pub fn is_anothers(context: &Context, dir: &TargetDir, name: &[u8]) -> bool {
    dir.spelling
        .as_ref()
        .is_some_and(|spelling| spelling.is_one_of(|| context.names_in(&dir.path()), name))
}

/// What is said of a folder that would have to go for something else, but holds what stays.
pub const KEEPS_SOME: &str = "a folder is in the way, and it holds what is not selected";

/// Removes `name` so that an entry of another kind can take its place; a folder with content only
/// if deleting is wanted.
pub fn clear(context: &Context, dir: &Arc<TargetDir>, name: &[u8], stat: &Stat) -> io::Result<()> {
    if stat.kind == EntryKind::Dir && context.options.delete {
        let above = dir.path();
        let stays =
            |at: &[u8], is_dir: bool| context.scope.keeps(&[&above[..], b"/", at].concat(), is_dir);
        let is_gone =
            remove_tree(context, dir, name, stat, Removal { told: &mut |_, _| {}, stays: &stays })?;
        return if is_gone { Ok(()) } else { Err(io::Error::other(KEEPS_SOME)) };
    }
    context.own.refuse_link(stat)?;
    clear_name::remove(&*dir.open(&context.host.dirs)?, name, stat)
}

/// Something in the target that the snapshot does not have.
pub enum Extra {
    /// There is nothing, any more.
    Gone,
    /// It can be looked at.
    Seen(Stat),
    /// It is a mount that does not let this user look at it, not even root: it is another user's,
    /// and stays.
    Unseen,
}

/// What is said of such a mount.
pub const UNSEEN_MOUNT: &str = "not removed: another user's file system is mounted on it";

/// Looks at something that the snapshot does not have.
pub fn look_at(dir: &Dir, name: &[u8]) -> io::Result<Extra> {
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

/// How something is removed; paths begin with its name.
pub struct Removal<'a> {
    /// Is told each entry that goes.
    pub told: &'a mut dyn FnMut(&[u8], &Stat),
    /// Returns whether an entry stays, with all below it and the folders that it lies in; the
    /// second argument says that it is a folder.
    pub stays: &'a dyn Fn(&[u8], bool) -> bool,
}

impl Removal<'_> {
    /// Counts an entry that goes, and tells it.
    fn tell(&mut self, context: &Context, path: &[u8], stat: &Stat) {
        add(&context.counts.deleted, 1);
        (self.told)(path, stat);
    }
}

/// Removes `name` and everything below it but for what stays; a dry run only counts and tells.
///
/// Returns whether it is gone, or would be. What cannot be removed is reported, with the first
/// cause returned.
pub fn remove_tree(
    context: &Context,
    dir: &Arc<TargetDir>,
    name: &[u8],
    stat: &Stat,
    mut removal: Removal<'_>,
) -> io::Result<bool> {
    if context.ground.is_unread(&dir.path_of(name)) {
        return Err(io::Error::other(
            "not removed: the snapshot lists it, or something in it, as not read",
        ));
    }
    if stat.kind == EntryKind::Dir {
        return remove_folder(context, dir, name, stat, removal);
    }
    if !context.options.dry_run {
        clear_name::remove(&*dir.open(&context.host.dirs)?, name, stat)?;
    }
    removal.tell(context, name, stat);
    Ok(true)
}

/// Removes a folder, what lies in it first; returns whether it is gone.
fn remove_folder(
    context: &Context,
    dir: &Arc<TargetDir>,
    name: &[u8],
    stat: &Stat,
    mut removal: Removal<'_>,
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
                removal.tell(context, &path, &done.stat);
            } else {
                levels.iter_mut().for_each(|level| level.keeps_some = true);
            }
            path.truncate(path.len().saturating_sub(done.name.len() + 1));
            continue;
        };
        let here = level.dir.open(&context.host.dirs)?;
        let at = [&path[..], b"/", &name].concat();
        let stat = match look_at(&here, &name)? {
            Extra::Gone => continue,
            Extra::Unseen => {
                level.keeps_some = true;
                context.bar(&dir.path_of(&at), UNSEEN_MOUNT);
                continue;
            }
            Extra::Seen(stat) => stat,
        };
        if (removal.stays)(&at, stat.kind == EntryKind::Dir)
            || stat.kind != EntryKind::Dir && context.own.contains(&stat)
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
            removal.tell(context, &at, &stat);
        }
    }
    Ok(is_gone)
}

/// Removes a folder that is empty now, unless something stays in it or nothing is to be changed.
fn leave(context: &Context, done: &Level) -> io::Result<()> {
    if context.options.dry_run {
        return Ok(());
    }
    if done.keeps_some {
        return give_back(context, done);
    }
    let parent = done.dir.parent().expect("the target's own folder is never removed").clone();
    special::remove_dir(&*parent.open(&context.host.dirs)?, &done.name)
}

/// Gives a folder that stays the mode and the flags that it had.
fn give_back(context: &Context, level: &Level) -> io::Result<()> {
    let dir = level.dir.open(&context.host.dirs)?;
    let now = dir.stat_self()?;
    if now.mode != level.stat.mode {
        let parent = level.dir.parent().expect("the target's own folder is never removed").clone();
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

struct Level {
    dir: Arc<TargetDir>,
    name: Vec<u8>,
    stat: Stat,
    names: DirNames,
    at: usize,
    /// Whether something in it stays, so that it stays too.
    keeps_some: bool,
}

impl Level {
    fn next_name(&mut self) -> Option<Vec<u8>> {
        self.at += 1;
        (self.at <= self.names.len()).then(|| self.names.get(self.at - 1).to_vec())
    }
}

/// Enters a folder that is to go; `None` if it is a repository, which stays as it is.
fn enter(
    context: &Context,
    parent: &Arc<TargetDir>,
    name: &[u8],
    stat: &Stat,
) -> io::Result<Option<Level>> {
    let above = parent.open(&context.host.dirs)?;
    if is_mount_point(&above, stat)? {
        return Err(io::Error::other("another file system is mounted on it"));
    }
    if context.own.contains(stat) {
        return Err(io::Error::other("the repository itself or its cache is in it"));
    }
    if !context.options.dry_run {
        clear_name::unlock(&above, name, stat)?;
        open_up(context, &above, name, stat)?;
    }
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let dir = look_into(context, parent, name)?.ok_or_else(gone)?;
    let open = dir.open(&context.host.dirs)?;
    let names = open.names()?;
    let is_repository = protected_dirs::is_repository(&open, &names);
    let level = Level { dir, name: name.to_vec(), stat: *stat, names, at: 0, keeps_some: false };
    if !is_repository {
        return Ok(Some(level));
    }
    context.bar(&parent.path_of(name), protected_dirs::LEFT_REPOSITORY);
    if !context.options.dry_run {
        give_back(context, &level)?;
    }
    Ok(None)
}
