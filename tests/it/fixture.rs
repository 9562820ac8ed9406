//! A repository in memory with a source folder beside it, for tests of whole operations.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drumlin::backup::{self, BackupOptions, BackupReport, ExcludeOptions};
use drumlin::compress::Compression;
use drumlin::crypto::slot::Secret;
use drumlin::format::config::Profile;
use drumlin::format::entry::Timestamp;
use drumlin::format::slot::SlotKdf;
use drumlin::format::snapshot::{Consistency, Snapshot};
use drumlin::maintain::check::{self, CheckOptions, CheckReport, Level};
use drumlin::monitor::Monitor;
use drumlin::repo::{self, InitOptions, OpenOptions, Reader, Repository, Trees};
use drumlin::store::Store;
use drumlin::store::memory::MemoryStore;
use tempfile::TempDir;

/// The time at which everything in a test happens, unless it says otherwise.
pub const NOW: Timestamp = Timestamp { seconds: 1_800_000_000, nanos: 0 };

/// A repository, its local cache and a source folder; all gone when dropped.
pub struct Fixture {
    /// Where the repository is.
    pub store: Arc<MemoryStore>,
    /// What is backed up.
    pub source: TempDir,
    /// Local copies.
    pub cache: TempDir,
}

impl Fixture {
    /// Makes an empty repository with small chunks, and an empty source.
    pub fn new() -> Self {
        let fixture =
            Self { store: Arc::new(MemoryStore::default()), source: tempfile::tempdir().unwrap(), cache: fast_folder() };
        let options = InitOptions {
            profile: Profile::Small,
            secret: secret(),
            kdf: SlotKdf::KeyFile,
            label: "test".to_owned(),
            now: NOW,
            program: "test".to_owned(),
            cache_dir: fixture.cache.path().to_owned(),
        };
        Repository::init(fixture.store.clone(), &options).unwrap();
        fixture
    }

    /// Writes a file in the source.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.source.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Returns a source path as it stands in snapshots.
    pub fn stored_path(&self, path: &str) -> Vec<u8> {
        self.source.path().join(path).into_os_string().into_encoded_bytes()
    }

    /// Opens the repository in its store.
    pub fn open(&self) -> Arc<Repository> {
        self.open_in(self.store.clone(), self.cache.path()).unwrap()
    }

    /// Opens the repository in another store (a damaged copy, a decorated one), with another cache.
    pub fn open_in(&self, store: Arc<dyn Store>, cache: &Path) -> repo::Result<Arc<Repository>> {
        Repository::open(store, &secret(), &OpenOptions { cache_dir: cache.to_owned(), prefer_cached: false })
    }

    /// Takes a snapshot of the source.
    pub fn backup(&self) -> Snapshot {
        run_backup(&self.open(), self.source.path()).snapshot.unwrap()
    }

    /// Checks the repository, with the cache that its backups used.
    pub fn check(&self, level: Level) -> CheckReport {
        run_check(&self.open(), level)
    }

    /// Returns the trees of the repository.
    pub fn trees(&self) -> Trees {
        Trees::new(Reader::new(&self.open()).unwrap())
    }
}

/// Returns a temporary folder in memory, where there is such a file system: for caches, which thousands of trials make.
pub fn fast_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What opens every fixture.
pub fn secret() -> Secret {
    Secret::KeyFile([7; 32].into())
}

/// Backs up one folder with small packs.
pub fn run_backup(repository: &Arc<Repository>, source: &Path) -> BackupReport {
    let options = backup_options(vec![source.to_owned()]);
    backup::run(repository, options, &Monitor::default()).unwrap()
}

/// Returns the options of a plain backup with small packs.
pub fn backup_options(paths: Vec<PathBuf>) -> BackupOptions {
    BackupOptions {
        paths,
        streams: Vec::new(),
        tags: Vec::new(),
        host: "host".to_owned(),
        user: "user".to_owned(),
        app: String::new(),
        program: "test".to_owned(),
        excludes: ExcludeOptions::default(),
        chunker: None,
        compression: Compression::DEFAULT,
        consistency: Consistency::Live,
        dry_run: false,
        always_snapshot: true,
        threads: 2,
        low_memory: true,
        clock: || NOW,
    }
}

/// Checks a repository.
pub fn run_check(repository: &Arc<Repository>, level: Level) -> CheckReport {
    check::run(repository, &CheckOptions { level, threads: 2, now: NOW }, &Monitor::default()).unwrap()
}

/// Returns bytes that do not compress, always the same for one seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
