//! `forget`, `undelete`, and what other commands say about the trash.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use drumlin::container::seal_single;
use drumlin::crypto::phrase::secret_of_words;
use drumlin::crypto::slot::Secret;
use drumlin::format::codec;
use drumlin::format::container::ContainerKind;
use drumlin::format::snapshot::{CommitSlot, Snapshot};
use drumlin::id::SnapshotId;
use drumlin::repo::objects::layout;
use drumlin::repo::{OpenOptions, Repository, snapshots};
use drumlin::store::local::LocalStore;
use serde_json::Value;

use crate::support::home::{Home, fields};

const DAY_S: i64 = 86_400;

/// Makes a home with this many snapshots of one file, as quickly as they come.
fn quick(count: usize) -> Home {
    let home = Home::with_repository();
    for number in 0..count {
        home.write("src/number", number.to_string());
        home.run(["backup", "src"]).ok();
    }
    home
}

/// Opens the repository of a home as the program would with `--cache-dir cache`.
pub fn open(home: &Home) -> Arc<Repository> {
    let secret = Secret::KeyFile(secret_of_words(&home.read("test.key")).unwrap());
    let store = LocalStore::open(&home.path("repo")).unwrap();
    Repository::open(
        Arc::new(store),
        &secret,
        &OpenOptions { cache_dir: home.path("cache"), prefer_cached: false },
    )
    .unwrap()
}

/// Adds a snapshot like the newest, dated `age_s` before it, and stored at another age; returns its
/// id.
pub fn add_dated(
    home: &Home,
    repository: &Arc<Repository>,
    (age_s, stored_age_s): (i64, i64),
    number: u64,
) -> SnapshotId {
    let first = snapshots::list(repository)
        .unwrap()
        .into_iter()
        .min_by_key(|snapshot| snapshot.sequence)
        .unwrap();
    let mut snapshot =
        Snapshot { id: snapshots::new_id(repository).unwrap(), sequence: 10 + number, ..first };
    snapshot.previous = Some([number as u8; 32]);
    snapshot.started.seconds -= age_s;
    snapshot.ended.seconds -= age_s;
    let signed = snapshot.encode();
    let signature = repository.keyring_for_tests().sign().sign_snapshot(&signed);
    let slot = codec::encode(&CommitSlot::Snapshot { signed, signature });
    let sealed = seal_single(
        repository.keyring_for_tests().records().seal(),
        ContainerKind::Snapshot,
        &[number as u8; 32],
        &slot,
    );
    let path = home.write(&format!("repo/{}", layout::snapshot_key(&snapshot.id)), &sealed.bytes);
    let slot = File::open(path).unwrap();
    let stored_age = Duration::from_secs(stored_age_s.unsigned_abs());
    slot.set_modified(if stored_age_s < 0 {
        SystemTime::now() + stored_age
    } else {
        SystemTime::now() - stored_age
    })
    .unwrap();
    snapshot.id
}

/// Makes a home with a snapshot for each of the last days, the newest of now.
fn daily(days: i64) -> Home {
    let home = quick(1);
    let repository = open(&home);
    for day in (1..days).rev() {
        add_dated(&home, &repository, (day * DAY_S, day * DAY_S), (days - day) as u64);
    }
    home
}

fn count(home: &Home, args: &[&str]) -> usize {
    home.json(["snapshots"].iter().chain(args))["snapshots"].as_array().unwrap().len()
}

fn ids(document: &Value) -> Vec<String> {
    document["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|snapshot| snapshot["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn named_snapshots_go_to_the_trash_and_come_back() {
    let home = quick(4);
    let before = ids(&home.json(["snapshots"]));
    let ran = home.run(["forget", &before[1][..8], "latest~3"]).ok();
    assert!(
        ran.out.contains("forgot 2 snapshots; kept 2 snapshots")
            && ran.out.contains("it was named"),
        "{}",
        ran.out
    );
    assert_eq!(ids(&home.json(["snapshots"])), before[2..]);
    let trash = home.json(["snapshots", "--forgotten"]);
    assert_eq!(ids(&trash).len(), 2);
    let one = &trash["snapshots"][0];
    assert_eq!(
        (&one["reason"], one["forgotten_by"].as_str().unwrap().contains('@')),
        (&"named".into(), true)
    );
    let (forgotten, until) = (one["forgotten"].as_str().unwrap(), one["until"].as_str().unwrap());
    assert!(forgotten < until, "{forgotten} until {until}");
    // Hidden from every name, and told where it is.
    home.run(["ls", "latest~2"]).fails(1, "no snapshot matches 'latest~2'", "`drumlin snapshots`");
    home.run(["ls", &before[1]]).fails(
        1,
        "no snapshot matches",
        "`drumlin undelete` brings it back",
    );
    home.run(["ls", "@2999-01-01"]).ok();
    // Forgetting again is no error.
    let again = home.run(["forget", &before[1]]).ok();
    assert!(
        again.err.contains("in the trash already") && again.out.contains("nothing to forget"),
        "{}{}",
        again.out,
        again.err
    );
    assert_eq!(
        home.run(["undelete", &before[1][..6]]).ok().out,
        format!("snapshot {} is back\n", &before[1][..8])
    );
    home.run(["undelete", &before[1]]).fails(1, "is not forgotten", "--forgotten");
    home.run(["undelete", "zzzz"]).fails(1, "no snapshot matches 'zzzz'", "--forgotten");
    assert_eq!(home.json(["undelete", "--all"])["undeleted"], serde_json::json!([before[0]]));
    assert_eq!(home.run(["undelete", "--all"]).ok().out, "nothing is in the trash\n");
    assert_eq!(ids(&home.json(["snapshots"])), before);
    assert_eq!(home.run(["snapshots", "--forgotten"]).ok().out, "nothing is in the trash\n");
    home.run(["check", "--level", "full"]).ok();
}

#[test]
fn too_much_at_once_is_refused() {
    let home = quick(5);
    home.run(["forget", "--keep-last", "2"]).fails(
        1,
        "this would forget 3 of the 5 snapshots of",
        "`--force` forgets it",
    );
    home.run(["forget", "latest"]).fails(
        1,
        "this would forget the newest snapshot of",
        "`--dry-run` shows",
    );
    home.run(["forget", "latest", "latest~1", "latest~2"]).fails(
        1,
        "this would forget 3 of the 5",
        "--force",
    );
    let shown = home.run(["forget", "--keep-last", "2", "--dry-run"]).ok();
    assert!(
        shown.err.contains("only done with --force")
            && shown.out.contains("would forget 3 snapshots"),
        "{}",
        shown.err
    );
    assert_eq!(count(&home, &[]), 5, "nothing was done so far");
    home.run(["forget", "--keep-last", "2", "--force"]).ok();
    assert_eq!(count(&home, &[]), 2);
    home.run(["forget", "--keep-last", "1"]).ok();
    home.run(["forget", "latest"]).fails(1, "this would forget 1 of the 1", "--force");
    home.run(["forget", "latest", "--force"]).ok();
    assert_eq!((count(&home, &[]), count(&home, &["--forgotten"])), (0, 5));
    // With everything in the trash, the next backup does not think that it has nothing to do.
    home.run(["backup", "src"]).ok();
    assert_eq!(count(&home, &[]), 1);
}

#[test]
fn every_decision_is_explained() {
    let home = daily(40);
    let document = home.json([
        "forget",
        "--keep-daily",
        "3",
        "--keep-weekly",
        "4",
        "--keep",
        "decay 1y",
        "--dry-run",
    ]);
    assert_eq!(fields(&document), "dry_run forgotten groups protected requests unreadable until");
    assert_eq!(
        (&document["forgotten"], &document["until"]),
        (&Value::Array(Vec::new()), &Value::Null)
    );
    let group = &document["groups"][0];
    assert_eq!(fields(group), "app decisions going host kept paths policy refused tags");
    assert_eq!(group["policy"], "daily 3, weekly 4, decay 1y");
    let decisions = group["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 40);
    let rules = |decision: &Value| -> Vec<String> {
        let reasons = decision["reasons"].as_array().unwrap().iter();
        reasons.map(|reason| reason["rule"].as_str().unwrap().to_owned()).collect()
    };
    let newest = decisions
        .iter()
        .max_by_key(|decision| decision["started"].as_str().unwrap().to_owned())
        .unwrap();
    assert_eq!(rules(newest), ["daily", "weekly", "decay"]);
    let gone = decisions.iter().find(|decision| decision["keep"] == false).unwrap();
    assert_eq!(rules(gone), ["daily", "weekly", "decay"], "each rule says why it does not keep it");
    assert_eq!(group["kept"].as_u64().unwrap() + group["going"].as_u64().unwrap(), 40);
    let text =
        home.run(["forget", "--keep-daily", "3", "--keep", "decay 10d", "--dry-run"]).ok().out;
    for part in [
        "keeping daily 3, decay 10d",
        "not of the last 3 days; decay: older than 10 days",
        "daily 1; decay",
        "would stay",
    ] {
        assert!(text.contains(part), "expected `{part}` in:\n{text}");
    }
    // What was told is what is done.
    let told = home.json(["forget", "--keep", "decay 1y", "--dry-run"]);
    let done = home.json(["forget", "--keep", "decay 1y"]);
    let going = told["groups"][0]["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|decision| decision["keep"] == false);
    let going: Vec<&Value> = going.map(|decision| &decision["id"]).collect();
    assert_eq!(done["forgotten"].as_array().unwrap().iter().collect::<Vec<_>>(), going);
    assert!(!going.is_empty());
    assert_eq!(
        home.json(["forget", "--keep", "decay 1y"])["forgotten"].as_array().unwrap().len(),
        0,
        "twice changes nothing"
    );
}

#[test]
fn dates_that_cannot_be_right_push_nothing_out() {
    let home = daily(20);
    let repository = open(&home);
    let before = home.json(["forget", "--keep-daily", "12", "--dry-run"]);
    let ahead = add_dated(&home, &repository, (-400 * DAY_S, 0), 100);
    // Spread over the past, a bit later than the honest ones of their days, all stored now.
    let behind: Vec<SnapshotId> = (3..13)
        .map(|day| add_dated(&home, &repository, (day * DAY_S - 60, 0), 100 + day as u64))
        .collect();
    let after = home.json(["forget", "--keep-daily", "12", "--dry-run"]);
    let decision = |document: &Value, id: &str| -> Value {
        let all = document["groups"][0]["decisions"].as_array().unwrap();
        all.iter().find(|decision| decision["id"] == id).unwrap().clone()
    };
    for honest in before["groups"][0]["decisions"].as_array().unwrap() {
        assert_eq!(&decision(&after, honest["id"].as_str().unwrap()), honest);
    }
    assert_eq!(decision(&after, &ahead.to_hex())["reasons"][0]["rule"], "dated-ahead");
    for id in behind {
        assert_eq!(decision(&after, &id.to_hex())["reasons"][0]["rule"], "dated-behind");
    }
    // Without its date a snapshot can still be forgotten by name.
    home.run(["forget", &ahead.to_hex()]).ok();
}

#[test]
fn protected_snapshots_stay_until_they_are_not() {
    let home = quick(4);
    let first = ids(&home.json(["snapshots"]))[0].clone();
    assert_eq!(
        home.run(["forget", "--protect", &first]).ok().out,
        format!("snapshot {} is protected\n", &first[..8])
    );
    home.run(["forget", "--protect", &first]).ok();
    assert_eq!(home.json(["snapshots"])["snapshots"][0]["protected"], true);
    assert!(home.run(["snapshots"]).ok().out.contains("  protected  "));
    home.run(["forget", &first, "--force"]).fails(1, "is protected", "--unprotect");
    home.run(["forget", "--keep-last", "1"]).ok();
    assert_eq!(count(&home, &[]), 2);
    home.run(["check"]).ok();
    assert_eq!(home.json(["forget", "--unprotect", &first])["unprotected"][0], first.as_str());
    home.run(["forget", "--keep-last", "1"]).ok();
    assert_eq!(count(&home, &[]), 1);
}

#[test]
fn a_protection_that_does_not_hold_protects_all_the_same() {
    let home = quick(3);
    let first = ids(&home.json(["snapshots"]))[0].clone();
    home.write(&format!("repo/snapshots/{first}.protected"), "no container");
    home.run(["forget", "--keep-last", "2"]).ok();
    assert_eq!(count(&home, &[]), 3);
    let report = home.run(["check", "--json"]).code(4).json();
    assert_eq!(report["problems"][0]["object"], format!("snapshots/{first}.protected"));
    home.run(["forget", "--unprotect", &first]).ok();
    home.run(["check"]).ok();
}

#[test]
fn a_damaged_tombstone_is_told_and_hides_nothing() {
    let home = quick(3);
    let first = ids(&home.json(["snapshots"]))[0].clone();
    home.run(["forget", &first]).ok();
    home.write(&format!("repo/snapshots/{first}.forgotten"), "no container");
    let listed = home.run(["snapshots", "--json"]).ok();
    assert_eq!(ids(&listed.json()).len(), 3);
    assert!(listed.err.contains("its tombstone is damaged or not genuine"), "{}", listed.err);
    let report = home.run(["check", "--json"]).code(4).json();
    assert_eq!(report["problems"][0]["object"], format!("snapshots/{first}.forgotten"));
    home.run(["undelete", &first]).ok();
    home.run(["check"]).ok();
}

#[test]
fn filters_and_groups() {
    let home = Home::with_repository();
    for number in 0..6 {
        home.write("src/number", number.to_string());
        let tag = if number % 2 == 0 { "even" } else { "odd" };
        let host = if number < 3 { "one" } else { "two" };
        home.run(["backup", "src", "--tag", tag, "--host", host, "--app", "wiki"]).ok();
    }
    let groups = |args: &[&str]| -> Vec<(usize, usize)> {
        let document = home.json(["forget", "--keep-last", "1", "--dry-run"].iter().chain(args));
        let groups = document["groups"].as_array().unwrap().iter();
        let number = |value: &Value| value.as_u64().unwrap() as usize;
        groups.map(|group| (number(&group["kept"]), number(&group["going"]))).collect()
    };
    assert_eq!(groups(&[]), [(1, 2), (1, 2)]);
    assert_eq!(groups(&["--group-by", "none"]), [(1, 5)]);
    assert_eq!(groups(&["--group-by", "app,tags"]), [(1, 2), (1, 2)]);
    assert_eq!(groups(&["--host", "one"]), [(1, 2)]);
    assert_eq!(groups(&["--tag", "odd"]), [(1, 0), (1, 1)]);
    assert_eq!(groups(&["--app", "other"]), []);
    assert_eq!(groups(&["--keep-tag", "even"]), [(2, 1), (2, 1)]);
    home.run(["forget", "--keep-last", "1", "--group-by", "moon"]).code(2);
}

#[test]
fn the_configuration_can_say_what_to_keep() {
    let home = quick(1);
    home.write(
        ".config/drumlin/drumlin.toml",
        "[app.wiki]\npaths = \"~/src\"\nkeep = { last = 2 }\n[app.shop]\npaths = \"~/src\"\n",
    );
    for number in 0..3 {
        home.write("src/number", format!("w{number}"));
        home.run(["backup", "--app", "wiki"]).ok();
    }
    let document = home.json(["forget"]);
    assert_eq!(
        (&document["groups"][0]["policy"], document["forgotten"].as_array().unwrap().len()),
        (&"last 2".into(), 1)
    );
    assert_eq!(count(&home, &[]), 3, "snapshots of no app are not its business");
    home.run(["forget", "--app", "wiki"]).ok();
    home.run(["forget", "--app", "shop"]).fails(
        2,
        "neither snapshots nor rules were given",
        "--keep 'decay 2y'",
    );
}

#[test]
fn a_simulation_shows_what_will_be_left() {
    let home = daily(30);
    let document = home.json(["forget", "--keep", "decay 2y", "--simulate", "2y"]);
    let told = &document["simulations"][0];
    assert_eq!(
        fields(told),
        "ages_seconds app assumed counts every_seconds host paths policy tags"
    );
    assert_eq!((&told["every_seconds"], &told["assumed"]), (&DAY_S.into(), &false.into()));
    let ages = told["ages_seconds"].as_array().unwrap();
    assert!((55..75).contains(&ages.len()), "{}", ages.len());
    assert_eq!(told["counts"].as_array().unwrap().len(), 731);
    let text = home.run(["forget", "--keep", "decay 2y", "--simulate", "2y"]).ok().out;
    for part in [
        "keeping decay 2y; a snapshot every 1 day, as so far",
        "now              30    29 days",
        "what is left after 2 years",
        "1 day to 1 week",
        "now |......|",
        "| 2 years ago",
    ] {
        assert!(text.contains(part), "expected `{part}` in:\n{text}");
    }
    assert_eq!(count(&home, &[]), 30);
}

#[test]
fn wrong_uses_are_told() {
    let home = quick(1);
    home.run(["forget"]).fails(2, "neither snapshots nor rules", "--dry-run shows");
    home.run(["forget", "latest", "--keep-last", "3"]).fails(2, "not by both at once", "");
    home.run(["forget", "--keep", "decay"]).fails(2, "`decay` is not a rule", "");
    for args in [
        &["forget", "--keep-last", "0"][..],
        &["forget", "--keep-within", "3"],
        &["forget", "--protect"],
        &["forget", "latest", "--simulate", "2y"],
        &["forget", "latest", "--protect", "--unprotect"],
        &["undelete"],
        &["undelete", "x", "--all"],
    ] {
        home.run(args).code(2);
    }
}

#[test]
fn a_damaged_snapshot_is_forgotten_only_by_force() {
    let home = quick(3);
    let before = ids(&home.json(["snapshots"]));
    let slot = home.path(&format!("repo/snapshots/{}", before[1]));
    let mut bytes = std::fs::read(&slot).unwrap();
    bytes[200] ^= 1;
    std::fs::remove_file(&slot).unwrap();
    std::fs::write(&slot, bytes).unwrap();
    // Without its local copy nobody can read it.
    std::fs::remove_dir_all(home.path(".cache")).unwrap();
    home.run(["check"]).code(4);
    let short = &before[1][..8];
    home.run(["forget", short]).fails(
        1,
        "cannot be read, so nobody can tell what this would forget",
        "--force",
    );
    home.run(["forget", "--protect", short]).fails(1, "cannot be read, so it is not protected", "");
    let shown = home.run(["forget", short, "--force", "--dry-run"]).ok();
    assert!(
        shown.out.contains(&format!(
            "{short}  cannot be read\nwould forget 1 snapshot; 0 snapshots would stay"
        )),
        "{}",
        shown.out
    );
    let document = home.json(["forget", short, "--force"]);
    assert_eq!(
        (&document["unreadable"], &document["forgotten"]),
        (&serde_json::json!([before[1]]), &serde_json::json!([before[1]]))
    );
    assert_eq!(ids(&home.json(["snapshots"])), [before[0].clone(), before[2].clone()]);
    let checked = home.run(["check", "--level", "full"]).ok();
    assert!(
        format!("{}{}", checked.out, checked.err)
            .contains("is damaged and forgotten: `prune` removes it"),
        "{}",
        checked.out
    );
    home.run(["prune", "--trash", "0d"]).ok();
    home.run(["check", "--level", "full"]).ok();
    assert!(!slot.exists());
}

#[test]
fn what_is_refused_of_one_series_does_not_stop_the_others() {
    let home = daily(20);
    for number in 0..5 {
        home.write("src/number", format!("try {number}"));
        home.run(["backup", "src", "--host", "new"]).ok();
    }
    let ran = home.run(["forget", "--keep-last", "12"]).ok();
    assert!(ran.out.contains("forgot 8 snapshots"), "{}", ran.out);
    let refused = home.run(["forget", "--keep-last", "2", "--host", "new"]);
    refused.fails(1, "this would forget 3 of the 5 snapshots of new", "--force");
    // The same policy for all: one series is new to it, the other lost most of what another one
    // kept.
    let document = home.run(["forget", "--keep-last", "7", "--json"]).ok().json();
    assert_eq!(document["forgotten"].as_array().unwrap().len(), 5);
    let ran = home.run(["forget", "--keep-last", "4", "--json"]).ok();
    let words: Vec<Value> = ran.json()["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["refused"].clone())
        .collect();
    assert_eq!((words, count(&home, &["--host", "new"])), (vec![Value::Null, Value::Null], 4));
    let ran = home.run(["forget", "--keep-last", "1", "--json"]).code(1);
    let groups = ran.json()["groups"].clone();
    assert!(
        groups.as_array().unwrap().iter().all(|group| group["refused"] == "other-policy"),
        "{groups}"
    );
    assert!(ran.err.contains("another policy kept so far"), "{}", ran.err);
    assert_eq!(count(&home, &[]), 8);
}

#[test]
fn a_steady_policy_needs_no_force_and_a_flood_is_stopped() {
    let home = quick(1);
    let repository = open(&home);
    // Twelve a day for three days, the newest of now, and the nights between.
    let night = |days: i64| format!("-{days}d");
    for day in (0..3).rev() {
        for hour in (0..12).rev() {
            let age_s = day * DAY_S + hour * 5_400 + 1_200;
            add_dated(&home, &repository, (age_s, age_s), (100 - day * 12 - hour) as u64);
        }
        let args = ["forget", "--keep-daily", "7"];
        let ran = home.wrapped(&["faketime", "-f", &night(day)], args).output().unwrap();
        let ran = crate::support::home::Ran::of(&ran).ok();
        assert!(ran.out.contains("forgot "), "{}", ran.out);
    }
    assert!((3..=5).contains(&count(&home, &[])), "{}", count(&home, &[]));
    let before = count(&home, &[]);
    // A mistyped policy is stopped, and the right one goes on.
    home.run(["forget", "--keep-daily", "1"]).fails(
        1,
        "that another policy kept so far",
        "--force",
    );
    assert_eq!(count(&home, &[]), before);
    home.run(["forget", "--keep-daily", "7"]).ok();
}

#[test]
fn a_protected_name_does_not_keep_the_others() {
    let home = quick(6);
    let before = ids(&home.json(["snapshots"]));
    home.run(["forget", "--protect", &before[1]]).ok();
    let ran = home.run(["forget", &before[0], &before[1], &before[2]]);
    let ran = ran.fails(1, &format!("snapshot {} is protected", &before[1][..8]), "--unprotect");
    assert!(ran.out.contains("forgot 2 snapshots"), "{}", ran.out);
    assert_eq!(count(&home, &[]), 4);
    // Of several series, too: the newest of one is refused, the old one of the other goes.
    home.write("src/number", "other");
    home.run(["backup", "src", "--host", "other"]).ok();
    let ran = home.run(["forget", &before[3], "latest"]).code(1);
    assert!(
        ran.err.contains("1 of the 1 snapshot") && ran.out.contains("forgot 1 snapshot"),
        "{}{}",
        ran.out,
        ran.err
    );
}

#[test]
fn a_date_of_last_year_minutes_after_honest_ones_is_not_believed() {
    let home = quick(3);
    home.write("src/number", "by a wrong clock");
    crate::support::home::Ran::of(
        &home.wrapped(&["faketime", "-f", "-400d"], ["backup", "src"]).output().unwrap(),
    )
    .ok();
    let told = home.json(["forget", "--keep-last", "2", "--dry-run"]);
    let rules: Vec<&Value> = told["groups"][0]["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decision| &decision["reasons"][0]["rule"])
        .collect();
    assert_eq!(rules.iter().filter(|rule| **rule == "dated-behind").count(), 1, "{rules:?}");
}

/// Who types another grouping, or leaves a tag out, is asked, whatever lies in the trash.
#[test]
fn another_grouping_or_filter_is_another_policy() {
    let home = Home::with_repository();
    for host in ["a", "b", "c"] {
        home.write("src/number", host);
        home.run(["backup", "src", "--host", host, "--tag", host]).ok();
    }
    home.run(["forget", "--keep-daily", "7"]).ok();
    let by_none = ["forget", "--keep-daily", "7", "--group-by", "none"];
    home.run(by_none).fails(
        1,
        "2 of the 3 snapshots of all snapshots that another policy kept so far",
        "--force",
    );
    assert_eq!(count(&home, &[]), 3);
    home.run(["forget", "--keep-daily", "7"]).ok();
    home.run(by_none.iter().chain(&["--force"])).ok();
    assert_eq!(count(&home, &[]), 1);
    assert_eq!(
        home.json(["snapshots", "--forgotten"])["snapshots"][0]["reason"],
        "daily 7; by none"
    );
    home.run(["undelete", "--all"]).ok();
    home.run(["forget", "--keep-last", "1", "--group-by", "none", "--tag", "a"]).ok();
    let ran = home.json(["forget", "--keep-last", "1", "--group-by", "none", "--force"]);
    assert_eq!(ran["forgotten"].as_array().unwrap().len(), 2);
}

/// A store that puts a tombstone back after a snapshot was brought back is told of, and undone with
/// the others.
#[test]
fn all_that_is_brought_back_has_what_was_put_into_the_trash_again() {
    let home = quick(3);
    let ids = ids(&home.json(["snapshots"]));
    home.run(["forget", &ids[0], &ids[1], "--force"]).ok();
    let tombstone = home.path(&format!("repo/snapshots/{}.forgotten", ids[0]));
    let bytes = std::fs::read(&tombstone).unwrap();
    home.run(["undelete", &ids[0]]).ok();
    std::fs::write(&tombstone, bytes).unwrap();
    home.run(["snapshots"]).fails(5, "it was taken back", "undelete");
    let back = home.json(["undelete", "--all"]);
    assert_eq!(back["undeleted"], serde_json::json!([ids[1], ids[0]]));
    assert_eq!(count(&home, &[]), 3);
}

/// What was applied is not among the local copies: those may be deleted at any time. The second
/// forget finds nothing in the trash.
#[test]
fn a_steady_policy_needs_no_force_without_local_copies() {
    let home = quick(1);
    let repository = open(&home);
    for (week, days) in [14, 7, 0].into_iter().enumerate() {
        for number in (0..21).rev().filter(|number| week > 0 || *number < 3) {
            let age_s = days * DAY_S + number * 8 * 3_600 + 1_200;
            add_dated(&home, &repository, (age_s, age_s), (100 + week as i64 * 30 - number) as u64);
        }
        let _ = std::fs::remove_dir_all(home.path(".cache"));
        let at = format!("-{days}d");
        let forget = home
            .wrapped(&["faketime", "-f", &at], ["forget", "--keep-last", "5"])
            .output()
            .unwrap();
        crate::support::home::Ran::of(&forget).ok();
    }
    assert!((5..=6).contains(&count(&home, &[])), "{}", count(&home, &[]));
}
