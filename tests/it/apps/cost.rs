//! Goal: an app that is unchanged costs nothing at a distant store, whatever it consists of.
//! Method: files and four kinds of databases, in a bucket of a server that writes down each request.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::mysql::server::MariaDb;
use super::postgres::server::Postgres;
use crate::support::home::Home;
use crate::support::servers::{moto, run as run_program};

/// Writes the configuration of an app with everything.
fn configure(home: &Home, port: u16, mariadb: &MariaDb, postgres: &Postgres) {
    home.write("secret", "secret\n");
    fs::set_permissions(home.path("secret"), PermissionsExt::from_mode(0o600)).unwrap();
    home.write(
        "drumlin.toml",
        format!(
            "[repository.far]\nurl = \"s3://bucket/apps\"\nendpoint = \"http://127.0.0.1:{port}\"\n\
             region = \"us-east-1\"\nkey-id = \"test\"\nsecret-file = \"secret\"\n\
             [app.all]\nrepository = \"far\"\npaths = \"source\"\nsqlite = \"source/*.db\"\n\
             subversion = \"code\"\nkeep = {{ last = 5 }}\n\
             mariadb = {{ socket = \"{}\", user = \"root\" }}\n\
             postgres = {{ socket = \"{}\", user = \"postgres\" }}\n\
             [[app.all.command]]\nname = \"facts\"\nrun = \"uname -s\"\n",
            mariadb.socket().display(),
            postgres.folder.path().display()
        ),
    );
}

/// Makes a bit of everything.
fn fill(home: &Home, mariadb: &MariaDb, postgres: &Postgres) {
    home.make_source();
    fs::rename(home.path("src"), home.path("source")).unwrap();
    mariadb.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE t (id INT, a TEXT); \
         INSERT INTO t SELECT seq, MD5(seq) FROM seq_1_to_20000; CREATE VIEW v AS SELECT 1;",
    );
    postgres.sql(
        "postgres",
        "CREATE ROLE ada; CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 20000) i",
    );
    let database = rusqlite::Connection::open(home.path("source/notes.db")).unwrap();
    database
        .execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        .unwrap();
    let code = home.text("code");
    run_program("svnadmin", &["create", &code]);
    run_program("svnmucc", &["-m", "one", "-U", &format!("file://{code}"), "mkdir", "trunk"]);
}

#[test]
fn an_unchanged_app_asks_a_distant_store_for_nothing() {
    let Some(postgres) = Postgres::start() else { return };
    let mariadb = MariaDb::start(&[]);
    let home = Home::new()
        .with("DRUMLIN_CONFIG", "drumlin.toml")
        .with("DRUMLIN_STATE_DIR", "state")
        .with("DRUMLIN_KEY_FILE", "test.key");
    let log = home.path("log");
    let server = moto::start_logging(&log);
    server.as_owner(|owner| owner.create_bucket().bucket("bucket").send());
    configure(&home, server.port(), &mariadb, &postgres);
    fill(&home, &mariadb, &postgres);
    home.run(["init"]).ok();
    let requests =
        || fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let run = || -> Value { home.json(["run", "all"])["runs"][0].take() };

    let first = run();
    assert_eq!(
        (first["status"].as_str(), &first["notices"]),
        (Some("done"), &Value::Array(vec![]))
    );
    let kinds: Vec<&str> = first["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    for kind in ["mariadb", "postgres", "sqlite", "subversion", "command"] {
        assert!(kinds.iter().any(|found| found.contains(kind)), "{kind} is missing in {kinds:?}");
    }
    assert!(first["requests"].as_u64() > Some(0) && !requests().is_empty(), "the log works");
    // Twice: what the first one may have left to be looked at is looked at by then.
    for _ in 0..2 {
        let before = requests().len();
        let unchanged = run();
        assert_eq!(unchanged["status"], "unchanged", "{unchanged}");
        assert_eq!((&unchanged["requests"], &unchanged["bytes_added"]), (&0.into(), &0.into()));
        assert_eq!(unchanged["snapshot"], first["snapshot"]);
        assert_eq!(requests()[before..], [""; 0]);
    }
    // And a change is noticed in each of them.
    mariadb.sql("INSERT INTO shop.t VALUES (0, 'new');");
    assert_eq!(run()["status"], "done");
    postgres.sql("postgres", "INSERT INTO t VALUES (0, 'new')");
    assert_eq!(run()["status"], "done");
    let database = rusqlite::Connection::open(home.path("source/notes.db")).unwrap();
    database.execute("INSERT INTO t VALUES (2)", ()).unwrap();
    drop(database);
    assert_eq!(run()["status"], "done");
    let url = format!("file://{}", home.text("code"));
    run_program("svnmucc", &["-m", "two", "-U", &url, "mkdir", "branches"]);
    assert_eq!(run()["status"], "done");
    assert_eq!(run()["requests"], 0);
}
