//! Selection of entries by includes and excludes with gitignore's meaning.

use std::sync::Arc;

use crate::monitor::ProblemKind;
use crate::restore::error::Result;
use crate::rules::{Case, Pattern, Patterns, literal_steps};

/// Compiled includes and excludes.
pub(crate) struct Selector {
    excludes: Patterns,
    includes: Option<Patterns>,
    /// Literal first components of every include, if all of them are anchored: nothing can match
    /// elsewhere.
    roots: Option<Vec<Vec<Vec<u8>>>>,
}

/// The selection of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// It and everything below it is skipped.
    Skip,
    /// A directory that is not selected itself, but may contain selected entries.
    Search,
    /// It is selected, with everything below it that is not excluded.
    Take,
}

impl Selector {
    /// Compiles the patterns, which are relative to the target.
    pub(crate) fn new(includes: &[Pattern], excludes: &[Pattern]) -> Result<Self> {
        let lines = includes
            .iter()
            .filter(|pattern| pattern.case == Case::Exact)
            .flat_map(|pattern| &pattern.lines);
        let is_folded = includes.iter().any(|pattern| pattern.case == Case::Folded);
        // `./x` is anchored like `/x`.
        let lines = lines.filter(|line| !line.starts_with(b"!"));
        let anchored = lines
            .map(|line| literal_steps(&line[usize::from(line.starts_with(b"./"))..]))
            .collect();
        let roots = if includes.is_empty() || is_folded { None } else { anchored };
        let some = (!includes.is_empty()).then(|| Patterns::new(includes)).transpose()?;
        Ok(Self { excludes: Patterns::new(excludes)?, includes: some, roots })
    }

    /// Returns the patterns that matched nothing, as they were typed; for an include that is a
    /// problem, for an exclude a notice.
    pub(crate) fn unmatched(&self) -> Vec<(ProblemKind, String)> {
        let includes = self
            .includes
            .iter()
            .flat_map(Patterns::unmatched)
            .map(|shown| (ProblemKind::NotRestored, shown));
        includes
            .chain(self.excludes.unmatched().into_iter().map(|shown| (ProblemKind::Notice, shown)))
            .collect()
    }

    /// Returns whether only entries that an include matches are selected.
    pub(crate) fn has_includes(&self) -> bool {
        self.includes.is_some()
    }

    /// Judges the entry at `path` (relative, without a leading slash); `inside` if a directory
    /// above it was taken.
    pub(crate) fn judge(&self, path: &[u8], is_dir: bool, inside: bool) -> Selection {
        if self.excludes.find(path, &[0], is_dir).is_some_and(|matched| !matched.keeps) {
            return Selection::Skip;
        }
        let Some(includes) = &self.includes else {
            return Selection::Take;
        };
        let keeps = includes.find(path, &[0], is_dir).map(|matched| matched.keeps);
        if keeps == Some(false) || (inside && keeps.is_none()) {
            return Selection::Take;
        }
        if is_dir && self.may_lead_to_included(path) { Selection::Search } else { Selection::Skip }
    }

    fn may_lead_to_included(&self, path: &[u8]) -> bool {
        let Some(roots) = &self.roots else {
            return true;
        };
        roots.iter().any(|root| {
            root.iter().zip(path.split(|byte| *byte == b'/')).all(|(wanted, step)| wanted == step)
        })
    }
}

/// The selection of paths in the target.
pub(crate) struct TargetScope {
    /// The patterns.
    pub select: Arc<Selector>,
    /// The prefix of the paths that it judges.
    pub shown: Vec<u8>,
}

impl TargetScope {
    /// Returns whether the entry at `path`, which is not in the snapshot, is kept although extra
    /// entries are deleted.
    pub(crate) fn keeps(&self, path: &[u8], is_dir: bool) -> bool {
        let below = path.strip_prefix(&self.shown[..]).unwrap_or(path);
        self.select.judge(below.strip_prefix(b"/").unwrap_or(below), is_dir, true)
            != Selection::Take
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(includes: &[&str], excludes: &[&str]) -> Selector {
        let owned = |patterns: &[&str]| {
            patterns.iter().map(|pattern| Pattern::from(*pattern)).collect::<Vec<_>>()
        };
        Selector::new(&owned(includes), &owned(excludes)).unwrap()
    }

    #[test]
    fn excludes_mean_what_gitignore_means() {
        let select = select(&[], &["*.log", "/home/cache/", "!keep.log"]);
        assert_eq!(select.judge(b"a/b.log", false, true), Selection::Skip);
        assert_eq!(select.judge(b"a/keep.log", false, true), Selection::Take);
        assert_eq!(select.judge(b"home/cache", true, true), Selection::Skip);
        assert_eq!(select.judge(b"home/cache", false, true), Selection::Take);
        assert_eq!(select.judge(b"x/home/cache", true, true), Selection::Take);
    }

    #[test]
    fn anchored_includes_lead_straight_to_their_place() {
        let select = select(&["/home/u/*.txt", "srv/www"], &["secret.txt"]);
        assert_eq!(select.judge(b"home", true, false), Selection::Search);
        assert_eq!(select.judge(b"etc", true, false), Selection::Skip);
        assert_eq!(select.judge(b"home/v", true, false), Selection::Skip);
        assert_eq!(select.judge(b"home/u", true, false), Selection::Search);
        assert_eq!(select.judge(b"home/u/a.txt", false, false), Selection::Take);
        assert_eq!(select.judge(b"home/u/secret.txt", false, false), Selection::Skip);
        assert_eq!(select.judge(b"home/u/b.md", false, false), Selection::Skip);
        assert_eq!(select.judge(b"srv/www", true, false), Selection::Take);
        assert_eq!(select.judge(b"srv/www/x/y", false, true), Selection::Take);
    }

    #[test]
    fn floating_includes_search_everywhere() {
        let select = select(&["*.rs", "!gen.rs"], &[]);
        assert_eq!(select.judge(b"deep/er", true, false), Selection::Search);
        assert_eq!(select.judge(b"deep/er/a.rs", false, false), Selection::Take);
        assert_eq!(select.judge(b"deep/gen.rs", false, false), Selection::Skip);
    }

    #[test]
    fn names_that_are_no_text_can_be_judged() {
        assert_eq!(select(&[], &["*.log"]).judge(b"\xff\xfe.log", false, true), Selection::Skip);
    }
}
