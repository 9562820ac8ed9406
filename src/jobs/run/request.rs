//! Runs as they are asked for.

use std::path::PathBuf;

use crate::connect::{self, Connector};
use crate::format::entry::Timestamp;
use crate::jobs::state::{AppState, RunRecord, StateDir};
use crate::jobs::{self};
use crate::settings::Settings;

/// What all runs of a process share.
pub struct AppRunner<'a> {
    /// Opens repositories.
    pub connector: &'a Connector,
    /// The configuration.
    pub settings: &'a Settings,
    /// Where runs are remembered; `None` if nothing can be.
    pub state: Option<&'a StateDir>,
    /// Directory for scratch files, if nothing can be remembered.
    pub scratch: PathBuf,
    /// Program and version, as stored in snapshots.
    pub program: String,
    /// Number of threads.
    pub threads: usize,
    /// The wall clock.
    pub clock: fn() -> Timestamp,
    /// Told when a run has begun, with what is known of it then.
    pub on_begin: &'a dyn Fn(&RunRecord),
    /// Called with the report so far when a run begins to read, after the hook `before`.
    pub on_read: &'a dyn Fn(&RunRecord),
}

/// One run to make.
#[derive(Clone, Debug, Default)]
pub struct RunRequest {
    /// Name of the app.
    pub app: String,
    /// Its slot; `None` if it is started by hand.
    pub slot_s: Option<i64>,
    /// Number of the attempt within the slot, from 1.
    pub attempt: u32,
    /// Slots before it that were missed.
    pub missed: u64,
    /// Makes a snapshot even if nothing changed.
    pub always_snapshot: bool,
    /// Reads and counts, stores nothing, runs no hook and remembers nothing.
    pub dry_run: bool,
}

impl RunRequest {
    /// Returns whether its attempt at its slot is still to be made.
    pub(super) fn is_wanted(&self, state: &AppState) -> bool {
        self.slot_s.is_none_or(|slot_s| state.wants(slot_s, self.attempt))
    }
}

/// The end of a run.
#[derive(Debug)]
pub struct RunEnd {
    /// Its report.
    pub record: RunRecord,
    /// Why the backup failed, if it did.
    pub error: Option<jobs::Error>,
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another run of the app is under way.
    #[error("another run of `{0}` is under way")]
    Locked(String),
    /// Its slot was run meanwhile, by another process.
    #[error("the run of `{0}` was made meanwhile")]
    Settled(String),
    /// The configuration has no such app, or asks for what cannot be done.
    #[error(transparent)]
    Connect(#[from] connect::Error),
}
