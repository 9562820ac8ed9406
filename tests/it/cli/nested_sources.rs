//! Sources that contain each other: a name never means a piece of a snapshot if the whole is there.
//!
//! Method: the same few paths under every command that takes a snapshot, and what each says of its
//! choice.

use crate::support::home::{Home, Ran};

/// Takes a snapshot of all of `u`, then (all newer) one of a part of it and one of something else.
fn home() -> Home {
    let home = Home::with_repository();
    home.write("u/docs/a", "old");
    home.write("u/pics/b", "picture");
    home.write("etc/e", "etc");
    home.run(["backup", "u"]).ok();
    home.write("u/docs/a", "new");
    home.run(["backup", "u/docs"]).ok();
    home.run(["backup", "etc"]).ok();
    home
}

fn short(home: &Home, at: usize) -> String {
    home.json(["snapshots"])["snapshots"][at]["id"].as_str().unwrap()[..8].to_owned()
}

#[track_caller]
fn says(ran: Ran, id: &str, more: &str) -> Ran {
    let ran = ran.ok();
    assert!(
        ran.err.contains(&format!("snapshot {id} of ")) && ran.err.contains(more),
        "{id}, {more}: {}",
        ran.err
    );
    ran
}

#[test]
fn a_newer_piece_is_not_taken_for_the_whole() {
    let home = home();
    let (whole, place) = (short(&home, 0), format!("latest:{}", home.text("u")));
    let newer = "2 newer snapshots do not hold it, or only a part of it";
    for args in [
        &["restore", &place, "-t", "out"][..],
        &["ls", &place],
        &["du", &place],
        &["restore", &place, "-t", "x", "-n"],
    ] {
        says(home.run(args), &whole, newer);
    }
    assert_eq!(
        (home.read("out/docs/a"), home.read("out/pics/b")),
        ("old".to_owned(), "picture".to_owned())
    );
    let document = home.json(["restore", &place, "-t", "other"]);
    assert!(
        document["snapshot"].as_str().unwrap().starts_with(&whole) && document["files"] == 2,
        "{document:#}"
    );
    // What lies in the piece is newest there.
    assert_eq!(
        says(
            home.run(["cat", "latest:u/docs/a"]),
            &short(&home, 1),
            "1 newer snapshot does not hold it"
        )
        .out,
        "new"
    );
    // Before the newest whole one there is none, and one more makes it one.
    home.run(["ls", &format!("latest~1:{}", home.text("u"))]).fails(
        1,
        "only 1 of 3 snapshots are about",
        "paths are stored",
    );
    home.run(["backup", "u"]).ok();
    home.run(["backup", "u/docs", "--always-snapshot"]).ok();
    says(home.run(["ls", &format!("latest~1:{}", home.text("u"))]), &whole, "");
    assert_eq!(home.run(["cat", "latest:u/docs/a", "-q"]).ok().out, "new");
}

#[test]
fn a_piece_is_taken_if_there_is_no_more_and_that_is_said() {
    let home = home();
    let (docs, place) = (short(&home, 1), format!("latest:{}", home.text("u")));
    home.run(["forget", &short(&home, 0), "--force"]).ok();
    let only = format!("of {} it holds only {}", home.text("u"), home.text("u/docs"));
    for args in [&["restore", &place, "-t", "out"][..], &["ls", &place], &["du", &place]] {
        says(home.run(args), &docs, &only);
        says(home.run(args.iter().chain(&["--json"])), &docs, &only);
        says(home.run(args.iter().chain(&["-q"])), &docs, &only);
    }
    // One that was taken away from is none that holds the piece.
    std::fs::remove_dir_all(home.path("u/docs")).unwrap();
    home.write("u/pics/c", "another");
    home.run(["backup", "u/pics"]).ok();
    says(home.run(["ls", &place]), &short(&home, 3 - 1), &home.text("u/pics"));
}

#[test]
fn snapshots_of_an_app_are_chosen_for_a_path_likewise() {
    let home = Home::with_repository();
    home.write("u/docs/a", "a");
    home.write("u/pics/b", "b");
    home.run(["backup", "u", "--app", "wiki"]).ok();
    home.run(["backup", "u/docs", "--app", "wiki"]).ok();
    let at = |path: &str| format!("wiki@2999-01-01:{}", home.text(path));
    says(home.run(["ls", &at("u")]), &short(&home, 0), "wiki@2999-01-01 is");
    says(home.run(["ls", &at("u/docs")]), &short(&home, 1), "");
    home.run(["forget", &short(&home, 0), "--force"]).ok();
    says(home.run(["ls", &at("u")]), &short(&home, 0), "it holds only");
}

#[test]
fn other_sources_make_a_choice_that_is_said() {
    let home = home();
    let etc = format!("it holds {}, and not what others hold", home.text("etc"));
    for args in [
        &["restore", "latest", "-t", "out"][..],
        &["ls", "latest"],
        &["stats", "latest"],
        &["forget", "latest", "-n"],
    ] {
        says(home.run(args), &short(&home, 2), &etc);
    }
    assert!(!home.run(["ls", "latest", "-q"]).ok().err.contains("note:"));
    // Among those of one path there is none, and where all are of the same sources there is none at
    // all.
    assert!(!home.run(["ls", "latest:etc"]).ok().err.contains("note:"));
    home.run(["backup", "etc", "u"]).ok();
    assert_eq!(
        home.run(["cat", "latest:etc/e"]).ok().err,
        "",
        "the newest has all of it, whatever else it has"
    );
    let same = Home::with_repository();
    same.write("u/a", "a");
    same.run(["backup", "u"]).ok();
    same.run(["backup", "u", "--always-snapshot"]).ok();
    assert!(!same.run(["ls", "latest"]).ok().err.contains("note:"));
}

#[test]
fn a_snapshot_of_a_piece_is_no_version_of_the_whole() {
    let home = home();
    let changes = |path: &str| -> Vec<String> {
        let told = home.json(["history", path]);
        told["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["change"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(changes("u"), ["appeared"]);
    assert_eq!(changes("u/docs"), ["appeared", "modified"]);
    assert_eq!(changes("u/pics"), ["appeared"]);
    // Where there is no more than a piece, that has a history.
    home.run(["forget", &short(&home, 0), "--force"]).ok();
    assert_eq!(changes("u"), ["appeared"]);
}
