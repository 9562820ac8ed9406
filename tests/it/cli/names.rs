//! Which snapshot a name means, whatever its date says; and names that are refused.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

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
    for (clock, words) in [("+3d", "3 days ahead"), ("+3h", "hours ahead")] {
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

#[test]
fn locations_of_other_programs_are_refused() {
    let home = Home::with_repository();
    for location in [
        "b2:bucket:path",
        "rclone:remote:path",
        "rest:host/path",
        "azure:container:/",
        "gs:bucket:/",
        "nas:/backup/repo",
        "192.0.2.1:/backup",
        "nas:backup",
        "file:relative",
        "~/repo2",
    ] {
        let ran = home.run(["--repo", location, "init"]).code(2);
        assert!(ran.err.contains("hint: ") && ran.err.contains("./"), "{location}: {}", ran.err);
    }
    home.write(".config/drumlin/drumlin.toml", "[repository.box]\nurl = \"/nowhere/repo\"\n");
    for command in ["init", "snapshots"] {
        home.run(["--repo", "bxo", command]).fails(
            2,
            "there is no repository `bxo`",
            "the configuration has box; write ./bxo",
        );
    }
    assert!(!home.path("bxo").exists());
    home.run(["--repo", "repo", "snapshots"]).ok();
    home.run(["--repo", "./new", "init"]).ok();
}

#[test]
fn empty_variables_are_as_if_they_were_not_set() {
    let home = Home::with_repository();
    home.write("repo.toml", format!("[repository.r]\nurl = \"{}\"\n", home.text("repo")));
    let home = home
        .with("DRUMLIN_REPOSITORY", "")
        .with("DRUMLIN_CACHE_DIR", "")
        .with("DRUMLIN_PASSWORD", "");
    home.run(["snapshots", "--config", "repo.toml"]).ok();
    let home = home.with("DRUMLIN_CONFIG", "");
    home.run(["snapshots", "--repo", "repo"]).ok();
    // What is empty on the command line was meant to be something.
    home.run(["snapshots", "--repo", ""]).fails(2, "location is empty", "--repo");
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_password_key_or_configuration() {
    let home = Home::with_password();
    home.write("marked", b"\xef\xbb\xbfsecret\r\n");
    let home = home.with("DRUMLIN_PASSWORD", "");
    home.run(["snapshots", "--password-file", "marked"]).ok();
    home.run(["key", "add", "--output", "a.key", "--password-file", "marked"]).ok();
    home.write("b.key", [b"\xef\xbb\xbf", home.read("a.key").as_bytes()].concat());
    home.run(["snapshots", "--key-file", "b.key"]).ok();
    home.write("marked.toml", "\u{feff}[repository.r]\nurl = \"repo\"\n");
    home.run(["snapshots", "--config", "marked.toml", "--key-file", "b.key", "--repo", "r"]).ok();
}

#[test]
fn the_key_in_use_is_not_removed() {
    let home = Home::with_password();
    let id = home.json(["key", "list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    home.run(["key", "add", "--output", "a.key"]).ok();
    home.run(["key", "remove", &id]).fails(
        1,
        "is the one that opened the repository now",
        "open it with another",
    );
    home.run(["key", "remove", &id, "--key-file", "a.key"]).ok();
    home.run(["snapshots"]).code(12);
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
        assert_eq!(crate::support::home::fields(&line), "causes event exit_code hint message");
        assert_eq!((&line["event"], &line["exit_code"]), (&"error".into(), &2.into()));
    }
}

/// Sets when a file was changed.
fn changed(home: &Home, file: &str, seconds: u64) {
    let file = std::fs::File::options().write(true).open(home.path(file)).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

#[test]
fn older_than_a_day_is_older_than_its_beginning() {
    let home = Home::with_repository();
    home.write("src/noon", "x");
    // 2026-03-01T12:00:00Z.
    changed(&home, "src/noon", 1_772_366_400);
    home.run(["backup", "src"]).ok();
    let found = |args: &[&str]| {
        home.json(["find", "noon"].iter().chain(args))["entries"].as_array().unwrap().len()
    };
    for (args, count) in [
        (["--older-than", "2026-03-01"], 0),
        (["--older-than", "2026-03-02"], 1),
        (["--older-than", "2026-03-01T12:00:01"], 1),
        (["--older-than", "2026-03-01T12:00"], 0),
        (["--newer-than", "2026-02-28"], 1),
        (["--newer-than", "2026-03-01"], 0),
        (["--newer-than", "2026-03-01T11:59"], 1),
    ] {
        assert_eq!(found(&args), count, "{args:?}");
    }
    assert!(SystemTime::now() > UNIX_EPOCH);
}

#[test]
fn versions_that_differ_in_attributes_only_are_found() {
    let home = Home::with_repository();
    home.write("src/folder/file", "x");
    changed(&home, "src/folder/file", 1_772_366_400);
    let take = || home.run(["backup", "src", "--always-snapshot"]).ok();
    let found = |name: &str| home.json(["find", name])["entries"].as_array().unwrap().len();
    let versions = |path: &str| home.json(["history", path])["versions"].as_array().unwrap().len();
    take();
    take();
    assert_eq!((found("file"), versions("src/folder/file"), versions("src/folder")), (1, 1, 1));
    // Another name: no new time, no new content.
    std::fs::hard_link(home.path("src/folder/file"), home.path("src/other")).unwrap();
    take();
    assert_eq!((found("file"), versions("src/folder/file"), versions("src/folder")), (2, 2, 2));
    // Permissions there and back change the time of the inode, which nobody can set, and nothing
    // else.
    let set = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(home.path("src/folder/file"), permissions).unwrap();
    };
    set(0o600);
    set(0o644);
    take();
    assert_eq!((found("file"), versions("src/folder/file"), versions("src/folder")), (2, 2, 2));
    assert_eq!(
        home.run(["diff", "latest~1:src/folder", "latest:src/folder"]).ok().out,
        "no differences\n"
    );
}

#[test]
fn sums_count_the_content_of_files_and_nothing_else() {
    let home = Home::with_repository();
    home.write("src/a", "12345");
    home.write("src/b", "123");
    std::os::unix::fs::symlink("a-target-of-some-length", home.path("src/link")).unwrap();
    home.run(["backup", "src"]).ok();
    let usage = home.json(["du", "latest:src", "-a"]);
    let bytes: Vec<u64> = usage["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["bytes"].as_u64().unwrap())
        .collect();
    assert_eq!(bytes, [8, 5, 3, 0]);
    assert_eq!(home.json(["du", "latest:src/link"])["entries"][0]["bytes"], 0);
    let stats = home.json(["stats"]);
    assert_eq!(
        (&stats["bytes"], &stats["unique_bytes"], &stats["inline_bytes"]),
        (&8.into(), &8.into(), &8.into())
    );
    let one = home.json(["stats", "latest"]);
    assert_eq!((&one["unique_bytes"], &one["inline_bytes"]), (&8.into(), &8.into()));
    std::fs::remove_file(home.path("src/link")).unwrap();
    home.write("src/c", "1");
    home.run(["backup", "src"]).ok();
    let summary = home.json(["diff", "latest~1", "latest"])["summary"].clone();
    assert_eq!(
        (&summary["added_bytes"], &summary["removed"], &summary["removed_bytes"]),
        (&1.into(), &1.into(), &0.into())
    );
}

/// A repository of another version of the format is not taken for a damaged one, nor for none.
#[test]
fn a_repository_of_another_number_is_refused_in_plain_words() {
    let home = Home::with_repository();
    home.write("src/a", "x");
    home.run(["backup", "src"]).ok();
    for (name, mut bytes) in home.tree("repo") {
        // Key slots and containers have the version behind the 8 bytes of their magic.
        if bytes.len() > 10 && bytes[0] == 0x93 {
            bytes[9] += 1;
            std::fs::remove_file(home.path(&format!("repo/{name}"))).unwrap();
            home.write(&format!("repo/{name}"), bytes);
        }
    }
    let before = home.tree("repo");
    for command in ["snapshots", "check", "backup src", "prune", "repair"] {
        let ran = home.run(command.split(' ').chain(["--cache-dir=empty"]));
        let ran = ran.fails(
            1,
            "cannot be understood",
            "use the version of Drumlin that made the repository",
        );
        assert!(ran.err.contains("written by another version of the format"), "{command}: {ran:?}");
    }
    home.run(["init"]).fails(1, "there already is a repository at", "choose another place");
    assert!(home.tree("repo") == before);
}
