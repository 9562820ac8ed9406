//! `drumlin restore`: restores a snapshot or a path in it.

mod archive;
mod args;
mod thaw;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

pub(super) use self::args::RestoreArgs;

use self::args::OverwriteArg;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, ended};
use crate::cli::json_views::{ProblemView, RequestsView, exact, lossy};
use crate::cli::snapshot_spec::SnapshotSpec;
use crate::connect::Purpose;
use crate::connect::host::here;
use crate::format::snapshot::Snapshot;
use crate::jobs::patterns::Surroundings;
use crate::monitor::Monitor;
use crate::repo::Repository;
use crate::restore::{self, Overwrite, PlannedEntry, RestoreOptions, RestoreReport};
use crate::text;
use crate::ui::output::{BufferedStdout, JsonList};

#[derive(Serialize)]
struct RestoreView {
    snapshot: String,
    target: PathBuf,
    #[serde(flatten)]
    report: ReportView,
    seconds: f64,
    problem_count: u64,
    problems: Vec<ProblemView>,
    requests: RequestsView,
}

#[derive(Serialize)]
struct ReportView {
    files: u64,
    dirs: u64,
    bytes: u64,
    files_kept: u64,
    bytes_kept: u64,
    bytes_written: u64,
    bytes_fetched: u64,
    left_alone: u64,
    deleted: u64,
    damaged: u64,
    failed: u64,
    verified: u64,
    verify_failed: u64,
}

impl From<&RestoreReport> for ReportView {
    fn from(report: &RestoreReport) -> Self {
        Self {
            files: report.files,
            dirs: report.dirs,
            bytes: report.bytes,
            files_kept: report.files_kept,
            bytes_kept: report.bytes_kept,
            bytes_written: report.bytes_written,
            bytes_fetched: report.bytes_fetched,
            left_alone: report.left_alone,
            deleted: report.deleted,
            damaged: report.damaged,
            failed: report.failed,
            verified: report.verified,
            verify_failed: report.verify_failed,
        }
    }
}

#[derive(Serialize)]
struct PlannedView {
    action: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    size: u64,
    is_dir: bool,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: RestoreArgs) -> Result<Exit, Failure> {
    let began = Instant::now();
    let archive = args.archive.wanted(ctx, began)?;
    let wanted = SnapshotSpec::parse(&args.snap, &here()?)?.among(&args.series_filter);
    let settings = ctx.connector.settings()?;
    let place = ctx.connector.place(&settings, None)?;
    let repository = ctx.connector.open_place(&place, Purpose::Look)?;
    let snapshot = wanted.resolve(&ctx.ui, &repository)?;
    let root = wanted.path.as_deref().map(|path| OsStr::from_bytes(path).into());
    let typed_at = Surroundings { here: Some(here()?), home: ctx.connector.env.home(), root };
    let options = RestoreOptions {
        path: wanted.path,
        target: args.target.unwrap_or_default(),
        own_dirs: ctx.connector.own_dirs(&place),
        includes: typed_at.patterns(&args.includes, &args.folded_includes),
        excludes: typed_at.patterns(&args.excludes, &args.folded_excludes),
        dry_run: args.dry_run,
        verify: args.verify,
        delete: args.delete,
        overwrite: match args.overwrite {
            None => Overwrite::IfDifferent,
            Some(OverwriteArg::Always) => Overwrite::Always,
            Some(OverwriteArg::IfChanged) => Overwrite::IfChanged,
            Some(OverwriteArg::Never) => Overwrite::Never,
        },
        threads: ctx.global.threads(),
        low_memory: args.low_memory,
        numeric_ids: args.numeric_ids,
    };
    if let Some(archive) = archive {
        return archive::run(ctx, &repository, &snapshot, &options, &archive);
    }
    if args.thaw.plan {
        return thaw::plan(ctx, &repository, &snapshot, &options, &args.thaw);
    }
    if args.thaw.thaw {
        thaw::thaw(ctx, &repository, &snapshot, &options, &args.thaw)?;
    }
    if options.dry_run {
        return list(ctx, &repository, &snapshot, &options);
    }
    let restore = |monitor: &Arc<Monitor>| {
        // Problems before the error, including files that are left in an intermediate state.
        restore::run(&repository, &snapshot, &options, monitor)
            .inspect_err(|_| ctx.ui.list_problems(monitor))
    };
    let (report, monitor) = ctx.run("restoring", restore)?;
    let seconds = began.elapsed().as_secs_f64();
    let told = if ctx.ui.json {
        ctx.ui.print_json(&RestoreView {
            snapshot: snapshot.id.to_hex(),
            target: options.target,
            report: ReportView::from(&report),
            seconds,
            problem_count: monitor.problem_count(),
            problems: ProblemView::all(&monitor),
            requests: ctx.requests_view(),
        })
    } else {
        let said = ctx.ui.say(&lines(&snapshot, &options, &report, began).join("\n"));
        ctx.ui.list_problems(&monitor);
        said
    };
    ended(exit_of(&report), told.map_err(Failure::from))
}

/// Returns the exit code: damage of the repository, which calls for `check`, differs from other
/// failures.
fn exit_of(report: &RestoreReport) -> Exit {
    match report {
        RestoreReport { damaged: 1.., .. } => Exit::Damage,
        RestoreReport { failed: 1.., .. } | RestoreReport { verify_failed: 1.., .. } => Exit::Error,
        _ => Exit::Done,
    }
}

fn lines(
    snapshot: &Snapshot,
    options: &RestoreOptions,
    report: &RestoreReport,
    began: Instant,
) -> Vec<String> {
    let mut lines = vec![format!(
        "restored {} in {} of snapshot {} to {}",
        text::counted(report.files, "file"),
        text::counted(report.dirs, "folder"),
        snapshot.id.short(),
        text::path(&options.target)
    )];
    lines.push(format!(
        "  written  {} of {}",
        text::size(report.bytes_written),
        text::size(report.bytes)
    ));
    let mut some = |count: u64, line: String| {
        if count > 0 {
            lines.push(line);
        }
    };
    let was = |count: u64| text::counted(count, "file");
    some(
        report.files_kept,
        format!(
            "  kept     {}, {}, right already",
            was(report.files_kept),
            text::size(report.bytes_kept)
        ),
    );
    some(report.left_alone, format!("  left     {} as it was", was(report.left_alone)));
    some(
        report.deleted,
        format!("  removed  {} that the snapshot does not have", text::count(report.deleted)),
    );
    some(
        u64::from(options.verify),
        format!(
            "  verified {} by reading again, {} wrong",
            was(report.verified),
            report.verify_failed
        ),
    );
    some(
        report.damaged,
        format!(
            "  damaged  {} could not be restored: the repository is damaged",
            was(report.damaged)
        ),
    );
    some(report.failed, format!("  failed   {} could not be restored", text::count(report.failed)));
    lines.push(format!("  time     {}", text::duration(began.elapsed())));
    lines
}

fn list(
    ctx: &Context,
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
) -> Result<Exit, Failure> {
    let mut plan = if ctx.ui.json {
        let target = options.target.to_string_lossy().into_owned();
        DryRunOutput::Json(JsonList::begin(
            &[("snapshot", snapshot.id.to_hex().into()), ("target", target.into())],
            "planned",
        )?)
    } else {
        DryRunOutput::Text(BufferedStdout::open()?)
    };
    let mut failed = Ok(());
    let (report, monitor) = ctx.run("planning", |monitor: &Arc<Monitor>| {
        let listed = restore::list(repository, snapshot, options, monitor, &mut |planned| {
            if failed.is_ok() {
                failed = plan.line(&planned);
            }
        });
        listed.inspect_err(|_| ctx.ui.list_problems(monitor))
    })?;
    let told = failed.and_then(|()| plan.finish(&report, &monitor));
    if !ctx.ui.json {
        ctx.ui.list_problems(&monitor);
    }
    ended(exit_of(&report), told)
}

/// Output of a dry run.
enum DryRunOutput {
    Json(JsonList),
    Text(BufferedStdout),
}

impl DryRunOutput {
    fn line(&mut self, planned: &PlannedEntry<'_>) -> Result<(), Failure> {
        let PlannedEntry { action, path, size, is_dir, .. } = *planned;
        match self {
            Self::Json(list) => {
                let path_hex = exact(path);
                list.item(&PlannedView {
                    action: action.name(),
                    path: lossy(path),
                    path_hex,
                    size,
                    is_dir,
                })?;
            }
            Self::Text(out) => {
                let slash = if is_dir { "/" } else { "" };
                writeln!(
                    out,
                    "{:<11} {:>10}  {}{slash}",
                    action.name(),
                    text::size(size),
                    text::printable(path)
                )?;
            }
        }
        Ok(())
    }

    fn finish(self, report: &RestoreReport, monitor: &Monitor) -> Result<(), Failure> {
        match self {
            Self::Json(list) => {
                let view =
                    serde_json::to_value(ReportView::from(report)).expect("numbers can be written");
                let problems =
                    serde_json::to_value(ProblemView::all(monitor)).expect("texts can be written");
                let count = monitor.problem_count().into();
                Ok(list.finish(&[
                    ("report", view),
                    ("problem_count", count),
                    ("problems", problems),
                ])?)
            }
            Self::Text(mut out) => {
                writeln!(
                    out,
                    "dry run: {} in {}, {}, nothing was changed",
                    text::counted(report.files, "file"),
                    text::counted(report.dirs, "folder"),
                    text::size(report.bytes)
                )?;
                Ok(out.finish()?)
            }
        }
    }
}
