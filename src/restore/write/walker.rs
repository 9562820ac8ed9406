//! The walking thread: enters directories, deletes extra entries, and dispatches entries to the
//! workers.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::context::RestoreContext;
use super::delete::{
    Extra, Extras, RemovalHooks, UNSEEN_MOUNT, inspect_extra, is_alias, remove_tree,
};
use super::dir_finish::release_dir;
use super::dispatcher::Dispatcher;
use super::dry_run::below;
use super::enter_dir;
use super::entries::{EntryJob, Unfilled};
use super::existing;
use super::link_group::{EntrySpec, Link, LinkGroup, likeness};
use super::link_groups::LinkGroups;
use super::link_outcomes::{MemberRole, join, report_separate};
use super::workers::{Unit, UnitResult};
use crate::format::entry::{Content, Entry, EntryKind};
use crate::os::apply::Metadata;
use crate::repo::DirEntry;
use crate::restore::error::Result;
use crate::restore::options::Overwrite;
use crate::restore::plan::trimmed_dir::TrimmedDir;
use crate::restore::plan::walk::{SnapshotWalk, WalkEvent};
use crate::restore::target::dir::TargetDir;

/// Walks a snapshot and dispatches its entries.
pub(crate) struct Walker<'a> {
    context: &'a RestoreContext<'a>,
    walk: SnapshotWalk,
    /// Prefix of the walk's paths in messages.
    shown: Vec<u8>,
    dispatcher: Dispatcher<'a>,
    frames: Vec<DirFrame>,
    groups: LinkGroups,
}

/// A directory that the walk is in.
struct DirFrame {
    dir: DirState,
    /// Its names in the target; only if it is selected with everything in it.
    extras: Option<Extras>,
    /// Length of its path within the walk's path.
    path_len: usize,
}

/// The state of a directory in the target.
enum DirState {
    /// Not entered yet: no entry in it was selected so far.
    Waiting(TrimmedDir),
    Entered(Arc<TargetDir>),
    /// It cannot be entered, which was reported: everything below it is skipped.
    Blocked,
}

impl<'a> Walker<'a> {
    /// Starts at `root`, the root of the target.
    pub(crate) fn new(
        context: &'a RestoreContext<'a>,
        walk: SnapshotWalk,
        root: Arc<TargetDir>,
        units: Sender<Unit>,
        results: Receiver<UnitResult>,
    ) -> Self {
        let shown = root.path();
        let repository = context.trees.reader().repository().clone();
        let groups = LinkGroups::new(
            root.clone(),
            Box::new(move || repository.scratch_file().map_err(std::io::Error::other)),
        );
        let frames = vec![DirFrame { dir: DirState::Entered(root), extras: None, path_len: 0 }];
        Self {
            context,
            walk,
            shown,
            dispatcher: Dispatcher::new(context, units, results),
            frames,
            groups,
        }
    }

    /// Deletes extra entries of the root, too, if it is selected with everything in it.
    pub(crate) fn delete_rest_of_top(&mut self) {
        if self.walk.takes_all() {
            self.frames[0].extras = self.extras_of(&self.frames[0]);
        }
    }

    /// Walks everything, and waits until the workers have answered everything.
    pub(crate) fn run(mut self) -> Result<()> {
        while let Some(event) = self.walk.next() {
            self.context.check()?;
            self.take(event);
            self.context.beat();
            self.dispatcher.take_results();
            self.dispatcher.wait_for_room()?;
        }
        if let Some(DirFrame { dir: DirState::Entered(root), .. }) = self.frames.pop() {
            // A walk to a single entry has no event for the end of a directory.
            release_dir(self.context, &root);
        }
        self.dispatcher.settle()
    }

    fn take(&mut self, event: WalkEvent) {
        match event {
            WalkEvent::Enter(entry, is_taken) => {
                self.delete_before(&entry.entry.name);
                let path_len = self.walk.path().len();
                let trimmed = TrimmedDir::new(entry, self.walk.tree_above());
                self.frames.push(DirFrame {
                    dir: DirState::Waiting(trimmed),
                    extras: None,
                    path_len,
                });
                if is_taken && self.current_dir().is_none() {
                    self.frames.pop();
                    self.walk.skip_dir();
                } else if is_taken && let Some(frame) = self.frames.last() {
                    let extras = self.extras_of(frame);
                    self.frames.last_mut().expect("it was just there").extras = extras;
                }
            }
            WalkEvent::Entry(entry) => {
                self.delete_before(&entry.entry.name);
                if let Some(dir) = self.current_dir() {
                    self.take_entry(dir, *entry);
                }
            }
            WalkEvent::Unselected(name) => self.delete_before(&name),
            WalkEvent::Unreadable(error) => {
                if let Some(frame) = self.frames.last_mut() {
                    // The part that cannot be read may contain names that seem to be extra.
                    frame.extras = None;
                }
                let path = self.full_path();
                self.context.report_unreadable(&path, error);
            }
            WalkEvent::Leave => {
                self.delete_rest();
                if let Some(DirFrame { dir: DirState::Entered(dir), .. }) = self.frames.pop() {
                    release_dir(self.context, &dir);
                }
            }
        }
    }

    /// Returns the directory that the walk is in; enters it and its ancestors if that is not done
    /// yet. `None` if one is blocked.
    fn current_dir(&mut self) -> Option<Arc<TargetDir>> {
        let first_waiting =
            self.frames.iter().rposition(|frame| matches!(frame.dir, DirState::Entered(_)))? + 1;
        for position in first_waiting..self.frames.len() {
            let DirState::Entered(parent) = &self.frames[position - 1].dir else {
                return None;
            };
            let parent = parent.clone();
            let DirState::Waiting(trimmed) =
                std::mem::replace(&mut self.frames[position].dir, DirState::Blocked)
            else {
                return None;
            };
            let dir = self.enter(&parent, trimmed)?;
            self.frames[position].dir = DirState::Entered(dir);
        }
        match &self.frames.last()?.dir {
            DirState::Entered(dir) => Some(dir.clone()),
            DirState::Waiting(_) | DirState::Blocked => None,
        }
    }

    /// Enters a directory. Long attributes are read again when it is finished.
    fn enter(&self, parent: &Arc<TargetDir>, trimmed: TrimmedDir) -> Option<Arc<TargetDir>> {
        let context = self.context;
        let name = trimmed.name().to_vec();
        let above = trimmed.trimmed_from();
        let mut entry = match trimmed.into_full(&context.trees) {
            Ok(entry) => entry,
            Err(error) => {
                context.report_unreadable(&parent.path_of(&name), error);
                return None;
            }
        };
        let mut metadata = context.metadata_of(&mut entry, || parent.path_of(&name));
        if above.is_some() {
            metadata.xattrs = Vec::new();
        }
        match enter_dir::enter(context, parent, &name, metadata) {
            Ok(entered) => {
                if let (Some(dir), Some(above)) = (&entered, above) {
                    let _ = dir.attributes_in.set(above);
                }
                entered
            }
            Err(error) => {
                context.report_failed(&parent.path_of(&name), error);
                None
            }
        }
    }

    fn take_entry(&mut self, dir: Arc<TargetDir>, mut found: DirEntry) {
        let weight_bytes = found.entry.parts_memory_bytes();
        let metadata = self.context.metadata_of(&mut found, || self.full_path());
        let weight = self.context.load.add(weight_bytes);
        let entry = found.entry;
        self.context.monitor.working_on(self.walk.path());
        dir.hold();
        let Ok(group) = self.group_of(&dir, &entry, &metadata) else {
            return;
        };
        let wanted = EntrySpec {
            size: entry.size,
            content: entry.content,
            metadata,
            device: entry.device,
            weight,
        };
        match EntryJob::new(dir, entry.name.into(), entry.kind, wanted, group) {
            EntryJob::File(job, content)
                if job.dir.is_fresh && !matches!(content, Content::Inline(_)) =>
            {
                self.dispatcher.fill(Unfilled { job, content, compare: false });
            }
            item => self.dispatcher.push_entry(item),
        }
    }

    /// Returns the hard-link group if this entry becomes its first member. Fails if the entry needs
    /// nothing more: it was linked, waits, or was reported.
    fn group_of(
        &mut self,
        dir: &Arc<TargetDir>,
        entry: &Entry,
        metadata: &Metadata,
    ) -> std::result::Result<Option<Arc<LinkGroup>>, ()> {
        let Some(number) = entry.hard_link else {
            return Ok(None);
        };
        dir.note_link();
        let name = &entry.name[..];
        if self.context.options.overwrite == Overwrite::Never
            && !dir.is_fresh
            && self.exists(dir, name)
        {
            // An entry that is left alone may have other content: nothing may be linked to it.
            self.context.leave_alone(|| dir.path_of(name));
            release_dir(self.context, dir);
            return Err(());
        }
        let repository = self.context.trees.reader().repository();
        let found = self
            .groups
            .get(number)
            .map_err(|error| self.context.stop(repository.scratch_error(error).into()))?;
        let Some(group) = found else {
            let group = Arc::new(LinkGroup::new(entry, metadata));
            self.groups.insert(number, group.clone());
            return Ok(Some(group));
        };
        if group.kind != entry.kind {
            self.context.report(
                &dir.path_of(name),
                "it claims to be a hard link to something of another kind".to_owned(),
            );
            release_dir(self.context, dir);
            return Err(());
        }
        if group.likeness != likeness(entry, metadata) {
            report_separate(self.context, &dir.path_of(name));
            return Ok(None);
        }
        let size = if entry.kind == EntryKind::File { entry.size } else { 0 };
        match join(self.context, &group, Link { dir: dir.clone(), name: name.into(), size }) {
            MemberRole::First => return Ok(Some(group)),
            MemberRole::Link(first, link) => {
                self.dispatcher.push_entry(EntryJob::Link(group, first, link))
            }
            MemberRole::Handled => {}
        }
        Err(())
    }

    fn exists(&self, dir: &Arc<TargetDir>, name: &[u8]) -> bool {
        dir.open(&self.context.host.dirs)
            .and_then(|open| existing::stat(&open, name))
            .is_ok_and(|stat| stat.is_some())
    }

    fn extras_of(&self, frame: &DirFrame) -> Option<Extras> {
        match &frame.dir {
            DirState::Entered(dir) => Extras::of(self.context, dir),
            DirState::Waiting(_) | DirState::Blocked => None,
        }
    }

    fn delete_before(&mut self, name: &[u8]) {
        if let Some(extras) = self.frames.last_mut().and_then(|frame| frame.extras.as_mut()) {
            let extras = extras.before(name);
            self.delete(extras);
        }
    }

    fn delete_rest(&mut self) {
        if let Some(extras) = self.frames.last_mut().and_then(|frame| frame.extras.as_mut()) {
            let extras = extras.rest();
            self.delete(extras);
        }
    }

    fn delete(&self, names: Vec<Vec<u8>>) {
        let Some(DirFrame { dir: DirState::Entered(dir), .. }) = self.frames.last() else {
            return;
        };
        for name in names {
            if let Err(error) = self.delete_one(dir, &name) {
                self.context.report_failed(&dir.path_of(&name), error);
            }
        }
    }

    fn delete_one(&self, dir: &Arc<TargetDir>, name: &[u8]) -> std::io::Result<()> {
        let above = &self.walk.path()[..self.frames.last().map_or(0, |frame| frame.path_len)];
        let path = below(above, name);
        let stat = match inspect_extra(&*dir.open(&self.context.host.dirs)?, name)? {
            Extra::Seen(stat) => stat,
            Extra::Unseen if self.walk.would_select(&path, true) => {
                self.context.report_blocked(&dir.path_of(name), UNSEEN_MOUNT);
                return Ok(());
            }
            Extra::Gone | Extra::Unseen => return Ok(()),
        };
        let is_wanted = self.walk.would_select(&path, stat.kind == EntryKind::Dir)
            && !is_alias(self.context, dir, name);
        if is_wanted
            && !self.context.skip_if_protected(&stat, || dir.path_of(name))
            && !self.context.skip_if_unread(|| dir.path_of(name))
        {
            let stays =
                |at: &[u8], is_dir: bool| !self.walk.would_select(&below(above, at), is_dir);
            remove_tree(
                self.context,
                dir,
                name,
                &stat,
                RemovalHooks { on_removed: &mut |_, _| {}, stays: &stays },
            )?;
        }
        Ok(())
    }

    fn full_path(&self) -> Vec<u8> {
        [&self.shown, &b"/"[..], self.walk.path()].concat()
    }
}
