//! Pings of apps: requests that another service waits for.
//!
//! A service that waits notices what this machine cannot tell: that it is off. A run is announced
//! only when the hook `before` lets it begin, so that one that is left out is neither a success nor
//! a failure there.

use super::reach::reach_of;
use crate::jobs::state::{RunRecord, RunStatus};
use crate::notify::{Pinger, Reach, Signal};
use crate::settings::Settings;
use crate::settings::error::SettingsError;

/// The services that wait for runs of apps.
pub struct Pings<'a> {
    settings: &'a Settings,
    reach: Reach,
}

impl<'a> Pings<'a> {
    /// Returns those of the settings.
    ///
    /// Fails if the file of certificates cannot be read.
    pub fn new(settings: &'a Settings) -> Result<Self, SettingsError> {
        Ok(Self { settings, reach: reach_of(settings)? })
    }

    /// Says that a run begins. Returns why that was not possible.
    pub fn begins(&self, record: &RunRecord) -> Option<String> {
        self.send(record, Signal::Start, "")
    }

    /// Says how a run ended. Returns why that was not possible.
    ///
    /// A snapshot that lacks files is a failure.
    pub fn ended(&self, record: &RunRecord) -> Option<String> {
        let signal = match record.status {
            RunStatus::Skipped => return None,
            // There is a snapshot, and its state could not be written.
            _ if record.error.is_some() => Signal::Failure,
            RunStatus::Done | RunStatus::Unchanged => Signal::Success,
            RunStatus::Partial | RunStatus::Failed => Signal::Failure,
        };
        self.send(record, signal, &text_of(record))
    }

    fn send(&self, record: &RunRecord, signal: Signal, text: &str) -> Option<String> {
        let ping = self.settings.apps.get(&record.app)?.ping.as_ref()?;
        let sent = Pinger::new(ping, &self.reach)
            .and_then(|pinger| pinger.ping(signal, Some(&record.run), text).map_err(|why| why.0));
        sent.err().map(|error| format!("its ping did not arrive: {error}"))
    }
}

fn text_of(record: &RunRecord) -> String {
    let mut text = format!("{}: {}\n", record.app, record.status.name());
    let lines = record.error.iter().map(|error| format!("error: {error}"));
    let lines = lines.chain(record.hint.iter().map(|hint| format!("hint: {hint}")));
    let lines = lines.chain(record.snapshot.iter().map(|id| format!("snapshot: {id}")));
    for line in lines.chain(record.notices.iter().chain(&record.problems).cloned()) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}
