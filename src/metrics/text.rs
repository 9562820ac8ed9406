//! Values as text, in Prometheus' text format 0.0.4.
//!
//! Each metric has its help and type once, followed by all its series: readers refuse a text in
//! which the series of one metric are apart. So the series are collected by metric first.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::names::FAMILIES;
use super::values::{App, Process, Repository, Status, Target, Values};

/// Returns values as text. The same values give the same bytes.
pub fn text(values: &Values) -> String {
    let mut page = Page::default();
    put_process(&mut page, &values.process);
    for (name, app) in &values.apps {
        put_app(&mut page, name, app);
        app.targets.iter().for_each(|(repository, target)| {
            put_target(&mut page, &[name, repository], target);
        });
        put_parts(&mut page, name, app);
    }
    for (name, repository) in &values.repositories {
        put_repository(&mut page, name, repository);
        put_traffic(&mut page, name, repository);
    }
    for (channel, failures) in &values.notification_failures {
        page.put("drumlin_notification_failures_total", &[channel], failures);
    }
    page.into_text()
}

fn put_process(page: &mut Page, process: &Process) {
    page.put("drumlin_build_info", &[&process.version], 1);
    page.put("drumlin_metrics_timestamp_seconds", &[], process.gathered_s);
    if let Some(daemon) = &process.daemon {
        page.put("drumlin_start_timestamp_seconds", &[], daemon.started_s);
        page.put("drumlin_config_reload_failed", &[], u8::from(daemon.is_reload_failed));
    }
}

fn put_app(page: &mut Page, name: &str, app: &App) {
    let last = app.last_run.as_ref();
    page.put("drumlin_app_enabled", &[name], u8::from(app.is_enabled));
    page.put_known("drumlin_max_age_seconds", &[name], app.max_age_s);
    page.put_known("drumlin_next_run_timestamp_seconds", &[name], app.next_run_s);
    let ended_s = last.map(|run| run.ended_s);
    page.put_past("drumlin_last_run_timestamp_seconds", &[name], ended_s);
    let duration = last.map(|run| seconds(run.duration));
    page.put_known("drumlin_last_run_duration_seconds", &[name], duration);
    for status in Status::ALL {
        let is_last = last.is_some_and(|run| run.status == status);
        page.put("drumlin_last_run_status", &[name, status.name()], u8::from(is_last));
        let runs = app.runs.get(&status).unwrap_or(&0);
        page.put("drumlin_runs_total", &[name, status.name()], runs);
    }
    page.put("drumlin_running", &[name], u8::from(app.is_running));
    page.put("drumlin_overdue", &[name], u8::from(app.is_overdue));
    page.put("drumlin_consecutive_failures", &[name], app.failures_in_a_row);
    page.put("drumlin_missed_runs_total", &[name], app.missed_runs);
    page.put_known("drumlin_source_bytes", &[name], app.source.as_ref().map(|size| size.bytes));
    page.put_known("drumlin_source_files", &[name], app.source.as_ref().map(|size| size.files));
    page.put_known("drumlin_read_bytes", &[name], last.map(|run| run.read_bytes));
    page.put_known("drumlin_unread_files", &[name], last.map(|run| run.unread_files));
}

/// Puts the metrics of an app's repository; `labels` are the names of both.
fn put_target(page: &mut Page, labels: &[&str], target: &Target) {
    page.put_past("drumlin_last_success_timestamp_seconds", labels, target.last_success_s);
    page.put_past("drumlin_last_snapshot_timestamp_seconds", labels, target.last_snapshot_s);
    page.put_known("drumlin_added_bytes", labels, target.added_bytes);
    page.put("drumlin_added_bytes_total", labels, target.added_bytes_total);
    page.put_known("drumlin_snapshots", labels, target.snapshots);
    let lacking = target.behind.as_ref().map_or(0, |behind| behind.snapshots);
    page.put("drumlin_behind_snapshots", labels, lacking);
    let since_s = target.behind.as_ref().map(|behind| behind.since_s);
    page.put_known("drumlin_behind_since_timestamp_seconds", labels, since_s);
    page.put("drumlin_absent_allowed_seconds", labels, target.absent_allowed_s);
    if let Some(drill) = &target.drill {
        let last_success_s = drill.last_success_s;
        page.put_past("drumlin_drill_last_success_timestamp_seconds", labels, last_success_s);
        page.put_known("drumlin_drill_duration_seconds", labels, drill.duration.map(seconds));
        page.put("drumlin_drill_failed", labels, u8::from(drill.is_failed));
    }
}

/// Puts the metrics of an app's dumps and hooks.
fn put_parts(page: &mut Page, name: &str, app: &App) {
    for (source, dump) in &app.dumps {
        page.put("drumlin_dump_bytes", &[name, source], dump.bytes);
        page.put("drumlin_dump_duration_seconds", &[name, source], seconds(dump.duration));
        page.put_known("drumlin_dump_rows", &[name, source], dump.rows);
    }
    for (event, failures) in &app.hook_failures {
        page.put("drumlin_hook_failures_total", &[name, event], failures);
    }
}

fn put_repository(page: &mut Page, name: &str, repository: &Repository) {
    let is_reachable = repository.is_reachable.map(u8::from);
    page.put_known("drumlin_repository_reachable", &[name], is_reachable);
    page.put_known("drumlin_repository_bytes", &[name], repository.bytes);
    page.put_past("drumlin_last_check_timestamp_seconds", &[name], repository.last_check_s);
    page.put("drumlin_damaged", &[name], repository.damaged);
    let ratio = repository.verified_ratio.filter(|ratio| ratio.is_finite());
    page.put_known("drumlin_verified_ratio", &[name], ratio);
    page.put_past("drumlin_last_prune_timestamp_seconds", &[name], repository.last_prune_s);
    if let Some(cost) = repository.monthly_cost.as_ref().filter(|cost| cost.amount.is_finite()) {
        page.put("drumlin_monthly_cost", &[name, &cost.currency], cost.amount);
    }
}

/// Puts the requests to a repository's store and their bytes.
fn put_traffic(page: &mut Page, name: &str, repository: &Repository) {
    let requests = &repository.requests;
    let operations = [
        ("list", requests.list),
        ("stat", requests.stat),
        ("read", requests.read),
        ("create", requests.create),
        ("remove", requests.remove),
    ];
    for (operation, count) in operations {
        page.put("drumlin_requests_total", &[name, operation], count);
    }
    let directions = [("up", repository.uploaded_bytes), ("down", repository.downloaded_bytes)];
    for (direction, bytes) in directions {
        page.put("drumlin_transferred_bytes_total", &[name, direction], bytes);
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Series, collected by metric.
struct Page(Vec<String>);

impl Default for Page {
    fn default() -> Self {
        Self(vec![String::new(); FAMILIES.len()])
    }
}

impl Page {
    /// Adds a series of a metric; label values are in the order of the table.
    fn put(&mut self, name: &str, labels: &[&str], value: impl Display) {
        let at = FAMILIES
            .iter()
            .position(|family| family.name == name)
            .expect("a test puts every name, and all are in the table");
        let names = FAMILIES[at].labels;
        assert_eq!(names.len(), labels.len(), "{name} has other labels");
        let series = &mut self.0[at];
        series.push_str(name);
        for (position, (label, content)) in names.iter().zip(labels).enumerate() {
            series.push(if position == 0 { '{' } else { ',' });
            series.push_str(label);
            series.push_str("=\"");
            push_escaped(series, content);
            series.push('"');
        }
        let end = if names.is_empty() { "" } else { "}" };
        writeln!(series, "{end} {value}").expect("strings take everything");
    }

    /// Adds a series whose value may be unknown, and is left out then.
    fn put_known(&mut self, name: &str, labels: &[&str], value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(name, labels, value);
        }
    }

    /// Adds a time that is past, or 0 if there is none.
    fn put_past(&mut self, name: &str, labels: &[&str], time_s: Option<i64>) {
        self.put(name, labels, time_s.unwrap_or(0));
    }

    fn into_text(self) -> String {
        let mut text = String::new();
        for (family, series) in FAMILIES.iter().zip(self.0).filter(|(_, series)| !series.is_empty())
        {
            let (name, help, kind) = (family.name, family.help, family.kind());
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{series}")
                .expect("strings take everything");
        }
        text
    }
}

/// Adds the value of a label. Only three characters need an escape; any other, control characters
/// too, is allowed as it is.
fn push_escaped(out: &mut String, content: &str) {
    for letter in content.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            letter => out.push(letter),
        }
    }
}
