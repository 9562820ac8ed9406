//! Notice to all machines that a repair removes chunks from the index: a generation that is
//! cancelled in the end.
//!
//! While it is open, no session relies on the packs that it names. When it is cancelled, sessions
//! that began earlier check their dependencies again. It removes nothing.
//!
//! Spec: `format-spec/13-commit.md`, section 5.1.

use super::generations::{self, GenerationState, Generations};
use crate::format::entry::Timestamp;
use crate::format::generation::{Condemned, Removal, Victim};
use crate::format::limits::RECORD_PACKS_MAX;
use crate::repo::error::{Error, Result};
use crate::repo::open::Repository;
use crate::repo::open::probe;

/// Number of attempts, as another collector may take the number first.
const ATTEMPTS_MAX: usize = 8;

/// A generation that was opened to report a loss.
#[derive(Debug)]
pub struct LossNotice {
    number: u64,
    removal: Removal,
}

impl LossNotice {
    /// Opens a generation that condemns these packs, or continues the same one of a repair that
    /// died.
    ///
    /// Returns `None` if it cannot: the store replaces objects, which could mislead collectors, or
    /// the verdict of a collector that died must be carried out first.
    pub fn open(
        repository: &Repository,
        now: Timestamp,
        mut packs: Vec<Victim>,
    ) -> Result<Option<Self>> {
        packs.sort_unstable();
        packs.dedup();
        packs.truncate(RECORD_PACKS_MAX);
        Self::open_for(repository, now, Removal { packs, snapshots: Vec::new() })
    }

    fn open_for(repository: &Repository, now: Timestamp, removal: Removal) -> Result<Option<Self>> {
        for _ in 0..ATTEMPTS_MAX {
            match try_open(repository, now, &removal) {
                Ok(OpenAttempt::Opened(number)) => return Ok(Some(Self { number, removal })),
                Ok(OpenAttempt::Impossible) => return Ok(None),
                Ok(OpenAttempt::Again) => {}
                // A record was trimmed after the listing.
                Err(error) if error.is_not_found() => {}
                // With a damaged record no session can begin, so nobody needs the notice before
                // that is repaired.
                Err(error) if error.is_damage() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Cancels the generation; sessions that began before it check their dependencies again.
    ///
    /// Returns false if a collector decided otherwise each time, so that not all sessions notice.
    pub fn close(self, repository: &Repository, now: Timestamp) -> Result<bool> {
        let mut open = Some(self);
        for _ in 0..ATTEMPTS_MAX {
            let Some(Self { number, removal }) = open else {
                return Ok(false);
            };
            if generations::decide(repository, number, now, None)?.is_none() {
                return Ok(true);
            }
            open = Self::open_for(repository, now, removal)?;
        }
        Ok(false)
    }
}

enum OpenAttempt {
    Opened(u64),
    Again,
    Impossible,
}

fn try_open(repository: &Repository, now: Timestamp, removal: &Removal) -> Result<OpenAttempt> {
    let generations = Generations::list(repository)?;
    let highest = generations.highest();
    if highest > 0 {
        match generations.state(repository, highest)? {
            GenerationState::Open(open) if open == *removal => {
                return Ok(OpenAttempt::Opened(highest));
            }
            GenerationState::Unfinished(_) => return Ok(OpenAttempt::Impossible),
            GenerationState::Open(_) if !probe::is_exclusive(repository)? => {
                return Ok(OpenAttempt::Impossible);
            }
            // The process that opened it will notice, and plan again.
            GenerationState::Open(_) => {
                generations::decide(repository, highest, now, None)?;
                return Ok(OpenAttempt::Again);
            }
            GenerationState::Cancelled | GenerationState::Done => {}
        }
    }
    if !probe::is_exclusive(repository)? {
        return Ok(OpenAttempt::Impossible);
    }
    let number = highest.checked_add(1).ok_or(Error::Contended { rounds: 1 })?;
    let condemned =
        Condemned { oldest: generations.oldest(repository)?.max(1), removal: removal.clone() };
    let is_first = generations::condemn(repository, number, now, condemned)?;
    Ok(if is_first { OpenAttempt::Opened(number) } else { OpenAttempt::Again })
}

/// Returns whether the highest generation was cancelled, so that it may be a notice of a loss.
pub fn is_newest_cancelled(repository: &Repository) -> Result<bool> {
    let generations = Generations::list(repository)?;
    match generations.highest() {
        0 => Ok(false),
        highest => Ok(generations.state(repository, highest)? == GenerationState::Cancelled),
    }
}
