//! This machine's memory of apps: what was run, what is settled, what was said.
//!
//! Losing it costs history and one repeated message; the last good snapshot is read back from the
//! repository. Every file is written whole.

mod counters;
mod dir;
mod record;
mod repository_notes;
mod run_log;

pub use counters::{Counters, RepositoryCounters, SourceTotals};
pub use dir::{AppLock, StateDir};
pub use record::{
    AppState, Began, GoodRun, HookRecord, RepositoryState, RunRecord, RunStatus, SourceRun,
};
pub use repository_notes::{CheckNotes, RepositoryNotes};
pub use run_log::RunLog;
