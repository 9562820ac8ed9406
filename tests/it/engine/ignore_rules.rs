//! Goal: rules leave out what git's leave out. Method: random ignore files, and every path of a
//! small tree asked of `git check-ignore`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use drumlin::rules::Rules;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const PARTS: [&str; 31] = [
    "a",
    "b",
    "c",
    "x",
    "1",
    "*",
    "**",
    "?",
    "/",
    "/",
    "[ab]",
    "[!a]",
    "[a-c]",
    "[z-a]",
    "[[:alpha:]]",
    "[^b]",
    "[]a]",
    "\\a",
    "\\*",
    "\\/",
    "{a,b}",
    ".",
    "[",
    "]",
    "!",
    "#",
    " ",
    "-",
    "[[:digit:]]",
    "[a\\]]",
    "[[:bad:]]",
];
const NAMES: [&str; 20] = [
    "a", "b", "c", "x", "ab", "ba", "abc", ".a", "a.b", "{a,b}", "*", "[", "a]", "#a", "!a", " a",
    "a ", "1", "a-b", "[a]",
];
const ROUNDS: usize = 150;

/// Makes a tree and returns its paths, folders with a slash.
fn make_tree(root: &Path) -> Vec<String> {
    let mut files = BTreeSet::new();
    for folder in ["", "a/", "b/", "ab/", "x/", "a/b/", "b/a/", "x/a/c/"] {
        let free = |name: &&&str| !["a", "b", "c", "ab", "x"].contains(*name) || folder.len() > 4;
        files.extend(NAMES.iter().filter(free).map(|name| format!("{folder}{name}")));
    }
    let mut paths = files.clone();
    for file in &files {
        let (folder, _) = file.rsplit_once('/').unwrap_or_default();
        fs::create_dir_all(root.join(folder)).unwrap();
        fs::write(root.join(file), "").unwrap();
        let ends = folder
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([folder.len()])
            .filter(|end| *end > 0);
        paths.extend(ends.map(|end| format!("{}/", &folder[..end])));
    }
    paths.into_iter().collect()
}

fn git(root: &Path, args: &[&str], input: &str) -> String {
    let mut command = Command::new("git");
    command
        .args(args)
        .current_dir(root)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the paths that git ignores.
fn ignored_by_git(root: &Path, paths: &[String]) -> BTreeSet<String> {
    let input: Vec<&str> = paths.iter().map(|path| path.trim_end_matches('/')).collect();
    let said = git(root, &["check-ignore", "--stdin", "-z", "--no-index"], &input.join("\0"));
    said.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

/// Returns the paths that these rules leave out, themselves or with a folder above.
fn ignored_by_rules(rules: &Rules, paths: &[String]) -> BTreeSet<String> {
    let mut ignored = BTreeSet::new();
    // Folders come before what lies in them.
    for path in paths {
        let (bare, is_dir) = (path.trim_end_matches('/'), path.ends_with('/'));
        let is_below = bare.match_indices('/').any(|(at, _)| ignored.contains(&bare[..at]));
        if is_below
            || rules.find(bare.as_bytes(), &[0], is_dir).is_some_and(|matched| !matched.keeps)
        {
            ignored.insert(bare.to_owned());
        }
    }
    ignored
}

#[test]
fn rules_leave_out_what_git_ignores() {
    let seed =
        std::env::var("DRUMLIN_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
    println!("seed {seed} (set DRUMLIN_TEST_SEED for another)");
    let mut random = SmallRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "-q", "."], "");
    let paths = make_tree(root);
    let mut ignored_some = 0;
    for round in 0..ROUNDS {
        let mut text =
            if random.random_range(0..20) == 0 { "\u{feff}".to_owned() } else { String::new() };
        for _ in 0..random.random_range(1..4) {
            if random.random_range(0..6) == 0 {
                text.push('!');
            }
            (0..random.random_range(1..6))
                .for_each(|_| text.push_str(PARTS[random.random_range(0..PARTS.len())]));
            text.push_str(["", "", "", "/", " ", "\\ ", "\r", "\t"][random.random_range(0..8)]);
            text.push('\n');
        }
        fs::write(root.join(".gitignore"), &text).unwrap();
        let mut rules = Rules::default();
        rules.add_file(text.as_bytes());
        let (ours, theirs) = (ignored_by_rules(&rules, &paths), ignored_by_git(root, &paths));
        assert_eq!(ours, theirs, "round {round} of seed {seed}: {text:?}");
        ignored_some += usize::from(!ours.is_empty());
    }
    assert!(ignored_some > ROUNDS / 8, "{ignored_some} of {ROUNDS} files ignored anything");
}
