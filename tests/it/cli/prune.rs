//! `prune`: options, document, and what it says.

use std::fs;

use serde_json::json;

use crate::support::home::{Home, fields};

const FIELDS: &str = "dropped dry_run freed_bytes index_runs locked_packs locked_until locks outrun plan protected removed_bytes removed_packs \
                      requests running_sessions seconds spared_packs stored_bytes waiting";
const PLAN: &str = "dead_bytes dead_packs dropped left_unused_bytes merged_runs repack_bytes repack_packs repack_unused_bytes young_bytes";

/// A repository with a snapshot, and what another would need whose slot is gone.
fn with_garbage() -> Home {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    home.write(
        "src/noise",
        (0..200_000u32)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect::<Vec<_>>(),
    );
    let id = home.json(["backup", "src"])["snapshot"]["id"].as_str().unwrap().to_owned();
    // As if another machine had forgotten it long ago, and its tombstone was trimmed.
    fs::remove_file(home.path(&format!("repo/snapshots/{id}"))).unwrap();
    fs::remove_dir_all(home.path("repo/intents")).unwrap();
    home
}

#[test]
fn a_plan_changes_nothing_and_a_prune_frees() {
    let home = with_garbage();
    // As on another machine, which remembers nothing.
    fs::remove_dir_all(home.path(".state")).unwrap();
    let cache = home.text("empty-cache");
    let prune = |args: &[&str]| home.json([&["--cache-dir", &cache, "prune"], args].concat());
    let before = home.tree("repo");
    let plan = prune(&["--dry-run"]);
    assert_eq!((fields(&plan), fields(&plan["plan"])), (FIELDS.to_owned(), PLAN.to_owned()));
    assert!(home.tree("repo") == before, "a dry run changed the repository");
    assert!(
        plan["plan"]["young_bytes"].as_u64() > Some(500_000),
        "a backup may be running that has not said so: {plan}"
    );
    let text = home.run(["--cache-dir", &cache, "prune", "--dry-run"]).ok().out;
    assert!(text.starts_with("would remove\n") && text.contains("young"), "{text}");
    let report = prune(&[]);
    assert_eq!((&report["removed_packs"], &report["outrun"]), (&json!(0), &json!(false)));
    home.run(["--cache-dir", &cache, "check", "--level", "full"]).ok();
    assert_eq!(home.run(["--cache-dir", &cache, "prune", "--quiet"]).ok().out, "");
}

/// Whoever takes a snapshot away must not make a prune remove what it needs.
#[test]
fn a_machine_that_knows_better_refuses() {
    let home = with_garbage();
    home.run(["prune"]).fails(5, "repository rollback detected", "an older copy");
}

/// A store that this machine once saw replacing objects: the user has to answer for what it cannot
/// do.
#[test]
fn on_a_store_that_replaces_objects_the_user_must_say_that_no_other_runs() {
    let home = Home::with_repository();
    drumlin::repo::open::probe::remember(&super::forget::open(&home)).unwrap();
    let cache = home.text("cache");
    let prune = |options: &[&str]| home.run([&["--cache-dir", &cache, "prune"], options].concat());
    prune(&[]).fails(1, "this store replaces objects", "--only-collector");
    let told = prune(&["--only-collector"]).ok();
    assert!(
        told.err.contains("this store replaces objects: data of interrupted backups stays"),
        "{}",
        told.err
    );
    prune(&["--dry-run"]).ok();
    let elsewhere = home.run(["prune"]).ok();
    assert!(
        !elsewhere.err.contains("replaces"),
        "another machine finds that a folder excludes: {}",
        elsewhere.err
    );
}

/// What is needed stays locked, what is not is freed when its lock ends, and both are said.
#[cfg(feature = "s3")]
#[test]
fn locks_are_extended() {
    let server = crate::support::servers::moto::start();
    let bucket = "locked";
    server.as_owner(|owner| {
        owner.create_bucket().bucket(bucket).object_lock_enabled_for_bucket(true).send()
    });
    let home = Home::with_bucket(
        server.port(),
        &format!("{bucket}/a"),
        "lock = { mode = \"governance\", days = 3 }",
    );
    home.write("src/large", crate::support::fixture::noise(1, 300_000));
    home.run(["init"]).ok();
    home.run(["backup", "src"]).ok();
    home.write("src/large", crate::support::fixture::noise(2, 300_000));
    home.run(["backup", "src"]).ok();
    home.run(["forget", "latest~1", "--force"]).ok();
    let prune = ["prune", "--trash", "0d", "--extend-locks", "30d"];
    let plan = home.json([&prune[..], &["--dry-run"]].concat());
    assert_eq!(fields(&plan["locks"]), "bytes extended extended_bytes objects until");
    assert_eq!(
        (&plan["locks"]["extended"], &plan["locked_packs"]),
        (&plan["locks"]["objects"], &json!(0)),
        "{plan}"
    );
    let report = home.json(prune);
    let (locks, removed) = (&report["locks"], &report["removed_packs"]);
    assert!(
        removed.as_u64() > Some(0)
            && report["locked_packs"] == *removed
            && report["locked_until"].is_string(),
        "{report}"
    );
    assert!(
        locks["extended"].as_u64() > Some(4) && locks["extended"] == locks["objects"],
        "{report}"
    );
    let said = home.run(["prune", "--extend-locks", "5d"]).ok().out;
    assert!(
        said.contains("; 0 extended\n") && !said.contains("locked "),
        "a lock never becomes shorter: {said}"
    );
    home.run(["check", "--level", "full", "--cache-dir", "cold"]).ok();
}

#[test]
fn where_nothing_is_locked_no_lock_is_extended() {
    let home = Home::with_repository();
    home.run(["prune", "--extend-locks", "30d"]).fails(1, "are not locked", "lock = {");
}

#[test]
fn wrong_options_are_2() {
    let home = Home::with_repository();
    for args in [
        ["--trash", "soon"],
        ["--max-unused", "101"],
        ["--max-repack", "much"],
        ["--min-age", "old"],
        ["--extend-locks", "0d"],
    ] {
        home.run([&["prune"], &args[..]].concat()).code(2);
    }
}
