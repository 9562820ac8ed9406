//! A restore that changes nothing: the same walk and the same decisions, told instead of done.

use std::io;
use std::sync::Arc;

use super::context::Context;
use super::delete::Extras;
use super::error::Result;
use super::existing::{self, Decision, WantedFile, decide};
use super::options::{Action, Overwrite, Planned, add};
use super::target::TargetDir;
use super::walk::{Step, Walk};
use crate::format::entry::{Content, EntryKind};
use crate::os::stat::Stat;
use crate::repo::DirEntry;

/// Goes through everything that would be restored into `target` (`None` if that would be made).
pub fn list(
    context: &Context,
    walk: Walk,
    target: Option<Arc<TargetDir>>,
    sources: &[Vec<u8>],
    each: &mut dyn FnMut(Planned<'_>),
) -> Result<()> {
    let delete_top = context.options.delete && walk.takes_all();
    let mut lister = Lister { context, walk, sources, each, frames: Vec::new() };
    let extras = target.as_ref().filter(|_| delete_top).and_then(|dir| lister.extras_of(dir));
    lister.frames.push(Frame { dir: target, extras, path_len: 0, waiting: None });
    while let Some(step) = lister.walk.next() {
        context.check()?;
        lister.take(step);
    }
    Ok(())
}

struct Lister<'a> {
    context: &'a Context<'a>,
    walk: Walk,
    sources: &'a [Vec<u8>],
    each: &'a mut dyn FnMut(Planned<'_>),
    frames: Vec<Frame>,
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
                let rest = self.frames.last_mut().and_then(|frame| frame.extras.as_mut()).map(Extras::rest);
                self.delete(rest.unwrap_or_default());
                self.frames.pop();
            }
        }
    }

    fn enter(&mut self, entry: &DirEntry, is_taken: bool) {
        let name = &entry.entry.name;
        let above = self.frames.last().and_then(|frame| frame.dir.clone());
        let found = above.as_ref().and_then(|dir| self.stat(dir, name));
        let is_dir = found.is_some_and(|stat| stat.kind == EntryKind::Dir);
        if found.is_some() && !is_dir && self.context.options.overwrite == Overwrite::Never {
            add(&self.context.counts.left_alone, 1);
            return self.walk.skip_folder();
        }
        if found.is_some_and(|stat| self.context.spares(&stat, || [b"/", self.walk.path()].concat())) {
            return self.walk.skip_folder();
        }
        let dir = above.filter(|_| is_dir).and_then(|above| existing::look_into(self.context, &above, name).ok().flatten());
        let action = match (&dir, found) {
            (Some(_), _) => Action::Keep,
            (None, Some(_)) => Action::Update,
            (None, None) => Action::Create,
        };
        let extras = dir.as_ref().filter(|_| is_taken && self.context.options.delete).and_then(|dir| self.extras_of(dir));
        self.frames.push(Frame { dir, extras, path_len: self.walk.path().len(), waiting: Some(action) });
        if is_taken {
            self.tell_folders();
        }
    }

    /// Tells the folders on the way that were not told yet: now something in them is selected.
    fn tell_folders(&mut self) {
        for frame in &mut self.frames {
            if let Some(action) = frame.waiting.take() {
                add(&self.context.counts.dirs, 1);
                (self.each)(Planned { action, path: &self.walk.path()[..frame.path_len], size: 0, is_dir: true, content: None });
            }
        }
    }

    fn take_entry(&mut self, found: &DirEntry) {
        let entry = &found.entry;
        let dir = self.frames.last().and_then(|frame| frame.dir.clone());
        let stat = dir.as_ref().and_then(|dir| self.stat(dir, &entry.name));
        let action = match stat {
            None => Action::Create,
            Some(_) if self.context.options.overwrite == Overwrite::Never => Action::LeaveAlone,
            Some(stat) if entry.kind == EntryKind::File => {
                let wanted = WantedFile { size: entry.size, mtime: entry.mtime, uid: entry.uid };
                match decide(Some(&stat), &wanted, self.context.options.overwrite, self.context.trusted_before) {
                    Decision::Keep => Action::Keep,
                    _ => Action::Update,
                }
            }
            Some(stat) if (stat.kind, stat.device) != (entry.kind, entry.device) => Action::Update,
            Some(_) => match &entry.content {
                Content::Inline(target) if !dir.is_some_and(|dir| self.links_to(&dir, &entry.name, target)) => Action::Update,
                _ => Action::Keep,
            },
        };
        self.count(action, entry.size);
        let content = Some(&entry.content);
        (self.each)(Planned { action, path: self.walk.path(), size: entry.size, is_dir: false, content });
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

    fn links_to(&self, dir: &Arc<TargetDir>, name: &[u8], target: &[u8]) -> bool {
        dir.open(&self.context.host.dirs).and_then(|open| open.read_link(name)).is_ok_and(|found| found == target)
    }

    fn stat(&self, dir: &Arc<TargetDir>, name: &[u8]) -> Option<Stat> {
        match dir.open(&self.context.host.dirs).and_then(|open| existing::stat(&open, name)) {
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
        Extras::of(self.context, dir, self.sources)
    }

    fn delete_before(&mut self, name: &[u8]) {
        let extras = self.frames.last_mut().and_then(|frame| frame.extras.as_mut()).map(|extras| extras.before(name));
        self.delete(extras.unwrap_or_default());
    }

    fn delete(&mut self, names: Vec<Vec<u8>>) {
        let Some(Frame { dir: Some(dir), path_len, .. }) = self.frames.last() else {
            return;
        };
        let (dir, path_len) = (dir.clone(), *path_len);
        for name in names {
            let Some(stat) = self.stat(&dir, &name) else { continue };
            let path = below(&self.walk.path()[..path_len], &name);
            let is_dir = stat.kind == EntryKind::Dir;
            if self.walk.would_select(&path, is_dir) && !self.context.spares(&stat, || dir.path_of(&name)) {
                add(&self.context.counts.deleted, 1);
                (self.each)(Planned { action: Action::Delete, path: &path, size: stat.size, is_dir, content: None });
            }
        }
    }
}

/// Returns the path of `name` in the folder at `path`.
pub fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}
