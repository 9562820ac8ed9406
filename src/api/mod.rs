//! The library's front door: a repository and what can be done with it, with the defaults of the
//! command line.
//!
//! All other modules may change from one version to the next; what is here follows semantic
//! versioning from 1.0 on.

mod backup;
mod check;
mod credentials;
mod defaults;
mod error;
mod file;
mod forget;
mod open;
mod progress;
mod prune;
mod repository;
mod restore;
mod snapshot;
mod values;
mod warnings;

pub use backup::{Backup, BackupReport};
pub use check::{Check, CheckReport};
pub use credentials::Credentials;
pub use error::{Error, ErrorKind, Result};
pub use file::{File, FileKind, Walk, WalkEntry};
pub use open::OpenOptions;
pub use progress::{Counts, Problem, Progress};
pub use prune::{Prune, PrunePlan, PruneReport};
pub use repository::Repository;
pub use restore::{Restore, RestoreReport};
pub use snapshot::Snapshot;
