//! Removing what is in the way, or in the target but not in the snapshot; never through a link and never into another mount.

use std::io;
use std::sync::Arc;

use super::context::Context;
use super::enter::{is_mount_point, look_into, open_up};
use super::existing;
use super::options::add;
use super::target::TargetDir;
use crate::format::entry::EntryKind;
use crate::os::dir::Names;
use crate::os::special;
use crate::os::stat::Stat;

/// The names of an existing folder, gone through beside the snapshot's entries to find those that it does not have.
pub struct Extras {
    names: Names,
    at: usize,
}

impl Extras {
    /// Lists a folder; `None` if the snapshot's silence about a name in it does not mean that it should not be there.
    ///
    /// That is so above and beside the folders that were backed up whole, where another file system is mounted, which
    /// a backup may have been told not to enter, and if more could not be read than the snapshot lists.
    pub fn of(context: &Context, dir: &Arc<TargetDir>) -> Option<Self> {
        let path = dir.path();
        if dir.is_fresh || !context.may_delete_in(&path) {
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
        Ok(Some(Self { names: open.names()?, at: 0 }))
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

/// Returns whether a name that the snapshot does not have is one that it has to the file system, so that it must stay.
pub fn is_anothers(context: &Context, dir: &TargetDir, name: &[u8]) -> bool {
    dir.spelling.as_ref().is_some_and(|spelling| spelling.is_one_of(context, dir, name))
}

/// Removes `name` so that an entry of another kind can take its place; a folder with content only if deleting is wanted.
pub fn clear(context: &Context, dir: &Arc<TargetDir>, name: &[u8], stat: &Stat) -> io::Result<()> {
    if stat.kind == EntryKind::Dir && context.options.delete {
        return remove_tree(context, dir, name, stat, &mut |_, _| {});
    }
    existing::remove(&*dir.open(&context.host.dirs)?, name, stat)
}

/// Removes `name` and everything below it, and tells each with its path from `name` on; a dry run only counts and tells.
///
/// What cannot be removed is reported, with the first cause returned.
pub fn remove_tree(
    context: &Context,
    dir: &Arc<TargetDir>,
    name: &[u8],
    stat: &Stat,
    told: &mut dyn FnMut(&[u8], &Stat),
) -> io::Result<()> {
    let is_real = !context.options.dry_run;
    let mut tell = |path: &[u8], stat: &Stat| {
        add(&context.counts.deleted, 1);
        told(path, stat);
    };
    if context.ground.is_unread(&dir.path_of(name)) {
        return Err(io::Error::other("not removed: the snapshot lists it, or something in it, as not read"));
    }
    if stat.kind != EntryKind::Dir {
        if is_real {
            existing::remove(&*dir.open(&context.host.dirs)?, name, stat)?;
        }
        tell(name, stat);
        return Ok(());
    }
    let mut path = name.to_vec();
    let mut levels = vec![enter(context, dir, name, stat)?];
    while let Some(level) = levels.last_mut() {
        if context.is_stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let Some(name) = level.next_name() else {
            let done = levels.pop().expect("it was just looked at");
            if is_real {
                let parent = done.dir.parent().expect("the target's own folder is never removed").clone();
                special::remove_dir(&*parent.open(&context.host.dirs)?, &done.name)?;
            }
            tell(&path, &done.stat);
            path.truncate(path.len().saturating_sub(done.name.len() + 1));
            continue;
        };
        let here = level.dir.open(&context.host.dirs)?;
        let Some(stat) = existing::stat(&here, &name)? else {
            continue;
        };
        if stat.kind == EntryKind::Dir {
            let below = enter(context, &level.dir, &name, &stat)?;
            path = [&path[..], b"/", &name].concat();
            levels.push(below);
        } else {
            if is_real {
                existing::remove(&here, &name, &stat)?;
            }
            tell(&[&path[..], b"/", &name].concat(), &stat);
        }
    }
    Ok(())
}

struct Level {
    dir: Arc<TargetDir>,
    name: Vec<u8>,
    stat: Stat,
    names: Names,
    at: usize,
}

impl Level {
    fn next_name(&mut self) -> Option<Vec<u8>> {
        self.at += 1;
        (self.at <= self.names.len()).then(|| self.names.get(self.at - 1).to_vec())
    }
}

fn enter(context: &Context, parent: &Arc<TargetDir>, name: &[u8], stat: &Stat) -> io::Result<Level> {
    let above = parent.open(&context.host.dirs)?;
    if is_mount_point(&above, stat)? {
        return Err(io::Error::other("another file system is mounted on it"));
    }
    if context.own.contains(stat) {
        return Err(io::Error::other("the repository itself or its cache is in it"));
    }
    if !context.options.dry_run {
        existing::unlock(&above, name, stat)?;
        open_up(context, &above, name, stat)?;
    }
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let dir = look_into(context, parent, name)?.ok_or_else(gone)?;
    let names = dir.open(&context.host.dirs)?.names()?;
    Ok(Level { dir, name: name.to_vec(), stat: *stat, names, at: 0 })
}
