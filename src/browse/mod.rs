//! Read access to snapshots without restoring: path lookup, walks, file output, comparison,
//! history, search, sizes.
//!
//! Only `cat` reads file content; everything else reads trees.

mod cat;
mod changes;
mod diff;
mod error;
mod fields;
mod history;
mod resolve;
mod search;
mod usage;
mod walk;
mod window;

pub use cat::cat;
pub use diff::{Change, ChangeKind, Diff};
pub use error::Error;
pub use fields::{EntryField, EntryFields};
pub use history::{History, PathSeries, Version, VersionStep, history, len_bytes};
pub use resolve::{ResolvedPath, find};
pub use search::{Criteria, NamePatterns, PatternOptions, Search};
pub use usage::{DiskUsage, DiskUsages};
pub use walk::TreeWalk;
pub use window::WindowLimits;
