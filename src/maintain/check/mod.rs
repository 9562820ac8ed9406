//! Is everything in a repository whole, and if not, which paths of which snapshots are affected?
//!
//! # No false alarms beside running backups
//!
//! A backup stores packs, then the index run that names them, then the snapshot. A check looks in the opposite order:
//! snapshots, then the index, then the packs. So whatever a snapshot relies on was in the index before the index is read,
//! and whatever the index names was stored before the packs are listed. What appears meanwhile is at most more than
//! needed: packs that no run names yet are counted, not complained about. Local notes of snapshots seen are read before the
//! store's listing, because a backup notes its snapshot after storing it.
//!
//! A collector removes in the opposite order (index runs that name a pack, then the pack), so a pack that is missing is
//! complained about only if the run that names it is still listed *after* the pack was found missing.
//!
//! # Nothing local is believed
//!
//! Every object is read from the store. Local copies that trees are read from are first compared with it.

mod damage;
mod examine;
mod jobs;
mod ledger;
mod level;
mod pack;
mod packs;
mod paths;
mod report;
mod trees;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use self::level::{Level, NoLevel};
pub use self::report::{AffectedPath, CheckCounts, CheckProblem, CheckReport, Coverage, KEPT_MAX, Kept};

pub(super) use self::damage::Damage;
pub(super) use self::examine::{Examined, examine};
use self::pack::Expected;
use self::packs::{PackStage, choose_sample};
use crate::format::entry::Timestamp;
use crate::format::run::{PackClass, PackRef};
use crate::id::ObjectId;
use crate::monitor::{Monitor, in_words};
use crate::repo::audit::{self, Findings};
use crate::repo::generations::{self, Generations};
use crate::repo::index::Avoided;
use crate::repo::{Error, Reader, Repository, Result, names};

/// How often a check looks again before it believes that what it found is damage.
const LOOKS_MAX: usize = 3;

/// What to check.
#[derive(Clone, Copy, Debug)]
pub struct CheckOptions {
    /// How thorough.
    pub level: Level,
    /// Threads that open and verify (at least 1).
    pub threads: usize,
    /// The time now, for the notes of what was verified when.
    pub now: Timestamp,
}

/// Checks a repository. Needs at most 200 MiB, whatever its size.
///
/// Damage is in the report, never an error: an error means that the check could not be finished.
///
/// What a collector did meanwhile may look like damage: then it is looked at again before anybody is told.
pub fn run(repository: &Arc<Repository>, options: &CheckOptions, monitor: &Monitor) -> Result<CheckReport> {
    for _ in 1..LOOKS_MAX {
        let before = Generations::list(repository)?;
        let report = look(repository, options, monitor)?;
        if report.is_sound() {
            return Ok(report);
        }
        let after = Generations::list(repository)?;
        // Records that cannot be read are among the problems, and no reason to look again.
        if before == after && !after.is_at_work(repository).unwrap_or(false) {
            return Ok(report);
        }
        monitor.begin_again();
    }
    look(repository, options, monitor)
}

fn look(repository: &Arc<Repository>, options: &CheckOptions, monitor: &Monitor) -> Result<CheckReport> {
    Ok(examine(repository, options, monitor)?.report)
}

fn note_findings(report: &mut CheckReport, findings: Findings) -> u64 {
    for fault in findings.faults {
        report.went_back |= matches!(fault.error, Error::RolledBack { .. } | Error::Unjustified { .. });
        report.problem(fault.object, in_words(&fault.error));
    }
    report.notices.extend(findings.foreign.into_iter().map(|object| format!("{object} is no object of a repository")));
    report.notices.extend(findings.notices);
    findings.seen
}

/// The packs in the store.
struct Listed {
    /// Length in the listing, of packs that the index names and that are there.
    indexed: HashMap<ObjectId, u64>,
    /// Those of them that hold file content.
    indexed_data: HashMap<ObjectId, u64>,
    /// Packs that no run names.
    unindexed: Vec<Expected>,
}

/// Lists the packs and compares them with the index: each must be there with the right length.
fn list_packs(reader: &Arc<Reader>, report: &mut CheckReport, damage: &mut Damage) -> Result<Listed> {
    let repository = reader.repository();
    let mut listed = Listed { indexed: HashMap::new(), indexed_data: HashMap::new(), unindexed: Vec::new() };
    let mut lens = [HashMap::new(), HashMap::new()];
    for class in [PackClass::Data, PackClass::Meta] {
        let listing = audit::packs(repository, class)?;
        report.notices.extend(listing.foreign.into_iter().map(|object| format!("{object} is no object of a repository")));
        lens[class as usize] = listing.len_bytes;
    }
    let mut missing: Vec<PackRef> = Vec::new();
    let mut seen = HashSet::new();
    for run in reader.index().runs() {
        for pack in run.toc().packs.iter().filter(|pack| seen.insert(pack.name)) {
            report.counts.packs += 1;
            report.counts.pack_bytes += u64::from(pack.len);
            let Some(len) = lens[pack.class as usize].remove(&pack.name) else {
                missing.push(*pack);
                continue;
            };
            if len != u64::from(pack.len) {
                let object = names::pack_key(pack.class, &pack.name).to_string();
                report.problem(object, format!("it has {len} bytes instead of {}", pack.len));
                damage.cut(pack.name, len);
            }
            listed.indexed.insert(pack.name, len);
            if pack.class == PackClass::Data {
                listed.indexed_data.insert(pack.name, len);
            }
        }
    }
    note_missing(reader, missing, report, damage)?;
    for class in [PackClass::Data, PackClass::Meta] {
        let left = std::mem::take(&mut lens[class as usize]).into_iter().filter(|(name, _)| !seen.contains(name));
        listed.unindexed.extend(left.map(|(name, listed_len)| {
            let pack = PackRef { class, name, len: u32::try_from(listed_len).unwrap_or(u32::MAX), salt: [0; 32] };
            Expected { pack, listed_len, records: None }
        }));
    }
    report.counts.packs_unindexed = listed.unindexed.len() as u64;
    Ok(listed)
}

/// Notes packs that the index names and that are not there: by damage, or because a collector removed them.
///
/// What was removed is no damage, unless a snapshot needs a chunk of it that is nowhere else.
fn note_missing(reader: &Arc<Reader>, missing: Vec<PackRef>, report: &mut CheckReport, damage: &mut Damage) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    for pack in &missing {
        reader.index().avoid_pack(pack.name);
        damage.gone(pack.name);
    }
    let removed = match generations::removed(reader) {
        // It is among the problems already.
        Err(error) if error.is_damage() => Avoided::default(),
        other => other?,
    };
    let sound_runs = reader.index().runs().into_iter().filter(|run| !removed.stale_runs.contains(&run.name()));
    let named: HashSet<ObjectId> = sound_runs.flat_map(|run| run.toc().packs.clone()).map(|pack| pack.name).collect();
    let is_lost = |pack: &PackRef| named.contains(&pack.name) && !removed.packs.contains(&pack.name);
    for pack in audit::still_named(reader, missing)?.into_iter().filter(is_lost) {
        report.problem(names::pack_key(pack.class, &pack.name).to_string(), "it is missing");
        damage.missed(pack.name);
    }
    Ok(())
}

/// Reads the packs that the level asks for: none, those with trees, some or all of the rest.
fn verify_packs(stage: &mut PackStage<'_>, listed: &mut Listed, level: Level) -> Result<()> {
    let sample = match level {
        Level::Quick => return Ok(()),
        Level::Structure | Level::Full => HashSet::new(),
        Level::Sample { permille } => {
            choose_sample(stage.ledger, listed.indexed_data.iter().map(|(name, len)| (*name, *len)), permille)
        }
    };
    let indexed = &listed.indexed;
    let wanted = |pack: &PackRef| {
        let is_wanted = pack.class == PackClass::Meta || level == Level::Full || sample.contains(&pack.name);
        indexed.get(&pack.name).copied().filter(|_| is_wanted)
    };
    let packs = stage.reader.index().runs().into_iter().flat_map(|run| run.toc().packs.clone());
    let unindexed = if level == Level::Full { std::mem::take(&mut listed.unindexed) } else { Vec::new() };
    let total = packs.filter_map(|pack| wanted(&pack)).chain(unindexed.iter().map(|pack| pack.listed_len)).sum();
    stage.monitor.bytes_total.store(total, Ordering::Relaxed);
    stage.run(&wanted, unindexed)
}
