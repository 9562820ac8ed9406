//! Check of a configuration: all that can be known before the night.
//!
//! Servers and repositories are asked, and nothing is changed. What fails is a finding, so that one
//! look shows all of it.

mod app;
mod heard;
mod machine;
mod repositories;
mod sources;

use std::path::PathBuf;
use std::sync::Arc;

pub use self::heard::Heard;
use crate::connect::Connector;
use crate::monitor::Monitor;
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::settings::app::AppSettings;
use crate::sources::finding::{Finding, Severity};

/// Findings about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingGroup {
    /// Its section in the configuration: `app.wiki`; `configuration` for what is no section's.
    pub title: String,
    /// The findings, errors first.
    pub findings: Vec<Finding>,
}

/// An app that is checked.
pub struct CheckedApp {
    /// Its name.
    pub name: String,
    /// Its settings, merged with the defaults.
    pub settings: AppSettings,
    /// Its schedule; `Err` says why there is none.
    pub schedule: Result<Schedule, String>,
}

/// A check, and what it needs.
pub struct ConfigCheck<'a> {
    /// Opens repositories, in a dry run; its operator is `heard`.
    pub connector: &'a Connector,
    /// Receiver of the warnings of `connector`.
    pub heard: &'a Heard,
    /// The configuration.
    pub settings: &'a Settings,
    /// Its apps.
    pub apps: &'a [CheckedApp],
    /// Stops what waits.
    pub monitor: &'a Arc<Monitor>,
    /// Whether repositories are left alone.
    pub is_offline: bool,
    /// Where runs would be remembered.
    pub state_dir: Option<PathBuf>,
    /// Directory for scratch files.
    pub scratch: PathBuf,
    /// The time, for the next runs.
    pub now_s: i64,
}

impl ConfigCheck<'_> {
    /// Returns all findings: of the machine, of each repository, of each app.
    pub fn run(&self) -> Vec<FindingGroup> {
        let mut groups = vec![group("configuration".to_owned(), self.machine())];
        for name in self.settings.repositories.keys() {
            groups.push(group(format!("repository.{name}"), self.repository(name)));
        }
        for app in self.apps {
            groups.push(group(format!("app.{}", app.name), self.app(app)));
        }
        groups
    }
}

fn group(title: String, mut findings: Vec<Finding>) -> FindingGroup {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    FindingGroup { title, findings }
}

fn note(place: &str, message: impl Into<String>) -> Finding {
    Finding::new(Severity::Note, place, message)
}

fn warning(place: &str, message: impl Into<String>) -> Finding {
    Finding::new(Severity::Warning, place, message)
}

fn error(place: &str, message: impl Into<String>) -> Finding {
    Finding::new(Severity::Error, place, message)
}
