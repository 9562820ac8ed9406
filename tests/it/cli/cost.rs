//! `cost`: what is stored and asked for, and prices.

use serde_json::{Value, json};

use crate::support::home::{Home, fields};

fn with_backups() -> Home {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    home.write("src/new.txt", "new");
    home.run(["backup", "src"]).ok();
    home
}

fn names(document: &Value) -> Vec<&str> {
    document["providers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|provider| provider["name"].as_str().unwrap())
        .collect()
}

#[test]
fn the_document_has_every_field() {
    let home = with_backups();
    let document = home.json(["cost"]);
    assert_eq!(
        fields(&document),
        "backups_looked_at changed_backup full_restore providers requests stored unchanged_backup"
    );
    let asked = "bytes_down bytes_up calls create list read";
    assert_eq!(
        (fields(&document["changed_backup"]), fields(&document["full_restore"])),
        (asked.to_owned(), asked.to_owned())
    );
    assert_eq!(document["unchanged_backup"]["calls"], json!(0));
    assert_eq!(
        document["backups_looked_at"],
        json!(1),
        "the first backup is no example of the next ones"
    );
    assert_eq!(names(&document).len(), 8, "a folder says nothing of a provider");
    assert_eq!(
        fields(&document["providers"][0]),
        "as_of changed_backup currency full_restore month_of_daily_backups name note page storage_month title unchanged_backup"
    );
    for provider in document["providers"].as_array().unwrap() {
        assert_eq!(provider["unchanged_backup"], json!(0.0));
        assert!(
            provider["month_of_daily_backups"].as_f64() >= provider["storage_month"].as_f64(),
            "{provider}"
        );
    }
    let usage: Value = home.json(["stats"])["usage"].clone();
    assert_eq!(document["stored"], usage);
}

#[test]
fn a_provider_can_be_named() {
    let home = with_backups();
    assert_eq!(names(&home.json(["cost", "--provider", "aws-deep-archive"])), ["aws-deep-archive"]);
    let text = home.run(["cost", "--provider", "hetzner-storage-box"]).ok().out;
    assert!(text.contains("Hetzner Storage Box, list prices in EUR without tax, as of "), "{text}");
    assert!(text.contains("today's prices: https://www.hetzner.com/"), "{text}");
    assert!(text.contains("  unchanged backup nothing\n"), "{text}");
    assert!(home.run(["cost", "--provider", "acme"]).code(2).err.contains("cloudflare-r2"));
}

/// What is said of a small changed backup, and of a full restore, is what happens.
#[test]
fn estimates_are_what_happens() {
    let home = with_backups();
    let told = home.json(["cost"]);
    home.write("src/newer.txt", "newer");
    let happened = home.json(["backup", "src"])["requests"].clone();
    let number = |document: &Value, part: &str| document[part].as_u64().unwrap();
    let told = &told["changed_backup"];
    assert_eq!(number(&happened, "list"), number(told, "list"), "{happened}");
    assert_eq!(
        number(&happened, "read") + number(&happened, "stat"),
        number(told, "read"),
        "{happened}"
    );
    // The file is so small that it lies in its folder's node; a pack of file content is counted for
    // others.
    assert_eq!(number(&happened, "create") + 1, number(told, "create"), "{happened}");
    let told = home.json(["cost"])["full_restore"].clone();
    let happened =
        home.json(["restore", "latest", "-t", "out", "--cache-dir", "empty"])["requests"].clone();
    for part in ["list", "read", "bytes_down"] {
        assert!(
            number(&happened, part) <= number(&told, part),
            "{part}: told {told}, happened {happened}"
        );
    }
}
