//! A strict reader of the text format 0.0.4, for tests.
//!
//! It demands more than Prometheus does: help and type before the first series of each metric, the
//! series of a metric together, no empty lines, no time stamps, one line feed at the end.

use std::collections::BTreeSet;

/// A series and its value.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// The metric.
    pub(super) name: String,
    /// Names and values of labels, as written.
    pub(super) labels: Vec<(String, String)>,
    /// The value.
    pub(super) value: f64,
}

/// Reads a text, or panics.
pub(super) fn read(text: &str) -> Vec<Series> {
    let mut lines = text.strip_suffix('\n').expect("it ends with a line feed").split('\n');
    let (mut all, mut metrics, mut seen) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut current = String::new();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help");
            assert!(!help.is_empty() && metrics.insert(name.to_owned()), "{name} twice");
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            assert_eq!(lines.next(), Some(&format!("# TYPE {name} {kind}")[..]));
            name.clone_into(&mut current);
            continue;
        }
        let series = read_series(line);
        assert_eq!(series.name, current, "{line}");
        assert!(seen.insert((series.name.clone(), series.labels.clone())), "twice: {line}");
        all.push(series);
    }
    all
}

fn read_series(line: &str) -> Series {
    let end = line.find(['{', ' ']).expect("a name ends");
    let (name, mut rest) = line.split_at(end);
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").expect("a label");
            let (content, after) = read_content(after);
            labels.push((label.to_owned(), content));
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = after.strip_prefix('}').expect("the labels end");
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').expect("a space").parse().expect("a number");
    Series { name: name.to_owned(), labels, value }
}

/// Reads the value of a label to its quote; returns what follows too.
fn read_content(text: &str) -> (String, &str) {
    let (mut content, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (content, &text[at + 1..]),
            '\\' => content.push(match letters.next() {
                Some((_, '\\')) => '\\',
                Some((_, '"')) => '"',
                Some((_, 'n')) => '\n',
                other => panic!("an escape: {other:?}"),
            }),
            letter => content.push(letter),
        }
    }
    panic!("no quote: {text}");
}
