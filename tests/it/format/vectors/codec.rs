//! Values of every type the codec knows, with their only encoding.

use std::fmt::Debug;

use bincode::{Decode, Encode};
use drumlin::format::codec;
use drumlin::format::config::{Config, Profile};
use drumlin::format::container::{ChunkKind, ChunkRecord, PackToc, SegmentRecord, SegmentTable};
use drumlin::format::entry::{Content, Entry, EntryKind, Extension, Ref, Timestamp, Xattr};
use drumlin::format::generation::{
    CollectorRecord, Condemned, Done, RecordContent, Removal, Victim,
};
use drumlin::format::intent::Intent;
use drumlin::format::node::{ListChild, ListNode, Totals, TreeChild, TreeNode};
use drumlin::format::run::{PackClass, PackRef, RunToc};
use drumlin::format::slot::{SlotInfo, SlotKdf};
use drumlin::format::snapshot::{
    CommitSlot, Consistency, Snapshot, SnapshotProblem, SnapshotStats,
};
use drumlin::format::tombstone::{Tombstone, TombstoneSlot};
use drumlin::id::{ChunkId, ObjectId, SnapshotId, encode_hex};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Row {
    r#type: String,
    value: String,
    bytes: String,
}

/// Tells whether bytes decode to the case's value.
type Holds = Box<dyn Fn(&[u8]) -> bool>;

struct Case {
    row: Row,
    holds: Holds,
}

fn case<T: Encode + Decode<()> + PartialEq + Debug + 'static>(r#type: &str, value: T) -> Case {
    let row = Row {
        r#type: r#type.to_string(),
        value: format!("{value:?}"),
        bytes: encode_hex(&codec::encode(&value)),
    };
    Case {
        row,
        holds: Box::new(move |bytes| {
            codec::decode::<T>("vector", bytes).is_ok_and(|decoded| decoded == value)
        }),
    }
}

fn numbers() -> Vec<Case> {
    vec![
        case("u8", 0u8),
        case("u8", 251u8),
        case("u16", 250u16),
        case("u16", 251u16),
        case("u16", 65_535u16),
        case("u32", 250u32),
        case("u32", 65_535u32),
        case("u32", 65_536u32),
        case("u32", u32::MAX),
        case("u64", 250u64),
        case("u64", 251u64),
        case("u64", 65_536u64),
        case("u64", u64::from(u32::MAX)),
        case("u64", 1u64 << 32),
        case("u64", u64::MAX),
        case("i64", 0i64),
        case("i64", -1i64),
        case("i64", 1i64),
        case("i64", 125i64),
        case("i64", -126i64),
        case("i64", i64::MIN),
    ]
}

fn compounds() -> Vec<Case> {
    vec![
        case("Option<u64>", None::<u64>),
        case("Option<u64>", Some(300u64)),
        case("Option<(u32, u32)>", Some((8u32, 1u32))),
        case("bytes", vec![1u8, 2, 3]),
        case("bytes", (0..=255).collect::<Vec<u8>>()),
        case("string", "Grüße".to_string()),
        case("list of strings", vec![String::new(), "a".to_string()]),
        case("16 bytes", [0xabu8; 16]),
        case("Timestamp", Timestamp { seconds: -1, nanos: 999_999_999 }),
        case("Timestamp", Timestamp { seconds: 1_772_323_200, nanos: 0 }),
        case("Extension", Extension { tag: 0x7fff, bytes: vec![1] }),
    ]
}

/// An entry with every field in use.
pub fn full_entry() -> Entry {
    Entry {
        name: b"caf\xe9.txt".to_vec(),
        kind: EntryKind::File,
        mode: 0o4755,
        uid: 1000,
        gid: 100,
        user: 1,
        group: 2,
        mtime: Timestamp { seconds: 1_772_323_200, nanos: 123_456_789 },
        ctime: Timestamp { seconds: 1_772_323_201, nanos: 1 },
        btime: Some(Timestamp { seconds: -86_400, nanos: 0 }),
        size: 70_000,
        device: None,
        hard_link: Some(7),
        content: Content::Refs(vec![
            Ref::Data { id: ChunkId([0x11; 32]), len: 65_536 },
            Ref::Hole { len: 4_464 },
        ]),
        xattrs: vec![Xattr { name: b"user.comment".to_vec(), value: b"\x00\xff".to_vec() }],
        flags: 4,
        extensions: vec![Extension { tag: 9, bytes: b"later".to_vec() }],
    }
}

/// An entry with as little as possible.
pub fn plain_entry(name: &[u8], kind: EntryKind, content: Content) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        user: 0,
        group: 0,
        mtime: Timestamp::default(),
        ctime: Timestamp::default(),
        btime: None,
        size: if let Content::Inline(bytes) = &content { bytes.len() as u64 } else { 0 },
        device: None,
        hard_link: None,
        content,
        xattrs: Vec::new(),
        flags: 0,
        extensions: Vec::new(),
    }
}

/// A snapshot with every field in use.
pub fn full_snapshot() -> Snapshot {
    Snapshot {
        id: SnapshotId([0x5a; 16]),
        repository: super::REPOSITORY,
        host: "vault".to_string(),
        user: "root".to_string(),
        app: "mail".to_string(),
        sequence: 2,
        previous: Some([0x22; 32]),
        parent: Some(SnapshotId([0x5b; 16])),
        started: Timestamp { seconds: 1_772_323_200, nanos: 5 },
        ended: Timestamp { seconds: 1_772_323_260, nanos: 0 },
        program: "drumlin 0.1.0".to_string(),
        sources: vec![b"/srv/mail".to_vec()],
        tags: vec!["daily".to_string(), "keep".to_string()],
        root: ChunkId([0x33; 32]),
        consistency: Consistency::FileSystemSnapshot,
        stats: SnapshotStats {
            totals: Totals { files: 3, dirs: 2, bytes: 70_512 },
            files_new: 1,
            ..SnapshotStats::default()
        },
        problem_count: 1,
        problems: vec![SnapshotProblem {
            path: b"/srv/mail/x".to_vec(),
            kind: 1,
            message: "permission denied".to_string(),
        }],
        extensions: Vec::new(),
        writer: super::keyring().sign().public(),
    }
}

/// A tombstone with every field in use.
pub fn full_tombstone() -> Tombstone {
    Tombstone {
        snapshot: SnapshotId([0x5a; 16]),
        repository: super::REPOSITORY,
        hash: Some([0x23; 32]),
        host: "vault".to_string(),
        user: "root".to_string(),
        program: "drumlin 0.1.0".to_string(),
        forgotten: Timestamp { seconds: 1_772_409_600, nanos: 7 },
        reason: "--keep-daily 7".to_string(),
        extensions: vec![Extension { tag: 3, bytes: vec![1] }],
        writer: super::keyring().sign().public(),
    }
}

/// The configuration of all vectors.
pub fn config() -> Config {
    Config {
        repository: super::REPOSITORY,
        number: 1,
        created: Timestamp { seconds: 1_772_323_200, nanos: 0 },
        program: "drumlin 0.1.0".to_string(),
        profile: Profile::Standard,
        read_critical: 0,
        write_critical: 0,
        collect_critical: 0,
        extensions: Vec::new(),
    }
}

/// A directory's node with a file, a directory, a symbolic link and a device.
pub fn leaf() -> TreeNode {
    let device = Entry {
        device: Some((8, 1)),
        ..plain_entry(b"disk", EntryKind::BlockDevice, Content::None)
    };
    TreeNode::Leaf {
        strings: vec!["root".to_string(), "users".to_string()],
        entries: vec![
            full_entry(),
            plain_entry(b"dir", EntryKind::Dir, Content::Tree(ChunkId([0x44; 32]))),
            device,
            plain_entry(b"link", EntryKind::Symlink, Content::Inline(b"../target".to_vec())),
        ],
        dir_totals: vec![Totals { files: 1, dirs: 0, bytes: 300 }],
    }
}

/// The table of contents of an index run of two records in one block, and one more in another.
pub fn run_toc() -> RunToc {
    let pack = |class, byte| PackRef {
        class,
        name: ObjectId([byte; 32]),
        len: 4_096,
        salt: [byte ^ 0xff; 32],
    };
    RunToc {
        data_records: 2,
        meta_records: 1,
        generation: 7,
        session: Some(SnapshotId([0x69; 16])),
        replaces: vec![ObjectId([0x66; 32])],
        packs: vec![pack(PackClass::Data, 0x67), pack(PackClass::Meta, 0x68)],
        fences: vec![0x1111_1111_1111_1111, 0x0222_2222_2222_2222],
    }
}

/// An intent with every field in use.
pub fn intent() -> Intent {
    Intent {
        session: SnapshotId([0x5a; 16]),
        number: 1,
        created: Timestamp { seconds: 1_772_323_230, nanos: 0 },
        host: "vault".to_string(),
        generation: 7,
        root: Some(ChunkId([0x33; 32])),
        parent: Some(SnapshotId([0x5b; 16])),
        packs: vec![ObjectId([0x67; 32]), ObjectId([0x68; 32])],
        extensions: Vec::new(),
    }
}

/// What a generation of the vectors removes.
pub fn removal() -> Removal {
    let victim = |class, byte| Victim { class, name: ObjectId([byte; 32]) };
    Removal {
        packs: vec![victim(PackClass::Data, 0x67), victim(PackClass::Meta, 0x66)],
        snapshots: vec![SnapshotId([0x5b; 16])],
    }
}

/// A record of generation 8.
pub fn record(content: RecordContent) -> CollectorRecord {
    CollectorRecord { number: 8, created: Timestamp { seconds: 1_772_323_240, nanos: 0 }, content }
}

fn structures() -> Vec<Case> {
    let chunk = ChunkRecord { kind: ChunkKind::Tree, id: ChunkId([0x12; 32]), len: 300 };
    let child = |name: &[u8], byte| TreeChild {
        first_name: name.to_vec(),
        id: ChunkId([byte; 32]),
        totals: Totals { files: 1, dirs: 1, bytes: u64::from(byte) },
    };
    let list_child = ListChild { id: ChunkId([0x15; 32]), bytes: 1 << 32 };
    vec![
        case(
            "SegmentTable",
            SegmentTable { chunks: vec![(ChunkKind::Data, 65_536), (ChunkKind::Data, 1)] },
        ),
        case(
            "PackToc",
            PackToc { segments: vec![SegmentRecord { stored_len: 370, chunks: vec![chunk] }] },
        ),
        case("RunToc", run_toc()),
        case("Entry", full_entry()),
        case("TreeNode", leaf()),
        case(
            "TreeNode",
            TreeNode::Inner { level: 1, children: vec![child(b"a", 0x13), child(b"m", 0x14)] },
        ),
        case("ListNode", ListNode::Leaf { refs: vec![Ref::Hole { len: 1 << 40 }] }),
        case("ListNode", ListNode::Inner { level: 1, children: vec![list_child, list_child] }),
        case("Snapshot", full_snapshot()),
        case("CommitSlot", CommitSlot::Aborted),
        case("CommitSlot", CommitSlot::Snapshot { signed: vec![1, 2], signature: [0x77; 64] }),
        case("Tombstone", full_tombstone()),
        case("TombstoneSlot", TombstoneSlot { signed: vec![1, 2], signature: [0x78; 64] }),
        case("Intent", intent()),
        case(
            "CollectorRecord",
            record(RecordContent::Condemned(Condemned { oldest: 3, removal: removal() })),
        ),
        case("CollectorRecord", record(RecordContent::Go(removal()))),
        case("CollectorRecord", record(RecordContent::Cancel)),
        case(
            "CollectorRecord",
            record(RecordContent::Done(Done { runs: vec![ObjectId([0x66; 32])] })),
        ),
        case("Config", config()),
        case("SlotKdf", SlotKdf::Passphrase { memory_kib: 65_536, passes: 3, lanes: 4 }),
        case("SlotInfo", SlotInfo { label: "laptop".to_string(), created: Timestamp::default() }),
    ]
}

#[test]
fn encodings_are_frozen() {
    let cases: Vec<Case> = [numbers(), compounds(), structures()].into_iter().flatten().collect();
    assert!(cases.len() >= 40);
    let (rows, holds): (Vec<Row>, Vec<_>) =
        cases.into_iter().map(|case| (case.row, case.holds)).unzip();
    let stored = super::same_table("codec.json", &rows);
    assert_eq!(stored.len(), rows.len());
    for (row, holds) in stored.iter().zip(holds) {
        assert!(holds(&super::unhex(&row.bytes)), "{} {}", row.r#type, row.value);
    }
}
