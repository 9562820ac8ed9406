//! Cut points of ten inputs by each profile, and padded lengths of containers.

use drumlin::chunker::{Cutter, Cutting};
use drumlin::format::config::Profile;
use drumlin::format::padding::padded_len;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Cuts {
    input: String,
    len: usize,
    profile: String,
    chunk_lens: Vec<usize>,
}

fn xof(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"drumlin cuts").finalize_xof().fill(&mut bytes);
    bytes
}

/// Returns the inputs with the words that `format-spec/vectors/README.md` explains.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let mut inserted = xof(1 << 20);
    inserted.insert(100_000, b'!');
    vec![
        ("xof", Vec::new()),
        ("xof", xof(1)),
        ("xof", xof(16 << 10)),
        ("xof", xof((16 << 10) + 1)),
        ("xof", xof(1 << 20)),
        ("xof", xof(9_000_001)),
        ("xof-inserted", inserted),
        ("zeros", vec![0; (512 << 10) + 1]),
        ("zeros", vec![0; 5_000_000]),
        ("lines", (0..90_000).flat_map(|line| format!("{line} drumlin\n").into_bytes()).collect()),
        ("cycle-251", (0..700_001usize).map(|at| (at % 251) as u8).collect()),
    ]
}

/// Returns all ways to cut, with their names.
fn cuttings() -> Vec<(&'static str, Cutting)> {
    let profiles = Profile::ALL.iter().map(|(name, profile)| (*name, Cutting::Profile(*profile)));
    profiles.chain([("rows", Cutting::Rows)]).collect()
}

fn chunk_lens(cutter: &Cutter, mut rest: &[u8]) -> Vec<usize> {
    let mut lens = Vec::new();
    while !rest.is_empty() {
        let window = &rest[..rest.len().min(cutter.len_max())];
        let len = cutter.cut(window);
        lens.push(len);
        rest = &rest[len..];
    }
    lens
}

#[test]
fn cut_points_are_frozen() {
    let mut rows = Vec::new();
    for (input, bytes) in inputs() {
        for (name, cutting) in cuttings() {
            let chunk_lens =
                chunk_lens(&Cutter::new(cutting, super::keyring().ids().gear()), &bytes);
            assert_eq!(chunk_lens.iter().sum::<usize>(), bytes.len());
            rows.push(Cuts {
                input: input.to_string(),
                len: bytes.len(),
                profile: name.to_string(),
                chunk_lens,
            });
        }
    }
    assert_eq!(super::same_table("cuts.json", &rows), rows);
}

/// The algorithm as `format-spec/05-ids.md` states it, byte by byte.
fn cut_plainly(
    bytes: &[u8],
    (least, average, most): (usize, usize, usize),
    masks: (u64, u64),
    gear: &[u64; 256],
) -> usize {
    let len = bytes.len().min(most);
    if len <= least || least == most {
        return len;
    }
    let mut hash = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(len & !1).skip(least) {
        hash = (hash << 1).wrapping_add(gear[usize::from(*byte)]);
        let mask = if at < (average.min(len) & !1) { masks.0 } else { masks.1 };
        if hash & mask == 0 {
            return at;
        }
    }
    len
}

#[test]
fn the_program_cuts_as_the_specification_says() {
    let keyring = super::keyring();
    let masks = |cutting| match cutting {
        Cutting::Profile(Profile::Small) => (0x0000_d907_0353_7000, 0x0000_d90f_0353_0000),
        Cutting::Profile(Profile::Standard) => (0x0000_d907_0753_7000, 0x0000_d903_0353_7000),
        Cutting::Profile(Profile::Large) => (0x0000_d917_6753_7000, 0x0000_d917_0753_7000),
        Cutting::Profile(Profile::Fixed) => (0, 0),
        Cutting::Rows => (0x0000_d903_1353_0000, 0x0000_d901_0353_0000),
    };
    for (_, bytes) in inputs() {
        for (name, cutting) in cuttings() {
            let cutter = Cutter::new(cutting, keyring.ids().gear());
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let window = &rest[..rest.len().min(cutter.len_max())];
                let len = cut_plainly(
                    window,
                    drumlin::chunker::chunk_lens(cutting),
                    masks(cutting),
                    keyring.ids().gear(),
                );
                assert_eq!(len, cutter.cut(window), "{name}, {} bytes left", rest.len());
                rest = &rest[len..];
            }
        }
    }
}

#[test]
fn padded_lengths_are_frozen() {
    let lens = [
        280, 281, 511, 512, 513, 1_000, 1_025, 4_096, 5_000, 16_432, 65_535, 65_537, 100_000,
        1_000_000,
    ];
    let large =
        [(1 << 20) + 1, 8_000_001, 8 << 20, 33_000_000, 32 << 20, (32 << 20) + 1, 200_000_000];
    let rows: Vec<(u64, u64)> =
        lens.into_iter().chain(large).map(|len| (len, padded_len(len))).collect();
    assert_eq!(super::same_table("padding.json", &rows), rows);
}
