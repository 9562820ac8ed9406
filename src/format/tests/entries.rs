//! Goal: the rules of one entry, at their limits.

use crate::format::entry::{Content, Entry, EntryKind, Ref, Timestamp, Xattr};
use crate::format::limits;
use crate::id::ChunkId;

/// Strings of the node of the entries.
const STRINGS: usize = 2;

pub(super) fn entry(kind: EntryKind, content: Content, size: u64) -> Entry {
    Entry {
        name: b"name".to_vec(),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        user: 0,
        group: 0,
        mtime: Timestamp::default(),
        ctime: Timestamp::default(),
        btime: None,
        size,
        device: None,
        hard_link: None,
        content,
        xattrs: Vec::new(),
        flags: 0,
        extensions: Vec::new(),
    }
}

pub(super) fn file(bytes: &[u8]) -> Entry {
    entry(EntryKind::File, Content::Inline(bytes.to_vec()), bytes.len() as u64)
}

pub(super) fn id() -> ChunkId {
    ChunkId([7; 32])
}

fn is_valid(entry: &Entry) -> bool {
    entry.check(STRINGS).is_ok()
}

#[test]
fn numbers_have_their_limits() {
    let with = |change: &dyn Fn(&mut Entry)| {
        let mut entry = file(b"x");
        change(&mut entry);
        is_valid(&entry)
    };
    assert!(with(&|entry| entry.mode = 0o7777) && !with(&|entry| entry.mode = 0o10000));
    assert!(with(&|entry| entry.user = 2) && !with(&|entry| entry.user = 3));
    assert!(with(&|entry| entry.group = 2) && !with(&|entry| entry.group = 3));
    for nanos in [999_999_999, 1_000_000_000] {
        let time = Timestamp { seconds: 0, nanos };
        let is_right = nanos < 1_000_000_000;
        assert_eq!(with(&|entry| entry.mtime = time), is_right);
        assert_eq!(with(&|entry| entry.ctime = time), is_right);
        assert_eq!(with(&|entry| entry.btime = Some(time)), is_right);
    }
    assert!(with(&|entry| entry.flags = 15) && !with(&|entry| entry.flags = 16));
    let longest = |len: usize| vec![b'n'; len];
    assert!(with(&|entry| entry.name = longest(limits::NAME_LEN_MAX_BYTES)));
    assert!(!with(&|entry| entry.name = longest(limits::NAME_LEN_MAX_BYTES + 1)));
}

#[test]
fn parts_without_a_fixed_length_are_summed() {
    let mut whole = file(b"12345");
    whole.xattrs = vec![Xattr { name: b"user.a".to_vec(), value: vec![1; 100] }];
    assert_eq!(whole.bulk_len(), 4 + 5 + 6 + 100);
    let rest = limits::ENTRY_BULK_MAX_BYTES - whole.bulk_len();
    whole.xattrs[0].value = vec![1; 100 + rest];
    assert_eq!(whole.bulk_len(), limits::ENTRY_BULK_MAX_BYTES);
    assert!(is_valid(&whole));
    whole.xattrs[0].value.push(1);
    assert!(!is_valid(&whole));
}

#[test]
fn content_fits_its_kind() {
    use EntryKind::{CharDevice, Dir, Fifo, File, Socket, Symlink};
    let refs = |count: usize| Content::Refs(vec![Ref::Data { id: id(), len: 10 }; count]);
    let inline = |len: usize| Content::Inline(vec![b't'; len]);
    let valid = |kind, content, size| is_valid(&entry(kind, content, size));
    assert!(valid(File, inline(0), 0) && valid(File, inline(512), 512));
    assert!(!valid(File, inline(513), 513) && !valid(File, inline(5), 6));
    assert!(valid(Symlink, inline(600), 600) && !valid(Symlink, inline(0), 0));
    assert!(!valid(Symlink, inline(5), 6) && !valid(Symlink, Content::Inline(vec![0]), 1));
    assert!(valid(File, refs(1), 10) && valid(File, refs(16), 160));
    assert!(!valid(File, refs(17), 170) && !valid(File, refs(0), 0) && !valid(File, refs(1), 9));
    assert!(valid(File, Content::List(id()), 1 << 40) && valid(Dir, Content::Tree(id()), 0));
    assert!(!valid(Dir, Content::List(id()), 0) && !valid(File, Content::Tree(id()), 0));
    assert!(valid(Fifo, Content::None, 0) && valid(Socket, Content::None, 0));
    assert!(!valid(Fifo, inline(0), 0) && !valid(Fifo, Content::None, 1));
    assert!([File, Dir, Symlink].iter().all(|kind| !valid(*kind, Content::None, 0)));
    let largest = i64::MAX as u64;
    assert!(valid(File, Content::List(id()), largest));
    assert!(!valid(File, Content::List(id()), largest + 1));
    let mut device = entry(CharDevice, Content::None, 0);
    assert!(!is_valid(&device));
    device.device = Some((1, 3));
    assert!(is_valid(&device));
    device.kind = Fifo;
    assert!(!is_valid(&device));
    let mut dir = entry(Dir, Content::Tree(id()), 0);
    dir.hard_link = Some(1);
    assert!(!is_valid(&dir));
}

#[test]
fn pieces_are_not_empty_and_their_sum_is_a_number() {
    let hole = |len| Ref::Hole { len };
    let of = |refs, size| is_valid(&entry(EntryKind::File, Content::Refs(refs), size));
    assert!(of(vec![hole(1), hole(2)], 3));
    assert!(!of(vec![hole(1), hole(0)], 1) && !of(vec![hole(u64::MAX), hole(2)], 1));
    assert!(hole(0).is_empty() && !hole(1).is_empty() && hole(9).len() == 9);
}
