//! This machine's memory of a place: an older state, another repository, a lost config, and
//! additions of others. Method: folders are moved while the program does not look, as a store or a
//! person would.

use std::collections::BTreeSet;
use std::fs;

use drumlin::crypto::slot::slot_id;
use drumlin::format::slot::{Slot, SlotKdf};

use crate::support::fixture::{copy_folder, files_below, noise};
use crate::support::home::{COMMANDS, Home, Ran};

/// A home with a repository of one snapshot, and `old`, a copy of it from before the second.
fn with_old_copy() -> Home {
    let home = Home::with_repository();
    home.write("src/f", "one");
    home.run(["backup", "src"]).ok();
    copy_folder(&home.path("repo"), &home.path("old"));
    home.write("src/f", "two, longer");
    home.run(["backup", "src"]).ok();
    home
}

fn swap(home: &Home, one: &str, other: &str) {
    fs::rename(home.path(one), home.path("away")).unwrap();
    fs::rename(home.path(other), home.path(one)).unwrap();
    fs::rename(home.path("away"), home.path(other)).unwrap();
}

/// Commands that make a repository or need none, that wait, or that need an app (`run` opens a
/// repository as `backup` does).
const WITHOUT: [&str; 9] =
    ["quickstart", "init", "run", "apps", "daemon", "config", "mount", "completions", "man"];

/// Commands that read, change or store: all but [`WITHOUT`].
fn all_commands(home: &Home) -> Vec<Vec<String>> {
    let file = format!("latest:{}", home.text("src/f"));
    let commands = [
        "snapshots",
        "snapshots --forgotten",
        "restore latest --target out",
        "restore latest --target out --dry-run",
        "ls latest",
        "cat FILE",
        "find f",
        "history src/f",
        "diff latest latest",
        "du latest",
        "stats",
        "cost",
        "forget --keep-last 1",
        "forget --keep-last 1 --dry-run",
        "undelete --all",
        "check",
        "prune",
        "prune --dry-run",
        "repair",
        "key list",
        "backup src",
    ];
    let first = |command: &str| command.split(' ').next().unwrap().to_owned();
    let named: BTreeSet<String> =
        commands.iter().chain(&WITHOUT).map(|command| first(command)).collect();
    assert_eq!(named, BTreeSet::from(COMMANDS.map(str::to_owned)));
    let words =
        |command: &str| command.split(' ').map(|word| word.replace("FILE", &file)).collect();
    commands.iter().map(|command| words(command)).collect()
}

/// Every command notices that the repository went back, also if the local copies are gone; what was
/// put back on purpose is accepted once.
#[test]
fn going_back_in_time_is_noticed_by_every_command() {
    let home = with_old_copy();
    swap(&home, "repo", "old");
    let before = home.tree("repo");
    for command in all_commands(&home) {
        for cache in ["--cache-dir=.cache/drumlin", "--cache-dir=empty"] {
            let ran = home.run(command.iter().map(String::as_str).chain([cache])).code(5);
            assert!(
                ran.err.contains("repository rollback detected")
                    || ran.out.contains("repository rollback detected"),
                "{command:?} {cache}: {ran:?}"
            );
            let _ = fs::remove_dir_all(home.path("empty"));
        }
    }
    assert!(home.tree("repo") == before && !home.path("out").exists(), "something was changed");
    // The local copies know it too, where the rest was deleted.
    let state = home.tree(".state");
    fs::rename(home.path(".state"), home.path("state-before")).unwrap();
    for command in all_commands(&home) {
        home.run(&command).code(5);
        let _ = fs::remove_dir_all(home.path(".state"));
    }
    fs::rename(home.path("state-before"), home.path(".state")).unwrap();
    assert_eq!(home.tree(".state"), state);
    home.write("src/g", "three");
    home.run(["backup", "src"]).fails(5, "repository rollback detected", "--accept-rollback");
    let only = home.json(["snapshots", "--accept-rollback"]);
    assert_eq!(only["snapshots"].as_array().unwrap().len(), 1);
    for command in all_commands(&home) {
        home.run(&command).ok();
    }
}

/// So does the run of an app, which ends with the code that `backup` would have, and is told as
/// failed.
#[test]
fn going_back_in_time_is_noticed_by_a_run() {
    let home = with_old_copy().with("DRUMLIN_CONFIG", "drumlin.toml");
    home.write("drumlin.toml", "[app.wiki]\npaths = \"src\"\n");
    swap(&home, "repo", "old");
    let before = home.tree("repo");
    let ran = home.run(["run", "wiki", "--json"]).code(5);
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let run = &document["runs"][0];
    assert_eq!((&run["status"], &run["snapshot"]), (&"failed".into(), &serde_json::Value::Null));
    assert!(run["error"].as_str().unwrap().contains("repository rollback detected"), "{ran:?}");
    assert!(home.tree("repo") == before, "something was changed");
    home.run(["run", "wiki", "--accept-rollback"]).ok();
    home.run(["run", "wiki"]).ok();
}

/// Two copies that are used in turn at one place are both known, each as it was left, and neither
/// may go back.
#[test]
fn copies_are_used_in_turn() {
    let home = with_old_copy();
    let count = |more: &[&str]| {
        home.run([&["snapshots", "--json"], more].concat()).ok().json()["snapshots"]
            .as_array()
            .unwrap()
            .len()
    };
    swap(&home, "repo", "old");
    assert_eq!(count(&["--accept-rollback"]), 1);
    for round in 0..3 {
        for (is_old, had) in [(true, 1), (false, 2)] {
            home.write(
                "src/f",
                format!(
                    "{round} {is_old}, and of a length of its own{}",
                    "x".repeat(2 * round + usize::from(is_old))
                ),
            );
            home.run(["backup", "src"]).ok();
            assert_eq!(count(&[]), had + round + 1);
            home.run(["prune"]).ok();
            home.run(["check"]).ok();
            swap(&home, "repo", "old");
        }
    }
    fs::rename(home.path("old"), home.path("older")).unwrap();
    copy_folder(&home.path("repo"), &home.path("old"));
    home.write("src/f", "changed once more");
    home.run(["backup", "src"]).ok();
    swap(&home, "repo", "old");
    home.run(["snapshots"]).fails(5, "repository rollback detected", "--accept-rollback");
    swap(&home, "repo", "older");
    assert_eq!(count(&[]), 5);
}

/// Another repository at a known place is refused, whoever opens both, until the user says that it
/// is right.
#[test]
fn another_repository_is_noticed_by_every_command() {
    let home = Home::with_repository();
    home.write("src/f", "one");
    home.run(["backup", "src"]).ok();
    home.run(["init", "--repo", "other"]).ok();
    home.run(["backup", "src", "--repo", "other"]).ok();
    swap(&home, "repo", "other");
    for command in all_commands(&home) {
        home.run(&command).fails(5, "another repository answers", "--accept-new-repository");
        home.run(command.iter().map(String::as_str).chain(["--cache-dir=empty"])).code(5);
    }
    home.run(["snapshots", "--accept-rollback"]).code(5);
    home.run(["snapshots", "--accept-new-repository"]).ok();
    for command in all_commands(&home) {
        home.run(&command).ok();
    }
}

/// The fingerprint is pinned by the command line, the configuration, and the file that opens a
/// repository on a new machine.
#[test]
fn fingerprints_are_pinned() {
    let home = Home::with_repository();
    // A copy of the key file opens another repository, of which the file itself says nothing.
    fs::copy(home.path("test.key"), home.path("copy.key")).unwrap();
    let other = home.json(["init", "--repo", "other", "--key-file", "copy.key"])["repository"]["fingerprint"]
        .as_str()
        .unwrap()
        .to_owned();
    let fingerprint = home.json(["stats"])["repository"]["fingerprint"].as_str().map(str::to_owned);
    let said = home.read("test.key");
    let line =
        said.lines().find_map(|line| line.strip_prefix("# Fingerprint: ")).unwrap().to_owned();
    assert!(fingerprint.is_none_or(|whole| whole.starts_with(&line.replace('-', ""))));
    home.run(["snapshots", "--fingerprint", &line]).ok();
    home.run(["snapshots", "--fingerprint", &other]).fails(
        5,
        "another repository answers",
        "--accept-new-repository",
    );
    home.run(["snapshots", "--fingerprint", "abc"]).code(2);
    home.configure("drumlin.toml", &format!("url = \"repo\"\nfingerprint = \"{line}\"\n"));
    home.run(["--config", "drumlin.toml", "--repo", "far", "snapshots"]).ok();
    home.configure("drumlin.toml", &format!("url = \"repo\"\nfingerprint = \"{other}\"\n"));
    home.run(["--config", "drumlin.toml", "--repo", "far", "snapshots"]).fails(
        5,
        "another repository answers",
        "--accept-new-repository",
    );
    // The key file was made for `repo`; on a machine that knows neither, that is known.
    let new = |args: &[&str]| {
        let _ = fs::remove_dir_all(home.path(".state"));
        home.run(args)
    };
    new(&["snapshots"]).ok();
    new(&["snapshots", "--repo", "other"]).fails(
        5,
        "another repository answers",
        "--accept-new-repository",
    );
    new(&["snapshots", "--repo", "other", "--accept-new-repository"]).ok();
    home.run(["snapshots", "--repo", "other"]).ok();
}

/// A config that is lost is damage; no new repository is made among what is left, and a copy of
/// this machine's is put back.
#[test]
fn a_lost_config_is_damage_and_put_back() {
    let home = Home::with_repository();
    home.write("src/f", "one");
    home.run(["backup", "src"]).ok();
    let config = fs::read(home.path("repo/config/1")).unwrap();
    fs::remove_file(home.path("repo/config/1")).unwrap();
    for command in all_commands(&home) {
        home.run(&command).fails(4, "has lost its config", "drumlin repair --apply");
    }
    home.write("src/g", "two");
    home.run(["backup", "src"]).fails(4, "has lost its config", "drumlin repair --apply");
    home.run(["init"]).fails(4, "has lost its config", "make no new one");
    let stranger = ["repair", "--apply", "--cache-dir=empty"];
    home.run(stranger).fails(4, "has lost its config", "drumlin repair --apply");
    home.run(["repair", "--apply"]).ok();
    assert_eq!(fs::read(home.path("repo/config/1")).unwrap(), config);
    home.run(["backup", "src"]).ok();
    home.run(["check"]).ok();
    // One that is damaged is as bad, and mended likewise.
    home.write("repo/config/1", &config[..10]);
    for args in [
        &["restore", "latest", "--target", "out"][..],
        &["snapshots", "--cache-dir=empty"],
        &["repair"],
        &stranger,
    ] {
        home.run(args).fails(4, "no config of the repository", "drumlin repair --apply");
    }
    home.run(["repair", "--apply"]).ok();
    assert_eq!(fs::read(home.path("repo/config/1")).unwrap(), config);
    home.run(["check"]).ok();
    // Without any key nothing opens, and no password is wrong.
    fs::remove_dir_all(home.path("repo/keys")).unwrap();
    home.run(["snapshots", "--cache-dir=empty"]).fails(4, "has lost its keys", "copy `keys/` back");
}

/// An empty folder, as where a disk is not mounted, is no repository, also for a backup that would
/// find nothing changed.
#[test]
fn an_empty_folder_is_no_repository() {
    let home = Home::with_repository();
    home.write("src/f", "one");
    home.run(["backup", "src"]).ok();
    home.run(["backup", "src"]).ok();
    fs::rename(home.path("repo"), home.path("gone")).unwrap();
    fs::create_dir(home.path("repo")).unwrap();
    for command in all_commands(&home) {
        home.run(&command).fails(10, "there is no repository", "mount the disk");
    }
    home.write("src/f", "two, longer");
    home.run(["backup", "src"]).fails(10, "there is no repository", "mount the disk");
    assert_eq!(fs::read_dir(home.path("repo")).unwrap().count(), 0);
}

/// Where a disk is not mounted no new repository is made, with its folder or without, unless the
/// user says that the old one is gone.
#[test]
fn init_makes_no_repository_in_the_place_of_a_known_one() {
    let home = Home::with_repository();
    home.write("src/f", "one");
    home.run(["backup", "src"]).ok();
    fs::rename(home.path("repo"), home.path("gone")).unwrap();
    home.run(["init"]).fails(10, "there is no repository", "mount the disk");
    home.run(["quickstart", "src"]).fails(10, "there is no repository", "mount the disk");
    home.run(["snapshots"]).fails(10, "there is no repository", "mount the disk");
    assert!(!home.path("repo").exists());
    fs::create_dir(home.path("repo")).unwrap();
    home.run(["init"]).fails(10, "there is no repository", "--accept-new-repository");
    home.run(["backup", "src"]).code(10);
    assert_eq!(fs::read_dir(home.path("repo")).unwrap().count(), 0);
    // It is mounted again.
    fs::remove_dir(home.path("repo")).unwrap();
    fs::rename(home.path("gone"), home.path("repo")).unwrap();
    home.run(["init"]).fails(1, "there already is a repository", "choose another place");
    home.run(["backup", "src"]).ok();
    fs::rename(home.path("repo"), home.path("gone")).unwrap();
    home.run(["init", "--accept-new-repository"]).ok();
    home.run(["backup", "src"]).ok();
    assert_eq!(home.json(["snapshots"])["snapshots"].as_array().unwrap().len(), 1);
}

/// Nothing was stored yet: what this machine remembers, the second key or the reserve tell that
/// there was a config.
#[test]
fn a_config_that_is_lost_before_anything_is_stored_is_lost_all_the_same() {
    let home = Home::with_repository();
    let config = fs::read(home.path("repo/config/1")).unwrap();
    fs::remove_file(home.path("repo/config/1")).unwrap();
    home.write("src/f", "one");
    for command in [
        &["init"][..],
        &["snapshots"],
        &["check"],
        &["backup", "src"],
        &["key", "list"],
        &["quickstart", "src"],
    ] {
        home.run(command).fails(4, "has lost its config", "make no new one there");
    }
    // The reserve tells a machine that knows nothing.
    let stranger = || {
        let _ = fs::rename(home.path(".state"), home.path(".known"));
        let ran = home.run(["init", "--cache-dir=empty"]);
        let _ = fs::remove_dir_all(home.path(".state"));
        fs::rename(home.path(".known"), home.path(".state")).unwrap();
        ran
    };
    stranger().fails(4, "has lost its config", "make no new one there");
    fs::remove_file(home.path("repo/probe/reserve")).unwrap();
    home.run(["repair", "--apply"]).ok();
    assert_eq!(fs::read(home.path("repo/config/1")).unwrap(), config);
    let _ = fs::remove_file(home.path("repo/probe/reserve"));
    home.run(["key", "add", "--output", "kit.txt"]).ok();
    fs::remove_file(home.path("repo/config/1")).unwrap();
    stranger().fails(4, "has lost its config", "make no new one there");
    home.run(["repair", "--apply"]).ok();
    home.run(["backup", "src"]).ok();
    home.run(["check"]).ok();
}

/// What a dry run is told to accept is not remembered.
#[test]
fn a_dry_run_accepts_nothing_for_later() {
    let home = with_old_copy();
    home.run(["init", "--repo", "other"]).ok();
    home.run(["backup", "src", "--repo", "other"]).ok();
    let dry = [
        &["backup", "src", "--dry-run"][..],
        &["restore", "latest", "--target", "out", "--dry-run"],
        &["restore", "latest", "--target", "out", "--plan"],
        &["forget", "--keep-last", "1", "--dry-run"],
        &["forget", "--keep-last", "1", "--simulate", "1y"],
        &["prune", "--dry-run"],
        &["repair"],
    ];
    for (other, option) in [("old", "--accept-rollback"), ("other", "--accept-new-repository")] {
        swap(&home, "repo", other);
        let before = home.tree(".state/places");
        for command in dry {
            home.run(command.iter().chain(&[option])).ok();
            assert!(home.tree(".state/places") == before, "{command:?}");
            home.run(["snapshots"]).code(5);
            home.run(command).code(5);
        }
        swap(&home, "repo", other);
        home.run(["snapshots"]).ok();
    }
    // What they learnt is not mixed up with what is accepted in earnest.
    swap(&home, "repo", "old");
    home.run(["snapshots", "--accept-rollback"]).ok();
    home.run(["backup", "src"]).ok();
    home.run(["check"]).ok();
}

/// What lies in the place of this machine's memory and is no file is not waited for; nor is one
/// believed that everybody may replace.
#[test]
fn a_memory_that_is_no_file_or_everybodys_is_said_and_stops_nothing() {
    let home = Home::with_repository();
    home.write("src/f", "one");
    home.run(["backup", "src"]).ok();
    let place = fs::read_dir(home.path(".state/places")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(place.join("memory.json")).unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(place.join("memory.json"))
            .status()
            .unwrap()
            .success()
    );
    assert!(home.run(["snapshots"]).ok().err.contains("it is too long, or not a regular file"));
    fs::remove_file(place.join("memory.json")).unwrap();
    assert_eq!(home.run(["snapshots"]).ok().err, "");
    let everybodys: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(home.path(".state"), everybodys).unwrap();
    assert!(home.run(["snapshots"]).ok().err.contains("others may write to it"));
}

/// An init that died, or lost a race, left a key: that hinders neither the next one nor a check.
#[test]
fn what_an_interrupted_init_left_is_no_damage() {
    let home = Home::with_repository();
    home.run(["init", "--repo", "begun"]).ok();
    // What comes after the config, and so was not done.
    fs::remove_file(home.path("begun/config/1")).unwrap();
    for part in ["reserve", "reserve-marks"] {
        fs::remove_file(home.path("begun/probe").join(part)).unwrap();
    }
    fs::remove_dir_all(home.path(".state")).unwrap();
    home.run(["snapshots", "--repo", "begun"]).fails(10, "there is no repository", "drumlin init");
    home.run(["init", "--repo", "begun"]).ok();
    home.run(["backup", "--repo", "begun", "test.key"]).ok();
    let check = home.run(["check", "--repo", "begun", "--level", "full"]).ok();
    assert!(
        format!("{}{}", check.out, check.err).contains("is a key of another repository"),
        "{check:?}"
    );
}

/// Who may only add objects, and has no key, keeps nobody from reading.
#[test]
fn garbage_locks_nobody_out() {
    let home = Home::with_password();
    home.write("src/f", "one");
    home.run(["backup", "src"]).ok();
    for number in 0..300 {
        home.write(&format!("repo/config/{}", u64::MAX - number), "x");
        home.write(&format!("repo/keys/{number:032x}"), "x");
    }
    home.write("repo/gc/7.condemned", "x");
    home.write("repo/gc/7.verdict", "x");
    home.write(&format!("repo/intents/{:032x}.0", 7), "x");
    home.write(&format!("repo/snapshots/{:032x}.forgotten", 7), "x");
    let huge = fs::File::create(home.path(&format!("repo/snapshots/{:032x}", 8))).unwrap();
    huge.set_len(200 << 20).unwrap();
    for cache in ["--cache-dir=.cache/drumlin", "--cache-dir=empty"] {
        let ran = home.run(["restore", "latest", "--target", "out", cache]).ok();
        assert!(ran.err.contains(&format!("config/{}", u64::MAX)), "{}", ran.err);
        assert!(ran.err.contains("remove this object with the store"), "{}", ran.err);
        let restored = home.path("out").join(home.text("src/f").trim_start_matches('/'));
        assert_eq!(fs::read_to_string(restored).unwrap(), "one");
        fs::remove_dir_all(home.path("out")).unwrap();
        for command in ["snapshots", "ls latest", "key list"] {
            let words = command.split(' ').chain([cache]);
            assert!([0, 4].contains(&home.run(words).code), "{command}");
        }
    }
    // What is counted is named beside what is not.
    let counted = home.run(["stats"]).code(4);
    assert!(
        counted.out.contains("1 snapshot of 1 file")
            && counted.err.contains("snapshot 00000000 is not counted"),
        "{counted:?}"
    );
    // Whoever stores or removes stops, and says what it is about.
    home.write("src/f", "two, longer");
    let named = home.run(["backup", "src"]).code(4);
    let what = ["config/", "gc/7."].iter().any(|object| named.err.contains(object));
    assert!(what && named.err.contains("remove this object with the store"), "{}", named.err);
    (0..300).for_each(|number| {
        fs::remove_file(home.path(&format!("repo/config/{}", u64::MAX - number))).unwrap()
    });
    for (object, also) in [("gc/7.", "gc/7.condemned"), ("intents/", "")] {
        let named = home.run(["prune"]).code(4);
        assert!(
            named.err.contains(object) && named.err.contains("remove this object with the store"),
            "{}",
            named.err
        );
        if !also.is_empty() {
            fs::remove_file(home.path("repo/gc/7.condemned")).unwrap();
            fs::remove_file(home.path("repo/gc/7.verdict")).unwrap();
        }
    }
    let found = home.run(["check"]).code(4);
    for object in ["keys/", "intents/", "snapshots/00000000000000000000000000000008"] {
        assert!(found.out.contains(object), "{object}: {}", found.out);
    }
}

/// Keys that were planted to cost this machine much are not tried before the right one, nor at all
/// if they are absurd; `--key` names one.
#[test]
fn dear_keys_are_tried_last_or_not_at_all() {
    let home = Home::with_password();
    let id = home.json(["key", "list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    let good = Slot::decode(&fs::read(home.path(&format!("repo/keys/{id}"))).unwrap()).unwrap();
    for number in 0..70 {
        let kdf = SlotKdf::Passphrase { memory_kib: 4 << 20, passes: 64, lanes: 1 };
        let planted = Slot { kdf, salt: [number; 32], ..good.clone() };
        home.write(&format!("repo/keys/{}", slot_id(&planted)), planted.encode());
    }
    home.run(["snapshots", "--cache-dir=empty"]).ok();
    home.run(["snapshots", "--key", &id[..8]]).ok();
    home.run(["snapshots", "--key", "no such key"]).fails(1, "no key matches", "drumlin key list");
    home.write("wrong", "not this one");
    let wrong = home
        .command(["snapshots", "--password-file", "wrong"])
        .env_remove("DRUMLIN_PASSWORD")
        .output()
        .unwrap();
    Ran::of(&wrong).fails(12, "70 would cost too much to try", "--key ID");
}

/// A snapshot that is hidden between others is told of by whatever lists, and no other is taken for
/// it.
#[test]
fn a_hidden_snapshot_is_told_of_and_no_other_is_taken_for_it() {
    let home = Home::with_repository();
    for round in ["one", "two, longer", "three, longer still"] {
        home.write("src/f", round);
        home.run(["backup", "src"]).ok();
    }
    let all = home.snapshot_ids();
    home.run(["restore", "latest~1", "--target", "out", "--dry-run"]).ok();
    fs::rename(home.path(&format!("repo/snapshots/{}", all[1])), home.path("hidden")).unwrap();
    fs::remove_dir_all(home.path(".cache")).unwrap();
    for command in [
        &["snapshots"][..],
        &["history", "src/f"],
        &["ls", "latest"],
        &["-q", "find", "f"],
        &["stats"],
        &["forget", "--dry-run", "--keep-last", "5"],
    ] {
        let ran = home.run(command).ok();
        assert!(ran.err.contains("is missing, and nobody forgot it"), "{command:?}: {ran:?}");
    }
    for name in ["latest~1", "latest~2", "@2100-01-01"] {
        let ran = home.run(["restore", name, "--target", "out"]).code(5);
        assert!(ran.err.contains("repository rollback detected"), "{ran:?}");
    }
    home.run(["restore", &all[0], "--target", "out"]).ok();
    home.run(["prune", "--dry-run"]).code(5);
    home.run(["restore", "latest~1", "--target", "old", "--accept-rollback"]).ok();
    assert_eq!(home.run(["snapshots"]).ok().err, "");
    fs::rename(home.path("hidden"), home.path(&format!("repo/snapshots/{}", all[1]))).unwrap();
    assert_eq!(home.snapshot_ids(), all);
    // What was forgotten is not missed by anybody.
    home.run(["forget", &all[1]]).ok();
    home.run(["prune", "--trash", "0d"]).ok();
    for cache in ["--cache-dir=.cache/drumlin", "--cache-dir=empty"] {
        assert_eq!(home.run(["snapshots", cache]).ok().err, "");
        home.run(["restore", "latest~1", "--target", "old", "--dry-run", cache]).ok();
    }
}

/// A tombstone that was taken back and stands there again is noticed by every command that lists,
/// and taken back once more.
#[test]
fn a_tombstone_that_is_put_back_is_noticed_by_every_command_that_lists() {
    let home = Home::with_repository();
    home.write("src/f", "one");
    home.run(["backup", "src"]).ok();
    home.write("src/f", "two, longer");
    home.run(["backup", "src"]).ok();
    let last = home.snapshot_ids().pop().unwrap();
    let tombstone = home.path(&format!("repo/snapshots/{last}.forgotten"));
    home.run(["forget", &last, "--force"]).ok();
    let bytes = fs::read(&tombstone).unwrap();
    home.run(["undelete", &last]).ok();
    fs::write(&tombstone, &bytes).unwrap();
    for command in [
        "snapshots",
        "restore latest --target out",
        "ls latest",
        "check",
        "stats",
        "find f",
        "forget --keep-last 1",
        "prune",
    ] {
        let ran = home.run(command.split(' ')).code(5);
        assert!(format!("{}{}", ran.out, ran.err).contains("was taken back"), "{command}: {ran:?}");
    }
    home.run(["undelete", &last]).ok();
    assert_eq!(home.snapshot_ids().len(), 2);
    // Nor does it explain where a snapshot went.
    fs::write(&tombstone, &bytes).unwrap();
    let slot = home.path(&format!("repo/snapshots/{last}"));
    fs::rename(&slot, home.path("hidden")).unwrap();
    for command in ["snapshots", "restore latest --target out", "check", "prune"] {
        home.run(command.split(' ')).code(5);
    }
    fs::rename(home.path("hidden"), &slot).unwrap();
    // Who put it back on purpose says so once.
    assert_eq!(
        home.json(["snapshots", "--accept-rollback"])["snapshots"].as_array().unwrap().len(),
        1
    );
    assert_eq!(home.snapshot_ids().len(), 1);
    home.run(["check"]).ok();
}

/// Many keys that look older than the right one are not all read; then that is what is said, and
/// not what is wrong with one of them.
#[test]
fn more_keys_than_are_read_are_said_to_be_too_many() {
    let home = Home::with_password();
    let id = home.json(["key", "list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_577_836_800);
    for number in 0..1_100 {
        let name = format!("repo/keys/{number:032x}");
        home.write(&name, "x");
        fs::File::options().write(true).open(home.path(&name)).unwrap().set_modified(then).unwrap();
    }
    // A machine that has not used the repository does not know which one is right.
    let anew = |more: &[&str]| {
        let words = [&["snapshots", "--cache-dir=empty"], more].concat();
        Ran::of(&home.command(words).env("DRUMLIN_STATE_DIR", "fresh").output().unwrap())
    };
    anew(&[]).fails(
        12,
        "no key that was tried opens the repository, and 77 would cost too much to try",
        "--key ID",
    );
    anew(&["--key", &id[..8]]).ok();
}

/// Who may only add objects keeps nobody from reading by the index either; nothing is stored or
/// removed until it is mended.
#[test]
fn garbage_in_the_index_keeps_nobody_from_reading() {
    let home = Home::with_repository();
    home.write("src/f", noise(1, 20_000));
    home.run(["backup", "src"]).ok();
    let file = format!("latest:{}", home.text("src/f"));
    let planted = [7, 8].map(|number| format!("index/0/{number:064x}"));
    home.write(&format!("repo/{}", planted[0]), "junk");
    home.write(&format!("repo/{}", planted[1]), "");
    fs::File::create(home.path(&format!("repo/{}", planted[1])))
        .unwrap()
        .set_len(200 << 20)
        .unwrap();
    let commands = [
        "restore latest --target out --overwrite always",
        "ls latest",
        "cat FILE",
        "find f",
        "du latest",
        "history src/f",
        "stats",
    ];
    for cache in ["--cache-dir=.cache/drumlin", "--cache-dir=empty"] {
        for command in commands {
            let words = command.split(' ').map(|word| if word == "FILE" { &file } else { word });
            let ran = home.run(words.chain([cache, "-q"])).ok();
            for object in &planted {
                assert!(
                    ran.err.contains(&format!("{object} is damaged"))
                        && ran.err.contains("is left out"),
                    "{command}: {ran:?}"
                );
                assert_eq!(ran.err.matches(object.as_str()).count(), 1, "{command}: {ran:?}");
            }
            assert!(ran.err.contains("drumlin repair --apply"), "{command}: {ran:?}");
        }
        let restored = home.path("out").join(home.text("src/f").trim_start_matches('/'));
        assert!(fs::read(restored).unwrap() == noise(1, 20_000));
        fs::remove_dir_all(home.path("out")).unwrap();
    }
    home.write("src/f", noise(2, 20_000));
    for command in [&["backup", "src", "--cache-dir=anew"][..], &["prune"]] {
        home.run(command).fails(4, "index/0/", "removed with the store's own tools");
    }
    planted
        .iter()
        .for_each(|object| fs::remove_file(home.path(&format!("repo/{object}"))).unwrap());
    home.run(["backup", "src"]).ok();
    home.run(["check"]).ok();
}

/// What a damaged run alone knows is missing, which is damage like any other.
#[test]
fn what_a_damaged_run_would_say_is_missing() {
    let home = Home::with_repository();
    home.write("src/f", noise(1, 20_000));
    home.run(["backup", "src"]).ok();
    let run = files_below(&home.path("repo/index")).pop().unwrap();
    let mut bytes = fs::read(&run).unwrap();
    bytes[200] ^= 1;
    fs::write(&run, bytes).unwrap();
    for command in ["restore latest --target out", "ls latest", "stats", "find f"] {
        let ran = home.run(command.split(' ').chain(["--cache-dir=empty"])).code(4);
        assert!(
            ran.err.contains("is left out") && ran.err.contains("is missing from the repository"),
            "{command}: {ran:?}"
        );
    }
    home.run(["repair", "--apply"]).code(0);
    home.run(["restore", "latest", "--target", "out", "--cache-dir=empty"]).ok();
}

/// A folder is one place, by whatever path it is called; and a path that leads elsewhere since is
/// still the one that was known.
#[test]
fn a_known_folder_is_known_under_every_name() {
    let home = with_old_copy();
    swap(&home, "repo", "old");
    std::os::unix::fs::symlink("repo", home.path("link")).unwrap();
    for name in ["repo", "./repo", "src/../repo", "link", "link/../repo", "link/"] {
        home.run(["snapshots", "-r", name]).fails(
            5,
            "repository rollback detected",
            "--accept-rollback",
        );
    }
    swap(&home, "repo", "old");
    home.run(["snapshots", "-r", "link"]).ok();
    // One that was only ever called by a link, which is turned to an older copy that nobody has
    // seen.
    let home = Home::new().with("DRUMLIN_REPOSITORY", "link").with("DRUMLIN_KEY_FILE", "test.key");
    fs::create_dir(home.path("new")).unwrap();
    std::os::unix::fs::symlink("new", home.path("link")).unwrap();
    home.run(["init"]).ok();
    home.write("src/f", "one");
    home.run(["backup", "src"]).ok();
    copy_folder(&home.path("new"), &home.path("older"));
    home.write("src/f", "two, longer");
    home.run(["backup", "src"]).ok();
    fs::remove_file(home.path("link")).unwrap();
    std::os::unix::fs::symlink("older", home.path("link")).unwrap();
    home.run(["snapshots"]).fails(5, "repository rollback detected", "--accept-rollback");
    home.run(["snapshots", "-r", "new"]).ok();
}
