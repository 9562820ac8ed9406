//! `restore --to-tar` and `--to-zip`: where archives go, what is said, exit codes.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;

use crate::support::home::{Home, fields};

const FIELDS: &str = "archive archive_bytes bytes damaged dirs files format hard_links left_out partial problem_count problems requests seconds snapshot";

fn with_snapshot() -> (Home, String) {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let from = format!("latest:{}", home.text("src"));
    (home, from)
}

#[test]
fn archives_are_files_or_standard_output() {
    let (home, from) = with_snapshot();
    let report = home.json(["restore", &from, "--to-tar", "out.tar"]);
    assert_eq!(
        (fields(&report), &report["format"], &report["files"]),
        (FIELDS.to_owned(), &json!("tar"), &json!(4))
    );
    let made = home.path("out.tar").metadata().unwrap();
    assert_eq!(report["archive_bytes"].as_u64(), Some(made.len()));
    assert_eq!(made.permissions().mode() & 0o7777, 0o600, "archives are made for their owner only");
    let said = home.run(["restore", &from, "--to-zip", "out.zip", "--exclude", "*.tmp"]).ok().out;
    assert!(
        said.starts_with("wrote 3 files in 1 folder of snapshot ") && said.contains(" of zip\n"),
        "{said}"
    );
    std::fs::create_dir(home.path("back")).unwrap();
    // What comes on standard output is the archive and nothing else.
    let output = home.command(["restore", &from, "--to-tar", "-"]).output().unwrap();
    assert!(output.stdout == std::fs::read(home.path("out.tar")).unwrap());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("note: wrote 4 files in 1 folder of snapshot ")
            && said.contains("to standard output"),
        "{said}"
    );
    let tar = Command::new("tar")
        .args(["-xpf", "out.tar", "-C", "back"])
        .current_dir(home.path(""))
        .output()
        .unwrap();
    assert!(tar.status.success(), "{tar:?}");
    assert_eq!(home.tree("back"), home.tree("src"));
}

#[test]
fn what_cannot_be_is_refused_at_once() {
    let (home, from) = with_snapshot();
    home.write("there", "mine");
    home.run(["restore", &from, "--to-tar", "there"]).fails(
        2,
        "there exists",
        "choose another name",
    );
    assert_eq!(home.read("there"), "mine");
    home.run(["restore", &from, "--to-zip", "-"]).fails(
        2,
        "is not written to standard output",
        "--to-tar",
    );
    home.run(["restore", &from, "--to-tar", "-", "--json"]).fails(
        2,
        "cannot both go to standard output",
        "name a file",
    );
    home.run(["restore", &from, "--to-tar", "repo/data/x.tar"]).fails(
        2,
        "is in the repository itself",
        "outside of it",
    );
    assert!(!home.path("repo/data/x.tar").exists());
    home.run(["restore", &from, "--to-tar", "no such folder/x.tar"]).fails(1, "cannot write", "");
    home.run(["restore", "latest:/nowhere", "--to-tar", "x.tar"]).fails(
        1,
        "the snapshot has no /nowhere",
        "stored absolute",
    );
    assert!(!home.path("x.tar").exists(), "what is no archive does not stay");
    for also in [["--target", "out"], ["--overwrite", "never"], ["--to-zip", "x.zip"]] {
        home.run([&["restore", &from, "--to-tar", "x.tar"], &also[..]].concat()).code(2);
    }
    home.run(["restore", &from]).code(2);
}

/// What a format cannot hold is named, and is an exit code of its own; a pipe that breaks is an
/// error.
#[test]
fn what_is_missing_is_said() {
    let (home, from) = with_snapshot();
    std::fs::hard_link(home.path("src/a.txt"), home.path("src/b.txt")).unwrap();
    home.write("src/co:lon", "x");
    home.run(["backup", "src"]).ok();
    let ran = home.run(["restore", &from, "--to-zip", "out.zip"]).code(3);
    assert!(
        ran.out.contains("left out 1 that the format cannot hold")
            && ran.out.contains("partly   2 without"),
        "{}",
        ran.out
    );
    assert!(
        ran.err.contains("co:lon")
            && ran.err.contains("backslash or colon")
            && ran.err.contains("a hard link"),
        "{}",
        ran.err
    );
    home.run(["restore", &from, "--to-tar", "out.tar"]).ok();
    home.write("src/large", crate::support::fixture::noise(1, 3_000_000));
    home.run(["backup", "src"]).ok();
    let ran = home
        .script(&[], &format!("set +e; {{ $drumlin restore '{from}' --to-tar -; echo $? > code; }} | head -c 10 > /dev/null"));
    assert_eq!(home.read("code"), "1\n", "{ran:?}");
    assert!(ran.err.contains("error: cannot write the archive"), "{}", ran.err);
}
