//! A repository in memory that counts requests, a folder to back up, and the operations with the
//! options that matter.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use drumlin::backup::{self, BackupOptions, BackupReport, ExcludeOptions};
use drumlin::compress::Compression;
use drumlin::crypto::slot::Secret;
use drumlin::format::config::Profile;
use drumlin::format::container::ChunkKind;
use drumlin::format::entry::{Content, Entry, EntryKind, Ref, Timestamp};
use drumlin::format::slot::SlotKdf;
use drumlin::format::snapshot::{Consistency, Snapshot};
use drumlin::maintain::check::{self, CheckOptions, CheckReport, Level};
use drumlin::monitor::Monitor;
use drumlin::repo::write::Checkpoints;
use drumlin::repo::{self, DirEntry, InitOptions, OpenOptions, Reader, Repository, Trees};
use drumlin::store::layers;
use drumlin::store::layers::count::CountStore;
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, Key, Listed, Store, StoreError};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use tempfile::TempDir;

/// A repository with its own scratch folder; everything goes when it is dropped.
pub struct TestRepo {
    /// Holds the source, the cache of the repository, and what a test puts there.
    pub scratch: TempDir,
    /// Where everything is in the end: to look at, to copy and to damage.
    pub memory: Arc<MemoryStore>,
    /// What the repository uses.
    pub store: Arc<CountStore>,
    /// The repository, open.
    pub repository: Arc<Repository>,
}

impl TestRepo {
    /// Makes an empty repository with small chunks.
    pub fn new() -> Self {
        let memory = Arc::new(MemoryStore::default());
        Self::with_store(memory.clone(), memory)
    }

    /// Makes a repository in a store of the test's own, which keeps everything in `memory`.
    pub fn with_store(memory: Arc<MemoryStore>, store: Arc<dyn Store>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let store = Arc::new(CountStore::new(store));
        let options = InitOptions {
            profile: Profile::Small,
            secret: secret(),
            kdf: SlotKdf::KeyFile,
            label: "test".to_owned(),
            now: now(),
            program: "test".to_owned(),
            cache_dir: scratch.path().join("cache"),
        };
        let repository = Repository::init(store.clone(), &options).unwrap();
        Self { scratch, memory, store, repository }
    }

    /// Returns where the local copies are.
    pub fn cache(&self) -> PathBuf {
        self.scratch.path().join("cache")
    }

    /// Returns the folder of this repository in there.
    pub fn copies(&self) -> PathBuf {
        let id = self.repository.config().repository.to_hex();
        let mut folders = fs::read_dir(self.cache()).unwrap().map(|entry| entry.unwrap().path());
        folders
            .find(|folder| folder.file_name().unwrap().to_string_lossy().starts_with(&id))
            .unwrap()
    }

    /// Opens the repository again, as the next backup would.
    pub fn reopen(&mut self) {
        let options = OpenOptions { cache_dir: self.cache(), prefer_cached: true };
        self.repository = Repository::open(self.store.clone(), &secret(), &options).unwrap();
    }

    /// Opens the repository once more, as another process would.
    pub fn open(&self) -> Arc<Repository> {
        self.open_in(self.memory.clone(), &self.cache()).unwrap()
    }

    /// Opens the repository in another store (a damaged copy, a decorated one), with another cache.
    pub fn open_in(&self, store: Arc<dyn Store>, cache: &Path) -> repo::Result<Arc<Repository>> {
        Repository::open(
            store,
            &secret(),
            &OpenOptions { cache_dir: cache.to_owned(), prefer_cached: false },
        )
    }

    /// Returns (and makes) the folder that the tests back up.
    pub fn source(&self) -> PathBuf {
        let path = self.scratch.path().join("source");
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Writes a file in the source.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        write(&self.source().join(path), bytes);
    }

    /// Returns a source path as it stands in snapshots.
    pub fn stored_path(&self, path: &str) -> Vec<u8> {
        self.source().join(path).into_os_string().into_encoded_bytes()
    }

    /// Backs up the source; host names select the series of snapshots.
    pub fn backup(&self, host: &str) -> BackupReport {
        self.backup_with(options(&[self.source()], host)).unwrap().0
    }

    /// Backs up with options of the test's own.
    pub fn backup_with(
        &self,
        options: BackupOptions,
    ) -> Result<(BackupReport, Monitor), backup::Error> {
        let monitor = Monitor::default();
        backup::run(&self.repository, options, &monitor).map(|report| (report, monitor))
    }

    /// Takes a snapshot of the source, as another process would.
    pub fn snapshot(&self) -> Snapshot {
        run_backup(&self.open(), &self.source()).snapshot.unwrap()
    }

    /// Checks the repository, with the cache that its backups used.
    pub fn check(&self, level: Level) -> CheckReport {
        run_check(&self.open(), level)
    }

    /// Returns the trees of the repository.
    pub fn trees(&self) -> Trees {
        Trees::new(Reader::new(&self.open()).unwrap())
    }

    /// Returns the entry at a path of a snapshot.
    pub fn lookup(&self, snapshot: &Snapshot, path: impl AsRef<Path>) -> Option<DirEntry> {
        let trees = Trees::new(Reader::new(&self.repository).unwrap());
        trees.lookup(&snapshot.root, path.as_ref().as_os_str().as_encoded_bytes()).unwrap()
    }

    /// Returns the content of a file.
    pub fn content(&self, entry: &DirEntry) -> Vec<u8> {
        if let Content::Inline(bytes) = &entry.entry.content {
            return bytes.clone();
        }
        let trees = Trees::new(Reader::new(&self.repository).unwrap());
        let mut bytes = Vec::new();
        for piece in trees.refs(&entry.entry.content) {
            match piece.unwrap() {
                Ref::Hole { len } => bytes.resize(bytes.len() + len as usize, 0),
                Ref::Data { id, .. } => {
                    bytes.extend(trees.reader().read_chunk(ChunkKind::Data, &id).unwrap());
                }
            }
        }
        bytes
    }
}

/// What opens every repository of the tests.
pub fn secret() -> Secret {
    Secret::KeyFile([7; 32].into())
}

/// Returns the time.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() }
}

/// Returns options for a backup of `paths`.
pub fn options(paths: &[PathBuf], host: &str) -> BackupOptions {
    BackupOptions {
        paths: paths.to_vec(),
        root: None,
        dumps: Vec::new(),
        left_out: Vec::new(),
        tags: Vec::new(),
        host: host.to_owned(),
        user: "tester".to_owned(),
        app: String::new(),
        program: "test".to_owned(),
        excludes: ExcludeOptions::default(),
        chunker: None,
        compression: Compression::DEFAULT,
        consistency: Consistency::Live,
        follow_sources: false,
        allow_empty: true,
        dry_run: false,
        always_snapshot: false,
        read_all: false,
        ignore_inodes: false,
        threads: 2,
        low_memory: false,
        clock: Arc::new(now),
        checkpoints: Checkpoints::default(),
    }
}

/// Backs up one folder with small packs, into a snapshot in any case.
pub fn run_backup(repository: &Arc<Repository>, source: &Path) -> BackupReport {
    let options = BackupOptions {
        always_snapshot: true,
        low_memory: true,
        ..options(&[source.to_owned()], "host")
    };
    backup::run(repository, options, &Monitor::default()).unwrap()
}

/// Checks a repository.
pub fn run_check(repository: &Arc<Repository>, level: Level) -> CheckReport {
    check::run(repository, &CheckOptions { level, threads: 2, now: now() }, &Monitor::default())
        .unwrap()
}

/// Returns a temporary folder in memory, where there is such a file system: for caches, which
/// thousands of trials make.
pub fn fast_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Copies what is in a folder into another.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Waits until files that were written before are old enough to be trusted by the next backup.
pub fn let_time_pass() {
    std::thread::sleep(Duration::from_millis(150));
}

/// Returns bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Writes a file and the folders on its way.
pub fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A store in which something happens once, at the first call of a kind, before the call.
pub struct Meanwhile {
    inner: Arc<dyn Store>,
    at: (Action, Class),
    act: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Meanwhile {
    /// Wraps a store; nothing is planned yet.
    pub fn new(inner: Arc<dyn Store>, at: (Action, Class)) -> Self {
        Self { inner, at, act: Mutex::default() }
    }

    /// Says what happens.
    pub fn plan(&self, act: impl FnOnce() + Send + 'static) {
        *self.act.lock().unwrap() = Some(Box::new(act));
    }

    /// Returns whether it has happened.
    pub fn is_done(&self) -> bool {
        self.act.lock().unwrap().is_none()
    }

    fn at(&self, action: Action, class: Class) -> &dyn Store {
        if (action, class) == self.at {
            let act = self.act.lock().unwrap().take();
            act.into_iter().for_each(|act| act());
        }
        &*self.inner
    }
}

impl layers::Layer for Meanwhile {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.at(Action::List, class).list(class, prefix)
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.at(Action::Stat, key.class).stat(key)
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.at(Action::Read, key.class).read_into(key, range, out)
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.at(Action::Read, key.class).read(key)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.at(Action::Create, key.class).create(key, bytes)
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.at(Action::Remove, key.class).remove(key)
    }
}

/// Returns an entry about which nothing more is known.
pub fn bare_entry(name: &[u8], kind: EntryKind, content: Content) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        mode: 0,
        uid: 0,
        gid: 0,
        user: 0,
        group: 0,
        mtime: Timestamp::default(),
        ctime: Timestamp::default(),
        btime: None,
        size: 0,
        device: None,
        hard_link: None,
        content,
        xattrs: Vec::new(),
        flags: 0,
        extensions: Vec::new(),
    }
}

/// Sets the times of access and change of a name; a link is not followed.
pub fn set_mtime(path: &Path, tv_sec: i64, tv_nsec: i64) {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Returns all files below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files_below(&entry));
        } else {
            found.push(entry);
        }
    }
    found
}
