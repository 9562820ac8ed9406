//! Goal: a dump that dies is never a dump, and each failure says where and what to do. Method:
//! clients and servers that are killed, logins that fail, privileges that lack, readers that are
//! slow.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use drumlin::backup::{FileNumber, FileSink};
use drumlin::monitor::in_words;
use drumlin::sources::finding::{Finding, Severity};
use drumlin::sources::postgres::{Access, Databases, DumpWriter, Settings, check, plan};
use drumlin::sources::process::Output;
use drumlin::sources::runner::{Invocation, Runner};

use super::server::{Memory, Postgres, run_all, runner};

/// Does something once so many bytes came.
struct Acting<F> {
    memory: Memory,
    at_bytes: usize,
    act: Option<F>,
}

impl<F: FnOnce()> FileSink for Acting<F> {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        self.memory.begin(path)
    }

    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        self.memory.write(file, bytes)?;
        if self.memory.len_bytes() > self.at_bytes
            && let Some(act) = self.act.take()
        {
            act();
        }
        Ok(())
    }

    fn end(&mut self, file: FileNumber) -> io::Result<()> {
        self.memory.end(file)
    }
}

/// Waits now and then.
struct Slow {
    memory: Memory,
    writes: u32,
    pause: Duration,
}

impl FileSink for Slow {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        self.memory.begin(path)
    }

    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        self.writes += 1;
        if self.writes % 100 == 1 {
            std::thread::sleep(self.pause);
        }
        self.memory.write(file, bytes)
    }

    fn end(&mut self, file: FileNumber) -> io::Result<()> {
        self.memory.end(file)
    }
}

/// Runs programs with further variables in their environment.
struct With {
    runner: Arc<dyn Runner>,
    variables: Vec<(String, String)>,
}

impl With {
    fn variables(variables: &[(&str, &str)]) -> Arc<dyn Runner> {
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Arc::new(Self { runner: runner(), variables: variables.collect() })
    }
}

impl Runner for With {
    fn start(&self, mut invocation: Invocation) -> io::Result<Box<dyn Output>> {
        let variables = self.variables.iter().cloned();
        invocation.environment.extend(variables.map(|(name, value)| (name, value.into())));
        self.runner.start(invocation)
    }

    fn passes_files(&self) -> bool {
        true
    }

    fn place(&self) -> String {
        "this host".to_owned()
    }
}

/// Returns a server with a table of about 30 MB.
fn with_rows() -> Option<Postgres> {
    let postgres = Postgres::start()?;
    postgres.sql(
        "postgres",
        "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 3) AS a \
         FROM generate_series(1, 300000) i; \
         CREATE ROLE secret LOGIN PASSWORD 'it''s \\ \"é' IN ROLE pg_read_all_data",
    );
    Some(postgres)
}

fn words_of_plan(settings: &Settings) -> String {
    match plan(settings, &runner()) {
        Ok(_) => panic!("it was planned"),
        Err(error) => in_words(&error),
    }
}

fn as_secret(postgres: &Postgres, password: Option<&str>) -> Settings {
    let password = password.map(|password| password.to_owned().into());
    let access = Access { password, ..postgres.access("secret") };
    Settings { access, ..postgres.settings(&["postgres"]) }
}

#[test]
fn failed_logins_say_the_section_and_the_key() {
    let Some(mut postgres) = with_rows() else { return };
    let right = as_secret(&postgres, Some("it's \\ \"é"));
    let (files, _) = run_all(plan(&right, &runner()).unwrap()).remove(0);
    assert!(files.0.contains_key("public.t.sql"));
    let nowhere = Settings {
        access: Access { socket: Some("/no/such".to_owned()), ..postgres.access("postgres") },
        ..postgres.settings(&["postgres"])
    };
    let unknown =
        Settings { access: postgres.access("nobody"), ..postgres.settings(&["postgres"]) };
    let mut wrong_program = postgres.settings(&["postgres"]);
    wrong_program.access.program = Some("/no/such/pg_dump".to_owned());
    for (settings, parts) in [
        (as_secret(&postgres, Some("wrong")), ["password authentication failed", "password-file"]),
        (as_secret(&postgres, None), ["no password supplied", "`password-file`"]),
        (postgres.settings(&["typo"]), ["\"typo\" does not exist", "`databases`"]),
        (postgres.settings(&["postgres", "typo"]), ["no database `typo`", "`databases`"]),
        (unknown, ["role \"nobody\" does not exist", "`user`"]),
        (nowhere, ["No such file or directory", "`socket`"]),
        (wrong_program, ["/no/such/pg_dump", "`program`"]),
    ] {
        let words = words_of_plan(&settings);
        assert!(words.starts_with("app.wiki.postgres: "), "{words}");
        assert!(words.contains("[app.wiki.postgres]"), "{words}");
        assert!(parts.iter().all(|part| words.contains(part)), "{words}");
    }
    postgres.kill();
    let words = words_of_plan(&postgres.settings(&["postgres"]));
    assert!(words.contains("see whether the server runs"), "{words}");
    let findings = check(&postgres.settings(&["postgres"]), &runner());
    assert_eq!(findings.last().unwrap().severity, Severity::Error);
}

#[test]
fn the_users_own_files_work_where_nothing_is_configured() {
    let Some(postgres) = with_rows() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (service, passwords) = (folder.path().join("service"), folder.path().join("pass"));
    let socket = postgres.folder.path().display();
    // The database of a service is weaker than the one that is dumped.
    let text = format!("[mine]\nhost={socket}\nuser=secret\ndbname=elsewhere\n");
    std::fs::write(&service, text).unwrap();
    std::fs::write(&passwords, "*:*:*:secret:it's \\\\ \"é\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&passwords, std::fs::Permissions::from_mode(0o600)).unwrap();
    let runner = With::variables(&[
        ("PGSERVICEFILE", service.to_str().unwrap()),
        ("PGSERVICE", "mine"),
        ("PGPASSFILE", passwords.to_str().unwrap()),
        // What is in the environment changes nothing of a dump.
        ("PGCLIENTENCODING", "SJIS"),
        ("PGDATABASE", "elsewhere"),
    ]);
    let access = Access { section: "app.wiki.postgres".to_owned(), ..Access::default() };
    let settings = Settings { access, globals: Some(true), ..postgres.settings(&["postgres"]) };
    let dumps = run_all(plan(&settings, &runner).unwrap());
    dumps[0].0.assert_equal(&postgres.dump("postgres").0);
    assert!(dumps[1].0.text("").contains("CREATE ROLE secret"));
}

#[test]
fn dumps_that_die_are_failures() {
    let Some(mut postgres) = with_rows() else { return };
    let open = |postgres: &Postgres| {
        let planned = plan(&postgres.settings(&["postgres"]), &runner()).unwrap().dumps.remove(0);
        ((planned.source.open)().unwrap(), planned.record)
    };
    let pids = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE application_name = 'drumlin'";
    let (dump, record) = open(&postgres);
    let act = || drop(postgres.sql("postgres", pids));
    let mut sink = Acting { memory: Memory::default(), at_bytes: 1 << 20, act: Some(act) };
    let error = dump.run(&mut sink).unwrap_err();
    let words = in_words(&error);
    assert!(words.starts_with("app.wiki.postgres: cannot dump the database `postgres`"), "{words}");
    assert_eq!(error.kind(), io::ErrorKind::NotConnected, "{words}");
    assert!(record.get().files.is_empty());

    let (dump, _) = open(&postgres);
    let act = || kill_client("pg_dump", postgres.folder.path().to_str().unwrap());
    let mut sink = Acting { memory: Memory::default(), at_bytes: 1 << 20, act: Some(act) };
    let words = in_words(&dump.run(&mut sink).unwrap_err());
    assert!(words.contains("signal: 9"), "{words}");

    let (dump, _) = open(&postgres);
    let act = || postgres.kill();
    let mut sink = Acting { memory: Memory::default(), at_bytes: 1 << 20, act: Some(act) };
    let error = dump.run(&mut sink).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected, "{}", in_words(&error));
    postgres.resume();
    assert!(postgres.dump("postgres").0.0.contains_key("public.t.sql"));
}

/// Kills the processes of a program that have a word in their arguments.
fn kill_client(program: &str, word: &str) {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let name = line.split('\0').next().unwrap_or_default();
        if name.ends_with(&format!("/{program}")) && line.contains(word) {
            let pid = entry.file_name().to_str().unwrap().parse().unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            count += 1;
        }
    }
    assert_eq!(count, 1);
}

/// The server's limits are shorter than the pauses, and the dump is longer than what is read ahead.
#[test]
fn a_slow_reader_gets_the_whole_dump() {
    let Some(postgres) = with_rows() else { return };
    postgres.sql(
        "postgres",
        "ALTER ROLE postgres SET statement_timeout = '1s'; \
         ALTER ROLE postgres SET idle_in_transaction_session_timeout = '1s'",
    );
    let planned = plan(&postgres.settings(&["postgres"]), &runner()).unwrap().dumps.remove(0);
    let mut sink =
        Slow { memory: Memory::default(), writes: 0, pause: Duration::from_millis(1500) };
    (planned.source.open)().unwrap().run(&mut sink).unwrap();
    assert!(sink.writes > 300, "{}", sink.writes);
    assert_eq!(planned.record.get().files[1].rows, Some(300_000));
}

#[test]
fn findings_say_what_a_role_lacks() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.sql(
        "postgres",
        "CREATE ROLE poor LOGIN; CREATE TABLE t (a integer); CREATE SEQUENCE s; \
         CREATE TABLE policed (a integer); ALTER TABLE policed ENABLE ROW LEVEL SECURITY; \
         SELECT lo_create(70001); CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s \
         FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE far (a integer) SERVER s",
    );
    let settings = |user: &str| Settings {
        access: postgres.access(user),
        globals: Some(true),
        ..postgres.settings(&["postgres"])
    };
    let at_least = |findings: &[Finding], severity: Severity| {
        let found = findings.iter().filter(|finding| finding.severity >= severity);
        found.map(|finding| finding.message.clone()).collect::<Vec<_>>()
    };
    let findings = check(&settings("postgres"), &runner());
    assert!(at_least(&findings, Severity::Warning).is_empty(), "{findings:?}");
    let notes = at_least(&findings, Severity::Note);
    assert!(notes[0].contains("pg_dump") && notes[1].contains("as `postgres`"), "{notes:?}");
    assert!(notes[2].contains("(1: public.far)"), "{notes:?}");
    let findings = check(&settings("poor"), &runner());
    let errors = at_least(&findings, Severity::Error);
    let parts = ["(1: public.policed)", "(1: 70001)", "(3: public.policed, public.s, public.t)"];
    assert_eq!(errors.len(), parts.len(), "{errors:?}");
    assert!(errors.iter().zip(parts).all(|(error, part)| error.contains(part)), "{errors:?}");
    let warnings = at_least(&findings, Severity::Warning);
    assert!(warnings.iter().any(|warning| warning.contains("passwords of roles")));
    let planned = plan(&settings("poor"), &runner()).unwrap().dumps.remove(0);
    let error = (planned.source.open)().unwrap().run(&mut Memory::default()).unwrap_err();
    let words = in_words(&error);
    assert!(words.contains("permission denied") && words.contains("pg_read_all_data"), "{words}");
    postgres.sql(
        "postgres",
        "GRANT pg_read_all_data TO poor; ALTER ROLE poor BYPASSRLS; \
         GRANT SELECT ON LARGE OBJECT 70001 TO poor",
    );
    let findings = check(&settings("poor"), &runner());
    assert!(at_least(&findings, Severity::Error).is_empty(), "{findings:?}");
    run_all(plan(&settings("poor"), &runner()).unwrap());
    let all = Settings { databases: Databases::All, ..settings("poor") };
    postgres.sql("postgres", "CREATE DATABASE own; REVOKE CONNECT ON DATABASE own FROM PUBLIC");
    let errors = at_least(&check(&all, &runner()), Severity::Error);
    assert!(errors[0].contains("`own`") && errors[0].contains("`exclude`"), "{errors:?}");
}

/// A `psql` that does not know `\restrict` loads a dump without it.
#[test]
fn the_restriction_is_left_out_for_old_clients() {
    let Some(postgres) = with_rows() else { return };
    let (files, record) = postgres.dump("postgres");
    let mut writer = DumpWriter::of_database(Vec::new(), false);
    for file in &record.files {
        io::Write::write_all(&mut writer, &files.0[&file.path]).unwrap();
    }
    assert_eq!(writer.row_count(), 300_000);
    let (dump, left_out) = writer.finish().unwrap();
    let has_restriction = files.text("!header.sql").contains("\\restrict ");
    assert_eq!(left_out, if has_restriction { 2 } else { 0 });
    let dump = String::from_utf8(dump).unwrap();
    assert!(!dump.contains("restrict"));
    postgres.sql("postgres", "CREATE DATABASE copy");
    postgres.sql("copy", &dump);
    files.assert_equal(&postgres.dump("copy").0);
}
