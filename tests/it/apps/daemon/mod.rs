//! The daemon: schedules are kept through deaths, reloads and signals. Method: the real program
//! with runs that wait, as a user or a service manager starts and stops it.

mod limits; // how much at once
mod service; // what a service manager hears
pub(super) mod stage; // a home, and a daemon that looks often
mod upkeep; // prunes and checks by schedule

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use self::stage::{Daemon, WAITS, apps, configure, home, let_it_be_tried_again, runs, wait_until};
use crate::support::home::Home;

/// Lets the daemon look again: it runs an app that is new.
fn let_it_look(home: &Home, daemon: &Daemon, names: &[&str], lines: &str) {
    configure(home, &apps(names, lines));
    daemon.signal(Signal::HUP);
    let new = names.last().unwrap();
    wait_until("the run of a new app", || !runs(home, new).is_empty());
}

#[test]
fn an_app_that_is_due_is_run_once_and_a_reload_adds_others() {
    let home = home(&apps(&["wiki"], ""));
    let daemon = Daemon::start(&home);
    wait_until("the run", || !runs(&home, "wiki").is_empty());
    let_it_look(&home, &daemon, &["wiki", "shop"], "");
    let known = home.json(["apps"]);
    assert_eq!(known["daemon"]["running"], true, "{known}");
    daemon.stop();
    let done = runs(&home, "wiki");
    assert_eq!((done.len(), &done[0]["status"]), (1, &"done".into()), "{done:?}");
    assert!(done[0]["slot"].as_i64().is_some() && done[0]["attempt"] == 1, "{done:?}");
    assert_eq!(home.snapshot_ids().len(), 2);
    let log = home.read("log");
    assert!(log.contains("keeps the schedules of 1 app\n"), "{log}");
    assert!(
        log.contains("keeps the schedules of 2 apps") && log.contains("wiki: snapshot"),
        "{log}"
    );
    let known = home.json(["apps"]);
    assert_eq!(known["daemon"]["running"], false, "{known}");
    assert_eq!(home.run(["apps", "--healthy"]).code, 0, "it was stopped on purpose");
}

#[test]
fn a_run_that_is_killed_is_told_and_tried_again_in_its_slot() {
    let home = home(&apps(&["wiki"], WAITS));
    let daemon = Daemon::start(&home);
    wait_until("the run", || home.path("begun-wiki").exists());
    let known = home.json(["apps"]);
    assert_eq!(known["apps"][0]["running"], true, "{known}");
    let state: Value = serde_json::from_str(&home.read("state/apps/wiki/state.json")).unwrap();
    let pid = i32::try_from(state["began"]["pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    wait_until("the death", || !runs(&home, "wiki").is_empty());
    home.write("go", "");
    let known = home.json(["apps"]);
    let app = &known["apps"][0];
    assert_eq!((&app["running"], &app["status"]), (&false.into(), &"failed".into()), "{known}");
    assert!(app["last"]["error"].as_str().unwrap().contains("it died"), "{known}");
    // Two minutes pass.
    let_it_be_tried_again(&home, "wiki");
    wait_until("the second attempt", || runs(&home, "wiki").len() == 2);
    daemon.stop();
    let all = runs(&home, "wiki");
    assert_eq!((&all[1]["status"], &all[1]["attempt"]), (&"done".into(), &2.into()), "{all:?}");
    assert_eq!(all[0]["slot"], all[1]["slot"]);
    assert!(all[1]["notices"][0].as_str().unwrap().contains("did not end"), "{all:?}");
    let log = home.read("log");
    assert!(log.contains("did not end by itself: signal: 9"), "{log}");
    assert!(log.contains("it was killed, or the machine stopped"), "{log}");
}

#[test]
fn a_run_outlives_a_daemon_that_is_killed_and_is_not_made_twice() {
    let home = home(&apps(&["wiki"], WAITS));
    let mut first = Daemon::start(&home);
    wait_until("the run", || home.path("begun-wiki").exists());
    first.signal(Signal::KILL);
    first.code();
    let ill = home.run(["apps", "--healthy"]);
    assert!(ill.code == 1 && ill.err.contains("the daemon died"), "{ill:?}");
    let second = Daemon::start(&home);
    // The run is still under way: a new app may have its turn beside it.
    let_it_look(&home, &second, &["wiki", "shop"], "");
    assert!(runs(&home, "wiki").is_empty());
    home.write("go", "");
    wait_until("its end", || !runs(&home, "wiki").is_empty());
    let_it_look(&home, &second, &["wiki", "shop", "third"], "");
    second.stop();
    let all = runs(&home, "wiki");
    assert_eq!((all.len(), &all[0]["status"]), (1, &"done".into()), "{all:?}");
    assert_eq!(home.run(["apps", "--healthy"]).code, 0);
}

#[test]
fn a_broken_configuration_leaves_the_one_before_in_force() {
    let home = home(&apps(&["wiki"], ""));
    let daemon = Daemon::start(&home);
    wait_until("the run", || !runs(&home, "wiki").is_empty());
    home.write("drumlin.toml", "[app.wi");
    daemon.signal(Signal::HUP);
    let state =
        || -> Value { serde_json::from_str(&home.read("state/daemon/state.json")).unwrap() };
    wait_until("the refusal", || state()["reload_error"].is_object());
    // A run is due: it begins although no process could read that file.
    let_it_be_tried_again(&home, "wiki");
    wait_until("the next run", || runs(&home, "wiki").len() == 2);
    assert_eq!(runs(&home, "wiki")[1]["status"], "unchanged");
    configure(&home, &apps(&["wiki"], ""));
    let said = home.run(["apps"]).ok();
    assert!(said.err.contains("is not in force") && said.err.contains("drumlin.toml"), "{said:?}");
    let known = home.json(["apps"]);
    assert!(
        known["daemon"]["reload_error"].as_str().unwrap().contains("drumlin.toml:1: "),
        "{known}"
    );
    let_it_look(&home, &daemon, &["wiki", "shop"], "");
    wait_until("the reload", || state()["reload_error"].is_null());
    daemon.stop();
    let log = home.read("log");
    assert_eq!(log.matches("the configuration before stays in force").count(), 1, "{log}");
}

#[test]
fn a_configuration_by_which_nobody_could_be_told_is_refused() {
    let home = home(&apps(&["wiki"], ""));
    let daemon = Daemon::start(&home);
    let notify = "[notify]\nwebhook = \"https://h/\"\nca-file = \"/nowhere/ca.pem\"\n";
    configure(&home, &format!("{}{notify}", apps(&["wiki"], "")));
    daemon.signal(Signal::HUP);
    let state =
        || -> Value { serde_json::from_str(&home.read("state/daemon/state.json")).unwrap() };
    wait_until("the refusal", || state()["reload_error"].is_object());
    assert!(state()["reload_error"]["error"].as_str().unwrap().contains("/nowhere/ca.pem"));
    daemon.stop();
    let refused = home.run(["daemon"]).code(2);
    assert!(refused.err.contains("/nowhere/ca.pem"), "{refused:?}");
}

#[test]
fn a_run_that_a_killed_daemon_left_counts_among_those_of_the_next() {
    let lines = apps(&["wiki"], WAITS).replace("[daemon]\n", "[daemon]\nparallel = 1\n");
    let home = home(&lines);
    let mut first = Daemon::start(&home);
    wait_until("the run", || home.path("begun-wiki").exists());
    first.signal(Signal::KILL);
    first.code();
    let both = apps(&["wiki", "shop"], WAITS).replace("[daemon]\n", "[daemon]\nparallel = 1\n");
    configure(&home, &both);
    let second = Daemon::start(&home);
    let looked = || -> Value {
        let text = fs::read_to_string(home.path("state/apps/shop/state.json"));
        text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
    };
    wait_until("a look", || looked()["schedule"].is_array());
    std::thread::sleep(Duration::from_millis(300));
    assert!(!home.path("begun-shop").exists(), "its turn comes after the other");
    home.write("go", "");
    wait_until("its turn", || !runs(&home, "shop").is_empty());
    second.stop();
    assert_eq!(runs(&home, "wiki").len(), 1);
}

#[test]
fn a_daemon_that_stops_stops_its_runs_which_are_tried_again() {
    let home = home(&apps(&["wiki"], WAITS));
    let mut daemon = Daemon::start(&home);
    wait_until("the run", || home.path("begun-wiki").exists());
    daemon.signal(Signal::TERM);
    // A second one changes nothing, unless it is gone already.
    let _ = kill_process(Pid::from_child(&daemon.child), Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    let all = runs(&home, "wiki");
    assert_eq!((all.len(), &all[0]["status"]), (1, &"failed".into()), "{all:?}");
    assert!(all[0]["is_stopped"] == true && all[0]["is_transient"] == true, "{all:?}");
    home.write("go", "");
    let_it_be_tried_again(&home, "wiki");
    let daemon = Daemon::start(&home);
    wait_until("the second attempt", || runs(&home, "wiki").len() == 2);
    daemon.stop();
    assert_eq!(runs(&home, "wiki")[1]["status"], "done");
}

#[test]
fn a_run_that_does_not_stop_is_ended() {
    let lines = format!("{WAITS}finally = \"touch ends; while true; do sleep 0.05; done\"\n");
    let text = apps(&["wiki"], &lines).replace("\"60s\"", "\"1s\"");
    let home = home(&text);
    let mut daemon = Daemon::start(&home);
    wait_until("the run", || home.path("begun-wiki").exists());
    daemon.signal(Signal::TERM);
    wait_until("its last hook", || home.path("ends").exists());
    assert_eq!(daemon.code(), Some(0));
    assert!(home.read("log").contains("did not stop in time, and is killed: wiki"));
    let known = home.json(["apps"]);
    assert_eq!(known["apps"][0]["running"], false, "{known}");
    assert!(known["apps"][0]["last"]["error"].as_str().unwrap().contains("it died"), "{known}");
}

#[test]
fn a_second_daemon_does_not_start() {
    let home = home(&apps(&["wiki"], ""));
    let daemon = Daemon::start(&home);
    wait_until("the run", || !runs(&home, "wiki").is_empty());
    let second = home.run(["daemon"]);
    let pid = daemon.child.id().to_string();
    assert!(second.code == 11 && second.err.contains(&pid), "{second:?}");
    daemon.stop();
    home.write("drumlin.toml", "[app.wi");
    assert_eq!(home.run(["daemon"]).code, 2, "there is no configuration before");
}

#[test]
fn a_state_that_cannot_be_read_stops_no_other_app() {
    let home = home(&apps(&["shop", "wiki"], ""));
    fs::create_dir_all(home.path("state/apps/shop")).unwrap();
    home.write("state/apps/shop/state.json", "{");
    let due = home.run(["run", "--due"]);
    assert!(due.code == 1 && due.err.contains("is no state of an app"), "{due:?}");
    assert!(due.out.contains("wiki: snapshot"), "{due:?}");
    let daemon = Daemon::start(&home);
    let_it_look(&home, &daemon, &["shop", "wiki", "new"], "");
    daemon.stop();
    let log = home.read("log");
    let said: Vec<&str> = log.lines().filter(|line| line.contains("is no state")).collect();
    // The loop says it, and those who would tell how the app is.
    assert!(said.len() == 2 && said[0] != said[1], "{log}");
}
