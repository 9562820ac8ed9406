//! A MariaDB server of a test's own, and a memory that dumps go into.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drumlin::backup::{FileNumber, FileSink, PlacedFile};
use drumlin::monitor::Monitor;
use drumlin::sources::manifest::SourceRecord;
use drumlin::sources::mysql::{Product, Settings, plan};
use drumlin::sources::planned::Planned;
use drumlin::sources::runner::{HostRunner, Runner};
use tempfile::TempDir;

use crate::support::servers::{Server, run};

const START_TIME_MAX: Duration = Duration::from_secs(60);

/// A server that ends with this value.
pub struct MariaDb {
    server: Option<Server>,
    dir: TempDir,
}

impl MariaDb {
    /// Starts a server with an empty data folder; `options` are added to its command line.
    pub fn start(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = format!("--datadir={}", dir.path().join("data").display());
        // Not the folder of all tests: servers remove each other's files there.
        let scratch = format!("--tmpdir={}", dir.path().display());
        let small = "--innodb-log-file-size=8M";
        run(
            "mariadb-install-db",
            &[
                "--no-defaults",
                &data,
                &scratch,
                small,
                "--innodb-flush-method=nosync",
                "--debug-no-sync",
                "--user=root",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ],
        );
        let socket = format!("--socket={}", dir.path().join("socket").display());
        let mut arguments = vec![
            "--no-defaults",
            &data,
            &socket,
            &scratch,
            small,
            "--skip-networking",
            "--user=root",
            "--max-allowed-packet=1G",
            // Nothing of it must outlive a failure of the machine.
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--debug-no-sync",
            "--log-bin-trust-function-creators=1",
        ];
        arguments.extend_from_slice(options);
        let server = Server::start("mariadbd", &arguments, &dir.path().join("log"));
        let own = Self { server: Some(server), dir };
        let started = Instant::now();
        while UnixStream::connect(own.socket()).is_err() {
            assert!(started.elapsed() < START_TIME_MAX, "{}", own.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        own
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Returns a client of root, as people load dumps with it.
    pub fn client(&self) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"]);
        client.args(["--binary-mode", "--comments", "--max-allowed-packet=1G"]);
        client.arg("--default-character-set=utf8mb4");
        client.arg(format!("--socket={}", self.socket().display()));
        client
    }

    /// Runs SQL as root; returns what the client prints.
    pub fn sql(&self, sql: &str) -> String {
        self.try_load(sql.as_bytes()).unwrap()
    }

    /// Loads a dump.
    pub fn try_load(&self, dump: &[u8]) -> Result<String, String> {
        let mut client = self.client();
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = client.spawn().expect("scripts/test-deps.sh installs mariadb");
        let mut input = client.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            // A client that fails reads no further.
            scope.spawn(move || input.write_all(dump));
            client.wait_with_output().unwrap()
        });
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Returns settings that dump everything as root.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::new("app.wiki.mariadb", "/@app/mariadb", Product::MariaDb);
        settings.access.socket = Some(self.socket().to_str().unwrap().to_owned());
        settings.access.user = Some("root".to_owned());
        settings
    }
}

/// Returns the runner of this host.
pub fn host() -> Arc<dyn Runner> {
    Arc::new(HostRunner::new(&Arc::new(Monitor::default())))
}

/// Called with the bytes that a sink has taken so far.
pub type Watch<'a> = Box<dyn FnMut(usize) -> io::Result<()> + 'a>;

/// Keeps what it is given, and refuses what no engine would take.
#[derive(Default)]
pub struct Memory<'a> {
    pub files: BTreeMap<String, Vec<u8>>,
    paths: Vec<String>,
    open: BTreeSet<u32>,
    taken: usize,
    pub longest_write: usize,
    watch: Option<Watch<'a>>,
}

impl<'a> Memory<'a> {
    /// Makes one that asks `watch` after each write.
    pub fn watched(watch: Watch<'a>) -> Self {
        Self { watch: Some(watch), ..Self::default() }
    }
}

impl FileSink for Memory<'_> {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        let path = String::from_utf8(path.to_vec()).unwrap();
        assert!(!path.contains('/') && path != "." && path != ".." && path.len() <= 255, "{path}");
        assert!(self.files.insert(path.clone(), Vec::new()).is_none(), "{path} began before");
        let number = self.paths.len() as u32;
        self.paths.push(path);
        self.open.insert(number);
        Ok(FileNumber(number))
    }

    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        assert!(self.open.contains(&file.0), "written after its end");
        let path = &self.paths[file.0 as usize];
        self.files.get_mut(path).unwrap().extend_from_slice(bytes);
        self.longest_write = self.longest_write.max(bytes.len());
        self.taken += bytes.len();
        self.watch.as_mut().map_or(Ok(()), |watch| watch(self.taken))
    }

    fn end(&mut self, file: FileNumber) -> io::Result<()> {
        assert!(self.open.remove(&file.0), "ended twice");
        Ok(())
    }

    fn keep(&mut self, files: Vec<PlacedFile>) -> io::Result<()> {
        assert!(files.is_empty(), "a dump of rows only begins again");
        self.files.clear();
        self.open.clear();
        Ok(())
    }
}

/// A dump that has ended well.
pub struct Dumped {
    pub files: BTreeMap<String, Vec<u8>>,
    pub record: SourceRecord,
    pub longest_write: usize,
}

impl Dumped {
    /// Returns the dump as `LC_ALL=C cat *` does.
    pub fn cat(&self) -> Vec<u8> {
        let visible = self.files.iter().filter(|(name, _)| !name.starts_with('.'));
        visible.flat_map(|(_, content)| content.iter().copied()).collect()
    }

    /// Returns the text of a file.
    pub fn text(&self, name: &str) -> String {
        let content = self.files.get(name).unwrap_or_else(|| panic!("{:?}", self.files.keys()));
        String::from_utf8_lossy(content).into_owned()
    }
}

/// Runs a planned dump into a memory.
pub fn dump_into(planned: Planned, mut memory: Memory) -> io::Result<Dumped> {
    (planned.source.open)()?.run(&mut memory)?;
    assert!(memory.open.is_empty(), "files were left open");
    let record = planned.record.get();
    assert_eq!(record.files.len(), memory.files.len());
    for file in &record.files {
        let content = &memory.files[&file.path];
        assert_eq!(file.bytes, content.len() as u64, "{}", file.path);
        assert_eq!(file.blake3, blake3::hash(content).to_hex().as_str(), "{}", file.path);
    }
    Ok(Dumped { files: memory.files, record, longest_write: memory.longest_write })
}

/// Runs all dumps of a server; they are named by their place in the snapshot.
pub fn dump_all(settings: &Settings) -> BTreeMap<String, Dumped> {
    let plan = plan(settings, &host()).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let run = |planned: Planned| {
        let place = String::from_utf8(planned.source.path.clone()).unwrap();
        let dumped = dump_into(planned, Memory::default());
        (place, dumped.unwrap_or_else(|error| panic!("{}", chain(&error))))
    };
    plan.dumps.into_iter().map(run).collect()
}

/// Plans, and returns the first dump, still to be run.
pub fn first(settings: &Settings, runner: &Arc<dyn Runner>) -> Planned {
    let plan = plan(settings, runner).unwrap_or_else(|error| panic!("{}", chain(&error)));
    plan.dumps.into_iter().next().unwrap()
}

/// Returns an error with its causes, as the command line prints it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text.push_str(&format!("; caused by: {error}"));
        cause = error.source();
    }
    text
}
