//! Goal: the specification and the program say the same.
//!
//! Method: read every marked table of `format-spec/` and compare it with the program's constants,
//! or with its source where a constant does not tell (fields of structures, purposes of keys); run
//! the Python blocks of the text on the vectors.

mod layouts; // fixed layouts
mod markdown; // tables of Markdown
mod numbers; // limits, choices, registry
mod structures; // structures and variants

use std::path::{Path, PathBuf};
use std::process::Command;

use self::markdown::{Table, tables};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the chapters: file names and texts.
fn chapters() -> Vec<(String, String)> {
    let files =
        std::fs::read_dir(root().join("format-spec")).unwrap().map(|file| file.unwrap().path());
    let mut chapters: Vec<(String, String)> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    chapters.sort();
    chapters
}

/// Returns all tables whose marker begins with `kind` and a colon, with what follows in the marker.
fn marked(kind: &str) -> Vec<(String, Table)> {
    let all = chapters().into_iter().flat_map(|(_, text)| tables(&text));
    let of_kind = all.filter_map(|table| {
        let rest = table.marker.strip_prefix(kind)?.strip_prefix(": ")?.to_string();
        Some((rest, table))
    });
    of_kind.collect()
}

/// Returns the one table with exactly this marker.
fn table(marker: &str) -> Table {
    let mut found: Vec<Table> = chapters()
        .iter()
        .flat_map(|(_, text)| tables(text))
        .filter(|table| table.marker == marker)
        .collect();
    assert_eq!(found.len(), 1, "tables marked {marker}");
    found.remove(0)
}

/// Returns the text of all source files below a folder of `src/`, tests left out.
fn source_below(folder: &str) -> String {
    fn read(path: &Path, text: &mut String) {
        for entry in std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                read(&entry, text);
            } else {
                let source = std::fs::read_to_string(&entry).unwrap();
                text.push_str(source.split("#[cfg(test)]").next().unwrap());
            }
        }
    }
    let mut text = String::new();
    read(&root().join("src").join(folder), &mut text);
    text
}

#[test]
fn chapters_name_each_other_rightly() {
    let chapters = chapters();
    let readme = &chapters.iter().find(|(name, _)| name == "README.md").unwrap().1;
    for (name, text) in &chapters {
        assert!(
            name == "README.md" || readme.contains(&format!("]({name})")),
            "{name} is not in the list of chapters"
        );
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            assert!(root().join("format-spec").join(link).exists(), "{name} links to {link}");
        }
    }
    let source = source_below("");
    for named in source.split("`format-spec/").skip(1).map(|rest| rest.split('`').next().unwrap()) {
        let file = named.split(' ').next().unwrap().trim_end_matches(['.', ',']);
        assert!(
            root().join("format-spec").join(file).exists(),
            "the source names format-spec/{file}"
        );
    }
}

#[test]
fn sections_named_in_the_source_exist() {
    let source =
        source_below("").replace("\n//! ", " ").replace("\n/// ", " ").replace("\n    /// ", " ");
    for rest in source.split("`format-spec/").skip(1) {
        let (file, rest) = rest.split_once('`').unwrap();
        let Some(section) = rest.strip_prefix(", section ") else {
            continue;
        };
        let text = std::fs::read_to_string(root().join("format-spec").join(file)).unwrap();
        let title = section.strip_prefix('"').map(|rest| rest.split('"').next().unwrap());
        let number = section.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        let heading = |line: &str| match title {
            Some(title) => {
                line.ends_with(&format!(". {title}")) || line.contains(&format!("**{title}**"))
            }
            None => line.starts_with(&format!("## {number}. ")),
        };
        let found = text
            .lines()
            .any(|line| (line.starts_with("## ") || line.contains("**")) && heading(line));
        assert!(found, "{file} has no section {section:.40}");
    }
}

/// The vectors are checked once more, by the independent reader and by the Python blocks of the
/// text.
#[test]
fn vectors_hold_for_the_text_and_the_independent_reader() {
    let script = root().join("format-spec/check_vectors.py");
    let output = Command::new(crate::support::python_with_modules()).arg(script).output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
}
