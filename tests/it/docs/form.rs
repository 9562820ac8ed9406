//! Goal: pages can be found, read and followed. Method: README.md is short and begins with
//! commands, prose is wrapped, every page is in the index, and the picture shows what the guide
//! says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::page::{Part, split};
use super::{name_of, pages, root};

/// Lines of README.md, and the line by which its first command is seen.
const README_LINES_MAX: usize = 120;
const FIRST_COMMAND_LINE_MAX: usize = 20;

/// Columns of prose; tables and links that are longer stay whole.
const COLUMNS_MAX: usize = 100;

/// Pages that are lists of long rows.
const LISTS: [&str; 2] = ["docs/dependencies.md", "docs/promises.md"];

fn text(page: &Path) -> String {
    fs::read_to_string(page).unwrap()
}

/// Returns the lines of a page that are not in blocks.
fn prose(page: &Path) -> Vec<String> {
    let lines = split(&text(page)).into_iter().filter_map(|part| match part {
        Part::Line(line) => Some(line),
        Part::Mark { .. } | Part::Block(_) => None,
    });
    lines.collect()
}

/// Returns the targets of links and pictures that are in this project.
fn links(page: &Path) -> Vec<String> {
    let text = prose(page).join(" ");
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| !target.contains("://")).collect()
}

#[test]
fn every_page_is_in_the_index() {
    let docs = root().join("docs");
    let index: Vec<PathBuf> = links(&docs.join("README.md"))
        .iter()
        .map(|link| docs.join(link).canonicalize().unwrap())
        .collect();
    for page in pages().iter().filter(|page| !page.ends_with("docs/README.md")) {
        assert!(
            index.contains(&page.canonicalize().unwrap()),
            "docs/README.md lacks {}",
            name_of(page)
        );
    }
}

#[test]
fn the_first_screen_has_commands() {
    let readme = text(&root().join("README.md"));
    assert!(
        readme.lines().count() <= README_LINES_MAX,
        "README.md is too long: move text to docs/"
    );
    let first: Vec<&str> = readme.lines().take(FIRST_COMMAND_LINE_MAX).collect();
    assert!(first.iter().any(|line| line.starts_with("drumlin ")), "{first:#?}");
    assert!(first.iter().any(|line| line.contains("Linux only")), "{first:#?}");
}

#[test]
fn prose_is_wrapped() {
    for page in pages().iter().filter(|page| !LISTS.contains(&name_of(page).as_str())) {
        let is_long = |line: &String| {
            line.chars().count() > COLUMNS_MAX
                && !line.starts_with('|')
                && line.trim().contains(' ')
        };
        let long: Vec<String> = prose(page).into_iter().filter(is_long).collect();
        assert!(
            long.is_empty(),
            "{}: wrap at {COLUMNS_MAX} columns:\n{}",
            name_of(page),
            long.join("\n")
        );
    }
}

#[test]
fn the_picture_shows_what_the_guide_says() {
    let check = Command::new("python3")
        .arg(root().join("scripts/cast.py"))
        .arg("--check")
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}
