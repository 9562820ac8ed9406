//! Checks.

use std::path::PathBuf;

use super::defaults::threads;
use super::error::{Error, ErrorKind, Result};
use super::progress::{Progress, watched};
use super::repository::Repository;
use super::values::path_of;
use crate::maintain::check::{self, CheckOptions, Level};
use crate::monitor::Monitor;
use crate::text;

/// A check that is about to be made.
#[must_use = "it does nothing before `run`"]
pub struct Check<'a> {
    repository: &'a Repository,
    options: CheckOptions,
}

/// What a check found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckReport {
    /// How many objects or chunks are damaged or missing. The repository is sound, as far as was
    /// looked, if this is 0.
    pub problem_count: u64,
    /// The first 50,000 of them, in words.
    pub problems: Vec<String>,
    /// The first 50,000 paths that are lost or not whole because of that, with the ids of their
    /// snapshots.
    pub affected: Vec<(String, PathBuf)>,
    /// Packs that were read and verified whole.
    pub packs_verified: u64,
    /// Their bytes.
    pub bytes_verified: u64,
}

impl CheckReport {
    /// Returns whether nothing is damaged or missing.
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }
}

impl Repository {
    /// Prepares a check of everything that is stored.
    pub fn check(&self) -> Check<'_> {
        Check::new(self)
    }
}

impl<'a> Check<'a> {
    pub(super) fn new(repository: &'a Repository) -> Self {
        let options =
            CheckOptions { level: Level::Structure, threads: threads(), now: text::now() };
        Self { repository, options }
    }

    /// Reads and verifies every byte that is stored.
    pub fn full(mut self) -> Self {
        self.options.level = Level::Full;
        self
    }

    /// Reads and verifies so much of the file content, in 1/1000 of its bytes: first what was
    /// verified longest ago.
    pub fn sample_permille(mut self, permille: u16) -> Self {
        self.options.level = Level::Sample { permille };
        self
    }

    /// Checks. Damage is in the report, not an error.
    pub fn run(self, progress: &dyn Progress) -> Result<CheckReport> {
        if matches!(self.options.level, Level::Sample { permille: 0 | 1001.. }) {
            let why = "a sample has 1 to 1000 thousandths";
            return Err(Error::new(ErrorKind::InvalidInput, why));
        }
        let monitor = Monitor::default();
        let report = watched(progress, &monitor, || {
            Ok(check::run(&self.repository.inner, &self.options, &monitor)?)
        })?;
        let in_words = |problem: check::CheckProblem| {
            text::harmless(&format!("{}: {}", problem.object, problem.message))
        };
        let affected = report.affected.items.into_iter();
        Ok(CheckReport {
            problem_count: report.problems.count,
            problems: report.problems.items.into_iter().map(in_words).collect(),
            affected: affected.map(|one| (one.snapshot.to_hex(), path_of(one.path))).collect(),
            packs_verified: report.counts.packs_verified,
            bytes_verified: report.counts.bytes_verified,
        })
    }
}
