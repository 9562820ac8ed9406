//! Doing what a plan says.

use std::collections::HashSet;

use super::replace::replace_all;
use super::{RepairPlan, Replaced};
use crate::format::intent::Intent;
use crate::id::ObjectId;
use crate::maintain::check::{self, CheckOptions, CheckReport, Level};
use crate::monitor::Monitor;
use crate::repo::audit::rebuild;
use crate::repo::gc::generations::Generations;
use crate::repo::gc::horizon::{Horizon, Reliance};
use crate::repo::gc::intents;
use crate::repo::gc::loss::{self, Notice};
use crate::repo::snapshots::{self, incomplete};
use crate::repo::{Error, Reader, Repository, Result};

/// What a repair did.
pub struct RepairOutcome {
    /// What became of the snapshots that were to be replaced, by earlier attempts too; those that
    /// were whole again are left out.
    pub replaced: Vec<Replaced>,
    /// Whether something was lost of which other machines could not be told: their backups may go
    /// on relying on it.
    pub is_untold: bool,
    /// Whether snapshots state lengths that what they name has not: only a full look sees that, and
    /// no index changes it.
    pub is_misstated: bool,
    /// What a check of the structure found afterwards.
    pub after: CheckReport,
}

impl RepairOutcome {
    /// Returns whether nothing is damaged any more of what was looked at before.
    pub fn is_sound(&self) -> bool {
        self.after.is_sound() && !self.is_misstated
    }
}

/// A damaged record of a collector tells nothing; it is among the problems.
fn undamaged(error: Error) -> Result<bool> {
    if error.is_damage() { Ok(false) } else { Err(error) }
}

impl RepairPlan {
    /// Stores what is planned, notes which snapshots are incomplete, replaces them if that is
    /// wanted, and checks again.
    ///
    /// Fails with [`Error::Contended`] if a collector is about to remove what was just stored, or
    /// has replaced runs since the look; nothing is worse then, and the repair can be repeated. A
    /// backup of this machine will not take an incomplete snapshot as its parent, and so reads all
    /// of its sources; those of others look whether theirs is one.
    pub fn apply(self, monitor: &Monitor) -> Result<RepairOutcome> {
        self.apply_and_note(&mut Vec::new(), monitor)
    }

    /// Does the same, and adds each snapshot that was replaced to `replaced` at once: so a caller
    /// that repeats it knows of all of them.
    pub fn apply_and_note(
        self,
        replaced: &mut Vec<Replaced>,
        monitor: &Monitor,
    ) -> Result<RepairOutcome> {
        let repository = &self.repository;
        let is_news = !self.is_empty() || !loss::is_told(repository).or_else(undamaged)?;
        let mut is_untold = false;
        if self.is_lossy() && is_news {
            let notice = Notice::open(repository, (self.options.clock)(), self.left_out.clone())?;
            // While it is open no collector begins; one that was at work before may have made
            // another run of those that are to be replaced, which names what is lost as well.
            let is_stale = self.is_stale()?;
            if !is_stale {
                self.store_pending()?;
            }
            let is_told = notice
                .map(|notice| notice.close(repository, (self.options.clock)()))
                .transpose()?;
            is_untold = is_told != Some(true);
            if is_stale {
                return Err(Error::Contended { rounds: 1 });
            }
        } else {
            self.store_pending()?;
        }
        incomplete::note(repository, &self.incomplete())?;
        // So that the next backup does not look chunks up in runs that are replaced.
        Reader::new(repository)?;
        replace_all(&self, replaced, monitor)?;
        let options = CheckOptions {
            level: Level::Structure,
            threads: self.options.threads,
            now: self.options.now,
        };
        let is_misstated = self.lost.misstated_count() > 0;
        Ok(RepairOutcome {
            replaced: replaced.clone(),
            is_untold,
            is_misstated,
            after: check::run(repository, &options, monitor)?,
        })
    }

    /// Returns whether a run that is to be replaced is gone since the look.
    fn is_stale(&self) -> Result<bool> {
        let mut replaced = self.rewritten.iter().flat_map(|run| &run.replaces).peekable();
        Ok(replaced.peek().is_some() && !rebuild::are_listed(&self.repository, replaced)?)
    }

    /// Stores packs, runs that name them, an intent that protects them, and then the runs that
    /// replace others.
    fn store_pending(&self) -> Result<()> {
        let repository = &self.repository;
        let horizon = Horizon::at(Generations::list(repository)?.highest());
        for pack in &self.packs {
            rebuild::store_pack(repository, &pack.pack)?;
        }
        for run in &self.added {
            rebuild::store_run(repository, &run.name)?;
        }
        let packs: HashSet<ObjectId> = self.packs.iter().map(|pack| pack.pack.name).collect();
        if !packs.is_empty() {
            intents::write(repository, self.intent(repository)?, &packs)?;
            let reliance = Reliance { packs: &packs, parent: None };
            if horizon.has_conflict(repository, &reliance)? {
                return Err(Error::Contended { rounds: 1 });
            }
        }
        self.rewritten.iter().try_for_each(|run| rebuild::store_run(repository, &run.name))
    }

    fn intent(&self, repository: &Repository) -> Result<Intent> {
        Ok(Intent {
            session: snapshots::new_id(repository)?,
            number: 0,
            created: (self.options.clock)(),
            host: self.options.host.clone(),
            generation: 0,
            root: None,
            parent: None,
            packs: Vec::new(),
            extensions: Vec::new(),
        })
    }
}
