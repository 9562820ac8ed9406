//! Visit of one name: whether it is wanted, whether it changed, and the work that it needs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::context::{FileCounts, SourceContext, TargetContext};
use super::describe::{has_xattrs, is_doubtful, is_unchanged, stat_size};
use super::file::{NameInDir, read, report};
use super::followed::{read_followed, stat_followed};
use super::inspected::{DirectoryScope, ParentState};
use super::ordered_results::{EntryResult, ParentEntry};
use super::path;
use super::sources::{self, SourceFilter, SourceNode};
use super::task::{Directory, NewDirectory, ResultSlot, Scan, SourceWalk, Task, VisitResult};
use super::worker::Worker;
use crate::format::entry::{Entry, EntryKind};
use crate::monitor::ProblemKind;
use crate::os::attributes::read_xattrs;
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Result};

/// Files of at least this many bytes become separate tasks, so that threads can share a directory.
const OWN_TASK_LEN_BYTES: u64 = 8 << 20;

/// A name in a directory, and the parent's entry of it.
pub(super) struct ScannedName<'a> {
    name: &'a [u8],
    slot: ResultSlot,
    before: Option<DirEntry>,
    /// Whether names between the last one and this one were deleted.
    deleted_before: bool,
}

/// A name that is not a directory, as it was found.
struct FileVisit<'a> {
    scanned: ScannedName<'a>,
    stat: Stat,
    is_source: bool,
    follows: bool,
    /// Whether it is the same file as in the parent.
    is_same: bool,
}

impl Directory {
    /// Visits one name.
    pub(super) fn visit(
        self: &Arc<Self>,
        walk: &SourceWalk,
        worker: &mut Worker,
        scan: &mut Scan,
        scanned: ScannedName,
    ) -> Result<VisitResult> {
        let (source, name) = (walk.source, scanned.name);
        let skipped =
            EntryResult::Skipped { deleted: scanned.deleted_before || scanned.before.is_some() };
        let (is_source, follows, named) = match scan.named.remove(name) {
            Some(SourceNode::Made(entry)) => {
                source.losses.note_made(&path::join(&scan.path, name));
                return Ok(visit_made(walk.target, entry, scanned));
            }
            Some(SourceNode::LeftOut) => return Ok(VisitResult::Done(skipped)),
            Some(SourceNode::Whole { follows, named }) => (true, follows, named),
            Some(SourceNode::Partial(named)) => (false, false, named),
            None => (false, false, SourceFilter::new()),
        };
        let scope = |only_named, named| DirectoryScope {
            only_named,
            named,
            is_source,
            follows,
            is_inside: self.is_inside || self.is_whole,
        };
        if !self.is_whole && !is_source {
            return Ok(self.enter_later(scanned, scope(true, named), None, true));
        }
        let is_excluded_by_marker =
            !is_source && self.marker.as_deref().is_some_and(|marker| marker != name);
        if is_excluded_by_marker && named.is_empty() {
            return Ok(VisitResult::Done(skipped));
        }
        let path = path::join(&scan.path, name);
        let Some(dir) = self.dir() else {
            return Ok(VisitResult::Done(skipped));
        };
        let at = NameInDir { dir: &dir, name, path: &path };
        let Some(stat) = self.stat_name(source, at, follows, is_source) else {
            return Ok(VisitResult::Done(skipped));
        };
        let is_dir = stat.kind == EntryKind::Dir;
        if is_excluded_by_marker || self.leaves_out(source, &path, &stat, is_source) {
            let leads_on = is_dir && !named.is_empty();
            return Ok(if leads_on {
                let ancestor = DirectoryScope { is_source: false, ..scope(true, named) };
                self.enter_later(scanned, ancestor, None, true)
            } else {
                VisitResult::Done(skipped)
            });
        }
        scan.add(walk, name, &stat);
        // The proofs of a directory are about the link, not about its target.
        let is_same = !follows
            && scanned.before.as_ref().is_some_and(|before| {
                self.identity.trust.vouches(walk.target, name, &before.entry, &stat)
            });
        if is_dir {
            return Ok(self.enter_later(scanned, scope(false, named), Some(&stat), is_same));
        }
        if !named.is_empty() {
            let what = "what should lie below it is not stored: it is no folder";
            source.monitor.source_problem(ProblemKind::Unreadable, &path, what);
        }
        self.visit_file(walk, worker, at, FileVisit { scanned, stat, is_source, follows, is_same })
    }

    /// Returns the metadata of a name; `None` after reporting why it cannot be read.
    fn stat_name(
        &self,
        source: &SourceContext,
        at: NameInDir,
        follows: bool,
        is_source: bool,
    ) -> Option<Stat> {
        let looked = match follows {
            true => stat_followed(&source.root, at.path),
            false => source.listings.retry_if_listed(at.dir, at.name, || at.dir.stat(at.name)),
        };
        looked.map_err(|error| self.report_unseen(source, at, error, is_source)).ok()
    }

    /// Reuses the parent's entry of anything but a directory, or reads it.
    fn visit_file(
        self: &Arc<Self>,
        walk: &SourceWalk,
        worker: &mut Worker,
        at: NameInDir,
        visit: FileVisit,
    ) -> Result<VisitResult> {
        let (source, target) = (walk.source, walk.target);
        let FileVisit {
            scanned: ScannedName { slot, before, deleted_before, .. },
            stat,
            is_source,
            follows,
            is_same,
        } = visit;
        source.monitor.files_done.fetch_add(1, Ordering::Relaxed);
        if is_source {
            sources::note_file_source(
                source,
                at.path,
                &stat,
                before.as_ref(),
                self.is_whole || self.is_inside,
            );
        }
        // Always called, since patterns that matched nothing are reported at the end.
        let is_wanted_anew = source.excludes.always_reads(at.path);
        let parent = match before {
            Some(before)
                if is_same
                    && !is_wanted_anew
                    && is_unchanged(
                        walk.contexts(),
                        &before.entry,
                        &stat,
                        self.trusts(source, &stat),
                    )
                    && !lacks_attributes(target, at, &before.entry, follows) =>
            {
                FileCounts::add(&target.counts.unchanged, 1);
                source.monitor.bytes_done.fetch_add(before.entry.size, Ordering::Relaxed);
                return Ok(VisitResult::Done(EntryResult::Entry {
                    entry: Box::new(before),
                    is_unchanged: !deleted_before,
                }));
            }
            before => ParentEntry { entry: before.map(Box::new), deleted_before },
        };
        if !follows && stat.kind == EntryKind::File && stat.size >= OWN_TASK_LEN_BYTES {
            return Ok(VisitResult::Task(Task::Read {
                directory: self.clone(),
                slot,
                name: at.name.to_vec(),
                parent,
            }));
        }
        let entry = match follows {
            true => read_followed(source, worker, &stat, at)?,
            false => read(source, worker, &stat, at)?,
        };
        if entry
            .as_ref()
            .is_some_and(|entry| is_doubtful(entry) || entry.entry.size != stat_size(&stat))
        {
            self.mark_unsure();
        }
        Ok(VisitResult::Done(EntryResult::of_read(&target.counts, entry, parent)))
    }

    /// Returns whether rules leave a name out.
    ///
    /// A source is in the snapshot, unless a pattern excludes exactly that, and no source above has
    /// it: `home/* --exclude bob` is all but bob.
    fn leaves_out(
        &self,
        source: &SourceContext,
        path: &[u8],
        stat: &Stat,
        is_source: bool,
    ) -> bool {
        let is_dir = stat.kind == EntryKind::Dir;
        if !is_source {
            return self.is_whole
                && source.excludes.leaves_out(path, stat, is_dir, self.chain.as_deref());
        }
        let is_out = !self.is_inside && !self.is_whole && source.excludes.is_excluded(path, is_dir);
        if is_out {
            source.losses.note_left_out(path);
            source.monitor.source_problem(
                ProblemKind::Notice,
                path,
                "this source is left out: a pattern excludes it",
            );
        }
        is_out
    }

    /// Returns whether a name in this directory is on a trusted file system.
    fn trusts(&self, source: &SourceContext, stat: &Stat) -> bool {
        self.identity.is_trusted && self.device == Some(stat.dev)
            || source.devices.is_known_to_be_trusted(stat.dev)
    }

    /// Reports why the metadata of a name cannot be read, unless it is a mount to skip anyway.
    fn report_unseen(
        &self,
        source: &SourceContext,
        at: NameInDir,
        error: std::io::Error,
        is_source: bool,
    ) {
        if is_source {
            source.losses.note_unread(at.path, error);
        } else if let Some(reason) = source.excludes.stops_at_unseen(at.dir, at.name, self.device) {
            source.monitor.problem(ProblemKind::Notice, at.path, reason);
        } else {
            let _ = report(source.monitor, at.path, &error);
        }
    }

    /// Returns the task to enter a directory; `stat` is its metadata, if that was read.
    fn enter_later(
        self: &Arc<Self>,
        scanned: ScannedName,
        scope: DirectoryScope,
        stat: Option<&Stat>,
        is_same: bool,
    ) -> VisitResult {
        VisitResult::Task(Task::Enter(Box::new(NewDirectory {
            above: Some((self.clone(), scanned.slot)),
            name: scanned.name.to_vec(),
            scope,
            parent_state: scanned
                .before
                .map_or(ParentState::Unknown, |before| ParentState::Entry(Box::new(before))),
            seen: stat.map(|stat| (stat.inode, stat.btime)),
            deleted_before: scanned.deleted_before,
            is_same,
        })))
    }
}

impl Scan {
    /// Finds the parent's entry of the next name, whose result goes to `slot`.
    pub(super) fn next_name<'a>(&mut self, name: &'a [u8], slot: ResultSlot) -> ScannedName<'a> {
        let (before, deleted_before) = self.parent_entries.take(name);
        ScannedName { name, slot, before, deleted_before }
    }

    /// Adds a name to the directory's fingerprint and tags, if it has them.
    fn add(&mut self, walk: &SourceWalk, name: &[u8], stat: &Stat) {
        if let Some(hasher) = &mut self.hasher {
            hasher.add(name, stat, &walk.source.devices);
        }
        if let Some(tags) = &mut self.tags {
            tags.add(walk.target, name, stat);
        }
    }
}

/// Compares the entry of a file that a dump made with the parent's.
fn visit_made(target: &TargetContext, entry: Box<DirEntry>, scanned: ScannedName) -> VisitResult {
    let ScannedName { before, deleted_before, .. } = scanned;
    let parent = ParentEntry { entry: before.map(Box::new), deleted_before };
    VisitResult::Done(EntryResult::of_made(&target.counts, entry, parent))
}

/// Returns whether the parent's entry of an unchanged file may lack an attribute.
fn lacks_attributes(target: &TargetContext, at: NameInDir, before: &Entry, follows: bool) -> bool {
    target.has_doubts_on(at.path)
        && (follows || !has_xattrs(before, read_xattrs(at.dir, at.name, before.kind)))
}
