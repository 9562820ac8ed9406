//! Examination of a whole repository: one pass over all objects and trees, for `check` and
//! `repair`.

use std::collections::HashSet;
use std::sync::Arc;

use super::damage::Damage;
use super::ledger::Ledger;
use super::level::Level;
use super::listing::{list_packs, note_findings, verify_packs};
use super::options::CheckOptions;
use super::packs::PackStage;
use super::paths;
use super::report::CheckReport;
use super::trees::TreeStage;
use crate::format::snapshot::Snapshot;
use crate::id::{ObjectId, SnapshotId};
use crate::monitor::{Monitor, in_words};
use crate::repo::audit::salvage::ListedPack;
use crate::repo::audit::{AllSnapshots, Findings};
use crate::repo::objects::layout;
use crate::repo::read::reachable::Notes;
use crate::repo::{Error, Reader, Repository, Result, Trees, audit};

/// The result of an examination, with the state that another pass needs.
pub(crate) struct Examined {
    /// The report of a check.
    pub report: CheckReport,
    /// The reader whose index has exactly the good runs of the store.
    pub reader: Arc<Reader>,
    /// Damaged or missing chunks and packs.
    pub damage: Damage,
    /// Index runs that cannot be read.
    pub damaged_runs: Vec<ObjectId>,
    /// Packs that no run names.
    pub unindexed: Vec<ListedPack>,
    /// The snapshots that can be read.
    pub snapshots: Vec<Snapshot>,
    /// Those in the trash.
    pub forgotten: HashSet<SnapshotId>,
    /// Snapshots whose slots are damaged, or missing although this machine has seen them; without
    /// those in the trash.
    pub lost_slots: Vec<SnapshotId>,
    /// Threads for further passes.
    pub pool: rayon::ThreadPool,
}

/// Examines everything once, as thoroughly as the level says.
pub(crate) fn examine(
    repository: &Arc<Repository>,
    options: &CheckOptions,
    monitor: &Monitor,
) -> Result<Examined> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(repository.readers(options.threads))
        .thread_name(|at| format!("check-{at}"));
    let pool = threads.build().map_err(|error| Error::Threads(error.to_string()))?;
    let mut report = CheckReport::new(options.level);
    note_records(repository, &mut report)?;
    let (all, lost_slots) = note_snapshots(repository, &mut report)?;
    let (snapshots, forgotten) = (all.good, all.forgotten);
    // Problems so far affect no path: the paths of a damaged snapshot are unknown.
    let harmless = report.problems.count;
    let (reader, damaged_runs) = note_runs(repository, &mut report)?;

    let mut damage = Damage::default();
    let mut listed = list_packs(&reader, &mut report, &mut damage)?;
    let unindexed = listed.unindexed.iter().map(|expected| ListedPack {
        class: expected.pack.class,
        name: expected.pack.name,
        len_bytes: expected.listed_len,
    });
    let unindexed = unindexed.collect();
    let mut ledger = Ledger::load(repository);
    let notes = Notes::new(if options.level >= Level::Structure {
        reader.index().record_count()
    } else {
        0
    });
    let mut stage = PackStage {
        reader: &reader,
        notes: &notes,
        report: &mut report,
        damage: &mut damage,
        ledger: &mut ledger,
        now: options.now,
        pool: &pool,
        monitor,
    };
    verify_packs(&mut stage, &mut listed, options.level)?;
    let trees = Trees::new(reader.clone());
    if options.level >= Level::Structure {
        let stage = TreeStage { trees: &trees, notes: &notes, pool: &pool, monitor };
        stage.run(&snapshots, &mut report, &mut damage)?;
    }
    if report.problems.count > harmless {
        paths::name_affected(&trees, &snapshots, &damage, &mut report, monitor)?;
    }
    report.coverage = ledger.coverage(&listed.indexed_data);
    if let Err(error) = ledger.save(repository, &listed.indexed_data) {
        report.notices.push(format!("what was verified could not be noted: {}", in_words(&error)));
    }
    Ok(Examined {
        report,
        reader,
        damage,
        damaged_runs,
        unindexed,
        snapshots,
        forgotten,
        lost_slots,
        pool,
    })
}

/// Examines configurations, key slots, intents and collector records.
fn note_records(repository: &Arc<Repository>, report: &mut CheckReport) -> Result<()> {
    report.counts.configs_and_keys = note_findings(report, audit::configs(repository)?);
    report.counts.configs_and_keys += note_findings(report, audit::slots(repository)?);
    report.counts.intents_and_records = note_findings(report, audit::intents(repository)?);
    report.counts.intents_and_records += note_findings(report, audit::generations(repository)?);
    Ok(())
}

/// Examines the snapshots; returns them, and the ids of those that are damaged or hidden.
fn note_snapshots(
    repository: &Arc<Repository>,
    report: &mut CheckReport,
) -> Result<(AllSnapshots, Vec<SnapshotId>)> {
    let (all, findings) = audit::all_snapshots(repository)?;
    let lost_slots = lost_slots(&all, &findings);
    report.counts.snapshots = note_findings(report, findings);
    report.counts.forgotten = all.forgotten.len() as u64;
    let written_off = all.written_off.iter().map(layout::snapshot_key);
    report.notices.extend(
        written_off.map(|key| format!("{key} is damaged and forgotten: `prune` removes it")),
    );
    Ok((all, lost_slots))
}

/// Examines the index runs; returns a reader of the good ones, and the names of the damaged ones.
fn note_runs(
    repository: &Arc<Repository>,
    report: &mut CheckReport,
) -> Result<(Arc<Reader>, Vec<ObjectId>)> {
    let (reader, findings) = audit::index(repository)?;
    let damaged = findings
        .faults
        .iter()
        .filter_map(|fault| layout::object_id(fault.object.strip_prefix("index/")?))
        .collect();
    report.counts.index_runs = note_findings(report, findings);
    report.counts.chunks_indexed = reader.index().chunk_count();
    Ok((reader, damaged))
}

fn lost_slots(all: &AllSnapshots, findings: &Findings) -> Vec<SnapshotId> {
    let good: HashSet<SnapshotId> = all.good.iter().map(|snapshot| snapshot.id).collect();
    let slots = findings
        .faults
        .iter()
        .filter_map(|fault| SnapshotId::from_hex(fault.object.strip_prefix("snapshots/")?));
    // A readable snapshot with a wrong place in its chain is among the faults, too.
    slots.filter(|id| !good.contains(id) && !all.forgotten.contains(id)).collect()
}

impl Examined {
    /// Returns what a check of trees and files would report, and what would be lost, with the index
    /// of `reader`.
    ///
    /// Every pack that this index names must be sound, or removed by a prune. Fails with
    /// `Contended` if one was removed since.
    pub(crate) fn preview_repair(
        &self,
        reader: &Arc<Reader>,
        monitor: &Monitor,
    ) -> Result<(CheckReport, Damage)> {
        let mut report = CheckReport::new(self.report.level);
        let mut damage = Damage::default();
        damage.take_lengths(&self.damage);
        for pack in self.damage.gone_packs() {
            reader.index().avoid_pack(*pack);
            damage.record_gone(*pack);
        }
        let trees = Trees::new(reader.clone());
        let notes = Notes::new(reader.index().record_count());
        let stage = TreeStage { trees: &trees, notes: &notes, pool: &self.pool, monitor };
        if stage.run(&self.snapshots, &mut report, &mut damage)? {
            return Err(Error::Contended { rounds: 1 });
        }
        if !report.problems.is_empty() {
            paths::name_affected(&trees, &self.snapshots, &damage, &mut report, monitor)?;
        }
        Ok((report, damage))
    }
}
