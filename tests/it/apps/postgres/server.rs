//! A PostgreSQL server of a test's own, on a socket in a scratch folder, and what tests do with it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drumlin::backup::{FileNumber, FileSink};
use drumlin::monitor::Monitor;
use drumlin::sources::manifest::SourceRecord;
use drumlin::sources::postgres::{Access, Databases, Plan, Settings, plan};
use drumlin::sources::runner::{HostRunner, Runner};

use crate::support::needs;
use crate::support::servers::Server;

/// The user who owns the server if the tests run as root, which it refuses.
const NOBODY: &str = "65534";
const START_TIME_MAX: Duration = Duration::from_secs(120);

/// A running server.
pub struct Postgres {
    server: Option<Server>,
    pub folder: tempfile::TempDir,
    programs: PathBuf,
}

/// Returns the folder of the newest server's programs that is installed.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.map(|entry| entry.unwrap().path().join("bin"));
    let version = |folder: &PathBuf| {
        let name = folder.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        name.parse::<u32>().unwrap_or_default()
    };
    folders.filter(|folder| folder.join("initdb").exists()).max_by_key(version)
}

/// Returns a program as the server's user.
fn as_owner(program: &Path) -> Command {
    if !needs::is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]).arg(program);
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}", errors.trim());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Postgres {
    /// Starts a server with one superuser, `postgres`, who needs no password; the role `secret`
    /// needs one. Returns `None` where none is installed.
    pub fn start() -> Option<Self> {
        let programs = programs();
        if !needs::can_run(programs.is_some(), "a PostgreSQL server (Debian: postgresql)") {
            return None;
        }
        let (programs, folder) = (programs.unwrap(), tempfile::tempdir().unwrap());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if needs::is_root() {
            let nobody = Some(NOBODY.parse().unwrap());
            std::os::unix::fs::chown(folder.path(), nobody, nobody).unwrap();
        }
        let data = folder.path().join("data");
        let mut initdb = as_owner(&programs.join("initdb"));
        initdb.args(["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"]);
        succeed(initdb.arg("--locale=C.UTF-8").arg("--pgdata").arg(&data).current_dir("/"));
        let rules = "local all secret scram-sha-256\nlocal all all trust\n";
        fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let mut postgres = Self { server: None, folder, programs };
        postgres.resume();
        Some(postgres)
    }

    /// Starts it again, if it does not run.
    pub fn resume(&mut self) {
        let (data, socket) = (self.folder.path().join("data"), self.folder.path());
        let options = format!(
            "-D {} -k {} -c listen_addresses= -c fsync=off -c max_locks_per_transaction=1024 -c \
             restart_after_crash=off",
            data.display(),
            socket.display()
        );
        let mut command = as_owner(&self.programs.join("postgres"));
        command.args(options.split(' ')).arg("-c").arg("timezone=Europe/Berlin");
        let arguments: Vec<&str> = command.get_args().map(|one| one.to_str().unwrap()).collect();
        let log = self.folder.path().join("log");
        self.server =
            Some(Server::start(command.get_program().to_str().unwrap(), &arguments, &log));
        let start = Instant::now();
        while !self.psql("postgres").arg("--command=SELECT 1").output().unwrap().status.success() {
            let words = fs::read_to_string(&log).unwrap();
            assert!(start.elapsed() < START_TIME_MAX, "{words}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the folder of its socket.
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it and all processes of its connections.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Returns `psql` for a database.
    pub fn psql(&self, database: &str) -> Command {
        let mut command = self.client("psql");
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        command.args(["--set=ON_ERROR_STOP=1", "--username=postgres"]);
        command.arg(format!(
            "--dbname=dbname='{}'",
            database.replace('\\', "\\\\").replace('\'', "\\'")
        ));
        command
    }

    /// Returns a client program that finds the server.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env("PGHOST", self.folder.path()).stdin(Stdio::null()).current_dir("/");
        command
    }

    /// Runs statements, each in its own transaction; returns what they print.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let script = tempfile::NamedTempFile::new().unwrap();
        fs::write(script.path(), statements).unwrap();
        succeed(self.psql(database).arg("--file").arg(script.path())).trim_end().to_owned()
    }

    /// Loads a dump by `LC_ALL=C cat *` into a new database that is made by `create`.
    pub fn load(&self, files: &Files, database: &str, create: &str) {
        self.sql("postgres", create);
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in &files.0 {
            fs::write(folder.path().join(path), content).unwrap();
        }
        let whole = tempfile::NamedTempFile::new().unwrap();
        let mut cat = Command::new("sh");
        cat.args(["-c", "LC_ALL=C; export LC_ALL; cat * > \"$1\"", "sh"]).arg(whole.path());
        succeed(cat.current_dir(folder.path()));
        succeed(self.psql(database).arg("--file").arg(whole.path()));
    }

    /// Returns access for a role.
    pub fn access(&self, user: &str) -> Access {
        Access {
            section: "app.wiki.postgres".to_owned(),
            socket: Some(self.folder.path().to_str().unwrap().to_owned()),
            user: Some(user.to_owned()),
            ..Access::default()
        }
    }

    /// Returns settings to dump databases as the superuser.
    pub fn settings(&self, databases: &[&str]) -> Settings {
        Settings {
            access: self.access("postgres"),
            place: "/@app/postgres".to_owned(),
            databases: Databases::Named(databases.iter().map(ToString::to_string).collect()),
            restrict_key: "0123456789abcdefABCDEF0123456789".to_owned(),
            ..Settings::default()
        }
    }

    /// Dumps one database as the superuser.
    pub fn dump(&self, database: &str) -> (Files, SourceRecord) {
        run_all(plan(&self.settings(&[database]), &runner()).unwrap()).remove(0)
    }

    /// Returns a line for each table, with its number of rows and a checksum of them in any order.
    pub fn checksums(&self, database: &str) -> Vec<String> {
        let each = "SELECT format('SELECT %L, count(*), md5(string_agg(h, '''' ORDER BY h)) \
                        FROM (SELECT md5(t::text) AS h FROM ONLY %I.%I t) s', \
                        md5(format('%I.%I', schemaname, tablename)), schemaname, tablename) \
                    FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') \
                    ORDER BY 1 \\gexec\n";
        self.sql(database, each).lines().map(str::to_owned).collect()
    }
}

/// Returns a runner on this host.
pub fn runner() -> Arc<dyn Runner> {
    Arc::new(HostRunner::new(&Arc::new(Monitor::default())))
}

/// The files of a dump.
#[derive(Default, PartialEq)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

impl Files {
    /// Fails with the first difference.
    pub fn assert_equal(&self, other: &Self) {
        let paths = |files: &Self| files.0.keys().cloned().collect::<Vec<_>>();
        assert_eq!(paths(self), paths(other));
        for (path, content) in &self.0 {
            if *content != other.0[path] {
                let [one, other] = [content, &other.0[path]].map(|c| String::from_utf8_lossy(c));
                let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
                panic!("{path} differs: {differs:?}");
            }
        }
    }

    pub fn text(&self, path: &str) -> &str {
        let content = self.0.get(path);
        let content = content.unwrap_or_else(|| panic!("{path} of {:?}", self.0.keys()));
        std::str::from_utf8(content).unwrap()
    }
}

/// Keeps files in memory.
#[derive(Default)]
pub struct Memory {
    files: Vec<(String, Vec<u8>, bool)>,
}

impl FileSink for Memory {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        let path = std::str::from_utf8(path).unwrap();
        let is_valid = path.len() <= 255 && !path.contains(['/', '\0']) && !path.starts_with('.');
        assert!(is_valid && self.files.iter().all(|(other, ..)| other != path), "{path}");
        self.files.push((path.to_owned(), Vec::new(), false));
        Ok(FileNumber(u32::try_from(self.files.len() - 1).unwrap()))
    }

    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        let (path, content, has_ended) = &mut self.files[file.0 as usize];
        assert!(!*has_ended, "{path}");
        content.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, file: FileNumber) -> io::Result<()> {
        self.files[file.0 as usize].2 = true;
        Ok(())
    }
}

impl Memory {
    pub fn len_bytes(&self) -> usize {
        self.files.iter().map(|(_, content, _)| content.len()).sum()
    }

    /// Returns its files. Each must have ended.
    pub fn into_files(self) -> Files {
        let files = self.files.into_iter().map(|(path, content, has_ended)| {
            assert!(has_ended, "{path}");
            (path, content)
        });
        Files(files.collect())
    }
}

/// Runs the dumps of a plan; compares what is recorded with what came.
pub fn run_all(plan: Plan) -> Vec<(Files, SourceRecord)> {
    let runs = plan.dumps.into_iter().map(|planned| {
        let mut sink = Memory::default();
        (planned.source.open)().unwrap().run(&mut sink).unwrap();
        let (files, record) = (sink.into_files(), planned.record.get());
        assert_eq!(record.files.len(), files.0.len());
        assert_eq!(planned.source.path, record.place.as_bytes());
        for file in &record.files {
            let content = &files.0[&file.path];
            assert_eq!(file.bytes, content.len() as u64, "{}", file.path);
            assert_eq!(file.blake3, blake3::hash(content).to_hex().as_str(), "{}", file.path);
        }
        (files, record)
    });
    runs.collect()
}
