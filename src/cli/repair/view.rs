//! What there is to show of a repair, and its JSON. Every field is described in `docs/json.md`.

use serde::Serialize;

use crate::cli::check::{AffectedView, CheckProblemView};
use crate::format::run::PackRef;
use crate::maintain::check::{AffectedPath, CheckProblem, CheckReport, Kept, Level};
use crate::maintain::repair::{Broken, NewPack, NewRun, Plan, Replaced};
use crate::repo::objects::layout;

/// What was or would be done.
#[derive(Serialize)]
pub struct RepairView {
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
pub struct PackView {
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
pub struct RunView {
    object: String,
    /// The runs that it replaces.
    pub replaces: Vec<String>,
    /// How many packs it names.
    pub packs: u64,
    /// How many chunks it names.
    pub chunks: u64,
    /// How many chunks of those it leaves out: they are stored elsewhere, or lost.
    pub left_out: u64,
}

/// A snapshot that gives way to one without what is lost.
#[derive(Serialize)]
pub struct ReplacedView {
    /// Its id.
    pub snapshot: String,
    /// The id of the new one; `None` as long as there is none.
    pub by: Option<String>,
    /// How many paths the new one lacks.
    pub left_out: u64,
}

/// What there is to show, before or after.
pub struct RepairSummary {
    /// What is damaged.
    pub problems: Kept<CheckProblem>,
    /// What of it no repair can heal, in words.
    pub beyond: Vec<String>,
    /// Packs that store again what can be read of damaged ones.
    pub packs: Vec<PackView>,
    /// New index runs.
    pub runs: Vec<RunView>,
    /// Snapshots that give way to others.
    pub replaced: Vec<ReplacedView>,
    /// What stays lost.
    pub lost: Kept<AffectedPath>,
    /// Whether a snapshot that is not in the trash lacks something.
    pub is_any_broken: bool,
    /// Whether other machines must be told by their users what is lost.
    pub is_untold: bool,
    /// Whether nothing is damaged, or nothing is any more.
    pub sound: bool,
}

impl RepairSummary {
    /// Shows what a plan would do.
    pub fn planned(plan: &Plan) -> Self {
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
                .map(|broken| ReplacedView::planned(broken, &plan.outlook))
                .collect(),
            lost: plan.outlook.affected.clone(),
            is_any_broken: plan.is_any_broken,
            is_untold: false,
            sound: plan.found.is_sound(),
        }
    }
}

impl ReplacedView {
    /// Shows what would become of a snapshot, where `outlook` says what stays lost.
    pub fn planned(broken: &Broken, outlook: &CheckReport) -> Self {
        let of_it =
            outlook.affected.items.iter().filter(|lost| lost.snapshot == broken.snapshot.id);
        Self { snapshot: broken.snapshot.id.to_hex(), by: None, left_out: of_it.count() as u64 }
    }

    /// Shows what became of a snapshot.
    pub fn done(replaced: &Replaced) -> Self {
        let by = replaced.new.map(|new| new.to_hex());
        Self { snapshot: replaced.old.to_hex(), by, left_out: replaced.left_out }
    }
}

impl RepairView {
    /// Makes the view of what is shown.
    pub fn new(shown: RepairSummary, applied: bool, level: Level, seconds: f64) -> Self {
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
