//! Logs of runs: a line an event in the file of `[log]`, everything that programs say in the log of
//! a run, and priorities for the journal. Method: the real program with a configuration of one app.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use super::run::with_configuration;
use crate::support::home::{Home, Ran};

/// `lines` end in the section of the app.
fn home(lines: &str) -> Home {
    with_configuration(&configuration(lines))
}

fn configure(home: &Home, lines: &str) {
    home.write("drumlin.toml", configuration(lines));
}

fn configuration(lines: &str) -> String {
    format!("repository.box = {{ url = \"repo\", password-file = \"password\" }}\n{lines}\n")
}

const APP: &str = "[app.wiki]\npaths = \"source\"\n";

/// Returns the logs of runs: their names and texts.
fn run_logs(home: &Home) -> Vec<(String, String)> {
    let mut logs: Vec<(String, String)> = home
        .tree("state/apps/wiki/log")
        .into_iter()
        .map(|(name, text)| (name, String::from_utf8(text).unwrap()))
        .collect();
    logs.sort();
    logs
}

#[test]
fn each_event_is_a_line_of_text() {
    let lines = format!("log = {{ file = \"log\", level = \"debug\" }}\n{APP}");
    let command = "[[app.wiki.command]]\nname = \"facts\"\nrun = \"seq 9\"\n";
    let home = home(&format!("{lines}before = \"true\"\n{command}"));
    home.run(["run", "wiki"]).ok();
    let log = home.read("log");
    let ends: Vec<&str> = log.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    assert_eq!(ends.len(), 4, "{log}");
    assert!(ends[0].starts_with("info wiki: run 2") && ends[0].ends_with("began"), "{log}");
    assert!(ends[1].starts_with("debug wiki: hook `before` ended after "), "{log}");
    assert!(ends[2].starts_with("debug wiki: dumped /facts: 18 B, "), "{log}");
    assert!(ends[3].starts_with("info wiki: snapshot "), "{log}");
    assert_eq!(fs::metadata(home.path("log")).unwrap().mode() & 0o777, 0o640);
    fs::remove_file(home.path("log")).unwrap();
    home.run(["run", "wiki", "--dry-run"]).ok();
    assert!(!home.path("log").exists(), "a dry run logs nothing");
    let quiet = lines.replace("debug", "warning");
    configure(&home, &format!("{quiet}after = \"echo no >&2; exit 3\"\n{command}"));
    home.run(["run", "wiki"]).ok();
    let log = home.read("log");
    assert_eq!(log.lines().count(), 2, "{log}");
    assert!(log.contains("warning wiki: hook `after` failed with code 3\n"), "{log}");
    assert!(log.contains("warning wiki: hook `after`: ") && log.contains("no\n"), "{log}");
}

#[test]
fn each_event_is_an_object_with_the_fields_of_its_run() {
    let lines = format!("log = {{ file = \"log\", format = \"json\" }}\n{APP}");
    let home = home(&lines);
    let told = home.run(["run", "wiki", "--json"]).ok().json()["runs"][0].take();
    let failing = "before = \"echo no answer of https://u:geheim@h/?key=geheim >&2; exit 4\"";
    configure(&home, &format!("{lines}{failing}"));
    home.run(["run", "wiki"]).code(1);
    let log = home.read("log");
    assert!(!log.contains("geheim") && log.contains("https://h/"), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["began", "ended", "began", "hook-failed", "ended"], "{log}");
    for (name, value) in told.as_object().unwrap() {
        assert_eq!(&lines[1][name], value, "{name}");
    }
    assert_eq!((&lines[1]["level"], &lines[4]["level"]), (&"info".into(), &"error".into()));
    assert_eq!((&lines[3]["hook"], &lines[3]["code"]), (&"before".into(), &4.into()));
    assert_eq!((&lines[4]["status"], &lines[4]["app"]), (&"failed".into(), &"wiki".into()));
}

#[test]
fn a_log_that_cannot_be_written_is_a_warning() {
    let home = home(&format!("log.file = \"missing/log\"\n{APP}"));
    let ran = home.run(["run", "wiki"]).ok();
    assert!(ran.err.contains("warning: cannot write to the log: "), "{ran:?}");
}

#[test]
fn what_programs_say_is_in_the_log_of_their_run() {
    let command = "[[app.wiki.command]]\nname = \"facts\"\n";
    let run = format!("{APP}after = \"echo of a hook >&2\"\n{command}");
    let home = home(&format!("{run}run = \"echo slow query >&2; seq 9\""));
    home.run(["run", "wiki"]).ok();
    let logs = run_logs(&home);
    assert_eq!(logs.len(), 1, "{logs:?}");
    let (name, text) = &logs[0];
    let told = home.run(["apps", "--json"]).ok().json()["apps"][0]["last"]["run"].take();
    assert_eq!(name, &format!("{}.log", told.as_str().unwrap()));
    let lines: Vec<&str> = text.lines().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(lines, ["slow query", "of a hook"], "{text}");
    let file = home.path("state/apps/wiki/log").join(name);
    assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);

    let parts = ["sh -c 'echo first >&2; seq 9'", "sh -c 'cat > /dev/null; ls /no/such'"];
    let pipe = format!("pipe = {parts:?}");
    // The parts of a pipe, and a failure; nothing of a silent run.
    configure(&home, &format!("{run}{pipe}"));
    home.run(["run", "wiki"]).code(1);
    let logs = run_logs(&home);
    assert!(logs.len() == 2 && logs[1].1.contains("sh: first\n"), "{logs:?}");
    assert!(logs[1].1.contains("ls: ") && logs[1].1.contains("/no/such"), "{logs:?}");
    configure(&home, APP);
    home.run(["run", "wiki"]).ok();
    assert_eq!(run_logs(&home).len(), 2);
}

#[test]
fn logs_of_runs_are_limited_in_size_and_number() {
    let command = "[[app.wiki.command]]\nname = \"facts\"\nrun = \"seq 400000 >&2; seq 9\"\n";
    let home = home(&format!("{APP}{command}"));
    for number in 10..35 {
        home.write(&format!("state/apps/wiki/log/20200101T0000{number}Z-1.log"), "old\n");
    }
    home.write("state/apps/wiki/log/notes.txt", "not ours\n");
    home.run(["run", "wiki"]).ok();
    let logs = run_logs(&home);
    assert_eq!(logs.len(), 21, "20 and a file of the user's");
    assert_eq!(logs[0].0, "20200101T000016Z-1.log");
    let (_, text) = logs.iter().find(|(_, text)| text.len() > 1_000).unwrap();
    assert!(text.len() > 1_000_000 && text.len() < (1 << 20) + 100, "{}", text.len());
    assert!(text.contains(": 1\n") && text.ends_with("at most 1 MiB)\n"));
    assert_eq!(home.run(["cat", "latest:/facts"]).ok().out.lines().count(), 9);
}

/// Runs the app with standard error in a file, which is the journal's if `is_journal`.
fn run_into_file(home: &Home, is_journal: bool) -> (Ran, String) {
    let file = fs::File::create(home.path("err")).unwrap();
    let stat = file.metadata().unwrap();
    let mut command = home.command(["run", "wiki"]);
    if is_journal {
        command.env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
    }
    let ran = Ran::of(&command.stderr(file).output().unwrap());
    (ran, home.read("err"))
}

#[test]
fn the_journal_gets_priorities_and_nobody_else() {
    let home = home(&format!("{APP}after = \"exit 3\"\n"));
    let (_, plain) = run_into_file(&home, false);
    assert!(plain.starts_with("warning: wiki: hook `after`"), "{plain}");
    let (ran, warned) = run_into_file(&home, true);
    assert!(ran.code == 0 && warned.starts_with("<4>warning: wiki: hook `after`"), "{warned}");
    configure(&home, &format!("{APP}before = \"exit 3\"\n"));
    let (ran, failed) = run_into_file(&home, true);
    assert!(ran.code == 1 && failed.starts_with("<3>error: app wiki failed"), "{failed}");
    assert!(failed.lines().all(|line| line.starts_with('<')), "{failed}");
}
