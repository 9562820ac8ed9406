//! Dry run: the same walk and the same decisions as a restore, listed instead of carried out.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::clear_name;
use super::context::RestoreContext;
use super::delete::{
    Extra, Extras, KEEPS_SOME, RemovalHooks, UNSEEN_MOUNT, inspect_extra, is_alias, remove_tree,
};
use super::enter_dir::open_read_only;
use super::existing;
use super::link_group::{Likeness, likeness};
use super::unchanged::{is_unchanged, job_of};
use crate::format::entry::EntryKind;
use crate::os::stat::Stat;
use crate::repo::DirEntry;
use crate::restore::error::Result;
use crate::restore::options::{EntryAction, Overwrite, PlannedEntry, add};
use crate::restore::plan::walk::{SnapshotWalk, WalkEvent};
use crate::restore::target::dir::{InodeId, TargetDir};

/// Lists everything that would be restored into `target` (`None` if it does not exist yet).
pub(crate) fn list(
    context: &RestoreContext,
    walk: SnapshotWalk,
    target: Option<Arc<TargetDir>>,
    each: &mut dyn FnMut(PlannedEntry<'_>),
) -> Result<()> {
    let delete_top = context.options.delete && walk.takes_all();
    let mut lister = Lister { context, walk, each, frames: Vec::new(), firsts: HashMap::new() };
    let extras = target.as_ref().filter(|_| delete_top).and_then(|dir| lister.extras_of(dir));
    lister.frames.push(ListedFrame { dir: target, extras, path_len: 0, waiting: None });
    while let Some(event) = lister.walk.next() {
        context.check()?;
        lister.take(event);
    }
    // The root of the target.
    add(&context.counts.dirs, 1);
    Ok(())
}

/// Hard-link groups that are remembered; members of further groups are judged by their content
/// alone.
const FIRSTS_MAX: usize = 1 << 20;

struct Lister<'a> {
    context: &'a RestoreContext<'a>,
    walk: SnapshotWalk,
    each: &'a mut dyn FnMut(PlannedEntry<'_>),
    frames: Vec<ListedFrame>,
    /// The inode that the first member of each group keeps; `None` if it would be created.
    firsts: HashMap<(u64, Likeness), Option<InodeId>>,
}

struct ListedFrame {
    /// The directory, `None` if it does not exist yet.
    dir: Option<Arc<TargetDir>>,
    extras: Option<Extras>,
    path_len: usize,
    /// The action to be listed as soon as an entry of the directory is selected.
    waiting: Option<EntryAction>,
}

impl Lister<'_> {
    fn take(&mut self, event: WalkEvent) {
        match event {
            WalkEvent::Enter(entry, is_taken) => {
                self.delete_before(&entry.entry.name);
                self.enter(&entry, is_taken);
            }
            WalkEvent::Entry(entry) => {
                self.delete_before(&entry.entry.name);
                self.list_dirs();
                self.take_entry(&entry);
            }
            WalkEvent::Unselected(name) => self.delete_before(&name),
            WalkEvent::Unreadable(error) => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.extras = None;
                }
                let path = [b"/", self.walk.path()].concat();
                self.context.report_unreadable(&path, error);
            }
            WalkEvent::Leave => {
                let rest = self
                    .frames
                    .last_mut()
                    .and_then(|frame| frame.extras.as_mut())
                    .map(Extras::rest);
                self.delete(rest.unwrap_or_default());
                self.frames.pop();
            }
        }
    }

    fn enter(&mut self, entry: &DirEntry, is_taken: bool) {
        let name = &entry.entry.name;
        let above = self.frames.last().and_then(|frame| frame.dir.clone());
        let found = above.as_ref().and_then(|dir| Some((dir.path_of(name), self.stat(dir, name)?)));
        if found
            .as_ref()
            .is_some_and(|(path, stat)| self.context.skip_all_if_protected(stat, || path.clone()))
        {
            return self.walk.skip_dir();
        }
        let found = found.map(|(_, stat)| stat);
        let dir = match above
            .as_ref()
            .filter(|_| found.is_some())
            .map(|above| open_read_only(self.context, above, name))
        {
            // A restore would add the missing permissions; a dry run changes nothing.
            Some(Err(error)) if error.kind() != io::ErrorKind::PermissionDenied => {
                self.context.report_failed(&[b"/", self.walk.path()].concat(), error);
                return self.walk.skip_dir();
            }
            looked => looked.and_then(std::result::Result::ok).flatten(),
        };
        let is_dir = dir.is_some() || found.is_some_and(|stat| stat.kind == EntryKind::Dir);
        if found.is_some() && !is_dir && self.context.options.overwrite == Overwrite::Never {
            add(&self.context.counts.left_alone, 1);
            return self.walk.skip_dir();
        }
        let action = match found {
            Some(_) if is_dir => EntryAction::Keep,
            Some(_) => EntryAction::Update,
            None => EntryAction::Create,
        };
        let extras = dir
            .as_ref()
            .filter(|_| is_taken && self.context.options.delete)
            .and_then(|dir| self.extras_of(dir));
        self.frames.push(ListedFrame {
            dir,
            extras,
            path_len: self.walk.path().len(),
            waiting: Some(action),
        });
        if is_taken {
            self.list_dirs();
        }
    }

    /// Lists the current directory and its ancestors, if that is not done yet: now an entry in them
    /// is selected.
    fn list_dirs(&mut self) {
        // All ancestors of a listed directory are listed.
        let first =
            self.frames.iter().rposition(|frame| frame.waiting.is_none()).map_or(0, |at| at + 1);
        for frame in &mut self.frames[first..] {
            if let Some(action) = frame.waiting.take() {
                add(&self.context.counts.dirs, 1);
                (self.each)(PlannedEntry {
                    action,
                    path: &self.walk.path()[..frame.path_len],
                    size: 0,
                    is_dir: true,
                    content: None,
                });
            }
        }
    }

    fn take_entry(&mut self, found: &DirEntry) {
        let entry = &found.entry;
        let dir = self.frames.last().and_then(|frame| frame.dir.clone());
        let stat = dir.as_ref().and_then(|dir| self.stat(dir, &entry.name));
        let path = self.walk.path().to_vec();
        let action = match (dir, stat) {
            (Some(dir), Some(stat)) => match self.judge(&dir, found, &stat) {
                Ok(action) => action,
                Err(error) => return self.context.report_failed(&dir.path_of(&entry.name), error),
            },
            _ => {
                self.note_new(found);
                EntryAction::Create
            }
        };
        self.count(action, if entry.kind == EntryKind::File { entry.size } else { 0 });
        let content = Some(&entry.content);
        (self.each)(PlannedEntry { action, path: &path, size: entry.size, is_dir: false, content });
    }

    /// Decides about an entry whose name exists.
    fn judge(
        &mut self,
        dir: &Arc<TargetDir>,
        found: &DirEntry,
        stat: &Stat,
    ) -> io::Result<EntryAction> {
        let context = self.context;
        if context.options.overwrite == Overwrite::Never {
            return Ok(EntryAction::LeaveAlone);
        }
        let name = &found.entry.name;
        if stat.kind == EntryKind::Dir {
            self.clear_dir(dir, name, stat)?;
            self.note_new(found);
            return Ok(EntryAction::Update);
        }
        let mut copy = found.clone();
        let metadata = context.metadata_of(&mut copy, || dir.path_of(name));
        let open = dir.open(&context.host.dirs)?;
        let group = copy.entry.hard_link.map(|number| (number, likeness(&copy.entry, &metadata)));
        let is_right = match group.and_then(|group| self.firsts.get(&group)) {
            Some(first) => *first == Some(InodeId::from(stat)),
            None => {
                let is_linked = copy.entry.hard_link.is_some();
                let job = job_of(dir, copy.entry, metadata);
                is_unchanged(context, &open, job, is_linked, stat)
            }
        };
        // A file with one name is changed in place.
        let stays = is_right || stat.kind == EntryKind::File && stat.nlink <= 1;
        self.note_first(group, stays.then(|| InodeId::from(stat)));
        Ok(if is_right { EntryAction::Keep } else { EntryAction::Update })
    }

    /// Notes that the first member of a group would be created.
    fn note_new(&mut self, found: &DirEntry) {
        if let Some(number) = found.entry.hard_link {
            let mut copy = found.clone();
            let metadata = self.context.metadata_of(&mut copy, Vec::new);
            self.note_first(Some((number, likeness(&copy.entry, &metadata))), None);
        }
    }

    /// Notes the inode of the first member of a hard-link group: an existing one, or `None` for a
    /// new one.
    fn note_first(&mut self, group: Option<(u64, Likeness)>, identity: Option<InodeId>) {
        if let Some(group) = group.filter(|_| self.firsts.len() < FIRSTS_MAX) {
            self.firsts.entry(group).or_insert(identity);
        }
    }

    /// Lists the removal of a directory that another kind of entry replaces; fails if it could not
    /// be removed.
    fn clear_dir(&mut self, dir: &Arc<TargetDir>, name: &[u8], stat: &Stat) -> io::Result<()> {
        if self.context.options.delete {
            let path = self.walk.path().to_vec();
            let is_gone = self.list_removed(dir, name, &path, stat)?;
            return if is_gone { Ok(()) } else { Err(io::Error::other(KEEPS_SOME)) };
        }
        let is_empty = dir.open(&self.context.host.dirs)?.open_dir(name)?.names()?.is_empty();
        if is_empty { Ok(()) } else { Err(io::Error::other(clear_name::IN_THE_WAY)) }
    }

    /// Lists everything that would be removed with `name`, which is at `path` in the walk; excluded
    /// entries stay. Returns whether all would be removed.
    fn list_removed(
        &mut self,
        dir: &Arc<TargetDir>,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
    ) -> io::Result<bool> {
        let above = &path[..path.len() - name.len()];
        let (each, walk) = (&mut *self.each, &self.walk);
        let on_removed = &mut |below: &[u8], stat: &Stat| {
            let path = [above, below].concat();
            let is_dir = stat.kind == EntryKind::Dir;
            each(PlannedEntry {
                action: EntryAction::Delete,
                path: &path,
                size: stat.size,
                is_dir,
                content: None,
            });
        };
        let stays =
            |below: &[u8], is_dir: bool| !walk.would_select(&[above, below].concat(), is_dir);
        remove_tree(self.context, dir, name, stat, RemovalHooks { on_removed, stays: &stays })
    }

    fn count(&self, action: EntryAction, size: u64) {
        let counts = &self.context.counts;
        if action == EntryAction::LeaveAlone {
            return add(&counts.left_alone, 1);
        }
        add(&counts.files, 1);
        add(&counts.bytes, size);
        if action == EntryAction::Keep {
            add(&counts.files_kept, 1);
            add(&counts.bytes_kept, size);
        }
    }

    fn stat(&self, dir: &Arc<TargetDir>, name: &[u8]) -> Option<Stat> {
        match dir
            .open(&self.context.host.dirs)
            .and_then(|open| existing::find_existing(self.context, dir, &open, name))
        {
            Ok(found) => found,
            Err(error) => {
                self.report(dir, name, error);
                None
            }
        }
    }

    fn report(&self, dir: &TargetDir, name: &[u8], error: io::Error) {
        self.context.report_failed(&dir.path_of(name), error);
    }

    fn extras_of(&self, dir: &Arc<TargetDir>) -> Option<Extras> {
        Extras::of(self.context, dir)
    }

    fn delete_before(&mut self, name: &[u8]) {
        let extras = self
            .frames
            .last_mut()
            .and_then(|frame| frame.extras.as_mut())
            .map(|extras| extras.before(name));
        self.delete(extras.unwrap_or_default());
    }

    fn delete(&mut self, names: Vec<Vec<u8>>) {
        let Some(ListedFrame { dir: Some(dir), path_len, .. }) = self.frames.last() else {
            return;
        };
        let (dir, path_len) = (dir.clone(), *path_len);
        for name in names {
            let path = below(&self.walk.path()[..path_len], &name);
            let stat = match dir
                .open(&self.context.host.dirs)
                .and_then(|open| inspect_extra(&open, &name))
            {
                Ok(Extra::Seen(stat)) => stat,
                Ok(Extra::Unseen) if self.walk.would_select(&path, true) => {
                    self.context.report_blocked(&dir.path_of(&name), UNSEEN_MOUNT);
                    continue;
                }
                Ok(Extra::Gone | Extra::Unseen) => continue,
                Err(error) => {
                    self.report(&dir, &name, error);
                    continue;
                }
            };
            let is_wanted = self.walk.would_select(&path, stat.kind == EntryKind::Dir)
                && !is_alias(self.context, &dir, &name);
            let shown = || dir.path_of(&name);
            if is_wanted
                && !self.context.skip_if_protected(&stat, shown)
                && !self.context.skip_if_unread(shown)
                && let Err(error) = self.list_removed(&dir, &name, &path, &stat)
            {
                self.report(&dir, &name, error);
            }
        }
    }
}

/// Returns the path of `name` in the directory at `path`.
pub(crate) fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}
