//! Rules from the lines of ignore files, in order.

use super::error::RuleError;
use super::glob;
use super::table::RuleTable;

/// Rules in order: the last one that matches counts.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    kinds: Vec<RuleKind>,
    exact: RuleTable,
    folded: RuleTable,
}

/// Properties of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RuleKind {
    keeps: bool,
    dirs_only: bool,
}

/// The rule that counts for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its number, from 0, in the order in which rules were added.
    pub rule: usize,
    /// Whether it keeps entries that earlier rules leave out (`!`).
    pub keeps: bool,
}

/// Case sensitivity of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Case {
    /// Case sensitive.
    #[default]
    Exact,
    /// Case insensitive.
    Folded,
}

impl Rules {
    /// Adds one line and returns the rule's number; `None` for a comment or an empty line.
    ///
    /// Fails, and adds nothing, if the rule could never match.
    pub fn add(&mut self, line: &[u8]) -> Result<Option<usize>, RuleError> {
        self.add_line(line, Case::Exact, |_| None)
    }

    /// Adds one line that is not from an ignore file. A leading `./`, which git does not have,
    /// applies to every base.
    pub fn add_given(&mut self, line: &[u8], case: Case) -> Result<Option<usize>, RuleError> {
        self.add_line(line, case, |pattern| pattern.strip_prefix(b"./"))
    }

    fn add_line(
        &mut self,
        line: &[u8],
        case: Case,
        below_base: fn(&[u8]) -> Option<&[u8]>,
    ) -> Result<Option<usize>, RuleError> {
        let line = trimmed(line);
        if line.is_empty() || line[0] == b'#' {
            return Ok(None);
        }
        let (keeps, line) = line.strip_prefix(b"!").map_or((false, line), |rest| (true, rest));
        let (dirs_only, pattern) =
            line.strip_suffix(b"/").map_or((false, line), |rest| (true, rest));
        let number = self.kinds.len();
        let folded = (case == Case::Folded).then(|| fold_pattern(pattern));
        let (table, pattern) = match &folded {
            Some(folded) => (&mut self.folded, folded.as_slice()),
            None => (&mut self.exact, pattern),
        };
        let number_32 = u32::try_from(number).map_err(|_| RuleError::Long)?;
        match below_base(pattern) {
            Some(pattern) => table.add_relative(number_32, pattern)?,
            None => table.add(number_32, pattern)?,
        }
        self.kinds.push(RuleKind { keeps, dirs_only });
        Ok(Some(number))
    }

    /// Adds the lines of a file. Lines that could never match are skipped, as in git.
    pub fn add_file(&mut self, text: &[u8]) {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        for line in text.split(|byte| *byte == b'\n') {
            let _ = self.add(line);
        }
    }

    /// Returns whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Returns whether some rules depend on the base directory of a path.
    pub fn has_relative(&self) -> bool {
        self.exact.has_relative() || self.folded.has_relative()
    }

    /// Returns the rule that counts for a path, which ends without a slash.
    ///
    /// `bases` are the lengths of the path's base directories, with their slash. Rules with a
    /// leading slash apply to the first base only, other rules with a slash to all. There must be
    /// at least one base.
    pub fn find(&self, path: &[u8], bases: &[usize], is_dir: bool) -> Option<Matched> {
        self.find_among(path, bases, is_dir, |_| true)
    }

    /// Returns the rule that counts among those that `counts` accepts.
    pub(super) fn find_among(
        &self,
        path: &[u8],
        bases: &[usize],
        is_dir: bool,
        counts: impl Fn(usize) -> bool,
    ) -> Option<Matched> {
        let counts = &counts;
        let fits =
            |rule: u32| (is_dir || !self.kinds[rule as usize].dirs_only) && counts(rule as usize);
        let mut best = self.exact.find(path, bases, fits);
        if !self.folded.is_empty() {
            // Each base is folded separately, because folding may change lengths.
            let bases: Vec<usize> = bases.iter().map(|base| fold(&path[..*base]).len()).collect();
            best = best.max(self.folded.find(&fold(path), &bases, fits));
        }
        best.map(|rule| Matched { rule: rule as usize, keeps: self.kinds[rule as usize].keeps })
    }
}

/// The byte order mark that some editors write at the beginning of a file.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Removes a carriage return, and trailing spaces unless they are escaped; a zero byte ends the
/// line.
fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let (mut end, mut at) = (0, 0);
    while at < line.len() {
        match line[at] {
            b' ' => {}
            b'\\' => {
                at = (at + 1).min(line.len() - 1);
                end = at + 1;
            }
            _ => end = at + 1,
        }
        at += 1;
    }
    &line[..end]
}

/// Returns the text in lower case; bytes that are not UTF-8 stay.
fn fold(text: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(text.len());
    for part in text.utf8_chunks() {
        folded.extend_from_slice(part.valid().to_lowercase().as_bytes());
        folded.extend_from_slice(part.invalid());
    }
    folded
}

/// Returns a pattern in lower case, with its class of upper case letters replaced.
fn fold_pattern(pattern: &[u8]) -> Vec<u8> {
    let (mut folded, upper) = (fold(pattern), b"[:upper:]");
    while let Some(at) = folded.windows(upper.len()).position(|part| part == upper) {
        folded[at..at + upper.len()].copy_from_slice(b"[:lower:]");
    }
    folded
}

/// Returns a pattern that matches only this text.
pub fn escape(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        if b"*?[\\".contains(byte) {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

/// Returns the leading literal path components of a pattern.
///
/// `None` for a pattern without a slash, which may match anywhere.
pub fn literal_steps(pattern: &[u8]) -> Option<Vec<Vec<u8>>> {
    let pattern = trimmed(pattern);
    let pattern = pattern.strip_suffix(b"/").unwrap_or(pattern);
    if !pattern.contains(&b'/') {
        return None;
    }
    let pattern = pattern.strip_prefix(b"/").unwrap_or(pattern);
    let literal = glob::literal_len(pattern);
    let steps = pattern.split(|byte| *byte == b'/').scan(0, |end, step| {
        *end += step.len() + 1;
        (*end <= literal + 1).then(|| step.to_vec())
    });
    Some(steps.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(lines: &[&str]) -> Rules {
        let mut rules = Rules::default();
        for line in lines {
            rules.add(line.as_bytes()).unwrap();
        }
        rules
    }

    fn leaves_out(rules: &Rules, path: &str) -> bool {
        let (path, is_dir) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        rules.find(path.as_bytes(), &[0], is_dir).is_some_and(|matched| !matched.keeps)
    }

    #[test]
    fn rules_know_if_there_are_any_and_if_they_have_a_base() {
        assert!(Rules::default().is_empty() && !rules(&["x"]).is_empty());
        assert!(!rules(&["x", "/x"]).has_relative(), "of the first base only");
        assert!(rules(&["a/x"]).has_relative());
        let mut folded = Rules::default();
        folded.add_given(b"a/X", Case::Folded).unwrap();
        assert!(folded.has_relative());
    }

    #[test]
    fn the_last_rule_that_matches_counts() {
        let rules = rules(&["*.log", "!keep.log", "/build/", "doc/*.txt", "# *", "", "!", "x\\ "]);
        for path in ["a.log", "a/b.log", ".log", "build/", "doc/a.txt", "x ", "y/x "] {
            assert!(leaves_out(&rules, path), "{path}");
        }
        for path in [
            "keep.log",
            "a/keep.log",
            "build",
            "a/build/",
            "a/doc/a.txt",
            "doc/a/b.txt",
            "log",
            "x",
        ] {
            assert!(!leaves_out(&rules, path), "{path}");
        }
    }

    #[test]
    fn lines_end_as_git_ends_them() {
        for (line, kept) in [
            ("a  ", "a"),
            ("a\\  ", "a\\ "),
            ("a\r", "a"),
            ("a\t", "a\t"),
            (" a", " a"),
            ("a\\", "a\\"),
            ("  ", ""),
        ] {
            assert_eq!(trimmed(line.as_bytes()), kept.as_bytes(), "{line:?}");
        }
        let mut rules = Rules::default();
        rules.add_file(b"\xef\xbb\xbfa\r\n[bad\nb");
        assert!(leaves_out(&rules, "a") && leaves_out(&rules, "b") && !leaves_out(&rules, "[bad"));
    }

    #[test]
    fn rules_with_a_slash_inside_know_every_base() {
        let rules = rules(&["/top", "some/where"]);
        let find = |path: &str, bases: &[usize]| {
            rules.find(path.as_bytes(), bases, true).map(|matched| matched.rule)
        };
        let user = "home/u/".len();
        assert_eq!([find("top", &[0]), find("home/u/top", &[0, user])], [Some(0), None]);
        let some = [
            find("some/where", &[0]),
            find("home/u/some/where", &[0, user]),
            find("home/some/where", &[0, 5]),
        ];
        assert_eq!(some, [Some(1), Some(1), Some(1)]);
        assert_eq!(find("home/u/some/where", &[0]), None);
    }

    #[test]
    fn folded_rules_do_not_see_capitals() {
        let mut rules = Rules::default();
        rules.add_given("*.JPG".as_bytes(), Case::Folded).unwrap();
        rules.add_given("Übung/[A-C]*".as_bytes(), Case::Folded).unwrap();
        rules.add_given(b"[[:upper:]]9", Case::Folded).unwrap();
        rules.add(b"x").unwrap();
        for path in ["a.jpg", "a.Jpg", "übung/B1", "ÜBUNG/c", "x", "q9", "Q9"] {
            assert!(leaves_out(&rules, path), "{path}");
        }
        assert!(!leaves_out(&rules, "X") && !leaves_out(&rules, "übung/d"));
    }

    #[test]
    fn names_need_not_be_text() {
        let mut rules = Rules::default();
        rules.add(b"caf\xe9").unwrap();
        rules.add_given(b"\xff?*", Case::Folded).unwrap();
        assert!(
            rules.find(b"a/caf\xe9", &[0], false).is_some()
                && rules.find(b"\xffab", &[0], false).is_some()
        );
        assert!(rules.find("café".as_bytes(), &[0], false).is_none());
    }

    #[test]
    fn steps_are_literal_before_the_first_special_one() {
        let steps = |pattern: &str| literal_steps(pattern.as_bytes()).map(|steps| steps.concat());
        assert_eq!(steps("/home/u/*.txt"), Some(b"homeu".to_vec()));
        assert_eq!(steps("srv/www/"), Some(b"srvwww".to_vec()));
        assert_eq!((steps("*.rs"), steps("x/"), steps("/x")), (None, None, Some(b"x".to_vec())));
        assert_eq!((steps("**/x"), steps("a/b*")), (Some(Vec::new()), Some(b"a".to_vec())));
        assert_eq!(escape(b"a*[b"), b"a\\*\\[b");
    }
}
