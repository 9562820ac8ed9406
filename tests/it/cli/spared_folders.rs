//! Folders that a restore leaves alone in its target: repositories, however they are reached, and
//! those of the program itself.
//!
//! Method: each is put where `--delete` would take it away, or where something of the snapshot
//! would go; the dry run must say the same.

use std::fs;

use serde_json::Value;

use crate::support::fixture::copy_folder;
use crate::support::home::{Home, Ran};

const SAYS: &str = "nothing is removed: it looks like a repository";

/// Runs the restore with `--dry-run` first, which must tell of the same problems and end alike.
#[track_caller]
fn restore(home: &Home, args: &[&str], code: i32) -> Ran {
    let run = |more: &[&str]| home.run([&["restore"], args, more].concat()).code(code);
    let told = |ran: &Ran| {
        let is_told = |line: &&str| line.starts_with("warning: ") || line.starts_with("note: ");
        let mut lines: Vec<_> = ran.err.lines().filter(is_told).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let planned = run(&["--dry-run"]);
    let done = run(&[]);
    assert_eq!(told(&planned), told(&done));
    done
}

fn place(home: &Home, path: &str) -> String {
    format!("latest:{}", home.text(path))
}

/// The backup left the repository out as its own; the restore reads a copy of it elsewhere, so that
/// it is not its own.
#[test]
fn a_repository_that_is_reached_another_way_is_spared() {
    let home =
        Home::new().with("DRUMLIN_REPOSITORY", "srv/repo").with("DRUMLIN_KEY_FILE", "test.key");
    home.write("srv/data/a", "a");
    home.run(["init", "-q"]).ok();
    home.run(["backup", "srv"]).ok();
    copy_folder(&home.path("srv/repo"), &home.path("copy"));
    home.write("srv/data/extra", "goes");
    let before = home.tree("srv/repo");
    let place = place(&home, "srv");
    let of_copy = ["--repo", "copy", "--accept-new-repository"];
    let ran = restore(&home, &[&of_copy[..], &[&place, "-t", "srv", "--delete"]].concat(), 0);
    assert!(ran.err.contains(&format!("{}: {SAYS}", home.text("srv/repo"))), "{}", ran.err);
    assert!(
        ran.out.contains("removed  1 that") && !home.path("srv/data/extra").exists(),
        "{}",
        ran.out
    );
    assert_eq!(home.tree("srv/repo"), before);
    home.run(["check", "--level", "full"]).ok();
}

#[test]
fn repositories_that_the_snapshot_does_not_have_are_spared_wherever_they_are() {
    let home = Home::with_repository();
    home.write("src/a", "a");
    home.write("src/file", "a file");
    home.run(["backup", "src"]).ok();
    fs::remove_file(home.path("src/file")).unwrap();
    // As an extra folder, deeper in one, and in the way of a file.
    for at in ["src/other", "src/deep/er/other", "src/file"] {
        fs::create_dir_all(home.path(at)).unwrap();
        copy_folder(&home.path("repo"), &home.path(at));
    }
    home.write("src/deep/er/extra", "goes");
    let before = home.tree("src/other");
    let ran = restore(&home, &[&place(&home, "src"), "-t", "src", "--delete"], 1);
    for at in ["src/other", "src/deep/er/other", "src/file"] {
        assert!(ran.err.contains(&format!("{}: {SAYS}", home.text(at))), "{at}: {}", ran.err);
        assert_eq!(home.tree(at), before, "{at}");
    }
    assert!(!home.path("src/deep/er/extra").exists());
    // The target itself.
    let ran = restore(&home, &[&place(&home, "src"), "-t", "src/other", "--delete"], 0);
    assert!(ran.err.contains(SAYS) && home.path("src/other/keys").exists(), "{}", ran.err);
}

/// What a snapshot has of another repository is restored, and nothing of it is removed: the
/// snapshot may have a part of it only.
#[test]
fn a_repository_that_was_backed_up_is_restored_and_nothing_in_it_removed() {
    let home = Home::with_repository();
    home.run(["backup", "test.key"]).ok();
    fs::create_dir(home.path("src")).unwrap();
    fs::create_dir(home.path("src/other")).unwrap();
    copy_folder(&home.path("repo"), &home.path("src/other"));
    home.run(["backup", "src"]).ok();
    let before = home.tree("src/other");
    home.write("src/other/snapshots/new", "stays");
    home.write("src/other/data/zz/new", "stays");
    home.write("src/beside", "goes");
    let whole = home.tree("src/other");
    fs::remove_file(home.path("src/other/config/1")).unwrap();
    let ran = restore(&home, &[&place(&home, "src"), "-t", "src", "--delete"], 0);
    assert!(ran.err.contains(SAYS) && !home.path("src/beside").exists(), "{ran:?}");
    assert_eq!(home.tree("src/other"), whole);
    assert!(whole.len() > before.len());
    // Packs and keys that patterns left out of the snapshot.
    home.run(["backup", "src", "--exclude", "keys", "--exclude", "data"]).ok();
    restore(&home, &[&place(&home, "src"), "-t", "src", "--delete"], 0);
    assert_eq!(home.tree("src/other"), whole);
}

fn listed(home: &Home, path: &str) -> Vec<String> {
    let listed: Value = home.json(["ls", "-R", &place(home, path)]);
    listed["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect()
}

/// The user has folders of the names that the program uses in its folder of local copies and in
/// that of what it remembers.
#[test]
fn folders_of_the_user_are_not_taken_for_the_programs() {
    let home = Home::with_repository();
    home.write("data/locations/map", "precious");
    home.write("data/places/q", "a note");
    let data = home.text("data");
    let by_itself = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("DRUMLIN_STATE_DIR", &data).env("DRUMLIN_CACHE_DIR", &data);
        Ran::of(&command.output().unwrap())
    };
    fs::set_permissions(home.path("data"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    for round in 0..2 {
        by_itself(&["backup", "data", "--always-snapshot"]).ok();
        let found = listed(&home, "data");
        for path in ["data/locations/map", "data/places/q"] {
            assert!(found.contains(&home.text(path)), "{round}, {path}: {found:#?}");
        }
        // What the program keeps beside them is left out.
        assert!(!found.iter().any(|path| path.ends_with("memory.json")), "{found:#?}");
    }
    for path in ["data/locations/map", "data/places/q"] {
        fs::remove_file(home.path(path)).unwrap();
    }
    let back = place(&home, "data");
    // Now only the program has something there: what cannot be restored is said, and in the exit
    // code.
    let ran = by_itself(&["restore", &back, "-t", "data", "-q"]).code(1);
    for path in ["data/locations", "data/places"] {
        let says =
            format!("{}: not restored: it is the repository itself or its cache", home.text(path));
        assert!(ran.err.contains(&says), "{}", ran.err);
    }
    // With folders of its own elsewhere, it is.
    home.run(["restore", &back, "-t", "data"]).ok();
    assert_eq!(
        (home.read("data/locations/map"), home.read("data/places/q")),
        ("precious".to_owned(), "a note".to_owned())
    );
}
