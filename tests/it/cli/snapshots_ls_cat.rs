//! `snapshots`, `ls`, `cat`, and the ways to name a snapshot.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::support::home::{Home, Ran, fields};

/// Makes three snapshots of one file.
fn three_snapshots() -> Home {
    let home = Home::with_repository();
    for (number, extra) in
        [("1", ["--app", "wiki"]), ("2", ["--tag", "gold"]), ("3", ["--host", "other"])]
    {
        home.write("src/number", number);
        home.run(["backup", "src"].iter().chain(&extra)).ok();
    }
    home
}

#[test]
fn snapshots_are_listed_and_filtered() {
    let home = three_snapshots();
    let count = |args: &[&str]| {
        home.json(["snapshots"].iter().chain(args))["snapshots"].as_array().unwrap().len()
    };
    assert_eq!(count(&[]), 3);
    assert_eq!(count(&["--app", "wiki"]), 1);
    assert_eq!(count(&["--host", "other"]), 1);
    assert_eq!(count(&["--tag", "gold"]), 1);
    assert_eq!(count(&["--tag", "gold", "--tag", "silver"]), 0);
    assert_eq!(count(&["--latest", "2"]), 2);
    let document = home.json(["list", "--latest", "1"]);
    assert_eq!(fields(&document), "damaged snapshots");
    assert_eq!(document["snapshots"][0]["host"], "other");
    let text = home.run(["snapshots"]).ok().out;
    let heading: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["id", "time", "host", "app", "tags", "files", "size", "added", "paths"]);
    assert_eq!(text.lines().count(), 4);
    assert_eq!(home.run(["snapshots", "--app", "none"]).ok().out, "no snapshots\n");
    assert_eq!(home.run(["snapshots", "--app", "none", "--quiet"]).ok().out, "");
}

#[test]
fn every_way_to_name_a_snapshot() {
    let home = three_snapshots();
    let list = home.json(["snapshots"]);
    let id = |at: usize| list["snapshots"][at]["id"].as_str().unwrap().to_owned();
    let number =
        |snap: &str| home.run(["cat", &format!("{snap}:{}", home.text("src/number"))]).ok().out;
    assert_eq!(number("latest"), "3");
    assert_eq!(number("latest~2"), "1");
    assert_eq!(number(&id(1)), "2");
    assert_eq!(number(&id(1)[..12]), "2");
    assert_eq!(number("wiki@2999-12-31"), "1");
    assert_eq!(number("@2999-12-31T12:30"), "3");
    let fails = |snap: &str, code, message: &str, hint: &str| {
        home.run(["ls", snap]).fails(code, message, hint);
    };
    fails("latest~3", 1, "no snapshot matches 'latest~3'", "`drumlin snapshots`");
    fails("zzzz", 1, "no snapshot matches 'zzzz'", "`drumlin snapshots`");
    fails("wiki@2001-01-01", 1, "no snapshot matches 'wiki@2001-01-01'", "`drumlin snapshots`");
    fails("wiki@yesterday", 2, "`yesterday` is not a date or time", "write 2026-03-01");
    fails(":/etc", 2, "no snapshot is named", "latest:/path");
    Home::with_repository().run(["ls", "latest"]).fails(
        1,
        "the repository holds no snapshot",
        "`drumlin backup PATH`",
    );
}

#[test]
fn ls_shows_names_or_everything() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let src = home.text("src");
    let place = format!("latest:{src}");
    let names = format!("{src}/a.txt\n{src}/link\n{src}/sub/\n");
    assert_eq!(home.run(["ls", &place]).ok().out, names);
    assert_eq!(home.run(["ls", &format!("{place}/")]).ok().out, names);
    assert_eq!(home.run(["ls", &format!("{place}/a.txt")]).ok().out, format!("{src}/a.txt\n"));
    assert_eq!(
        home.run(["ls", "latest:src"]).ok().out,
        names,
        "a relative path begins at the current folder"
    );
    assert_eq!(home.run(["ls", "latest:src/sub/.."]).ok().out, names);
    assert_eq!(home.run(["ls", "-R", &place]).ok().out.lines().count(), 5);
    let long = home.run(["ls", "-l", &place]).ok().out;
    assert!(
        long.contains("-rw-r--r--") && long.contains(&format!("{src}/link -> a.txt")),
        "{long}"
    );
    home.run(["ls", "latest:/missing"]).fails(
        1,
        "there is no '/missing' in snapshot",
        "paths are stored absolute",
    );
}

#[test]
fn ls_documents_have_every_field() {
    let home = Home::with_repository();
    home.make_source();
    home.write("src/hard", "linked");
    std::fs::hard_link(home.path("src/hard"), home.path("src/hard2")).unwrap();
    std::fs::write(home.path("src").join(std::ffi::OsString::from("caf\u{e9}")), "").unwrap();
    let raw = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"bad\xff");
    std::fs::write(home.path("src").join(raw), "").unwrap();
    home.run(["backup", "src"]).ok();
    let document = home.json(["ls", "-R", &format!("latest:{}", home.text("src"))]);
    assert_eq!(fields(&document), "entries snapshot");
    let entry = |name: &str| {
        let path = home.text(&format!("src/{name}"));
        document["entries"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["path"] == path)
            .unwrap()
            .clone()
    };
    let common = "btime flags gid group kind mode mtime path size uid user xattrs";
    assert_eq!(fields(&entry("a.txt")), common);
    assert_eq!(
        (&entry("a.txt")["kind"], &entry("a.txt")["mode"], &entry("a.txt")["size"]),
        (&json!("file"), &json!("0644"), &json!(6))
    );
    let sorted = |more: &str| {
        let mut names: Vec<&str> = common.split(' ').chain(more.split(' ')).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(fields(&entry("link")), sorted("target"));
    assert_eq!(entry("link")["target"], "a.txt");
    assert_eq!(fields(&entry("sub")), sorted("totals"));
    assert_eq!(entry("sub")["totals"], json!({ "files": 2, "dirs": 0, "bytes": 5006 }));
    assert_eq!(fields(&entry("hard")), sorted("hard_link"));
    assert_eq!(entry("hard")["hard_link"], entry("hard2")["hard_link"]);
    assert_eq!(entry("caf\u{e9}")["kind"], "file");
    let bad = entry("bad\u{fffd}");
    assert!(bad["path_hex"].as_str().unwrap().ends_with("626164ff"));
}

#[test]
fn cat_gives_bytes_and_only_of_files() {
    let home = Home::with_repository();
    home.make_source();
    let big: Vec<u8> = (0..3_000_000u32).flat_map(|number| number.to_le_bytes()).collect();
    home.write("src/big", &big);
    home.run(["backup", "src"]).ok();
    let mut command = home.command(["cat", &format!("latest:{}", home.text("src/big"))]);
    assert!(command.output().unwrap().stdout == big, "the content differs");
    home.run(["cat", &format!("latest:{}", home.text("src"))]).fails(
        1,
        "is a directory, not a file",
        "",
    );
    home.run(["cat", "latest"]).fails(2, "no file is named", "write SNAP:PATH");
}

/// Whoever only looks changes nothing in the repository, also on a machine that has no copies.
#[test]
fn looking_changes_nothing() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    home.write("src/new", "new");
    home.run(["backup", "src"]).ok();
    let file = format!("latest:{}", home.text("src/a.txt"));
    let before = home.tree("repo");
    for cache in ["--cache-dir=.cache/drumlin", "--cache-dir=empty"] {
        for command in [
            &["snapshots"][..],
            &["snapshots", "--forgotten"],
            &["ls", "-R", "latest"],
            &["cat", &file],
            &["find", "*.txt"],
            &["history", "src/a.txt"],
            &["diff", "latest~1", "latest"],
            &["du", "latest"],
            &["stats"],
            &["cost"],
            &["check", "--level", "full"],
            &["repair"],
            &["key", "list"],
            &["restore", "latest", "--target", "out"],
            &["forget", "--keep-last", "1", "--dry-run"],
            &["prune", "--dry-run"],
        ] {
            home.run(command.iter().chain(&[cache])).ok();
            assert!(home.tree("repo") == before, "{command:?} {cache} changed the repository");
        }
    }
}

/// Of a repository in which nothing may be written everything comes back, also on a machine that
/// has no copies.
#[test]
fn who_may_only_read_restores_and_checks() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let repository = home.text("repo");
    let set = |mode: &str| {
        assert!(Command::new("chmod").args(["-R", mode, &repository]).status().unwrap().success())
    };
    set("a-w");
    let before = home.tree("repo");
    let place = format!("latest:{}", home.text("src"));
    for cache in ["--cache-dir=.cache/drumlin", "--cache-dir=empty"] {
        for command in [
            &["restore", &place, "--target", "out"][..],
            &["check", "--level", "full"],
            &["snapshots"],
            &["cost"],
        ] {
            // Root may write everywhere, unless it gives up its capabilities.
            Ran::of(&home.without_capabilities(command.iter().chain(&[cache])).output().unwrap())
                .ok();
        }
        assert_eq!(home.tree("out"), home.tree("src"));
        fs::remove_dir_all(home.path("out")).unwrap();
    }
    home.write("src/new", "new");
    let refused = Ran::of(&home.without_capabilities(["backup", "src"]).output().unwrap());
    set("u+w");
    assert!(refused.code != 0 && home.tree("repo") == before, "{refused:?}");
}

/// What cannot be read is named on standard error, also with `-q`.
#[test]
fn silence_hides_no_damage() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let packs = std::process::Command::new("sh")
        .args(["-c", "rm -r repo/meta/* .cache/*"])
        .current_dir(home.path(""))
        .status();
    assert!(packs.unwrap().success());
    for command in [&["ls", "-R", "latest"][..], &["find", "x"], &["du", "latest"]] {
        let ran = home.run([&["-q"], command].concat()).code(4);
        assert!(!ran.err.is_empty(), "{command:?}");
    }
}

#[test]
fn an_older_snapshot_is_not_taken_for_the_newest_in_silence() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let known = names_in(&home.path("repo/snapshots"));
    home.write("src/new", "x");
    home.run(["backup", "src"]).ok();
    let newest = names_in(&home.path("repo/snapshots"))
        .into_iter()
        .find(|name| !known.contains(name))
        .unwrap();
    home.write(&format!("repo/snapshots/{newest}"), "damaged");
    std::fs::remove_dir_all(home.path(".cache")).unwrap();
    let first = home.path("src/a.txt").to_str().unwrap().to_owned();
    for command in [
        &["restore", "latest", "--target", "out"][..],
        &["ls", "latest"],
        &["cat", &format!("latest:{first}")],
    ] {
        let ran = home.run([&["-q"], command].concat()).code(4);
        assert!(
            ran.err.contains(&newest[..8]) && ran.err.contains("left out"),
            "{command:?}: {}",
            ran.err
        );
    }
    assert!(home.path("out").exists());
    // Who names another one means that one.
    home.run(["-q", "ls", &known[0][..12]]).ok();
}

fn names_in(folder: &std::path::Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Letters are letters, whatever their bytes.
#[test]
fn letters_beyond_ascii_have_two_cases() {
    let home = Home::with_repository();
    home.write("src/\u{dc}berweisung.pdf", "x");
    home.write("src/\u{42f}\u{431}\u{43b}\u{43e}\u{43a}\u{43e}", "x");
    home.run(["backup", "src"]).ok();
    for pattern in [
        "\u{fc}berw*",
        "\u{dc}BERWEISUNG.PDF",
        "*\u{42f}\u{411}*",
        "\u{44f}?\u{43b}*",
        "[\u{dc}x]*.pdf",
    ] {
        home.run(["find", "-i", pattern]).ok();
        assert!(home.run(["find", "-i", pattern]).ok().out.contains("src/"), "{pattern}");
    }
    assert!(!home.run(["find", "\u{fc}berw*"]).code(0).out.contains("src/"));
}
