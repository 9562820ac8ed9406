//! Actors of a history: machines that back up, collect, bring back and read, with the real
//! program's code.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use drumlin::backup::{self, BackupOptions};
use drumlin::format::entry::Timestamp;
use drumlin::id::SnapshotId;
use drumlin::maintain::check::Level;
use drumlin::maintain::prune::{self, Exclusion, PruneOptions};
use drumlin::maintain::repair::{self, RepairOptions};
use drumlin::monitor::Monitor;
use drumlin::repo::snapshots::trash::{self, ForgetNote};
use drumlin::repo::write::Checkpoints;
use drumlin::repo::{Error, Reader, Repository, snapshots};
use rand::RngExt;
use rand::rngs::SmallRng;

use super::scheduler::TurnStore;
use super::{Beginning, backup_options, said};
use crate::support::operations::repair_options;
use drumlin::store::{Class, Key, Store};

pub const WRITERS: usize = 8;
pub const COLLECTORS: usize = 2;
/// Those, one who brings back, one who reads, and one who sees a pack get lost and repairs.
pub const ACTORS: usize = WRITERS + COLLECTORS + 3;
const REPAIRER: usize = ACTORS - 1;
/// The writer that sleeps, in some histories, and the collector that works on meanwhile.
pub const SLEEPER: usize = 0;
const TIRELESS: usize = WRITERS;

/// The time that all machines of a history agree on, in seconds.
#[derive(Default)]
pub struct SimulatedClock(AtomicI64);

impl SimulatedClock {
    pub fn now(&self) -> Timestamp {
        // In a far future, so that no file of this day looks as if it had just changed.
        Timestamp { seconds: 5_000_000_000 + self.0.load(Ordering::Relaxed), nanos: 0 }
    }

    pub fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

/// What actors are told and say; each knows only its own part.
#[derive(Default)]
pub struct Told {
    pub committed: Vec<SnapshotId>,
    /// Snapshots that somebody was told are back, and that nobody forgot since.
    pub promised: BTreeSet<SnapshotId>,
    /// How often each was being, or was, forgotten.
    forgets: HashMap<SnapshotId, u32>,
    pub wrong: Vec<String>,
}

impl Told {
    fn forgets(&mut self, id: SnapshotId) {
        *self.forgets.entry(id).or_default() += 1;
        self.promised.remove(&id);
    }
}

/// What the disk has lost, and whether the repair that followed has told so.
#[derive(Default)]
pub struct Loss(Mutex<(BTreeSet<Key>, bool)>);

impl Loss {
    /// Returns the objects that are lost, and whether others were told.
    pub fn state(&self) -> (BTreeSet<Key>, bool) {
        self.0.lock().unwrap().clone()
    }
}

/// What all actors of one history share.
pub struct Setting<'a> {
    pub beginning: &'a Beginning,
    pub clock: Arc<SimulatedClock>,
    pub told: Mutex<Told>,
    /// Who keeps collectors from each other: where the store does not, there is one, and it expires
    /// nobody.
    pub exclusion: Exclusion,
    /// Whether one writer sleeps while many generations come and go.
    pub is_long: bool,
    /// Whether collectors may forget everything.
    pub is_harsh: bool,
    /// Whether sessions are taken for dead at once, in such a history.
    pub is_impatient: bool,
    /// What the disk loses, in some histories.
    pub loss: Option<Arc<Loss>>,
}

/// One actor of one history.
pub struct Actor<'a> {
    pub number: usize,
    pub store: Arc<TurnStore>,
    /// Its machine, which keeps its local copies.
    pub machine: Arc<Repository>,
    pub random: SmallRng,
    pub setting: &'a Setting<'a>,
}

impl Drop for Actor<'_> {
    fn drop(&mut self) {
        // Also when it panics: the others must not wait for it.
        self.store.scheduler.finish(self.number);
    }
}

impl Actor<'_> {
    pub fn act(&mut self) {
        let is_tireless = self.setting.is_long && self.number == TIRELESS;
        let usual = if self.number == REPAIRER { 1..2 } else { 1..3 };
        let rounds = if is_tireless { 24 } else { self.random.random_range(usual) };
        for _ in 0..rounds {
            let done = match self.number {
                0..WRITERS => self.back_up(),
                _ if is_tireless => self.let_time_pass(),
                WRITERS => self.collect(),
                number
                    if number < WRITERS + COLLECTORS
                        && self.setting.exclusion == Exclusion::Store =>
                {
                    self.collect()
                }
                number if number == WRITERS + COLLECTORS => self.bring_back(),
                REPAIRER => self.lose_and_repair(),
                _ => self.read(),
            };
            if let Err(error) = done
                && !self.store.is_hurt()
            {
                self.told(|told| {
                    told.wrong.push(format!("actor {} failed undisturbed: {error}", self.number))
                });
            }
        }
    }

    fn told<T>(&self, act: impl FnOnce(&mut Told) -> T) -> T {
        act(&mut self.setting.told.lock().unwrap())
    }

    fn now(&self) -> Timestamp {
        self.setting.clock.now()
    }

    fn back_up(&mut self) -> Result<(), String> {
        let source = self.random.random_range(0..self.setting.beginning.sources.len());
        let host = format!("host-{}", self.number % 5);
        let options = backup_options(self.setting.beginning, source, &host, &self.setting.clock);
        // Each pack is a checkpoint, or none is.
        let bytes = if self.random.random_bool(0.3) { 1 } else { u64::MAX };
        let checkpoints = Checkpoints { bytes, ..options.checkpoints };
        let report = backup::run(
            &self.machine,
            BackupOptions { checkpoints, ..options },
            &Monitor::default(),
        )
        .map_err(said)?;
        self.told(|told| told.committed.push(report.snapshot.unwrap().id));
        Ok(())
    }

    fn collect(&mut self) -> Result<(), String> {
        let listed = snapshots::list(&self.machine).map_err(said)?;
        if self.setting.is_harsh && self.random.random_bool(0.3) {
            listed.iter().for_each(|snapshot| self.forget(snapshot));
        } else {
            for _ in 0..self.random.random_range(0..3usize).min(listed.len()) {
                let chosen = self.random.random_range(0..listed.len());
                self.forget(&listed[chosen]);
            }
        }
        let (unused, is_impatient) =
            (self.random.random_range(0..100), self.random.random_bool(0.3));
        self.prune(unused, is_impatient)
    }

    /// Ten days go by; then a snapshot is made, forgotten and dropped, which is a generation.
    /// Sometimes all others go with it.
    fn let_time_pass(&mut self) -> Result<(), String> {
        self.setting.clock.pass(10 * 24 * 3600);
        self.back_up()?;
        let listed = snapshots::list(&self.machine).map_err(said)?;
        let forgotten = if self.setting.is_harsh && self.random.random_bool(0.2) {
            &listed[..]
        } else {
            &listed[listed.len().saturating_sub(1)..]
        };
        forgotten.iter().for_each(|snapshot| self.forget(snapshot));
        self.prune(0, self.setting.is_impatient)
    }

    fn forget(&self, snapshot: &drumlin::format::snapshot::Snapshot) {
        let word = str::to_owned;
        let note = ForgetNote {
            host: word("h"),
            user: word("u"),
            program: word("p"),
            now: self.now(),
            reason: word("named"),
        };
        self.told(|told| told.forgets(snapshot.id));
        // It may be gone by now: another collector was quicker.
        let _ = trash::forget(
            &self.machine,
            &snapshot.id,
            Some(snapshots::chain_hash(snapshot)),
            &note,
        );
        self.told(|told| told.forgets(snapshot.id));
    }

    fn prune(&self, max_unused_permille: u32, is_impatient: bool) -> Result<(), String> {
        let usual_age_s = if self.setting.is_long { i64::MAX } else { 3600 };
        let options = PruneOptions {
            exclusion: self.setting.exclusion,
            trash_window_s: 0,
            max_unused_permille,
            grace_s: 0,
            intent_max_age_s: if is_impatient { -1 } else { usual_age_s },
            low_memory: true,
            ..PruneOptions::new(self.now())
        };
        match prune::run(&self.machine, &options, &Monitor::default()) {
            // Another's verdict names a snapshot that somebody is bringing back, too late, or died
            // of it: the next one looks again.
            Err(Error::Unjustified { .. }) => Ok(()),
            // A snapshot lacks something: nothing is collected before it is repaired.
            Err(error) if error.is_damage() && self.setting.loss.is_some() => Ok(()),
            pruned => pruned.map(drop).map_err(said),
        }
    }

    /// At some time the disk loses a pack; some time later that is repaired.
    fn lose_and_repair(&mut self) -> Result<(), String> {
        let Some(loss) = self.setting.loss.clone() else {
            return Ok(());
        };
        self.wait(300).map_err(said)?;
        let class = if self.random.random_bool(0.7) { Class::Data } else { Class::Meta };
        let mut packs = self.store.list(class, "").map_err(said)?;
        packs.sort_by(|a, b| a.name.cmp(&b.name));
        if packs.is_empty() {
            return Ok(());
        }
        let key = Key::new(class, packs.swap_remove(self.random.random_range(0..packs.len())).name);
        // It is still this actor's turn: nobody else does anything between the listing and this.
        if self.store.inner.remove(&key).is_err() {
            return Ok(());
        }
        loss.0.lock().unwrap().0.insert(key);
        self.wait(60).map_err(said)?;
        let options =
            RepairOptions { threads: 1, now: self.now(), ..repair_options(Level::Structure) };
        // A collector may have to finish first.
        for _ in 0..3 {
            let plan = repair::plan(&self.machine, &options, &Monitor::default());
            if plan
                .and_then(|plan| plan.apply(&Monitor::default()))
                .is_ok_and(|outcome| !outcome.is_untold)
            {
                loss.0.lock().unwrap().1 = true;
                break;
            }
        }
        Ok(())
    }

    /// Lets others have turns.
    fn wait(&mut self, turns_max: usize) -> drumlin::repo::Result<()> {
        for _ in 0..self.random.random_range(0..turns_max) {
            let _ = self.store.stat(&Key::new(Class::Config, "1"));
        }
        Ok(())
    }

    fn bring_back(&mut self) -> Result<(), String> {
        let forgotten = snapshots::listing(&self.machine).map_err(said)?.forgotten;
        if forgotten.is_empty() {
            return Ok(());
        }
        let id = forgotten[self.random.random_range(0..forgotten.len())].tombstone.snapshot;
        let before = self.told(|told| told.forgets.get(&id).copied());
        // Too late is a fair answer; success is a promise, unless somebody forgets it at the same
        // time.
        let is_exclusive = || Ok(self.setting.exclusion == Exclusion::Store);
        let is_back =
            trash::undelete(&self.machine, &id, i64::MAX, self.now(), &is_exclusive).is_ok();
        self.told(|told| {
            if is_back && told.forgets.get(&id).copied() == before {
                told.promised.insert(id);
            }
        });
        Ok(())
    }

    fn read(&mut self) -> Result<(), String> {
        let listed = snapshots::list(&self.machine).map_err(said)?;
        if listed.is_empty() {
            return Ok(());
        }
        let chosen = &listed[self.random.random_range(0..listed.len())];
        let read = Reader::new(&self.machine).and_then(|reader| read_all(&reader, &chosen.root));
        match read {
            // It was dropped while it was read.
            Err(_)
                if self
                    .store
                    .inner
                    .stat(&drumlin::repo::objects::layout::snapshot_key(&chosen.id))
                    .is_err() =>
            {
                Ok(())
            }
            Err(error) if error.is_damage() && self.setting.loss.is_some() => Ok(()),
            read => read.map_err(said),
        }
    }
}

fn read_all(reader: &Arc<Reader>, dir: &drumlin::id::ChunkId) -> drumlin::repo::Result<()> {
    use drumlin::format::entry::{Content, Ref};
    let trees = drumlin::repo::Trees::new(reader.clone());
    for entry in trees.entries(dir) {
        let content = entry?.entry.content;
        if let Content::Tree(below) = content {
            read_all(reader, &below)?;
            continue;
        }
        for piece in trees.refs(&content) {
            if let Ref::Data { id, .. } = piece? {
                reader.read_chunk(drumlin::format::container::ChunkKind::Data, &id)?;
            }
        }
    }
    Ok(())
}
