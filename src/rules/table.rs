//! Lookup table of rules: most rules are looked up by name, not tried one by one.

use std::collections::HashMap;

use super::error::RuleError;
use super::glob::Glob;

/// Numbers of rules, ascending.
type Numbers = Vec<u32>;

/// Rules by the kind of their pattern.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleTable {
    /// Literal names.
    names: HashMap<Box<[u8]>, Numbers>,
    /// Literal suffixes of names, from a dot on.
    endings: HashMap<Box<[u8]>, Numbers>,
    /// Other patterns of names.
    name_globs: Vec<(u32, Glob)>,
    /// Rules that begin with a slash.
    absolute: Paths,
    /// Rules with a slash elsewhere.
    relative: Paths,
}

/// Rules about paths.
#[derive(Clone, Debug, Default)]
struct Paths {
    /// Literal paths.
    literal: HashMap<Box<[u8]>, Numbers>,
    /// Patterns, by the literal directory that contains all their matches.
    globs: HashMap<Box<[u8]>, Vec<(u32, Glob)>>,
}

impl RuleTable {
    /// Returns whether there are no rules.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
            && self.endings.is_empty()
            && self.name_globs.is_empty()
            && self.absolute.is_empty()
            && self.relative.is_empty()
    }

    /// Returns whether some rules have a slash that is not leading.
    pub(super) fn has_relative(&self) -> bool {
        !self.relative.is_empty()
    }

    /// Adds a rule; its number must be higher than all before it.
    pub(super) fn add(&mut self, number: u32, pattern: &[u8]) -> Result<(), RuleError> {
        if pattern.contains(&b'/') {
            let (paths, pattern) = match pattern.strip_prefix(b"/") {
                Some(pattern) => (&mut self.absolute, pattern),
                None => (&mut self.relative, pattern),
            };
            return paths.add(number, Glob::new(pattern)?);
        }
        let glob = Glob::new(pattern)?;
        if let Some(name) = glob.literal() {
            self.names.entry(name.into()).or_default().push(number);
        } else if let Some(ending) = glob.ending().filter(|ending| ending.first() == Some(&b'.')) {
            self.endings.entry(ending.into()).or_default().push(number);
        } else {
            self.name_globs.push((number, glob));
        }
        Ok(())
    }

    /// Adds a rule about paths below every base.
    pub(super) fn add_relative(&mut self, number: u32, pattern: &[u8]) -> Result<(), RuleError> {
        self.relative.add(number, Glob::new(pattern)?)
    }

    /// Returns the highest number of a rule that matches and that `fits`.
    pub(super) fn find(
        &self,
        path: &[u8],
        bases: &[usize],
        fits: impl Fn(u32) -> bool + Copy,
    ) -> Option<u32> {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let mut best = last_of(self.names.get(name), fits);
        if !self.endings.is_empty() {
            let dots = name.iter().enumerate().filter(|(_, byte)| **byte == b'.');
            best = dots
                .map(|(at, _)| last_of(self.endings.get(&name[at..]), fits))
                .fold(best, Option::max);
        }
        best = best.max(last_match(&self.name_globs, name, best, fits));
        best = best.max(self.absolute.find(&path[bases[0]..], best, fits));
        if !self.relative.is_empty() {
            let below = bases.iter().map(|base| self.relative.find(&path[*base..], best, fits));
            best = below.fold(best, Option::max);
        }
        best
    }
}

impl Paths {
    fn is_empty(&self) -> bool {
        self.literal.is_empty() && self.globs.is_empty()
    }

    fn add(&mut self, number: u32, glob: Glob) -> Result<(), RuleError> {
        if let Some(path) = glob.literal() {
            self.literal.entry(path.into()).or_default().push(number);
            return Ok(());
        }
        let head = glob.head();
        let dir = head.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |end| &head[..end]);
        self.globs.entry(dir.into()).or_default().push((number, glob));
        Ok(())
    }

    fn find(
        &self,
        path: &[u8],
        mut best: Option<u32>,
        fits: impl Fn(u32) -> bool + Copy,
    ) -> Option<u32> {
        best = best.max(last_of(self.literal.get(path), fits));
        if self.globs.is_empty() {
            return best;
        }
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in std::iter::once(0).chain(slashes) {
            if let Some(globs) = self.globs.get(&path[..end]) {
                best = best.max(last_match(globs, path, best, fits));
            }
        }
        best
    }
}

fn last_of(numbers: Option<&Numbers>, fits: impl Fn(u32) -> bool) -> Option<u32> {
    numbers?.iter().rev().copied().find(|number| fits(*number))
}

/// Tries patterns in reverse order, as long as their numbers are higher than `best`.
fn last_match(
    globs: &[(u32, Glob)],
    text: &[u8],
    best: Option<u32>,
    fits: impl Fn(u32) -> bool,
) -> Option<u32> {
    let newer = globs.iter().rev().take_while(|(number, _)| best.is_none_or(|best| *number > best));
    newer
        .filter(|(number, _)| fits(*number))
        .find(|(_, glob)| glob.matches(text))
        .map(|(number, _)| *number)
}
