//! Check of an app: schedule, retention, paths, patterns, hooks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{CheckedApp, ConfigCheck, error, note, warning};
use crate::connect::host;
use crate::format::entry::Timestamp;
use crate::jobs::hooks::HookEvent;
use crate::jobs::patterns::Surroundings;
use crate::jobs::{Additions, Job};
use crate::monitor::in_words;
use crate::rules::Patterns;
use crate::settings::run::HookSettings;
use crate::sources::finding::Finding;
use crate::sources::runner::{HostRunner, Invocation, Runner};
use crate::text;

/// Entries of a folder whose permissions are looked at.
const ENTRIES_MAX: usize = 1_000;
/// Names that a finding holds.
const NAMES_MAX: usize = 3;
/// Slots that are shown.
const SLOTS_SHOWN: usize = 3;
/// Bytes that the check of a hook may answer.
const ANSWER_LEN_MAX_BYTES: usize = 4 << 10;

impl ConfigCheck<'_> {
    pub(super) fn app(&self, app: &CheckedApp) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.target(app).into_iter().collect();
        findings.extend(self.times(app));
        findings.extend(retention(app));
        let root = app.settings.run.root.as_deref();
        for path in &app.settings.paths {
            findings.extend(check_path(&section(app), path, root, app.settings.allow_empty));
        }
        findings.extend(self.patterns(app));
        findings.extend(self.hooks(app));
        findings.extend(self.sources(app));
        findings
    }

    /// Says that no repository, or more than one, is meant.
    fn target(&self, app: &CheckedApp) -> Option<Finding> {
        let defined = &self.settings.repositories;
        match app.settings.repositories.len() {
            0 if self.settings.default_repository().is_some() || defined.is_empty() => None,
            0 => {
                let names: Vec<&str> = defined.keys().map(String::as_str).collect();
                let hint = format!("set `repository` to one of {}", names.join(", "));
                Some(error(&section(app), "it says no repository").hint(hint))
            }
            1 => None,
            _ => {
                let message =
                    "it has several repositories, which this version does not support yet";
                Some(error(&section(app), message).hint("keep one of them"))
            }
        }
    }

    fn times(&self, app: &CheckedApp) -> Vec<Finding> {
        let place = format!("{}.schedule", section(app));
        if app.settings.run.is_enabled == Some(false) {
            return vec![note(&place, "it is not enabled: it is run by hand only")];
        }
        let schedule = match &app.schedule {
            Ok(schedule) if schedule.is_never() => {
                return vec![note(&place, "it has no schedule: it is run by hand only")];
            }
            Ok(schedule) => schedule,
            Err(why) => return vec![error(&place, why.clone())],
        };
        let time = |seconds: &i64| text::local_time(Timestamp { seconds: *seconds, nanos: 0 });
        let slots = schedule.upcoming_s(self.now_s, SLOTS_SHOWN);
        let times: Vec<String> = slots.iter().map(time).collect();
        let mut findings = vec![note(&place, format!("{schedule}: next {}", times.join(", ")))];
        if let Some(cycle) = &app.settings.cycle {
            let message = format!(
                "it means a snapshot {}, and the last {} are kept; each holds everything, \
                 and stores only what changed",
                cycle.schedule(),
                cycle.last()
            );
            findings.push(note(&format!("{}.cycle", section(app)), message));
        }
        let max_age = app.settings.run.max_age.unwrap_or(Duration::MAX);
        let interval = schedule.interval_s().and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
        if max_age < Duration::from_secs(interval) {
            let message = format!(
                "`max-age` of {} is shorter than the time between two runs, {}: it is overdue in \
                 between",
                text::duration(max_age),
                text::duration(Duration::from_secs(interval))
            );
            findings.push(warning(&format!("{}.max-age", section(app)), message));
        }
        findings
    }

    fn patterns(&self, app: &CheckedApp) -> Option<Finding> {
        let home = self.connector.env.home();
        let anywhere = Surroundings { home, ..Surroundings::default() };
        let job = Job::new(app.name.clone(), app.settings.clone(), Additions::default());
        let place = format!("{}.exclude", section(app));
        let patterns = match job.patterns(&anywhere) {
            Ok(patterns) => patterns,
            Err(failed) => return Some(error(&place, text::harmless(&in_words(&failed)))),
        };
        let bad = Patterns::new(&patterns).err()?;
        Some(error(&place, text::harmless(&in_words(&bad))).hint("correct the pattern"))
    }

    /// Lets the shell read each hook without running it.
    fn hooks(&self, app: &CheckedApp) -> Vec<Finding> {
        let HookSettings { before, after, failed, finally, .. } = &app.settings.run.hooks;
        let all = [
            (HookEvent::Before, before),
            (HookEvent::After, after),
            (HookEvent::Failed, failed),
            (HookEvent::Finally, finally),
        ];
        let runner = HostRunner::new(self.monitor);
        let mut findings = Vec::new();
        for (event, lines) in all {
            for line in lines {
                let question = Invocation {
                    program: "/bin/sh".to_owned(),
                    arguments: ["-n", "-c", line].map(str::to_owned).to_vec(),
                    ..Invocation::default()
                };
                if let Err(cause) = runner.output(question, ANSWER_LEN_MAX_BYTES) {
                    let message = format!("the shell cannot run it: {}", in_words(&cause));
                    let place = format!("{}.{}", section(app), event.name());
                    findings.push(error(&place, text::harmless(&message)));
                }
            }
        }
        findings
    }
}

fn section(app: &CheckedApp) -> String {
    format!("app.{}", app.name)
}

fn retention(app: &CheckedApp) -> Option<Finding> {
    let place = format!("{}.keep", section(app));
    app.settings.keep.is_none().then(|| note(&place, "nothing is forgotten: `keep` is not set"))
}

/// Says why a path, or an entry right below it, cannot be read by this user.
fn check_path(
    section: &str,
    path: &Path,
    root: Option<&Path>,
    allow_empty: Option<bool>,
) -> Option<Finding> {
    let place = format!("{section}.paths");
    let whole: PathBuf = match root {
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_path_buf(),
    };
    let shown = text::path(&whole);
    let user = || format!("let `{}` read it, or run Drumlin as root", host::user_name());
    let metadata = match whole.metadata() {
        Ok(metadata) => metadata,
        Err(cause) => {
            let message = format!("cannot read {shown}: {cause}");
            return Some(match allow_empty {
                Some(true) => warning(&place, message),
                _ => error(&place, message).hint("correct the path, or mount what holds it"),
            });
        }
    };
    if !metadata.is_dir() {
        let denied = accessat(CWD, &whole, Access::READ_OK, AtFlags::EACCESS).err()?;
        return Some(error(&place, format!("cannot read {shown}: {denied}")).hint(user()));
    }
    let entries = match std::fs::read_dir(&whole) {
        Ok(entries) => entries,
        Err(cause) => {
            let message = format!("cannot read {shown}: {cause}");
            return Some(error(&place, message).hint(user()));
        }
    };
    let entries: Vec<_> = entries.take(ENTRIES_MAX).flatten().collect();
    if entries.is_empty() && allow_empty != Some(true) {
        let message = format!("{shown} is empty: a run would say so, and end with code 3");
        return Some(warning(&place, message).hint("set `allow-empty = true` if that is right"));
    }
    let denied: Vec<String> =
        entries.iter().filter(|entry| is_denied(entry)).map(name_of).collect();
    let examples = denied.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    let message = format!(
        "{} right below {shown} cannot be read: {examples}",
        text::counted(denied.len() as u64, "entry")
    );
    let hint = format!("exclude them, or {}", user());
    (!denied.is_empty()).then(|| warning(&place, message).hint(hint))
}

fn name_of(entry: &std::fs::DirEntry) -> String {
    text::printable(entry.file_name().as_encoded_bytes())
}

fn is_denied(entry: &std::fs::DirEntry) -> bool {
    let Ok(kind) = entry.file_type() else { return true };
    let needed = match (kind.is_dir(), kind.is_file()) {
        (true, _) => Access::READ_OK | Access::EXEC_OK,
        (_, true) => Access::READ_OK,
        // Links and special files are not opened.
        _ => return false,
    };
    accessat(CWD, entry.path(), needed, AtFlags::EACCESS).is_err()
}
