//! Search for entries by name and attributes in many snapshots.

use std::collections::HashSet;

use globset::GlobBuilder;
use regex::bytes::{RegexSet, RegexSetBuilder};

use super::changes::tree_of;
use super::error::Error;
use crate::format::codec;
use crate::format::entry::{EntryKind, Timestamp, entry_flag};
use crate::id::ChunkId;
use crate::monitor::Monitor;
use crate::repo::{self, Descent, DirEntry, Trees};

/// Patterns of names and paths.
pub struct NamePatterns {
    /// Literal names, without a limit of their number.
    literal: HashSet<Vec<u8>>,
    names: RegexSet,
    paths: RegexSet,
}

/// Special characters of globs.
const SPECIAL: &[u8] = b"*?[]{}\\";
/// Most patterns that are compiled: each takes some kilobytes of memory.
const COMPILED_MAX: usize = 2_000;

/// A regular expression over bytes for one character but a slash, and for a byte of a name that is
/// not text.
const ANY_CHARACTER: &str = r"(?:[\x00-.0-\x7f]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|[\x80-\xff])";
/// Placeholder for `[^/]*`: no regular expression contains it.
const ANY_NAME: &str = "\0";

/// Syntax of patterns.
#[derive(Clone, Copy, Debug, Default)]
pub struct PatternOptions {
    /// Regular expressions, which may match anywhere; else globs, which match a whole name.
    pub regex: bool,
    /// All match whole paths; else only those with a slash do.
    pub whole_path: bool,
    /// Ignore case.
    pub ignore_case: bool,
}

impl NamePatterns {
    /// Compiles patterns, of which an entry must match one. Patterns are bytes, as names are.
    ///
    /// A glob with a slash inside may begin at any directory. Fails with [`Error::Pattern`], also
    /// for a regular expression that is not text: it has its own syntax for bytes.
    pub fn new(patterns: &[impl AsRef<[u8]>], options: PatternOptions) -> Result<Self, Error> {
        let (mut literal, mut names, mut paths) = (HashSet::new(), Vec::new(), Vec::new());
        for pattern in patterns.iter().map(AsRef::as_ref) {
            let is_path = options.whole_path || pattern.contains(&b'/');
            if !is_path
                && !options.regex
                && !options.ignore_case
                && !pattern.iter().any(|byte| SPECIAL.contains(byte))
            {
                literal.insert(pattern.to_vec());
                continue;
            }
            let refuse =
                |source: Box<dyn std::error::Error + Send + Sync>| refused(pattern, source);
            let regex = if options.regex {
                regex_of(pattern)
            } else {
                regex_of_glob(pattern, is_path, options.ignore_case)
            };
            if is_path {
                paths.push(regex.map_err(refuse)?)
            } else {
                names.push(regex.map_err(refuse)?)
            }
            if names.len() + paths.len() > COMPILED_MAX {
                return Err(refuse(
                    format!(
                        "at most {COMPILED_MAX} patterns can have special characters or slashes"
                    )
                    .into(),
                ));
            }
        }
        let compile = |patterns: Vec<String>| {
            let set = RegexSetBuilder::new(&patterns).case_insensitive(options.ignore_case).build();
            set.map_err(|error| Error::Pattern {
                pattern: patterns.join(" "),
                source: error.into(),
            })
        };
        Ok(Self { literal, names: compile(names)?, paths: compile(paths)? })
    }

    fn fits(&self, path: &[u8], name: &[u8]) -> bool {
        // Paths last: they may be long, and most patterns match names.
        self.literal.contains(name)
            || self.names.is_match(name)
            || (!self.paths.is_empty() && self.paths.is_match(path))
    }
}

/// Why a pattern is refused.
type Cause = Box<dyn std::error::Error + Send + Sync>;

fn refused(pattern: &[u8], source: Cause) -> Error {
    Error::Pattern { pattern: String::from_utf8_lossy(pattern).into_owned(), source }
}

/// Checks a regular expression alone, so that the error names this one.
fn regex_of(pattern: &[u8]) -> Result<String, Cause> {
    let text = std::str::from_utf8(pattern)
        .map_err(|_| "a regular expression must be UTF-8; write another byte as (?-u:\\xe9)")?;
    RegexSetBuilder::new([text]).build()?;
    Ok(text.to_owned())
}

/// Returns the regular expression of a glob.
fn regex_of_glob(pattern: &[u8], is_path: bool, ignore_case: bool) -> Result<String, Cause> {
    let text = text_of(pattern);
    let anywhere = is_path && !text.starts_with('/') && !text.starts_with("**");
    let glob = if anywhere { format!("**/{text}") } else { text };
    let regex = GlobBuilder::new(&glob)
        .literal_separator(true)
        .empty_alternates(true)
        .build()?
        .regex()
        // Otherwise it would match a single byte of a longer character.
        .replace("[^/]*", ANY_NAME)
        .replace("[^/]", ANY_CHARACTER)
        .replace(ANY_NAME, "[^/]*");
    Ok(bytes_again(if ignore_case { fold_beyond_ascii(&regex) } else { regex }))
}

/// First of 256 private characters. In globs, which are text, character `STAND_IN + n` represents a
/// byte `n` that is not text.
const STAND_IN: u32 = 0x10_fe00;

fn stand_in(byte: u8) -> char {
    char::from_u32(STAND_IN + u32::from(byte)).expect("it is in the last plane")
}

/// Returns a pattern as text, with stand-ins for bytes that are not text.
fn text_of(pattern: &[u8]) -> String {
    let mut text = String::new();
    for chunk in pattern.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| stand_in(*byte)));
    }
    text
}

/// Replaces the stand-ins, which the regex contains as escaped bytes, by their bytes.
fn bytes_again(regex: String) -> String {
    let mut buffer = [0; 4];
    let mut escaped = |c: char| {
        c.encode_utf8(&mut buffer).bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>()
    };
    let all: Vec<(u8, String)> =
        (0x80..=0xff).map(|byte| (byte, escaped(stand_in(byte)))).collect();
    all.iter().fold(regex, |regex, (byte, from)| regex.replace(from, &format!("\\x{byte:02x}")))
}

/// Makes letters beyond ASCII match in either case, except in classes. The regex of a glob contains
/// them as escaped bytes.
fn fold_beyond_ascii(regex: &str) -> String {
    let (mut folded, mut rest, mut is_class) = (String::new(), regex, false);
    while let Some(first) = rest.chars().next() {
        let letters = if is_class { String::new() } else { escaped_letters(rest) };
        if letters.is_empty() {
            // An escaped character is no bracket.
            let len = if first == '\\' {
                1 + rest[1..].chars().next().map_or(0, char::len_utf8)
            } else {
                first.len_utf8()
            };
            is_class = (is_class || first == '[') && first != ']';
            folded += &rest[..len];
            rest = &rest[len..];
            continue;
        }
        letters.chars().for_each(|letter| folded += &either_case(letter));
        rest = &rest[4 * letters.len()..];
    }
    folded
}

/// Returns the leading letters that are escaped bytes.
fn escaped_letters(regex: &str) -> String {
    let escaped = |at: usize| Some(regex.get(at..at + 4)?.strip_prefix("\\x")).flatten();
    let bytes = (0..)
        .step_by(4)
        .map_while(|at| u8::from_str_radix(escaped(at)?, 16).ok())
        .take_while(|byte| !byte.is_ascii());
    String::from_utf8(bytes.collect()).unwrap_or_default()
}

/// Returns a regex for a letter in either case, in escaped bytes.
fn either_case(letter: char) -> String {
    let mut cases =
        vec![letter.to_string(), letter.to_lowercase().collect(), letter.to_uppercase().collect()];
    cases.sort_unstable();
    cases.dedup();
    let escaped =
        |text: &String| text.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    format!("(?:{})", cases.iter().map(escaped).collect::<Vec<_>>().join("|"))
}

/// Conditions on entries other than their names; `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct Criteria {
    /// One of these kinds.
    pub kinds: Option<Vec<EntryKind>>,
    /// Files with more bytes than this.
    pub larger_than: Option<u64>,
    /// Files with fewer bytes than this.
    pub smaller_than: Option<u64>,
    /// Changed after this time.
    pub newer_than: Option<Timestamp>,
    /// Changed before this time.
    pub older_than: Option<Timestamp>,
}

impl Criteria {
    fn fits(&self, found: &DirEntry) -> bool {
        let entry = &found.entry;
        let is_file = entry.kind == EntryKind::File;
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&entry.kind))
            && self.larger_than.is_none_or(|limit| is_file && entry.size > limit)
            && self.smaller_than.is_none_or(|limit| is_file && entry.size < limit)
            && self.newer_than.is_none_or(|limit| entry.mtime > limit)
            && self.older_than.is_none_or(|limit| entry.mtime < limit)
    }
}

/// Searches one snapshot after the other; yields each version of an entry once.
///
/// A node at a path is read once, however many snapshots share it. Each node and each version takes
/// 16 bytes of memory (24 with free space of the table). Versions differ in content, modification
/// time or any other attribute; for a directory, its time does not count.
pub struct Search {
    trees: Trees,
    patterns: NamePatterns,
    criteria: Criteria,
    nodes: HashSet<u128>,
    versions: HashSet<u128>,
    descent: Option<Descent>,
    /// Hashes of the paths of the current directories.
    folders: Vec<PathHash>,
}

/// Hash of a path, made from the hash of its parent and the name, so that a long path is not hashed
/// again for each name in it.
type PathHash = [u8; 32];

/// A found entry with its path, or the path of an unreadable directory with the error.
pub(super) type SearchResult = Result<(Vec<u8>, DirEntry), (Vec<u8>, repo::Error)>;

impl Search {
    /// Makes a search without a tree.
    pub fn new(trees: &Trees, patterns: NamePatterns, criteria: Criteria) -> Self {
        let (nodes, versions) = (HashSet::new(), HashSet::new());
        Self {
            trees: trees.clone(),
            patterns,
            criteria,
            nodes,
            versions,
            descent: None,
            folders: Vec::new(),
        }
    }

    /// Continues in another tree, whose paths begin with `path`.
    pub fn enter(&mut self, tree: &ChunkId, path: &[u8]) {
        let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        self.folders = vec![parts.fold(PathHash::default(), |above, part| below(&above, part))];
        self.descent = Some(Descent::new(&self.trees, tree, path));
    }

    /// Returns the next match; `None` at the end of this tree.
    ///
    /// Cancelling `monitor` ends it with [`repo::Error::Cancelled`].
    pub fn step(&mut self, monitor: &Monitor) -> Option<SearchResult> {
        loop {
            let (descent, nodes) = (self.descent.as_mut()?, &mut self.nodes);
            let folder = *self.folders.last()?;
            if monitor.is_cancelled() {
                self.descent = None;
                return Some(Err((Vec::new(), repo::Error::Cancelled)));
            }
            let found =
                match descent.next_where(&mut |id| nodes.insert(hash(&[&folder, b"/", &id.0]))) {
                    None => {
                        descent.leave();
                        self.folders.pop();
                        continue;
                    }
                    Some(Err(error)) => return Some(Err((descent.path().to_vec(), error))),
                    Some(Ok(found)) => found,
                };
            if let Some(tree) = tree_of(&found) {
                descent.enter(&tree);
                self.folders.push(below(&folder, &found.entry.name));
            }
            let path = descent.path();
            if self.patterns.fits(path, &found.entry.name) && self.criteria.fits(&found) {
                let path = path.to_vec();
                if self.is_new(&folder, &found) {
                    return Some(Ok((path, found)));
                }
            }
        }
    }

    fn is_new(&mut self, folder: &PathHash, found: &DirEntry) -> bool {
        self.versions.insert(hash(&[folder, &found.entry.name, b"\0", &version_of(found)]))
    }
}

/// Returns the identity of a version: all fields that [`super::EntryFields`] compares, except
/// content and time of a directory, which change with every file.
fn version_of(found: &DirEntry) -> Vec<u8> {
    let entry = &found.entry;
    let owners = (
        entry.uid,
        entry.gid,
        found.user.as_deref().map(str::to_owned),
        found.group.as_deref().map(str::to_owned),
    );
    let flags = entry.flags & !entry_flag::CHANGED_WHILE_READ;
    let attributes = (entry.kind, entry.mode, owners, &entry.xattrs, flags, &entry.extensions);
    match entry.kind {
        EntryKind::Dir => codec::encode(&attributes),
        _ => codec::encode(&(
            attributes,
            &entry.content,
            entry.mtime,
            (entry.size, entry.device, entry.hard_link.is_some()),
        )),
    }
}

fn below(folder: &PathHash, name: &[u8]) -> PathHash {
    let mut hash = blake3::Hasher::new();
    *hash.update(folder).update(name).finalize().as_bytes()
}

/// Returns 16 bytes of the hash of concatenated parts.
fn hash(parts: &[&[u8]]) -> u128 {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(part);
    }
    let bytes = hash.finalize();
    u128::from_le_bytes(*bytes.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}
