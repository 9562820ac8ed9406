//! How much is done at once, by the daemon and by `run`: what the runs themselves record.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::stage::{Daemon, WAITS, apps, configure, home, runs, wait_until};

/// Hooks that record when a run begins and ends.
const RECORDS: &str = "before = \"echo begin $DRUMLIN_APP >> record; sleep 0.1\"\n\
                       finally = \"echo end $DRUMLIN_APP >> record\"\n";

/// Returns the most runs at once, among those whose name begins so.
fn most_at_once(record: &str, prefix: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in record.lines() {
        let (event, app) = line.split_once(' ').unwrap();
        if app.starts_with(prefix) {
            now = if event == "begin" { now + 1 } else { now - 1 };
            most = most.max(now);
        }
    }
    most
}

#[test]
fn many_apps_that_are_due_at_once_keep_to_the_limits() {
    let (near, far): (Vec<String>, Vec<String>) =
        (1..=4).map(|n| (format!("near{n}"), format!("far{n}"))).unzip();
    let idle: Vec<String> = (0..40).map(|n| format!("idle{n}")).collect();
    let names = |names: &[String], lines: &str| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        apps(&names, lines).split_once("[app.").map(|(_, apps)| format!("[app.{apps}")).unwrap()
    };
    let server = "repository.far = { url = \"s3://bucket/x\", endpoint = \"http://127.0.0.1:1\", \
                  region = \"x\", allow-http = true, retry = \"0s\" }\n";
    let far_lines = format!("{RECORDS}repository = \"far\"\n");
    let text = format!(
        "[daemon]\nsettle = \"0s\"\nparallel = 4\n{}{}{}",
        names(&near, RECORDS),
        names(&far, &far_lines),
        names(&idle, "enabled = false\n")
    );
    let home = home("").with("AWS_ACCESS_KEY_ID", "x").with("AWS_SECRET_ACCESS_KEY", "x");
    configure(&home, &text.replace("[daemon]", &format!("{server}[daemon]")));
    let daemon = Daemon::start(&home);
    let all = || near.iter().chain(&far);
    wait_until("all runs", || all().all(|app| !runs(&home, app).is_empty()));
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib: u64 = rss.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 20 << 10, "the daemon has {kib} KiB of memory");
    daemon.stop();
    let record = home.read("record");
    let mut begun = BTreeMap::new();
    for app in record.lines().filter_map(|line| line.strip_prefix("begin ")) {
        *begun.entry(app).or_insert(0) += 1;
    }
    assert_eq!((begun.len(), begun.values().max()), (8, Some(&1)), "{record}");
    assert!((3..=4).contains(&most_at_once(&record, "")), "{record}");
    assert_eq!(most_at_once(&record, "far"), 1, "one line is not shared: {record}");
    assert!(most_at_once(&record, "near") > 1, "a folder is: {record}");
}

#[test]
fn run_makes_several_at_once_and_one_document_in_order() {
    // Each waits for the other.
    let meet = "before = \"touch met-$DRUMLIN_APP; until test -e met-a -a -e met-b; do sleep 0.02; done\"\n";
    let home = home(&apps(&["b", "a"], meet));
    let document = home.json(["run"]);
    let names = |document: &Value| -> Vec<String> {
        let runs = document["runs"].as_array().unwrap().iter();
        runs.map(|run| run["app"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&document), ["a", "b"], "{document}");
    assert_eq!((document["runs"][0]["slot"].clone(), home.snapshot_ids().len()), (Value::Null, 2));
    // Their slots are still to be run.
    let due = home.json(["run", "--due"]);
    assert_eq!((names(&due).len(), &due["runs"][1]["status"]), (2, &"unchanged".into()), "{due}");
    assert!(due["runs"][0]["slot"].as_str().is_some(), "{due}");
    assert!(home.run(["run", "--due"]).ok().out.contains("no app is due"));
    let said = home.run(["run"]).ok();
    assert_eq!(said.out.matches("nothing has changed").count(), 2, "{said:?}");
}

#[test]
fn the_worst_of_several_runs_decides_and_the_others_are_made() {
    let mut text = apps(&["a", "b", "c"], "");
    text.push_str("[app.d]\npaths = \"source\"\nbefore = \"exit 9\"\n");
    let home = home(&text);
    let ran = home.run(["run"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("app d failed") && ran.out.lines().count() == 3, "{ran:?}");
    let partial = text.replace("[app.d]\npaths = \"source\"\nbefore = \"exit 9\"\n", "");
    let partial =
        partial.replace("[app.c]\npaths = \"source\"", "[app.c]\npaths = [\"source\", \"no\"]");
    configure(&home, &partial);
    let ran = home.run(["run"]);
    assert!(ran.code == 3 && ran.err.contains("no"), "{ran:?}");
    assert_eq!(home.run(["run", "a", "x"]).code, 2);
}

#[test]
fn a_signal_stops_all_runs() {
    let home = home(&apps(&["a", "b"], WAITS));
    let parent = home.spawn(["run"], Stdio::null());
    wait_until("both", || home.path("begun-a").exists() && home.path("begun-b").exists());
    let second = home.run(["run", "a"]);
    assert_eq!(second.code, 11, "{second:?}");
    kill_process(Pid::from_child(&parent), Signal::INT).unwrap();
    assert_eq!(parent.wait_with_output().unwrap().status.code(), Some(130));
    for app in ["a", "b"] {
        let all = runs(&home, app);
        assert!(all.len() == 1 && all[0]["is_stopped"] == true, "{all:?}");
    }
}
