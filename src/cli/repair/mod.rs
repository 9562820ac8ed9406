//! `drumlin repair`: repairs damage as far as possible.

mod args;
mod report;
mod view;

pub(super) use args::RepairArgs;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use self::report::tell;
use self::view::{RepairSummary, RepairView, ReplacedView};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, ended};
use super::global::PROGRAM;
use crate::connect::host::{host_name, user_name};
use crate::id::SnapshotId;
use crate::maintain::check::Level;
use crate::maintain::repair::{self, RepairOptions, RepairOutcome};
use crate::repo::{self, Repository};
use crate::text;

/// Maximum number of plans if concurrent prunes invalidate them.
const ATTEMPTS_MAX: usize = 4;

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &RepairArgs) -> Result<Exit, Failure> {
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
    let (plan, outcome) = plan_and_apply(ctx, &repository, args.apply, &options)?;
    let (level, mut went_back) = (plan.level, plan.went_back);
    let mut shown = plan.shown;
    if let Some(outcome) = outcome {
        shown.sound = outcome.is_sound();
        went_back = outcome.after.went_back;
        // If the check afterwards is less precise, the losses of the first one are kept.
        if !outcome.is_misstated {
            shown.lost = outcome.after.affected;
        }
        // Losses of replaced snapshots concern only the trash.
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
        let seconds = began.elapsed().as_secs_f64();
        ctx.ui.print_json(&RepairView::new(shown, args.apply, level, seconds))?;
        return Ok(exit);
    }
    ended(exit, tell(ctx, &shown, args))
}

/// Summary of a plan.
struct RepairPreview {
    level: Level,
    went_back: bool,
    shown: RepairSummary,
}

/// Plans, and applies the plan if `apply`; plans again if a concurrent prune changed something.
fn plan_and_apply(
    ctx: &Context,
    repository: &Arc<Repository>,
    apply: bool,
    options: &RepairOptions,
) -> Result<(RepairPreview, Option<RepairOutcome>), Failure> {
    let (mut attempts, mut replaced) = (1, Vec::new());
    loop {
        let (plan, _) =
            ctx.run("looking for damage", |monitor| repair::plan(repository, options, monitor))?;
        let planned = RepairPreview {
            level: plan.found.level,
            went_back: plan.found.went_back,
            shown: RepairSummary::planned(&plan),
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
