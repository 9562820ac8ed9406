//! Machines where nothing can be kept: no home, no cache, a full or read-only folder for it. Every
//! command works there, slower and with one warning.
//!
//! Where this machine cannot remember what it saw either, the same warning says that.

use crate::support::home::{Home, Ran};
use crate::support::needs::{can_run, is_root};

const COMMANDS: [&[&str]; 20] = [
    &["backup", "src"],
    &["snapshots"],
    &["ls", "-R", "latest"],
    &["find", "a.txt"],
    &["diff", "latest~1", "latest"],
    &["du", "latest"],
    &["stats"],
    &["restore", "latest", "--target", "out"],
    &["restore", "latest", "--to-tar", "out.tar"],
    &["restore", "latest", "--plan", "--target", "planned"],
    &["cat", "latest:src/a.txt"],
    &["history", "src/a.txt"],
    &["cost"],
    &["check", "--level", "full"],
    &["forget", "--keep-last", "1", "--force"],
    &["undelete", "--all"],
    &["prune"],
    &["repair"],
    &["key", "list"],
    &["key", "add", "--output", "more.key"],
];

const NO_COPIES: &str = "no local copies are kept, which is slower";
const NO_MEMORY: &str = "cannot remember the repository in /dev/null/none";

fn home_with_snapshots() -> Home {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    home.write("src/more", "more");
    home.run(["backup", "src"]).ok();
    home.write("src/last", "last");
    home
}

/// Runs all commands, each by `run`, and expects one warning of each that has these words.
fn all_work(home: &Home, words: &[&str], run: impl Fn(&[&str]) -> Ran) {
    for command in COMMANDS {
        let ran = run(command).ok();
        let warnings: Vec<&str> =
            ran.err.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert_eq!(warnings.len(), 1, "{command:?}: {}", ran.err);
        // What only looks would have remembered nothing anyway.
        let is_dry = command.contains(&"--plan") || command == ["repair"];
        for words in words.iter().filter(|words| !is_dry || **words != NO_MEMORY) {
            assert_eq!(warnings[0].matches(words).count(), 1, "{command:?}: {}", ran.err);
        }
    }
    assert!(home.path("out").join(home.text("src/more").trim_start_matches('/')).exists());
}

#[test]
fn all_commands_work_without_a_home() {
    let home = home_with_snapshots();
    all_work(&home, &[NO_COPIES], |command| {
        Ran::of(&home.command(command).env("HOME", "/dev/null/none").output().unwrap())
    });
}

#[test]
fn one_warning_says_what_is_kept_nowhere() {
    let home = home_with_snapshots();
    all_work(&home, &[NO_MEMORY, NO_COPIES], |command| {
        let nowhere = "/dev/null/none";
        Ran::of(
            &home
                .command(command)
                .envs([("HOME", nowhere), ("DRUMLIN_STATE_DIR", nowhere)])
                .output()
                .unwrap(),
        )
    });
}

/// A service without HOME, whose user has no entry: it has a folder for copies and none in which to
/// remember.
#[test]
fn that_nothing_can_be_remembered_is_told() {
    if !can_run(is_root(), "root, to be another user") {
        return;
    }
    let home = home_with_snapshots();
    home.script(&[], "cp \"$drumlin\" program; chown -R 54321:54321 .; chmod 755 .").ok();
    let nobody = "setpriv --reuid=54321 --regid=54321 --clear-groups env -u HOME -u DRUMLIN_STATE_DIR DRUMLIN_CACHE_DIR=\"$PWD/copies\" ./program";
    for command in ["backup src", "snapshots", "prune"] {
        let ran = home.script(&[], &format!("{nobody} {command}")).ok();
        assert!(
            ran.err.contains("cannot remember the repository, so a rollback"),
            "{command}: {}",
            ran.err
        );
        assert!(
            ran.err.contains("HOME is not set") && ran.err.matches("warning").count() == 1,
            "{command}: {}",
            ran.err
        );
    }
}

#[test]
fn all_commands_work_if_the_folder_takes_nothing() {
    let home = home_with_snapshots();
    home.write("file", "");
    all_work(&home, &[NO_COPIES], |command| {
        home.run([&["--cache-dir", "file/below"], command].concat())
    });
}

#[test]
fn all_commands_work_with_a_full_or_read_only_disk() {
    for (options, fill) in
        [("size=64k", "cat /dev/zero >full 2>/dev/null || true"), ("ro,size=64k", "true")]
    {
        let home = home_with_snapshots();
        all_work(&home, &[NO_COPIES], |command| {
            let script = format!(
                "program=$1; shift; mkdir -p full; mount -t tmpfs -o {options} none full; (cd full; {fill}); \
                 exec \"$program\" --cache-dir full \"$@\"",
            );
            let words = ["unshare", "-m", "sh", "-eu", "-c", &script, "sh"];
            Ran::of(&home.wrapped(&words, command).output().unwrap())
        });
    }
}
