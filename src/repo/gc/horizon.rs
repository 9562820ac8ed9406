//! How far a session or collector has looked at generations, and whether what came after concerns
//! it.
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

/// The local note of the last [`sync`].
const NOTE: &str = "horizon";

/// What a session or collector knows of generations since it listed them.
#[derive(Clone, Debug, Default)]
pub struct Horizon {
    /// The highest generation of the listing.
    pub highest: u64,
    /// The highest of them up to which all are decided, so that nothing was about to be taken out
    /// of the index unseen.
    pub decided: u64,
    /// What the generations condemn that concern the index as it was then.
    removals: HashMap<u64, Removal>,
    /// Whether nothing of the index must be avoided, so that a later session may begin with it.
    is_clear: bool,
    /// Whether there were later generations at the last look.
    has_later: Arc<AtomicBool>,
}

/// Lists `gc/` and then `index/`, makes the reader's index equal to the latter, and lets it avoid
/// what the former condemns.
///
/// These are steps W1 and W2 of the specification.
pub fn sync(index: &ChunkIndex) -> Result<Horizon> {
    for _ in 1..LISTINGS_MAX {
        match try_sync(index) {
            // A record was trimmed under the listing.
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
    // Unfinished generations matter to the parent, whatever the index says.
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

/// Notes that nothing up to generation `highest` concerns the index as it is now.
fn note(index: &ChunkIndex, highest: u64) -> Result<()> {
    let mut bytes = highest.to_le_bytes().to_vec();
    index.set().runs().iter().for_each(|run| bytes.extend_from_slice(&run.name().0));
    notes::save(index.repository(), NOTE, &bytes)
}

/// Returns what was noted at the last [`sync`] of this machine, if it still fits the local index;
/// the store is not asked.
///
/// A session may begin with it: whatever happened since is in generations above, which are looked
/// at before the commit.
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

/// Takes the note back while a session stores: what it stores may get lost with nothing that would
/// show it, such as the end of what a disk was told before the power went. Only a snapshot vouches
/// for it, which this machine remembers.
pub fn forget(repository: &Repository) {
    notes::remove(repository, NOTE);
}

impl Horizon {
    /// Notes what the reader's index is after a commit of the session that began so; not if runs
    /// came that are not to be relied on, nor if there are later generations: the next session had
    /// better ask at its beginning.
    pub fn note_again(&self, index: &ChunkIndex) {
        if self.is_clear && !self.has_later.load(Ordering::Relaxed) && index.set().trusts_all() {
            // Without it the next session asks the store.
            let _ = note(index, self.highest);
        }
    }
}

/// Returns whether a repair may have taken something of a snapshot out of the index since that is
/// known to be whole.
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

/// What a session relies on beside its own work.
pub struct Dependencies<'a> {
    /// Packs.
    pub packs: &'a HashSet<ObjectId>,
    /// The parent, if subtrees of it were taken over unread.
    pub parent: Option<SnapshotId>,
}

impl Horizon {
    /// Returns the horizon of a session that relies on nothing but what it will store from now on.
    pub fn at(highest: u64) -> Self {
        Self {
            highest,
            decided: highest,
            removals: HashMap::new(),
            is_clear: false,
            has_later: Arc::default(),
        }
    }

    /// Lists `gc/` again and returns whether anything condemns what is relied on, or may have done
    /// so unseen (rule T), or whether a repair took something out of the index that may be relied
    /// on (rule R).
    ///
    /// The first half of step W5 of the specification.
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
        // Also what was known: a collector that slept may have filled the slot of a dropped parent
        // with `Aborted`.
        let mut known = generations
            .numbers()
            .filter(|number| dependencies.parent.is_some() && *number <= self.highest);
        known.try_fold(false, |found, number| {
            Ok(found || names_parent(&generations.removal(repository, number)?))
        })
    }
}
