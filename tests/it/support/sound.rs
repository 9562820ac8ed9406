//! A sound repository with every kind of object, to be damaged; and everything that can be read
//! of a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use drumlin::browse::{self, ResolvedPath};
use drumlin::crypto::slot::Secret;
use drumlin::format::entry::EntryKind;
use drumlin::format::slot::{SlotInfo, SlotKdf};
use drumlin::format::snapshot::Snapshot;
use drumlin::monitor::Monitor;
use drumlin::repo::Trees;
use drumlin::repo::open::keys;
use drumlin::repo::snapshots::trash::{self, ForgetNote};
use drumlin::repo::snapshots::{self, protect};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, Key, Store};

use super::fixture::{TestRepo, noise, now};

/// What every path of a snapshot reads as: a hash of its content, or of its description if it has
/// none.
pub type Contents = BTreeMap<Vec<u8>, [u8; 32]>;

/// A sound repository and what is in it.
pub struct Sound {
    pub repo: TestRepo,
    pub snapshots: Vec<Snapshot>,
    pub contents: Vec<Contents>,
}

impl Sound {
    /// Makes a repository with packs of both classes, directories of one and of many nodes, files
    /// of every form, and two snapshots that share most of it.
    pub fn new() -> Self {
        let repo = TestRepo::new();
        let other = Secret::KeyFile([8; 32].into());
        let info = SlotInfo { label: "other".to_owned(), created: now() };
        keys::add(&repo.open(), &info, &other, SlotKdf::KeyFile).unwrap();
        for number in 0..600u64 {
            repo.write(&format!("many/{number}"), &noise(number, 40));
        }
        repo.write("a/b/c/deep", &noise(1, 20_000));
        repo.write("large", &noise(2, 1_400_000));
        repo.write("other", &noise(3, 150_000));
        repo.write("text", "all work and no play\n".repeat(9_000).as_bytes());
        repo.write("empty", b"");
        std::os::unix::fs::symlink("nowhere", repo.source().join("link")).unwrap();
        let first = repo.snapshot();
        repo.write("a/b/new", &noise(4, 90_000));
        repo.write("many/7", &noise(5, 700));
        std::fs::remove_file(repo.source().join("other")).unwrap();
        let second = repo.snapshot();
        // One of them is protected, the other lies in the trash.
        let word = str::to_owned;
        let note = ForgetNote {
            host: word("host"),
            user: word("user"),
            program: word("test"),
            now: now(),
            reason: word("named"),
        };
        protect::protect(&repo.open(), &first.id, snapshots::chain_hash(&first), &note).unwrap();
        trash::forget(&repo.open(), &second.id, Some(snapshots::chain_hash(&second)), &note)
            .unwrap();
        let trees = repo.trees();
        let contents: Vec<Contents> =
            [&first, &second].map(|snapshot| read_all(&trees, snapshot)).into();
        // Tests go through objects and paths: none must be missing.
        assert!(contents.iter().all(|contents| contents.len() > 600), "not everything is readable");
        let kinds: BTreeSet<Class> = repo.memory.keys().iter().map(|key| key.class).collect();
        let expected = [
            Class::Config,
            Class::Keys,
            Class::Data,
            Class::Meta,
            Class::Index,
            Class::Snapshots,
            Class::Intents,
        ];
        assert!(expected.iter().all(|class| kinds.contains(class)), "{kinds:?}");
        Self { repo, snapshots: vec![first, second], contents }
    }
}

/// Reads every path of a snapshot as far as that is possible.
pub fn read_all(trees: &Trees, snapshot: &Snapshot) -> Contents {
    let mut contents = Contents::new();
    for (path, entry) in browse::TreeWalk::new(trees, &snapshot.root, b"", true) {
        let Ok(entry) = entry else {
            continue;
        };
        let mut bytes =
            format!("{:?} {:o} {:?}", entry.entry.kind, entry.entry.mode, entry.entry.mtime)
                .into_bytes();
        let place = ResolvedPath {
            path: path.clone(),
            tree: None,
            totals: Default::default(),
            entry: Some(entry),
        };
        let kind = place.entry.as_ref().unwrap().entry.kind;
        let has_content = matches!(kind, EntryKind::File | EntryKind::Symlink);
        if !has_content || browse::cat(trees, &place, &mut bytes, &Monitor::default()).is_ok() {
            contents.insert(path, *blake3::hash(&bytes).as_bytes());
        }
    }
    contents
}

/// Returns whether a path is named, or a directory above it; with each path, whether it is named as
/// a directory with all that is in it.
pub fn is_named(path: &[u8], named: &BTreeSet<(&[u8], bool)>) -> bool {
    let above = path
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| &path[..at.max(1)]);
    named.contains(&(path, false))
        || named.contains(&(path, true))
        || above.into_iter().any(|dir| named.contains(&(dir, true)))
}

/// Returns the objects of a class, in order.
pub fn keys_of(store: &MemoryStore, class: Class) -> Vec<Key> {
    let mut keys: Vec<Key> = store.keys().into_iter().filter(|key| key.class == class).collect();
    keys.sort();
    keys
}

/// Changes the bytes of an object.
pub fn change_object(store: &MemoryStore, key: &Key, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = store.read(key).unwrap();
    change(&mut bytes);
    store.overwrite(key, &bytes);
}

/// Flips the lowest bit of one byte of an object.
pub fn flip_byte(store: &MemoryStore, key: &Key, at: usize) {
    change_object(store, key, |bytes| bytes[at] ^= 1);
}
