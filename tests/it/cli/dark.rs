//! Every command works where nothing can be kept: no home, no cache, a full or read-only folder for it. Slower, with one warning.

use crate::home::{Home, Ran};

const COMMANDS: [&[&str]; 13] = [
    &["backup", "src"],
    &["snapshots"],
    &["ls", "-R", "latest"],
    &["find", "a.txt"],
    &["diff", "latest~1", "latest"],
    &["du", "latest"],
    &["stats"],
    &["restore", "latest", "--target", "out"],
    &["check", "--level", "full"],
    &["forget", "--keep-last", "1", "--force"],
    &["prune"],
    &["repair"],
    &["key", "list"],
];

fn home_with_snapshots() -> Home {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    home.write("src/more", "more");
    home.run(["backup", "src"]).ok();
    home.write("src/last", "last");
    home
}

/// Runs all commands, each by `run`, and expects one warning of each.
fn all_work(home: &Home, run: impl Fn(&[&str]) -> Ran) {
    for command in COMMANDS {
        let ran = run(command).ok();
        assert_eq!(ran.err.matches("no local copies are kept").count(), 1, "{command:?}: {}", ran.err);
    }
    assert!(home.path("out").join(home.text("src/more").trim_start_matches('/')).exists());
}

#[test]
fn all_commands_work_without_a_home() {
    let home = home_with_snapshots();
    all_work(&home, |command| Ran::of(&home.command(command).env("HOME", "/dev/null/none").output().unwrap()));
}

#[test]
fn all_commands_work_if_the_folder_takes_nothing() {
    let home = home_with_snapshots();
    home.write("file", "");
    all_work(&home, |command| home.run([&["--cache-dir", "file/below"], command].concat()));
}

#[test]
fn all_commands_work_with_a_full_or_read_only_disk() {
    for (options, fill) in [("size=64k", "cat /dev/zero >full 2>/dev/null || true"), ("ro,size=64k", "true")] {
        let home = home_with_snapshots();
        all_work(&home, |command| {
            let script = format!(
                "program=$1; shift; mkdir -p full; mount -t tmpfs -o {options} none full; (cd full; {fill}); \
                 exec \"$program\" --cache-dir full \"$@\"",
            );
            let words = ["unshare", "-m", "sh", "-eu", "-c", &script, "sh"];
            Ran::of(&home.wrapped(&words, command).output().unwrap())
        });
    }
}
