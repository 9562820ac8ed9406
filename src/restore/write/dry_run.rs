//! A restore that changes nothing: the same walk and the same decisions, told instead of done.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::clear_name;
use super::compare::holds;
use super::context::Context;
use super::delete::{
    Extra, Extras, KEEPS_SOME, Removal, UNSEEN_MOUNT, is_anothers, look_at, remove_tree,
};
use super::enter_dir::look_into;
use super::entries::Item;
use super::existing::{self, Decision, WantedFile, decide};
use super::link_group::{Likeness, Wanted, likeness};
use crate::format::entry::{Entry, EntryKind};
use crate::os::apply::Metadata;
use crate::os::attributes::XattrTarget;
use crate::os::dir::Dir;
use crate::os::special;
use crate::os::stat::Stat;
use crate::repo::DirEntry;
use crate::restore::error::Result;
use crate::restore::options::{Action, Overwrite, Planned, add};
use crate::restore::plan::walk::{Step, Walk};
use crate::restore::target::dir::{Identity, TargetDir};

/// Goes through everything that would be restored into `target` (`None` if that would be made).
pub fn list(
    context: &Context,
    walk: Walk,
    target: Option<Arc<TargetDir>>,
    each: &mut dyn FnMut(Planned<'_>),
) -> Result<()> {
    let delete_top = context.options.delete && walk.takes_all();
    let mut lister = Lister { context, walk, each, frames: Vec::new(), firsts: HashMap::new() };
    let extras = target.as_ref().filter(|_| delete_top).and_then(|dir| lister.extras_of(dir));
    lister.frames.push(Frame { dir: target, extras, path_len: 0, waiting: None });
    while let Some(step) = lister.walk.next() {
        context.check()?;
        lister.take(step);
    }
    // The target's own folder.
    add(&context.counts.dirs, 1);
    Ok(())
}

/// Hard-link groups that are remembered; names of others are judged by their content alone.
const FIRSTS_MAX: usize = 1 << 20;

struct Lister<'a> {
    context: &'a Context<'a>,
    walk: Walk,
    each: &'a mut dyn FnMut(Planned<'_>),
    frames: Vec<Frame>,
    /// What the first name of a hard-link group is and stays; `None` if it is made.
    firsts: HashMap<(u64, Likeness), Option<Identity>>,
}

struct Frame {
    /// The folder, `None` if it does not exist yet.
    dir: Option<Arc<TargetDir>>,
    extras: Option<Extras>,
    path_len: usize,
    /// What is to be told as soon as something in the folder is selected.
    waiting: Option<Action>,
}

impl Lister<'_> {
    fn take(&mut self, step: Step) {
        match step {
            Step::Enter(entry, is_taken) => {
                self.delete_before(&entry.entry.name);
                self.enter(&entry, is_taken);
            }
            Step::Entry(entry) => {
                self.delete_before(&entry.entry.name);
                self.tell_folders();
                self.take_entry(&entry);
            }
            Step::Passed(name) => self.delete_before(&name),
            Step::Broken(error) => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.extras = None;
                }
                let path = [b"/", self.walk.path()].concat();
                self.context.report_unreadable(&path, error);
            }
            Step::Leave => {
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
            .is_some_and(|(path, stat)| self.context.spares_all_below(stat, || path.clone()))
        {
            return self.walk.skip_folder();
        }
        let found = found.map(|(_, stat)| stat);
        let dir = match above
            .as_ref()
            .filter(|_| found.is_some())
            .map(|above| look_into(self.context, above, name))
        {
            // Its owner, who restores, lets himself in; this only looks.
            Some(Err(error)) if error.kind() != io::ErrorKind::PermissionDenied => {
                self.context.report_failed(&[b"/", self.walk.path()].concat(), error);
                return self.walk.skip_folder();
            }
            looked => looked.and_then(std::result::Result::ok).flatten(),
        };
        let is_dir = dir.is_some() || found.is_some_and(|stat| stat.kind == EntryKind::Dir);
        if found.is_some() && !is_dir && self.context.options.overwrite == Overwrite::Never {
            add(&self.context.counts.left_alone, 1);
            return self.walk.skip_folder();
        }
        let action = match found {
            Some(_) if is_dir => Action::Keep,
            Some(_) => Action::Update,
            None => Action::Create,
        };
        let extras = dir
            .as_ref()
            .filter(|_| is_taken && self.context.options.delete)
            .and_then(|dir| self.extras_of(dir));
        self.frames.push(Frame {
            dir,
            extras,
            path_len: self.walk.path().len(),
            waiting: Some(action),
        });
        if is_taken {
            self.tell_folders();
        }
    }

    /// Tells the folders on the way that were not told yet: now something in them is selected.
    fn tell_folders(&mut self) {
        // Of those above one that was told all were told.
        let first =
            self.frames.iter().rposition(|frame| frame.waiting.is_none()).map_or(0, |at| at + 1);
        for frame in &mut self.frames[first..] {
            if let Some(action) = frame.waiting.take() {
                add(&self.context.counts.dirs, 1);
                (self.each)(Planned {
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
                Action::Create
            }
        };
        self.count(action, if entry.kind == EntryKind::File { entry.size } else { 0 });
        let content = Some(&entry.content);
        (self.each)(Planned { action, path: &path, size: entry.size, is_dir: false, content });
    }

    /// Decides about an entry in the place of which something is.
    fn judge(&mut self, dir: &Arc<TargetDir>, found: &DirEntry, stat: &Stat) -> io::Result<Action> {
        let context = self.context;
        if context.options.overwrite == Overwrite::Never {
            return Ok(Action::LeaveAlone);
        }
        let name = &found.entry.name;
        if stat.kind == EntryKind::Dir {
            self.clear_folder(dir, name, stat)?;
            self.note_new(found);
            return Ok(Action::Update);
        }
        let mut copy = found.clone();
        let metadata = context.metadata_of(&mut copy, || dir.path_of(name));
        let open = dir.open(&context.host.dirs)?;
        let group = copy.entry.hard_link.map(|number| (number, likeness(&copy.entry, &metadata)));
        let is_right = match group.and_then(|group| self.firsts.get(&group)) {
            Some(first) => *first == Some(Identity::from(stat)),
            None => {
                let is_linked = copy.entry.hard_link.is_some();
                let item = item_of(dir, copy.entry, metadata);
                is_right(context, &open, item, is_linked, stat)
            }
        };
        // A file with one name is changed in place.
        let stays = is_right || stat.kind == EntryKind::File && stat.nlink <= 1;
        self.note_first(group, stays.then(|| Identity::from(stat)));
        Ok(if is_right { Action::Keep } else { Action::Update })
    }

    /// Notes that the first name of a group will be made.
    fn note_new(&mut self, found: &DirEntry) {
        if let Some(number) = found.entry.hard_link {
            let mut copy = found.clone();
            let metadata = self.context.metadata_of(&mut copy, Vec::new);
            self.note_first(Some((number, likeness(&copy.entry, &metadata))), None);
        }
    }

    /// Notes what the first name of a hard-link group will be: an inode that is there, or a new
    /// one.
    fn note_first(&mut self, group: Option<(u64, Likeness)>, identity: Option<Identity>) {
        if let Some(group) = group.filter(|_| self.firsts.len() < FIRSTS_MAX) {
            self.firsts.entry(group).or_insert(identity);
        }
    }

    /// Tells what would have to go for something that is no folder; fails if it would not go.
    fn clear_folder(&mut self, dir: &Arc<TargetDir>, name: &[u8], stat: &Stat) -> io::Result<()> {
        if self.context.options.delete {
            let path = self.walk.path().to_vec();
            let is_gone = self.tell_removed(dir, name, &path, stat)?;
            return if is_gone { Ok(()) } else { Err(io::Error::other(KEEPS_SOME)) };
        }
        let is_empty = dir.open(&self.context.host.dirs)?.open_dir(name)?.names()?.is_empty();
        if is_empty { Ok(()) } else { Err(io::Error::other(clear_name::IN_THE_WAY)) }
    }

    /// Tells everything that would be removed with `name`, which is at `path` in the walk; excluded
    /// entries stay. Returns whether all would go.
    fn tell_removed(
        &mut self,
        dir: &Arc<TargetDir>,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
    ) -> io::Result<bool> {
        let above = &path[..path.len() - name.len()];
        let (each, walk) = (&mut *self.each, &self.walk);
        let told = &mut |below: &[u8], stat: &Stat| {
            let path = [above, below].concat();
            let is_dir = stat.kind == EntryKind::Dir;
            each(Planned {
                action: Action::Delete,
                path: &path,
                size: stat.size,
                is_dir,
                content: None,
            });
        };
        let stays =
            |below: &[u8], is_dir: bool| !walk.would_select(&[above, below].concat(), is_dir);
        remove_tree(self.context, dir, name, stat, Removal { told, stays: &stays })
    }

    fn count(&self, action: Action, size: u64) {
        let counts = &self.context.counts;
        if action == Action::LeaveAlone {
            return add(&counts.left_alone, 1);
        }
        add(&counts.files, 1);
        add(&counts.bytes, size);
        if action == Action::Keep {
            add(&counts.files_kept, 1);
            add(&counts.bytes_kept, size);
        }
    }

    fn stat(&self, dir: &Arc<TargetDir>, name: &[u8]) -> Option<Stat> {
        match dir
            .open(&self.context.host.dirs)
            .and_then(|open| existing::look(self.context, dir, &open, name))
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
        let Some(Frame { dir: Some(dir), path_len, .. }) = self.frames.last() else {
            return;
        };
        let (dir, path_len) = (dir.clone(), *path_len);
        for name in names {
            let path = below(&self.walk.path()[..path_len], &name);
            let stat =
                match dir.open(&self.context.host.dirs).and_then(|open| look_at(&open, &name)) {
                    Ok(Extra::Seen(stat)) => stat,
                    Ok(Extra::Unseen) if self.walk.would_select(&path, true) => {
                        self.context.bar(&dir.path_of(&name), UNSEEN_MOUNT);
                        continue;
                    }
                    Ok(Extra::Gone | Extra::Unseen) => continue,
                    Err(error) => {
                        self.report(&dir, &name, error);
                        continue;
                    }
                };
            let is_wanted = self.walk.would_select(&path, stat.kind == EntryKind::Dir)
                && !is_anothers(self.context, &dir, &name);
            let shown = || dir.path_of(&name);
            if is_wanted
                && !self.context.spares(&stat, shown)
                && !self.context.keeps_unread(shown)
                && let Err(error) = self.tell_removed(&dir, &name, &path, &stat)
            {
                self.report(&dir, &name, error);
            }
        }
    }
}

/// Returns what would be made of an entry.
fn item_of(dir: &Arc<TargetDir>, entry: Entry, metadata: Metadata) -> Item {
    let wanted = Wanted {
        size: entry.size,
        content: entry.content,
        metadata,
        device: entry.device,
        weight: None,
    };
    Item::new(dir.clone(), entry.name.into_boxed_slice(), entry.kind, wanted, None)
}

/// Returns whether what is there is right already, so that at most its metadata would change; reads
/// it if need be. The item `is_linked` if it has other names.
fn is_right(context: &Context, open: &Dir, item: Item, is_linked: bool, stat: &Stat) -> bool {
    match item {
        Item::File(job, content) => {
            let wanted = WantedFile { is_linked, ..WantedFile::of(&job) };
            let owned = existing::as_owned(open, *stat, job.metadata.uid);
            let decision = decide(Some(&owned), &wanted, context.options.overwrite, &context.trust);
            // One with other names is changed in nothing, whatever is believed of its content.
            let may_stay = |file: &File| {
                decision == Decision::Compare
                    || existing::may_keep_linked(
                        &XattrTarget::Open(file.as_fd()),
                        stat,
                        &job.metadata,
                    )
            };
            let is_whole = |file: &File| {
                stat.size == job.size && holds(context, file, job.size, &content, &mut Vec::new())
            };
            let stays =
                matches!(decision, Decision::Keep | Decision::Compare | Decision::CompareWhole);
            let is_alone = decision == Decision::Keep && stat.nlink <= 1;
            is_alone
                || stays
                    && open.open_file(&job.name).is_ok_and(|file| {
                        may_stay(&file) && (decision == Decision::Keep || is_whole(&file))
                    })
        }
        Item::Other(other) => {
            special::open_path(open, &other.name).is_ok_and(|fd| other.is_like(&fd, stat))
        }
        Item::Link(..) => false,
    }
}

/// Returns the path of `name` in the folder at `path`.
pub fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}
