//! Everything that snapshots reach: each node and each chunk once, in parallel, in any order.
//!
//! What was seen is one bit per record of the index, so 100 million chunks take 12 MiB.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::error::{Error, Result};
use super::index::Place;
use super::trees::Trees;
use crate::format::codec::DecodeError;
use crate::format::container::ChunkKind;
use crate::format::entry::{Content, Entry, EntryKind, Ref};
use crate::format::node::{ListNode, Totals, TreeNode};
use crate::id::ChunkId;
use crate::monitor::Monitor;

/// One bit per record of the index.
pub struct Marks(Vec<AtomicU64>);

impl Marks {
    /// Makes `count` bits, all clear.
    pub fn new(count: u64) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Sets a bit and returns whether it was clear; what is beyond the last bit is always clear.
    pub fn set(&self, number: u64) -> bool {
        let bit = 1 << (number % 64);
        self.0.get((number / 64) as usize).is_none_or(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
    }

    /// Returns whether a bit is set.
    pub fn is_set(&self, number: u64) -> bool {
        self.0.get((number / 64) as usize).is_some_and(|word| word.load(Ordering::Relaxed) & 1 << (number % 64) != 0)
    }
}

/// Is told what is reached.
pub trait Visitor: Sync {
    /// A chunk is reached for the first time; a node is read only if this returns true.
    fn reached(&self, kind: ChunkKind, id: &ChunkId, len_bytes: Option<u32>, place: &Place) -> bool;

    /// A node that was read holds so many bytes of file content itself.
    fn inline(&self, _len_bytes: u64) {}

    /// A chunk that something refers to is not in the index. May be told more than once.
    fn missing(&self, kind: ChunkKind, id: &ChunkId);

    /// A node cannot be read, or does not fit what its parent says of it.
    fn fault(&self, kind: ChunkKind, id: &ChunkId, error: Error);
}

/// What a parent says of a node.
#[derive(Default)]
struct Promise {
    level: Option<u8>,
    totals: Option<Totals>,
    /// First name of a tree node; the bytes that a list node covers stand in `totals`.
    first_name: Option<Vec<u8>>,
    /// Every name must be less.
    before: Option<Vec<u8>>,
}

/// A node to visit.
struct Visit {
    kind: ChunkKind,
    id: ChunkId,
    promise: Promise,
}

/// Visits everything that the trees with these roots reach.
///
/// Stops at the first failure that is not damage (the store cannot be reached, cancelled) and returns it.
pub fn visit_reachable(
    trees: &Trees,
    roots: &[(ChunkId, Totals)],
    visitor: &dyn Visitor,
    pool: &rayon::ThreadPool,
    monitor: &Monitor,
) -> Result<()> {
    visit_unmarked(trees, roots, (visitor, &Marks::new(trees.reader().index().record_count())), pool, monitor)
}

/// Visits everything that the trees with these roots reach and that is not marked yet, and marks it.
///
/// There must be a mark for each record of the index. Stops at the first failure that is not damage.
pub fn visit_unmarked(
    trees: &Trees,
    roots: &[(ChunkId, Totals)],
    (visitor, marks): (&dyn Visitor, &Marks),
    pool: &rayon::ThreadPool,
    monitor: &Monitor,
) -> Result<()> {
    let walk = Walk { trees, marks, visitor, monitor, failure: Mutex::new(None) };
    pool.in_place_scope(|scope| {
        for (id, totals) in roots {
            let promise = Promise { totals: Some(*totals), ..Promise::default() };
            walk.enter(scope, Visit { kind: ChunkKind::Tree, id: *id, promise });
        }
    });
    let failure = walk.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    if monitor.is_cancelled() {
        return Err(Error::Cancelled);
    }
    failure.map_or(Ok(()), Err)
}

struct Walk<'a> {
    trees: &'a Trees,
    marks: &'a Marks,
    visitor: &'a dyn Visitor,
    monitor: &'a Monitor,
    failure: Mutex<Option<Error>>,
}

impl<'a> Walk<'a> {
    fn enter<'s>(&'s self, scope: &rayon::Scope<'s>, visit: Visit)
    where
        'a: 's,
    {
        match self.mark(visit.kind, &visit.id, None) {
            // Spawned work is taken newest first, so what waits is bounded by the depth of the tree, not by its size.
            Ok(true) => scope.spawn(move |scope| {
                if !self.is_stopped() {
                    self.read(scope, &visit);
                }
            }),
            Ok(false) => {}
            Err(error) => self.fail(error),
        }
    }

    /// Returns whether the chunk was reached for the first time and the visitor wants it read.
    fn mark(&self, kind: ChunkKind, id: &ChunkId, len_bytes: Option<u32>) -> Result<bool> {
        let Some(found) = self.trees.reader().index().find_numbered(id)? else {
            self.visitor.missing(kind, id);
            return Ok(false);
        };
        Ok(self.marks.set(found.number) && self.visitor.reached(kind, id, len_bytes, &found))
    }

    fn read<'s>(&'s self, scope: &rayon::Scope<'s>, visit: &Visit)
    where
        'a: 's,
    {
        let id = &visit.id;
        let outcome = match visit.kind {
            ChunkKind::Tree => self.trees.node(id).and_then(|node| self.read_tree(scope, visit, node)),
            ChunkKind::List => self.trees.list_node(id).and_then(|node| self.read_list(scope, visit, node)),
            ChunkKind::Data => Ok(()),
        };
        match outcome {
            Err(error) if error.is_damage() => self.visitor.fault(visit.kind, id, error),
            Err(error) => self.fail(error),
            Ok(()) => {}
        }
    }

    fn read_tree<'s>(&'s self, scope: &rayon::Scope<'s>, visit: &Visit, node: TreeNode) -> Result<()>
    where
        'a: 's,
    {
        check_tree_promise(visit, &node)?;
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
                    self.enter(scope, Visit { kind: ChunkKind::Tree, id: child.id, promise });
                }
            }
            TreeNode::Leaf { entries, dir_totals, .. } => {
                let mut dir_totals = dir_totals.into_iter();
                for entry in entries {
                    self.read_entry(scope, entry, &mut dir_totals)?;
                }
            }
        }
        Ok(())
    }

    fn read_entry<'s>(
        &'s self,
        scope: &rayon::Scope<'s>,
        entry: Entry,
        dir_totals: &mut impl Iterator<Item = Totals>,
    ) -> Result<()>
    where
        'a: 's,
    {
        match entry.content {
            Content::Tree(id) => {
                let promise = Promise { totals: dir_totals.next(), ..Promise::default() };
                self.enter(scope, Visit { kind: ChunkKind::Tree, id, promise });
            }
            Content::List(id) => {
                let totals = Totals { bytes: entry.size, ..Totals::default() };
                let promise = Promise { totals: Some(totals), ..Promise::default() };
                self.enter(scope, Visit { kind: ChunkKind::List, id, promise });
            }
            Content::Refs(refs) => self.read_refs(&refs)?,
            Content::Inline(bytes) if entry.kind == EntryKind::File => self.visitor.inline(bytes.len() as u64),
            Content::Inline(_) | Content::None => {}
        }
        Ok(())
    }

    fn read_list<'s>(&'s self, scope: &rayon::Scope<'s>, visit: &Visit, node: ListNode) -> Result<()>
    where
        'a: 's,
    {
        let level = match &node {
            ListNode::Leaf { .. } => 0,
            ListNode::Inner { level, .. } => *level,
        };
        let fits = visit.promise.level.is_none_or(|promised| promised == level)
            && visit.promise.totals.is_none_or(|promised| Some(promised.bytes) == node.bytes());
        if !fits {
            return Err(broken(&visit.id, "list node", "level or length is not what its parent says"));
        }
        match node {
            ListNode::Leaf { refs } => self.read_refs(&refs),
            ListNode::Inner { level, children } => {
                for child in children.into_iter().rev() {
                    let totals = Totals { bytes: child.bytes, ..Totals::default() };
                    let promise = Promise { level: Some(level - 1), totals: Some(totals), ..Promise::default() };
                    self.enter(scope, Visit { kind: ChunkKind::List, id: child.id, promise });
                }
                Ok(())
            }
        }
    }

    fn read_refs(&self, refs: &[Ref]) -> Result<()> {
        for piece in refs {
            if let Ref::Data { id, len } = piece {
                self.mark(ChunkKind::Data, id, Some(*len))?;
            }
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.monitor.is_cancelled() || self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

fn broken(id: &ChunkId, what: &'static str, why: &'static str) -> Error {
    Error::Malformed { object: format!("chunk {}", id.short()), source: DecodeError::new(what, why) }
}

/// A node must be what its parent says: level, sums, and names within its place.
fn check_tree_promise(visit: &Visit, node: &TreeNode) -> Result<()> {
    let promise = &visit.promise;
    let (level, first, last) = match node {
        TreeNode::Leaf { entries, .. } => (0, entries.first().map(|e| &e.name), entries.last().map(|e| &e.name)),
        TreeNode::Inner { level, children } => {
            (*level, children.first().map(|c| &c.first_name), children.last().map(|c| &c.first_name))
        }
    };
    let refuse = |why| Err(broken(&visit.id, "tree node", why));
    if promise.level.is_some_and(|promised| promised != level) {
        return refuse("its level is not what its parent says");
    }
    if promise.first_name.is_some() && promise.first_name.as_ref() != first {
        return refuse("its first name is not what its parent says");
    }
    if let (Some(before), Some(last)) = (&promise.before, last)
        && last >= before
    {
        return refuse("names are not sorted");
    }
    if promise.totals.is_some_and(|promised| promised != totals_of(node)) {
        return refuse("its sums are not what its parent says");
    }
    Ok(())
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
