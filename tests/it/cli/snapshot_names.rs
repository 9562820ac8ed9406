//! Names of snapshots: `latest` follows the chain, whatever dates say.

use std::time::{Duration, SystemTime};

use crate::support::fixture::copy_folder;
use crate::support::home::{Home, Ran};

/// Takes a snapshot of `src/number` by a clock that is wrong by so much.
fn take(home: &Home, number: &str, clock: &str, more: &[&str]) -> Ran {
    home.write("src/number", number);
    let args = ["backup", "src", "--always-snapshot"].iter().chain(more);
    match clock {
        "" => home.run(args).ok(),
        clock => Ran::of(&home.wrapped(&["faketime", "-f", clock], args).output().unwrap()).ok(),
    }
}

fn number(home: &Home, snap: &str, more: &[&str]) -> String {
    let place = format!("{snap}:{}", home.text("src/number"));
    home.run(["cat", &place].iter().chain(more)).ok().out
}

#[test]
fn latest_follows_the_chain_whatever_the_clock_said() {
    let home = Home::with_repository();
    take(&home, "1", "", &[]);
    let ahead = take(&home, "2", "+9601h", &[]);
    assert!(ahead.err.contains("dated in the future"), "it is said when it is made: {}", ahead.err);
    let back = take(&home, "3", "", &[]);
    assert!(back.err.contains("the clock went back by 400 days"), "{}", back.err);
    take(&home, "4", "-900d", &[]);
    for (snap, expected) in
        [("latest", "4"), ("latest~1", "3"), ("latest~2", "2"), ("latest~3", "1")]
    {
        assert_eq!(number(&home, snap, &[]), expected, "{snap}");
    }
    // A time is not deceived either: what came after the second was not there two years ago.
    home.run(["ls", "@2020-01-01"]).fails(
        1,
        "no snapshot matches '@2020-01-01'",
        "`drumlin snapshots`",
    );
    let listed = home.run(["snapshots"]).ok();
    assert!(listed.err.contains("its place in the chain counts, not the date"), "{}", listed.err);
    assert_eq!(home.json(["snapshots", "--latest", "1"])["snapshots"][0]["sequence"], 4);
    let tree = home.run(["ls", "latest"]).ok();
    assert!(
        tree.err.contains("is dated") && tree.err.contains("latest is snapshot"),
        "{}",
        tree.err
    );
    // Without its notes a backup compares with the end of the chain, too.
    std::fs::remove_dir_all(home.path(".cache")).unwrap();
    home.run(["backup", "src"]).ok();
    assert!(home.run(["backup", "src"]).ok().out.contains("nothing has changed"));
}

#[test]
fn a_clock_that_is_ahead_is_told_when_a_snapshot_is_made() {
    for (clock, words) in [("+74h", "3 days ahead"), ("+3h", "hours ahead")] {
        let home = Home::with_repository();
        assert!(!take(&home, "1", "", &[]).err.contains("future"));
        let said = take(&home, "2", clock, &[]).err;
        assert!(
            said.contains("dated in the future: the clock here is") && said.contains(words),
            "{said}"
        );
    }
}

/// A machine that goes back to an older state of itself, or two that have one name, part a chain:
/// the branches are ordered by their dates.
#[test]
fn latest_of_a_chain_that_has_parted_is_the_newest() {
    let home = Home::with_repository();
    let copy = |from: &str, to: &str| {
        for folder in [".cache", ".state"] {
            copy_folder(
                &home.path(&format!("{from}{folder}")),
                &home.path(&format!("{to}{folder}")),
            );
        }
    };
    (1..=3).for_each(|number| drop(take(&home, &number.to_string(), "", &[])));
    copy("", "before/");
    (4..=6).for_each(|number| drop(take(&home, &number.to_string(), "", &[])));
    for folder in [".cache", ".state"] {
        std::fs::remove_dir_all(home.path(folder)).unwrap();
    }
    copy("before/", "");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    take(&home, "7", "", &[]);
    for (snap, expected) in [("latest", "7"), ("latest~1", "6"), ("latest~2", "5")] {
        assert_eq!(number(&home, snap, &[]), expected, "{snap}");
    }
    // Also where most of a branch is gone.
    let list = home.json(["snapshots"]);
    let ids: Vec<&str> = list["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    home.run(["forget", "--force", ids[0], ids[1], ids[2], ids[3], ids[4]]).ok();
    assert_eq!(
        (number(&home, "latest", &[]), number(&home, "latest~1", &[])),
        ("7".to_owned(), "6".to_owned())
    );
    take(&home, "8", "", &[]);
    assert_eq!(number(&home, "latest", &[]), "8");
}

/// A disk's times are those of the same clock: one that ran ahead proves nothing about what
/// followed, also when most of that is gone.
#[test]
fn a_clock_that_ran_ahead_once_means_nothing_later() {
    let home = Home::with_repository();
    take(&home, "1", "+400d", &[]);
    let slot =
        std::fs::read_dir(home.path("repo/snapshots")).unwrap().next().unwrap().unwrap().path();
    let ahead = SystemTime::now() + Duration::from_secs(400 * 86_400);
    std::fs::File::options().append(true).open(slot).unwrap().set_modified(ahead).unwrap();
    (2..=4).for_each(|number| drop(take(&home, &number.to_string(), "", &[])));
    let list = home.json(["snapshots"]);
    let id = |at: usize| list["snapshots"][at]["id"].as_str().unwrap().to_owned();
    home.run(["forget", "--force", &id(1), &id(2)]).ok();
    assert_eq!(number(&home, "latest", &[]), "4");
    home.run(["prune", "--trash", "0d"]).ok();
    assert_eq!(number(&home, "latest", &[]), "4");
}

#[test]
fn latest_is_narrowed_in_every_command_and_said() {
    let home = Home::with_repository();
    take(&home, "1", "", &["--host", "web", "--app", "wiki"]);
    take(&home, "2", "", &["--host", "web", "--tag", "gold"]);
    take(&home, "3", "", &["--host", "db", "--tag", "gold"]);
    for (args, expected) in [
        (&[][..], "3"),
        (&["--host", "web"], "2"),
        (&["--app", "wiki"], "1"),
        (&["--tag", "gold", "--host", "web"], "2"),
        (&["--app", ""], "3"),
    ] {
        assert_eq!(number(&home, "latest", args), expected, "{args:?}");
    }
    let list = home.json(["snapshots"]);
    let id = |at: usize| list["snapshots"][at]["id"].as_str().unwrap()[..8].to_owned();
    let place = format!("latest:{}", home.text("src"));
    for args in [
        &["ls", &place][..],
        &["du", &place],
        &["diff", "latest~1", &place],
        &["restore", &place, "--target", "out"],
        &["restore", &place, "--to-tar", "out.tar"],
        &["stats", "latest"],
        &["find", "number", "--snapshot", &place],
        &["forget", "latest", "--dry-run"],
    ] {
        let run = |more: &[&str]| {
            std::fs::remove_file(home.path("out.tar")).ok();
            home.run(args.iter().chain(more))
        };
        let ran = run(&["--host", "web"]).ok();
        assert!(ran.err.contains(&format!("snapshot {} of web", id(1))), "{args:?}: {}", ran.err);
        let quiet = run(&["--host", "web", "-q"]).ok();
        assert!(!quiet.err.contains("note:"), "{args:?}: {}", quiet.err);
        run(&["--host", "nobody"]).fails(
            1,
            "no snapshot of host nobody matches 'latest",
            "`drumlin snapshots`",
        );
    }
    home.run(["cat", &format!("{place}/number"), "--host", ""]).code(2);
    home.run(["backup", "src", "--host", ""]).code(2);
    home.run(["stats", "--host", "web"]).fails(2, "none is named", "drumlin stats latest");
    // An id says all by itself.
    assert!(!home.run(["ls", &id(0)]).ok().err.contains("note:"));
}

#[test]
fn latest_with_a_path_is_the_newest_that_holds_it() {
    let home = Home::with_repository();
    home.write("wiki/page", "one");
    (0..4).for_each(|number| drop(home.write(&format!("wiki/other-{number}"), "stays")));
    home.run(["backup", "wiki"]).ok();
    home.write("wiki/page", "two");
    home.run(["backup", "wiki"]).ok();
    home.write("shop/order", "three");
    home.run(["backup", "shop"]).ok();
    home.run(["backup", "shop", "--always-snapshot"]).ok();
    let page = home.text("wiki/page");
    let ran = home.run(["cat", &format!("latest:{page}")]).ok();
    assert_eq!(ran.out, "two");
    assert!(ran.err.contains("2 newer snapshots do not hold it"), "{}", ran.err);
    assert_eq!(home.run(["cat", &format!("latest~1:{page}")]).ok().out, "one");
    assert_eq!(home.run(["cat", "latest:shop/order"]).ok().out, "three");
    home.run(["restore", "latest:wiki", "-t", "out"]).ok();
    assert_eq!(home.read("out/page"), "two");
    let only = format!("only 2 of 4 snapshots are about '{page}'");
    home.run(["cat", &format!("latest~2:{page}")]).fails(1, &only, "paths are stored absolute");
    // Of a file that is gone `latest` is the last that had it; what came before it counts as
    // before.
    std::fs::remove_file(home.path("wiki/page")).unwrap();
    home.run(["backup", "wiki"]).ok();
    assert_eq!(home.run(["cat", &format!("latest:{page}")]).ok().out, "two");
    assert_eq!(home.run(["cat", &format!("latest~1:{page}")]).ok().out, "two");
    assert_eq!(home.run(["cat", &format!("latest~2:{page}")]).ok().out, "one");
    home.run(["ls", "latest:/nowhere"]).fails(
        1,
        "there is no '/nowhere' in any of 5 snapshots",
        "paths are stored absolute",
    );
    // `forget` takes the name, and no paths of anything else.
    let told = home.json(["forget", &format!("latest:{page}"), "--dry-run"]);
    let keeps: Vec<bool> = told["groups"][0]["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["keep"] == true)
        .collect();
    assert_eq!((told["groups"].as_array().unwrap().len(), keeps), (1, vec![true, false, true]));
    let id = home.json(["snapshots"])["snapshots"][0]["id"].as_str().unwrap().to_owned();
    home.run(["forget", &format!("{id}:/x")]).fails(2, "not paths of them", "latest:/PATH");
    // What is not backed up any more, because other paths are named now, is the latest of nothing.
    home.run(["backup", "wiki", "shop"]).ok();
    home.run(["backup", "-x", "wiki/other-1", "shop"]).ok();
    assert_eq!(home.run(["cat", "latest:wiki/other-1"]).ok().out, "stays");
    home.write("wiki/page", "four");
    home.run(["backup", "wiki", "shop", "--exclude", "page"]).ok();
    let looked = home.run(["cat", &format!("latest:{page}")]);
    looked.fails(1, "older snapshots of other sources may have it", "`drumlin history");
}
