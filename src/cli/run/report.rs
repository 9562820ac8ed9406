//! Reports of runs as text and JSON.

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::format::entry::Timestamp;
use crate::jobs::state::{HookRecord, RunRecord, RunStatus, SourceRun};
use crate::text;

/// The JSON document of `run`.
#[derive(Serialize)]
pub(crate) struct RunsView<'a> {
    runs: Vec<RunView<'a>>,
}

/// One run.
#[derive(Serialize)]
pub(crate) struct RunView<'a> {
    app: &'a str,
    run: &'a str,
    slot: Option<String>,
    status: &'static str,
    started: Option<String>,
    ended: Option<String>,
    seconds: f64,
    attempt: u32,
    missed: u64,
    repository: &'a str,
    snapshot: Option<&'a str>,
    files: u64,
    files_changed: u64,
    bytes: u64,
    bytes_read: u64,
    bytes_added: u64,
    sources: &'a [SourceRun],
    hooks: &'a [HookRecord],
    problem_count: u64,
    problems: &'a [String],
    notices: &'a [String],
    requests: u64,
    error: Option<&'a str>,
    hint: Option<&'a str>,
}

impl<'a> RunsView<'a> {
    /// Makes the view of runs.
    pub(super) fn new(records: &'a [RunRecord]) -> Self {
        Self { runs: records.iter().map(RunView::new).collect() }
    }
}

impl<'a> RunView<'a> {
    /// Makes the view of a run.
    pub(crate) fn new(record: &'a RunRecord) -> Self {
        Self {
            app: &record.app,
            run: &record.run,
            slot: record.slot.and_then(rfc3339),
            status: record.status.name(),
            started: rfc3339(record.started),
            ended: rfc3339(record.ended),
            seconds: record.seconds,
            attempt: record.attempt,
            missed: record.missed,
            repository: &record.repository,
            snapshot: record.snapshot.as_deref(),
            files: record.files,
            files_changed: record.files_changed,
            bytes: record.bytes,
            bytes_read: record.bytes_read,
            bytes_added: record.bytes_added,
            sources: &record.sources,
            hooks: &record.hooks,
            problem_count: record.problem_count,
            problems: &record.problems,
            notices: &record.notices,
            requests: record.requests,
            error: record.error.as_deref(),
            hint: record.hint.as_deref(),
        }
    }
}

/// Returns a moment as text; `None` if it is out of range.
pub(crate) fn rfc3339(seconds: i64) -> Option<String> {
    text::rfc3339(Timestamp { seconds, nanos: 0 })
}

/// Returns the line of a run that did not fail.
pub(super) fn line_of(record: &RunRecord) -> String {
    let app = &record.app;
    let short = |id: &String| id.chars().take(8).collect::<String>();
    let snapshot = record.snapshot.as_ref().map(short).unwrap_or_default();
    let stored = format!(
        "{}, {} changed, {} added, {:.1} s",
        text::counted(record.files, "file"),
        text::count(record.files_changed),
        text::size(record.bytes_added),
        record.seconds
    );
    match record.status {
        RunStatus::Skipped => format!("{app}: left out, as its hook `before` asked"),
        _ if record.snapshot.is_none() => format!("{app}: dry run, nothing was stored; {stored}"),
        RunStatus::Unchanged => format!("{app}: nothing has changed since snapshot {snapshot}"),
        RunStatus::Partial => {
            format!("{app}: snapshot {snapshot}, with files missing; {stored}")
        }
        _ => format!("{app}: snapshot {snapshot}; {stored}"),
    }
}

/// Prints the outcome of a run; a failure goes to standard error.
pub(super) fn tell(ctx: &Context, record: &RunRecord) -> Result<(), Failure> {
    for notice in &record.notices {
        ctx.ui.warn(&format!("{}: {notice}", record.app));
    }
    match &record.error {
        Some(error) => {
            failure_of(record, error).report(&ctx.ui);
            Ok(())
        }
        None => Ok(ctx.ui.say(&line_of(record))?),
    }
}

/// Returns the failure of a run, its causes on lines of their own.
fn failure_of(record: &RunRecord, error: &str) -> Failure {
    let causes = format!(": {}", record.causes.join(": "));
    let (first, causes) = match error.strip_suffix(&causes) {
        Some(first) => (first, &record.causes[..]),
        None => (error, &[][..]),
    };
    let message = format!("app {} failed: {first}", record.app);
    let failure = Failure::new(Exit::Error, message).with_causes(causes);
    match &record.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Returns the sentence about a run that died.
pub(crate) fn death_of(lost: &RunRecord) -> String {
    let why = lost.error.as_deref().unwrap_or_default();
    format!("{}: the run that began as {} did not end: {why}", lost.app, lost.run)
}
