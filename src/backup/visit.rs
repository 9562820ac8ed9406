//! Looking at one name of a folder: whether it is wanted, what the parent had, and what is to be
//! done.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::context::{Counts, SourceContext, TargetContext};
use super::describe::{has_xattrs, is_doubtful, is_unchanged, stat_size};
use super::file::{Place, read, report};
use super::followed::{read_followed, stat_followed};
use super::found::{Scope, Was};
use super::gather::{Done, Earlier};
use super::path;
use super::sources::{self, Named, SourceNode};
use super::task::{Folder, NewFolder, Scan, Slot, Task, Visit, Walk};
use super::worker::Worker;
use crate::format::entry::{Entry, EntryKind};
use crate::monitor::ProblemKind;
use crate::os::attributes::read_xattrs;
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Result};

/// Files of at least this many bytes become tasks of their own, so that several threads can share
/// one folder.
const OWN_TASK_LEN_BYTES: u64 = 8 << 20;

/// A name of a folder, and what the parent had under it.
pub(super) struct Met<'a> {
    name: &'a [u8],
    slot: Slot,
    before: Option<DirEntry>,
    /// Whether names that the parent had before it are gone.
    gap: bool,
}

/// What was found out about a name that is no folder's.
struct Seen<'a> {
    met: Met<'a>,
    stat: Stat,
    is_source: bool,
    follows: bool,
    /// Whether it is the parent's file.
    is_same: bool,
}

impl Folder {
    /// Looks at one name.
    pub(super) fn visit(
        self: &Arc<Self>,
        walk: &Walk,
        worker: &mut Worker,
        scan: &mut Scan,
        met: Met,
    ) -> Result<Visit> {
        let (source, name) = (walk.source, met.name);
        let skipped = Done::Skipped { gap: met.gap || met.before.is_some() };
        let (is_source, follows, named) = match scan.named.remove(name) {
            Some(SourceNode::Made(entry)) => {
                return Ok(Visit::Done(Done::Entry { entry, same: false }));
            }
            Some(SourceNode::Whole { follows, named }) => (true, follows, named),
            Some(SourceNode::Way(named)) => (false, false, named),
            None => (false, false, Named::new()),
        };
        let scope = |only_named, named| Scope {
            only_named,
            named,
            is_source,
            follows,
            is_inside: self.is_inside || self.is_whole,
        };
        if !self.is_whole && !is_source {
            return Ok(self.enter_later(met, scope(true, named), None, true));
        }
        let is_passed_over =
            !is_source && self.marker.as_deref().is_some_and(|marker| marker != name);
        if is_passed_over && named.is_empty() {
            return Ok(Visit::Done(skipped));
        }
        let path = path::join(&scan.path, name);
        let Some(dir) = self.dir() else {
            return Ok(Visit::Done(skipped));
        };
        let place = Place { dir: &dir, name, path: &path };
        let Some(stat) = self.look_at(source, place, follows, is_source) else {
            return Ok(Visit::Done(skipped));
        };
        let is_dir = stat.kind == EntryKind::Dir;
        if is_passed_over || self.leaves_out(source, &path, &stat, is_source) {
            let leads_on = is_dir && !named.is_empty();
            return Ok(if leads_on {
                let only_way = Scope { is_source: false, ..scope(true, named) };
                self.enter_later(met, only_way, None, true)
            } else {
                Visit::Done(skipped)
            });
        }
        scan.add(walk, name, &stat);
        // What the folder proves of a link says nothing of what the link leads to.
        let is_same = !follows
            && met.before.as_ref().is_some_and(|before| {
                self.identity.trust.vouches(walk.target, name, &before.entry, &stat)
            });
        if is_dir {
            return Ok(self.enter_later(met, scope(false, named), Some(&stat), is_same));
        }
        self.visit_file(walk, worker, place, Seen { met, stat, is_source, follows, is_same })
    }

    /// Returns what a name leads to; if it cannot be looked at, says why.
    fn look_at(
        &self,
        source: &SourceContext,
        place: Place,
        follows: bool,
        is_source: bool,
    ) -> Option<Stat> {
        let looked = match follows {
            true => stat_followed(place.path),
            false => source.listings.insist(place.dir, place.name, || place.dir.stat(place.name)),
        };
        looked.map_err(|error| self.report_unseen(source, place, error, is_source)).ok()
    }

    /// Takes over what the parent has of anything but a folder, or reads it.
    fn visit_file(
        self: &Arc<Self>,
        walk: &Walk,
        worker: &mut Worker,
        place: Place,
        seen: Seen,
    ) -> Result<Visit> {
        let (source, target) = (walk.source, walk.target);
        let Seen { met: Met { slot, before, gap, .. }, stat, is_source, follows, is_same } = seen;
        source.monitor.files_done.fetch_add(1, Ordering::Relaxed);
        if is_source {
            sources::tell_of_file(
                source,
                place.path,
                &stat,
                before.as_ref(),
                self.is_whole || self.is_inside,
            );
        }
        // Asked in any case: whether a pattern matched anything is told at the end.
        let is_wanted_anew = source.excludes.always_reads(place.path);
        let earlier = match before {
            Some(before)
                if is_same
                    && !is_wanted_anew
                    && is_unchanged(
                        walk.contexts(),
                        &before.entry,
                        &stat,
                        self.trusts(source, &stat),
                    )
                    && !lacks_attributes(target, place, &before.entry, follows) =>
            {
                Counts::add(&target.counts.unchanged, 1);
                source.monitor.bytes_done.fetch_add(before.entry.size, Ordering::Relaxed);
                return Ok(Visit::Done(Done::Entry { entry: Box::new(before), same: !gap }));
            }
            before => Earlier { entry: before.map(Box::new), gap },
        };
        if !follows && stat.kind == EntryKind::File && stat.size >= OWN_TASK_LEN_BYTES {
            return Ok(Visit::Task(Task::Read {
                folder: self.clone(),
                slot,
                name: place.name.to_vec(),
                earlier,
            }));
        }
        let entry = match follows {
            true => read_followed(source, worker, &stat, place)?,
            false => read(source, worker, &stat, place)?,
        };
        if entry
            .as_ref()
            .is_some_and(|entry| is_doubtful(entry) || entry.entry.size != stat_size(&stat))
        {
            self.be_unsure();
        }
        Ok(Visit::Done(Done::of_read(&target.counts, entry, earlier)))
    }

    /// Returns whether rules leave a name out.
    ///
    /// What was asked for by name is in the snapshot, unless a pattern excludes just that, and no
    /// source above would hold it: `home/* --exclude bob` is everybody but bob.
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
            source.losses.left_out(path);
            source.monitor.source_problem(
                ProblemKind::Notice,
                path,
                "this source is left out: a pattern excludes it",
            );
        }
        is_out
    }

    /// Returns whether the stamps of a name in this folder are of a file system that is trusted.
    fn trusts(&self, source: &SourceContext, stat: &Stat) -> bool {
        self.identity.is_trusted && self.device == Some(stat.dev)
            || source.devices.is_known_to_be_trusted(stat.dev)
    }

    /// Says why a name cannot be looked at, unless it is a mount that is not to be entered anyway.
    fn report_unseen(
        &self,
        source: &SourceContext,
        place: Place,
        error: std::io::Error,
        is_source: bool,
    ) {
        if is_source {
            source.losses.unread(place.path, error);
        } else if let Some(reason) =
            source.excludes.stops_at_unseen(place.dir, place.name, self.device)
        {
            source.monitor.problem(ProblemKind::Notice, place.path, reason);
        } else {
            let _ = report(source.monitor, place.path, &error);
        }
    }

    /// Leaves a folder for later; `stat` is what it was seen to be, if it was looked at.
    fn enter_later(
        self: &Arc<Self>,
        met: Met,
        scope: Scope,
        stat: Option<&Stat>,
        is_same: bool,
    ) -> Visit {
        Visit::Task(Task::Enter(Box::new(NewFolder {
            above: Some((self.clone(), met.slot)),
            name: met.name.to_vec(),
            scope,
            was: met.before.map_or(Was::Unknown, |before| Was::Entry(Box::new(before))),
            seen: stat.map(|stat| (stat.inode, stat.btime)),
            gap: met.gap,
            is_same,
        })))
    }
}

impl Scan {
    /// Comes to the next name, whose result goes to `slot`.
    pub(super) fn meet<'a>(&mut self, name: &'a [u8], slot: Slot) -> Met<'a> {
        let (before, gap) = self.before.take(name);
        Met { name, slot, before, gap }
    }

    /// Adds a name to the folder's fingerprint and tags, where it has them.
    fn add(&mut self, walk: &Walk, name: &[u8], stat: &Stat) {
        if let Some(printer) = &mut self.printer {
            printer.add(name, stat, &walk.source.devices);
        }
        if let Some(tags) = &mut self.tags {
            tags.add(walk.target, name, stat);
        }
    }
}

/// Returns whether the parent's entry of a file that did not change may lack an attribute.
fn lacks_attributes(target: &TargetContext, place: Place, before: &Entry, follows: bool) -> bool {
    target.has_doubts_on(place.path)
        && (follows || !has_xattrs(before, read_xattrs(place.dir, place.name, before.kind)))
}
