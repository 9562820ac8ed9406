//! This machine's memory of apps: what was run, what is settled, what was said.
//!
//! Losing it costs history and one repeated message; the last good snapshot is read back from the
//! repository. Every file is written whole.

mod counters;
mod counting;
mod daemon;
mod death;
mod dir;
mod locks;
mod parts;
mod record;
mod repository_notes;
mod run_log;
mod slot;
mod stopped;
mod trouble;
mod untold;

pub use counters::{Counters, RepositoryCounters, SourceTotals};
pub use daemon::{DaemonDir, DaemonState, ReloadError};
pub use death::{is_death, settle_death};
pub use dir::StateDir;
pub use locks::StateLock;
pub use parts::{HookRecord, RunStatus, SourceRun};
pub use record::{AppState, Began, GoodRun, MissedSlots, RepositoryState, RunRecord, Untold};
pub use repository_notes::{CheckDepth, CheckNotes, DamageNotes, RepositoryNotes};
pub use run_log::RunLog;
pub use stopped::{StoppedContainer, StoppedContainers};
pub use trouble::{Alarm, AlarmKind, Fault};
