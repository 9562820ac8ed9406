//! What no run tells of a repository: damage that a check found, a prune or a check that fails.

use std::fs;
use std::path::PathBuf;

use super::sinks::{HttpSink, Manner};
use super::{change, home, run_due, shift};
use crate::support::home::Home;

/// Returns a home whose repository is kept every hour, with a pack of content, and a webhook.
fn kept() -> (Home, HttpSink) {
    let (home, sink) = (home(), HttpSink::start(Manner::Accepts));
    let text = format!(
        "repository.box = {{ url = \"repo\", key-file = \"test.key\", prune = \"every 1h\", \
         check = {{ schedule = \"every 1h\", level = \"full\" }} }}\n\
         defaults = {{ repository = \"box\" }}\nnotify = {{ webhook = \"{}\" }}\n\
         [app.wiki]\npaths = \"source\"\n",
        sink.url("/hook")
    );
    home.write("drumlin.toml", text);
    home.write("source/large", "0123456789".repeat(30_000));
    home.run(["run", "wiki"]).ok();
    run_due(&home);
    (home, sink)
}

/// Makes a slot pass.
fn let_a_slot_pass(home: &Home, command: &str) {
    let file = format!("state/repositories/box/{command}/state.json");
    change(home, &file, |state| shift(&mut state["settled_s"], 3_600));
}

/// Damages a pack of content; returns its path, and what was in it.
fn damage(home: &Home) -> (PathBuf, Vec<u8>) {
    let all = home.tree("repo");
    let (name, content) = all.into_iter().find(|(name, _)| name.starts_with("data/")).unwrap();
    let path = home.path(&format!("repo/{name}"));
    fs::remove_file(&path).unwrap();
    fs::write(&path, vec![0; content.len()]).unwrap();
    (path, content)
}

#[test]
fn damage_is_told_of_a_repository_without_apps() {
    let (home, sink) = kept();
    let text = home.read("drumlin.toml");
    home.write("drumlin.toml", text.split("[app.wiki]").next().unwrap());
    damage(&home);
    assert_eq!(home.run(["check", "--repo", "box", "--level", "full"]).code, 4);
    run_due(&home);
    assert_eq!(sink.events(), ["- damage"]);
}

#[test]
fn damage_that_a_check_finds_is_told_until_one_as_thorough_finds_none() {
    let (home, sink) = kept();
    assert!(sink.messages().is_empty());
    let (path, content) = damage(&home);
    let_a_slot_pass(&home, "check");
    assert_eq!(home.run(["run", "--due"]).code, 1);
    run_due(&home);
    assert_eq!(sink.events(), ["- damage"]);
    let message = &sink.messages()[0];
    assert_eq!(message["target"], "box");
    let body = message["body"].as_str().unwrap();
    assert!(body.contains("objects damaged or missing") && body.contains("check` names"), "{body}");
    assert!(home.run(["apps", "--healthy"]).code == 1);
    // What reads less says nothing about it.
    home.run(["check", "--repo", "box", "--level", "quick"]).ok();
    run_due(&home);
    assert_eq!(sink.events().len(), 1);
    fs::remove_file(&path).unwrap();
    fs::write(&path, &content).unwrap();
    home.run(["check", "--repo", "box", "--level", "full"]).ok();
    run_due(&home);
    assert_eq!(sink.events(), ["- damage", "- recovered"]);
    assert!(sink.messages()[1]["subject"].as_str().unwrap().contains("no damage seen in box"));
}

#[test]
fn a_prune_that_is_given_up_is_told_once_and_its_recovery_too() {
    let (home, sink) = kept();
    let key = home.read("test.key");
    home.write("test.key", "not a key");
    let_a_slot_pass(&home, "prune");
    let due = home.run(["run", "--due"]);
    assert_eq!(due.code, 1, "{due:?}");
    run_due(&home);
    assert_eq!(sink.events(), ["- prune-failed"]);
    let body = sink.messages()[0]["body"].as_str().unwrap().to_owned();
    assert!(body.contains("prune of box failed") && body.contains("error: "), "{body}");
    home.write("test.key", key);
    let_a_slot_pass(&home, "prune");
    run_due(&home);
    assert_eq!(sink.events(), ["- prune-failed", "- recovered"]);
}
