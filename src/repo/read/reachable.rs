//! Traversal of all that snapshots reach: each node and each chunk once, in parallel, in any order.
//!
//! The marks take one bit per record of the index, so 100 million chunks take 12 MiB.

use std::hash::Hash;
use std::sync::Mutex;

use super::mark_bits::Statement;
pub use super::mark_bits::{MarkBits, Notes};
use super::trees::Trees;
use crate::format::codec::DecodeError;
use crate::format::container::ChunkKind;
use crate::format::entry::{Content, Entry, EntryKind, Ref};
use crate::format::node::{ListNode, Totals, TreeNode};
use crate::format::promise::{ListPromise, TreePromise};
use crate::id::ChunkId;
use crate::monitor::Monitor;
use crate::repo::error::{Error, Result};
use crate::repo::index::ChunkPlace;
use crate::sync::{self, lock};

/// Receives what a traversal reaches.
pub trait Visitor: Sync {
    /// Called when a chunk is reached for the first time; a node is read only if this returns true.
    fn reached(
        &self,
        kind: ChunkKind,
        id: &ChunkId,
        len_bytes: Option<u32>,
        place: &ChunkPlace,
    ) -> bool;

    /// Called for each file whose content is in the node itself, with its length.
    fn inline(&self, _len_bytes: u64) {}

    /// Called when a chunk is not in the index; more than once if several nodes refer to it.
    fn missing(&self, kind: ChunkKind, id: &ChunkId);

    /// Called when a node cannot be read, or states something wrong about a node below it.
    fn fault(&self, kind: ChunkKind, id: &ChunkId, error: Error);

    /// Called when an entry states that a list has `bytes` bytes, but it has another length.
    fn misstated(&self, id: &ChunkId, _bytes: u64, error: Error) {
        self.fault(ChunkKind::List, id, error);
    }

    /// Called for each reference of a file to a chunk in the index, not only for the first one.
    fn referred(&self, _id: &ChunkId, _len_bytes: u32, _place: &ChunkPlace) {}

    /// Returns the notes of what was stated about nodes, so that a node with several nodes above it
    /// is compared with all of them.
    fn notes(&self) -> Option<&Notes> {
        None
    }
}

/// What the node or entry above states about a node.
#[derive(Default, Hash)]
struct Promise {
    level: Option<u8>,
    totals: Option<Totals>,
    /// First name of a tree node. (The bytes that a list node covers are in `totals`.)
    first_name: Option<Vec<u8>>,
    /// Every name in the node must be less.
    before: Option<Vec<u8>>,
}

/// A node to visit.
struct NodeVisit {
    kind: ChunkKind,
    id: ChunkId,
    promise: Promise,
    /// The node above, which states the promise; none for a snapshot's root.
    above: Option<(ChunkKind, ChunkId)>,
}

/// The threads of a traversal, and the monitor that can stop it.
pub struct Walkers<'a> {
    /// The threads.
    pub pool: &'a rayon::ThreadPool,
    /// Stops the traversal when it is cancelled.
    pub monitor: &'a Monitor,
}

/// Visits all that the trees with these roots reach.
///
/// Stops at the first failure that is not damage (such as a store that cannot be reached), and
/// returns it.
pub fn visit_reachable(
    trees: &Trees,
    roots: &[(ChunkId, Totals)],
    visitor: &dyn Visitor,
    pool: &rayon::ThreadPool,
    monitor: &Monitor,
) -> Result<()> {
    let marks = MarkBits::new(trees.reader().index().record_count());
    visit_unmarked(trees, roots, visitor, &marks, &Walkers { pool, monitor })
}

/// Visits and marks all that the trees with these roots reach and that is not marked yet.
///
/// `marks` must have a bit for each record of the index. Stops at the first failure that is not
/// damage.
pub fn visit_unmarked(
    trees: &Trees,
    roots: &[(ChunkId, Totals)],
    visitor: &dyn Visitor,
    marks: &MarkBits,
    walkers: &Walkers,
) -> Result<()> {
    let Walkers { pool, monitor } = *walkers;
    let traversal = Traversal { trees, marks, visitor, monitor, failure: Mutex::new(None) };
    pool.in_place_scope(|scope| {
        for (id, totals) in roots {
            let promise = Promise { totals: Some(*totals), ..Promise::default() };
            traversal
                .enter(scope, NodeVisit { kind: ChunkKind::Tree, id: *id, promise, above: None });
        }
    });
    let failure = sync::into_inner(traversal.failure);
    if monitor.is_cancelled() {
        return Err(Error::Cancelled);
    }
    failure.map_or(Ok(()), Err)
}

struct Traversal<'a> {
    trees: &'a Trees,
    marks: &'a MarkBits,
    visitor: &'a dyn Visitor,
    monitor: &'a Monitor,
    failure: Mutex<Option<Error>>,
}

impl<'a> Traversal<'a> {
    fn enter<'s>(&'s self, scope: &rayon::Scope<'s>, visit: NodeVisit)
    where
        'a: 's,
    {
        match self.look_up(&visit) {
            // Each thread takes its newest task first, so the number of waiting tasks is bounded by
            // the depth of the tree, not by its size.
            Ok(Some(only_compare)) => scope.spawn(move |scope| {
                if !self.is_stopped() {
                    self.read(scope, &visit, only_compare);
                }
            }),
            Ok(None) => {}
            Err(error) => self.fail(error),
        }
    }

    /// Returns whether a node is read only to compare it with its promise; `None` if it need not be
    /// read.
    fn look_up(&self, visit: &NodeVisit) -> Result<Option<bool>> {
        let Some(found) = self.trees.reader().index().find_numbered(&visit.id)? else {
            self.visitor.missing(visit.kind, &visit.id);
            return Ok(None);
        };
        let said = self
            .visitor
            .notes()
            .map_or(Statement::Unknown, |notes| notes.note(found.number, &visit.promise));
        if self.marks.set(found.number) {
            return Ok(self.visitor.reached(visit.kind, &visit.id, None, &found).then_some(false));
        }
        Ok((said == Statement::Different || said == Statement::First).then_some(true))
    }

    /// Reads a node; with `only_compare`, does not go on to what is below it.
    fn read<'s>(&'s self, scope: &rayon::Scope<'s>, visit: &NodeVisit, only_compare: bool)
    where
        'a: 's,
    {
        let id = &visit.id;
        let outcome = match visit.kind {
            ChunkKind::Tree => self
                .trees
                .node(id)
                .and_then(|node| self.read_tree(scope, visit, node, only_compare)),
            ChunkKind::List => self
                .trees
                .list_node(id)
                .and_then(|node| self.read_list(scope, visit, node, only_compare)),
            ChunkKind::Data => Ok(()),
        };
        match outcome {
            // This says nothing about the node: the caller repeats the traversal with another copy
            // of the run.
            Err(error) if error.is_of_index() => self.fail(error),
            // It was reported when the node was reached for the first time.
            Err(error) if error.is_damage() && only_compare => {}
            Err(error) if error.is_damage() => self.visitor.fault(visit.kind, id, error),
            Err(error) => self.fail(error),
            Ok(()) => {}
        }
    }

    /// Reports that the node or entry above states something wrong about a node.
    fn misfit(&self, visit: &NodeVisit, source: DecodeError) {
        let (kind, id) = visit.above.unwrap_or((visit.kind, visit.id));
        if (visit.kind, kind) == (ChunkKind::List, ChunkKind::Tree) {
            let bytes = visit.promise.totals.unwrap_or_default().bytes;
            return self.visitor.misstated(&visit.id, bytes, malformed(&visit.id, source));
        }
        self.visitor.fault(kind, &id, malformed(&id, source));
    }

    fn read_tree<'s>(
        &'s self,
        scope: &rayon::Scope<'s>,
        visit: &NodeVisit,
        node: TreeNode,
        only_compare: bool,
    ) -> Result<()>
    where
        'a: 's,
    {
        let promise = &visit.promise;
        let said = TreePromise {
            level: promise.level,
            first_name: promise.first_name.as_deref(),
            before: promise.before.as_deref(),
        };
        if let Err(error) = said.check(&node) {
            self.misfit(visit, error);
        } else if promise.totals.is_some_and(|promised| promised != totals_of(&node)) {
            let error = DecodeError::new("tree node", "its sums are not what stands above it");
            let above = visit.above.filter(|_| only_compare).map_or(visit.id, |(_, id)| id);
            self.visitor.fault(ChunkKind::Tree, &above, malformed(&above, error));
        }
        if only_compare {
            return Ok(());
        }
        let above = Some((ChunkKind::Tree, visit.id));
        match node {
            TreeNode::Inner { level, children } => {
                let mut before = visit.promise.before.clone();
                for child in children.into_iter().rev() {
                    let promise = Promise {
                        level: Some(level - 1),
                        totals: Some(child.totals),
                        before: before.replace(child.first_name.clone()),
                        first_name: Some(child.first_name),
                    };
                    self.enter(
                        scope,
                        NodeVisit { kind: ChunkKind::Tree, id: child.id, promise, above },
                    );
                }
            }
            TreeNode::Leaf { entries, dir_totals, .. } => {
                let mut dir_totals = dir_totals.into_iter();
                for entry in entries {
                    self.read_entry(scope, visit.id, entry, &mut dir_totals)?;
                }
            }
        }
        Ok(())
    }

    fn read_entry<'s>(
        &'s self,
        scope: &rayon::Scope<'s>,
        leaf: ChunkId,
        entry: Entry,
        dir_totals: &mut impl Iterator<Item = Totals>,
    ) -> Result<()>
    where
        'a: 's,
    {
        let above = Some((ChunkKind::Tree, leaf));
        match entry.content {
            Content::Tree(id) => {
                let promise = Promise { totals: dir_totals.next(), ..Promise::default() };
                self.enter(scope, NodeVisit { kind: ChunkKind::Tree, id, promise, above });
            }
            Content::List(id) => {
                let totals = Totals { bytes: entry.size, ..Totals::default() };
                let promise = Promise { totals: Some(totals), ..Promise::default() };
                self.enter(scope, NodeVisit { kind: ChunkKind::List, id, promise, above });
            }
            Content::Refs(refs) => self.read_refs(&refs)?,
            Content::Inline(bytes) if entry.kind == EntryKind::File => {
                self.visitor.inline(bytes.len() as u64)
            }
            Content::Inline(_) | Content::None => {}
        }
        Ok(())
    }

    fn read_list<'s>(
        &'s self,
        scope: &rayon::Scope<'s>,
        visit: &NodeVisit,
        node: ListNode,
        only_compare: bool,
    ) -> Result<()>
    where
        'a: 's,
    {
        let said = ListPromise {
            level: visit.promise.level,
            bytes: visit.promise.totals.map(|totals| totals.bytes),
        };
        if let Err(error) = said.check(&node) {
            self.misfit(visit, error);
        }
        if only_compare {
            return Ok(());
        }
        let above = Some((ChunkKind::List, visit.id));
        match node {
            ListNode::Leaf { refs } => self.read_refs(&refs),
            ListNode::Inner { level, children } => {
                for child in children.into_iter().rev() {
                    let totals = Totals { bytes: child.bytes, ..Totals::default() };
                    let promise = Promise {
                        level: Some(level - 1),
                        totals: Some(totals),
                        ..Promise::default()
                    };
                    self.enter(
                        scope,
                        NodeVisit { kind: ChunkKind::List, id: child.id, promise, above },
                    );
                }
                Ok(())
            }
        }
    }

    fn read_refs(&self, refs: &[Ref]) -> Result<()> {
        for piece in refs {
            if let Ref::Data { id, len } = piece {
                let Some(found) = self.trees.reader().index().find_numbered(id)? else {
                    self.visitor.missing(ChunkKind::Data, id);
                    continue;
                };
                self.visitor.referred(id, *len, &found);
                if self.marks.set(found.number) {
                    self.visitor.reached(ChunkKind::Data, id, Some(*len), &found);
                }
            }
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.monitor.is_cancelled() || lock(&self.failure).is_some()
    }

    fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
    }
}

fn malformed(id: &ChunkId, source: DecodeError) -> Error {
    Error::Malformed { object: format!("chunk {}", id.short()), source }
}

/// Returns the sums over everything below a node, as its parent states them.
fn totals_of(node: &TreeNode) -> Totals {
    let mut sum = Totals::default();
    match node {
        TreeNode::Inner { children, .. } => children.iter().for_each(|child| sum.add(child.totals)),
        TreeNode::Leaf { entries, dir_totals, .. } => {
            let mut dir_totals = dir_totals.iter();
            for entry in entries {
                match entry.kind {
                    EntryKind::Dir => {
                        sum.add(dir_totals.next().copied().unwrap_or_default());
                        sum.dirs = sum.dirs.saturating_add(1);
                    }
                    EntryKind::File => sum.add(Totals { files: 1, dirs: 0, bytes: entry.size }),
                    _ => sum.add(Totals { files: 1, dirs: 0, bytes: 0 }),
                }
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests;
