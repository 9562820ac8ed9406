//! Goal: metrics tell what runs did: in the textfile, in a Pushgateway, after deaths, while several
//! processes write. Method: the real program with a configuration of some apps; a reader that opens
//! the file all the time; SIGKILL; a real Pushgateway.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::gateway::Gateway;
use super::read::{Series, read};
use super::{promtool, wait_for};
use crate::support::home::Home;

/// A home with a repository and a textfile.
struct Place {
    home: Home,
}

impl Place {
    /// `lines` are all of the configuration but the repository.
    fn new(lines: &str) -> Self {
        let home = Home::new()
            .with("DRUMLIN_CONFIG", "drumlin.toml")
            .with("DRUMLIN_STATE_DIR", "state")
            .with("TZ", "UTC");
        home.write("source/file", "first\n");
        home.write("password", "secret\n");
        fs::set_permissions(home.path("password"), PermissionsExt::from_mode(0o600)).unwrap();
        let place = Self { home };
        place.configure(lines);
        place.home.run(["init"]).ok();
        place
    }

    fn configure(&self, lines: &str) {
        let text = format!(
            "repository.box = {{ url = \"repo\", password-file = \"password\" }}\n\
             metrics.textfile = \"drumlin.prom\"\n{lines}\n"
        );
        self.home.write("drumlin.toml", text);
    }

    /// Runs an app, which ends with this code; returns its report.
    fn run(&self, app: &str, code: i32) -> Value {
        let mut document = self.home.run(["run", app, "--json"]).code(code).json();
        document["runs"][0].take()
    }

    /// Starts a run and waits until its hook has made a file.
    fn start(&self, app: &str, file: &str) -> Child {
        let child = self.home.spawn(["run", app], Stdio::null());
        wait_for("the hook", || self.home.path(file).exists().then_some(()));
        child
    }

    fn series(&self) -> Vec<Series> {
        read(&self.home.read("drumlin.prom"))
    }

    /// Returns the value of a series, by its name and the values of its labels.
    #[track_caller]
    fn value(&self, name: &str, labels: &[&str]) -> f64 {
        let all = self.series();
        let is_it = |series: &&Series| {
            let own: Vec<&str> = series.labels.iter().map(|(_, content)| &content[..]).collect();
            series.name == format!("drumlin_{name}") && own == labels
        };
        let found = all.iter().find(is_it);
        found.unwrap_or_else(|| panic!("no {name} of {labels:?}")).value
    }
}

const WIKI: &str = "[app.wiki]\npaths = \"source\"\nafter = \"true\"\nfinally = \"exit 7\"\n\
                    schedule = \"daily\"\n\
                    [[app.wiki.command]]\nname = \"facts\"\nrun = \"seq 20000\"\n";

#[test]
fn the_textfile_tells_of_every_run() {
    let place = Place::new(WIKI);
    place.run("wiki", 0);
    assert_eq!(place.value("runs_total", &["wiki", "done"]), 1.0);
    assert_eq!(place.value("last_run_status", &["wiki", "done"]), 1.0);
    assert_eq!(place.value("hook_failures_total", &["wiki", "finally"]), 1.0);
    assert_eq!(place.value("hook_failures_total", &["wiki", "after"]), 0.0);
    assert_eq!(place.value("dump_bytes", &["wiki", "/facts"]), 108_894.0);
    assert!(place.value("dump_duration_seconds", &["wiki", "/facts"]) > 0.0);
    assert_eq!(place.value("source_files", &["wiki"]), 2.0);
    assert_eq!(place.value("source_bytes", &["wiki"]), 108_900.0);
    assert_eq!(place.value("running", &["wiki"]), 0.0);
    assert_eq!(place.value("repository_reachable", &["box"]), 1.0);
    assert!(place.value("next_run_timestamp_seconds", &["wiki"]) > super::now_s() as f64);
    let added = place.value("added_bytes_total", &["wiki", "box"]);
    let requests = place.value("requests_total", &["box", "create"]);
    let good_s = place.value("last_success_timestamp_seconds", &["wiki", "box"]);
    let snapshot_s = place.value("last_snapshot_timestamp_seconds", &["wiki", "box"]);
    assert!(added > 1_000.0 && requests > 2.0 && snapshot_s > 0.0 && good_s >= snapshot_s);
    let of_file = fs::metadata(place.home.path("drumlin.prom")).unwrap();
    assert_eq!(of_file.mode() & 0o777, 0o644);
    let says = promtool(&["check", "metrics"], &place.home.read("drumlin.prom"));
    assert_eq!(says, (true, String::new()));

    assert_eq!(place.run("wiki", 0)["status"], "unchanged");
    assert_eq!(place.value("runs_total", &["wiki", "unchanged"]), 1.0);
    assert_eq!(place.value("added_bytes", &["wiki", "box"]), 0.0);
    assert_eq!(place.value("added_bytes_total", &["wiki", "box"]), added);
    assert_eq!(place.value("requests_total", &["box", "create"]), requests);
    assert_eq!(place.value("last_snapshot_timestamp_seconds", &["wiki", "box"]), snapshot_s);

    place.configure(&WIKI.replace("seq 20000", "exit 3"));
    place.run("wiki", 1);
    assert_eq!(place.value("runs_total", &["wiki", "failed"]), 1.0);
    assert_eq!(place.value("last_run_status", &["wiki", "failed"]), 1.0);
    assert_eq!(place.value("consecutive_failures", &["wiki"]), 1.0);
    assert_eq!(place.value("hook_failures_total", &["wiki", "finally"]), 3.0);
    assert!(place.value("last_success_timestamp_seconds", &["wiki", "box"]) >= good_s);
    fs::rename(place.home.path("repo"), place.home.path("away")).unwrap();
    place.run("wiki", 10);
    assert_eq!(place.value("repository_reachable", &["box"]), 0.0);
    assert_eq!(place.value("consecutive_failures", &["wiki"]), 2.0);
    fs::rename(place.home.path("away"), place.home.path("repo")).unwrap();
    place.configure(WIKI);
    place.run("wiki", 0);
    assert_eq!(place.value("consecutive_failures", &["wiki"]), 0.0);
    assert_eq!(place.value("repository_reachable", &["box"]), 1.0);
}

#[test]
fn checks_and_prunes_are_told() {
    let place = Place::new("[app.wiki]\npaths = \"source\"\n");
    // Of a few bytes no pack with content would be made.
    place.home.write("source/large", (0..40_000).map(|n| format!("{n} ")).collect::<String>());
    place.run("wiki", 0);
    assert_eq!(place.value("last_check_timestamp_seconds", &["box"]), 0.0);
    place.home.run(["check", "--level", "full"]).ok();
    place.home.run(["prune"]).ok();
    place.run("wiki", 0);
    let is_recent = |name: &str| super::now_s() as f64 - place.value(name, &["box"]) < 60.0;
    assert!(is_recent("last_check_timestamp_seconds"));
    assert!(is_recent("last_prune_timestamp_seconds"));
    assert_eq!(place.value("damaged", &["box"]), 0.0);
    assert_eq!(place.value("verified_ratio", &["box"]), 1.0);
    assert!(place.value("repository_bytes", &["box"]) > 1_000.0);
}

#[test]
fn counters_survive_a_death_in_the_middle_of_a_run() {
    let hook = "before = \"touch begun; test ! -e slow || sleep 60\"";
    let place = Place::new(&format!(
        "[app.wiki]\npaths = \"source\"\n{hook}\n[app.shop]\npaths = \"password\"\n"
    ));
    place.run("wiki", 0);
    place.run("shop", 0);
    let added = place.value("added_bytes_total", &["wiki", "box"]);
    fs::remove_file(place.home.path("begun")).unwrap();
    place.home.write("slow", "");
    let mut run = place.start("wiki", "begun");
    place.run("shop", 0);
    assert_eq!(place.value("running", &["wiki"]), 1.0);
    assert_eq!(place.value("runs_total", &["wiki", "done"]), 1.0);
    run.kill().unwrap();
    run.wait().unwrap();
    place.run("shop", 0);
    assert_eq!(place.value("running", &["wiki"]), 0.0, "it is dead");
    assert_eq!(place.value("added_bytes_total", &["wiki", "box"]), added);
    fs::remove_file(place.home.path("slow")).unwrap();
    place.home.write("source/file", "second\n");
    place.run("wiki", 0);
    assert_eq!(place.value("runs_total", &["wiki", "failed"]), 1.0, "the death is counted once");
    assert_eq!(place.value("runs_total", &["wiki", "done"]), 2.0);
    assert_eq!(place.value("runs_total", &["shop", "unchanged"]), 2.0);
    assert!(place.value("added_bytes_total", &["wiki", "box"]) > added);
}

#[test]
fn runs_that_end_together_leave_whole_files_and_lines() {
    let apps: Vec<String> = (0..6).map(|number| format!("a{number}")).collect();
    let lines: String =
        apps.iter().map(|app| format!("[app.{app}]\npaths = \"source\"\n")).collect();
    let place = Place::new(&format!("log = {{ file = \"log\", format = \"json\" }}\n{lines}"));
    place.run("a0", 0);
    let (file, has_ended) = (place.home.path("drumlin.prom"), AtomicBool::new(false));
    let whole = place.series().len();
    let reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !has_ended.load(Ordering::Relaxed) {
                let text = fs::read_to_string(&file).unwrap();
                let names = |app: &String| text.contains(&format!("enabled{{app=\"{app}\"}} 1\n"));
                assert!(text.ends_with('\n') && apps.iter().all(names), "half a file:\n{text}");
                reads += 1;
            }
            reads
        });
        let start = |app: &String| place.home.spawn(["run", app], Stdio::null());
        let runs: Vec<Child> = apps.iter().map(start).collect();
        for run in runs {
            let output = run.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        has_ended.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    // The last writer saw the ends of all others.
    for app in &apps[1..] {
        let count = |status| place.value("runs_total", &[app, status]);
        assert_eq!(count("done") + count("unchanged"), 1.0, "{app}");
    }
    assert!(reads > 10 && place.series().len() > whole, "{reads} reads");
    let log = place.home.read("log");
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |event: &str| events.iter().filter(|line| line["event"] == event).count();
    assert_eq!((count("began"), count("ended")), (7, 7), "{log}");
}

#[test]
fn the_time_of_the_file_is_new_when_nothing_was_due() {
    let place = Place::new("[app.wiki]\npaths = \"source\"\nschedule = \"every 1h\"\n");
    assert!(place.home.run(["run", "--due"]).ok().out.contains("wiki: snapshot"));
    let file = place.home.path("drumlin.prom");
    fs::remove_file(&file).unwrap();
    place.home.run(["run", "wiki", "--dry-run"]).ok();
    assert!(!file.exists(), "a dry run writes nothing");
    assert!(place.home.run(["run", "--due"]).ok().out.contains("no app is due"));
    assert!(super::now_s() as f64 - place.value("metrics_timestamp_seconds", &[]) < 60.0);
    assert_eq!(place.value("runs_total", &["wiki", "done"]), 1.0);
}

#[test]
fn what_cannot_be_written_or_pushed_is_a_notice() {
    let lines = "metrics.push = \"http://ada:geheim@127.0.0.1:1\"\n\
                 [app.wiki]\npaths = \"source\"\n";
    let place = Place::new(lines);
    let config = place.home.read("drumlin.toml").replace("drumlin.prom", "missing/drumlin.prom");
    place.home.write("drumlin.toml", config);
    let done = place.run("wiki", 0);
    assert_eq!(done["status"], "done");
    let notices = done["notices"].to_string();
    assert!(notices.contains("missing/drumlin.prom") && notices.contains("cannot push"), "{done}");
    assert!(!notices.contains("geheim"), "{done}");
    let said = place.home.run(["run", "wiki"]).ok();
    assert!(said.err.contains("warning: wiki: cannot push metrics to http://127.0.0.1:1"));
    let idle = place.home.run(["run", "--due"]).ok();
    assert!(idle.out.contains("no app is due") && idle.err.contains("cannot write metrics"));
}

#[test]
fn a_pushgateway_has_the_group_of_each_app() {
    let gateway = Gateway::start();
    let apps = "[app.wiki]\npaths = \"source\"\n[app.shop]\npaths = \"missing\"\n";
    let place = Place::new(&format!("metrics.push = {:?}\n{apps}", gateway.url));
    assert_eq!(place.run("wiki", 0)["notices"], Value::Array(Vec::new()));
    let ran = place.home.run(["run"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    let samples = gateway.samples();
    let value = |name: &str, app: &str, more: [&str; 2]| {
        let found = samples.iter().find(|(labels, _)| {
            let has = |label: &str, content: &str| labels.get(label).is_some_and(|l| l == content);
            has("__name__", name)
                && has("app", app)
                && has("job", "drumlin")
                && has(more[0], more[1])
        });
        found.unwrap_or_else(|| panic!("no {name} of {app}: {samples:?}")).1
    };
    assert_eq!(value("drumlin_runs_total", "wiki", ["status", "done"]), 1.0);
    assert_eq!(value("drumlin_runs_total", "wiki", ["status", "unchanged"]), 1.0);
    assert_eq!(value("drumlin_runs_total", "shop", ["status", "done"]), 0.0);
    assert!(value("drumlin_requests_total", "wiki", ["operation", "create"]) > 0.0);
    assert_eq!(gateway.groups().unwrap().len(), 2);
}
