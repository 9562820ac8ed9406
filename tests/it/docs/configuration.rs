//! Goal: docs/configuration.md has every key of the configuration, and no other. Method: the keys
//! that the source reads are looked up in the page's tables, and the other way round.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use super::root;

/// Returns the texts of all files that read the configuration.
fn sources(dir: &Path, into: &mut String) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => sources(&entry.path(), into),
            false => {
                let text = fs::read_to_string(entry.path()).unwrap();
                // Tests read what is no key.
                *into += text.split("#[cfg(test)]").next().unwrap();
            }
        }
    }
}

#[test]
fn every_key_is_on_the_page_and_no_other() {
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let mut source = String::new();
    sources(&root().join("src/settings"), &mut source);
    let reads = "(?:string|strings|parsed|each_parsed|path|paths|boolean|section|sections|\
                 section_list|named_sections|value)";
    let reading = Regex::new(&format!(r#"\.{reads}\(\s*"([a-z-]+)""#)).unwrap();
    let counted = Regex::new(r#"read_count\(&mut \w+, "([a-z-]+)"\)"#).unwrap();
    let named = Regex::new("`\"?([a-z][a-z-]*)\"?`").unwrap();
    let keys: BTreeSet<&str> = [&reading, &counted]
        .iter()
        .flat_map(|pattern| pattern.captures_iter(&source))
        .map(|found| found.extract::<1>().1[0])
        .collect();
    assert!(keys.len() > 90, "only {} keys were found: {keys:?}", keys.len());
    let tables =
        ["repository", "app", "defaults", "notify", "metrics", "copy", "daemon", "docker", "log"];
    let missing: Vec<&&str> = keys
        .iter()
        .filter(|key| !page.contains(&format!("`{key}`")) && !tables.contains(*key))
        .collect();
    assert!(missing.is_empty(), "docs/configuration.md lacks {missing:?}");
    for table in keys.iter().filter(|key| tables.contains(*key)) {
        let has_heading = page.contains(&format!("## `[{table}]`"))
            || page.contains(&format!("[{table}.NAME]`"))
            || page.contains(&format!("`[{table}]`"));
        assert!(has_heading, "docs/configuration.md lacks [{table}]");
    }
    // The first column of a table has keys only.
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut count = 0;
    for row in rows {
        let first = format!("`{}", row.split(" | ").next().unwrap());
        for key in named.captures_iter(&first).map(|found| found.extract::<1>().1[0]) {
            count += 1;
            let is_known = source.contains(&format!("\"{key}\""));
            assert!(is_known, "`{key}` of docs/configuration.md is not read");
        }
    }
    assert!(count > 90, "only {count} keys were found on the page");
}
