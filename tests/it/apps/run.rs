//! `run` and `apps` as a user has them: hooks, dumps, failures, retention, and what this machine
//! remembers of them. Method: the real program with a configuration of one app.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::home::Home;

/// Returns a home with a repository and the app `wiki`, which has these lines, too.
fn home(lines: &str) -> Home {
    with_configuration(&configuration(lines))
}

fn configure(home: &Home, lines: &str) {
    home.write("drumlin.toml", configuration(lines));
}

fn configuration(lines: &str) -> String {
    format!(
        "repository.box = {{ url = \"repo\", password-file = \"password\" }}\n\
         defaults = {{ repository = \"box\" }}\n[app.wiki]\npaths = \"source\"\n{lines}\n"
    )
}

/// Returns a home with a source and this configuration, whose repository is made.
pub fn with_configuration(text: &str) -> Home {
    let home = Home::new()
        .with("DRUMLIN_CONFIG", "drumlin.toml")
        .with("DRUMLIN_STATE_DIR", "state")
        .with("TZ", "UTC");
    home.write("source/file", "first\n");
    home.write("password", "secret\n");
    fs::set_permissions(home.path("password"), PermissionsExt::from_mode(0o600)).unwrap();
    home.write("drumlin.toml", text);
    home.run(["init"]).ok();
    home
}

/// Returns the report of a run, which ends with this code.
fn run(home: &Home, code: i32) -> Value {
    let ran = home.run(["run", "wiki", "--json"]);
    assert_eq!(ran.code, code, "{ran:?}");
    let mut document: Value = serde_json::from_str(&ran.out).unwrap();
    document["runs"][0].take()
}

fn app(home: &Home) -> Value {
    let ran = home.run(["apps", "--json"]).ok();
    let mut document: Value = serde_json::from_str(&ran.out).unwrap();
    document["apps"][0].take()
}

fn snapshots(home: &Home) -> Vec<Value> {
    let ran = home.run(["snapshots", "--json"]).ok();
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    document["snapshots"].as_array().unwrap().clone()
}

#[test]
fn a_run_backs_up_remembers_and_asks_for_nothing_when_nothing_changed() {
    let home = home("[[app.wiki.command]]\nname = \"facts\"\nrun = \"seq 20000\"");
    assert_eq!(app(&home)["last"], Value::Null);
    let first = run(&home, 0);
    assert_eq!((first["status"].as_str(), &first["files"]), (Some("done"), &2.into()), "{first}");
    assert_eq!(first["sources"][0]["bytes"], 108_894);
    let second = run(&home, 0);
    assert_eq!(second["status"], "unchanged");
    assert_eq!(second["snapshot"], first["snapshot"]);
    let known = app(&home);
    assert_eq!(known["status"], "unchanged");
    assert_eq!(known["repositories"][0]["snapshot"], first["snapshot"]);
    assert_eq!((snapshots(&home).len(), &known["failures"]), (1, &0.into()));
    assert_eq!(home.run(["cat", "latest:/facts"]).ok().out.lines().count(), 20_000);
    let table = home.run(["apps"]).ok().out;
    assert!(table.contains("wiki") && table.contains("by hand"), "{table}");
}

#[test]
fn hooks_are_run_in_order_and_know_the_outcome() {
    let hook = |name: &str| format!("echo {name} $DRUMLIN_APP $DRUMLIN_STATUS >> log");
    let lines = format!(
        "before = {:?}\nafter = {:?}\nfailed = {:?}\nfinally = {:?}",
        hook("before"),
        hook("after"),
        hook("failed"),
        hook("finally")
    );
    let home = home(&lines);
    run(&home, 0);
    assert_eq!(home.read("log"), "before wiki\nafter wiki done\nfinally wiki done\n");
    fs::remove_file(home.path("log")).unwrap();
    configure(&home, &format!("{lines}\n[[app.wiki.command]]\nname = \"x\"\nrun = \"exit 3\""));
    let failed = run(&home, 1);
    assert!(failed["error"].as_str().unwrap().contains("exit status: 3"), "{failed}");
    assert_eq!(home.read("log"), "before wiki\nfailed wiki failed\nfinally wiki failed\n");
    assert_eq!(snapshots(&home).len(), 1, "the last good snapshot stays, and no other comes");
    assert_eq!(app(&home)["failures"], 1);
    assert_eq!(home.run(["apps", "--healthy"]).code, 1);
}

#[test]
fn before_may_leave_a_run_out_or_fail_it() {
    let home = home("before = \"echo on battery >&2; exit 75\"");
    let skipped = run(&home, 0);
    assert_eq!((skipped["status"].as_str(), &skipped["error"]), (Some("skipped"), &Value::Null));
    assert!(skipped["notices"][0].as_str().unwrap().contains("on battery"), "{skipped}");
    configure(&home, "before = \"exit 1\"");
    let failed = run(&home, 1);
    assert!(failed["error"].as_str().unwrap().contains("hook `before`"), "{failed}");
    assert!(snapshots(&home).is_empty());
    configure(&home, "before = \"sleep 1000\"\nhook-timeout = \"1s\"");
    let began = Instant::now();
    let late = run(&home, 1);
    assert!(late["error"].as_str().unwrap().contains("stopped after 1 s"), "{late}");
    assert!(began.elapsed() < Duration::from_secs(60));
    configure(&home, "finally = \"exit 9\"");
    let good = run(&home, 0);
    assert_eq!(good["status"], "done");
    assert!(good["notices"][0].as_str().unwrap().contains("hook `finally`"), "{good}");
}

#[test]
fn two_runs_of_an_app_exclude_each_other() {
    let home = home("before = \"touch begun; while ! test -e go; do sleep 0.05; done\"");
    let first = home.spawn(["run", "wiki"], Stdio::null());
    let asked = Instant::now();
    while !home.path("begun").exists() {
        assert!(asked.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    let second = home.run(["run", "wiki"]);
    assert_eq!(second.code, 11, "{second:?}");
    assert!(second.err.contains("another run of `wiki`"), "{second:?}");
    assert_eq!(app(&home)["running"], true);
    home.write("go", "");
    assert!(first.wait_with_output().unwrap().status.success());
    assert_eq!(home.run(["run", "wiki", "--wait"]).code, 0);
}

#[test]
fn a_killed_run_is_reported_by_the_next() {
    let home = home("before = \"touch begun; test -e go || sleep 1000\"");
    let mut first = home.spawn(["run", "wiki"], Stdio::null());
    let asked = Instant::now();
    while !home.path("begun").exists() {
        assert!(asked.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    home.write("go", "");
    let next = run(&home, 0);
    assert_eq!(next["status"], "done");
    assert!(next["notices"][0].as_str().unwrap().contains("did not end"), "{next}");
    let history = home.read("state/apps/wiki/runs.jsonl");
    let kinds: Vec<bool> = history.lines().map(|line| line.contains("it died")).collect();
    assert_eq!(kinds, [true, false]);
}

#[test]
fn a_schedule_is_kept_by_run_due() {
    let home = home("schedule = \"every 1h\"");
    assert!(home.run(["run", "--due", "--dry-run"]).ok().out.contains("nothing was stored"));
    assert!(!home.path("state/apps/wiki/state.json").exists());
    assert!(home.run(["run", "--due"]).ok().out.contains("wiki: snapshot"));
    assert!(home.run(["run", "--due"]).ok().out.contains("no app is due"));
    let known = app(&home);
    assert!(known["next"].as_str().is_some() && known["max_age_seconds"] == 3 * 3_600, "{known}");
    configure(&home, "schedule = \"every 1h\"\nenabled = false");
    assert!(home.run(["run", "--due"]).code == 2);
    assert_eq!(home.run(["run", "wiki"]).code, 0, "by hand it is run");
    configure(&home, "schedule = \"often\"");
    let refused = home.run(["run", "--due"]);
    assert!(refused.code == 2 && refused.err.contains("is not a schedule"), "{refused:?}");
}

#[test]
fn what_a_run_keeps_is_no_change_even_beside_its_sources() {
    let home = home("").with("DRUMLIN_STATE_DIR", "source/state");
    run(&home, 0);
    assert_eq!(run(&home, 0)["status"], "unchanged");
    assert!(!home.run(["ls", "-R", "latest"]).ok().out.contains("state.json"));
    let unknown = home.run(["apps", "--ack", "../wiki"]);
    assert!(unknown.code == 2 && !home.path("source/state/wiki").exists(), "{unknown:?}");
}

#[test]
fn a_large_database_is_copied_by_way_of_the_scratch_directory() {
    let home = home("sqlite = \"source/*.db\"");
    let path = home.path("source/a.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE t (b BLOB)").unwrap();
    for _ in 0..12 {
        database.execute("INSERT INTO t VALUES (randomblob(1048576))", ()).unwrap();
    }
    drop(database);
    assert_eq!(run(&home, 0)["status"], "done");
    let restored = home.run(["restore", "latest", "-t", "back"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    let back = home.path("back").join(path.strip_prefix("/").unwrap());
    assert!(fs::read(back).unwrap() == fs::read(path).unwrap());
}

#[test]
fn many_changes_at_once_are_told_and_old_snapshots_stay() {
    let home = home("keep = { last = 1 }");
    let write = |text: &str| {
        for n in 0..40 {
            home.write(&format!("source/many/{n}"), format!("{text} {n}"));
        }
    };
    write("plain");
    run(&home, 0);
    write("encrypted by somebody else");
    let alarming = run(&home, 0);
    let notice = alarming["notices"][0].as_str().unwrap();
    assert!(notice.contains("40 of 41 files changed"), "{alarming}");
    assert_eq!((snapshots(&home).len(), &app(&home)["alarmed"]), (2, &true.into()));
    let shown = home.run(["apps"]).ok();
    assert!(shown.out.contains("wiki  alarm"), "{shown:?}");
    assert!(shown.err.contains("40 of 41 files changed") && shown.err.contains("--ack wiki"));
    assert!(home.run(["apps", "--ack", "wiki"]).ok().out.contains("retention goes on"));
    home.write("source/file", "changed\n");
    assert_eq!(run(&home, 0)["notices"], Value::Array(Vec::new()));
    assert_eq!((snapshots(&home).len(), &app(&home)["alarmed"]), (1, &false.into()));
}

#[test]
fn a_repository_that_is_away_fails_the_run_and_the_next_recovers() {
    let home = home("schedule = \"every 1h\"");
    fs::rename(home.path("repo"), home.path("away")).unwrap();
    let failed = run(&home, 10);
    assert_eq!(failed["status"], "failed");
    assert!(failed["hint"].as_str().unwrap().contains("mount the disk"), "{failed}");
    let told = home.run(["run", "wiki"]).code(10);
    assert!(told.err.contains("  hint: this machine has used one there"), "{told:?}");
    assert_eq!(app(&home)["failures"], 2);
    fs::rename(home.path("away"), home.path("repo")).unwrap();
    assert_eq!(run(&home, 0)["status"], "done");
    assert_eq!(app(&home)["failures"], 0);
}

#[test]
fn files_that_cannot_be_read_make_a_run_partial() {
    let home = home("");
    configure(&home, "");
    let text = home.read("drumlin.toml").replace("\"source\"", "[\"source\", \"missing\"]");
    home.write("drumlin.toml", text);
    let partial = run(&home, 3);
    assert_eq!(
        (partial["status"].as_str(), &partial["problem_count"]),
        (Some("partial"), &1.into())
    );
    assert!(partial["problems"][0].as_str().unwrap().contains("missing"), "{partial}");
}

#[test]
fn a_state_that_cannot_be_kept_is_said_and_the_snapshot_is_made() {
    let home = home("").with("DRUMLIN_STATE_DIR", "blocked/state");
    home.write("blocked", "a file in the place of a folder");
    let done = run(&home, 0);
    assert_eq!(done["status"], "done");
    assert!(done["notices"][0].as_str().unwrap().contains("not remembered"), "{done}");
}

#[test]
fn a_run_has_a_time_limit_and_a_dry_run_changes_nothing() {
    let home =
        home("timeout = \"1s\"\n[[app.wiki.command]]\nname = \"x\"\nrun = \"echo a; sleep 1000\"");
    let began = Instant::now();
    let late = run(&home, 1);
    assert!(late["error"].as_str().unwrap().contains("longer than 1 s"), "{late}");
    assert!(began.elapsed() < Duration::from_secs(60) && snapshots(&home).is_empty());
    let before = home.read("state/apps/wiki/state.json");
    configure(&home, "before = \"touch ran\"");
    let dry = home.run(["run", "wiki", "--dry-run"]).ok();
    assert!(dry.out.contains("nothing was stored"), "{dry:?}");
    assert!(!home.path("ran").exists() && snapshots(&home).is_empty());
    assert_eq!(home.read("state/apps/wiki/state.json"), before);
}

#[test]
fn what_cannot_be_run_is_refused() {
    let home = home("");
    configure(&home, "repository = [\"box\", \"usb\"]");
    let text = home.read("drumlin.toml");
    home.write("drumlin.toml", format!("{text}[repository.usb]\nurl = \"usb\"\n"));
    let several = home.run(["run", "wiki"]);
    assert!(several.code == 2 && several.err.contains("several repositories"), "{several:?}");
    let unknown = home.run(["run", "shop"]);
    assert!(unknown.code == 2 && unknown.err.contains("the configuration has wiki"), "{unknown:?}");
    configure(&home, "drill = \"monthly\"");
    let later = home.run(["run", "wiki"]);
    assert!(later.code == 2 && later.err.contains("not supported by this version"), "{later:?}");
    configure(&home, "before = \"true\"");
    let backup = home.run(["backup", "--app", "wiki"]);
    assert!(backup.code == 2 && backup.err.contains("drumlin run wiki"), "{backup:?}");
}
