//! `drumlin check`: verifies the repository and names damaged files.

use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, ended};
use super::json_views::{RequestsView, exact, lossy};
use super::repository_notes;
use super::slot::SlotArgs;
use crate::connect::Purpose;
use crate::jobs::state::{CheckDepth, CheckNotes};
use crate::maintain::check::{self, AffectedPath, CheckOptions, CheckProblem, CheckReport, Level};
use crate::text;
use crate::ui::output::BufferedStdout;
use crate::ui::style::Role;

/// Verify the repository, and name damaged files
#[derive(Args)]
pub(super) struct CheckArgs {
    /// How thorough: quick, structure, sample=P% or full
    ///
    /// quick compares lists; structure also reads all trees; sample=P% also reads this share of the
    /// file content; full reads all of it.
    #[arg(long, value_name = "LEVEL", default_value = "structure")]
    level: Level,

    #[command(flatten)]
    pub slot: SlotArgs,
}

#[derive(Serialize)]
struct CheckView {
    level: String,
    sound: bool,
    problem_count: u64,
    problems: Vec<CheckProblemView>,
    affected_count: u64,
    affected: Vec<AffectedView>,
    notices: Vec<String>,
    counts: CountsView,
    coverage: CoverageView,
    seconds: f64,
    requests: RequestsView,
}

/// A damaged or missing object.
#[derive(Serialize)]
pub(super) struct CheckProblemView {
    object: String,
    message: String,
}

/// A path that cannot be restored completely.
#[derive(Serialize)]
pub(super) struct AffectedView {
    snapshot: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    is_folder: bool,
}

#[derive(Serialize)]
struct CountsView {
    configs_and_keys: u64,
    intents_and_records: u64,
    snapshots: u64,
    forgotten: u64,
    index_runs: u64,
    chunks_indexed: u64,
    packs: u64,
    pack_bytes: u64,
    packs_verified: u64,
    bytes_verified: u64,
    nodes: u64,
    chunks_referenced: u64,
    packs_unindexed: u64,
}

#[derive(Serialize)]
struct CoverageView {
    bytes_ever: u64,
    bytes: u64,
    oldest: Option<String>,
}

impl CheckProblemView {
    /// Makes the view of a problem.
    pub(super) fn new(problem: &CheckProblem) -> Self {
        Self { object: problem.object.clone(), message: problem.message.clone() }
    }
}

impl AffectedView {
    /// Makes the view of a path.
    pub(super) fn new(affected: &AffectedPath) -> Self {
        Self {
            snapshot: affected.snapshot.to_hex(),
            path: lossy(&affected.path),
            path_hex: exact(&affected.path),
            is_folder: affected.is_dir,
        }
    }
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &CheckArgs) -> Result<Exit, Failure> {
    let began = Instant::now();
    let settings = ctx.connector.settings()?;
    let place = ctx.connector.place(&settings, None)?;
    let repository = ctx.connector.open_place(&place, Purpose::Work)?;
    let options =
        CheckOptions { level: args.level, threads: ctx.global.threads(), now: text::now() };
    let (report, _) = ctx.run("checking", |monitor| check::run(&repository, &options, monitor))?;
    repository_notes::note(ctx, &settings, &place, |notes| {
        let check = CheckNotes {
            at_s: text::now().seconds,
            bytes: report.counts.pack_bytes,
            data_bytes: report.coverage.bytes,
            verified_bytes: report.coverage.bytes_ever,
        };
        let damaged = report.problems.count.saturating_sub(report.gone_back);
        notes.note_check(check, depth_of(args.level), damaged);
    });
    ended(exit_of(&report), tell(ctx, &report, began))
}

fn depth_of(level: Level) -> CheckDepth {
    match level {
        Level::Quick => CheckDepth::Quick,
        Level::Structure => CheckDepth::Structure,
        Level::Sample { .. } => CheckDepth::Sample,
        Level::Full => CheckDepth::Full,
    }
}

fn tell(ctx: &Context, report: &CheckReport, began: Instant) -> Result<(), Failure> {
    if ctx.ui.json {
        return Ok(ctx.ui.print_json(&view(ctx, report, began.elapsed().as_secs_f64()))?);
    }
    report.notices.iter().for_each(|notice| ctx.ui.note(notice));
    ctx.ui.say(&summary(report, began).join("\n"))?;
    tell_verdict(ctx, report)
}

/// Returns the exit code of a report: a rollback takes precedence over damage, which can be
/// repaired.
pub(super) fn exit_of(report: &CheckReport) -> Exit {
    match (report.is_sound(), report.went_back) {
        (true, _) => Exit::Done,
        (false, true) => Exit::RolledBack,
        (false, false) => Exit::Damage,
    }
}

fn view(ctx: &Context, report: &CheckReport, seconds: f64) -> CheckView {
    let counts = report.counts;
    let problems = report.problems.items.iter();
    let affected = report.affected.items.iter().map(AffectedView::new);
    CheckView {
        level: report.level.to_string(),
        sound: report.is_sound(),
        problem_count: report.problems.count,
        problems: problems.map(CheckProblemView::new).collect(),
        affected_count: report.affected.count,
        affected: affected.collect(),
        notices: report.notices.clone(),
        counts: CountsView {
            configs_and_keys: counts.configs_and_keys,
            intents_and_records: counts.intents_and_records,
            snapshots: counts.snapshots,
            forgotten: counts.forgotten,
            index_runs: counts.index_runs,
            chunks_indexed: counts.chunks_indexed,
            packs: counts.packs,
            pack_bytes: counts.pack_bytes,
            packs_verified: counts.packs_verified,
            bytes_verified: counts.bytes_verified,
            nodes: counts.nodes,
            chunks_referenced: counts.chunks_referenced,
            packs_unindexed: counts.packs_unindexed,
        },
        coverage: CoverageView {
            bytes_ever: report.coverage.bytes_ever,
            bytes: report.coverage.bytes,
            oldest: report.coverage.oldest.and_then(text::rfc3339),
        },
        seconds,
        requests: ctx.requests_view(),
    }
}

fn summary(report: &CheckReport, began: Instant) -> Vec<String> {
    let (counts, coverage) = (&report.counts, &report.coverage);
    let in_trash = match counts.forgotten {
        0 => String::new(),
        forgotten => format!(", {} of them in the trash", text::count(forgotten)),
    };
    let mut lines = vec![
        format!("checked at level {}", report.level),
        format!("  snapshots  {}{in_trash}", text::count(counts.snapshots)),
        format!(
            "  index      {} naming {}",
            text::counted(counts.index_runs, "run"),
            text::counted(counts.chunks_indexed, "chunk")
        ),
        format!("  packs      {}, {}", text::count(counts.packs), text::size(counts.pack_bytes)),
        format!(
            "  read whole {} of them, {}",
            text::count(counts.packs_verified),
            text::size(counts.bytes_verified)
        ),
    ];
    if report.level >= Level::Structure {
        let refers = text::counted(counts.chunks_referenced, "chunk");
        lines.push(format!(
            "  trees      {} referring to {refers} of files",
            text::counted(counts.nodes, "node")
        ));
    }
    if coverage.bytes > 0 {
        let percent = 100.0 * coverage.bytes_ever as f64 / coverage.bytes as f64;
        let oldest = coverage.oldest.map_or_else(String::new, |oldest| {
            format!(", the oldest on {}", text::local_time(oldest))
        });
        lines.push(format!(
            "  content    {:.0} % was ever read whole by a check{oldest}",
            percent.floor()
        ));
    }
    lines.push(format!("  time       {}", text::duration(began.elapsed())));
    lines
}

/// Prints the damage, even with `--quiet`.
fn tell_verdict(ctx: &Context, report: &CheckReport) -> Result<(), Failure> {
    let style = ctx.ui.out_style;
    if report.is_sound() {
        ctx.ui.say(&style.paint(Role::Good, "no damage found"))?;
        return Ok(());
    }
    let mut out = BufferedStdout::open()?;
    writeln!(
        out,
        "{}",
        style.paint(
            Role::Error,
            &format!("found {}:", text::counted(report.problems.count, "problem"))
        )
    )?;
    for problem in &report.problems.items {
        writeln!(out, "  {}: {}", problem.object, problem.message)?;
    }
    if report.affected.is_empty() {
        writeln!(out, "no file of any snapshot is affected")?;
    } else {
        writeln!(out, "affected:")?;
    }
    for affected in &report.affected.items {
        let what = if affected.is_dir { " (folder: not everything in it can be read)" } else { "" };
        writeln!(out, "  {}:{}{what}", affected.snapshot.short(), text::printable(&affected.path))?;
    }
    let hidden = report.affected.count - report.affected.items.len() as u64;
    if hidden > 0 {
        writeln!(out, "  and {} more", text::count(hidden))?;
    }
    Ok(out.finish()?)
}
