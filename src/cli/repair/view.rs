//! Summary of a repair, and its JSON. Every field is described in `docs/json.md`.

use serde::Serialize;

use crate::cli::check::{AffectedView, CheckProblemView};
use crate::format::run::PackRef;
use crate::maintain::check::{AffectedPath, CappedList, CheckProblem, CheckReport, Level};
use crate::maintain::repair::{Broken, NewPack, NewRun, RepairPlan, Replaced};
use crate::repo::objects::layout;

/// Result or plan.
#[derive(Serialize)]
pub(super) struct RepairView {
    level: String,
    applied: bool,
    sound: bool,
    problem_count: u64,
    problems: Vec<CheckProblemView>,
    beyond_repair: Vec<String>,
    new_packs: Vec<PackView>,
    new_runs: Vec<RunView>,
    replaced: Vec<ReplacedView>,
    lost_count: u64,
    lost: Vec<AffectedView>,
    others_untold: bool,
    seconds: f64,
}

/// A pack that stores again what can be read of another.
#[derive(Serialize)]
pub(super) struct PackView {
    object: String,
    /// The pack whose chunks it holds.
    pub instead_of: String,
    /// The number of the verdict that removes that one.
    pub removed_by: Option<u64>,
    /// How many chunks are in it.
    pub chunks: u64,
}

/// A new index run.
#[derive(Serialize)]
pub(super) struct RunView {
    object: String,
    /// The runs that it replaces.
    pub replaces: Vec<String>,
    /// Number of packs in it.
    pub packs: u64,
    /// Number of chunks in it.
    pub chunks: u64,
    /// Number of chunks of the replaced runs that it leaves out: they are stored elsewhere, or
    /// lost.
    pub left_out: u64,
}

/// A snapshot that is replaced by one without the lost files.
#[derive(Serialize)]
pub(super) struct ReplacedView {
    /// Its id.
    pub snapshot: String,
    /// Id of the new one; `None` before it exists.
    pub by: Option<String>,
    /// Number of paths that the new one lacks.
    pub left_out: u64,
}

/// Summary of a plan or of an applied repair.
pub(super) struct RepairSummary {
    /// The damage.
    pub problems: CappedList<CheckProblem>,
    /// Irreparable damage, as text.
    pub beyond: Vec<String>,
    /// Packs that store the readable chunks of damaged ones again.
    pub packs: Vec<PackView>,
    /// New index runs.
    pub runs: Vec<RunView>,
    /// Replaced snapshots.
    pub replaced: Vec<ReplacedView>,
    /// Remaining losses.
    pub lost: CappedList<AffectedPath>,
    /// Whether a snapshot outside of the trash is incomplete.
    pub is_any_broken: bool,
    /// Whether users must tell other machines about the losses.
    pub is_untold: bool,
    /// Whether there is no damage (any more).
    pub sound: bool,
}

impl RepairSummary {
    /// Makes the summary of a plan.
    pub(super) fn planned(plan: &RepairPlan) -> Self {
        let object = |pack: &PackRef| layout::pack_key(pack.class, &pack.name).to_string();
        let pack = |pack: &NewPack| PackView {
            object: object(&pack.pack),
            instead_of: object(&pack.instead_of),
            removed_by: pack.doomed_by,
            chunks: pack.chunks,
        };
        let run = |run: &NewRun| RunView {
            object: layout::run_key(0, &run.name).to_string(),
            replaces: run.replaces.iter().map(|name| name.to_hex()).collect(),
            packs: run.packs,
            chunks: run.chunks,
            left_out: run.left_out,
        };
        Self {
            problems: plan.found.problems.clone(),
            beyond: plan.beyond.clone(),
            packs: plan.packs.iter().map(pack).collect(),
            runs: plan.added.iter().chain(&plan.rewritten).map(run).collect(),
            replaced: plan
                .broken
                .iter()
                .map(|broken| ReplacedView::planned(broken, &plan.preview))
                .collect(),
            lost: plan.preview.affected.clone(),
            is_any_broken: plan.is_any_broken,
            is_untold: false,
            sound: plan.found.is_sound(),
        }
    }
}

impl ReplacedView {
    /// Makes the view of a planned replacement; `outlook` holds the remaining losses.
    pub(super) fn planned(broken: &Broken, outlook: &CheckReport) -> Self {
        let of_it =
            outlook.affected.items.iter().filter(|lost| lost.snapshot == broken.snapshot.id);
        Self { snapshot: broken.snapshot.id.to_hex(), by: None, left_out: of_it.count() as u64 }
    }

    /// Makes the view of a done replacement.
    pub(super) fn done(replaced: &Replaced) -> Self {
        let by = replaced.new.map(|new| new.to_hex());
        Self { snapshot: replaced.old.to_hex(), by, left_out: replaced.left_out }
    }
}

impl RepairView {
    /// Makes the JSON of a summary.
    pub(super) fn new(shown: RepairSummary, applied: bool, level: Level, seconds: f64) -> Self {
        Self {
            level: level.to_string(),
            applied,
            sound: shown.sound,
            problem_count: shown.problems.count,
            problems: shown.problems.items.iter().map(CheckProblemView::new).collect(),
            beyond_repair: shown.beyond,
            new_packs: shown.packs,
            new_runs: shown.runs,
            replaced: shown.replaced,
            lost_count: shown.lost.count,
            lost: shown.lost.items.iter().map(AffectedView::new).collect(),
            others_untold: shown.is_untold,
            seconds,
        }
    }
}
