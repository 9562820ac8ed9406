//! `check` and `stats`: levels, documents, damage, and what it says of the files that are lost.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::support::home::{Home, fields};

fn with_backup() -> Home {
    let home = Home::with_repository();
    home.make_source();
    home.write(
        "src/noise",
        (0..200_000u32)
            .flat_map(|number| (number.wrapping_mul(2_654_435_761)).to_le_bytes())
            .collect::<Vec<_>>(),
    );
    home.run(["backup", "src"]).ok();
    home
}

/// Returns the files of one class of the repository.
fn objects(home: &Home, class: &str) -> Vec<PathBuf> {
    home.tree(&format!("repo/{class}"))
        .into_iter()
        .map(|(name, _)| home.path(&format!("repo/{class}/{name}")))
        .collect()
}

#[test]
fn every_level_of_a_sound_repository() {
    let home = with_backup();
    for level in ["quick", "structure", "sample=50%", "sample=0.1%", "full"] {
        let document = home.json(["check", "--level", level]);
        assert_eq!(
            fields(&document),
            "affected affected_count counts coverage level notices problem_count problems requests seconds sound"
        );
        let counts = "bytes_verified chunks_indexed chunks_referenced configs_and_keys forgotten index_runs intents_and_records nodes pack_bytes packs packs_unindexed packs_verified snapshots";
        assert_eq!(fields(&document["counts"]), counts);
        assert_eq!(fields(&document["coverage"]), "bytes bytes_ever oldest");
        assert_eq!((&document["sound"], &document["level"]), (&json!(true), &json!(level)));
    }
    assert_eq!(home.json(["check"])["level"], "structure");
    let text = home.run(["check", "--level", "full"]).ok().out;
    assert!(
        text.starts_with("checked at level full") && text.ends_with("no damage found\n"),
        "{text}"
    );
    assert_eq!(home.run(["check", "--quiet"]).ok().out, "");
    home.run(["check", "--level", "deep"]).code(2);
    home.run(["check", "--level", "sample=0%"]).code(2);
}

#[test]
fn damage_is_4_and_names_the_files() {
    let home = with_backup();
    let pack = objects(&home, "data")
        .into_iter()
        .max_by_key(|pack| fs::metadata(pack).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    home.run(["check", "--level", "structure"]).ok();
    let ran = home.run(["check", "--level", "full", "--json"]).code(4);
    let document = ran.json();
    assert_eq!(document["sound"], false);
    assert_eq!(fields(&document["problems"][0]), "message object");
    assert_eq!(fields(&document["affected"][0]), "is_folder path snapshot");
    assert!(
        document["affected"]
            .as_array()
            .unwrap()
            .iter()
            .any(|affected| affected["path"] == home.text("src/noise")),
        "{document}"
    );
    let ran = home.run(["check", "--level", "full", "--quiet"]).code(4);
    assert!(
        ran.out.contains("affected:") && ran.out.contains(&home.text("src/noise")),
        "{}",
        ran.out
    );
}

#[test]
fn missing_objects_are_found_at_the_quickest_level() {
    let home = with_backup();
    objects(&home, "data").iter().for_each(|pack| fs::remove_file(pack).unwrap());
    let ran = home.run(["check", "--level", "quick"]).code(4);
    assert!(ran.out.contains("it is missing"), "{}", ran.out);
}

#[test]
fn a_damaged_snapshot_does_not_hide_the_others() {
    let home = with_backup();
    home.write("src/a.txt", "changed");
    home.run(["backup", "src"]).ok();
    let list = home.json(["snapshots"]);
    let first = list["snapshots"][0]["id"].as_str().unwrap();
    let path = home.path("repo/snapshots").join(first);
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::remove_dir_all(home.path(".cache")).unwrap();
    let ran = home.run(["snapshots", "--json"]).code(4);
    let document = ran.json();
    assert_eq!(document["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(fields(&document["damaged"][0]), "error id");
    assert_eq!(document["damaged"][0]["id"], first);
    let ran = home.run(["ls", "latest"]).ok();
    assert!(
        ran.err.contains(&format!("warning: snapshot {} is left out: ", &first[..8])),
        "{}",
        ran.err
    );
    home.run(["ls", first]).fails(4, "is damaged", "`drumlin check --level full`");
    // Where none of the others fits, the damaged one may have been meant.
    home.run(["diff", "latest~1", "latest"]).fails(
        4,
        "no snapshot matches 'latest~1'",
        "`drumlin snapshots`",
    );
    home.run(["ls", "ffffffff"]).code(1);
}

#[test]
fn a_snapshot_that_went_away_means_the_repository_went_back_in_time() {
    let home = with_backup();
    home.write("src/a.txt", "changed");
    let second = home.json(["backup", "src"])["snapshot"]["id"].as_str().unwrap().to_owned();
    fs::remove_file(home.path("repo/snapshots").join(second)).unwrap();
    home.write("src/a.txt", "changed again");
    home.run(["backup", "src"]).fails(
        5,
        "repository rollback detected",
        "an older copy of the repository",
    );
}

#[test]
fn stats_of_the_repository_and_of_a_snapshot() {
    let home = with_backup();
    home.write("src/copy/noise", fs::read(home.path("src/noise")).unwrap());
    home.run(["backup", "src"]).ok();
    let document = home.json(["stats"]);
    let all = "bytes chunks chunks_indexed compression_ratio dedup_ratio dirs files forgotten inline_bytes nodes snapshots \
               stored_bytes total_ratio unique_bytes usage";
    assert_eq!(fields(&document), all);
    assert_eq!(fields(&document["usage"][0]), "bytes class objects");
    assert_eq!(document["snapshots"], 2);
    assert!(document["dedup_ratio"].as_f64().unwrap() > 2.9, "{document}");
    let document = home.json(["stats", "latest"]);
    assert_eq!(fields(&document), "chunks inline_bytes snapshot unique_bytes");
    let text = home.run(["stats"]).ok().out;
    assert!(text.starts_with("2 snapshots of ") && text.contains("times smaller"), "{text}");
    home.run(["forget", "latest~1"]).ok();
    assert_eq!(home.json(["stats"])["forgotten"], 1);
    assert!(home.run(["stats"]).ok().out.contains("1 snapshot in the trash"));
    home.run(["undelete", "--all"]).ok();
    assert!(home.run(["stats", "latest~1"]).ok().out.starts_with("snapshot "));
    home.run(["stats", "zzzz"]).fails(1, "no snapshot matches 'zzzz'", "`drumlin snapshots`");
    assert_eq!(Home::with_repository().run(["stats"]).ok().code, 0);
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
