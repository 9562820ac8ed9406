//! Containers and slots that must be refused, each for the one fault that its name tells.

use drumlin::crypto::keyring::Keyring;
use drumlin::format::codec;
use drumlin::format::config::Config;
use drumlin::format::container::{ChunkKind, ContainerKind, SegmentCodec};
use drumlin::format::entry::{Extension, Timestamp};
use drumlin::format::run::{RECORD_LEN_BYTES, RunToc, record_at};
use drumlin::format::snapshot::{CommitSlot, Snapshot};
use drumlin::format::tombstone::{Tombstone, TombstoneSlot};

use super::codec::{config, full_snapshot, full_tombstone};
use super::containers::run_parts;
use super::decoders::judge;
use super::faults_slots::key_slots;
use super::forge::{Forge, raw_segment, raw_segment_of, zstd_by_hand, zstd_of_repeats};
use super::text::Vector;

/// A name, what the file claims to be, and its bytes.
pub type Fault = (&'static str, &'static str, Vec<u8>);

fn config_with(spoil: impl FnOnce(&mut Forge)) -> Vec<u8> {
    let mut forge = Forge::single(ContainerKind::Config, &config().encode());
    spoil(&mut forge);
    forge.seal()
}

fn pack_with(spoil: impl FnOnce(&mut Forge)) -> Vec<u8> {
    let mut forge = Forge::pack();
    spoil(&mut forge);
    forge.seal()
}

fn headers() -> Vec<Fault> {
    let with = |at: usize, byte: u8| config_with(|forge| forge.header[at] = byte);
    let mut salt = config_with(|_| {});
    salt[32] ^= 1;
    vec![
        ("header_magic_unknown", "config", with(0, 0x92)),
        ("header_major_unknown", "config", with(8, 9)),
        ("header_minor_unknown", "config", with(9, 0xff)),
        ("header_kind_unknown", "config", with(10, 10)),
        ("header_kind_of_another_place", "snapshot", slot_in_a_config()),
        ("header_suite_unknown", "config", with(11, 2)),
        ("header_flag_unknown", "config", with(12, 1)),
        ("header_critical_flag_unknown", "config", with(14, 1)),
        ("header_of_another_repository", "config", with(16, 0)),
        ("header_commitment_of_another_key", "config", with(64, 0)),
        ("header_salt_changed", "config", salt),
        ("header_reserved_not_zero", "config", with(127, 1)),
        ("header_cut", "config", config_with(|_| {})[..127].to_vec()),
    ]
}

/// A sound commit slot in a container that says that it holds a config.
fn slot_in_a_config() -> Vec<u8> {
    Forge::single(ContainerKind::Config, &codec::encode(&CommitSlot::Aborted)).seal()
}

/// A config that ends with so many equal bytes, and its bytes up to these.
fn long_config(repeats: u32) -> (Config, Vec<u8>) {
    let bytes = vec![b'a'; repeats as usize];
    let config = Config { extensions: vec![Extension { tag: 1, bytes }], ..config() };
    let mut head = config.encode();
    head.truncate(head.len() - repeats as usize);
    (config, head)
}

/// A config whose one segment has this body, which is said to decompress to its bytes and `more`.
fn compressed_config(repeats: u32, more: isize, body: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (config, head) = long_config(repeats);
    let mut forge = Forge::new(ContainerKind::Config);
    let raw_len = config.encode().len().strict_add_signed(more);
    forge.push(SegmentCodec::Zstd, &body(&head), raw_len, 0);
    forge.seal()
}

/// A frame's header without a length, with a window of 8 MiB.
const ZSTD_PLAIN: &[u8] = &[0, 13 << 3];

/// A config compressed under a zstd header of one's own.
fn config_under(header: &'static [u8]) -> Vec<u8> {
    compressed_config(1000, 0, |head| zstd_by_hand(header, head, (b'a', 1000), b""))
}

fn zstd_frames() -> Vec<Fault> {
    let body = |head: &[u8]| zstd_by_hand(ZSTD_PLAIN, head, (b'a', 1000), b"");
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    let what = "config";
    assert_eq!(judge(what, &config_under(ZSTD_PLAIN)), Ok(()));
    assert_eq!(
        judge(what, &config_under(&[0b1000_0000, 13 << 3, 0x16, 4, 0, 0])),
        Ok(()),
        "with its length"
    );
    let checked = |sum: [u8; 4]| {
        compressed_config(1000, 0, |head| {
            [zstd_by_hand(&[0b100, 13 << 3], head, (b'a', 1000), b""), sum.to_vec()].concat()
        })
    };
    vec![
        ("segment_zstd_shorter_than_stated", what, compressed_config(1000, 1, body)),
        ("segment_zstd_longer_than_stated", what, compressed_config(1000, -1, body)),
        (
            "segment_zstd_two_frames",
            what,
            compressed_config(1000, 0, |head| [body(head), zstd_of_repeats(b'a', 0, b"")].concat()),
        ),
        (
            "segment_zstd_cut",
            what,
            compressed_config(1000, 0, |head| body(head)[..body(head).len() - 1].to_vec()),
        ),
        (
            "segment_zstd_skippable_before",
            what,
            compressed_config(1000, 0, |head| [&skippable[..], &body(head)].concat()),
        ),
        (
            "segment_zstd_skippable_behind",
            what,
            compressed_config(1000, 0, |head| [&body(head)[..], &skippable].concat()),
        ),
        ("segment_zstd_dictionary", what, config_under(&[0b1, 13 << 3, 0])),
        ("segment_zstd_window_over_limit", what, config_under(&[0, 13 << 3 | 1])),
        (
            "segment_zstd_content_size_differs",
            what,
            config_under(&[0b1000_0000, 13 << 3, 0x17, 4, 0, 0]),
        ),
        ("segment_zstd_checksum_wrong", what, checked([0; 4])),
        ("frame_zstd_not_shorter", what, {
            let plain = config().encode();
            let mut forge = Forge::new(ContainerKind::Config);
            forge.push(
                SegmentCodec::Zstd,
                &zstd_by_hand(ZSTD_PLAIN, &plain, (0, 0), b""),
                plain.len(),
                0,
            );
            forge.seal()
        }),
        ("frame_raw_length_over_limit", what, {
            compressed_config(8 << 20, 0, |head| {
                zstd_by_hand(ZSTD_PLAIN, head, (b'a', 8 << 20), b"")
            })
        }),
    ]
}

fn frames() -> Vec<Fault> {
    let frame_byte = |at: usize, byte: u8| pack_with(|forge| forge.segments[0].0[at] = byte);
    let only_frame_byte = |at: usize, byte: u8| config_with(|forge| forge.segments[0].0[at] = byte);
    let plain = config().encode();
    let longer = || {
        let mut forge = Forge::new(ContainerKind::Config);
        forge.push(SegmentCodec::Raw, &[&plain[..], &[0]].concat(), plain.len(), 0);
        forge.seal()
    };
    vec![
        ("frame_codec_unknown", "data pack", frame_byte(12, 2)),
        ("frame_reserved_not_zero", "data pack", frame_byte(31, 1)),
        ("frame_chunk_count_over_limit", "data pack", frame_byte(11, 1)),
        ("frame_body_longer_than_raw", "config", longer()),
        ("frame_raw_length_differs", "config", only_frame_byte(4, 200)),
        ("frame_chunk_count_differs", "data pack", frame_byte(8, 3)),
        (
            "frame_empty_segment",
            "config",
            config_with(|forge| forge.segments[0] = (vec![0; 32], Vec::new())),
        ),
    ]
}

fn segments() -> Vec<Fault> {
    let raw = raw_segment(&[&[b'a'; 1000]]);
    let with_body = |raw_len: usize, body: &[u8]| {
        let mut forge = Forge::new(ContainerKind::Data);
        forge.push(SegmentCodec::Zstd, body, raw_len, 1);
        forge.toc = codec::encode(&forge.pack_toc(&[&[&[b'a'; 1000]]]));
        forge.trailer = |trailer| trailer[24..26].copy_from_slice(&1009u16.to_le_bytes());
        forge.seal()
    };
    let mut swapped = Forge::pack().seal();
    let (first, second) =
        (Forge::pack().segments[0].1.len() + 64, Forge::pack().segments[1].1.len() + 64);
    swapped[128..128 + first + second].rotate_left(first);
    let mut flipped = Forge::pack().seal();
    flipped[128 + 48] ^= 1;
    vec![
        ("segment_not_zstd", "data pack", with_body(raw.len(), b"no zstd frame")),
        ("segment_swapped", "data pack", swapped),
        ("segment_body_flipped", "data pack", flipped),
        ("segment_table_longer_than_segment", "segment", vec![0xff, 0xff, 0, 0]),
        ("segment_without_chunks", "segment", raw_segment(&[])),
        ("segment_chunk_empty", "segment", raw_segment(&[b"a", b""])),
        ("segment_chunks_overrun", "segment", [&raw_segment(&[b"abc"])[1..]].concat()),
        ("segment_chunks_do_not_fill", "segment", [b"x", &raw_segment(&[b"abc"])[..]].concat()),
        ("segment_too_short", "segment", vec![0, 0, 0]),
    ]
}

fn tocs() -> Vec<Fault> {
    let chunks: &[&[&[u8]]] = &[&[b"first chunk", b"second"], &[&[b'a'; 1000]]];
    let with_toc = |spoil: fn(&mut drumlin::format::container::PackToc)| {
        pack_with(|forge| {
            let mut toc = forge.pack_toc(chunks);
            spoil(&mut toc);
            forge.toc = codec::encode(&toc);
        })
    };
    let trailer = |spoil: fn(&mut Vec<u8>)| pack_with(|forge| forge.trailer = spoil);
    let cut = |by: usize| {
        let whole = Forge::pack().seal();
        whole[..whole.len() - by].to_vec()
    };
    vec![
        ("toc_padding_not_zero", "data pack", pack_with(|forge| forge.padding[3] = 1)),
        ("toc_trailing_byte", "data pack", pack_with(|forge| forge.toc.push(0))),
        ("toc_segment_missing", "data pack", with_toc(|toc| drop(toc.segments.pop()))),
        (
            "toc_segment_length_differs",
            "data pack",
            with_toc(|toc| toc.segments[0].stored_len += 1),
        ),
        ("toc_segment_without_chunks", "data pack", pack_of(ChunkKind::Data, &[])),
        ("toc_chunk_empty", "data pack", pack_of(ChunkKind::Data, &[b"a chunk", b""])),
        ("toc_chunk_kind_foreign", "data pack", pack_of(ChunkKind::Tree, &[b"a chunk"])),
        ("toc_chunk_id_wrong", "data pack", with_toc(|toc| toc.segments[0].chunks[0].id.0[0] ^= 1)),
        ("toc_chunks_exchanged", "data pack", with_toc(|toc| toc.segments[0].chunks.swap(0, 1))),
        ("trailer_reserved_not_zero", "data pack", trailer(|bytes| bytes[20] = 1)),
        ("trailer_end_reserved_not_zero", "data pack", trailer(|bytes| bytes[47] = 1)),
        ("trailer_offset_wrong", "data pack", trailer(|bytes| bytes[0] ^= 1)),
        ("trailer_offset_overflows", "data pack", trailer(|bytes| bytes[..8].fill(0xff))),
        (
            "trailer_padding_length_wrong",
            "data pack",
            trailer(|bytes| (bytes[8], bytes[12]) = (bytes[8] - 1, bytes[12] + 1)),
        ),
        ("trailer_segment_count_wrong", "data pack", trailer(|bytes| bytes[16] = 3)),
        ("trailer_raw_total_wrong", "data pack", trailer(|bytes| bytes[24] ^= 1)),
        ("container_cut_by_one_byte", "data pack", cut(1)),
        ("container_without_trailer", "data pack", cut(64)),
        ("container_with_a_byte_behind", "data pack", [Forge::pack().seal(), vec![0]].concat()),
        (
            "single_with_two_segments",
            "config",
            config_with(|forge| forge.segments.push(forge.segments[0].clone())),
        ),
        ("single_with_table_of_contents", "config", config_with(|forge| forge.toc = vec![0])),
        (
            "single_raw_total_wrong",
            "config",
            config_with(|forge| forge.trailer = |trailer| trailer[24] ^= 1),
        ),
        ("single_with_chunks", "config", config_with(|forge| forge.segments[0].0[8] = 1)),
    ]
}

/// A data pack of one segment, whose table and table of contents agree.
fn pack_of(kind: ChunkKind, chunks: &[&[u8]]) -> Vec<u8> {
    let mut forge = Forge::new(ContainerKind::Data);
    let raw = raw_segment_of(kind, chunks);
    forge.push(SegmentCodec::Raw, &raw, raw.len(), chunks.len() as u32);
    forge.toc = codec::encode(&forge.pack_toc_of(kind, &[chunks]));
    forge.seal()
}

/// A run of two blocks with three records each.
fn run_with(spoil: impl FnOnce(&mut Vec<Vec<u8>>, &mut RunToc)) -> Forge {
    let (mut blocks, mut toc) = run_parts(3);
    spoil(&mut blocks, &mut toc);
    let mut forge = Forge::new(ContainerKind::IndexRun);
    blocks.iter().for_each(|body| forge.push(SegmentCodec::Raw, body, body.len(), 0));
    forge.toc = codec::encode(&toc);
    forge
}

fn runs() -> Vec<Fault> {
    let block = |spoil: fn(&mut Vec<Vec<u8>>)| run_with(|blocks, _| spoil(blocks)).seal();
    let trailer = |spoil: fn(&mut Vec<u8>)| Forge { trailer: spoil, ..run_with(|_, _| {}) }.seal();
    let move_record = |blocks: &mut Vec<Vec<u8>>| {
        let moved = blocks[0].split_off(2 * RECORD_LEN_BYTES);
        blocks[1].splice(..0, moved);
    };
    assert_eq!(judge("index run", &run_with(|_, _| {}).seal()), Ok(()));
    let mut with_chunks = run_with(|_, _| {});
    with_chunks.segments[1].0[8] = 1;
    vec![
        (
            "run_record_of_trees_in_the_first_part",
            "index run",
            block(|blocks| blocks[0][record_at::PACK] = 1),
        ),
        (
            "run_record_of_content_in_the_second_part",
            "index run",
            block(|blocks| blocks[1][record_at::PACK] = 0),
        ),
        ("run_pack_not_in_the_table", "index run", block(|blocks| blocks[0][record_at::PACK] = 2)),
        (
            "run_records_unsorted",
            "index run",
            block(|blocks| blocks[1][RECORD_LEN_BYTES..].rotate_left(RECORD_LEN_BYTES)),
        ),
        (
            "run_record_twice",
            "index run",
            block(|blocks| blocks[0].copy_within(..RECORD_LEN_BYTES, RECORD_LEN_BYTES)),
        ),
        ("run_fence_of_another_id", "index run", run_with(|_, toc| toc.fences[1] ^= 1).seal()),
        ("run_block_missing", "index run", run_with(|blocks, _| blocks.truncate(1)).seal()),
        ("run_block_with_chunks", "index run", with_chunks.seal()),
        ("run_blocks_cut_elsewhere", "index run", block(move_record)),
        (
            "run_parts_exchanged",
            "index run",
            run_with(|blocks, toc| {
                blocks.swap(0, 1);
                toc.fences.swap(0, 1);
            })
            .seal(),
        ),
        ("run_segment_count_wrong", "index run", trailer(|bytes| bytes[16] = 3)),
        ("run_raw_total_wrong", "index run", trailer(|bytes| bytes[24] ^= 1)),
    ]
}

/// Another's keys, of the same repository.
fn another() -> Keyring {
    Keyring::new(&[0x99; 32], super::REPOSITORY)
}

fn snapshot_with(spoil: impl FnOnce(&mut Snapshot, &mut [u8; 64])) -> Vec<u8> {
    let mut snapshot = full_snapshot();
    let mut signature = super::keyring().sign().sign_snapshot(&snapshot.encode());
    spoil(&mut snapshot, &mut signature);
    let slot = codec::encode(&CommitSlot::Snapshot { signed: snapshot.encode(), signature });
    Forge::single(ContainerKind::Snapshot, &slot).seal()
}

fn tombstone_with(spoil: impl FnOnce(&mut Tombstone, &mut [u8; 64])) -> Vec<u8> {
    let mut tombstone = full_tombstone();
    let mut signature = super::keyring().sign().sign_tombstone(&tombstone.encode());
    spoil(&mut tombstone, &mut signature);
    let slot = codec::encode(&TombstoneSlot { signed: tombstone.encode(), signature });
    Forge::single(ContainerKind::Tombstone, &slot).seal()
}

fn signatures() -> Vec<Fault> {
    vec![
        (
            "tombstone_signature_flipped",
            "tombstone",
            tombstone_with(|_, signature| signature[0] ^= 1),
        ),
        (
            "tombstone_changed_after_signing",
            "tombstone",
            tombstone_with(|tombstone, _| tombstone.snapshot.0[0] ^= 1),
        ),
        (
            "tombstone_of_another_writer",
            "tombstone",
            tombstone_with(|tombstone, signature| {
                tombstone.writer = another().sign().public();
                *signature = another().sign().sign_tombstone(&tombstone.encode());
            }),
        ),
        (
            "tombstone_as_a_protection",
            "protection",
            tombstone_with(|tombstone, signature| {
                *signature = super::keyring().sign().sign_protection(&tombstone.encode())
            }),
        ),
        ("protection_signed_as_a_tombstone", "protection", {
            let signature = super::keyring().sign().sign_tombstone(&full_tombstone().encode());
            let slot =
                codec::encode(&TombstoneSlot { signed: full_tombstone().encode(), signature });
            Forge::single(ContainerKind::Protection, &slot).seal()
        }),
        (
            "tombstone_signed_as_a_snapshot",
            "tombstone",
            tombstone_with(|tombstone, signature| {
                *signature = super::keyring().sign().sign_snapshot(&tombstone.encode())
            }),
        ),
        ("snapshot_signature_flipped", "snapshot", snapshot_with(|_, signature| signature[0] ^= 1)),
        (
            "snapshot_changed_after_signing",
            "snapshot",
            snapshot_with(|snapshot, _| snapshot.host.push('x')),
        ),
        (
            "snapshot_of_another_writer",
            "snapshot",
            snapshot_with(|snapshot, signature| {
                snapshot.writer = another().sign().public();
                *signature = another().sign().sign_snapshot(&snapshot.encode());
            }),
        ),
    ]
}

fn configs() -> Vec<Fault> {
    let with = |spoil: fn(&mut drumlin::format::config::Config)| {
        let mut config = config();
        spoil(&mut config);
        config.encode()
    };
    vec![
        ("config_feature_unknown", "config structure", with(|config| config.read_critical = 1)),
        ("config_number_zero", "config structure", with(|config| config.number = 0)),
        (
            "config_time_impossible",
            "config structure",
            with(|config| config.created = Timestamp { seconds: 0, nanos: 1 << 30 }),
        ),
    ]
}

#[test]
fn every_fault_is_refused_for_its_own_reason() {
    let mut faults: Vec<Fault> = [
        headers(),
        frames(),
        zstd_frames(),
        segments(),
        tocs(),
        runs(),
        signatures(),
        key_slots(),
        configs(),
    ]
    .concat();
    faults.extend(super::faults_structures::faults());
    faults.extend(super::directories::faults());
    assert!(faults.len() >= 30);
    let mut written = std::collections::BTreeSet::new();
    for (name, what, bytes) in faults {
        let error = judge(what, &bytes).expect_err(name);
        let vector =
            Vector::new(bytes).with("what", what).with("expect", "refuse").with("error", error);
        let file = format!("refuse/{name}.txt");
        super::same_file(&file, &vector.print());
        let stored = Vector::parse(&std::fs::read_to_string(super::folder().join(&file)).unwrap());
        assert_eq!(
            judge(stored.field("what"), &stored.bytes).unwrap_err(),
            stored.field("error"),
            "{name}"
        );
        assert!(written.insert(format!("{name}.txt")), "{name} stands twice");
    }
    let there = std::fs::read_dir(super::folder().join("refuse")).unwrap();
    let there: std::collections::BTreeSet<String> =
        there.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, written, "the folder holds exactly these vectors");
}
