//! Goal: a server that is not there, is full, or goes down is tried again; a wrong configuration is
//! not. Method: real servers, as far as they can be brought into that state quickly; the words of the
//! rest are in the tests of `src/sources/`.

use std::io;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use drumlin::backup;
use drumlin::jobs::{self, transient};
use drumlin::monitor::in_words;
use drumlin::sources::{mysql, postgres};

use super::mysql::server::{MariaDb, chain, host};
use super::postgres::server::{Postgres, runner};

/// Returns whether a run that ends with this error is tried again within its slot.
fn may_pass(error: io::Error) -> bool {
    let path = "/@app/x".to_owned();
    transient::may_pass(&jobs::Error::Backup(backup::Error::Stream { path, source: error }))
}

#[test]
fn mariadb_that_is_away_or_full_may_pass() {
    let server = MariaDb::start(&["--max-connections=10", "--extra-max-connections=1"]);
    let mut settings = server.settings();
    // Root has a connection more. Some of these are refused, too.
    let mut held: Vec<Child> = (0..20)
        .map(|_| {
            // It waits for statements.
            let mut client = server.client();
            client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            client.spawn().unwrap()
        })
        .collect();
    // Clients need a moment to connect, and to be gone.
    let fails = |settings: &mysql::Settings, says: &str| {
        let begun = Instant::now();
        loop {
            match mysql::plan(settings, &host()).err() {
                Some(error) if chain(&error).contains(says) => return error,
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
            assert!(begun.elapsed() < Duration::from_secs(60));
        }
    };
    assert!(may_pass(fails(&settings, "Too many connections")));
    for client in &mut held {
        client.kill().unwrap();
        client.wait().unwrap();
    }
    settings.access.user = Some("nobody".to_owned());
    assert!(!may_pass(fails(&settings, "Access denied")));
    drop(server);
    let error = mysql::plan(&settings, &host()).err().unwrap();
    assert!(chain(&error).contains("2002"), "{}", chain(&error));
    assert!(may_pass(error));
}

#[test]
fn postgres_that_is_away_full_or_shutting_down_may_pass() {
    let Some(mut postgres) = Postgres::start() else { return };
    let settings = postgres.settings(&["postgres"]);
    postgres.sql("postgres", "CREATE ROLE few LOGIN CONNECTION LIMIT 0");
    let few =
        postgres::Settings { access: postgres.access("few"), ..postgres.settings(&["postgres"]) };
    let fails = |settings: &postgres::Settings, says: &str| {
        let error = postgres::plan(settings, &runner()).err().unwrap();
        let words = in_words(&error);
        assert!(words.contains(says), "{words}");
        may_pass(error)
    };
    assert!(fails(&few, "too many connections"));
    let unknown =
        postgres::Settings { access: postgres.access("x"), ..postgres.settings(&["postgres"]) };
    assert!(!fails(&unknown, "does not exist"));
    // A session that stays keeps the server from its end.
    let mut session = postgres.psql("postgres");
    session.arg("--command=SELECT pg_sleep(600)").stdout(Stdio::null()).stderr(Stdio::null());
    let mut session = session.spawn().unwrap();
    let active = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'";
    let begun = Instant::now();
    while postgres.sql("postgres", active) != "1" {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = std::fs::read_to_string(postgres.folder.path().join("data/postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let is_closing = || {
        let error = postgres::plan(&settings, &runner()).err();
        error.is_some_and(|error| in_words(&error).contains("shutting down"))
    };
    while !is_closing() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(fails(&settings, "shutting down"));
    session.kill().unwrap();
    session.wait().unwrap();
    postgres.kill();
    assert!(fails(&settings, "connection to server"));
}
