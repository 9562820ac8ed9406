//! Goal: whatever goes wrong in a run, it is marked as failed, the last good snapshot stays, and
//! the next run recovers.
//!
//! Method: an app with a real server has a good run; then one thing goes wrong; then it is mended.
//! The table of failures and their tests is in docs/dev/testing.md.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::mysql::server::MariaDb;
use super::postgres::server::Postgres;
use crate::support::home::{Home, Ran};
use crate::support::needs::can_run;

/// A program in which mounting is permitted and harms nobody, if there can be one.
const OWN_MOUNTS: [&str; 2] = ["unshare", "-rm"];
const WAIT_MAX: Duration = Duration::from_secs(60);

/// An app `shop` with a file, and with what each test adds.
struct Shop {
    home: Home,
}

/// What is known of the app, before something goes wrong.
struct Good {
    snapshots: Vec<String>,
}

impl Shop {
    fn new() -> Self {
        let home = Home::new()
            .with("DRUMLIN_CONFIG", "drumlin.toml")
            .with("DRUMLIN_STATE_DIR", "state")
            .with("DRUMLIN_KEY_FILE", "test.key");
        home.write("source/file", "first\n");
        let shop = Self { home };
        shop.configure("");
        shop.home.run(["init"]).ok();
        shop
    }

    /// Writes the configuration, with these lines for the app.
    fn configure(&self, lines: &str) {
        let text = format!(
            "repository.box = {{ url = \"repo\" }}\n[app.shop]\nrepository = \"box\"\n\
             paths = \"source\"\nschedule = \"daily 03:10\"\ntimezone = \"UTC\"\n{lines}\n"
        );
        self.home.write("drumlin.toml", text);
    }

    /// Runs the app; returns the report of a run that ends with this code.
    fn run(&self, code: i32) -> Value {
        report(&self.home.run(["run", "shop", "--json"]), code)
    }

    fn known(&self) -> Value {
        self.home.json(["apps"])["apps"][0].take()
    }

    /// Runs the app, which must succeed, and returns what is known then.
    fn good(&self) -> Good {
        let done = self.run(0);
        assert_eq!((done["status"].as_str(), &done["error"]), (Some("done"), &Value::Null));
        let snapshots = self.home.snapshot_ids();
        assert_eq!(done["snapshot"].as_str(), snapshots.last().map(String::as_str));
        let known = self.known();
        assert_eq!((&known["failures"], known["status"].as_str()), (&0.into(), Some("done")));
        assert_eq!(known["repositories"][0]["snapshot"], done["snapshot"]);
        Good { snapshots }
    }

    /// Asserts that a run failed, for a reason with these words, and that nothing else happened.
    fn assert_failed(&self, failed: &Value, good: &Good, words: &[&str]) {
        assert_eq!(
            (failed["status"].as_str(), &failed["snapshot"]),
            (Some("failed"), &Value::Null)
        );
        let error = failed["error"].as_str().unwrap();
        for word in words {
            assert!(error.contains(word), "expected {word:?} in: {error}");
        }
        assert_eq!(self.home.snapshot_ids(), good.snapshots, "the last good one stays, alone");
        let known = self.known();
        assert_eq!(known["status"], "failed");
        assert_eq!(known["last"]["error"], failed["error"]);
        assert_eq!(known["repositories"][0]["snapshot"], **good.snapshots.last().unwrap());
        assert!(known["failures"].as_u64() > Some(0) && known["running"] == false, "{known}");
        self.home.run(["apps", "--healthy"]).code(1);
    }

    /// Returns whether the failure of the last run is worth another attempt within its slot.
    fn may_pass(&self) -> bool {
        let state: Value =
            serde_json::from_str(&self.home.read("state/apps/shop/state.json")).unwrap();
        state["last"]["is_transient"].as_bool().unwrap()
    }

    /// Asserts that the next run makes the snapshot that was missing, and that all is well.
    fn assert_recovers(&self, good: &Good) {
        let now = self.good();
        assert_eq!(now.snapshots.len(), good.snapshots.len() + 1);
        self.home.run(["apps", "--healthy"]).ok();
        self.home.run(["check", "--level", "full"]).ok();
    }

    /// Returns a file of the newest snapshot.
    fn cat(&self, path: &str) -> String {
        self.home.run(["cat", &format!("latest:{path}")]).ok().out
    }
}

#[track_caller]
fn report(ran: &Ran, code: i32) -> Value {
    assert_eq!(ran.code, code, "{ran:?}");
    let mut document: Value = serde_json::from_str(&ran.out).unwrap();
    document["runs"][0].take()
}

/// Kills a run in the middle of what it does, when it has made the file `begun`.
fn kill_in_the_middle(home: &Home, mut run: Child) {
    wait_for(|| home.path("begun").exists());
    run.kill().unwrap();
    run.wait().unwrap();
}

fn wait_for(is_true: impl Fn() -> bool) {
    let asked = Instant::now();
    while !is_true() {
        assert!(asked.elapsed() < WAIT_MAX);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lines for the app that dump `shop` of a server by this program, as `backup`.
fn mariadb(shop: &Shop, server: &MariaDb, program: &str) -> String {
    format!(
        "mariadb = {{ databases = \"shop\", socket = \"{}\", user = \"backup\", password-file = \
         \"{}\", program = \"{program}\" }}",
        server.socket().display(),
        shop.home.text("password")
    )
}

/// Makes a program that dumps, then runs a script over the whole dump, `$dump`; returns its path.
fn client(shop: &Shop, name: &str, script: &str) -> String {
    let text = format!(
        "#!/bin/bash\ncase \"$*\" in --version|*--help*) exec mariadb-dump \"$@\";; esac\n\
         dump={}\nmariadb-dump \"$@\" > $dump || exit\n{script}\n",
        shop.home.text("whole.sql")
    );
    let path = shop.home.write(&format!("{name}/mariadb-dump"), text);
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("/usr/bin/mariadb", path.with_file_name("mariadb")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn set_password(shop: &Shop, password: &str) {
    let path = shop.home.write("password", format!("{password}\n"));
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

const TABLES: &str = "
CREATE DATABASE shop; USE shop; CREATE TABLE goods (id INT PRIMARY KEY, name VARCHAR(500));
INSERT INTO goods SELECT seq, REPEAT('x', 100) FROM seq_1_to_5000;
CREATE TABLE sold (id INT); INSERT INTO sold VALUES (1);
CREATE USER backup@localhost IDENTIFIED BY 'right';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.* TO backup@localhost;
GRANT SELECT ON mysql.proc TO backup@localhost;
";

#[test]
fn dumps_that_fail_make_no_snapshot_and_the_next_run_has_all() {
    let (shop, server) = (Shop::new(), MariaDb::start(&[]));
    server.sql(TABLES);
    set_password(&shop, "right");
    let plain = client(&shop, "plain", "cat $dump");
    shop.configure(&mariadb(&shop, &server, &plain));
    let mut good = shop.good();
    let dumped = |name: &str| shop.cat(&format!("/@app/mariadb/shop/{name}"));
    assert_eq!(dumped("sold.sql").matches("INSERT INTO").count(), 1);
    for (number, (name, script, words)) in [
        ("empty", "", "last line"),
        ("half", "head -c 300000 $dump", "last line"),
        ("cut", "head -n -1 $dump", "last line"),
        ("killed", "head -c 300000 $dump; kill -9 $$", "signal: 9"),
        ("failed", "cat $dump; echo 'disk on fire' >&2; exit 3", "disk on fire"),
    ]
    .into_iter()
    .enumerate()
    {
        server.sql(&format!("INSERT INTO shop.sold VALUES ({number});"));
        shop.configure(&mariadb(&shop, &server, &client(&shop, name, script)));
        let failed = shop.run(1);
        shop.assert_failed(&failed, &good, &["`shop`", "[app.shop.mariadb]", words]);
        assert_eq!(shop.may_pass(), name != "failed", "{name}");
        assert_eq!(dumped("sold.sql").matches("INSERT INTO").count(), number + 1, "{name}");
        shop.configure(&mariadb(&shop, &server, &plain));
        shop.assert_recovers(&good);
        assert_eq!(dumped("sold.sql").matches("INSERT INTO").count(), number + 2, "{name}");
        good.snapshots = shop.home.snapshot_ids();
    }
    assert_eq!(dumped("goods.sql").matches("INSERT INTO").count(), 5_000);
    server.sql("INSERT INTO shop.sold VALUES (9);");
    set_password(&shop, "wrong");
    let failed = shop.run(1);
    shop.assert_failed(&failed, &good, &["Access denied", "[app.shop.mariadb]", "password-file"]);
    assert!(!shop.may_pass(), "a password does not mend itself");
    set_password(&shop, "right");
    shop.assert_recovers(&good);
}

#[test]
fn a_database_that_is_down_fails_the_run_until_it_is_back() {
    let Some(mut server) = Postgres::start() else { return };
    let shop = Shop::new();
    server.sql("postgres", "CREATE TABLE t (a integer); INSERT INTO t VALUES (1)");
    let socket = server.folder.path().display();
    shop.configure(&format!(
        "postgres = {{ databases = \"postgres\", socket = \"{socket}\", user = \"postgres\" }}"
    ));
    let good = shop.good();
    server.kill();
    let failed = shop.run(1);
    shop.assert_failed(&failed, &good, &["[app.shop.postgres]", "see whether the server runs"]);
    assert!(shop.may_pass(), "servers come back");
    server.resume();
    server.sql("postgres", "INSERT INTO t VALUES (2)");
    shop.assert_recovers(&good);
    assert!(shop.cat("/@app/postgres/postgres/public.t.sql").contains("\n1\n2\n"));
}

/// The state and hooks are on other disks, so they work.
#[test]
fn a_full_repository_fails_the_run_until_there_is_room() {
    if !can_run(may_mount(), "the permission to mount a file system") {
        return;
    }
    let shop = Shop::new();
    shop.configure("failed = \"echo $DRUMLIN_ERROR > told\"");
    let good = shop.good();
    shop.home.write("source/large", crate::support::fixture::noise(1, 6 << 20));
    // What is mounted goes away with the script.
    let script = "mkdir disk; mount -t tmpfs -o size=3m none disk; cp -a repo/. disk; \
         mount --bind disk repo
         \"$drumlin\" run shop --json > full || echo $? > code
         \"$drumlin\" snapshots --json > kept; \"$drumlin\" apps --json > known
         mount -o remount,size=64m disk
         \"$drumlin\" run shop --json > again; \"$drumlin\" check --level full > /dev/null";
    shop.home.script(&OWN_MOUNTS, script).ok();
    let read = |file: &str| -> Value { serde_json::from_str(&shop.home.read(file)).unwrap() };
    let failed = read("full")["runs"][0].take();
    assert_eq!((shop.home.read("code").trim(), &failed["snapshot"]), ("1", &Value::Null));
    assert!(failed["error"].as_str().unwrap().contains("No space left on device"), "{failed}");
    assert!(shop.home.read("told").contains("No space left on device"));
    assert_eq!(read("kept")["snapshots"].as_array().unwrap().len(), good.snapshots.len());
    let known = read("known")["apps"][0].take();
    assert_eq!((known["status"].as_str(), &known["failures"]), (Some("failed"), &1.into()));
    let again = read("again")["runs"][0].take();
    assert_eq!((again["status"].as_str(), &again["error"]), (Some("done"), &Value::Null));
    let runs = shop.home.read("state/apps/shop/runs.jsonl");
    let run: Value = serde_json::from_str(runs.lines().nth(1).unwrap()).unwrap();
    assert_eq!(run["is_transient"], false, "room does not come by itself");
}

#[test]
fn a_full_state_folder_loses_no_snapshot_and_is_an_error() {
    if !can_run(may_mount(), "the permission to mount a file system") {
        return;
    }
    let shop = Shop::new();
    let good = shop.good();
    shop.home.write("source/file", "second\n");
    let script = "mkdir small; mount -t tmpfs -o size=64k none small; cp -a state/. small
         mount --bind small state; cat /dev/zero > small/zeros 2> /dev/null || true
         \"$drumlin\" run shop --json > full || echo $? > code
         rm small/zeros; \"$drumlin\" run shop --json > again; \"$drumlin\" apps --json > known";
    shop.home.script(&OWN_MOUNTS, script).ok();
    let read = |file: &str| -> Value { serde_json::from_str(&shop.home.read(file)).unwrap() };
    let done = read("full")["runs"][0].take();
    assert_eq!((shop.home.read("code").trim(), done["status"].as_str()), ("1", Some("done")));
    assert!(done["error"].as_str().unwrap().contains("its state cannot be written"), "{done}");
    assert_eq!(shop.home.snapshot_ids().len(), good.snapshots.len() + 1);
    assert_eq!(shop.cat(&shop.home.text("source/file")), "second\n");
    let again = read("again")["runs"][0].take();
    assert_eq!(
        (again["status"].as_str(), &again["snapshot"]),
        (Some("unchanged"), &done["snapshot"])
    );
    let known = read("known")["apps"][0].take();
    assert_eq!(known["repositories"][0]["snapshot"], done["snapshot"]);
}

fn may_mount() -> bool {
    Home::new().script(&OWN_MOUNTS, "mkdir m; mount -t tmpfs none m").code == 0
}

#[test]
fn a_hook_that_hangs_fails_the_run_and_leaves_no_process() {
    let shop = Shop::new();
    let good = shop.good();
    shop.home.write("source/file", "second\n");
    let hook = "before = \"sleep 1000 & echo $! > child; sleep 1000\"\nhook-timeout = \"1s\"";
    shop.configure(hook);
    let began = Instant::now();
    let failed = shop.run(1);
    assert!(began.elapsed() < WAIT_MAX);
    shop.assert_failed(&failed, &good, &["hook `before`", "stopped after 1 s"]);
    let child = format!("/proc/{}/cmdline", shop.home.read("child").trim());
    wait_for(|| !fs::read_to_string(&child).unwrap_or_default().contains("sleep"));
    shop.configure("");
    shop.assert_recovers(&good);
}

#[test]
fn a_repository_that_is_away_fails_the_run_until_it_is_back() {
    let shop = Shop::new();
    let good = shop.good();
    shop.home.write("source/file", "second\n");
    let (there, away) = (shop.home.path("repo"), shop.home.path("away"));
    fs::rename(&there, &away).unwrap();
    let failed = shop.run(10);
    assert!(shop.may_pass(), "disks are plugged in again");
    fs::rename(&away, &there).unwrap();
    shop.assert_failed(&failed, &good, &["repo"]);
    shop.assert_recovers(&good);
}

#[test]
fn a_run_that_is_killed_while_it_dumps_is_told_and_made_up_for() {
    let shop = Shop::new();
    let good = shop.good();
    // More than a pack is under way.
    let lines = "[[app.shop.command]]\nname = \"dump\"\n\
         run = \"seq 3000000; touch begun; test -e go || sleep 1000; seq 9\"";
    shop.configure(lines);
    kill_in_the_middle(&shop.home, shop.home.spawn(["run", "shop"], Stdio::null()));
    assert_eq!(shop.home.snapshot_ids(), good.snapshots);
    shop.home.write("go", "");
    let next = shop.run(0);
    assert_eq!(next["status"], "done");
    assert!(next["notices"][0].as_str().unwrap().contains("did not end"), "{next}");
    assert_eq!(shop.home.snapshot_ids().len(), good.snapshots.len() + 1);
    assert_eq!(shop.cat("/dump").lines().count(), 3_000_009);
    let history = shop.home.read("state/apps/shop/runs.jsonl");
    let died: Vec<bool> = history.lines().map(|line| line.contains("it died")).collect();
    assert_eq!(died, [false, true, false]);
    assert_eq!(shop.known()["failures"], 0);
    shop.home.run(["check", "--level", "full"]).ok();
}

/// Runs what is due while the clock is off by so much; returns what it says.
fn due(shop: &Shop, clock: &str) -> Ran {
    let words = ["faketime", "-f", clock];
    Ran::of(&shop.home.wrapped(&words, ["run", "--due"]).output().unwrap()).ok()
}

#[test]
fn a_clock_that_is_set_back_runs_nothing_twice_and_stops_nothing() {
    let shop = Shop::new();
    assert!(due(&shop, "+10d").out.contains("shop: snapshot"), "a new app is due at once");
    assert!(due(&shop, "+10d").out.contains("no app is due"));
    // By an hour or two: the slot was run, and the next one comes.
    assert!(due(&shop, "+238h").out.contains("no app is due"));
    shop.home.write("source/file", "second\n");
    assert!(due(&shop, "+11d").out.contains("shop: snapshot"));
    // By eleven days: slots count from now on.
    shop.home.write("source/file", "third\n");
    assert!(due(&shop, "+0").out.contains("no app is due"));
    assert!(due(&shop, "+1d").out.contains("shop: "));
    assert!(due(&shop, "+1d").out.contains("no app is due"));
    assert_eq!(shop.home.snapshot_ids().len(), 3);
}
