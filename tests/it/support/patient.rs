//! A damaged copy of a repository, and the machine that repairs it.

use std::sync::Arc;

use drumlin::maintain::check::{CheckReport, Level};
use drumlin::maintain::repair::{self, RepairPlan};
use drumlin::monitor::Monitor;
use drumlin::repo::{Reader, Repository, Trees};
use drumlin::store::memory::MemoryStore;
use tempfile::TempDir;

use super::fixture::{copy_folder, fast_folder, run_check};
use super::operations::repair_options;
use super::sound::{Contents, Sound, read_all};

/// A damaged copy of a repository, and the machine that repairs it.
pub struct Patient<'a> {
    pub sound: &'a Sound,
    pub store: Arc<MemoryStore>,
    pub cache: TempDir,
}

impl<'a> Patient<'a> {
    /// Damages a copy; the machine has the local copies of the one that made the backups.
    pub fn new(sound: &'a Sound, damage: impl FnOnce(&MemoryStore)) -> Self {
        let store = Arc::new(sound.repo.memory.image());
        damage(&store);
        let cache = fast_folder();
        copy_folder(&sound.repo.cache(), cache.path());
        Self { sound, store, cache }
    }

    /// Takes the local copies away.
    pub fn without_copies(self) -> Self {
        Self { cache: fast_folder(), ..self }
    }

    pub fn open(&self) -> Arc<Repository> {
        self.sound.repo.open_in(self.store.clone(), self.cache.path()).unwrap()
    }

    pub fn plan(&self, level: Level) -> RepairPlan {
        repair_plan(&self.open(), level)
    }

    pub fn repair(&self, level: Level) -> CheckReport {
        self.plan(level).apply(&Monitor::default()).unwrap().after
    }

    /// Reads everything as a machine without local copies; `None` if the index cannot be read.
    pub fn contents(&self) -> Option<Vec<Contents>> {
        let cache = fast_folder();
        let repository = self.sound.repo.open_in(self.store.clone(), cache.path()).unwrap();
        let trees = Trees::new(Reader::new(&repository).ok()?);
        Some(self.sound.snapshots.iter().map(|snapshot| read_all(&trees, snapshot)).collect())
    }

    pub fn check(&self, level: Level) -> CheckReport {
        let cache = fast_folder();
        run_check(&self.sound.repo.open_in(self.store.clone(), cache.path()).unwrap(), level)
    }

    pub fn is_as_ever(&self) -> bool {
        self.contents().is_some_and(|contents| contents == self.sound.contents)
    }
}

/// Returns the plan of a repair that leaves snapshots as they are.
pub fn repair_plan(repository: &Arc<Repository>, level: Level) -> RepairPlan {
    repair::plan(repository, &repair_options(level), &Monitor::default()).unwrap()
}
