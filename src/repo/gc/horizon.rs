//! Horizon of a session or collector: the generations that it has seen, and the check whether later
//! ones concern it.
//!
//! Spec: `format-spec/13-commit.md`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::generations::{Generations, LISTINGS_MAX};
use super::known_whole;
use crate::format::generation::Removal;
use crate::id::{ObjectId, SnapshotId};
use crate::repo::error::{Error, Result};
use crate::repo::index::{Avoided, ChunkIndex, Run};
use crate::repo::objects::layout;
use crate::repo::open::Repository;
use crate::repo::open::notes;

/// Name of the local note of the last [`sync`].
const NOTE: &str = "horizon";

/// What a session or collector has learned from a listing of the generations.
#[derive(Clone, Debug, Default)]
pub struct Horizon {
    /// The highest generation of the listing.
    pub highest: u64,
    /// The generation up to which all are decided: all findings of repairs up to it are in the
    /// index.
    pub decided: u64,
    /// The removals of the generations that concern the index as it was then.
    removals: HashMap<u64, Removal>,
    /// Whether no pack or run of the index must be avoided, so that a later session may begin with
    /// this index.
    is_clear: bool,
    /// Whether the last check found later generations.
    has_later: Arc<AtomicBool>,
}

/// Lists `gc/` and then `index/`, makes the reader's index equal to the store's, and makes it avoid
/// what the generations condemn.
///
/// These are steps W1 and W2 of the specification.
pub fn sync(index: &ChunkIndex) -> Result<Horizon> {
    for _ in 1..LISTINGS_MAX {
        match try_sync(index) {
            // A record was trimmed after the listing.
            Err(error) if error.is_not_found() => {}
            other => return other,
        }
    }
    try_sync(index)
}

fn try_sync(index: &ChunkIndex) -> Result<Horizon> {
    let repository = index.repository();
    let generations = Generations::list(repository)?;
    index.sync()?;
    let highest = generations.highest();
    let mut horizon = Horizon::at(highest);
    if highest == 0 {
        index.set().avoid(Avoided { judged: Some(0), ..Avoided::default() });
        horizon.is_clear = true;
        note(index, highest)?;
        return Ok(horizon);
    }
    let oldest = generations.oldest(repository)?;
    let (done, clean) = generations.newest_done(repository)?;
    let (mut stale_runs, mut least) = (HashSet::new(), highest);
    for run in index.set().runs() {
        let of_done = if clean.contains(&run.name()) { done } else { 0 };
        let effective = of_done.max(run.toc().generation);
        if effective < oldest.saturating_sub(1) {
            stale_runs.insert(run.name());
        } else {
            least = least.min(effective);
        }
    }
    // Unfinished generations may drop the parent, so they matter for any index.
    let first = oldest.max(1);
    let matters =
        |number: &u64| *number >= first && (*number > least || !generations.is_done(*number));
    generations.require_all(repository, first.max(least.saturating_add(1)))?;
    for number in generations.numbers().filter(matters) {
        if generations.is_open(number) {
            horizon.decided = horizon.decided.min(number - 1);
        }
        if !generations.is_cancelled(repository, number)? {
            horizon.removals.insert(number, generations.removal(repository, number)?);
        }
    }
    let packs: HashSet<_> = horizon
        .removals
        .values()
        .flat_map(|removal| &removal.packs)
        .map(|victim| victim.name)
        .collect();
    horizon.is_clear = horizon.removals.is_empty() && stale_runs.is_empty();
    if horizon.is_clear {
        note(index, highest)?;
    } else {
        notes::remove(repository, NOTE);
    }
    index.set().avoid(Avoided { packs, stale_runs, judged: Some(highest) });
    Ok(horizon)
}

/// Notes on this machine that no generation up to `highest` concerns the index as it is now.
fn note(index: &ChunkIndex, highest: u64) -> Result<()> {
    let mut bytes = highest.to_le_bytes().to_vec();
    index.set().runs().iter().for_each(|run| bytes.extend_from_slice(&run.name().0));
    notes::save(index.repository(), NOTE, &bytes)
}

/// Returns the horizon that this machine noted at its last [`sync`], if it still fits the cached
/// index; sends no request.
///
/// A session may begin with it: later events are in higher generations, which are checked before
/// the commit.
pub fn noted(index: &ChunkIndex) -> Option<Horizon> {
    let bytes = notes::load(index.repository(), NOTE)?;
    let (highest, names) = bytes.split_first_chunk::<8>()?;
    let highest = u64::from_le_bytes(*highest);
    let names: HashSet<&[u8]> = names.chunks_exact(ObjectId::LEN_BYTES).collect();
    let fits = |run: &Arc<Run>| names.contains(&run.name().0[..]);
    index.set().runs().iter().all(fits).then(|| {
        index.set().avoid(Avoided { judged: Some(highest), ..Avoided::default() });
        Horizon { is_clear: true, ..Horizon::at(highest) }
    })
}

/// Removes the note while a session stores packs. They may get lost without a trace, for example
/// when the power fails before a disk has written them. After the commit, the snapshot shows such a
/// loss, because this machine remembers it.
pub fn forget(repository: &Repository) {
    notes::remove(repository, NOTE);
}

impl Horizon {
    /// Notes the reader's index again after the commit of a session that began with this horizon.
    ///
    /// Does not if the index has places that are not trusted, or if there are later generations:
    /// then the next session must list the store at its beginning.
    pub fn note_again(&self, index: &ChunkIndex) {
        if self.is_clear && !self.has_later.load(Ordering::Relaxed) && index.set().trusts_all() {
            // Without the note the next session lists the store.
            let _ = note(index, self.highest);
        }
    }
}

/// Returns whether a repair may have removed chunks of a snapshot from the index since the
/// generation up to which the snapshot is known to be whole.
pub fn may_lack_chunks(
    repository: &Repository,
    generations: &Generations,
    snapshot: &SnapshotId,
) -> Result<bool> {
    let whole = known_whole::known(repository, snapshot);
    let mut later = generations.numbers().filter(|number| *number > whole);
    later
        .try_fold(false, |found, number| Ok(found || generations.is_cancelled(repository, number)?))
}

/// What a session relies on.
pub struct Dependencies<'a> {
    /// Packs with chunks that it refers to.
    pub packs: &'a HashSet<ObjectId>,
    /// The parent, if the session refers to unread subtrees of it.
    pub parent: Option<SnapshotId>,
}

impl Horizon {
    /// Returns the horizon of a session that relies only on what it will store from now on.
    pub fn at(highest: u64) -> Self {
        Self {
            highest,
            decided: highest,
            removals: HashMap::new(),
            is_clear: false,
            has_later: Arc::default(),
        }
    }

    /// Lists `gc/` again and returns whether a generation condemns a dependency, or a trimmed one
    /// may have done so (rule T), or a repair removed chunks from the index that may be
    /// dependencies (rule R).
    ///
    /// This is the first half of step W5 of the specification.
    pub fn has_conflict(
        &self,
        repository: &Repository,
        dependencies: &Dependencies,
    ) -> Result<bool> {
        for _ in 1..LISTINGS_MAX {
            match self.try_has_conflict(repository, dependencies) {
                Err(error) if error.is_not_found() => {}
                other => return other,
            }
        }
        self.try_has_conflict(repository, dependencies)
    }

    fn try_has_conflict(
        &self,
        repository: &Repository,
        dependencies: &Dependencies,
    ) -> Result<bool> {
        let generations = Generations::list(repository)?;
        let highest = generations.highest();
        if highest < self.highest {
            let what = layout::generation_key(self.highest, "condemned").to_string();
            return Err(Error::RolledBack { location: repository.location().to_owned(), what });
        }
        if highest > self.highest {
            self.has_later.store(true, Ordering::Relaxed);
            notes::remove(repository, NOTE);
        }
        if highest > self.highest
            && generations.oldest(repository)? > self.highest.saturating_add(1)
        {
            return Ok(true);
        }
        let names_parent = |removal: &Removal| {
            let drops = |id: &SnapshotId| removal.snapshots.binary_search(id).is_ok();
            dependencies.parent.as_ref().is_some_and(drops)
        };
        let condemns = |removal: &Removal| {
            names_parent(removal)
                || removal.packs.iter().any(|victim| dependencies.packs.contains(&victim.name))
        };
        if self.removals.values().any(condemns) {
            return Ok(true);
        }
        generations.require_all(repository, self.highest.saturating_add(1))?;
        for number in generations.numbers().filter(|number| *number > self.highest) {
            if condemns(&generations.removal(repository, number)?)
                || generations.is_cancelled(repository, number)?
            {
                return Ok(true);
            }
        }
        if let Some(parent) = &dependencies.parent
            && may_lack_chunks(repository, &generations, parent)?
        {
            return Ok(true);
        }
        // Earlier generations matter, too: a delayed collector may have filled the slot of a
        // dropped parent with `Aborted`.
        let mut known = generations
            .numbers()
            .filter(|number| dependencies.parent.is_some() && *number <= self.highest);
        known.try_fold(false, |found, number| {
            Ok(found || names_parent(&generations.removal(repository, number)?))
        })
    }
}
