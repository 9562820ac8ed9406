//! Verification of trees: reads each node of all snapshots once, and looks up each reference in the
//! index.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::damage::Damage;
use super::report::CheckReport;
use crate::format::container::ChunkKind;
use crate::format::run::PackClass;
use crate::format::snapshot::Snapshot;
use crate::id::ChunkId;
use crate::monitor::{Monitor, in_words};
use crate::repo::index::ChunkPlace;
use crate::repo::read::reachable::{Notes, Visitor, visit_reachable};
use crate::repo::{Error, Result, Trees};
use crate::sync::{self, lock};

/// Missing chunks that are reported one by one; the rest are only counted, but their paths are
/// listed nevertheless.
const MISSING_TOLD_MAX: usize = 10_000;

/// Wrong lengths that are noted; for more of them only their number is reported, without paths.
const MISSTATED_MAX: usize = 100_000;

/// The stage of a check that reads trees.
pub(super) struct TreeStage<'a> {
    /// Reads trees by the index that is checked.
    pub trees: &'a Trees,
    /// Lengths of chunks, as stated by packs.
    pub notes: &'a Notes,
    /// Threads to walk with.
    pub pool: &'a rayon::ThreadPool,
    /// Receives progress, and says when to stop.
    pub monitor: &'a Monitor,
}

impl TreeStage<'_> {
    /// Reads all nodes that the snapshots reach, but no file content; compares stated lengths with
    /// the noted ones.
    ///
    /// Returns whether a pack that the index names was missing, so that a prune may be the cause of
    /// the problems.
    pub(super) fn run(
        &self,
        snapshots: &[Snapshot],
        report: &mut CheckReport,
        damage: &mut Damage,
    ) -> Result<bool> {
        let roots: Vec<_> =
            snapshots.iter().map(|snapshot| (snapshot.root, snapshot.stats.totals)).collect();
        let found = TreeFindings {
            damage,
            notes: self.notes,
            nodes: AtomicU64::new(0),
            chunks: AtomicU64::new(0),
            faults: Mutex::default(),
        };
        visit_reachable(self.trees, &roots, &found, self.pool, self.monitor)?;
        report.counts.nodes = found.nodes.into_inner();
        report.counts.chunks_referenced = found.chunks.into_inner();
        let faults = sync::into_inner(found.faults);
        for (id, message) in faults.nodes {
            report.problem(format!("chunk {}", id.short()), message);
            damage.record_lost(id);
        }
        if damage.misstated_count() > 0 {
            report.problem(
                "trees",
                format!(
                    "wrong lengths that they state, as a full check found: {}",
                    damage.misstated_count()
                ),
            );
        }
        for ((id, len_bytes), message) in faults.misstated {
            report.problem(format!("chunk {}", id.short()), message);
            damage.record_misstated(id, len_bytes);
        }
        if faults.misstated_untold > 0 {
            report.problem(
                "trees",
                format!("more wrong lengths that they state: {}", faults.misstated_untold),
            );
        }
        for ((kind, id), is_named) in &faults.missing {
            let what = name_of(*kind);
            let message = match is_named {
                false => format!("the index does not name this {what}"),
                true => format!("the index names this {what} only where it was removed"),
            };
            report.problem(format!("chunk {}", id.short()), message);
        }
        if faults.missing_untold > 0 {
            report.problem(
                "index",
                format!("it does not name {} more references to chunks", faults.missing_untold),
            );
        }
        Ok(faults.met_gone_pack)
    }
}

fn name_of(kind: ChunkKind) -> &'static str {
    match kind {
        ChunkKind::Data => "piece of a file",
        ChunkKind::Tree => "tree node",
        ChunkKind::List => "list node",
    }
}

#[derive(Default)]
struct Faults {
    nodes: Vec<(ChunkId, String)>,
    met_gone_pack: bool,
    /// Missing chunks, and whether the index names them.
    missing: HashMap<(ChunkKind, ChunkId), bool>,
    missing_untold: u64,
    misstated: HashMap<(ChunkId, u64), String>,
    misstated_untold: u64,
}

struct TreeFindings<'a> {
    damage: &'a Damage,
    notes: &'a Notes,
    nodes: AtomicU64,
    chunks: AtomicU64,
    faults: Mutex<Faults>,
}

impl TreeFindings<'_> {
    fn faults(&self) -> std::sync::MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    fn note_missing(&self, kind: ChunkKind, id: &ChunkId, is_named: bool) {
        let mut faults = self.faults();
        if faults.missing.len() < MISSING_TOLD_MAX {
            faults.missing.insert((kind, *id), is_named);
        } else if !faults.missing.contains_key(&(kind, *id)) {
            faults.missing_untold += 1;
        }
    }

    fn note_length(&self, id: &ChunkId, len_bytes: u64, message: String) {
        let mut faults = self.faults();
        if faults.misstated.len() < MISSTATED_MAX {
            faults.misstated.insert((*id, len_bytes), message);
        } else if !faults.misstated.contains_key(&(*id, len_bytes)) {
            faults.misstated_untold += 1;
        }
    }
}

impl Visitor for TreeFindings<'_> {
    fn reached(
        &self,
        kind: ChunkKind,
        id: &ChunkId,
        _len_bytes: Option<u32>,
        place: &ChunkPlace,
    ) -> bool {
        let location = &place.location;
        let expected = if kind == ChunkKind::Data { PackClass::Data } else { PackClass::Meta };
        if location.pack.class != expected {
            self.faults().nodes.push((
                *id,
                format!("the index places this {} in a pack of the other class", name_of(kind)),
            ));
            return false;
        }
        let counter = if kind == ChunkKind::Data { &self.chunks } else { &self.nodes };
        counter.fetch_add(1, Ordering::Relaxed);
        let is_lost = self.damage.is_lost(id, location);
        // Otherwise it is reported with its pack.
        if is_lost && self.damage.is_gone(&location.pack.name) {
            self.note_missing(kind, id, true);
        }
        !is_lost
    }

    fn missing(&self, kind: ChunkKind, id: &ChunkId) {
        self.note_missing(kind, id, false);
    }

    fn fault(&self, _kind: ChunkKind, id: &ChunkId, error: Error) {
        let mut faults = self.faults();
        faults.met_gone_pack |= error.is_not_found();
        faults.nodes.push((*id, in_words(&error)));
    }

    fn misstated(&self, id: &ChunkId, bytes: u64, error: Error) {
        self.note_length(id, bytes, in_words(&error));
    }

    fn referred(&self, id: &ChunkId, len_bytes: u32, place: &ChunkPlace) {
        if self.notes.has_other_len(place.number, len_bytes) {
            self.note_length(
                id,
                len_bytes.into(),
                format!("a file refers to {len_bytes} bytes of it, and it has others"),
            );
        }
    }

    fn notes(&self) -> Option<&Notes> {
        Some(self.notes)
    }
}
