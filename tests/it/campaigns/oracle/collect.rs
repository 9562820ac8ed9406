//! `forget`, `prune` and `check`: what is freed, by the reports and on the disk, and that
//! everything else stays.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde_json::Value;

use super::history::History;
use super::listing;

/// Classes of objects that a prune removes and stores.
const CLASSES: [&str; 3] = ["data", "meta", "index"];

/// Objects by name, with their lengths in bytes.
type Objects = BTreeMap<String, u64>;

fn objects(history: &History, class: &str) -> Objects {
    let folder = format!("repo/{class}");
    if !history.home.path(&folder).exists() {
        return Objects::new();
    }
    history
        .home
        .tree(&folder)
        .into_iter()
        .map(|(name, bytes)| (format!("{class}/{name}"), bytes.len() as u64))
        .collect()
}

fn all(history: &History) -> Objects {
    CLASSES.iter().flat_map(|class| objects(history, class)).collect()
}

/// Returns the bytes of all packs and index runs.
pub fn stored_bytes(history: &History) -> u64 {
    all(history).values().sum()
}

/// Returns the bytes of objects that are in `these` and not in `those`; of packs only, if so
/// wanted.
fn only_in(these: &Objects, those: &Objects, only_packs: bool) -> u64 {
    let counts = |name: &str| !only_packs || !name.starts_with("index/");
    these
        .iter()
        .filter(|(name, _)| !those.contains_key(*name) && counts(name))
        .map(|(_, len)| len)
        .sum()
}

/// Forgets some snapshots, collects, and checks all that is left.
pub fn check(history: &mut History) {
    let going: Vec<usize> =
        (0..history.shots.len().saturating_sub(1)).filter(|_| history.dice.chance(45)).collect();
    if !going.is_empty() {
        let ids = going.iter().map(|at| OsString::from(&history.shots[*at].id));
        let arguments: Vec<OsString> =
            ["forget".into(), "--force".into()].into_iter().chain(ids).collect();
        let told = history.json(&arguments);
        assert_eq!(told["forgotten"].as_array().unwrap().len(), going.len(), "{told:#}");
        going.iter().rev().for_each(|at| drop(history.shots.remove(*at)));
    }
    let unused = *history.dice.pick(&["0", "0", "5", "100"]);
    let options = ["prune", "--trash=0d", &format!("--max-unused={unused}")].map(OsString::from);
    let before = all(history);
    let planned = history.json(&[&options[..], &["--dry-run".into()]].concat());
    assert_eq!(all(history), before, "a dry run changed something");
    let told = history.json(&options);
    check_report(&told, (&before, &all(history)), unused);
    history.in_trash += going.len();
    let wanted = history.in_trash;
    let [planned, dropped] = [&planned["plan"]["dropped"], &told["dropped"]]
        .map(|dropped| dropped.as_array().unwrap().len());
    // The parent of a backup that was killed stays for as long as that may go on.
    let is_relied_on = !objects(history, "intents").is_empty();
    assert!(
        planned == dropped && (dropped == wanted || dropped < wanted && is_relied_on),
        "{wanted} in the trash: {told:#}"
    );
    history.in_trash -= dropped;
    let checked = history.json(&["check", "--level", "full"]);
    assert!(checked["sound"] == true, "{checked:#}");
    let found =
        ["snapshots", "forgotten"].map(|name| checked["counts"][name].as_u64().unwrap() as usize);
    assert_eq!(found, [history.shots.len() + history.in_trash, history.in_trash], "{checked:#}");
    if history.dice.chance(50) {
        // What is gone already is not freed again.
        let before = all(history);
        let again = history.json(&options);
        history.in_trash -= again["dropped"].as_array().unwrap().len();
        check_report(&again, (&before, &all(history)), unused);
    }
    listing::check(history);
}

fn check_report(told: &Value, (before, after): (&Objects, &Objects), unused: &str) {
    let sum = |objects: &Objects| objects.values().sum::<u64>();
    let number = |name: &str| told[name].as_u64().unwrap();
    assert_eq!(number("removed_bytes"), only_in(before, after, true), "removed: {told:#}");
    assert_eq!(number("stored_bytes"), only_in(after, before, true), "stored: {told:#}");
    assert_eq!(number("freed_bytes"), sum(before).saturating_sub(sum(after)), "freed: {told:#}");
    assert!(
        sum(after) <= sum(before),
        "--max-unused {unused} made the repository {} B larger: {told:#}",
        sum(after) - sum(before)
    );
}
