//! Goal: the architecture stays what `lib.rs` says it is. Method: reads every file of `src/` as
//! tokens (comments, literals and test code left out) and complains about imports that go up,
//! import cycles, words that a stratum must not know, and things too big to read.

mod calls; // calls that only some rooms may make
mod dependencies; // docs/dependencies.md
mod links; // links between documents
mod rules; // the rules
mod source; // a reader of Rust
mod text; // words of comments, headers, columns

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rules::complaints;

/// Returns every Rust file below `folder` with its path relative to `src/`.
fn read_sources(folder: &Path, below: &str, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{below}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read_sources(&entry.path(), &format!("{name}/"), into);
        } else if name.ends_with(".rs") {
            into.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

#[test]
fn the_source_is_tidy() {
    let mut files = BTreeMap::new();
    read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    assert!(files.len() > 10, "the sources were not found");
    let complaints = complaints(&files);
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

/// Returns the complaints about a made-up tree of files.
fn about(files: &[(&str, &str)]) -> Vec<String> {
    complaints(&files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect())
}

#[test]
fn each_rule_notices_its_offence() {
    let long = format!("fn f() {{\n{}}}", "    g();\n".repeat(70));
    let offences = [
        ("imports up", "id.rs", "use crate::format::codec;"),
        ("imports up in a path", "id.rs", "fn f() { crate::repo::open() }"),
        ("imports up in a group", "id.rs", "use crate::{monitor, store::Key};"),
        ("imports up through the library's name", "id.rs", "use drumlin::repo;"),
        ("imports up by super", "format/entry.rs", "use super::super::repo;"),
        ("operations know stores", "backup/mod.rs", "use crate::store::Key;"),
        ("operations hold stores", "backup/mod.rs", "fn f(s: &dyn Store) {}"),
        ("operations ask for stores", "backup/mod.rs", "fn f(r: &R) { r.store().stat(&k); }"),
        ("stores know formats", "store/mod.rs", "use crate::format::codec;"),
        ("systems know more than entries", "os/mod.rs", "use crate::format::node;"),
        ("repositories know the system", "repo/mod.rs", "use crate::os::Dir;"),
        ("unknown modules", "strange/mod.rs", ""),
        ("pure code opens files", "format/entry.rs", "use std::fs::File;"),
        ("pure code opens files in a group", "format/entry.rs", "use std::{fmt, fs};"),
        ("pure code reads clocks", "format/entry.rs", "fn f(t: SystemTime) {}"),
        (
            "pure code draws randomness",
            "format/entry.rs",
            "fn f(b: &mut [u8]) { getrandom::fill(b); }",
        ),
        ("operations print", "restore/mod.rs", "fn f() { println!(\"x\"); }"),
        ("operations read the environment", "restore/mod.rs", "fn f() { std::env::var(\"X\"); }"),
        ("stamps of yesterday", "os/stat.rs", "const FLAGS: AtFlags = AtFlags::STATX_DONT_SYNC;"),
        ("everything is imported", "cli/mod.rs", "use crate::*;"),
        ("unwraps", "cli/mod.rs", "fn f() { g().unwrap(); }"),
        ("long functions", "cli/mod.rs", &long),
        ("many arguments", "cli/mod.rs", "fn f(a: u8, b: u8, c: u8, d: u8, e: u8, g: u8) {}"),
        ("tuples", "cli/mod.rs", "fn f(a: u8, &(b, c): &'a (u8, HashMap<u8, u8>)) {}"),
        ("tuples by another name", "cli/mod.rs", "fn f((a, b): Pair) {}"),
        ("long files", "cli/mod.rs", &"\n".repeat(401)),
        ("vague names", "cli/mod.rs", "struct PackManager;"),
        ("backups open packs", "backup/mod.rs", "fn f(r: &R) { r.open_keys(); }"),
        ("readers seal packs", "repo/read/packs.rs", "fn f(r: &R) { r.seal_keys(); }"),
        ("sessions open packs", "repo/write/lane.rs", "fn f(r: &R) { r.open_keys(); }"),
        ("all keys at once", "repo/read/packs.rs", "use crate::crypto::keyring::Keyring;"),
        ("keys of tests", "repo/open/keys.rs", "fn f(r: &R) { r.keyring_for_tests(); }"),
        ("dialect", "cli/mod.rs", "/// Whoever reads this.\nfn f() {}"),
        ("headers that ask", "cli/mod.rs", "//! How it is done.\n"),
        ("wide lines", "cli/mod.rs", &format!("const A: u8 = {};", "1 + ".repeat(30))),
        ("dialect of two words", "cli/mod.rs", "// What is at hand.\nfn f() {}"),
    ];
    for (what, file, text) in offences {
        assert_eq!(about(&[(file, text)]).len(), 1, "{what}: {:?}", about(&[(file, text)]));
    }
}

#[test]
fn cycles_are_noticed() {
    let siblings = [
        ("format/mod.rs", ""),
        ("format/a.rs", "use super::b::B;"),
        ("format/b.rs", "use crate::format::a;"),
    ];
    assert_eq!(about(&siblings).len(), 1, "{:?}", about(&siblings));
    let facade = [
        ("format/mod.rs", "mod a; mod b; pub use a::A;"),
        ("format/a.rs", "use super::b::B;"),
        ("format/b.rs", "use super::A;"),
    ];
    assert_eq!(about(&facade).len(), 1, "{:?}", about(&facade));
    let parent = [("format/mod.rs", "mod a; fn f() { a::g() }"), ("format/a.rs", "use super::f;")];
    assert_eq!(about(&parent).len(), 1, "{:?}", about(&parent));
    let behind_export = [
        ("format/mod.rs", "mod a; mod b; pub use a::A; use b::B;"),
        ("format/a.rs", ""),
        ("format/b.rs", "use super::own;"),
    ];
    assert_eq!(about(&behind_export).len(), 1, "{:?}", about(&behind_export));
    let folders = [
        ("format/x.rs", "use crate::crypto::y;"),
        ("format/z.rs", ""),
        ("crypto/y.rs", ""),
        ("crypto/w.rs", "use crate::format::z;"),
    ];
    assert_eq!(about(&folders).len(), 1, "{:?}", about(&folders));
}

/// A tuple counts as many arguments as it has elements.
#[test]
fn tuples_hide_no_arguments() {
    let found = about(&[("cli/mod.rs", "fn f(a: u8, b: u8, c: (u8, (u8, u8), u8,), d: u8) {}")]);
    let ends = ["takes a tuple: name its parts", "has 6 arguments, at most 5"];
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().zip(ends).all(|(one, end)| one.ends_with(end)), "{found:?}");
}

#[test]
fn right_code_is_left_in_peace() {
    let test = "fn f() {}\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::cli;\n    fn t() { std::fs::read(\"x\").unwrap(); }\n}\n";
    let words = "//! use crate::cli; println!\n/* std::fs /* SystemTime */ */ const A: &str = \"std::fs\"; const B: &[u8] = br#\"\"std::env\"#;\nconst C: char = '\"';";
    let lifetimes = "fn f<'a>(x: &'a str, y: impl Fn(u8, u8) -> u8, z: HashMap<u8, u8>, v: u8, w: u8)\n-> &'a str { x }";
    let no_tuples = "fn f(error: &(dyn Error + 'static), act: &(dyn Fn(u8, u8) -> u8 + Sync),\npairs: &[(u8, u8)], own: ())\n{ g(|(a, b): (u8, u8)| a) }";
    let files = [
        ("format/mod.rs", "pub mod a; mod b; pub use b::B; pub struct Shared;"),
        ("format/a.rs", "use super::{B, Shared}; use crate::id::ChunkId; use std::fmt;"),
        ("format/b.rs", words),
        ("format/c.rs", test),
        ("os/mod.rs", "use crate::format::entry::{Entry, Xattr};"),
        ("id.rs", lifetimes),
        ("monitor.rs", no_tuples),
        ("format/entry.rs", ""),
        (
            "cli/mod.rs",
            "use crate::{backup, format::{a, b::B}}; fn f() { println!(\"{}\", std::env::args().count()); }",
        ),
    ];
    assert_eq!(about(&files), Vec::<String>::new());
}

/// The page on security counts the `unsafe` blocks and names the files that they are in.
#[test]
fn every_unsafe_block_is_accounted_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    read_sources(&root.join("src"), "", &mut files);
    let blocks = |text: &str| {
        text.lines().filter(|line| line.split("//").next().unwrap().contains("unsafe {")).count()
    };
    let found: Vec<(&String, usize)> = files
        .iter()
        .map(|(name, text)| (name, blocks(text)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let page = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let said = page.split("\n* ").find(|item| item.contains("`unsafe` blocks")).unwrap();
    let words = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"];
    let count: usize = found.iter().map(|(_, count)| count).sum();
    assert!(
        said.starts_with(&format!("{} `unsafe` blocks", words[count])),
        "there are {count}: {said}"
    );
    for (name, _) in &found {
        assert!(said.contains(&format!("`src/{name}`")), "{name} is not named: {said}");
    }
    assert_eq!(said.matches("`src/").count(), found.len(), "{said}");
}
