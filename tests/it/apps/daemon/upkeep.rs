//! Prunes and checks by schedule. Method: slots that have passed, and what the commands leave.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use super::stage::{Daemon, WAITS, apps, home, make_earlier, wait_until};
use crate::support::home::Home;

/// Returns a home whose repository is pruned and checked every hour.
fn kept_home(lines: &str) -> Home {
    let home = home(lines);
    let text = home.read("drumlin.toml").replace(
        "{ url = \"repo\" }",
        "{ url = \"repo\", prune = \"every 1h\", check = { schedule = \"every 1h\", level = \"full\" } }",
    );
    home.write("drumlin.toml", text);
    home
}

fn upkeep(home: &Home, command: &str) -> Value {
    let known: Value = serde_json::from_str(&home.run(["apps", "--json"]).out).unwrap();
    let all = known["upkeep"].as_array().unwrap();
    all.iter().find(|one| one["command"] == command).unwrap().clone()
}

/// Makes a slot pass: one before now is the newest that is settled.
fn let_a_slot_pass(home: &Home, command: &str) {
    let file = format!("state/repositories/box/{command}/state.json");
    let mut state: Value = serde_json::from_str(&home.read(&file)).unwrap();
    make_earlier(&mut state["settled_s"], 3_600);
    home.write(&format!("{file}-changed"), state.to_string());
    fs::rename(home.path(&format!("{file}-changed")), home.path(&file)).unwrap();
}

#[test]
fn a_repository_is_kept_by_run_due_from_its_first_slot_on() {
    let home = kept_home(&apps(&["wiki"], ""));
    // So much has a pack of its own.
    home.write("source/large", "0123456789".repeat(30_000));
    home.run(["run", "wiki"]).ok();
    assert!(home.run(["run", "--due"]).ok().out.contains("nothing has changed"));
    assert_eq!(upkeep(&home, "prune")["status"], Value::Null, "it waits for its slot");
    let_a_slot_pass(&home, "prune");
    let_a_slot_pass(&home, "check");
    let due = home.run(["run", "--due", "--json"]).ok();
    assert_eq!(due.json(), json!({ "runs": [] }), "{due:?}");
    assert!(due.err.contains("full"), "the check says what it found: {due:?}");
    for command in ["prune", "check"] {
        let done = upkeep(&home, command);
        assert_eq!((&done["status"], &done["failures"]), (&"done".into(), &0.into()), "{done}");
    }
    assert!(home.run(["run", "--due"]).ok().out.contains("no app is due"));
    // Damage is found, stays told, and is not searched for again and again.
    let pack = home.tree("repo").into_iter().find(|(name, _)| name.starts_with("data/")).unwrap();
    let path = home.path(&format!("repo/{}", pack.0));
    fs::remove_file(&path).unwrap();
    fs::write(&path, vec![0; pack.1.len()]).unwrap();
    let_a_slot_pass(&home, "check");
    assert_eq!(home.run(["run", "--due"]).code, 1);
    assert_eq!(home.run(["run", "--due"]).code, 0);
    let ill = home.run(["apps", "--healthy"]);
    assert!(ill.code == 1 && ill.err.contains("the last check of box: damage"), "{ill:?}");
}

#[test]
fn a_prune_waits_for_the_end_of_runs_and_is_tried_again_after_its_death() {
    let home = kept_home(&apps(&["wiki"], WAITS));
    home.write("go", "");
    home.run(["run", "--due"]).ok();
    fs::remove_file(home.path("go")).unwrap();
    fs::remove_file(home.path("begun-wiki")).unwrap();
    let by_hand = home.spawn(["run", "wiki"], Stdio::null());
    wait_until("the run", || home.path("begun-wiki").exists());
    let_a_slot_pass(&home, "prune");
    let daemon = Daemon::start(&home);
    let looked = home.run(["run", "--due"]).ok();
    assert!(looked.out.contains("no app is due"), "{looked:?}");
    home.write("go", "");
    assert!(by_hand.wait_with_output().unwrap().status.success());
    wait_until("the prune", || upkeep(&home, "prune")["status"] == "done");
    daemon.stop();
    // A prune that began and died.
    let file = "state/repositories/box/prune/state.json";
    let mut state: Value = serde_json::from_str(&home.read(file)).unwrap();
    let slot_s = state["settled_s"].clone();
    state["began"] =
        json!({ "run": "r", "slot_s": slot_s, "attempt": 1, "at_s": slot_s, "pid": 1 });
    make_earlier(&mut state["began"]["at_s"], 7_200);
    home.write(file, state.to_string());
    assert_eq!(upkeep(&home, "prune")["status"], "failed");
    let again = home.run(["run", "--due"]).ok();
    assert!(again.err.contains("box/prune: the run that began as r did not end"), "{again:?}");
    let done = upkeep(&home, "prune");
    assert_eq!((&done["status"], &done["running"]), (&"done".into(), &false.into()), "{done}");
}
