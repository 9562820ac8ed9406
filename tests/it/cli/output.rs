//! Output: help, quiet, JSON, progress, broken pipes, completions, manual pages, and names that
//! speak to terminals.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::Value;

use crate::support::home::{COMMANDS, Home, Ran, fields};

#[test]
fn help_names_every_command_and_option() {
    let home = Home::new();
    let help = home.run(["--help"]).ok().out;
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let listed: Vec<&str> =
        listed.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(listed.split_last().unwrap(), (&"help", &COMMANDS[..]));
    for command in COMMANDS {
        assert!(help.contains(&format!("  {command} ")), "{command} is missing in:\n{help}");
        let own = home.run([command, "--help"]).ok().out;
        for option in [
            "--repo",
            "--config",
            "--password-file",
            "--password-command",
            "--key-file",
            "--cache-dir",
            "--json",
            "--quiet",
        ] {
            assert!(own.contains(option), "{command} --help does not name {option}");
        }
        for option in [
            "--verbose",
            "--no-progress",
            "--threads",
            "--json-progress",
            "--limit-upload",
            "--limit-download",
            "--connections",
        ] {
            assert!(own.contains(option), "{command} --help does not name {option}");
        }
    }
    assert!(help.contains("130  interrupted"));
    assert_eq!(
        home.run(["--version"]).ok().out,
        concat!("drumlin ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn wrong_usage_is_2_and_goes_to_standard_error() {
    let home = Home::new();
    for args in [
        &["frobnicate"][..],
        &["backup", "--nope"],
        &[],
        &["ls"],
        &["restore", "latest"],
        &["completions", "tcl"],
    ] {
        let ran = home.run(args).code(2);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{args:?}");
    }
}

#[test]
fn quiet_prints_nothing_but_what_was_asked_for() {
    let home = Home::with_repository();
    home.make_source();
    let ran = home.run(["backup", "src", "-q"]).ok();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    assert_eq!(home.run(["snapshots", "-q"]).ok().out.lines().count(), 2);
    let ran = home.run(["backup", "missing", "-q"]).code(1);
    assert!(ran.err.starts_with("error: "));
}

#[test]
fn no_colours_and_no_progress_without_a_terminal() {
    let home = Home::with_repository();
    home.make_source();
    let ran = home.run(["backup", "src"]).ok();
    assert!(!ran.out.contains('\x1b') && ran.err.is_empty(), "{ran:?}");
}

#[test]
fn more_is_said_on_request() {
    let home = Home::with_repository();
    let ran = home.run(["snapshots", "-v"]).ok();
    assert!(ran.err.contains(&format!("note: repository: {}", home.text("repo"))), "{}", ran.err);
    let (_, requests) =
        ran.err.split_once("note: requests: ").expect("a line says what was asked for");
    assert!(requests.contains(" list") && requests.contains("0 B up"), "{}", ran.err);
    home.make_source();
    home.run(["backup", "src"]).ok();
    let errors = home.run(["backup", "src", "-v"]).ok().err;
    assert!(errors.ends_with("note: requests: 1 (1 list), 0 B up, 0 B down\n"), "{errors}");
}

#[test]
fn progress_and_errors_as_json_lines() {
    let home = Home::with_repository();
    let mut child = home.spawn(["backup", "--stdin", "--json-progress", "--json"], Stdio::piped());
    // Progress comes after a second; until then the input stays open.
    let mut input = child.stdin.take().unwrap();
    let mut first = String::new();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    errors.read_line(&mut first).unwrap();
    std::io::Write::write_all(&mut input, b"x").unwrap();
    drop(input);
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    let ran = Ran::of(&child.wait_with_output().unwrap()).ok();
    let ran = Ran { err: first + &rest, ..ran };
    let lines: Vec<serde_json::Value> =
        ran.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 2, "{}", ran.err);
    let progress = "bytes_done bytes_per_second bytes_stored bytes_total current dirs_done event files_done files_total problems seconds_elapsed seconds_left";
    assert!(
        lines.iter().all(|line| fields(line) == progress && line["event"] == "progress"),
        "{}",
        ran.err
    );
    let ran = home.run(["ls", "zzzz", "--json-progress"]).code(1);
    let line: serde_json::Value = serde_json::from_str(ran.err.trim()).unwrap();
    assert_eq!(fields(&line), "causes event exit_code hint message");
    assert_eq!((&line["event"], &line["exit_code"]), (&"error".into(), &1.into()));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = Home::with_repository();
    for number in 0..2000 {
        home.write(&format!("src/{number:04}-{}", "x".repeat(100)), "");
    }
    home.run(["backup", "src"]).ok();
    let mut child = home.spawn(["ls", "-lR", "latest", "-q"], Stdio::null());
    let mut some = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let ran = Ran::of(&child.wait_with_output().unwrap()).ok();
    assert_eq!(ran.err, "");
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let home = Home::with_repository();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = home.command(["key", "list"]).stdout(full).output().unwrap();
    Ran::of(&output).fails(1, "cannot write to standard output", "");
}

#[test]
fn completions_and_manual_pages() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(["completions", shell]).ok().out;
        assert!(script.contains("exclude-larger-than"), "{shell}");
    }
    let pages = home.json(["man", "pages"]);
    assert!(pages["pages"].as_array().unwrap().len() >= 20, "{pages}");
    assert!(home.read("pages/drumlin.1").contains("quickstart"));
    assert!(home.read("pages/drumlin-backup.1").contains("one\\-file\\-system"));
    assert!(home.path("pages/drumlin-key-add.1").exists());
}

#[test]
fn a_command_that_fails_prints_no_document() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    for args in [
        &["backup", "missing"][..],
        &["ls", "zzzz"],
        &["find", "["],
        &["diff", "latest", "zzzz"],
        &["restore", "latest:/missing", "-t", "out"],
        &["forget", "latest", "--keep-last", "3"],
        &["undelete", "zzzz"],
        &["key", "remove", "zzzz"],
        &["init"],
        &["snapshots", "--repo", "nowhere"],
    ] {
        let ran = home.run(args.iter().chain(&["--json"]));
        assert!(
            ran.code != 0 && ran.out.is_empty() && ran.err.starts_with("error: "),
            "{args:?}: {ran:?}"
        );
    }
    // What was only in part refused, not read or not restored is told in a document.
    assert_eq!(
        home.run(["forget", "latest", "--json"]).code(1).json()["groups"][0]["refused"],
        "more-than-half"
    );
    assert_eq!(home.run(["backup", "src", "missing", "--json"]).code(3).json()["problem_count"], 1);
    home.write("out/full/mine", "in the way");
    home.write("src/full", "a file");
    home.run(["backup", "src"]).ok();
    let restored = home
        .run(["restore", &format!("latest:{}", home.text("src")), "-t", "out", "--json"])
        .code(1)
        .json();
    assert_eq!(restored["failed"], 1, "{restored}");
}

/// Notes, warnings and errors are lines like the others.
#[test]
fn standard_error_carries_json_lines_and_nothing_else() {
    let home = Home::with_repository();
    home.make_source();
    let ran = home
        .run(["backup", "src", "missing", "--exclude", "no such name", "--json-progress", "-v"])
        .code(3);
    let events: Vec<serde_json::Value> =
        ran.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in ["note", "warning", "progress"] {
        assert!(
            events.iter().any(|line| line["event"] == event),
            "{event} is missing in:\n{}",
            ran.err
        );
    }
    let ran = home.run(["backup", "missing", "--json-progress", "-v"]).code(1);
    let last: serde_json::Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["exit_code"]), (&"error".into(), &1.into()));
    assert!(
        ran.err.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{}",
        ran.err
    );
}

/// Whoever reads the output may go: what the command did, and what it could not do, is told by its
/// code and on standard error.
#[test]
fn a_reader_that_goes_changes_no_exit_code() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let packs = std::process::Command::new("sh")
        .args(["-c", "rm -r repo/data/*"])
        .current_dir(home.path(""))
        .status()
        .unwrap();
    assert!(packs.success());
    let script = |command: &str| {
        let script = format!(
            "set +e; (sleep 0.5; $drumlin {command}; echo $? > code) | true; while [ ! -s code ]; do sleep 0.1; done"
        );
        let ran = home.script(&[], &script);
        let code = home.read("code").trim().to_owned();
        std::fs::remove_file(home.path("code")).unwrap();
        (code, ran.err)
    };
    assert_eq!(script("check").0, "4");
    assert_eq!(script("--json check").0, "4");
    let (code, err) = script("restore latest --target out");
    assert!(code == "4" && err.contains("(damaged)"), "{code}: {err}");
    assert_eq!(script("snapshots").0, "0");
    assert_eq!(script("ls -R latest").0, "0");
    assert_eq!(script("repair").0, "4");
    assert_eq!(script("restore latest --to-tar out.tar").0, "4");
    // What is done step by step is done to its end.
    home.write("src/new", "x");
    home.run(["backup", "src"]);
    home.run(["forget", "latest", "latest~1", "--force"]).ok();
    assert_eq!(script("undelete --all").0, "0");
    assert_eq!(home.json(["snapshots"])["snapshots"].as_array().unwrap().len(), 2);
}

#[test]
fn no_message_speaks_to_the_terminal() {
    let home = Home::with_repository();
    let name = "evil\u{1b}]0;x\u{7}\u{9b}\nerror: \u{202e}";
    home.write(&format!("src/{name}"), "x");
    home.run(["backup", "src", "--app", name]).ok();
    home.write("repo/snapshots/notes", "x");
    for args in [
        &["ls", &format!("latest:/{name}")][..],
        &["cat", &format!("latest:{}", home.text("src"))],
        &["ls", name],
        &["restore", "latest", "--to-tar", &format!("/nowhere/{name}")],
        &["snapshots", "--password-file", &format!("/nowhere/{name}")],
        &["snapshots", "--repo", &format!("/nowhere/{name}")],
        &["snapshots", "--config", name],
        &["backup", &format!("/nowhere/{name}")],
        &["find", "--regex", &format!("({name}")],
        &["forget", "latest", "--app", &format!("x{name}")],
        &["backup", "--tag", name, "--nope", name],
        &[name],
        &["key", "remove", name],
    ] {
        let ran = home.run(args);
        assert_ne!(ran.code, 0, "{args:?}");
        let is_loud = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(
            !ran.err.contains(is_loud) && !ran.out.contains(is_loud),
            "{args:?}: {:?}{:?}",
            ran.out,
            ran.err
        );
        let errors = ran.err.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "a name must not look like an error: {args:?}: {:?}", ran.err);
    }
    for args in [
        &["ls", "-lR", "latest"][..],
        &["find", "evil*"],
        &["snapshots"],
        &["forget", "--keep-last", "1"],
        &["du", "latest", "-a"],
    ] {
        let ran = home.run(args).ok();
        assert!(
            !ran.err.contains('\u{1b}') && !ran.out.contains('\u{1b}'),
            "{args:?}: {:?}{:?}",
            ran.out,
            ran.err
        );
        // JSON says the same names, and a terminal may be what reads it.
        let told = home.run([args, &["--json", "--json-progress"]].concat()).ok();
        let is_loud = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!told.err.contains(is_loud) && !told.out.contains(is_loud), "{args:?}: {told:?}");
        let parsed: Value = serde_json::from_str(&told.out).unwrap();
        let is_told = parsed
            .to_string()
            .contains(&Value::from(name).to_string().trim_matches('"').to_owned());
        assert!(is_told || ["forget", "du"].contains(&args[0]), "{args:?}: {told:?}");
    }
}

#[test]
fn wrong_usage_is_a_json_line_where_json_lines_are_wanted() {
    let home = Home::new();
    for args in [
        &["backup", "--nope", "--json-progress"][..],
        &["--json-progress", "frobnicate"],
        &["find", "--json-progress"],
    ] {
        let ran = home.run(args).code(2);
        let line: Value = serde_json::from_str(ran.err.trim())
            .unwrap_or_else(|error| panic!("{error}: {}", ran.err));
        assert_eq!(fields(&line), "causes event exit_code hint message");
        assert_eq!((&line["event"], &line["exit_code"]), (&"error".into(), &2.into()));
    }
}
