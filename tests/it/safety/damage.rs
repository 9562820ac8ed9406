//! Damage of any kind, anywhere: always detected by a full check, its paths named, and never given
//! back as good.
//!
//! A repository with every kind of object is damaged in one place at a time. Two questions are
//! asked each time. Does `check` find it? Is what it says about paths true? That is found out
//! independently: everything is read from the damaged repository by a machine without any local
//! copy; what cannot be read must have been named, what is named as a file must not be readable,
//! and what is readable must be what was backed up.
//!
//! `DRUMLIN_DAMAGE_FLIPS` sets the number of random flips (1,000; `make damage-long` takes 10,000),
//! `DRUMLIN_DAMAGE_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use drumlin::format::container::{
    FRAME_LEN_BYTES, HEADER_LEN_BYTES, TAG_LEN_BYTES, TRAILER_LEN_BYTES, frame_at, header_at,
    trailer_at,
};
use drumlin::maintain::check::{CheckReport, Level};
use drumlin::monitor::{Monitor, ProblemKind};
use drumlin::repo::snapshots;
use drumlin::repo::{Reader, Repository, Trees, audit};
use drumlin::restore::{self, RestoreOptions};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, Key, Store};

use crate::support::fixture::{fast_folder, noise, run_check};
use crate::support::sound::{Sound, change_object, is_named, read_all};

/// What a damaged repository is like.
struct Outcome {
    /// The check's report; `None` if the repository cannot even be opened, which is noticed by
    /// anybody.
    report: Option<CheckReport>,
    /// Whether the report was compared with what can be read.
    is_compared: bool,
}

impl Sound {
    /// Damages a copy of the repository and asks both questions; panics with `what` where the
    /// answers are wrong.
    fn damage(&self, what: &str, damage: impl FnOnce(&MemoryStore)) -> Outcome {
        self.damage_at(Level::Full, what, damage)
    }

    fn damage_at(&self, level: Level, what: &str, damage: impl FnOnce(&MemoryStore)) -> Outcome {
        let store = Arc::new(self.repo.memory.image());
        damage(&store);
        // With the cache of the machine that made the backups: its good copies must not hide
        // anything.
        let Ok(repository) = self.repo.open_in(store.clone(), &self.repo.cache()) else {
            return Outcome { report: None, is_compared: false };
        };
        let report = run_check(&repository, level);
        assert!(!report.is_sound(), "{what}: not detected");
        assert!(!report.problems.is_empty(), "{what}: paths are named without a cause");
        let cache = fast_folder();
        let is_compared = level == Level::Full
            && self
                .repo
                .open_in(store, cache.path())
                .is_ok_and(|repository| self.compare(what, &repository, &report));
        Outcome { report: Some(report), is_compared }
    }

    /// Compares the report with what a machine without local copies can read; returns false if that
    /// is nothing.
    fn compare(&self, what: &str, repository: &Arc<Repository>, report: &CheckReport) -> bool {
        let Ok(reader) = Reader::tolerant(repository) else {
            // Nothing can be read until the index is repaired; the check goes on without the
            // damaged run.
            return false;
        };
        let trees = Trees::new(reader);
        for (snapshot, sound) in self.snapshots.iter().zip(&self.contents) {
            if snapshots::load_from_store(repository, &snapshot.id).is_err() {
                continue;
            }
            let read = read_all(&trees, snapshot);
            let named: BTreeSet<(&[u8], bool)> = report
                .affected
                .items
                .iter()
                .filter(|affected| affected.snapshot == snapshot.id)
                .map(|affected| (&affected.path[..], affected.is_dir))
                .collect();
            for (path, hash) in sound {
                let shown = String::from_utf8_lossy(path);
                match read.get(path) {
                    Some(found) => assert_eq!(found, hash, "{what}: {shown} was given back wrong"),
                    None => assert!(
                        is_named(path, &named),
                        "{what}: {shown} cannot be read and is not named"
                    ),
                }
            }
            for (path, is_folder) in named {
                let below = [path, b"/"].concat();
                let is_lost = |lost: &[u8]| {
                    lost == path || is_folder && (path == b"/" || lost.starts_with(&below))
                };
                let shown = String::from_utf8_lossy(path);
                assert!(
                    sound.keys().any(|p| is_lost(p) && !read.contains_key(p)),
                    "{what}: {shown} is named but can be read"
                );
            }
        }
        true
    }
}

fn flip(store: &MemoryStore, key: &Key, bit: usize) {
    change_object(store, key, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
}

fn name(
    range: std::ops::Range<usize>,
    what: impl Into<String>,
) -> (String, std::ops::Range<usize>) {
    (what.into(), range)
}

/// Returns every field of a container by name and range: of header, first and last frame, table and
/// trailer.
fn fields(
    repository: &Repository,
    key: &Key,
    bytes: &[u8],
) -> Vec<(String, std::ops::Range<usize>)> {
    let header = [
        ("magic", header_at::MAGIC),
        ("major", header_at::MAJOR),
        ("minor", header_at::MINOR),
        ("kind", header_at::KIND),
        ("suite", header_at::SUITE),
        ("flags", header_at::FLAGS),
        ("repository id", header_at::REPOSITORY_ID),
        ("salt", header_at::SALT),
        ("commitment", header_at::COMMITMENT),
        ("reserved", header_at::RESERVED),
        ("", HEADER_LEN_BYTES),
    ];
    let mut fields: Vec<_> =
        header.windows(2).map(|w| name(w[0].1..w[1].1, format!("header {}", w[0].0))).collect();
    let (segments, toc_at) = layout(repository, key, bytes);
    let frame = [
        ("body length", frame_at::BODY_LEN),
        ("raw length", frame_at::RAW_LEN),
        ("chunk count", frame_at::CHUNK_COUNT),
        ("codec", frame_at::CODEC),
        ("reserved", frame_at::RESERVED),
        ("tag", FRAME_LEN_BYTES - TAG_LEN_BYTES),
        ("", FRAME_LEN_BYTES),
    ];
    for (at, end) in [segments.first(), segments.last()].into_iter().flatten() {
        fields.extend(
            frame
                .windows(2)
                .map(|w| name(at + w[0].1..at + w[1].1, format!("frame at {at}, {}", w[0].0))),
        );
        let body = at + FRAME_LEN_BYTES..end - TAG_LEN_BYTES;
        let middle = body.start + body.len() / 2;
        fields.push(name(body.start..body.start + 1, format!("first byte of the segment at {at}")));
        fields.push(name(middle..middle + 1, format!("middle of the segment at {at}")));
        fields.push(name(body.end - 1..body.end, format!("last byte of the segment at {at}")));
        fields.push(name(body.end..*end, format!("tag of the segment at {at}")));
    }
    let trailer_at_byte = bytes.len() - TRAILER_LEN_BYTES;
    let toc_end = trailer_at_byte - TAG_LEN_BYTES;
    fields.push(name(toc_at..toc_at + 1, "first byte of the table, or of the padding"));
    fields.push(name(
        (toc_at + toc_end) / 2..(toc_at + toc_end) / 2 + 1,
        "middle of table and padding",
    ));
    fields.push(name(toc_end - 1..toc_end, "last byte of the padding"));
    fields.push(name(toc_end..trailer_at_byte, "tag of the table"));
    let trailer = [
        ("table offset", trailer_at::TOC_OFFSET),
        ("table length", trailer_at::TOC_LEN),
        ("padding length", trailer_at::PADDING_LEN),
        ("segment count", trailer_at::SEGMENT_COUNT),
        ("reserved", trailer_at::RESERVED),
        ("raw total", trailer_at::RAW_TOTAL),
        ("reserved 2", trailer_at::RESERVED_2),
        ("tag", TRAILER_LEN_BYTES - TAG_LEN_BYTES),
        ("", TRAILER_LEN_BYTES),
    ];
    fields.extend(trailer.windows(2).map(|w| {
        name(trailer_at_byte + w[0].1..trailer_at_byte + w[1].1, format!("trailer {}", w[0].0))
    }));
    fields.retain(|(_, range)| !range.is_empty());
    fields
}

/// Returns where a container's segments start and end, and where its table starts.
fn layout(repository: &Repository, key: &Key, bytes: &[u8]) -> (Vec<(usize, usize)>, usize) {
    use drumlin::container::Opener;
    use drumlin::format::container::ContainerKind;
    let kind = match key.class {
        Class::Data => ContainerKind::Data,
        Class::Meta => ContainerKind::Meta,
        Class::Index => ContainerKind::IndexRun,
        Class::Snapshots if key.name.ends_with(".forgotten") => ContainerKind::Tombstone,
        Class::Snapshots if key.name.ends_with(".protected") => ContainerKind::Protection,
        Class::Snapshots => ContainerKind::Snapshot,
        Class::Intents => ContainerKind::Intent,
        Class::Collector => ContainerKind::CollectorRecord,
        _ => ContainerKind::Config,
    };
    let opener =
        Opener::from_header(repository.keyring_for_tests().open(kind), kind, bytes).unwrap();
    let toc_at = opener.whole_toc(bytes).unwrap().0.toc_offset as usize;
    let mut segments = Vec::new();
    let mut at = HEADER_LEN_BYTES;
    while at < toc_at {
        let end = at + opener.frame(at as u64, &bytes[at..]).unwrap().stored_len();
        segments.push((at, end));
        at = end;
    }
    (segments, toc_at)
}

/// One random bit of every field of every structure of every kind of object, and one of every byte
/// of key slots.
#[test]
fn every_field_of_every_structure() {
    let sound = Sound::new();
    let repository = sound.repo.open();
    let (mut places, mut compared) = (0, 0);
    for key in sound.repo.memory.keys() {
        let bytes = sound.repo.memory.read(&key).unwrap();
        let places_here: Vec<(String, usize)> = if key.class == Class::Keys {
            (0..bytes.len()).map(|at| (format!("byte {at}"), at * 8 + at % 8)).collect()
        } else {
            let fields = fields(&repository, &key, &bytes);
            let bit = |range: &std::ops::Range<usize>| {
                range.start * 8 + noise(range.start as u64, 1)[0] as usize % (range.len() * 8)
            };
            fields.iter().map(|(what, range)| (what.clone(), bit(range))).collect()
        };
        // All levels do the same with key slots, which are spoilt byte by byte, and no path depends
        // on them.
        let level = if key.class == Class::Keys { Level::Quick } else { Level::Full };
        for (what, bit) in places_here {
            let outcome = sound.damage_at(level, &format!("{key}: {what}, bit {bit}"), |store| {
                flip(store, &key, bit)
            });
            places += 1;
            compared += usize::from(outcome.is_compared);
        }
    }
    assert!(places > 500 && compared > 200, "{places} places, {compared} compared");
}

/// Every object ends early: at 20 places, the ends of its structures among them.
#[test]
fn every_object_cut() {
    let sound = Sound::new();
    let repository = sound.repo.open();
    for key in sound.repo.memory.keys() {
        let bytes = sound.repo.memory.read(&key).unwrap();
        let mut lens: BTreeSet<usize> = [0, 1, bytes.len() / 2, bytes.len() - 1].into();
        if key.class != Class::Keys {
            let (segments, toc_at) = layout(&repository, &key, &bytes);
            lens.extend([
                HEADER_LEN_BYTES - 1,
                HEADER_LEN_BYTES,
                toc_at,
                bytes.len() - TRAILER_LEN_BYTES,
            ]);
            lens.extend(segments.iter().take(4).map(|(_, end)| *end));
        }
        let mut seed = 0;
        while lens.len() < 20 {
            lens.insert(
                u32::from_le_bytes(noise(seed, 4).try_into().unwrap()) as usize % bytes.len(),
            );
            seed += 1;
        }
        for len in lens {
            sound.damage(&format!("{key} cut to {len} bytes"), |store| {
                change_object(store, &key, |bytes| bytes.truncate(len))
            });
        }
        sound.damage(&format!("{key} with a byte behind"), |store| {
            change_object(store, &key, |bytes| bytes.push(0))
        });
    }
}

/// Every object is gone. A key slot may be removed on purpose, so its absence shows only where it
/// was the last one; and an intent is removed when its backup is over.
#[test]
fn every_object_deleted() {
    let sound = Sound::new();
    let slots = sound.repo.memory.keys().into_iter().filter(|key| key.class == Class::Keys);
    let others = sound
        .repo
        .memory
        .keys()
        .into_iter()
        .filter(|key| !matches!(key.class, Class::Keys | Class::Intents));
    // Nor is it damage that a mark is gone, or a snapshot of which a tombstone says that it was
    // forgotten.
    let forgotten = sound.snapshots[1].id.to_hex();
    let is_mark = |key: &Key| key.name.ends_with(".forgotten") || key.name.ends_with(".protected");
    for key in others.filter(|key| !is_mark(key) && key.name != forgotten) {
        let outcome = sound.damage(&format!("{key} deleted"), |store| store.remove(&key).unwrap());
        match outcome.report {
            None => assert_eq!(key.class, Class::Config),
            Some(report) if matches!(key.class, Class::Data | Class::Meta) => {
                assert!(
                    report.problems.items.iter().any(|problem| problem.object == key.to_string()),
                    "{report:#?}"
                );
                assert!(!report.affected.is_empty());
            }
            Some(report) => {
                assert!(key.class != Class::Index || !report.affected.is_empty(), "{key}")
            }
        }
    }
    let outcome = sound
        .damage("all key slots deleted", |store| slots.for_each(|key| store.remove(&key).unwrap()));
    assert!(outcome.report.is_none());
}

/// An object in the place of another of its class, whole and authentic, but wrong there.
#[test]
fn objects_in_each_others_places() {
    let sound = Sound::new();
    let keys = sound.repo.memory.keys();
    let mut swapped = BTreeSet::new();
    for (one, other) in keys.iter().flat_map(|one| keys.iter().map(move |other| (one, other))) {
        let packs = |key: &Key| matches!(key.class, Class::Data | Class::Meta);
        if one != other && (one.class == other.class || packs(one) && packs(other)) {
            let bytes = sound.repo.memory.read(other).unwrap();
            sound.damage(&format!("{other} in the place of {one}"), |store| {
                store.overwrite(one, &bytes)
            });
            swapped.insert(one.class);
        }
    }
    for class in [Class::Keys, Class::Data, Class::Meta, Class::Index, Class::Snapshots] {
        assert!(swapped.contains(&class), "{class:?} has one object only");
    }
}

/// Random bits of random objects; half of the flips choose the object first, so that small ones are
/// hit too.
#[test]
fn random_places() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let count = number("DRUMLIN_DAMAGE_FLIPS").unwrap_or(1000);
    let seed = number("DRUMLIN_DAMAGE_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("DRUMLIN_DAMAGE_SEED={seed}");
    let sound = Sound::new();
    let keys = sound.repo.memory.keys();
    let lens: Vec<usize> =
        keys.iter().map(|key| sound.repo.memory.stat(key).unwrap() as usize).collect();
    let total: usize = lens.iter().sum();
    let mut compared = 0;
    for number in 0..count {
        let random = noise(seed ^ number << 20, 24);
        let word = |at: usize| u64::from_le_bytes(random[at..at + 8].try_into().unwrap()) as usize;
        let object = if number % 2 == 0 {
            word(0) % keys.len()
        } else {
            let mut at = word(0) % total;
            lens.iter()
                .position(|len| {
                    at < *len || {
                        at -= len;
                        false
                    }
                })
                .unwrap()
        };
        let bit = word(8) % (lens[object] * 8);
        let what = format!("flip {number} of seed {seed}: {} bit {bit}", keys[object]);
        let outcome = sound.damage(&what, |store| flip(store, &keys[object], bit));
        compared += u64::from(outcome.is_compared);
    }
    // Most objects, and nearly all bytes, are those of packs: without them reading goes on.
    assert!(compared > count / 4, "only {compared} of {count} reports were compared");
}

/// A restore from a damaged repository: each file is right, or it is missing and it, or a folder
/// above it, is named as damaged.
#[test]
fn restores_are_right_or_say_so() {
    let sound = Sound::new();
    let source = &sound.repo.source();
    let (mut damaged, mut right) = (0, 0);
    for number in 0..60u64 {
        let store = Arc::new(sound.repo.memory.image());
        let packs: Vec<Key> = store
            .keys()
            .into_iter()
            .filter(|key| matches!(key.class, Class::Data | Class::Meta))
            .collect();
        let random = noise(number, 16);
        let word = |at: usize| u64::from_le_bytes(random[at..at + 8].try_into().unwrap()) as usize;
        let key = &packs[number as usize % packs.len()];
        flip(&store, key, word(8) % (store.stat(key).unwrap() as usize * 8));
        let (cache, target) = (fast_folder(), fast_folder());
        let repository = sound.repo.open_in(store, cache.path()).unwrap();
        let path = Some(source.as_os_str().as_encoded_bytes().to_vec());
        let options = RestoreOptions {
            path,
            target: target.path().to_owned(),
            threads: 2,
            ..RestoreOptions::default()
        };
        let monitor = Monitor::default();
        let is_refused = match restore::run(&repository, &sound.snapshots[1], &options, &monitor) {
            // The folder that was asked for cannot be read itself.
            Err(error) => {
                assert!(error.to_string().contains("damaged"), "{error}");
                true
            }
            Ok(report) => {
                damaged += report.damaged;
                false
            }
        };
        let problems = monitor.problems().into_iter();
        let named: Vec<PathBuf> = problems
            .filter(|problem| problem.kind == ProblemKind::Damaged)
            .map(|problem| PathBuf::from(OsString::from_vec(problem.path)))
            .collect();
        for file in
            ["a/b/c/deep", "a/b/new", "large", "text", "empty", "many/7", "many/8", "many/599"]
        {
            let shown = format!("flip {number} in {key}: {file}");
            let stored = source.join(file);
            match std::fs::read(target.path().join(file)) {
                Ok(restored) => {
                    let is_right = restored == std::fs::read(&stored).unwrap();
                    assert!(is_right, "{shown} was restored wrong");
                    right += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{shown}");
                    // A path begins with itself.
                    let is_named = named.iter().any(|named| stored.starts_with(named));
                    assert!(is_refused || is_named, "{shown} is absent, and {named:?} are named");
                }
            }
        }
    }
    assert!(damaged > 10, "only {damaged} files were hit");
    assert!(right > 100, "only {right} files were restored");
}

/// The same holds where the bytes go bad on the way: reads that flip a bit are errors, not data.
#[test]
fn what_goes_bad_on_the_way_is_refused() {
    use drumlin::store::Action;
    use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
    let sound = Sound::new();
    // By class: how often something was refused.
    let mut refused: BTreeMap<Class, usize> = BTreeMap::new();
    for call in 0..12 {
        for class in [Class::Data, Class::Meta, Class::Index] {
            let fault = Fault {
                action: Some(Action::Read),
                class: Some(class),
                call,
                effect: Effect::Flip { bit: 5000 },
                then_dead: false,
            };
            let store = Arc::new(FaultStore::new(sound.repo.memory.clone(), vec![fault]));
            let cache = fast_folder();
            let repository = sound.repo.open_in(store, cache.path()).unwrap();
            let Ok(reader) = Reader::new(&repository) else {
                *refused.entry(class).or_default() += 1;
                continue;
            };
            let trees = Trees::new(reader);
            for (snapshot, contents) in sound.snapshots.iter().zip(&sound.contents) {
                let read = read_all(&trees, snapshot);
                for (path, hash) in &read {
                    let shown = String::from_utf8_lossy(path);
                    assert_eq!(contents.get(path), Some(hash), "{shown}");
                }
                if read.len() < contents.len() {
                    *refused.entry(class).or_default() += 1;
                }
            }
        }
    }
    // A pack of trees that is not what its name says is read once more, and is right then.
    let hit = [Class::Data, Class::Index].map(|class| refused.contains_key(&class));
    assert_eq!(hit, [true; 2], "a fault that hits nothing proves nothing: {refused:?}");
}

/// A snapshot in the middle of the chain is missed even by a machine that has never seen it.
#[test]
fn a_missing_link_of_the_chain() {
    let sound = Sound::new();
    let store = Arc::new(sound.repo.memory.image());
    store.remove(&Key::new(Class::Snapshots, sound.snapshots[0].id.to_hex())).unwrap();
    let cache = fast_folder();
    let repository = sound.repo.open_in(store, cache.path()).unwrap();
    let report = run_check(&repository, Level::Quick);
    assert_eq!(report.problems.count, 1, "{report:#?}");
    assert_eq!(audit::all_snapshots(&repository).unwrap().0.good.len(), 1);
}
