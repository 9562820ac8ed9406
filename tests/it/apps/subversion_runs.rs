//! Goal: a run dumps only those ranges of Subversion that changed, and never trusts a note that is
//! not of the very snapshot that it continues. Method: the real program; a script in the place of
//! `svnadmin` counts the dumps.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::home::Home;

/// Files of the snapshot that hold the ranges.
const RANGES: [&str; 3] = ["large/00000000.dump", "large/00001000.dump", "small/00000000.dump"];

/// Returns a home with two repositories, of 1,001 revisions and of one, which the app `code` backs
/// up, and with a counting `svnadmin`.
fn home() -> Home {
    // A thousand revisions are thousands of files.
    let home = Home::in_memory();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", home.text("bin"));
    let home = home.with("DRUMLIN_CONFIG", "drumlin.toml").with("PATH", &path);
    let real = Command::new("sh").args(["-c", "command -v svnadmin"]).output().unwrap().stdout;
    let real = String::from_utf8(real).unwrap();
    assert!(!real.is_empty(), "scripts/test-deps.sh installs subversion");
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in dump) echo \"$*\" >> {} ;; esac\nexec {} \"$@\"\n",
        home.text("dumps"),
        real.trim()
    );
    let counting = home.write("bin/svnadmin", script);
    fs::set_permissions(counting, fs::Permissions::from_mode(0o755)).unwrap();
    for (name, revisions) in [("large", 1001), ("small", 1)] {
        fs::create_dir_all(home.path("svn")).unwrap();
        svnadmin(&home, &["create", name], b"");
        svnadmin(&home, &["load", "-q", "--no-flush-to-disk", name], &empty_revisions(revisions));
    }
    home.write("password", "secret\n");
    fs::set_permissions(home.path("password"), fs::Permissions::from_mode(0o600)).unwrap();
    configure(&home, "box");
    for repository in ["box", "other"] {
        home.run(["init", "--repo", repository]).ok();
    }
    home
}

fn configure(home: &Home, repository: &str) {
    let text = format!(
        "repository.box = {{ url = \"repo\", password-file = \"password\" }}\n\
         repository.other = {{ url = \"repo-2\", password-file = \"password\" }}\n\
         [app.code]\nrepository = \"{repository}\"\nsubversion-parent = \"{}\"\n",
        home.text("svn")
    );
    home.write("drumlin.toml", text);
}

/// Runs the real program in the folder of the repositories.
fn svnadmin(home: &Home, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut program = Command::new("svnadmin");
    program.args(arguments).current_dir(home.path("svn"));
    program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = program.spawn().unwrap();
    program.stdin.take().unwrap().write_all(input).unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    output.stdout
}

/// Returns a dump of so many revisions that change nothing.
fn empty_revisions(count: u32) -> Vec<u8> {
    let mut dump = "SVN-fs-dump-format-version: 2\n\n".to_owned();
    for revision in 1..=count {
        dump += &format!(
            "Revision-number: {revision}\nProp-content-length: 10\nContent-length: 10\n\n\
             PROPS-END\n\n"
        );
    }
    dump.into_bytes()
}

fn commit(home: &Home, repository: &str) {
    let url = format!("file://{}", home.text(&format!("svn/{repository}")));
    let done = Command::new("svn").args(["mkdir", "-q", "-m", "x", &format!("{url}/d")]).status();
    assert!(done.unwrap().success());
}

/// Runs the app; returns its status, and the number of dumps.
fn run(home: &Home) -> (String, usize) {
    let _ = fs::remove_file(home.path("dumps"));
    let mut document = home.run(["run", "code", "--json"]).ok().json();
    let report: Value = document["runs"][0].take();
    let dumps = fs::read_to_string(home.path("dumps")).unwrap_or_default().lines().count();
    (report["status"].as_str().unwrap().to_owned(), dumps)
}

/// Checks that the latest snapshot has all ranges, and that they are the repositories.
fn check_whole(home: &Home, repository: &str) {
    let cat = |name: &str| {
        let path = format!("latest:/@app/subversion/{name}");
        home.run(["cat", "--repo", repository, &path]).ok().out
    };
    let ranges = RANGES.map(cat);
    let all = |name: &str| svnadmin(home, &["dump", "-q", name], b"");
    // A repository has one header, and so has each range.
    let header = |text: &str| text.matches("SVN-fs-dump-format-version").count();
    assert_eq!(ranges.each_ref().map(|text| header(text)), [1; 3]);
    assert!(ranges[2].as_bytes() == all("small"));
    let first = svnadmin(home, &["dump", "-q", "--incremental", "-r", "0:999", "large"], b"");
    assert!(ranges[0].as_bytes() == first);
    let manifest =
        home.run(["cat", "--repo", repository, "latest:/@app/manifest.json"]).ok().json();
    let files = manifest["sources"][0]["files"].as_array().unwrap();
    assert_eq!(files.len(), 2);
    for (file, text) in files.iter().zip(&ranges) {
        assert_eq!(file["bytes"], text.len() as u64);
        assert_eq!(file["blake3"], blake3::hash(text.as_bytes()).to_hex().as_str());
    }
}

fn result(status: &str, dumps: usize) -> (String, usize) {
    (status.to_owned(), dumps)
}

/// Changes the notes in the state of the app.
fn change_notes(home: &Home, change: impl FnOnce(&mut Value)) {
    let path = ".state/apps/code/state.json";
    let mut state: Value = serde_json::from_str(&home.read(path)).unwrap();
    change(&mut state["notes"]["/@app/subversion"]);
    home.write(path, serde_json::to_string(&state).unwrap());
}

#[test]
fn only_what_changed_is_dumped_again() {
    let home = home();
    assert_eq!(run(&home), result("done", 3));
    check_whole(&home, "box");
    assert_eq!(run(&home), result("unchanged", 0));
    commit(&home, "large");
    assert_eq!(run(&home), result("done", 1));
    assert!(home.read("dumps").contains("1000:1002"), "{}", home.read("dumps"));
    check_whole(&home, "box");
    assert_eq!(run(&home), result("unchanged", 0));
    // What a released lock leaves is a folder without files, and no failure.
    fs::create_dir_all(home.path("svn/small/db/locks/666")).unwrap();
    assert_eq!(run(&home), result("unchanged", 0));
}

#[test]
fn notes_that_are_not_of_the_parent_are_not_trusted() {
    let home = home();
    assert_eq!(run(&home), result("done", 3));
    commit(&home, "small");
    assert_eq!(run(&home), result("done", 1));
    // The snapshot of the notes is forgotten: the parent is the one before.
    home.run(["forget", "--repo", "box", "--force", "latest"]).ok();
    assert_eq!(run(&home), result("done", 3));
    check_whole(&home, "box");
    // Another repository, which has nothing; and back.
    configure(&home, "other");
    assert_eq!(run(&home), result("done", 3));
    check_whole(&home, "other");
    configure(&home, "box");
    assert_eq!(run(&home), result("unchanged", 3));
    assert_eq!(run(&home), result("unchanged", 0));
    // Wrong in one way each: the snapshot, a length, a path that the snapshot does not have.
    change_notes(&home, |notes| notes["snapshot"] = "00".repeat(16).into());
    assert_eq!(run(&home), result("unchanged", 3));
    change_notes(&home, |notes| notes["ranges"][0]["record"]["bytes"] = 7.into());
    assert_eq!(run(&home), result("unchanged", 1));
    fs::rename(home.path("svn/small"), home.path("svn/moved")).unwrap();
    change_notes(&home, |notes| {
        let path = notes["ranges"][2]["path"].as_str().unwrap().replace("small", "moved");
        notes["ranges"][2]["path"] = path.into();
    });
    assert_eq!(run(&home), result("done", 1));
    home.run(["cat", "--repo", "box", "latest:/@app/subversion/moved/00000000.dump"]).ok();
    // Notes that nobody can read are none.
    change_notes(&home, |notes| *notes = "strange".into());
    assert_eq!(run(&home), result("unchanged", 3));
}

#[test]
fn a_run_that_fails_writes_no_notes() {
    let home = home();
    let text = home.read("drumlin.toml");
    let fails = "[[app.code.command]]\nname = \"x\"\nrun = \"exit 1\"\n";
    home.write("drumlin.toml", format!("{text}{fails}"));
    assert_eq!(home.run(["run", "code"]).code, 1);
    home.write("drumlin.toml", text);
    assert_eq!(run(&home), result("done", 3));
    check_whole(&home, "box");
}
