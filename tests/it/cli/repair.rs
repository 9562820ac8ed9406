//! `repair`: what it says before and after, exit codes, documents.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::support::home::{Home, fields};

fn with_backup() -> Home {
    let home = Home::with_repository();
    home.make_source();
    let noise: Vec<u8> = (0..300_000u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    home.write("src/noise", noise);
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

fn flip_in_largest_pack(home: &Home) {
    let pack = objects(home, "data")
        .into_iter()
        .max_by_key(|pack| fs::metadata(pack).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
}

const FIELDS: &str = "applied beyond_repair level lost lost_count new_packs new_runs others_untold problem_count problems replaced seconds sound";

#[test]
fn a_sound_repository_needs_no_repair() {
    let home = with_backup();
    let before = home.tree("repo");
    let document = home.json(["repair"]);
    assert_eq!(fields(&document), FIELDS);
    assert_eq!(
        (&document["sound"], &document["applied"], &document["level"]),
        (&json!(true), &json!(false), &json!("structure"))
    );
    let text = home.run(["repair", "index", "--level", "full", "--apply"]).ok().out;
    assert_eq!(text, "no damage found: there is nothing to repair\n");
    assert_eq!(home.tree("repo"), before);
    home.run(["repair", "--apply", "--dry-run"]).code(2);
    home.run(["repair", "everything"]).code(2);
}

#[test]
fn a_lost_index_is_shown_and_then_healed() {
    let home = with_backup();
    objects(&home, "index").iter().for_each(|run| fs::remove_file(run).unwrap());
    fs::remove_dir_all(home.path(".cache")).unwrap();
    let before = home.tree("repo");
    let shown = home.run(["repair"]).code(4).out;
    assert!(shown.contains("can be done:\n  an index run that names "), "{shown}");
    assert!(
        shown.ends_with("no file of any snapshot will be lost\nnothing was changed: `drumlin repair --apply` does it\n"),
        "{shown}"
    );
    assert_eq!(home.tree("repo"), before);
    let document = home.run(["repair", "--apply", "--json"]).ok().json();
    assert_eq!(
        (&document["sound"], &document["applied"], &document["lost_count"]),
        (&json!(true), &json!(true), &json!(0))
    );
    assert_eq!(fields(&document["new_runs"][0]), "chunks left_out object packs replaces");
    home.run(["check", "--level", "full"]).ok();
    assert!(home.run(["repair"]).ok().out.contains("nothing to repair"));
    home.run(["restore", &format!("latest:{}", home.text("src")), "--target", "out"]).ok();
    assert_eq!(
        fs::read(home.path("out/noise")).unwrap(),
        fs::read(home.path("src/noise")).unwrap()
    );
}

#[test]
fn lost_content_is_named_and_comes_back_with_the_next_backup() {
    let home = with_backup();
    flip_in_largest_pack(&home);
    assert!(
        home.run(["repair"]).ok().out.contains("nothing to repair"),
        "content is not read at this level"
    );
    let ran = home.run(["repair", "--level", "full", "--json"]).code(4).json();
    // Where the pack has one segment only, nothing else of it is left.
    let packs = ran["new_packs"].as_array().unwrap();
    assert!(
        packs.iter().all(|pack| fields(pack) == "chunks instead_of object removed_by"),
        "{ran}"
    );
    let lost = ran["lost"].as_array().unwrap();
    assert!(lost.iter().any(|lost| lost["path"] == home.text("src/noise")), "{ran}");
    let ran = home.run(["repair", "--level", "full", "--apply"]).code(4);
    assert!(
        ran.out.contains("\nlost:\n") && ran.out.contains(&home.text("src/noise")),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("back up the same sources again"), "{}", ran.out);
    home.run(["check"]).code(4);
    let document = home.json(["backup", "src"]);
    assert_eq!(document["stats"]["files_unchanged"], 0, "all files are read again: {document}");
    home.run(["check", "--level", "full"]).ok();
    let first = home.json(["snapshots"])["snapshots"][0]["id"].as_str().unwrap().to_owned();
    home.run(["restore", &format!("{first}:{}", home.text("src")), "--target", "out"]).ok();
    assert_eq!(
        fs::read(home.path("out/noise")).unwrap(),
        fs::read(home.path("src/noise")).unwrap()
    );
}

#[test]
fn another_machine_reads_all_when_it_is_told_to() {
    let home = with_backup();
    flip_in_largest_pack(&home);
    home.run([
        "repair",
        "--level",
        "full",
        "--apply",
        "--cache-dir",
        &home.text("cache-of-another-machine"),
    ])
    .code(4);
    let document = home.json(["backup", "src", "--read-all"]);
    assert_eq!(document["stats"]["files_unchanged"], 0, "{document}");
    home.run(["check", "--level", "full"]).ok();
}

#[test]
fn what_cannot_be_healed_is_said() {
    let home = with_backup();
    home.write("src/a.txt", "changed");
    home.run(["backup", "src"]).ok();
    let snapshot = objects(&home, "snapshots").remove(0);
    let mut bytes = fs::read(&snapshot).unwrap();
    bytes[200] ^= 1;
    fs::remove_file(&snapshot).unwrap();
    fs::write(&snapshot, bytes).unwrap();
    let ran = home.run(["repair", "--apply"]).code(4);
    assert!(ran.out.contains("cannot be healed:\n  snapshots/"), "{}", ran.out);
}

#[test]
fn snapshots_are_replaced_by_ones_without_what_is_lost() {
    let home = with_backup();
    let old = home.json(["snapshots"])["snapshots"][0]["id"].as_str().unwrap().to_owned();
    flip_in_largest_pack(&home);
    let before = home.tree("repo");
    let shown = home.run(["repair", "--snapshots", "--level", "full"]).code(4).out;
    assert!(
        shown.contains("snapshots to be replaced by new ones without what is lost:\n"),
        "{shown}"
    );
    assert!(
        shown.contains("nothing was changed: `drumlin repair --snapshots --apply` does it"),
        "{shown}"
    );
    let planned = home.run(["repair", "--snapshots", "--level", "full", "--json"]).code(4).json();
    assert_eq!(fields(&planned["replaced"][0]), "by left_out snapshot");
    assert_eq!(
        (&planned["replaced"][0]["snapshot"], &planned["replaced"][0]["by"]),
        (&json!(old), &json!(null))
    );
    assert_eq!(home.tree("repo"), before);

    let done =
        home.run(["repair", "--snapshots", "--level", "full", "--apply", "--json"]).code(4).json();
    assert_eq!(
        (&done["lost_count"], &done["replaced"][0]["left_out"]),
        (&json!(0), &planned["replaced"][0]["left_out"])
    );
    let new = home.json(["snapshots"])["snapshots"][0].clone();
    assert_eq!((&new["id"], &new["instead_of"]), (&done["replaced"][0]["by"], &json!(old)));
    assert_eq!(new["problem_count"], done["replaced"][0]["left_out"]);
    home.run(["restore", &format!("latest:{}", home.text("src")), "--target", "out"]).ok();
    assert!(!home.path("out/noise").exists() && home.path("out/a.txt").exists());
    home.run(["undelete", &old[..8]]).ok();
    let text = home.run(["repair", "--snapshots", "--level", "full", "--apply"]).code(4).out;
    let short = |id: &serde_json::Value| id.as_str().unwrap()[..8].to_owned();
    assert!(
        text.contains(&format!("replaced:\n  {} by {}, without ", &old[..8], short(&new["id"]))),
        "{text}"
    );
    assert!(text.contains("`drumlin undelete` brings them back"), "{text}");
    home.run(["check"]).code(4);
    let again = home.run(["repair", "--level", "full"]).code(4).out;
    assert!(
        again.contains("only snapshots in the trash lack something") && !again.contains("back up"),
        "{again}"
    );
    home.run(["prune", "--trash", "0d"]).ok();
    home.run(["check", "--level", "full"]).ok();
    assert!(home.run(["repair", "--snapshots"]).ok().out.contains("nothing to repair"));
}

/// Every object that was there is there afterwards, as it was, the damaged ones too; a repair only
/// adds.
#[test]
fn a_repair_removes_and_changes_nothing() {
    let home = with_backup();
    home.write("src/a.txt", "changed");
    home.run(["backup", "src"]).ok();
    flip_in_largest_pack(&home);
    fs::remove_file(objects(&home, "index").remove(0)).unwrap();
    let before = home.tree("repo");
    let repaired = home.run(["repair", "--level", "full", "--apply", "--json"]).code(4).json();
    assert!(!repaired["new_runs"].as_array().unwrap().is_empty(), "{repaired}");
    let replaced =
        home.run(["repair", "--level", "full", "--snapshots", "--apply", "--json"]).code(4).json();
    assert!(!replaced["replaced"].as_array().unwrap().is_empty(), "{replaced}");
    let after = home.tree("repo");
    let lost: Vec<&String> =
        before.iter().filter(|object| !after.contains(object)).map(|(name, _)| name).collect();
    assert!(lost.is_empty() && after.len() > before.len(), "removed or changed: {lost:?}");
}

#[test]
fn prune_refuses_to_work_where_something_is_lost() {
    let home = with_backup();
    flip_in_largest_pack(&home);
    home.run(["repair", "--level", "full", "--apply"]).code(4);
    let before = home.tree("repo");
    home.run(["prune", "--trash", "0d", "--max-unused", "0"]).code(4);
    assert!(
        home.tree("repo/data") == objects_of(&before, "data/")
            && home.tree("repo/meta") == objects_of(&before, "meta/")
    );
    home.run(["backup", "src"]).ok();
    home.run(["prune"]).ok();
}

/// Returns those objects of a repository whose names begin so, by the rest of their names.
fn objects_of(all: &[(String, Vec<u8>)], class: &str) -> Vec<(String, Vec<u8>)> {
    all.iter()
        .filter_map(|(name, bytes)| Some((name.strip_prefix(class)?.to_owned(), bytes.clone())))
        .collect()
}
