//! Goal: the documents lead to what there is, and show it. Method: every relative link of every
//! Markdown file is followed, and its anchor looked for among the headings; every path that the
//! developers' pages name must exist; the chart is drawn again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directories =
        ["", "docs", "docs/dev", "format-spec", "format-spec/vectors", "benches", ".github"];
    let entries =
        directories.iter().flat_map(|directory| fs::read_dir(root.join(directory)).unwrap());
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    pages
}

/// Returns a page's lines outside of fences.
fn prose(text: &str) -> Vec<&str> {
    let mut is_fenced = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        !is_fenced && !is_fence
    });
    lines.collect()
}

/// Returns the anchors of a page, as the usual readers of Markdown make them of headings.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect::<String>()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_somewhere() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in prose(&text)
            .join(" ")
            .split("](")
            .skip(1)
            .map(|rest| rest.split([')', ' ']).next().unwrap())
        {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let has_anchor =
                || anchors(&fs::read_to_string(&target).unwrap()).iter().any(|own| own == anchor);
            if !target.exists() || !anchor.is_empty() && !has_anchor() {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(count > 100, "only {count} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// docs/dev/style.md also names files of other projects.
#[test]
fn paths_on_the_developers_pages_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ours = ["src/", "tests/", "docs/", "scripts/", "format-spec/", "fuzz/", "benches/"];
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages() {
        let name = page.file_name().unwrap();
        if !(page.parent().unwrap().ends_with("docs/dev") || name == "CONTRIBUTING.md")
            || name == "style.md"
        {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap();
        for path in prose(&text).join("\n").split('`').skip(1).step_by(2) {
            let is_pattern = path.contains(['*', ' ']) || path.contains("NAME");
            if is_pattern || !ours.iter().any(|directory| path.starts_with(directory)) {
                continue;
            }
            count += 1;
            if !root.join(path).exists() {
                wrong.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert!(count > 50, "only {count} paths were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The chart and the summary of benches/RESULTS.md are made from its tables.
#[test]
fn the_chart_shows_the_tables() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/chart.py");
    let output = Command::new("python3").arg(script).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
