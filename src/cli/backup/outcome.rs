//! Report of a backup as text and JSON.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::backup::BackupReport;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::json_views::{ProblemView, RequestsView, SnapshotView, StatsView};
use crate::format::snapshot::SnapshotStats;
use crate::monitor::{Monitor, ProblemKind};
use crate::text;

/// Result of a backup.
pub(crate) struct BackupOutcome {
    /// The operation's report.
    pub report: BackupReport,
    /// Its problems.
    pub monitor: Arc<Monitor>,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// Duration in seconds.
    pub seconds: f64,
}

impl BackupOutcome {
    /// Returns 3 if a source file could not be read.
    pub(crate) fn exit(&self) -> Exit {
        if self.unreadable() > 0 { Exit::Unreadable } else { Exit::Done }
    }

    fn unreadable(&self) -> u64 {
        self.monitor.count_of(ProblemKind::Unreadable)
    }

    /// Prints the problems.
    pub(crate) fn list_problems(&self, ctx: &Context) {
        ctx.ui.list_problems(&self.monitor);
    }

    /// Returns the JSON document.
    pub(crate) fn view(&self, ctx: &Context) -> BackupView {
        BackupView {
            snapshot: self.report.snapshot.as_ref().map(SnapshotView::new),
            unchanged_since: self.report.unchanged_since.map(|id| id.to_hex()),
            dry_run: self.dry_run,
            stats: StatsView::new(&self.report.stats),
            seconds: self.seconds,
            problem_count: self.monitor.problem_count(),
            problems: ProblemView::all(&self.monitor),
            requests: ctx.requests_view(),
        }
    }

    /// Returns the report as text.
    pub(crate) fn lines(&self) -> Vec<String> {
        let stats = &self.report.stats;
        let mut lines = vec![match (&self.report.snapshot, self.report.unchanged_since) {
            (Some(snapshot), _) => {
                let sources: Vec<String> =
                    snapshot.sources.iter().map(|source| text::printable(source)).collect();
                format!("snapshot {} of {}", snapshot.id.short(), sources.join(" "))
            }
            (None, Some(id)) => {
                format!("nothing has changed since snapshot {}: no new one was needed", id.short())
            }
            (None, None) => "dry run: nothing was stored".to_owned(),
        }];
        lines.extend(match self.report.unchanged_since {
            Some(_) => vec![files_line(stats)],
            None => stats_lines(stats, self.dry_run),
        });
        if self.unreadable() > 0 {
            lines.push(format!(
                "  not read {}: listed below, exit code 3",
                text::counted(self.unreadable(), "file")
            ));
        }
        lines.push(format!("  time     {}", text::duration(Duration::from_secs_f64(self.seconds))));
        lines
    }
}

fn files_line(stats: &SnapshotStats) -> String {
    let totals = stats.totals;
    format!(
        "  files    {} in {}, {}",
        text::count(totals.files),
        text::counted(totals.dirs, "folder"),
        text::size(totals.bytes)
    )
}

fn stats_lines(stats: &SnapshotStats, dry_run: bool) -> Vec<String> {
    let (new, changed) = (text::count(stats.files_new), text::count(stats.files_changed));
    let stored = match dry_run {
        true => format!("  new      {} before compression", text::size(stats.bytes_new_raw)),
        false => format!(
            "  stored   {} for {} of new content",
            text::size(stats.bytes_stored),
            text::size(stats.bytes_new_raw)
        ),
    };
    vec![
        files_line(stats),
        format!(
            "  changes  {new} new, {changed} changed, {} unchanged",
            text::count(stats.files_unchanged)
        ),
        format!("  read     {}", text::size(stats.bytes_read)),
        stored,
    ]
}

/// The JSON document of a backup.
#[derive(Serialize)]
pub(crate) struct BackupView {
    snapshot: Option<SnapshotView>,
    unchanged_since: Option<String>,
    dry_run: bool,
    stats: StatsView,
    seconds: f64,
    problem_count: u64,
    problems: Vec<ProblemView>,
    requests: RequestsView,
}
