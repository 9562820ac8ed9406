//! Containers and slots that must be refused, each for the one fault that its name tells.

use drumlin::format::codec;
use drumlin::format::container::{ChunkKind, ContainerKind, SegmentCodec};
use drumlin::format::entry::Timestamp;
use drumlin::format::run::{RECORD_LEN_BYTES, RunToc, record_at};
use drumlin::format::slot::SlotKdf;
use drumlin::format::snapshot::{CommitSlot, Snapshot};
use drumlin::format::tombstone::{Tombstone, TombstoneSlot};

use super::codec::{config, full_snapshot, full_tombstone};
use super::containers::{run_parts, slots};
use super::forge::{Forge, raw_segment, zstd_of_repeats};
use super::judge::judge;
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
        ("header_kind_of_another_place", "snapshot", config_with(|_| {})),
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

fn frames() -> Vec<Fault> {
    let frame_byte = |at: usize, byte: u8| pack_with(|forge| forge.segments[0].0[at] = byte);
    let only_frame_byte = |at: usize, byte: u8| config_with(|forge| forge.segments[0].0[at] = byte);
    vec![
        ("frame_codec_unknown", "data pack", frame_byte(12, 2)),
        ("frame_reserved_not_zero", "data pack", frame_byte(31, 1)),
        ("frame_raw_length_over_limit", "config", only_frame_byte(7, 1)),
        ("frame_chunk_count_over_limit", "data pack", frame_byte(11, 1)),
        ("frame_body_longer_than_raw", "data pack", frame_byte(1, 1)),
        ("frame_raw_length_differs", "config", only_frame_byte(4, 200)),
        ("frame_chunk_count_differs", "data pack", frame_byte(8, 3)),
        ("frame_empty_segment", "config", config_with(|forge| forge.segments[0] = (vec![0; 32], Vec::new()))),
        ("frame_zstd_not_shorter", "config", only_frame_byte(12, 1)),
    ]
}

fn segments() -> Vec<Fault> {
    let raw = raw_segment(&[&[b'a'; 1000]]);
    let body = zstd_of_repeats(b'a', 1000, &raw[1000..]);
    let with_body = |raw_len: usize, body: &[u8]| {
        let mut forge = Forge::new(ContainerKind::Data);
        forge.push(SegmentCodec::Zstd, body, raw_len, 1);
        forge.toc = codec::encode(&forge.pack_toc(&[&[&[b'a'; 1000]]]));
        forge.trailer = |trailer| trailer[24..26].copy_from_slice(&1009u16.to_le_bytes());
        forge.seal()
    };
    let mut swapped = Forge::pack().seal();
    let (first, second) = (Forge::pack().segments[0].1.len() + 64, Forge::pack().segments[1].1.len() + 64);
    swapped[128..128 + first + second].rotate_left(first);
    let mut flipped = Forge::pack().seal();
    flipped[128 + 48] ^= 1;
    vec![
        ("segment_zstd_shorter_than_stated", "data pack", with_body(raw.len() + 1, &body)),
        ("segment_zstd_longer_than_stated", "data pack", with_body(raw.len() - 1, &body)),
        ("segment_zstd_two_frames", "data pack", with_body(raw.len(), &[&body[..], &zstd_of_repeats(b'a', 0, b"")].concat())),
        ("segment_zstd_cut", "data pack", with_body(raw.len(), &body[..body.len() - 1])),
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
        ("toc_segment_length_differs", "data pack", with_toc(|toc| toc.segments[0].stored_len += 1)),
        ("toc_segment_without_chunks", "data pack", with_toc(|toc| toc.segments[0].chunks.clear())),
        ("toc_chunk_empty", "data pack", with_toc(|toc| toc.segments[0].chunks[0].len = 0)),
        ("toc_chunk_kind_foreign", "data pack", with_toc(|toc| toc.segments[0].chunks[0].kind = ChunkKind::Tree)),
        ("toc_chunk_id_wrong", "data pack", with_toc(|toc| toc.segments[0].chunks[0].id.0[0] ^= 1)),
        ("toc_chunks_exchanged", "data pack", with_toc(|toc| toc.segments[0].chunks.swap(0, 1))),
        ("trailer_reserved_not_zero", "data pack", trailer(|bytes| bytes[20] = 1)),
        ("trailer_end_reserved_not_zero", "data pack", trailer(|bytes| bytes[47] = 1)),
        ("trailer_offset_wrong", "data pack", trailer(|bytes| bytes[0] ^= 1)),
        ("trailer_offset_overflows", "data pack", trailer(|bytes| bytes[..8].fill(0xff))),
        ("trailer_padding_length_wrong", "data pack", trailer(|bytes| (bytes[8], bytes[12]) = (bytes[8] - 1, bytes[12] + 1))),
        ("trailer_segment_count_wrong", "data pack", trailer(|bytes| bytes[16] = 3)),
        ("trailer_raw_total_wrong", "data pack", trailer(|bytes| bytes[24] ^= 1)),
        ("container_cut_by_one_byte", "data pack", cut(1)),
        ("container_without_trailer", "data pack", cut(64)),
        ("container_with_a_byte_behind", "data pack", [Forge::pack().seal(), vec![0]].concat()),
        ("single_with_two_segments", "config", config_with(|forge| forge.segments.push(forge.segments[0].clone()))),
        ("single_with_table_of_contents", "config", config_with(|forge| forge.toc = vec![0])),
        ("single_raw_total_wrong", "config", config_with(|forge| forge.trailer = |trailer| trailer[24] ^= 1)),
        ("single_with_chunks", "config", config_with(|forge| forge.segments[0].0[8] = 1)),
    ]
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
    vec![
        ("run_record_of_trees_in_the_first_part", "index run", block(|blocks| blocks[0][record_at::PACK] = 1)),
        ("run_record_of_content_in_the_second_part", "index run", block(|blocks| blocks[1][record_at::PACK] = 0)),
        ("run_pack_not_in_the_table", "index run", block(|blocks| blocks[0][record_at::PACK] = 2)),
        ("run_records_unsorted", "index run", block(|blocks| blocks[1].rotate_left(RECORD_LEN_BYTES))),
        ("run_record_twice", "index run", block(|blocks| blocks[0].copy_within(..RECORD_LEN_BYTES, RECORD_LEN_BYTES))),
        ("run_fence_of_another_id", "index run", run_with(|_, toc| toc.fences[1] ^= 1).seal()),
        ("run_block_missing", "index run", run_with(|blocks, _| blocks.truncate(1)).seal()),
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

fn snapshot_with(spoil: impl FnOnce(&mut Snapshot, &mut [u8; 64])) -> Vec<u8> {
    let mut snapshot = full_snapshot();
    let mut signature = super::keyring().sign_snapshot(&snapshot.encode());
    spoil(&mut snapshot, &mut signature);
    let slot = codec::encode(&CommitSlot::Snapshot { signed: snapshot.encode(), signature });
    Forge::single(ContainerKind::Snapshot, &slot).seal()
}

fn tombstone_with(spoil: impl FnOnce(&mut Tombstone, &mut [u8; 64])) -> Vec<u8> {
    let mut tombstone = full_tombstone();
    let mut signature = super::keyring().sign_tombstone(&tombstone.encode());
    spoil(&mut tombstone, &mut signature);
    let slot = codec::encode(&TombstoneSlot { signed: tombstone.encode(), signature });
    Forge::single(ContainerKind::Tombstone, &slot).seal()
}

fn signatures() -> Vec<Fault> {
    vec![
        ("tombstone_signature_flipped", "tombstone", tombstone_with(|_, signature| signature[0] ^= 1)),
        ("tombstone_changed_after_signing", "tombstone", tombstone_with(|tombstone, _| tombstone.snapshot.0[0] ^= 1)),
        ("tombstone_of_another_writer", "tombstone", tombstone_with(|tombstone, _| tombstone.writer = [9; 32])),
        ("tombstone_as_a_protection", "protection", tombstone_with(|_, _| {})),
        (
            "tombstone_signed_as_a_snapshot",
            "tombstone",
            tombstone_with(|tombstone, signature| *signature = super::keyring().sign_snapshot(&tombstone.encode())),
        ),
        ("snapshot_signature_flipped", "snapshot", snapshot_with(|_, signature| signature[0] ^= 1)),
        ("snapshot_changed_after_signing", "snapshot", snapshot_with(|snapshot, _| snapshot.host.push('x'))),
        ("snapshot_of_another_writer", "snapshot", snapshot_with(|snapshot, _| snapshot.writer = [9; 32])),
    ]
}

fn key_slots() -> Vec<Fault> {
    let [(_, passphrase), (_, key_file)] = slots();
    let with_kdf = |memory_kib, passes, lanes| {
        let mut slot = passphrase.clone();
        slot.kdf = SlotKdf::Passphrase { memory_kib, passes, lanes };
        slot.encode()
    };
    let spoilt = |spoil: fn(&mut drumlin::format::slot::Slot)| {
        let mut slot = key_file.clone();
        spoil(&mut slot);
        slot.encode()
    };
    let byte = |at: usize, byte: u8| {
        let mut bytes = key_file.encode();
        bytes[at] = byte;
        bytes
    };
    vec![
        ("slot_magic_unknown", "key slot", byte(3, b'X')),
        ("slot_version_unknown", "key slot", byte(9, 7)),
        ("slot_kdf_unknown", "key slot", byte(26, 2)),
        ("slot_memory_over_limit", "key slot", with_kdf((4 << 20) + 1, 1, 1)),
        ("slot_memory_too_small_for_lanes", "key slot", with_kdf(31, 1, 4)),
        ("slot_passes_over_limit", "key slot", with_kdf(256, 65, 1)),
        ("slot_passes_zero", "key slot", with_kdf(256, 0, 1)),
        ("slot_lanes_over_limit", "key slot", with_kdf(256, 1, 17)),
        ("slot_parameters_changed", "key slot", with_kdf(256, 1, 2)),
        ("slot_commitment_changed", "key slot", spoilt(|slot| slot.commitment[0] ^= 1)),
        ("slot_salt_changed", "key slot", spoilt(|slot| slot.salt[0] ^= 1)),
        ("slot_of_another_repository", "key slot", spoilt(|slot| slot.repository.0[0] ^= 1)),
        ("slot_bundle_flipped", "key slot", spoilt(|slot| slot.sealed_bundle[0] ^= 1)),
        ("slot_info_flipped", "key slot", spoilt(|slot| slot.sealed_info[0] ^= 1)),
        ("slot_too_long", "key slot", [key_file.encode(), vec![0; 64 << 10]].concat()),
        ("slot_trailing_byte", "key slot", [key_file.encode(), vec![0]].concat()),
        ("slot_cut", "key slot", key_file.encode()[..9].to_vec()),
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
        ("config_time_impossible", "config structure", with(|config| config.created = Timestamp { seconds: 0, nanos: 1 << 30 })),
    ]
}

#[test]
fn every_fault_is_refused_for_its_own_reason() {
    let mut faults: Vec<Fault> = [headers(), frames(), segments(), tocs(), runs(), signatures(), key_slots(), configs()].concat();
    faults.extend(super::faults_structures::faults());
    assert!(faults.len() >= 30);
    let mut written = std::collections::BTreeSet::new();
    for (name, what, bytes) in faults {
        let error = judge(what, &bytes).expect_err(name);
        let vector = Vector::new(bytes).with("what", what).with("expect", "refuse").with("error", error);
        let file = format!("refuse/{name}.txt");
        super::same_file(&file, &vector.print());
        let stored = Vector::parse(&std::fs::read_to_string(super::folder().join(&file)).unwrap());
        assert_eq!(judge(stored.field("what"), &stored.bytes).unwrap_err(), stored.field("error"), "{name}");
        assert!(written.insert(format!("{name}.txt")), "{name} stands twice");
    }
    let there = std::fs::read_dir(super::folder().join("refuse")).unwrap();
    let there: std::collections::BTreeSet<String> = there.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, written, "the folder holds exactly these vectors");
}
