//! The names that a backup takes: sources and the few forms of exclude options that the oracle
//! uses, decided path by path.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::dice::Dice;
use super::disk::{Node, Tree, walk};

/// A pattern, in one of the forms that the oracle makes.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// This name anywhere; `true` if only a folder of this name.
    Name(&'static str, bool),
    /// Names with this end.
    End(&'static str),
    /// Names with this end right in a folder of this name that lies right in a source.
    In(&'static str, &'static str),
    /// This path.
    Path(Vec<u8>),
    /// Not what this fits.
    Not(Box<Pattern>),
}

impl Pattern {
    /// Returns it as it is typed.
    pub fn text(&self) -> OsString {
        match self {
            Self::Name(name, is_dir) => format!("{name}{}", if *is_dir { "/" } else { "" }).into(),
            Self::End(end) => format!("*{end}").into(),
            Self::In(folder, end) => format!("{folder}/*{end}").into(),
            Self::Path(path) => OsString::from_vec(path.clone()),
            Self::Not(pattern) => OsString::from_vec([b"!", pattern.text().as_bytes()].concat()),
        }
    }

    /// Returns whether it decides about a path, and if so, whether by leaving it out.
    pub fn verdict(&self, path: &[u8], is_dir: bool, sources: &[Vec<u8>]) -> Option<bool> {
        let (above, name) = split(path);
        let fits = match self {
            Self::Not(pattern) => return pattern.verdict(path, is_dir, sources).map(|out| !out),
            Self::Name(wanted, only_dir) => name == wanted.as_bytes() && (is_dir || !only_dir),
            Self::End(end) => name.ends_with(end.as_bytes()),
            Self::In(folder, end) => {
                let (top, between) = split(above);
                between == folder.as_bytes()
                    && name.ends_with(end.as_bytes())
                    && sources.iter().any(|source| source == top)
            }
            Self::Path(wanted) => path == wanted,
        };
        fits.then_some(true)
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let at = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    (&path[..at], path.get(at + 1..).unwrap_or_default())
}

/// What one backup is told.
#[derive(Clone, Debug)]
pub struct Asked {
    pub host: &'static str,
    /// Absolute paths, and whether each has a slash at its end, by which a link is followed.
    pub sources: Vec<(PathBuf, bool)>,
    pub patterns: Vec<Pattern>,
    pub caches: bool,
    pub if_present: bool,
    pub larger_than: Option<u64>,
}

impl Asked {
    /// Returns the options of the program.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = vec!["--host".into(), self.host.into()];
        for (path, follows) in &self.sources {
            let mut path = path.clone().into_os_string();
            path.push(if *follows { "/" } else { "" });
            all.push(path);
        }
        for pattern in &self.patterns {
            all.extend(["--exclude".into(), pattern.text()]);
        }
        all.extend(self.caches.then(|| "--exclude-caches".into()));
        all.extend(self.if_present.then(|| "--exclude-if-present=.nobackup".into()));
        all.extend(self.larger_than.map(|limit| format!("--exclude-larger-than={limit}").into()));
        all
    }

    /// Returns the paths of the sources, each once, sorted.
    pub fn paths(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<Vec<u8>> =
            self.sources.iter().map(|(path, _)| path.as_os_str().as_bytes().to_vec()).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// Returns what a snapshot must hold now, by absolute path, and the folders that only lead to
    /// it.
    pub fn expected(&self) -> (Tree, Tree) {
        let paths = self.paths();
        let mut all = Tree::new();
        for (path, follows) in &self.sources {
            let real = if *follows { path.canonicalize().unwrap() } else { path.clone() };
            if real.is_dir() && !real.is_symlink() {
                let at = path.as_os_str().as_bytes();
                let below = |name: Vec<u8>| {
                    if name.is_empty() { at.to_vec() } else { [at, b"/", &name].concat() }
                };
                all.extend(walk(&real).into_iter().map(|(name, node)| (below(name), node)));
            } else {
                all.insert(path.as_os_str().as_bytes().to_vec(), Node::of(&real));
            }
        }
        let taken: Tree = all
            .iter()
            .filter(|(path, _)| self.takes(path, &all, &paths))
            .map(|(path, node)| (path.clone(), node.clone()))
            .collect();
        let mut ways = Tree::new();
        for path in taken.keys().chain(&paths) {
            let mut above = split(path).0;
            while !above.is_empty() && !taken.contains_key(above) {
                ways.entry(above.to_vec())
                    .or_insert_with(|| Node::of(Path::new(std::ffi::OsStr::from_bytes(above))));
                above = split(above).0;
            }
        }
        (taken, ways)
    }

    /// Returns whether a source is, or leads to, something that has no content of its own.
    pub fn names_special(&self) -> bool {
        let is_special =
            |path: &PathBuf| path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
        self.sources.iter().any(|(path, _)| is_special(path))
    }

    /// Returns whether a path is in the snapshot for its own sake: some source holds it, and
    /// nothing on the way down from there is left out.
    fn takes(&self, path: &[u8], all: &BTreeMap<Vec<u8>, Node>, sources: &[Vec<u8>]) -> bool {
        let holds = |source: &&Vec<u8>| {
            path == source.as_slice()
                || path.strip_prefix(source.as_slice()).is_some_and(|rest| rest.starts_with(b"/"))
        };
        sources.iter().filter(holds).any(|source| {
            if self.is_left_out(source, all, sources) {
                return false;
            }
            let mut at = source.len();
            while at < path.len() {
                let end = path[at + 1..]
                    .iter()
                    .position(|byte| *byte == b'/')
                    .map_or(path.len(), |next| at + 1 + next);
                let (above, here) = (&path[..at], &path[..end]);
                if self.leaves_out(here, &all[here], sources)
                    || self.shuts(above, all, sources).is_some_and(|marker| split(here).1 != marker)
                {
                    return false;
                }
                at = end;
            }
            true
        })
    }

    /// Returns whether a source is left out itself: a pattern excludes just that, and no other
    /// source holds it that is not left out.
    fn is_left_out(
        &self,
        source: &Vec<u8>,
        all: &BTreeMap<Vec<u8>, Node>,
        sources: &[Vec<u8>],
    ) -> bool {
        let is_below = |other: &Vec<u8>| {
            source.len() > other.len() && source.starts_with(other) && source[other.len()] == b'/'
        };
        let is_held = || {
            sources.iter().any(|other| is_below(other) && !self.is_left_out(other, all, sources))
        };
        self.is_excluded(source, all[source].is_dir(), sources) && !is_held()
    }

    fn is_excluded(&self, path: &[u8], is_dir: bool, sources: &[Vec<u8>]) -> bool {
        // The last pattern that fits decides.
        self.patterns
            .iter()
            .rev()
            .find_map(|pattern| pattern.verdict(path, is_dir, sources))
            .unwrap_or(false)
    }

    fn leaves_out(&self, path: &[u8], node: &Node, sources: &[Vec<u8>]) -> bool {
        self.is_excluded(path, node.is_dir(), sources)
            || self.larger_than.is_some_and(|limit| node.content_len() > limit)
    }

    /// Returns the one name that is taken of a folder, if a marker in it says so: not of a folder
    /// that is named itself.
    fn shuts(
        &self,
        folder: &[u8],
        all: &BTreeMap<Vec<u8>, Node>,
        sources: &[Vec<u8>],
    ) -> Option<&'static [u8]> {
        if sources.iter().any(|source| source == folder) {
            return None;
        }
        let inside = |name: &[u8]| all.get(&[folder, b"/", name].concat());
        if self.if_present && inside(b".nobackup").is_some() {
            return Some(b".nobackup");
        }
        let is_tag = |node: &Node| {
            node.is_file() && node.bytes.starts_with(b"Signature: 8a477f597d28d172789f06886806bc55")
        };
        (self.caches && inside(b"CACHEDIR.TAG").is_some_and(is_tag)).then_some(b"CACHEDIR.TAG")
    }
}

/// Chooses what is backed up: folders below `src`, one below another, one through a link, some
/// things left out.
pub fn ask(dice: &mut Dice, src: &Path) -> Asked {
    let (a, b) = (src.join("a"), src.join("b"));
    let mut sources = vec![(a.clone(), false)];
    match dice.below(8) {
        0 => sources.push((b, false)),
        1 => sources.push((a.clone(), false)),
        2 => sources = vec![(src.to_owned(), false)],
        3 => sources = vec![(src.join("way"), true), (b, false)],
        4 => sources.push((src.join("way"), false)),
        5 | 6 => {
            let below: Vec<PathBuf> = super::disk::names_below(&a);
            sources.extend((!below.is_empty()).then(|| (dice.pick(&below).clone(), false)));
            if dice.chance(40) {
                sources.push((src.to_owned(), false));
            }
        }
        _ => {}
    }
    let host = if dice.chance(85) { "one" } else { "two" };
    let mut asked = Asked {
        host,
        sources,
        patterns: Vec::new(),
        caches: dice.chance(15),
        if_present: dice.chance(15),
        larger_than: None,
    };
    if dice.chance(10) {
        asked.larger_than = Some(*dice.pick(&[0, 512, 65_536]));
    }
    if dice.chance(40) {
        asked.patterns = (0..=dice.below(3)).map(|_| pattern(dice, &asked.sources)).collect();
    }
    asked
}

fn pattern(dice: &mut Dice, sources: &[(PathBuf, bool)]) -> Pattern {
    match dice.below(8) {
        0 => Pattern::Name("skip", dice.chance(50)),
        1 => Pattern::Name("sub", true),
        2 => Pattern::End(".tmp"),
        3 => Pattern::In("sub", ".log"),
        4 => Pattern::Not(Box::new(Pattern::Name("keep.tmp", false))),
        5 => Pattern::End(".log"),
        6 => {
            // A source, or what one lies in, if nothing in the path would mean something else in a
            // pattern.
            let path = dice.pick(sources).0.as_os_str().as_bytes().to_vec();
            let is_plain =
                path.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/.-_".contains(byte));
            if is_plain { Pattern::Path(path) } else { Pattern::Name("build", false) }
        }
        _ => Pattern::Name("twin1", false),
    }
}
