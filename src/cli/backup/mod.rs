//! `drumlin backup`: takes a snapshot.

mod args;
mod outcome;
mod plan;

pub(super) use args::BackupArgs;
pub(super) use outcome::{BackupOutcome, BackupView};
pub(super) use plan::{carry_out, plan_folder};

use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, ended};
use crate::connect::Purpose;

/// Runs the command.
pub(super) fn run(ctx: &Context, args: BackupArgs) -> Result<Exit, Failure> {
    let settings = ctx.connector.settings()?;
    let job = plan::plan(ctx, &settings, args)?;
    let place = ctx.connector.place(&settings, job.repository(ctx.global.repo.is_some())?)?;
    let repository = ctx.connector.open_place(&place, Purpose::BackUp)?;
    let outcome = carry_out(job, ctx, &place, &repository)?;
    let told = if ctx.ui.json {
        ctx.ui.print_json(&outcome.view(ctx))
    } else {
        let said = ctx.ui.say(&outcome.lines().join("\n"));
        ctx.ui.list_problems(&outcome.monitor);
        said
    };
    ended(outcome.exit(), told.map_err(Failure::from))
}
