//! Goal: scripts can rely on docs/json.md. Method: the fields of every command's document are
//! looked up in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::stage::furnished_home;
use crate::support::home::COMMANDS;

/// Commands whose output is no document: a file, a mount, scripts; the daemon prints no result.
const WITHOUT: [&str; 4] = ["cat", "daemon", "mount", "completions"];

#[test]
fn every_json_field_is_described() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md")).unwrap();
    let home = furnished_home();
    std::os::unix::fs::symlink("thesis.md", home.path("documents/link")).unwrap();
    let commands = [
        "quickstart documents",
        "init --repo ./other --key-file other.key",
        "backup documents",
        "run letters",
        "apps",
        "config check",
        "config show",
        "snapshots",
        "forget --keep-last 1 --dry-run",
        "forget --keep-daily 7 --simulate 30d",
        "forget --protect latest",
        "forget --unprotect latest",
        "forget latest --force",
        "snapshots --forgotten",
        "undelete --all",
        "ls -R latest",
        "diff latest latest",
        "diff latest:documents/letters latest:documents/photos",
        "history documents/thesis.md",
        "find *.md letters",
        "du latest:documents --all",
        "restore latest -t out --dry-run",
        "restore latest -t out",
        "check",
        "prune --dry-run",
        "prune",
        "repair",
        "stats",
        "stats latest",
        "cost",
        "key list",
        "key add --output more.key",
        "key split 2-of-2 --output shares --names Ada,Bo",
        "man pages",
    ];
    let named: BTreeSet<&str> =
        commands.iter().chain(&WITHOUT).map(|command| command.split(' ').next().unwrap()).collect();
    assert_eq!(named, BTreeSet::from(COMMANDS));
    let documents = commands.map(|command| {
        if command.starts_with("run ") {
            let config = ".config/drumlin/drumlin.toml";
            let app = "[app.letters]\npaths = \"~/documents\"\nbefore = \"true\"\n\
                       [[app.letters.command]]\nname = \"facts\"\nrun = \"echo facts\"\n";
            home.write(config, format!("{}\n{app}", home.read(config)));
        }
        home.json(command.split(' '))
    });
    let mut names = BTreeSet::new();
    documents.iter().for_each(|document| collect_names(document, &mut names));
    assert!(names.len() > 80, "{names:?}");
    let missing: Vec<&String> =
        names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/json.md does not describe {missing:?}");
}

fn collect_names(value: &serde_json::Value, names: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            names.insert(name.clone());
            // Keys of the configuration are described elsewhere.
            if name != "values" {
                collect_names(value, names);
            }
        }),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_names(item, names)),
        _ => {}
    }
}
