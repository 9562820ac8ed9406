//! Patterns as the user typed them: text, rules, and whether they ever matched.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::RuleError;
use super::lines::{Case, Matched, Rules};

/// A typed pattern and its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// The typed text, for messages.
    pub shown: String,
    /// The rules.
    pub lines: Vec<Vec<u8>>,
    /// Case sensitivity.
    pub case: Case,
    /// Whether it is a general pattern, for which no match is normal and not reported.
    pub is_general: bool,
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self { shown: text.to_owned(), lines: vec![text.as_bytes().to_vec()], ..Self::default() }
    }
}

/// A pattern that can never match anything.
#[derive(Debug, thiserror::Error)]
#[error("bad pattern '{shown}'")]
pub struct BadPattern {
    /// The typed text.
    pub shown: String,
    /// The error.
    #[source]
    pub source: RuleError,
}

/// Compiled patterns.
#[derive(Default)]
pub struct Patterns {
    rules: Rules,
    /// The pattern that each rule belongs to.
    owners: Vec<u32>,
    given: Vec<Given>,
}

struct Given {
    shown: String,
    is_general: bool,
    has_matched: AtomicBool,
}

impl Patterns {
    /// Compiles patterns; fails if one could never match.
    pub fn new(patterns: &[Pattern]) -> Result<Self, BadPattern> {
        let mut all = Self::default();
        for (owner, pattern) in (0..).zip(patterns) {
            let mut has_rules = false;
            for line in &pattern.lines {
                let added = all.rules.add_given(line, pattern.case);
                if added
                    .map_err(|source| BadPattern { shown: pattern.shown.clone(), source })?
                    .is_some()
                {
                    all.owners.push(owner);
                    has_rules = true;
                }
            }
            let (shown, is_general) = (pattern.shown.clone(), pattern.is_general || !has_rules);
            all.given.push(Given { shown, is_general, has_matched: AtomicBool::new(false) });
        }
        Ok(all)
    }

    /// Returns whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns whether some rules depend on the base directory of a path.
    pub fn has_relative(&self) -> bool {
        self.rules.has_relative()
    }

    /// Returns the rule that counts, like [`Rules::find`], and marks all patterns that match.
    pub fn find(&self, path: &[u8], bases: &[usize], is_dir: bool) -> Option<Matched> {
        let given = |rule: usize| &self.given[self.owners[rule] as usize];
        let matched = self.rules.find(path, bases, is_dir)?;
        given(matched.rule).has_matched.store(true, Ordering::Relaxed);
        // Patterns that another rule overrides have matched, too.
        let is_new = |rule: usize| {
            !given(rule).is_general && !given(rule).has_matched.load(Ordering::Relaxed)
        };
        while let Some(also) = self.rules.find_among(path, bases, is_dir, is_new) {
            given(also.rule).has_matched.store(true, Ordering::Relaxed);
        }
        Some(matched)
    }

    /// Returns the typed text of each pattern that matched nothing so far.
    pub fn unmatched(&self) -> Vec<String> {
        let unmatched = self
            .given
            .iter()
            .filter(|given| !given.is_general && !given.has_matched.load(Ordering::Relaxed));
        unmatched.map(|given| given.shown.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_dot_applies_below_every_base() {
        let none = Patterns::new(&["# nothing".into()]).unwrap();
        assert!(none.is_empty() && !none.has_relative());
        let patterns = Patterns::new(&["./x".into(), "./y*.o".into(), "/z".into()]).unwrap();
        assert!(!patterns.is_empty() && patterns.has_relative());
        let found = |path: &[u8]| {
            let bases = if path.len() > 4 { &[0, 4][..] } else { &[0] };
            patterns.find(path, bases, false).map(|matched| matched.rule)
        };
        assert_eq!([b"x" as &[u8], b"src/x", b"src/a/x"].map(found), [Some(0), Some(0), None]);
        assert_eq!([b"y.o" as &[u8], b"src/ya.o"].map(found), [Some(1), Some(1)]);
        assert_eq!([b"z" as &[u8], b"src/z"].map(found), [Some(2), None]);
        assert!(!Patterns::new(&["z".into(), "/y".into()]).unwrap().has_relative());
    }

    #[test]
    fn endings_are_looked_up_by_their_first_dot_and_others_are_not() {
        let patterns = Patterns::new(&["*.o".into(), "*o".into(), "*~".into()]).unwrap();
        let found = |path: &[u8]| patterns.find(path, &[0], false).map(|matched| matched.rule);
        let paths = [b"a.o" as &[u8], b"ao", b"a~", b"a.o~", b"a.b"];
        assert_eq!(paths.map(found), [Some(1), Some(1), Some(2), Some(2), None]);
    }

    #[test]
    fn patterns_that_matched_nothing_are_known() {
        let given = ["*.log", "a*", "!keep", "# nothing", "x/y", "*.tmp"].map(Pattern::from);
        let mut given = given.to_vec();
        given[5].is_general = true;
        let patterns = Patterns::new(&given).unwrap();
        assert_eq!(patterns.unmatched(), ["*.log", "a*", "!keep", "x/y"]);
        assert!(patterns.find(b"b", &[0], false).is_none());
        assert_eq!(patterns.find(b"a.log", &[0], false).map(|matched| matched.rule), Some(1));
        assert_eq!(
            patterns.unmatched(),
            ["!keep", "x/y"],
            "the rule that came too late matched, too"
        );
        let bad = Patterns::new(&["a".into(), "[b".into()]).err().unwrap();
        assert_eq!((bad.shown.as_str(), bad.source), ("[b", RuleError::Bracket));
    }
}
