//! Metrics and log lines of runs.
//!
//! They tell of runs and are no part of them: what fails here is a notice.

use serde_json::{Map, Value, json};

use super::report::{RunView, line_of};
use crate::cli::own_metrics::OwnMetrics;
use crate::jobs::state::{HookRecord, RunRecord, RunStatus, SourceRun};
use crate::settings::log::LogLevel;
use crate::text;
use crate::ui::Ui;
use crate::ui::event_log::{EventLog, LogEvent};

/// A kind of event.
struct Kind {
    level: LogLevel,
    name: &'static str,
}

const BEGAN: Kind = Kind { level: LogLevel::Info, name: "began" };
const MISSED: Kind = Kind { level: LogLevel::Warning, name: "missed" };
const NOTICE: Kind = Kind { level: LogLevel::Warning, name: "notice" };
const HOOK: Kind = Kind { level: LogLevel::Debug, name: "hook" };
const HOOK_FAILED: Kind = Kind { level: LogLevel::Warning, name: "hook-failed" };
const DUMP: Kind = Kind { level: LogLevel::Debug, name: "dump" };

/// Receivers of what happens in runs.
pub(super) struct Aftermath<'a> {
    /// Output, for a log that cannot be written.
    pub ui: &'a Ui,
    /// The metrics.
    pub metrics: OwnMetrics<'a>,
    /// The log.
    pub log: EventLog,
}

impl Aftermath<'_> {
    /// Logs that a run has begun.
    pub(super) fn began(&self, record: &RunRecord) {
        let of_attempt = match record.attempt {
            0 | 1 => String::new(),
            attempt => format!(", attempt {attempt}"),
        };
        let fields = json!({ "run": record.run, "attempt": record.attempt });
        let message = format!("run {} began{of_attempt}", record.run);
        self.add(record, BEGAN, message, fields);
        if record.missed > 0 {
            let times = text::counted(record.missed, "time");
            let message = format!("{times} of its schedule passed without a run");
            let fields = json!({ "run": record.run, "missed": record.missed });
            self.add(record, MISSED, message, fields);
        }
    }

    /// Writes and pushes metrics after a run, and logs how it ended. What fails is a notice of the
    /// run.
    pub(super) fn ended(&self, record: &mut RunRecord) {
        let mut problems = self.metrics.write();
        let pushed = self.metrics.push(&record.app);
        let of_push: Vec<String> =
            pushed.into_iter().filter(|problem| !problems.contains(problem)).collect();
        problems.extend(of_push);
        record.notices.extend(problems);
        for hook in record.failed_hooks() {
            self.hook_failed(record, hook);
        }
        for hook in record.hooks.iter().filter(|hook| hook.code == Some(0)) {
            let message = format!("hook `{}` ended after {:.1} s", hook.event, hook.seconds);
            self.add(record, HOOK, message, hook_fields(record, hook));
        }
        for source in &record.sources {
            self.dumped(record, source);
        }
        for notice in &record.notices {
            let fields = json!({ "run": record.run });
            self.add(record, NOTICE, notice.clone(), fields);
        }
        let (level, message) = match (record.status, &record.error) {
            (RunStatus::Failed, None) => (LogLevel::Error, "failed".to_owned()),
            (_, Some(error)) => (LogLevel::Error, format!("failed: {error}")),
            (RunStatus::Partial, None) => (LogLevel::Warning, line_of(record)),
            (_, None) => (LogLevel::Info, line_of(record)),
        };
        let of_app = format!("{}: ", record.app);
        let message = message.strip_prefix(&of_app).unwrap_or(&message).to_owned();
        let fields = serde_json::to_value(RunView::new(record)).unwrap_or_default();
        self.add(record, Kind { level, name: "ended" }, message, fields);
    }

    /// Writes metrics when no run was due, so that their time is new.
    pub(super) fn idle(&self) {
        for problem in self.metrics.write() {
            self.ui.warn(&problem);
            self.tell(&LogEvent {
                level: NOTICE.level,
                event: NOTICE.name,
                app: "",
                message: problem,
                fields: Map::new(),
            });
        }
    }

    fn hook_failed(&self, record: &RunRecord, hook: &HookRecord) {
        let how = match hook.code {
            Some(code) => format!("failed with code {code}"),
            None => "was stopped, or could not be started".to_owned(),
        };
        let message = format!("hook `{}` {how}", hook.event);
        self.add(record, HOOK_FAILED, message, hook_fields(record, hook));
    }

    fn dumped(&self, record: &RunRecord, source: &SourceRun) {
        let SourceRun { source: place, bytes, seconds, .. } = source;
        let message = format!("dumped {place}: {}, {seconds:.1} s", text::size(*bytes));
        let fields = json!({
            "run": record.run, "source": place, "bytes": bytes, "rows": source.rows,
            "seconds": seconds,
        });
        self.add(record, DUMP, message, fields);
    }

    fn add(&self, record: &RunRecord, kind: Kind, message: String, fields: Value) {
        let fields = fields.as_object().cloned().unwrap_or_default();
        let Kind { level, name: event } = kind;
        self.tell(&LogEvent { level, event, app: &record.app, message, fields });
    }

    fn tell(&self, event: &LogEvent<'_>) {
        if let Err(error) = self.log.write(event) {
            self.ui.warn(&format!("cannot write to the log: {error}"));
        }
    }
}

fn hook_fields(record: &RunRecord, hook: &HookRecord) -> Value {
    json!({
        "run": record.run, "hook": hook.event, "code": hook.code, "seconds": hook.seconds,
    })
}
