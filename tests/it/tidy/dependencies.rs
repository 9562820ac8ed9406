//! Goal: docs/dependencies.md is about the dependencies that there are. Method: names and versions
//! of its tables are compared with `Cargo.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Returns name and version of each crate that the tables of a section list. Features, after ` with
/// `, are no crates.
fn listed(section: &str) -> Vec<(String, String)> {
    let cells = section
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split(" | ").next().unwrap()));
    let crates = cells.flat_map(|cell| cell.split(" with ").next().unwrap().split(", "));
    let pairs = crates.map(|one| {
        let (name, version) = one
            .trim_start_matches('`')
            .split_once("` ")
            .unwrap_or_else(|| panic!("no version: {one}"));
        (name.to_owned(), version.trim().to_owned())
    });
    pairs.collect()
}

/// Returns name and version of each crate of a table of `Cargo.toml`.
fn demanded(manifest: &toml::Table, table: &str) -> BTreeMap<String, String> {
    let version =
        |value: &toml::Value| value.get("version").unwrap_or(value).as_str().unwrap().to_owned();
    manifest[table]
        .as_table()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), version(value)))
        .collect()
}

#[test]
fn every_dependency_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table =
        fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let page = fs::read_to_string(root.join("docs/dependencies.md")).unwrap();
    let (program, tests) = page.split_once("\n## Tests and benchmarks only\n").unwrap();
    for (section, table) in [(program, "dependencies"), (tests, "dev-dependencies")] {
        let (listed, demanded) = (listed(section), demanded(&manifest, table));
        let mut names: Vec<&String> = listed.iter().map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(
            names,
            demanded.keys().collect::<Vec<_>>(),
            "docs/dependencies.md lists others than [{table}]"
        );
        for (name, version) in &listed {
            let whole = &demanded[name];
            let fits = whole
                .strip_prefix(version.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            assert!(fits, "docs/dependencies.md says {name} {version}, Cargo.toml {whole}");
        }
    }
}
