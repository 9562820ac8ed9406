//! Goal: an app with `method = "backup"` holds its server, whatever is written meanwhile; a server
//! that rests costs nothing, and a copy that is not whole is none. Method: the real program and the
//! real server; what is restored is prepared and started. A script in the place of `mariadb-backup`
//! makes the failures.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::server::{MariaDb, Writer, can_run_mariadb, prepare};
use super::{TABLES, is_sound, step};
use crate::support::home::Home;

/// Times that a run is tried while the program itself stalls under writes (MDEV-39468).
const TRIES_MAX: usize = 5;
/// Runs after which the files of a server that nobody uses are as they stay.
const SETTLING_RUNS_MAX: usize = 6;
const GRANTS: &str = "CREATE USER backup@localhost IDENTIFIED BY 'it''s \"#\\\\é';
GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO backup@localhost;";
const PASSWORD: &str = "it's \"#\\é\n";

/// Returns a home with a repository and the app `shop`, whose server has this socket.
fn home(socket: &std::path::Path, lines: &str) -> Home {
    let home = Home::new().with("DRUMLIN_CONFIG", "drumlin.toml");
    for (file, secret) in [("password", "secret\n"), ("db-password", PASSWORD)] {
        home.write(file, secret);
        fs::set_permissions(home.path(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    configure(&home, socket, lines);
    home.run(["init"]).ok();
    home
}

fn configure(home: &Home, socket: &std::path::Path, lines: &str) {
    let text = format!(
        "repository.box = {{ url = \"repo\", password-file = \"password\" }}\n\
         defaults = {{ repository = \"box\" }}\n[app.shop.mariadb]\nmethod = \"backup\"\n\
         user = \"backup\"\npassword-file = \"db-password\"\nsocket = {socket:?}\n{lines}\n"
    );
    home.write("drumlin.toml", text);
}

/// Returns the report of a run, and its exit code.
fn try_run(home: &Home) -> (Value, i32) {
    let ran = home.run(["run", "shop", "--json"]);
    let mut document = ran.json();
    (document["runs"][0].take(), ran.code)
}

/// Returns the report of a run that succeeds, if need be after the program stalled.
fn run(home: &Home) -> Value {
    for _ in 0..TRIES_MAX {
        let (report, code) = try_run(home);
        if code == 0 {
            return report;
        }
        let error = report["error"].as_str().unwrap();
        assert!(error.contains("innodb_log_file_size"), "{report}");
        assert!(last(home)["is_transient"].as_bool().unwrap(), "{report}");
    }
    panic!("it stalled {TRIES_MAX} times");
}

/// Returns what the state remembers of the last run.
fn last(home: &Home) -> Value {
    let mut state: Value = serde_json::from_str(&home.read(".state/apps/shop/state.json")).unwrap();
    state["last"].take()
}

/// Restores the server's files of the latest snapshot, and returns their folder.
fn restore(home: &Home, into: &str) -> std::path::PathBuf {
    home.run(["restore", "latest:/@app/mariadb-backup", "-t", into]).ok();
    home.path(into)
}

#[test]
fn an_app_under_writers_is_a_server_again_after_a_restore() {
    if !can_run_mariadb() {
        return;
    }
    let server = MariaDb::start(&[]);
    server.sql(TABLES);
    server.sql(GRANTS);
    let home = home(&server.socket(), "");
    let writers = [server.keep_writing(step), server.keep_writing(step)];
    let report = run(&home);
    writers.into_iter().for_each(Writer::stop);
    assert_eq!(
        (report["status"].as_str(), &report["notices"]),
        (Some("done"), &Value::from([""; 0]))
    );
    assert_eq!(report["sources"][0]["kind"], "mariadb-backup");
    let manifest = home.run(["cat", "latest:/@app/manifest.json"]).ok().json();
    let source = &manifest["sources"][0];
    assert_eq!((&source["kind"], &source["method"]), (&"mariadb-backup".into(), &"backup".into()));
    assert_eq!(source["place"], "/@app/mariadb-backup");
    for version in ["server", "client"] {
        assert!(source[version].as_str().unwrap().contains("MariaDB"), "{source}");
    }
    let folder = restore(&home, "out");
    let files = source["files"].as_array().unwrap();
    for file in files {
        let content = fs::read(folder.join(file["path"].as_str().unwrap())).unwrap();
        assert_eq!(file["bytes"], content.len() as u64, "{file}");
        assert_eq!(file["blake3"], blake3::hash(&content).to_hex().as_str(), "{file}");
    }
    assert!(files.iter().any(|file| file["path"] == "shop/one.ibd"), "{files:?}");
    assert_eq!(home.tree("out").len(), files.len());
    prepare(&folder);
    is_sound(&MariaDb::start_with(&folder));
}

#[test]
fn a_server_that_rests_costs_nothing_and_a_small_change_little() {
    if !can_run_mariadb() {
        return;
    }
    let server = MariaDb::start(&[]);
    server.sql(TABLES);
    server.sql(GRANTS);
    let home = home(&server.socket(), "");
    let first = run(&home);
    let settled = (0..SETTLING_RUNS_MAX).find_map(|_| {
        let report = run(&home);
        println!("settling: {} bytes", report["bytes_added"]);
        (report["status"] == "unchanged").then_some(report)
    });
    let settled = settled.expect("nobody uses the server");
    assert_eq!(settled["bytes_added"], 0, "{settled}");
    let info = home.run(["cat", "latest:/@app/mariadb-backup/xtrabackup_info"]).ok().out;
    assert!(info.contains("\nserver_version = 1"), "{info}");
    assert!(info.starts_with("uuid = \n") && info.contains("\nend_time = \n"), "{info}");
    server.sql("UPDATE shop.large SET b = REPEAT('y', 900) WHERE id BETWEEN 100 AND 110;");
    let changed = run(&home);
    println!("first {}, a change of 11 rows {}", first["bytes_added"], changed["bytes_added"]);
    assert_eq!(changed["status"], "done");
    let [of_first, of_change] = [&first, &changed].map(|run| run["bytes_added"].as_u64().unwrap());
    assert!(of_change * 20 < of_first, "{of_change} of {of_first}");
    let folder = restore(&home, "out");
    prepare(&folder);
    let again = MariaDb::start_with(&folder);
    assert_eq!(
        again.sql("SELECT COUNT(*) FROM shop.large WHERE b = REPEAT('y', 900);").trim(),
        "11"
    );
}

/// Writes a script that is taken for `mariadb-backup`; `act` is what it does when it is to back up.
fn in_its_place(home: &Home, act: &str) -> String {
    let script = format!(
        "#!/bin/bash\ncase \"$*\" in *--backup*) ;; *) exec mariadb-backup \"$@\" ;; esac\n\
         echo x >> {}\n{act}\n",
        home.text("calls")
    );
    let path = home.write("program", script);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!("program = {path:?}")
}

fn calls(home: &Home) -> usize {
    let count = fs::read_to_string(home.path("calls")).unwrap_or_default().lines().count();
    let _ = fs::remove_file(home.path("calls"));
    count
}

#[test]
fn a_copy_that_is_not_whole_is_none() {
    if !can_run_mariadb() {
        return;
    }
    let server = MariaDb::start(&["--innodb-undo-tablespaces=0", "--innodb-log-file-size=8M"]);
    server.sql(GRANTS);
    let home = home(&server.socket(), "");
    let fails = |act: &str, says: &str, is_transient: bool, calls_wanted: usize| {
        let program = in_its_place(&home, act);
        configure(&home, &server.socket(), &program);
        let (report, code) = try_run(&home);
        let error = report["error"].as_str().unwrap_or_default();
        assert_eq!((code, report["status"].as_str()), (1, Some("failed")), "{report}");
        assert!(error.contains(says) && error.contains("[app.shop.mariadb]"), "{error}");
        assert_eq!(last(&home)["is_transient"], is_transient, "{error}");
        assert_eq!(calls(&home), calls_wanted, "{error}");
    };
    let half = "mariadb-backup \"$@\" | head -c 9000000; kill -9 $$";
    fails(half, "signal: 9", true, 1);
    fails("mariadb-backup \"$@\" | head -c 9000000", "it ends within the chunk", false, 1);
    fails("echo '[00] 2026-12-01 12:00:00 Error: disk on fire' >&2; exit 1", "on fire", false, 1);
    let stalls = "echo 'Retrying read of log at LSN=7' >&2; echo x >&2; exit 1";
    fails(stalls, "innodb_log_file_size", true, 2);
    assert!(home.snapshot_ids().is_empty());
    // It stalls once: the second attempt is the backup, without anything of the first.
    let once = "test -e stalled || { touch stalled; mariadb-backup \"$@\"; \
                echo 'Retrying read of log at LSN=7' >&2; exit 1; }\nexec mariadb-backup \"$@\"";
    configure(&home, &server.socket(), &in_its_place(&home, once));
    assert_eq!((run(&home)["status"].as_str(), calls(&home)), (Some("done"), 2));
    let partial = "options = [\"--databases=mysql\"]";
    configure(&home, &server.socket(), partial);
    let report = run(&home);
    assert!(report["notices"][0].as_str().unwrap().contains("leave databases"), "{report}");
    configure(&home, &server.socket(), "options = [\"--stream=tar\"]");
    assert!(try_run(&home).0["error"].as_str().unwrap().contains("`options`"));
}

#[test]
fn a_server_that_is_away_is_tried_again_and_a_wrong_password_is_not() {
    if !can_run_mariadb() {
        return;
    }
    let home = home(std::path::Path::new("/no/such/socket"), "");
    let (report, code) = try_run(&home);
    assert_eq!(code, 1, "{report}");
    assert!(report["error"].as_str().unwrap().contains("is the server running"), "{report}");
    assert_eq!(last(&home)["is_transient"], true);
    let server = MariaDb::start(&["--innodb-undo-tablespaces=0", "--innodb-log-file-size=8M"]);
    server.sql("CREATE USER backup@localhost IDENTIFIED BY 'other';");
    configure(&home, &server.socket(), "");
    let (report, _) = try_run(&home);
    assert!(report["error"].as_str().unwrap().contains("`password-file`"), "{report}");
    assert_eq!(last(&home)["is_transient"], false);
    // The server lets it in, but may not do enough: no hash of the password is told.
    server.sql(&format!(
        "DROP USER backup@localhost; {GRANTS} REVOKE PROCESS ON *.* FROM backup@localhost;"
    ));
    let (report, _) = try_run(&home);
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("missing required privilege PROCESS"), "{error}");
    assert!(error.contains("BINLOG MONITOR") && !error.contains("IDENTIFIED"), "{error}");
}
