//! Encoded structures that must be refused: the codec's own rules, trees, lists, snapshots, index
//! tables, words.

use drumlin::format::codec;
use drumlin::format::entry::{Content, Entry, EntryKind, Extension, Ref, Timestamp, Xattr};
use drumlin::format::generation::{CollectorRecord, Condemned, RecordContent, Removal};
use drumlin::format::intent::Intent;
use drumlin::format::limits::{GENERATION_MAX, SEQUENCE_MAX};
use drumlin::format::node::{ListChild, ListNode, Totals, TreeChild, TreeNode};
use drumlin::format::run::RunToc;
use drumlin::format::snapshot::{Snapshot, SnapshotProblem};
use drumlin::format::tombstone::Tombstone;
use drumlin::id::{ChunkId, SnapshotId};

use super::codec::{
    full_entry, full_snapshot, full_tombstone, intent, plain_entry, record, removal, run_toc,
};
use super::decoders::judge;
use super::faults::Fault;

/// Returns all faults of this file.
pub fn faults() -> Vec<Fault> {
    let structures =
        [nodes(), lists(), snapshots(), tombstones(), runs(), intents(), generations()];
    [codecs(), entries(), contents(), structures.concat(), words()].concat()
}

fn codecs() -> Vec<Fault> {
    vec![
        ("codec_number_longer_than_needed", "u64", vec![251, 250, 0]),
        ("codec_number_of_8_bytes_for_4", "u64", vec![253, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        ("codec_number_of_16_bytes", "u64", [vec![254, 1], vec![0; 15]].concat()),
        ("codec_number_cut", "u64", vec![252, 1, 2, 3]),
        ("codec_trailing_byte", "u64", vec![1, 0]),
        ("codec_nothing", "u64", Vec::new()),
        ("codec_bytes_longer_than_input", "bytes", vec![4, 1, 2, 3]),
        ("codec_bytes_of_absurd_length", "bytes", vec![253, 0, 0, 0, 0, 0, 0, 0, 0x80]),
        ("codec_string_not_utf8", "string", vec![1, 0xff]),
        ("codec_option_tag_unknown", "Option<u64>", vec![2, 0]),
        ("codec_variant_unknown", "tree node", vec![2, 0, 0, 0]),
    ]
}

fn entry(spoil: impl FnOnce(&mut Entry)) -> Vec<u8> {
    let mut entry = full_entry();
    spoil(&mut entry);
    leaf(vec![entry])
}

fn leaf(entries: Vec<Entry>) -> Vec<u8> {
    let dirs = entries.iter().filter(|entry| entry.kind == EntryKind::Dir).count();
    let strings = vec!["root".to_string(), "users".to_string()];
    codec::encode(&TreeNode::Leaf { strings, entries, dir_totals: vec![Totals::default(); dirs] })
}

fn entries() -> Vec<Fault> {
    let named = |name: &[u8]| entry(|entry| entry.name = name.to_vec());
    let extension = |tag| Extension { tag, bytes: Vec::new() };
    let xattr = |name: &[u8]| Xattr { name: name.to_vec(), value: Vec::new() };
    let tree = "tree node";
    vec![
        ("entry_name_empty", tree, named(b"")),
        ("entry_name_dot", tree, named(b".")),
        ("entry_name_dot_dot", tree, named(b"..")),
        ("entry_name_with_slash", tree, named(b"../../etc/passwd")),
        ("entry_name_with_nul", tree, named(b"a\0b")),
        ("entry_name_too_long", tree, named(&[b'n'; 4097])),
        ("entry_mode_over_12_bits", tree, entry(|entry| entry.mode = 0o10000)),
        ("entry_user_not_in_strings", tree, entry(|entry| entry.user = 3)),
        ("entry_group_not_in_strings", tree, entry(|entry| entry.group = 3)),
        (
            "entry_nanoseconds_out_of_range",
            tree,
            entry(|entry| entry.mtime = Timestamp { seconds: 0, nanos: 1_000_000_000 }),
        ),
        ("entry_flag_unknown", tree, entry(|entry| entry.flags = 16)),
        (
            "entry_extension_critical",
            tree,
            entry(|entry| entry.extensions = vec![extension(0x8000)]),
        ),
        (
            "entry_extensions_unsorted",
            tree,
            entry(|entry| entry.extensions = vec![extension(2), extension(1)]),
        ),
        (
            "entry_extension_twice",
            tree,
            entry(|entry| entry.extensions = vec![extension(2), extension(2)]),
        ),
        (
            "entry_xattrs_unsorted",
            tree,
            entry(|entry| entry.xattrs = vec![xattr(b"user.b"), xattr(b"user.a")]),
        ),
        (
            "entry_xattr_twice",
            tree,
            entry(|entry| entry.xattrs = vec![xattr(b"user.a"), xattr(b"user.a")]),
        ),
        ("entry_xattr_name_empty", tree, entry(|entry| entry.xattrs = vec![xattr(b"")])),
        ("entry_xattr_name_with_nul", tree, entry(|entry| entry.xattrs = vec![xattr(b"user.a\0")])),
    ]
}

fn contents() -> Vec<Fault> {
    let file =
        |content, size| leaf(vec![Entry { size, ..plain_entry(b"f", EntryKind::File, content) }]);
    let link = |content, size| {
        leaf(vec![Entry { size, ..plain_entry(b"l", EntryKind::Symlink, content) }])
    };
    let id = ChunkId([1; 32]);
    let chunk = |len| Ref::Data { id, len };
    let dir = plain_entry(b"d", EntryKind::Dir, Content::Tree(id));
    let device =
        Entry { device: Some((1, 2)), ..plain_entry(b"d", EntryKind::CharDevice, Content::None) };
    let tree = "tree node";
    vec![
        ("content_inline_too_long", tree, file(Content::Inline(vec![0; 513]), 513)),
        ("content_inline_of_another_size", tree, file(Content::Inline(vec![0; 5]), 6)),
        ("content_refs_none", tree, file(Content::Refs(Vec::new()), 0)),
        ("content_refs_too_many", tree, file(Content::Refs(vec![chunk(1); 17]), 17)),
        ("content_refs_of_another_size", tree, file(Content::Refs(vec![chunk(600)]), 601)),
        ("content_ref_empty", tree, file(Content::Refs(vec![chunk(600), chunk(0)]), 600)),
        ("content_hole_empty", tree, file(Content::Refs(vec![Ref::Hole { len: 0 }]), 0)),
        // In 64 bits the sum is 600.
        (
            "content_holes_overflow",
            tree,
            file(Content::Refs(vec![Ref::Hole { len: u64::MAX }, Ref::Hole { len: 601 }]), 600),
        ),
        ("content_size_negative_as_signed", tree, file(Content::List(id), 1 << 63)),
        ("content_file_without", tree, file(Content::None, 0)),
        ("content_file_with_tree", tree, file(Content::Tree(id), 0)),
        ("content_symlink_empty", tree, link(Content::Inline(Vec::new()), 0)),
        ("content_symlink_with_nul", tree, link(Content::Inline(b"a\0b".to_vec()), 3)),
        ("content_symlink_of_another_size", tree, link(Content::Inline(b"abc".to_vec()), 4)),
        ("content_symlink_with_chunks", tree, link(Content::Refs(vec![chunk(600)]), 600)),
        (
            "content_dir_with_chunks",
            tree,
            leaf(vec![Entry { content: Content::Refs(vec![chunk(1)]), ..dir.clone() }]),
        ),
        ("content_dir_with_size", tree, leaf(vec![Entry { size: 4096, ..dir.clone() }])),
        (
            "content_dir_with_hard_link",
            tree,
            leaf(vec![Entry { hard_link: Some(1), ..dir.clone() }]),
        ),
        ("content_dir_with_device", tree, leaf(vec![Entry { device: Some((1, 2)), ..dir }])),
        (
            "content_device_without_numbers",
            tree,
            leaf(vec![Entry { device: None, ..device.clone() }]),
        ),
        (
            "content_device_with_bytes",
            tree,
            leaf(vec![Entry { content: Content::Inline(Vec::new()), ..device }]),
        ),
    ]
}

fn nodes() -> Vec<Fault> {
    let file = |name: &[u8]| plain_entry(name, EntryKind::File, Content::Inline(Vec::new()));
    let child = |name: &[u8]| TreeChild {
        first_name: name.to_vec(),
        id: ChunkId([1; 32]),
        totals: Totals::default(),
    };
    let inner = |level, children| codec::encode(&TreeNode::Inner { level, children });
    let strings = |strings: &[&str]| {
        let strings = strings.iter().map(|text| text.to_string()).collect();
        codec::encode(&TreeNode::Leaf { strings, entries: Vec::new(), dir_totals: Vec::new() })
    };
    let dirs = TreeNode::Leaf {
        strings: Vec::new(),
        entries: vec![file(b"f")],
        dir_totals: vec![Totals::default()],
    };
    let many = (0..513).map(|n| file(format!("{n:04}").as_bytes())).collect();
    let two = || vec![child(b"a"), child(b"b")];
    let tree = "tree node";
    vec![
        ("tree_names_unsorted", tree, leaf(vec![file(b"b"), file(b"a")])),
        ("tree_name_twice", tree, leaf(vec![file(b"a"), file(b"a")])),
        ("tree_strings_unsorted", tree, strings(&["users", "root"])),
        ("tree_string_twice", tree, strings(&["root", "root"])),
        ("tree_sums_without_directory", tree, codec::encode(&dirs)),
        ("tree_too_many_entries", tree, leaf(many)),
        ("tree_level_zero", tree, inner(0, two())),
        ("tree_level_over_limit", tree, inner(9, two())),
        ("tree_no_children", tree, inner(1, Vec::new())),
        ("tree_children_unsorted", tree, inner(1, vec![child(b"b"), child(b"a")])),
    ]
}

fn lists() -> Vec<Fault> {
    let leaf = |refs| codec::encode(&ListNode::Leaf { refs });
    let inner = |level, children| codec::encode(&ListNode::Inner { level, children });
    let child = |bytes| ListChild { id: ChunkId([1; 32]), bytes };
    let list = "list node";
    vec![
        ("list_empty", list, leaf(Vec::new())),
        ("list_too_many_refs", list, leaf(vec![Ref::Hole { len: 1 }; 1025])),
        ("list_hole_empty", list, leaf(vec![Ref::Hole { len: 0 }])),
        ("list_lengths_overflow", list, leaf(vec![Ref::Hole { len: u64::MAX }; 2])),
        ("list_no_children", list, inner(1, Vec::new())),
        ("list_child_empty", list, inner(1, vec![child(1), child(0)])),
        ("list_level_zero", list, inner(0, vec![child(1), child(1)])),
        ("list_level_over_limit", list, inner(9, vec![child(1), child(1)])),
    ]
}

fn tombstones() -> Vec<Fault> {
    let spoilt = |spoil: fn(&mut Tombstone)| {
        let mut tombstone = full_tombstone();
        spoil(&mut tombstone);
        tombstone.encode()
    };
    let what = "tombstone structure";
    let extension = |tag| Extension { tag, bytes: Vec::new() };
    let twice =
        Tombstone { extensions: vec![extension(3), extension(3)], ..full_tombstone() }.encode();
    let critical = Tombstone { extensions: vec![extension(0x8000)], ..full_tombstone() }.encode();
    vec![
        ("tombstone_too_long", what, spoilt(|tombstone| tombstone.reason = "x".repeat(64 << 10))),
        (
            "tombstone_nanoseconds_out_of_range",
            what,
            spoilt(|tombstone| tombstone.forgotten.nanos = 1_000_000_000),
        ),
        ("tombstone_extension_twice", what, twice),
        ("tombstone_extension_critical", what, critical),
    ]
}

fn snapshots() -> Vec<Fault> {
    let with = |spoil: fn(&mut Snapshot)| {
        let mut snapshot = full_snapshot();
        spoil(&mut snapshot);
        snapshot.encode()
    };
    let what = "snapshot structure";
    let problem = SnapshotProblem { path: b"/x".to_vec(), kind: 1, message: String::new() };
    let from = |sources: &[&str]| {
        let sources = sources.iter().map(|source| source.as_bytes().to_vec()).collect();
        Snapshot { sources, ..full_snapshot() }.encode()
    };
    let many = Snapshot { problem_count: 2000, problems: vec![problem; 1001], ..full_snapshot() };
    let critical = |snapshot: &mut Snapshot| {
        snapshot.extensions = vec![Extension { tag: 0xffff, bytes: Vec::new() }]
    };
    vec![
        ("snapshot_sequence_zero", what, with(|snapshot| snapshot.sequence = 0)),
        (
            "snapshot_sequence_over_limit",
            what,
            with(|snapshot| snapshot.sequence = SEQUENCE_MAX + 1),
        ),
        ("snapshot_sources_unsorted", what, from(&["/srv/mail", "/home"])),
        ("snapshot_source_twice", what, from(&["/home", "/home"])),
        ("snapshot_source_relative", what, from(&["/home", "srv/mail"])),
        ("snapshot_first_with_previous", what, with(|snapshot| snapshot.sequence = 1)),
        ("snapshot_second_without_previous", what, with(|snapshot| snapshot.previous = None)),
        ("snapshot_tags_unsorted", what, with(|snapshot| snapshot.tags.swap(0, 1))),
        ("snapshot_extension_critical", what, with(critical)),
        (
            "snapshot_nanoseconds_out_of_range",
            what,
            with(|snapshot| snapshot.ended.nanos = 1_000_000_000),
        ),
        ("snapshot_problem_kind_unknown", what, with(|snapshot| snapshot.problems[0].kind = 4)),
        ("snapshot_more_problems_than_counted", what, with(|snapshot| snapshot.problem_count = 0)),
        ("snapshot_too_many_problems", what, many.encode()),
    ]
}

fn runs() -> Vec<Fault> {
    let with = |spoil: fn(&mut RunToc)| {
        let mut toc = run_toc();
        spoil(&mut toc);
        codec::encode(&toc)
    };
    let what = "index run table";
    vec![
        ("run_pack_twice", what, with(|toc| toc.packs[1].name = toc.packs[0].name)),
        ("run_fence_missing", what, with(|toc| toc.fences.truncate(1))),
        ("run_generation_over_limit", what, with(|toc| toc.generation = GENERATION_MAX + 1)),
        ("run_fence_too_many", what, with(|toc| toc.fences.push(u64::MAX))),
        (
            "run_fences_unsorted",
            what,
            with(|toc| {
                toc.data_records = 373;
                toc.fences = vec![2, 1, 3];
            }),
        ),
        (
            "run_fences_of_trees_unsorted",
            what,
            with(|toc| {
                toc.meta_records = 373;
                toc.fences = vec![1, 3, 2];
            }),
        ),
        // Both parts together would fit into the blocks that there are.
        (
            "run_parts_share_a_block",
            what,
            with(|toc| {
                toc.data_records = 371;
                toc.fences.truncate(1);
            }),
        ),
    ]
}

fn intents() -> Vec<Fault> {
    let with = |spoil: fn(&mut Intent)| {
        let mut intent = intent();
        spoil(&mut intent);
        intent.encode()
    };
    let what = "intent structure";
    let critical = |intent: &mut Intent| {
        intent.extensions = vec![Extension { tag: 0xffff, bytes: Vec::new() }]
    };
    vec![
        ("intent_packs_unsorted", what, with(|intent| intent.packs.swap(0, 1))),
        ("intent_pack_twice", what, with(|intent| intent.packs[1] = intent.packs[0])),
        (
            "intent_nanoseconds_out_of_range",
            what,
            with(|intent| intent.created.nanos = 1_000_000_000),
        ),
        ("intent_extension_critical", what, with(critical)),
        (
            "intent_extensions_unsorted",
            what,
            with(|intent| {
                intent.extensions = [2, 1].map(|tag| Extension { tag, bytes: Vec::new() }).to_vec()
            }),
        ),
    ]
}

fn generations() -> Vec<Fault> {
    let with = |spoil: fn(&mut Removal)| {
        let mut removal = removal();
        removal.snapshots.push(SnapshotId([0x5c; 16]));
        spoil(&mut removal);
        record(RecordContent::Go(removal)).encode()
    };
    let condemned = |oldest| {
        record(RecordContent::Condemned(Condemned { oldest, removal: removal() })).encode()
    };
    let zero = CollectorRecord { number: 0, ..record(RecordContent::Cancel) };
    let over = CollectorRecord { number: GENERATION_MAX + 1, ..record(RecordContent::Cancel) };
    let what = "collector record structure";
    vec![
        ("generation_packs_unsorted", what, with(|removal| removal.packs.swap(0, 1))),
        ("generation_pack_twice", what, with(|removal| removal.packs[1] = removal.packs[0])),
        ("generation_snapshots_unsorted", what, with(|removal| removal.snapshots.swap(0, 1))),
        ("generation_trims_itself", what, condemned(9)),
        ("generation_zero", what, zero.encode()),
        ("generation_over_limit", what, over.encode()),
    ]
}

fn words() -> Vec<Fault> {
    let abandon = "abandon ".repeat(23);
    vec![
        ("words_checksum_wrong", "words", format!("{abandon}zoo").into_bytes()),
        ("words_23", "words", abandon.into_bytes()),
        ("words_unknown", "words", format!("{}drumlin", "abandon ".repeat(23)).into_bytes()),
    ]
}

/// Faults of a mebibyte, which are not worth a file each.
#[test]
fn what_is_too_long_is_refused() {
    let entry = entry(|entry| entry.xattrs[0].value = vec![0; 1 << 20]);
    assert_eq!(
        judge("tree node", &entry).unwrap_err(),
        "malformed directory entry: longer than the limit"
    );
    let mut snapshot = full_snapshot();
    snapshot.problems[0].path = vec![b'p'; 1 << 20];
    let error = judge("snapshot structure", &snapshot.encode()).unwrap_err();
    assert_eq!(error, "malformed snapshot: more problems than it may list");
}
