//! Goal: the rules of snapshots, tombstones and tables of runs, at their limits.

use crate::format::entry::{Extension, Timestamp};
use crate::format::limits;
use crate::format::run::RunToc;
use crate::format::snapshot::{
    Consistency, EXTENSION_INSTEAD_OF, Snapshot, SnapshotProblem, SnapshotStats,
};
use crate::format::tombstone::Tombstone;
use crate::id::{ChunkId, RepositoryId, SnapshotId};

fn snapshot() -> Snapshot {
    Snapshot {
        id: SnapshotId([1; 16]),
        repository: RepositoryId([2; 16]),
        host: "vault".to_owned(),
        user: "ada".to_owned(),
        app: String::new(),
        sequence: 2,
        previous: Some([3; 32]),
        parent: None,
        started: Timestamp::default(),
        ended: Timestamp::default(),
        program: String::new(),
        sources: vec![b"/a".to_vec(), b"/b".to_vec()],
        tags: vec!["a".to_owned(), "b".to_owned()],
        root: ChunkId([4; 32]),
        consistency: Consistency::Live,
        stats: SnapshotStats::default(),
        problem_count: 0,
        problems: Vec::new(),
        extensions: Vec::new(),
        writer: [5; 32],
    }
}

/// Returns whether a snapshot is valid after a change.
fn with(change: impl Fn(&mut Snapshot)) -> bool {
    let mut snapshot = snapshot();
    change(&mut snapshot);
    Snapshot::decode(&snapshot.encode()).is_ok()
}

fn problems(count: usize, len: usize) -> Vec<SnapshotProblem> {
    let problem = |_| SnapshotProblem { path: vec![b'p'; len], kind: 1, message: String::new() };
    (0..count).map(problem).collect()
}

#[test]
fn problems_that_a_snapshot_lists() {
    let listing = |count: usize, len, problem_count| {
        with(|one| (one.problems, one.problem_count) = (problems(count, len), problem_count))
    };
    let most = limits::SNAPSHOT_PROBLEMS_MAX;
    assert!(listing(most, 1, most as u64) && listing(most, 1, u64::MAX));
    assert!(!listing(most + 1, 1, u64::MAX) && !listing(2, 1, 1) && listing(2, 1, 2));
    let longest = limits::SNAPSHOT_PROBLEMS_LEN_MAX_BYTES;
    assert!(listing(1, longest, 1) && !listing(1, longest + 1, 1));
    let message = |len| {
        with(|one| {
            one.problems = problems(1, longest - 1);
            one.problems[0].message = "m".repeat(len);
            one.problem_count = 1;
        })
    };
    assert!(message(1) && !message(2), "paths and messages count");
    let kind = |kind| {
        with(|one| {
            one.problems = vec![SnapshotProblem { kind, ..problems(1, 1).remove(0) }];
            one.problem_count = 1;
        })
    };
    assert!(kind(1) && kind(3) && !kind(0) && !kind(4));
}

#[test]
fn lists_of_a_snapshot_are_sorted() {
    assert!(with(|_| {}));
    assert!(!with(|one| one.tags.swap(0, 1)) && !with(|one| one.tags = vec![String::new(); 2]));
    assert!(!with(|one| one.sources.swap(0, 1)));
    assert!(!with(|one| one.sources[1] = b"/a".to_vec()));
    assert!(!with(|one| one.sources = vec![b"a".to_vec()]));
    let tagged = |tag| with(|one| one.extensions = vec![Extension { tag, bytes: Vec::new() }]);
    assert!(tagged(0x7fff) && !tagged(0x8000));
}

#[test]
fn places_in_the_chain() {
    let chain =
        |sequence, previous| with(|one| (one.sequence, one.previous) = (sequence, previous));
    assert!(chain(1, None) && chain(2, Some([3; 32])));
    assert!(!chain(0, None) && !chain(0, Some([3; 32])));
    assert!(!chain(1, Some([3; 32])) && !chain(2, None));
    assert!(chain(limits::SEQUENCE_MAX, Some([3; 32])));
    assert!(!chain(limits::SEQUENCE_MAX + 1, Some([3; 32])));
    for nanos in [999_999_999, 1_000_000_000] {
        let time = Timestamp { seconds: 0, nanos };
        assert_eq!(with(|one| one.started = time), nanos < 1_000_000_000);
        assert_eq!(with(|one| one.ended = time), nanos < 1_000_000_000);
    }
}

#[test]
fn the_snapshot_that_another_replaces() {
    let of = |tag, len| {
        let extensions = vec![Extension { tag, bytes: vec![9; len] }];
        Snapshot { extensions, ..snapshot() }.instead_of()
    };
    assert_eq!(of(EXTENSION_INSTEAD_OF, 16), Some(SnapshotId([9; 16])));
    assert_eq!((of(EXTENSION_INSTEAD_OF, 15), of(EXTENSION_INSTEAD_OF + 1, 16)), (None, None));
    assert_eq!(snapshot().instead_of(), None);
}

#[test]
fn limits_of_tombstones() {
    let tombstone = |reason: usize, nanos, tag| Tombstone {
        snapshot: SnapshotId([1; 16]),
        repository: RepositoryId([2; 16]),
        hash: None,
        host: String::new(),
        user: String::new(),
        program: String::new(),
        forgotten: Timestamp { seconds: 0, nanos },
        reason: "r".repeat(reason),
        extensions: vec![Extension { tag, bytes: Vec::new() }],
        writer: [5; 32],
    };
    let is_valid = |one: &Tombstone| Tombstone::decode(&one.encode()).is_ok();
    let rest = limits::TOMBSTONE_LEN_MAX_BYTES - tombstone(1_000, 0, 1).encode().len();
    let longest = tombstone(1_000 + rest, 0, 1);
    assert_eq!(longest.encode().len(), limits::TOMBSTONE_LEN_MAX_BYTES);
    assert!(is_valid(&longest) && !is_valid(&tombstone(1_001 + rest, 0, 1)));
    assert!(is_valid(&tombstone(0, 999_999_999, 0x7fff)));
    assert!(!is_valid(&tombstone(0, 1_000_000_000, 1)) && !is_valid(&tombstone(0, 0, 0x8000)));
}

#[test]
fn generations_of_runs() {
    let with = |generation| {
        let toc = RunToc { generation, ..RunToc::default() };
        RunToc::decode(&crate::format::codec::encode(&toc)).is_ok()
    };
    assert!(with(limits::GENERATION_MAX) && !with(limits::GENERATION_MAX + 1));
}
