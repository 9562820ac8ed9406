//! A container of each kind, cut containers, and key slots of each kind.

use drumlin::compress::SegmentDecompressor;
use drumlin::container::{
    ContainerBuilder, Opener, Sealed, Segment, SegmentBuilder, name_of, seal_single, walk,
};
use drumlin::crypto::slot::{Secret, Wrapping, slot_id, wrap};
use drumlin::format::codec;
use drumlin::format::container::{ChunkKind, ContainerKind, HEADER_LEN_BYTES, SegmentCodec};
use drumlin::format::entry::{Content, EntryKind, Ref, Timestamp};
use drumlin::format::generation::RecordContent;
use drumlin::format::limits::SEQUENCE_MAX;
use drumlin::format::node::{ListNode, Totals, TreeNode};
use drumlin::format::run::{PackClass, PackRef, RECORDS_PER_BLOCK, RunRecord, RunToc, fence_of};
use drumlin::format::slot::{Bundle, Slot, SlotInfo, SlotKdf};
use drumlin::format::snapshot::{CommitSlot, Snapshot};
use drumlin::format::tombstone::TombstoneSlot;
use drumlin::id::{ChunkId, ObjectId, encode_hex};
use zeroize::Zeroizing;

use super::codec::{config, full_snapshot, full_tombstone, intent, plain_entry, record, removal};
use super::decoders::{PASSPHRASE, judge};
use super::forge::zstd_of_repeats;
use super::text::Vector;

/// The randomness of every vector.
const RANDOM: [u8; 32] = [7; 32];

/// Adds a segment with these chunks, compressed (by hand) if it is one chunk of equal bytes.
fn push(builder: &mut ContainerBuilder, chunks: &[(ChunkKind, &[u8])]) {
    let mut segment = SegmentBuilder::new(Vec::new());
    for (kind, plaintext) in chunks {
        segment.push(*kind, super::keyring().ids().chunk_id(*kind, plaintext), plaintext);
    }
    let (raw, records) = segment.finish();
    let first = chunks[0].1;
    if chunks.len() == 1 && first.len() > 100 && first.iter().all(|byte| *byte == first[0]) {
        let body = zstd_of_repeats(first[0], first.len() as u32, &raw[first.len()..]);
        builder.push(SegmentCodec::Zstd, &body, raw.len(), records);
    } else {
        builder.push(SegmentCodec::Raw, &raw, raw.len(), records);
    }
}

fn pack(kind: ContainerKind, segments: &[&[(ChunkKind, &[u8])]]) -> Sealed {
    let mut builder = ContainerBuilder::new(kind, Vec::new());
    segments.iter().for_each(|chunks| push(&mut builder, chunks));
    builder.finish_pack(super::keyring().seal_packs(), &RANDOM)
}

fn data_pack() -> Sealed {
    let data = |text: &'static [u8]| (ChunkKind::Data, text);
    pack(
        ContainerKind::Data,
        &[
            &[data(b"Drumlin"), data(b"a hill of glacial till")],
            &[(ChunkKind::Data, &[b'z'; 5000])],
        ],
    )
}

fn meta_pack() -> Sealed {
    let entry = plain_entry(b"hill.txt", EntryKind::File, Content::Inline(b"Drumlin".to_vec()));
    let leaf = TreeNode::Leaf { strings: Vec::new(), entries: vec![entry], dir_totals: Vec::new() };
    let below = super::keyring().ids().chunk_id(ChunkKind::Tree, &leaf.encode());
    let dir = plain_entry(b"moraine", EntryKind::Dir, Content::Tree(below));
    let totals = Totals { files: 1, dirs: 0, bytes: 7 };
    let root = TreeNode::Leaf { strings: Vec::new(), entries: vec![dir], dir_totals: vec![totals] };
    let list = ListNode::Leaf { refs: vec![Ref::Hole { len: 1 << 20 }] };
    let (leaf, root, list) = (leaf.encode(), root.encode(), list.encode());
    pack(
        ContainerKind::Meta,
        &[&[(ChunkKind::Tree, &leaf), (ChunkKind::Tree, &root), (ChunkKind::List, &list)]],
    )
}

/// A run with one record more of each part than a block holds.
fn index_run() -> Sealed {
    let (blocks, toc) = run_parts(RECORDS_PER_BLOCK as u32 + 1);
    let mut builder = ContainerBuilder::new(ContainerKind::IndexRun, Vec::new());
    blocks.iter().for_each(|body| builder.push(SegmentCodec::Raw, body, body.len(), Vec::new()));
    builder.finish(super::keyring().records().seal(), &RANDOM, &codec::encode(&toc))
}

/// Returns the blocks of a run with so many records of each part, and its table.
pub fn run_parts(each: u32) -> (Vec<Vec<u8>>, RunToc) {
    let pack = |class, byte| PackRef {
        class,
        name: ObjectId([byte; 32]),
        len: 65_536,
        salt: [byte ^ 0xff; 32],
    };
    let mut toc = RunToc {
        data_records: u64::from(each),
        meta_records: u64::from(each),
        packs: vec![pack(PackClass::Data, 0x67), pack(PackClass::Meta, 0x68)],
        ..RunToc::default()
    };
    let mut blocks = Vec::new();
    for pack in 0..2 {
        let ids = (each * pack..each * (pack + 1))
            .map(|n| ChunkId(*blake3::hash(&n.to_le_bytes()).as_bytes()));
        let mut ids: Vec<ChunkId> = ids.collect();
        ids.sort();
        let offsets = (HEADER_LEN_BYTES as u32..).step_by(100);
        let place = |(id, offset): (&ChunkId, u32)| RunRecord {
            id: *id,
            pack,
            offset,
            stored_len: 100,
            chunk: 0,
        };
        let records: Vec<RunRecord> = ids.iter().zip(offsets).map(place).collect();
        for block in records.chunks(RECORDS_PER_BLOCK) {
            let mut body = Vec::new();
            block.iter().for_each(|record| record.encode_into(&mut body));
            toc.fences.push(fence_of(&block[0].id));
            blocks.push(body);
        }
    }
    (blocks, toc)
}

fn snapshot() -> Sealed {
    let signed = full_snapshot().encode();
    let signature = super::keyring().sign().sign_snapshot(&signed);
    let slot = codec::encode(&CommitSlot::Snapshot { signed, signature });
    seal_single(super::keyring().records().seal(), ContainerKind::Snapshot, &RANDOM, &slot)
}

fn mark(kind: ContainerKind) -> Sealed {
    let signed = full_tombstone().encode();
    let signature = match kind {
        ContainerKind::Protection => super::keyring().sign().sign_protection(&signed),
        _ => super::keyring().sign().sign_tombstone(&signed),
    };
    let slot = codec::encode(&TombstoneSlot { signed, signature });
    seal_single(super::keyring().records().seal(), kind, &RANDOM, &slot)
}

fn vector(what: &str, bytes: Vec<u8>) -> Vector {
    let name = name_of(&bytes).to_hex();
    Vector::new(bytes)
        .with("what", what)
        .with("expect", "accept")
        .with("master", encode_hex(&super::master()))
        .with("repository", super::REPOSITORY.to_hex())
        .with("blake3", name)
}

fn chunk_fields(mut vector: Vector, sealed: &Sealed) -> Vector {
    for chunk in sealed.toc.segments.iter().flat_map(|segment| &segment.chunks) {
        let kind = ["data", "tree", "list"][chunk.kind as usize];
        vector = vector.with("chunk", format!("{kind} {} {}", chunk.id, chunk.len));
    }
    vector
}

/// Compares a vector with its file, and takes the file through the decoders.
fn check(folder: &str, name: &str, vector: &Vector) {
    let file = format!("{folder}/{name}.txt");
    super::same_file(&file, &vector.print());
    let stored = Vector::parse(&std::fs::read_to_string(super::folder().join(&file)).unwrap());
    assert_eq!(stored, *vector);
    if let Err(error) = judge(stored.field("what"), &stored.bytes) {
        panic!("{file} is refused: {error}");
    }
}

#[test]
fn containers_are_frozen() {
    let (data, meta) = (data_pack(), meta_pack());
    check("containers", "data", &chunk_fields(vector("data pack", data.bytes.clone()), &data));
    check("containers", "meta", &chunk_fields(vector("meta pack", meta.bytes.clone()), &meta));
    check("containers", "index_run", &vector("index run", index_run().bytes));
    check("containers", "snapshot", &vector("snapshot", snapshot().bytes));
    let aborted = codec::encode(&CommitSlot::Aborted);
    let aborted =
        seal_single(super::keyring().records().seal(), ContainerKind::Snapshot, &RANDOM, &aborted);
    check("containers", "snapshot_aborted", &vector("snapshot", aborted.bytes));
    check("containers", "tombstone", &vector("tombstone", mark(ContainerKind::Tombstone).bytes));
    check("containers", "protection", &vector("protection", mark(ContainerKind::Protection).bytes));
    let intent = seal_single(
        super::keyring().records().seal(),
        ContainerKind::Intent,
        &RANDOM,
        &intent().encode(),
    );
    check("containers", "intent", &vector("intent", intent.bytes));
    let go = record(RecordContent::Go(removal())).encode();
    let go = seal_single(
        super::keyring().records().seal(),
        ContainerKind::CollectorRecord,
        &RANDOM,
        &go,
    );
    check("containers", "verdict", &vector("collector record", go.bytes));
    let config = seal_single(
        super::keyring().records().seal(),
        ContainerKind::Config,
        &RANDOM,
        &config().encode(),
    );
    check("containers", "config", &vector("config", config.bytes));
}

/// What looks odd, or reaches a limit, is taken by every reader.
#[test]
fn what_is_odd_and_sound_is_accepted() {
    let last = Snapshot { sequence: SEQUENCE_MAX, ..full_snapshot() };
    check("accept", "snapshot_sequence_highest", &vector("snapshot structure", last.encode()));
    for (name, bytes) in super::directories::sound() {
        check("accept", name, &vector("directory", bytes));
    }
}

#[test]
fn a_container_cut_anywhere_yields_every_complete_segment() {
    let keyring = super::keyring();
    let sealed = data_pack();
    let ends: Vec<usize> = sealed
        .toc
        .segments
        .iter()
        .scan(HEADER_LEN_BYTES, |end, segment| {
            *end += segment.stored_len as usize;
            Some(*end)
        })
        .collect();
    for len in HEADER_LEN_BYTES..=sealed.bytes.len() {
        let cut = &sealed.bytes[..len];
        let opener = Opener::from_header(keyring.open_packs(), ContainerKind::Data, cut).unwrap();
        let whole = walk(&opener, cut)
            .filter_map(|walked| walked.raw.ok())
            .map(|raw| Segment::parse(raw).unwrap());
        let found: Vec<usize> = whole.map(|segment| segment.chunks().len()).collect();
        let complete = ends.iter().filter(|end| **end <= len).count();
        assert_eq!(found, [2, 1][..complete], "cut at {len}");
        assert_eq!(opener.pack_toc(cut).is_ok(), len == sealed.bytes.len(), "cut at {len}");
    }
}

#[test]
fn a_segment_opens_with_the_salt_alone() {
    let sealed = data_pack();
    let opener =
        Opener::from_salt(super::keyring().open_packs(), ContainerKind::Data, &sealed.salt);
    let offset = HEADER_LEN_BYTES + sealed.toc.segments[0].stored_len as usize;
    let mut stored = sealed.bytes[offset..].to_vec();
    let mut raw = Vec::new();
    opener
        .segment(offset as u64, &mut stored, &mut SegmentDecompressor::default(), &mut raw)
        .unwrap();
    assert_eq!(Segment::parse(raw).unwrap().chunk(0), Some((ChunkKind::Data, &[b'z'; 5000][..])));
}

/// Returns the slots of the vectors: one for each kind of secret.
pub fn slots() -> [(&'static str, Slot); 2] {
    let bundle = Bundle::Full { master: super::master() };
    let info = SlotInfo {
        label: "laptop".to_string(),
        created: Timestamp { seconds: 1_772_323_200, nanos: 0 },
    };
    let make = |secret: Secret, kdf, salt| {
        let wrapping = Wrapping { secret: &secret, kdf, salt: [salt; 32] };
        wrap(super::keyring().slots(), &bundle, &info, &wrapping).unwrap()
    };
    let kdf = SlotKdf::Passphrase { memory_kib: 256, passes: 2, lanes: 2 };
    [
        ("passphrase", make(Secret::Passphrase(Zeroizing::new(PASSPHRASE.to_string())), kdf, 0x31)),
        (
            "key_file",
            make(Secret::KeyFile(Zeroizing::new(super::master())), SlotKdf::KeyFile, 0x32),
        ),
    ]
}

#[test]
fn key_slots_are_frozen() {
    for (name, slot) in slots() {
        let secret = if name == "passphrase" {
            PASSPHRASE.to_string()
        } else {
            encode_hex(&super::master())
        };
        let vector = vector("key slot", slot.encode())
            .with("secret", secret)
            .with("slot id", slot_id(&slot).to_hex());
        check("slots", name, &vector);
    }
}
