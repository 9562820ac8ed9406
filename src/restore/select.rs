//! Which entries are restored: includes and excludes with gitignore's meaning.

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::error::{Error, Result};

/// The selection of entries.
pub struct Select {
    excludes: Option<Gitignore>,
    includes: Option<Gitignore>,
    /// Literal first steps of every include, if all of them are anchored: nothing elsewhere can match.
    roots: Option<Vec<Vec<Vec<u8>>>>,
}

/// What is done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It and all below it is passed over.
    Skip,
    /// A folder that is not selected itself, but may hold something that is.
    Search,
    /// It is selected, and so is all below it unless excluded.
    Take,
}

impl Select {
    /// Compiles the patterns; they are relative to what lies below the target.
    pub fn new(includes: &[String], excludes: &[String]) -> Result<Self> {
        let anchored =
            includes.iter().filter(|pattern| !pattern.starts_with('!')).map(|pattern| literal_steps(pattern)).collect();
        let roots = if includes.is_empty() { None } else { anchored };
        Ok(Self { excludes: compile(excludes)?, includes: compile(includes)?, roots })
    }

    /// Returns whether only what is named by an include is selected.
    pub fn has_includes(&self) -> bool {
        self.includes.is_some()
    }

    /// Judges the entry at `path` (relative, without a leading slash); `inside` if a folder above it was taken.
    pub fn judge(&self, path: &[u8], is_dir: bool, inside: bool) -> Verdict {
        let as_path = Path::new(OsStr::from_bytes(path));
        if self.excludes.as_ref().is_some_and(|excludes| excludes.matched(as_path, is_dir).is_ignore()) {
            return Verdict::Skip;
        }
        let Some(includes) = &self.includes else {
            return Verdict::Take;
        };
        let matched = includes.matched(as_path, is_dir);
        if matched.is_ignore() || (inside && !matched.is_whitelist()) {
            return Verdict::Take;
        }
        if is_dir && self.may_lead_to_included(path) { Verdict::Search } else { Verdict::Skip }
    }

    fn may_lead_to_included(&self, path: &[u8]) -> bool {
        let Some(roots) = &self.roots else {
            return true;
        };
        roots.iter().any(|root| root.iter().zip(path.split(|byte| *byte == b'/')).all(|(wanted, step)| wanted == step))
    }
}

fn compile(patterns: &[String]) -> Result<Option<Gitignore>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        let failed = |source| Error::Pattern { pattern: pattern.clone(), source };
        builder.add_line(None, pattern).map_err(failed)?;
    }
    let failed = |source| Error::Pattern { pattern: patterns.join(" "), source };
    builder.build().map(Some).map_err(failed)
}

/// Returns the steps of an anchored pattern before its first wildcard; `None` if it can match anywhere.
fn literal_steps(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let trimmed = pattern.trim_end().trim_end_matches('/');
    if !trimmed.contains('/') {
        return None;
    }
    let steps = trimmed.trim_start_matches('/').split('/');
    let is_literal = |step: &&str| !step.contains(['*', '?', '[', '\\', '{']);
    Some(steps.take_while(is_literal).map(|step| step.as_bytes().to_vec()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(includes: &[&str], excludes: &[&str]) -> Select {
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| pattern.to_string()).collect::<Vec<_>>();
        Select::new(&owned(includes), &owned(excludes)).unwrap()
    }

    #[test]
    fn excludes_mean_what_gitignore_means() {
        let select = select(&[], &["*.log", "/home/cache/", "!keep.log"]);
        assert_eq!(select.judge(b"a/b.log", false, true), Verdict::Skip);
        assert_eq!(select.judge(b"a/keep.log", false, true), Verdict::Take);
        assert_eq!(select.judge(b"home/cache", true, true), Verdict::Skip);
        assert_eq!(select.judge(b"home/cache", false, true), Verdict::Take);
        assert_eq!(select.judge(b"x/home/cache", true, true), Verdict::Take);
    }

    #[test]
    fn anchored_includes_lead_straight_to_their_place() {
        let select = select(&["/home/u/*.txt", "srv/www"], &["secret.txt"]);
        assert_eq!(select.judge(b"home", true, false), Verdict::Search);
        assert_eq!(select.judge(b"etc", true, false), Verdict::Skip);
        assert_eq!(select.judge(b"home/v", true, false), Verdict::Skip);
        assert_eq!(select.judge(b"home/u", true, false), Verdict::Search);
        assert_eq!(select.judge(b"home/u/a.txt", false, false), Verdict::Take);
        assert_eq!(select.judge(b"home/u/secret.txt", false, false), Verdict::Skip);
        assert_eq!(select.judge(b"home/u/b.md", false, false), Verdict::Skip);
        assert_eq!(select.judge(b"srv/www", true, false), Verdict::Take);
        assert_eq!(select.judge(b"srv/www/x/y", false, true), Verdict::Take);
    }

    #[test]
    fn floating_includes_search_everywhere() {
        let select = select(&["*.rs", "!gen.rs"], &[]);
        assert_eq!(select.judge(b"deep/er", true, false), Verdict::Search);
        assert_eq!(select.judge(b"deep/er/a.rs", false, false), Verdict::Take);
        assert_eq!(select.judge(b"deep/gen.rs", false, false), Verdict::Skip);
    }

    #[test]
    fn names_that_are_no_text_can_be_judged() {
        assert_eq!(select(&[], &["*.log"]).judge(b"\xff\xfe.log", false, true), Verdict::Skip);
    }
}
