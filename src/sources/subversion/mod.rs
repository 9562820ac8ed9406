//! Repositories of Subversion: dumps of ranges of revisions.
//!
//! Finished ranges do not change, so their files in the snapshot are taken over, unread. All files
//! of a repository in their order are one dump, which `svnadmin load` reads. What a dump lacks
//! (`conf`, `hooks`, locks) the caller adds as files.

mod check;
mod dump;
mod fingerprint;
mod plan;
mod program;
mod ranges;
mod repository;
mod stream;
mod values;

pub use check::check;
pub use plan::plan;
pub use values::{
    KnownRange, PlannedRange, PlannedRepository, RANGE_LEN_MIN, RangeNotes, RepositoryFiles,
    SubversionPlan, SubversionSettings,
};

#[cfg(test)]
mod tests;
