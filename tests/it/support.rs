//! What many tests need: a repository in memory that counts requests, and backups with the options that matter.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use drumlin::backup::{self, BackupOptions, BackupReport};
use drumlin::compress::Compression;
use drumlin::crypto::slot::Secret;
use drumlin::format::config::Profile;
use drumlin::format::entry::Timestamp;
use drumlin::format::slot::SlotKdf;
use drumlin::format::snapshot::Consistency;
use drumlin::monitor::Monitor;
use drumlin::repo::{InitOptions, OpenOptions, Repository};
use drumlin::store::Store;
use drumlin::store::count::CountStore;
use drumlin::store::memory::MemoryStore;
use zeroize::Zeroizing;

/// A repository with its own scratch folder; everything goes when it is dropped.
pub struct TestRepo {
    pub scratch: tempfile::TempDir,
    pub store: Arc<CountStore>,
    pub repository: Arc<Repository>,
}

pub fn secret() -> Secret {
    Secret::KeyFile(Zeroizing::new([7; 32]))
}

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() }
}

impl TestRepo {
    /// Makes a repository in memory.
    pub fn new() -> Self {
        Self::with_store(Arc::new(MemoryStore::default()))
    }

    /// Makes a repository in a store of the test's own.
    pub fn with_store(store: Arc<dyn Store>) -> Self {
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
        Self { scratch, store, repository }
    }

    /// Opens the repository again, as another process would.
    pub fn reopen(&mut self) {
        let options = OpenOptions { cache_dir: self.scratch.path().join("cache"), prefer_cached: true };
        self.repository = Repository::open(self.store.clone(), &secret(), &options).unwrap();
    }

    /// Returns (and makes) the folder that the tests back up.
    pub fn source(&self) -> PathBuf {
        let path = self.scratch.path().join("source");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Backs up the source; host names select the series of snapshots.
    pub fn backup(&self, host: &str) -> BackupReport {
        self.backup_with(options(&[self.source()], host)).unwrap().0
    }

    /// Backs up with options of the test's own.
    pub fn backup_with(&self, options: BackupOptions) -> Result<(BackupReport, Monitor), backup::Error> {
        let monitor = Monitor::default();
        backup::run(&self.repository, options, &monitor).map(|report| (report, monitor))
    }
}

/// Returns options for a backup of `paths`.
pub fn options(paths: &[PathBuf], host: &str) -> BackupOptions {
    BackupOptions {
        paths: paths.to_vec(),
        streams: Vec::new(),
        tags: Vec::new(),
        host: host.to_owned(),
        user: "tester".to_owned(),
        app: String::new(),
        program: "test".to_owned(),
        excludes: backup::ExcludeOptions::default(),
        chunker: None,
        compression: Compression::DEFAULT,
        consistency: Consistency::Live,
        dry_run: false,
        always_snapshot: false,
        threads: 2,
        low_memory: false,
        clock: now,
    }
}

/// Waits until files that were written before are old enough to be trusted by the next backup.
pub fn let_time_pass() {
    std::thread::sleep(std::time::Duration::from_millis(150));
}

/// Returns bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Writes a file and the folders on its way.
pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
