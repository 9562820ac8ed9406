//! Goal: a promise that nobody tests is found. Method: docs/promises.md quotes promises and names
//! tests; each quote must stand in its page, and each test in the source.

use std::fs;
use std::path::Path;

/// Returns the text with single spaces, so that line ends do not matter.
fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Collects the source of all files below a folder.
fn source_below(folder: &Path, text: &mut String) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            source_below(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_promise_names_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut source = String::new();
    ["src", "tests/it"].iter().for_each(|folder| source_below(&root.join(folder), &mut source));
    let table = fs::read_to_string(root.join("docs/promises.md")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut count = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [page, quote, tests] = cells[..] else {
            panic!("a row of three cells: {row}");
        };
        let text = on_one_line(&fs::read_to_string(root.join(page)).unwrap());
        assert!(text.contains(quote), "{page} does not say: {quote}");
        for test in tests.split(", ").map(|test| test.trim_matches('`')) {
            let is_test = source.contains(&format!("#[test]\nfn {test}("))
                || source.contains(&format!("#[test]\n    fn {test}("));
            assert!(is_test, "no test is called {test}: {quote}");
        }
        count += 1;
    }
    assert!(count >= 100, "only {count} promises");
}
