//! `find` and `history`: versions of names over all snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use serde_json::Value;

use super::changes::is_unsure;
use super::disk::{Node, Time};
use super::history::{History, Shot, path_in, time_in};
use super::names::DAYS;
use super::sums::totals_below;

/// Odd names as they are printed, and as they are.
const PRINTED: [(&str, &[u8]); 3] =
    [(r"new\x0aline", b"new\nline"), (r"\xff\xfe", b"\xff\xfe"), (r"a\\b", b"a\\b")];

/// What is looked for.
#[derive(Debug, Default)]
struct Criteria {
    pattern: &'static str,
    kinds: Option<(&'static str, Vec<&'static str>)>,
    larger_than: Option<u64>,
    smaller_than: Option<u64>,
    /// A day by its first second on the clock on the wall as if it were in Greenwich, and the
    /// offset.
    newer_than: Option<Moment>,
    older_than: Option<Moment>,
    host: Option<&'static str>,
}

/// A day, or a moment.
#[derive(Debug)]
struct Moment {
    text: String,
    /// First and last moment.
    from: Time,
    to: Time,
}

fn moment(history: &mut History) -> Moment {
    let day = *history.dice.pick(&DAYS);
    let at = jiff::Timestamp::from_second(day).unwrap();
    if history.dice.chance(70) {
        let begin = day - history.offset_s;
        return Moment {
            text: at.strftime("%Y-%m-%d").to_string(),
            from: (begin, 0),
            to: (begin + 86_399, 999_999_999),
        };
    }
    let second = day + *history.dice.pick(&[-1, 0, 1, 43_200]);
    let text = jiff::Timestamp::from_second(second).unwrap().to_string();
    Moment { text, from: (second, 0), to: (second, 0) }
}

impl Criteria {
    fn any(history: &mut History) -> Self {
        let pattern = *history.dice.pick(&[
            "*",
            "*",
            "*",
            "*.tmp",
            "x",
            "a",
            "?",
            "keep.*",
            PRINTED[0].0,
            PRINTED[1].0,
            PRINTED[2].0,
        ]);
        let mut criteria = Self { pattern, ..Self::default() };
        let all: [(&str, &[&str]); 5] = [
            ("f", &["file"]),
            ("d", &["dir"]),
            ("l", &["symlink"]),
            ("f,l", &["file", "symlink"]),
            ("p", &["fifo"]),
        ];
        criteria.kinds = history
            .dice
            .chance(30)
            .then(|| *history.dice.pick(&all))
            .map(|(letters, kinds)| (letters, kinds.to_vec()));
        criteria.larger_than =
            history.dice.chance(15).then(|| *history.dice.pick(&[0, 511, 512, 8_192, 100_000]));
        criteria.smaller_than =
            history.dice.chance(15).then(|| *history.dice.pick(&[1, 512, 513, 65_536]));
        criteria.newer_than = history.dice.chance(25).then(|| moment(history));
        criteria.older_than = history.dice.chance(25).then(|| moment(history));
        criteria.host = history.dice.chance(10).then_some("one");
        criteria
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = vec!["find".into(), self.pattern.into()];
        all.extend(self.kinds.as_ref().map(|(letters, _)| format!("--type={letters}").into()));
        all.extend(self.larger_than.map(|size| format!("--larger-than={size}").into()));
        all.extend(self.smaller_than.map(|size| format!("--smaller-than={size}").into()));
        all.extend(
            self.newer_than.as_ref().map(|moment| format!("--newer-than={}", moment.text).into()),
        );
        all.extend(
            self.older_than.as_ref().map(|moment| format!("--older-than={}", moment.text).into()),
        );
        all.extend(self.host.map(|host| format!("--host={host}").into()));
        all
    }

    fn fits(&self, path: &[u8], node: &Node) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap();
        let is_named = match self.pattern {
            "*" => true,
            "?" => {
                std::str::from_utf8(name).map_or(name.len() == 1, |name| name.chars().count() == 1)
            }
            pattern => match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
                (Some(end), _) => name.ends_with(end.as_bytes()),
                (_, Some(begin)) => name.starts_with(begin.as_bytes()),
                _ => {
                    name == PRINTED
                        .iter()
                        .find(|(printed, _)| *printed == pattern)
                        .map_or(pattern.as_bytes(), |(_, name)| name)
                }
            },
        };
        is_named
            && self.kinds.as_ref().is_none_or(|(_, kinds)| kinds.contains(&node.kind))
            && self.larger_than.is_none_or(|limit| node.is_file() && node.content_len() > limit)
            && self.smaller_than.is_none_or(|limit| node.is_file() && node.content_len() < limit)
            && self.newer_than.as_ref().is_none_or(|moment| node.mtime > moment.to)
            && self.older_than.as_ref().is_none_or(|moment| node.mtime < moment.from)
    }
}

/// All that makes a version of a path another one.
fn version(node: &Node) -> Vec<u8> {
    let own = (node.kind, node.mode, node.uid, node.gid, &node.xattrs);
    if node.is_dir() {
        format!("{own:?}")
    } else {
        format!("{own:?}{:?}{}{:?}", node.mtime, node.is_linked(), node.bytes)
    }
    .into_bytes()
}

/// Looks for something in all snapshots.
pub fn check_find(history: &mut History) {
    let criteria = Criteria::any(history);
    let told = history.json(&criteria.arguments());
    let found: BTreeSet<(String, Vec<u8>)> = told["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["snapshot"].as_str().unwrap().to_owned(), path_in(entry, "path")))
        .collect();
    let ways: BTreeSet<&Vec<u8>> = history.shots.iter().flat_map(|shot| shot.ways.keys()).collect();
    let (mut seen, mut wanted) =
        (BTreeMap::<(&Vec<u8>, Vec<u8>), Vec<&Node>>::new(), BTreeSet::new());
    let mut may_be = BTreeSet::new();
    for shot in history
        .shots
        .iter()
        .rev()
        .filter(|shot| criteria.host.is_none_or(|host| shot.asked.host == host))
    {
        for (path, node) in shot.tree.iter().filter(|(path, node)| criteria.fits(path, node)) {
            let before = seen.entry((path, version(node))).or_default();
            match before.iter().any(|other| is_unsure(other, node)) {
                _ if before.is_empty() => drop(wanted.insert((shot.id.clone(), path.clone()))),
                true => drop(may_be.insert((shot.id.clone(), path.clone()))),
                false => {}
            }
            before.push(node);
        }
    }
    let is_odd = |one: &&(String, Vec<u8>)| !ways.contains(&one.1) && !may_be.contains(*one);
    let odd: Vec<_> = wanted.symmetric_difference(&found).filter(is_odd).collect();
    let show = |(id, path): &&(String, Vec<u8>)| {
        format!(
            "{}:{} {}",
            &id[..8],
            path.escape_ascii(),
            if wanted.contains(&(id.clone(), path.clone())) {
                "is not found"
            } else {
                "should not be found"
            }
        )
    };
    assert!(odd.is_empty(), "{criteria:?}: {:#?}", odd.iter().map(show).collect::<Vec<_>>());
}

/// Returns in what a path differs between two snapshots; of a folder, content differs if anything
/// in it does.
fn differs(path: &[u8], left: &Shot, right: &Shot) -> BTreeSet<&'static str> {
    let mut fields: BTreeSet<_> = left.tree[path].differs(&right.tree[path]).into_iter().collect();
    let is_below = |name: &[u8]| name.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/"));
    let mut names = left.tree.keys().chain(right.tree.keys()).filter(|name| is_below(name));
    let differs_below = names.any(|name| match (left.tree.get(name), right.tree.get(name)) {
        // Times of folders are those of what is in them.
        (Some(a), Some(b)) => a.differs(b).iter().any(|field| !b.is_dir() || *field != "mtime"),
        _ => true,
    });
    if differs_below && left.tree[path].is_dir() && right.tree[path].is_dir() {
        fields.insert("content");
    }
    fields
}

/// A version as it should be told.
#[derive(Debug)]
struct Version<'a> {
    change: &'static str,
    fields: BTreeSet<&'static str>,
    shots: Vec<&'a Shot>,
    is_there: bool,
}

/// Asks for all versions of a path.
pub fn check_history(history: &mut History) {
    let at = history.any_shot();
    let can_be_typed = |path: &&Vec<u8>| !path.contains(&b'\\');
    let only_folders = history.dice.chance(60);
    let all = history.shots[at]
        .tree
        .iter()
        .filter(|(_, node)| !only_folders || node.is_dir())
        .map(|(path, _)| path);
    let paths: Vec<Vec<u8>> = all.filter(can_be_typed).cloned().collect();
    if paths.is_empty() {
        return;
    }
    let path = history.dice.pick(&paths).clone();
    let told = history.json(&[OsString::from("history"), OsString::from_vec(path.clone())]);
    let touches = |name: &Vec<u8>| name.starts_with(&path);
    if history.shots.iter().any(|shot| shot.ways.keys().any(touches))
        || has_doubts(&history.shots, &path)
    {
        return;
    }
    let versions = told["versions"].as_array().unwrap();
    let mut at = 0;
    for host in ["one", "two"] {
        let wanted = wanted_versions(&history.shots, &path, host);
        for one in &wanted {
            let version =
                versions.get(at).unwrap_or_else(|| panic!("{one:?} is missing: {told:#}"));
            check_version(version, &path, host, one);
            at += 1;
        }
    }
    assert_eq!(at, versions.len(), "{told:#}");
}

fn has_doubts(shots: &[Shot], path: &[u8]) -> bool {
    shots.iter().enumerate().any(|(at, one)| {
        let mut below = one.tree.iter().filter(|(name, _)| name.starts_with(path));
        below.any(|(name, node)| {
            shots[at + 1..]
                .iter()
                .any(|other| other.tree.get(name).is_some_and(|there| is_unsure(node, there)))
        })
    })
}

fn wanted_versions<'a>(shots: &'a [Shot], path: &[u8], host: &str) -> Vec<Version<'a>> {
    let mut versions: Vec<Version<'a>> = Vec::new();
    for shot in shots.iter().filter(|shot| shot.asked.host == host) {
        let holds = |source: &Vec<u8>| {
            path.strip_prefix(source.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let is_there = shot.tree.contains_key(path);
        if !is_there && (versions.is_empty() || !shot.asked.paths().iter().any(holds)) {
            continue;
        }
        let last = versions.last_mut();
        let (change, fields) = match &last {
            None => ("appeared", BTreeSet::new()),
            Some(last) if last.is_there && is_there => {
                let fields = differs(path, last.shots.last().unwrap(), shot);
                let change = if fields.contains("kind") {
                    "type"
                } else if fields.contains("content") {
                    "modified"
                } else {
                    "metadata"
                };
                (if fields.is_empty() { "" } else { change }, fields)
            }
            Some(last) if last.is_there == is_there => ("", BTreeSet::new()),
            Some(_) => (if is_there { "appeared" } else { "vanished" }, BTreeSet::new()),
        };
        match last {
            Some(last) if change.is_empty() => last.shots.push(shot),
            _ => versions.push(Version { change, fields, shots: vec![shot], is_there }),
        }
    }
    versions
}

fn check_version(told: &Value, path: &[u8], host: &str, wanted: &Version<'_>) {
    assert_eq!((&told["host"], &told["change"]), (&host.into(), &wanted.change.into()), "{told:#}");
    let fields: BTreeSet<&str> =
        told["differs"].as_array().unwrap().iter().map(|field| field.as_str().unwrap()).collect();
    assert_eq!(fields, wanted.fields, "{told:#}");
    let ends = [wanted.shots.first(), wanted.shots.last()].map(|shot| shot.unwrap().id.clone());
    assert_eq!(
        [&told["first"]["snapshot"], &told["last"]["snapshot"]],
        ends.each_ref().map(|id| id.as_str()),
        "{told:#}"
    );
    assert_eq!(told["snapshots"].as_u64(), Some(wanted.shots.len() as u64), "{told:#}");
    let Some(node) = wanted.shots[0].tree.get(path) else {
        return assert!(
            told["kind"].is_null() && told["mtime"].is_null() && told["size"].is_null(),
            "{told:#}"
        );
    };
    let size =
        if node.is_dir() { totals_below(wanted.shots[0], path).2 } else { node.content_len() };
    let facts = (
        told["kind"].as_str().unwrap(),
        told["size"].as_u64().unwrap(),
        time_in(&told["mtime"]),
        told["mode"].as_str().unwrap(),
    );
    assert_eq!(
        facts,
        (node.kind, size, node.mtime, format!("{:04o}", node.mode).as_str()),
        "{told:#}"
    );
}
