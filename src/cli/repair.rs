//! `drumlin repair`: heals what can be healed, and says what cannot.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::check::{AffectedView, ProblemView};
use super::context::Context;
use super::failure::{Exit, Failure, ended};
use super::global::PROGRAM;
use crate::connect::host::{host_name, user_name};
use crate::id::SnapshotId;
use crate::maintain::check::{AffectedPath, CheckProblem, CheckReport, Kept, Level};
use crate::maintain::repair::{self, Broken, NewRun, Outcome, Plan, RepairOptions, Replaced};
use crate::repo::objects::layout;
use crate::repo::{self, Repository};
use crate::text;
use crate::ui::output::Output;
use crate::ui::style::Role;

/// How often to plan anew because collectors were at work in between.
const ATTEMPTS_MAX: usize = 4;

/// Plan how to repair damage; with --apply, repair it
///
/// The index is made again from the packs; what is readable in a damaged pack is stored again; what
/// is lost is taken out of the index, so that the next backup stores it if the source still has it.
/// Nothing is removed, and backups may run meanwhile. Snapshots that lack something stay as they
/// are, until --snapshots replaces them.
#[derive(Args)]
pub struct RepairArgs {
    /// What to repair [default: index]
    part: Option<Part>,

    /// How thoroughly to look first: structure or full
    ///
    /// full also reads all file content.
    #[arg(long, value_name = "LEVEL", default_value = "structure")]
    level: Level,

    /// Also replace snapshots that lack something
    ///
    /// The new ones leave out what is lost; the old ones go to the trash.
    #[arg(long)]
    snapshots: bool,

    /// Carry out the plan; without this it is only shown
    #[arg(long)]
    pub apply: bool,

    /// Only show the plan (the default)
    #[arg(long, short = 'n', conflicts_with = "apply")]
    dry_run: bool,
}

/// What can be repaired.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The index, and packs that are damaged
    Index,
}

#[derive(Serialize)]
struct RepairView {
    level: String,
    applied: bool,
    sound: bool,
    problem_count: u64,
    problems: Vec<ProblemView>,
    beyond_repair: Vec<String>,
    new_packs: Vec<PackView>,
    new_runs: Vec<RunView>,
    replaced: Vec<ReplacedView>,
    lost_count: u64,
    lost: Vec<AffectedView>,
    others_untold: bool,
    seconds: f64,
}

#[derive(Serialize)]
struct PackView {
    object: String,
    instead_of: String,
    removed_by: Option<u64>,
    chunks: u64,
}

#[derive(Serialize)]
struct RunView {
    object: String,
    replaces: Vec<String>,
    packs: u64,
    chunks: u64,
    left_out: u64,
}

#[derive(Serialize)]
struct ReplacedView {
    snapshot: String,
    by: Option<String>,
    left_out: u64,
}

/// What there is to show, before or after.
struct Shown {
    problems: Kept<CheckProblem>,
    beyond: Vec<String>,
    packs: Vec<PackView>,
    runs: Vec<RunView>,
    replaced: Vec<ReplacedView>,
    lost: Kept<AffectedPath>,
    is_any_broken: bool,
    is_untold: bool,
    sound: bool,
}

/// Runs the command.
pub fn run(ctx: &Context, args: &RepairArgs) -> Result<Exit, Failure> {
    let began = Instant::now();
    let repository = ctx.open_to_repair(args.apply)?;
    let options = RepairOptions {
        level: args.level,
        threads: ctx.global.threads(),
        now: text::now(),
        host: host_name(),
        user: user_name(),
        program: PROGRAM.to_owned(),
        clock: text::now,
        snapshots: args.snapshots,
    };
    let (plan, outcome) = plan_and_apply(ctx, &repository, (args.apply, &options))?;
    let (level, mut went_back) = (plan.level, plan.went_back);
    let mut shown = plan.shown;
    if let Some(outcome) = outcome {
        shown.sound = outcome.is_sound();
        went_back = outcome.after.went_back;
        // What only the look before could see is lost as it said then.
        if !outcome.is_misstated {
            shown.lost = outcome.after.affected;
        }
        // What they lack was shown with them, and is lacking in the trash only.
        let old: HashSet<SnapshotId> =
            outcome.replaced.iter().map(|replaced| replaced.old).collect();
        shown.lost.take_out(|lost| old.contains(&lost.snapshot));
        shown.is_any_broken &= !args.snapshots;
        shown.is_untold = outcome.is_untold;
        shown.replaced = outcome.replaced.iter().map(ReplacedView::done).collect();
    }
    let exit = match (shown.sound, went_back) {
        (true, _) => Exit::Done,
        (false, true) => Exit::RolledBack,
        (false, false) => Exit::Damage,
    };
    if ctx.ui.json {
        ctx.ui.print_json(&view(shown, (args.apply, level), began.elapsed().as_secs_f64()))?;
        return Ok(exit);
    }
    ended(exit, tell(ctx, &shown, args))
}

/// What a plan said.
struct Planned {
    level: Level,
    went_back: bool,
    shown: Shown,
}

/// Plans, and does it if that is wanted; plans anew where collectors changed something in between.
fn plan_and_apply(
    ctx: &Context,
    repository: &Arc<Repository>,
    (apply, options): (bool, &RepairOptions),
) -> Result<(Planned, Option<Outcome>), Failure> {
    let (mut attempts, mut replaced) = (1, Vec::new());
    loop {
        let (plan, _) =
            ctx.run("looking for damage", |monitor| repair::plan(repository, options, monitor))?;
        let planned = Planned {
            level: plan.found.level,
            went_back: plan.found.went_back,
            shown: show(&plan),
        };
        if !apply {
            return Ok((planned, None));
        }
        match ctx.run("repairing", |monitor| match plan.apply_and_note(&mut replaced, monitor) {
            Err(repo::Error::Contended { .. }) if attempts < ATTEMPTS_MAX => Ok(None),
            applied => applied.map(Some),
        })? {
            (Some(outcome), _) => return Ok((planned, Some(outcome))),
            (None, _) => attempts += 1,
        }
    }
}

fn show(plan: &Plan) -> Shown {
    let object =
        |pack: &crate::format::run::PackRef| layout::pack_key(pack.class, &pack.name).to_string();
    let pack = |pack: &repair::NewPack| PackView {
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
    Shown {
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

impl ReplacedView {
    fn planned(broken: &Broken, outlook: &CheckReport) -> Self {
        let of_it =
            outlook.affected.items.iter().filter(|lost| lost.snapshot == broken.snapshot.id);
        Self { snapshot: broken.snapshot.id.to_hex(), by: None, left_out: of_it.count() as u64 }
    }

    fn done(replaced: &Replaced) -> Self {
        let by = replaced.new.map(|new| new.to_hex());
        Self { snapshot: replaced.old.to_hex(), by, left_out: replaced.left_out }
    }
}

fn view(shown: Shown, (applied, level): (bool, Level), seconds: f64) -> RepairView {
    RepairView {
        level: level.to_string(),
        applied,
        sound: shown.sound,
        problem_count: shown.problems.count,
        problems: shown.problems.items.iter().map(ProblemView::new).collect(),
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

fn tell(ctx: &Context, shown: &Shown, args: &RepairArgs) -> Result<(), Failure> {
    let applied = args.apply;
    let style = ctx.ui.out_style;
    if shown.problems.is_empty() && shown.packs.is_empty() {
        ctx.ui.say(&style.paint(Role::Good, "no damage found: there is nothing to repair"))?;
        return Ok(());
    }
    let mut out = Output::stdout()?;
    if shown.problems.is_empty() {
        writeln!(out, "no damage found, but what is needed would be removed")?;
    } else {
        writeln!(
            out,
            "{}",
            style.paint(
                Role::Error,
                &format!("found {}:", text::counted(shown.problems.count, "problem"))
            )
        )?;
    }
    for problem in &shown.problems.items {
        writeln!(out, "  {}: {}", problem.object, problem.message)?;
    }
    if !shown.packs.is_empty() || !shown.runs.is_empty() {
        writeln!(out, "{}", if applied { "done:" } else { "can be done:" })?;
    }
    for pack in &shown.packs {
        let (chunks, old) = (text::counted(pack.chunks, "chunk"), &pack.instead_of);
        match pack.removed_by {
            None => writeln!(out, "  store again what can be read of {old}: {chunks}")?,
            Some(number) => writeln!(
                out,
                "  store again what is in {old}, which gc/{number}.verdict removes: {chunks}"
            )?,
        }
    }
    for run in &shown.runs {
        let (packs, chunks) =
            (text::counted(run.packs, "pack"), text::counted(run.chunks, "chunk"));
        let instead = match run.replaces.len() {
            0 => String::new(),
            count => format!(", instead of {}", text::counted(count as u64, "run")),
        };
        let left_out = match run.left_out {
            0 => String::new(),
            count => format!(
                ", without {} that are stored elsewhere or lost",
                text::counted(count, "chunk")
            ),
        };
        writeln!(out, "  an index run that names {packs} with {chunks}{instead}{left_out}")?;
    }
    if !shown.beyond.is_empty() {
        writeln!(out, "cannot be healed:")?;
        shown.beyond.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    tell_lost(&mut out, shown, applied)?;
    tell_replaced(&mut out, shown, applied)?;
    tell_next(&mut out, shown, args)?;
    Ok(out.finish()?)
}

fn tell_replaced(out: &mut Output, shown: &Shown, applied: bool) -> Result<(), Failure> {
    if shown.replaced.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "{}",
        if applied {
            "replaced:"
        } else {
            "snapshots to be replaced by new ones without what is lost:"
        }
    )?;
    for replaced in &shown.replaced {
        let old = &replaced.snapshot[..8];
        let left_out = match replaced.left_out {
            0 => String::new(),
            count => format!(", without {}", text::counted(count, "path")),
        };
        match (&replaced.by, applied) {
            (Some(new), _) => writeln!(out, "  {old} by {}{left_out}", &new[..8])?,
            (None, true) => writeln!(out, "  {old} by none: nothing of it could be read")?,
            (None, false) => writeln!(out, "  {old}{left_out}")?,
        }
    }
    Ok(())
}

fn tell_next(out: &mut Output, shown: &Shown, args: &RepairArgs) -> Result<(), Failure> {
    let is_planned =
        !shown.packs.is_empty() || !shown.runs.is_empty() || !shown.replaced.is_empty();
    if !args.apply && is_planned {
        let option = if args.snapshots { " --snapshots" } else { "" };
        writeln!(out, "nothing was changed: `drumlin repair{option} --apply` does it")?;
    }
    if !shown.replaced.is_empty() {
        let tense = if args.apply { "are" } else { "will be" };
        writeln!(
            out,
            "the old ones {tense} in the trash for 7 days: `drumlin undelete` brings them back, `drumlin prune` removes them after that"
        )?;
    }
    if shown.is_untold {
        let once =
            "run `drumlin backup --read-all` once on each other machine that backs up to here";
        writeln!(out, "other machines cannot be told of this by the repository itself: {once}")?;
    }
    if shown.lost.is_empty() || !args.apply && is_planned {
        return Ok(());
    }
    if shown.is_any_broken {
        writeln!(
            out,
            "back up the same sources again: what they still hold is stored again, and is back in every snapshot"
        )?;
        let rest = "what stays lost even then: `drumlin repair --snapshots` replaces the snapshots that lack it by new ones without it";
        writeln!(out, "{rest}")?;
    } else {
        writeln!(
            out,
            "only snapshots in the trash lack something: `drumlin prune` removes them when they have been there for 7 days"
        )?;
    }
    Ok(())
}

fn tell_lost(out: &mut Output, shown: &Shown, applied: bool) -> Result<(), Failure> {
    if shown.lost.is_empty() {
        let which = if applied && !shown.replaced.is_empty() { "any other" } else { "any" };
        writeln!(
            out,
            "no file of {which} snapshot {} lost",
            if applied { "is" } else { "will be" }
        )?;
    } else {
        writeln!(out, "lost{}:", if applied { "" } else { " even then" })?;
    }
    for lost in &shown.lost.items {
        let what =
            if lost.is_folder { " (folder: not all of what is in it can be had)" } else { "" };
        writeln!(out, "  {}:{}{what}", lost.snapshot.short(), text::printable(&lost.path))?;
    }
    let hidden = shown.lost.count - shown.lost.items.len() as u64;
    if hidden > 0 {
        writeln!(out, "  and {} more", text::count(hidden))?;
    }
    Ok(())
}
