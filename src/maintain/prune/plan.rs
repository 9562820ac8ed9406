//! Plan of a prune: the packs to remove and to rewrite. A pure value that is printed, tested or
//! carried out.

use std::collections::{HashMap, HashSet};

use super::options::PruneOptions;
use crate::format::entry::Timestamp;
use crate::format::generation::Victim;
use crate::format::limits::{RECORD_PACKS_MAX, RECORD_SNAPSHOTS_MAX};
use crate::format::padding::padded_len;
use crate::format::run::{PackClass, RunRecord};
use crate::id::{ObjectId, SnapshotId};
use crate::repo::Result;
use crate::repo::gc::collect::PackList;
use crate::repo::index::{IndexSet, Run};
use crate::repo::read::reachable::MarkBits;

use super::roots::Roots;

/// Packs below these sizes are small: 4 MiB of file content, 1 MiB of trees.
const SMALL_BYTES: [u64; 2] = [4 << 20, 1 << 20];
/// Number of small packs from which on they are merged into large ones.
const SMALL_MIN: usize = 12;

/// Estimates in bytes: the content of a new pack, the overhead of a pack, and the least size of a
/// generation's records and index run.
const NEW_PACK_BYTES: u64 = 4 << 20;
const FRAME_BYTES: u64 = 512;
const RECORDS_BYTES: u64 = 4 << 10;
/// Size of a victim in a record.
const VICTIM_BYTES: u64 = 33;
/// Most packs that are removed at once while the store is full: their record fits into a block of 4
/// KiB.
const TIGHT_MAX: usize = 64;

/// Use of one pack.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackUse {
    /// Its class.
    pub class: PackClass,
    /// Its length in bytes.
    pub len_bytes: u64,
    /// Index records that name it.
    named: u64,
    /// Marked records among them.
    live: u64,
    /// Whether a run of an ended session, or of a prune, names it.
    is_settled: bool,
    /// Estimate of its unneeded bytes.
    pub unused_bytes: u64,
}

/// The steps that a prune is going to take, and the estimated bytes of each.
#[derive(Clone, Debug, Default)]
pub struct PrunePlan {
    /// Packs that no snapshot needs.
    pub dead: Vec<Victim>,
    /// Their bytes.
    pub dead_bytes: u64,
    /// Packs to rewrite: their live chunks are stored again.
    pub repack: Vec<Victim>,
    /// Their bytes.
    pub repack_bytes: u64,
    /// Estimate of the unneeded bytes among them.
    pub repack_unused_bytes: u64,
    /// Snapshots to drop.
    pub dropped: Vec<SnapshotId>,
    /// Estimate of the unneeded bytes that stay, because rewriting their packs is not worth it.
    pub left_unused_bytes: u64,
    /// Unneeded packs that stay, because a running backup may be about to use them.
    pub young: Vec<ObjectId>,
    /// Their bytes.
    pub young_bytes: u64,
    /// Bytes of all packs.
    pub total_bytes: u64,
    /// Index runs to merge only because there are many.
    pub merges: usize,
    /// Whether there is more to remove than one generation can record.
    pub is_capped: bool,
}

impl PrunePlan {
    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.dead.is_empty()
            && self.repack.is_empty()
            && self.dropped.is_empty()
            && self.merges == 0
    }

    /// Reduces the plan to the largest unneeded packs, whose removal frees most and writes least.
    pub fn tighten(&mut self, listed: &PackList) {
        let len = |victim: &Victim| listed.packs.get(&victim.name).map_or(0, |pack| pack.len_bytes);
        self.dead.sort_by_key(|victim| (std::cmp::Reverse(len(victim)), *victim));
        self.is_capped |= self.dead.len() > TIGHT_MAX;
        self.dead.truncate(TIGHT_MAX);
        self.dead.sort_unstable();
        self.dead_bytes = self.dead.iter().map(len).sum();
        (self.repack, self.repack_bytes, self.repack_unused_bytes, self.merges) =
            (Vec::new(), 0, 0, 0);
    }

    /// Returns all packs to be removed, ascending.
    pub fn victims(&self) -> Vec<Victim> {
        let mut victims = [&self.dead[..], &self.repack].concat();
        victims.sort_unstable();
        victims
    }
}

/// Returns whether the packs of a run belong to an ended session, or to a prune.
pub(super) fn is_settled(run: &Run, over: &HashSet<SnapshotId>) -> bool {
    run.toc().session.is_none_or(|session| over.contains(&session))
}

/// Computes the use of every pack.
pub(super) fn measure(
    index: &IndexSet,
    marks: &MarkBits,
    listed: &PackList,
    roots: &Roots,
) -> Result<HashMap<ObjectId, PackUse>> {
    let new = |(name, pack): (&ObjectId, &crate::repo::gc::collect::DatedPack)| {
        let (class, len_bytes) = (pack.class, pack.len_bytes);
        (*name, PackUse { class, len_bytes, named: 0, live: 0, is_settled: false, unused_bytes: 0 })
    };
    let mut packs: HashMap<ObjectId, PackUse> = listed.packs.iter().map(new).collect();
    for_each_record(index, |run, number, record| {
        let is_live = marks.is_set(number);
        if let Some(pack) = packs.get_mut(&run.toc().packs[record.pack as usize].name)
            && (is_live || !is_said_twice(index, run, number, record)?)
        {
            pack.named += 1;
            pack.live += u64::from(is_live);
        }
        Ok(())
    })?;
    for run in index.runs().iter().filter(|run| is_settled(run, &roots.ended_sessions)) {
        for named in &run.toc().packs {
            packs.entry(named.name).and_modify(|pack| pack.is_settled = true);
        }
    }
    // Only segments of packs that are partly live, so that memory stays small.
    let mut segments: HashMap<(ObjectId, u32), (u32, u32, u32)> = HashMap::new();
    for_each_record(index, |run, number, record| {
        let name = run.toc().packs[record.pack as usize].name;
        let is_mixed = packs.get(&name).is_some_and(|pack| pack.live > 0 && pack.live < pack.named);
        if is_mixed && (marks.is_set(number) || !is_said_twice(index, run, number, record)?) {
            let segment =
                segments.entry((name, record.offset)).or_insert((record.stored_len, 0, 0));
            segment.1 += 1;
            segment.2 += u32::from(!marks.is_set(number));
        }
        Ok(())
    })?;
    for ((name, _), (stored_len, chunks, dead)) in segments {
        if let Some(pack) = packs.get_mut(&name) {
            pack.unused_bytes += u64::from(stored_len) * u64::from(dead) / u64::from(chunks);
        }
    }
    packs
        .values_mut()
        .filter(|pack| pack.live == 0)
        .for_each(|pack| pack.unused_bytes = pack.len_bytes);
    Ok(packs)
}

/// Returns whether another run has the same record of a chunk: two prunes may have replaced the
/// same runs.
fn is_said_twice(index: &IndexSet, run: &Run, number: u64, record: &RunRecord) -> Result<bool> {
    let found = index.find_numbered(&record.id)?;
    Ok(found.is_some_and(|found| found.number != number && found.location == run.location(record)))
}

fn for_each_record(
    index: &IndexSet,
    mut act: impl FnMut(&Run, u64, &RunRecord) -> Result<()>,
) -> Result<()> {
    for (mut number, run) in index.numbered_runs() {
        for block in 0..run.block_count() {
            for record in run.read_block(block)?.iter() {
                act(&run, number, record)?;
                number += 1;
            }
        }
    }
    Ok(())
}

/// Makes the plan.
pub(super) fn plan(
    packs: &HashMap<ObjectId, PackUse>,
    listed: &PackList,
    roots: &Roots,
    options: &PruneOptions,
) -> PrunePlan {
    let mut plan = PrunePlan { dropped: roots.dropped.clone(), ..PrunePlan::default() };
    let mut kept: Vec<(Victim, &PackUse)> = Vec::new();
    for (name, pack) in packs {
        plan.total_bytes += pack.len_bytes;
        let victim = Victim { class: pack.class, name: *name };
        if roots.relied.contains(name) {
            continue;
        }
        if pack.live > 0 {
            kept.push((victim, pack));
        } else if !pack.is_settled && is_younger(listed, name, options.now, options.grace_s) {
            plan.young.push(*name);
            plan.young_bytes += pack.len_bytes;
        } else {
            plan.dead.push(victim);
        }
    }
    // The others are dropped in the next round. Until then the second look spares what they reach
    // (step C5).
    plan.is_capped |= plan.dropped.len() > RECORD_SNAPSHOTS_MAX;
    plan.dropped.truncate(RECORD_SNAPSHOTS_MAX);
    // Sorted, so that two prunes with the same view make the same plan.
    plan.dead.sort_unstable();
    if plan.dead.len() > RECORD_PACKS_MAX {
        plan.dead.truncate(RECORD_PACKS_MAX);
        plan.is_capped = true;
    }
    plan.dead_bytes = plan.dead.iter().map(|victim| packs[&victim.name].len_bytes).sum();
    choose_repack(&mut plan, kept, listed, options);
    plan
}

/// Returns whether a pack is known to be younger than `age_s` seconds.
fn is_younger(listed: &PackList, name: &ObjectId, now: Timestamp, age_s: i64) -> bool {
    let made = listed.packs.get(name).and_then(|pack| pack.modified_s);
    let Some((made, newest)) = made.zip(listed.newest_s) else {
        return false;
    };
    // By the store's clock, or by the host's if nothing was stored recently.
    newest.max(now.seconds).saturating_sub(made) < age_s
}

/// Returns whether rewriting all of these packs certainly makes the repository smaller, including
/// the new packs and their index run.
fn pays<'a>(packs: impl Iterator<Item = &'a PackUse>) -> bool {
    let (mut unused, mut used, mut count) = (0u64, 0u64, 0u64);
    for pack in packs {
        unused += pack.unused_bytes;
        used += pack.len_bytes.saturating_sub(pack.unused_bytes);
        count += 1;
    }
    // One partly filled pack of each class, the padding of each pack, and the records of a
    // generation.
    let packs = 2 + used / NEW_PACK_BYTES;
    let padding = padded_len(used.min(NEW_PACK_BYTES) + 1) - used.min(NEW_PACK_BYTES);
    unused > packs * (padding + FRAME_BYTES) + RECORDS_BYTES + 2 * VICTIM_BYTES * count
}

fn choose_repack(
    plan: &mut PrunePlan,
    mut kept: Vec<(Victim, &PackUse)>,
    listed: &PackList,
    options: &PruneOptions,
) {
    let small = |pack: &PackUse| pack.len_bytes < SMALL_BYTES[pack.class as usize];
    let many_small = [PackClass::Data, PackClass::Meta].map(|class| {
        kept.iter().filter(|(_, pack)| pack.class == class && small(pack)).count() >= SMALL_MIN
    });
    let is_wanted = |pack: &PackUse| small(pack) && many_small[pack.class as usize];
    let mut unused: u64 = kept.iter().map(|(_, pack)| pack.unused_bytes).sum();
    let used: u64 =
        kept.iter().map(|(_, pack)| pack.len_bytes - pack.unused_bytes.min(pack.len_bytes)).sum();
    let allowed = u64::try_from(u128::from(used) * u128::from(options.max_unused_permille) / 1000)
        .unwrap_or(u64::MAX);
    let is_too_young = |victim: &Victim| {
        victim.class == PackClass::Data
            && is_younger(listed, &victim.name, options.now, options.min_age_s)
    };
    kept.retain(|(victim, _)| !is_too_young(victim));
    // Small packs first, then those with the largest unused share.
    let share = |pack: &PackUse| {
        u128::from(pack.unused_bytes) * 1_000_000 / u128::from(pack.len_bytes.max(1))
    };
    kept.sort_by_key(|(victim, pack)| (!is_wanted(pack), std::cmp::Reverse(share(pack)), *victim));
    let is_paid = pays(kept.iter().map(|(_, pack)| *pack).filter(|pack| pack.unused_bytes > 0));
    for (victim, pack) in kept {
        let is_worth_it = is_wanted(pack) || (unused > allowed && pack.unused_bytes > 0 && is_paid);
        let fits = plan.repack_bytes + pack.len_bytes <= options.max_repack_bytes
            && plan.dead.len() + plan.repack.len() < RECORD_PACKS_MAX;
        if is_worth_it && fits {
            plan.repack.push(victim);
            plan.repack_bytes += pack.len_bytes;
            plan.repack_unused_bytes += pack.unused_bytes;
            unused -= pack.unused_bytes;
        }
    }
    plan.left_unused_bytes = unused;
}

#[cfg(test)]
mod tests;
