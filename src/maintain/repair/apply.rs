//! Execution of a repair plan.

use std::collections::HashSet;

use super::replace::replace_all;
use super::{RepairPlan, Replaced};
use crate::format::intent::Intent;
use crate::id::ObjectId;
use crate::maintain::check::{self, CheckOptions, CheckReport, Level};
use crate::monitor::Monitor;
use crate::repo::audit::salvage;
use crate::repo::gc::generations::Generations;
use crate::repo::gc::horizon::{Dependencies, Horizon};
use crate::repo::gc::intents;
use crate::repo::gc::loss::{self, LossNotice};
use crate::repo::snapshots::{self, incomplete};
use crate::repo::{Error, Reader, Repository, Result};

/// Outcome of a repair.
pub struct RepairOutcome {
    /// The replaced snapshots, including those of earlier attempts; without those that were
    /// complete again.
    pub replaced: Vec<Replaced>,
    /// Whether data was lost and other machines could not be told: their backups may still rely on
    /// it.
    pub is_untold: bool,
    /// Whether snapshots state wrong lengths of chunks: only a full check finds that, and no index
    /// can repair it.
    pub is_misstated: bool,
    /// The report of a structure check afterwards.
    pub after: CheckReport,
}

impl RepairOutcome {
    /// Returns whether no damage is left, as far as was examined.
    pub fn is_sound(&self) -> bool {
        self.after.is_sound() && !self.is_misstated
    }
}

/// Takes a damaged collector record as "not told"; it is reported as a problem.
fn undamaged(error: Error) -> Result<bool> {
    if error.is_damage() { Ok(false) } else { Err(error) }
}

impl RepairPlan {
    /// Stores the planned objects, notes incomplete snapshots, replaces them if the options say so,
    /// and checks again.
    ///
    /// Fails with [`Error::Contended`] if a prune is about to remove the stored objects, or has
    /// replaced index runs since the examination; no harm is done then, and the repair can be
    /// repeated. A backup of this machine does not use an incomplete snapshot as its parent, and so
    /// reads all of its sources; backups of other machines check whether their parent is
    /// incomplete.
    pub fn apply(self, monitor: &Monitor) -> Result<RepairOutcome> {
        self.apply_and_note(&mut Vec::new(), monitor)
    }

    /// Does the same, and adds each replaced snapshot to `replaced` at once, so that a caller that
    /// repeats the repair knows all of them.
    pub fn apply_and_note(
        self,
        replaced: &mut Vec<Replaced>,
        monitor: &Monitor,
    ) -> Result<RepairOutcome> {
        let repository = &self.repository;
        let is_news =
            !self.is_empty() || !loss::is_newest_cancelled(repository).or_else(undamaged)?;
        let mut is_untold = false;
        if self.is_lossy() && is_news {
            let notice =
                LossNotice::open(repository, (self.options.clock)(), self.left_out.clone())?;
            // While the notice is open no prune begins. One that ran before may have merged the
            // runs that are to be replaced into another one, which names the lost chunks, too.
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
        // Updates the local index, so that the next backup does not use replaced runs.
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

    /// Returns whether a run that is to be replaced was removed since the examination.
    fn is_stale(&self) -> Result<bool> {
        let mut replaced = self.rewritten.iter().flat_map(|run| &run.replaces).peekable();
        Ok(replaced.peek().is_some() && !salvage::are_listed(&self.repository, replaced)?)
    }

    /// Stores packs, runs that name them, an intent that protects them, and then the runs that
    /// replace others.
    fn store_pending(&self) -> Result<()> {
        let repository = &self.repository;
        let horizon = Horizon::at(Generations::list(repository)?.highest());
        for pack in &self.packs {
            salvage::store_pack(repository, &pack.pack)?;
        }
        for run in &self.added {
            salvage::store_run(repository, &run.name)?;
        }
        let packs: HashSet<ObjectId> = self.packs.iter().map(|pack| pack.pack.name).collect();
        if !packs.is_empty() {
            intents::write(repository, self.intent(repository)?, &packs)?;
            let dependencies = Dependencies { packs: &packs, parent: None };
            if horizon.has_conflict(repository, &dependencies)? {
                return Err(Error::Contended { rounds: 1 });
            }
        }
        self.rewritten.iter().try_for_each(|run| salvage::store_run(repository, &run.name))
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
