//! The text of files: words of comments, headers, columns.

/// Words of comments that have plainer ones: "the caller", "the user", "also", "given", "has
/// ended", "is stored", "in addition to", "follows".
const DIALECT: &[&str] = &[
    "whoever",
    "likewise",
    "at hand",
    "somebody",
    "is over",
    "are over",
    "lies",
    "lie",
    "beside",
    "goes by",
    "stands there",
    "stands in",
    "stands at",
    "stands behind",
];
/// First words of a header that evade the term: a header is a noun phrase.
const NO_HEADERS: &[&str] = &["What", "How", "Which", "Who", "Where"];
const COLUMNS_MAX: usize = 100;
/// A literal so long may make a line longer: it cannot be broken.
const LITERAL_LEN_MIN: usize = 60;

/// Complains about the text of a file.
pub fn check(file: &str, text: &str, found: &mut Vec<String>) {
    if let Some(header) = text.lines().next().and_then(|line| line.strip_prefix("//! "))
        && NO_HEADERS.iter().any(|word| header.split(' ').next() == Some(word))
    {
        found.push(format!("{file}:1: begin the header with the thing that it is about"));
    }
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        if line.chars().count() > COLUMNS_MAX && !may_be_long(line) {
            found.push(format!("{file}:{at}: longer than {COLUMNS_MAX} columns"));
        }
        let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
        let lower = comment.to_lowercase();
        let words: Vec<&str> = lower.split(|c: char| !c.is_alphabetic()).collect();
        let words = format!(" {} ", words.join(" "));
        for word in DIALECT.iter().filter(|word| words.contains(&format!(" {word} "))) {
            found.push(format!("{file}:{at}: say it without `{word}`"));
        }
    }
}

/// Returns whether a line cannot be broken: a row of a table, or a long literal.
fn may_be_long(line: &str) -> bool {
    let literal = line.split('"').skip(1).step_by(2).map(str::len).max();
    line.trim_start().starts_with("//! |")
        || line.contains("r#\"")
        || literal.is_some_and(|len| len >= LITERAL_LEN_MIN)
}
