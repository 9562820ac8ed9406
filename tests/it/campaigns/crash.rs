//! Goal: a process may die at every call of its store, and nothing that was finished is lost, and
//! nothing has to be cleaned by hand. Method: a history of 12 backups, 4 forgets and 4 prunes in a
//! folder, in which a pack is lost, what is left is repaired, and the next backup stores it again
//! on a machine that was not told. Before each operation, a copy is taken of the repository and of
//! the caches of both machines; in it the operation dies at each of its calls in turn: before the
//! call has done anything, after it has done its work, or, where it creates something, with half of
//! it written to a scratch file. Then a machine that knows nothing checks everything and reads
//! every finished snapshot, and the operation is made again.
//!
//! Calls that only find out about the store are many and all alike: one in 16 is the last, or each
//! with `DRUMLIN_CRASH_PROBES`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use drumlin::id::SnapshotId;
use drumlin::maintain::check::Level;
use drumlin::maintain::repair;
use drumlin::monitor::Monitor;
use drumlin::repo::{Reader, Repository, Trees, snapshots};
use drumlin::store::layers;
use drumlin::store::local::LocalStore;
use drumlin::store::{Class, ErrorKind, Key, Listed, Store, StoreError};
use tempfile::TempDir;

use crate::support::fixture::{TestRepo, copy_folder, fast_folder, noise, options, run_check};
use crate::support::operations::{at_once, forget_by_policy, prune, repair_options};
use crate::support::sound::{Contents, read_all};

/// How a process dies in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// The call has done nothing.
    Before,
    /// The call has done its work.
    After,
    /// A `create` has written half of the bytes under another name; other calls have done nothing.
    Torn,
}

/// A folder whose user dies at one call: that one and all later ones fail.
struct Dying {
    inner: LocalStore,
    folder: PathBuf,
    calls: AtomicU64,
    /// Which of them were on objects of probes.
    probes: Mutex<BTreeSet<u64>>,
    death: Option<(u64, Death)>,
}

impl Dying {
    fn new(folder: &Path, death: Option<(u64, Death)>) -> Arc<Self> {
        let inner = LocalStore::open(folder).unwrap();
        let probes = Mutex::default();
        Arc::new(Self { inner, folder: folder.to_owned(), calls: AtomicU64::new(0), probes, death })
    }

    fn call<T>(
        &self,
        class: Class,
        tear: impl FnOnce(&Path),
        call: impl FnOnce(&LocalStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if class == Class::Probe {
            self.probes.lock().unwrap().insert(number);
        }
        let Some((_, death)) = self.death.filter(|(at, _)| number >= *at) else {
            return call(&self.inner);
        };
        if self.death.is_some_and(|(at, _)| number == at) {
            match death {
                Death::Before => {}
                Death::After => drop(call(&self.inner)),
                Death::Torn => tear(&self.folder),
            }
        }
        let location = self.folder.to_string_lossy().into_owned();
        Err(StoreError {
            kind: ErrorKind::Other,
            action: "use",
            location,
            object: String::new(),
            source: "dead".into(),
        })
    }
}

fn whole(_: &Path) {}

impl layers::Layer for Dying {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.call(class, whole, |inner| inner.list(class, prefix))
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.call(key.class, whole, |inner| inner.stat(key))
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.call(key.class, whole, |inner| inner.read_into(key, range, out))
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.call(key.class, whole, |inner| inner.read(key))
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let tear = |folder: &Path| {
            let scratch = folder.join(key.to_string()).with_file_name(".new-1-2-3");
            std::fs::create_dir_all(scratch.parent().unwrap()).unwrap();
            std::fs::write(scratch, &bytes[..bytes.len() / 2]).unwrap();
        };
        self.call(key.class, tear, |inner| inner.create(key, bytes))
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.call(key.class, whole, |inner| inner.remove(key))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Backup(u64),
    /// The pack with what the last backup stored is lost.
    Lose,
    Repair,
    /// A backup of the unchanged source.
    Heal,
    Forget,
    Prune,
}

impl Operation {
    /// Whether something is lost when it begins, and so when it dies.
    fn begins_with_a_loss(self) -> bool {
        matches!(self, Self::Repair | Self::Heal)
    }
}

/// Three backups, a forget and a prune, four times; once a loss and a repair in between.
fn history() -> Vec<Operation> {
    let round = |round: u64| {
        let backups = (0..3).map(move |number| Operation::Backup(3 * round + number));
        let loss = if round == 1 {
            &[Operation::Lose, Operation::Repair, Operation::Heal][..]
        } else {
            &[]
        };
        backups.chain(loss.iter().copied()).chain([Operation::Forget, Operation::Prune])
    };
    (0..4).flat_map(round).collect()
}

/// The repository's folder, and the caches of the machine that backs up and of the one that forgets
/// and prunes.
struct World {
    folder: TempDir,
}

impl World {
    fn copy(&self) -> Self {
        let copy = Self { folder: fast_folder() };
        copy_folder(self.folder.path(), copy.folder.path());
        copy
    }

    fn path(&self, part: &str) -> PathBuf {
        let path = self.folder.path().join(part);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn open(
        &self,
        repo: &TestRepo,
        store: Arc<dyn Store>,
        machine: &str,
    ) -> Option<Arc<Repository>> {
        repo.open_in(store, &self.path(machine)).ok()
    }

    /// Removes the pack that was stored last.
    fn lose_newest(&self) {
        let store = LocalStore::open(&self.path("repository")).unwrap();
        let made = |name: &str| {
            std::fs::metadata(self.path("repository").join("data").join(name))
                .unwrap()
                .modified()
                .unwrap()
        };
        let newest = store
            .list(Class::Data, "")
            .unwrap()
            .into_iter()
            .max_by_key(|object| made(&object.name))
            .unwrap();
        store.remove(&Key::new(Class::Data, newest.name)).unwrap();
    }

    /// Does one operation; returns how many calls it made, and whether it ended well.
    fn run(
        &self,
        repo: &TestRepo,
        operation: Operation,
        death: Option<(u64, Death)>,
    ) -> (u64, bool) {
        let (store, is_done) = self.run_in(repo, operation, death);
        (store.calls.load(Ordering::SeqCst), is_done)
    }

    fn run_in(
        &self,
        repo: &TestRepo,
        operation: Operation,
        death: Option<(u64, Death)>,
    ) -> (Arc<Dying>, bool) {
        let store = Dying::new(&self.path("repository"), death);
        let machine = if matches!(operation, Operation::Backup(_) | Operation::Heal) {
            "client"
        } else {
            "admin"
        };
        let is_done =
            self.open(repo, store.clone(), machine).is_some_and(|repository| match operation {
                Operation::Lose => unreachable!("nobody does that"),
                Operation::Repair => {
                    let options = repair_options(Level::Structure);
                    let applied = repair::plan(&repository, &options, &Monitor::default())
                        .and_then(|plan| plan.apply(&Monitor::default()));
                    applied.is_ok_and(|outcome| !outcome.is_untold)
                }
                Operation::Backup(_) | Operation::Heal => {
                    let options = drumlin::backup::BackupOptions {
                        low_memory: true,
                        ..options(&[repo.source()], "host")
                    };
                    drumlin::backup::run(&repository, options, &Default::default()).is_ok()
                }
                Operation::Forget => forget_by_policy(&repository, "last 2").is_ok(),
                Operation::Prune => {
                    prune(&repository, at_once()).is_ok_and(|report| !report.outrun)
                }
            });
        (store, is_done)
    }

    /// Checks everything and reads every snapshot, on a machine that knows nothing.
    fn snapshots(&self, repo: &TestRepo, what: &str) -> Found {
        let cache = fast_folder();
        let repository =
            repo.open_in(Dying::new(&self.path("repository"), None), cache.path()).unwrap();
        let report = run_check(&repository, Level::Full);
        assert!(report.is_sound(), "{what}: {report:#?}");
        let trees = Trees::new(Reader::new(&repository).unwrap());
        let all = snapshots::list(&repository).unwrap();
        // Folders above the source are other tests' too.
        let source = repo.stored_path("");
        let of = |snapshot| {
            read_all(&trees, snapshot)
                .into_iter()
                .filter(|(path, _)| path.starts_with(&source))
                .collect()
        };
        let contents = all.iter().map(|snapshot| (snapshot.id, of(snapshot))).collect();
        Found {
            contents,
            newest: all.iter().max_by_key(|snapshot| snapshot.started).map(|snapshot| snapshot.id),
        }
    }
}

fn change_source(repo: &TestRepo, number: u64) {
    repo.write("same", &noise(1, 60_000));
    repo.write("dir/changes", &noise(100 + number, 50_000));
    repo.write("dir/small", &noise(200 + number, 2_000));
    repo.write(&format!("many/{number}"), &noise(300 + number, 10_000));
}

/// What can be read.
#[derive(Default)]
struct Found {
    contents: BTreeMap<SnapshotId, Contents>,
    newest: Option<SnapshotId>,
}

impl Found {
    /// Whether all of `wanted` is there with the right content.
    fn holds(&self, wanted: &BTreeMap<SnapshotId, Contents>) -> bool {
        wanted.iter().all(|(id, contents)| self.contents.get(id) == Some(contents))
    }

    fn newest(&self) -> Option<&Contents> {
        self.contents.get(self.newest.as_ref()?)
    }
}

/// Returns the snapshots that there are, whole or not.
fn snapshots_in(world: &World, repo: &TestRepo) -> BTreeSet<SnapshotId> {
    let repository =
        world.open(repo, Dying::new(&world.path("repository"), None), "looker").unwrap();
    snapshots::list(&repository).unwrap().into_iter().map(|snapshot| snapshot.id).collect()
}

fn die_everywhere(death: Death) {
    let world = World { folder: fast_folder() };
    let store = Arc::new(LocalStore::open_or_make(&world.path("repository")).unwrap());
    let repo = TestRepo::with_store(Arc::default(), store);
    let mut finished: BTreeMap<SnapshotId, Contents> = BTreeMap::new();
    let (mut deaths, mut backups) = (0, 0);
    let all_probes = std::env::var_os("DRUMLIN_CRASH_PROBES").is_some();
    for (at, operation) in history().into_iter().enumerate() {
        match operation {
            Operation::Backup(number) => {
                change_source(&repo, number);
                backups += 1;
            }
            Operation::Lose => {
                world.lose_newest();
                continue;
            }
            _ => {}
        }
        let before = world.copy();
        let (store, is_done) = world.run_in(&repo, operation, None);
        let calls = store.calls.load(Ordering::SeqCst);
        assert!(is_done && calls > 2, "{at}: {operation:?}");
        // What is lost is back when the next backup has ended.
        let heal = |world: &World| {
            assert!(operation != Operation::Repair || world.run(&repo, Operation::Heal, None).1)
        };
        let after = {
            let healed = world.copy();
            heal(&healed);
            healed.snapshots(&repo, "nobody died")
        };
        // What stays: the others may be forgotten or not when the process is dead.
        finished.retain(|id, _| after.contents.contains_key(id));
        let probes = store.probes.lock().unwrap().clone();
        for call in (0..calls).filter(|call| all_probes || !probes.contains(call) || call % 16 == 0)
        {
            let what =
                format!("operation {at}, {operation:?}, {death:?} at call {call} of {calls}");
            let trial = before.copy();
            let (_, survived) = trial.run(&repo, operation, Some((call, death)));
            // A snapshot that cannot be read stays, so a failed read alone is no failure of a
            // forget.
            assert!(!survived || operation == Operation::Forget, "{what}");
            if !operation.begins_with_a_loss() {
                assert!(trial.snapshots(&repo, &what).holds(&finished), "{what}: lost");
            }
            let (_, is_done) = trial.run(&repo, operation, None);
            assert!(is_done, "{what}: again");
            heal(&trial);
            let again = trial.snapshots(&repo, &what);
            assert!(again.holds(&finished), "{what}: lost by the second attempt");
            assert!(
                again.newest().is_some() && again.newest() == after.newest(),
                "{what}: not made up for"
            );
            deaths += 1;
        }
        finished = after.contents;
        if operation == Operation::Repair {
            finished.retain(|id, _| snapshots_in(&world, &repo).contains(id));
        }
    }
    println!("{deaths} deaths, {death:?}");
    assert!(backups == 12 && finished.len() == 2 && deaths > 200, "{deaths} deaths");
}

#[test]
fn before_every_call() {
    die_everywhere(Death::Before);
}

#[test]
fn after_every_call() {
    die_everywhere(Death::After);
}

#[test]
fn with_every_object_half_written() {
    die_everywhere(Death::Torn);
}
