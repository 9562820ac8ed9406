//! Each stage of the program beside the bare primitive that does the same work: bytes (or elements)
//! per second of both.
//!
//! `cargo bench --bench stages [-- FILTER]`. The inputs are generated: text that compresses like a
//! database dump, and random bytes.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drumlin::chunker::{Cutter, Cutting};
use drumlin::compress::{Compression, SegmentCompressor, SegmentDecompressor};
use drumlin::container::{ContainerBuilder, Opener, SegmentBuilder};
use drumlin::crypto::keyring::Keyring;
use drumlin::crypto::slot::Secret;
use drumlin::format::config::Profile;
use drumlin::format::container::{ChunkKind, ContainerKind, HEADER_LEN_BYTES, SegmentCodec};
use drumlin::format::entry::Timestamp;
use drumlin::format::slot::SlotKdf;
use drumlin::id::{ChunkId, RepositoryId};
use drumlin::os::dir::Dir;
use drumlin::repo::write::SessionIdentity;
use drumlin::repo::{InitOptions, Lane, Reader, Repository, Session, SessionOptions};
use drumlin::store::memory::MemoryStore;
use fastcdc::v2020::{Normalization, cut_gear, select_masks};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};

const LEN_BYTES: usize = 8 << 20;
const SEGMENT_LEN_BYTES: usize = 2 << 20;

fn keyring() -> Keyring {
    Keyring::new(&[1; 32], RepositoryId([2; 16]))
}

fn random() -> Vec<u8> {
    let mut bytes = vec![0; LEN_BYTES];
    SmallRng::seed_from_u64(1).fill_bytes(&mut bytes);
    bytes
}

fn text() -> Vec<u8> {
    let words = [
        "order",
        "shipped",
        "customer",
        "pending",
        "invoice",
        "warehouse",
        "express",
        "returned",
        "note",
        "the",
        "of",
        "and",
        "is",
    ];
    let (mut rng, mut text) = (SmallRng::seed_from_u64(2), Vec::with_capacity(LEN_BYTES + 100));
    while text.len() < LEN_BYTES {
        let word = words.choose(&mut rng).expect("there are some");
        text.extend_from_slice(
            format!("({},'{word}',{:.2}),\n", rng.random::<u32>(), rng.random::<f64>()).as_bytes(),
        );
    }
    text.truncate(LEN_BYTES);
    text
}

fn cut(c: &mut Criterion) {
    let (keyring, mut group) = (keyring(), c.benchmark_group("cut"));
    group.throughput(Throughput::Bytes(LEN_BYTES as u64));
    let shifted = keyring.ids().gear().map(|word| word << 1);
    for (name, data) in [("random", random()), ("text", text())] {
        let cutter = Cutter::new(Cutting::Profile(Profile::Standard), keyring.ids().gear());
        group.bench_with_input(BenchmarkId::new("drumlin", name), &data, |b, data| {
            b.iter(|| {
                let mut rest = &data[..];
                while !rest.is_empty() {
                    rest = &rest[black_box(cutter.cut(rest))..];
                }
            })
        });
        let (strict, loose) = select_masks(128 << 10, Normalization::Level1);
        group.bench_with_input(BenchmarkId::new("bare fastcdc", name), &data, |b, data| {
            b.iter(|| {
                let mut rest = &data[..];
                while rest.len() > 32 << 10 {
                    let lens = (32 << 10, 128 << 10, 512 << 10);
                    let gear = keyring.ids().gear();
                    let (_, len) = cut_gear(
                        rest,
                        lens.0,
                        lens.1,
                        lens.2,
                        strict,
                        loose,
                        strict << 1,
                        loose << 1,
                        gear,
                        &shifted,
                    );
                    rest = &rest[black_box(len)..];
                }
            })
        });
    }
}

fn hash(c: &mut Criterion) {
    let (keyring, data, mut group) = (keyring(), random(), c.benchmark_group("hash"));
    for len in [4 << 10, 128 << 10] {
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("drumlin", len), |b| {
            b.iter(|| keyring.ids().chunk_id(ChunkKind::Data, black_box(&data[..len])))
        });
        group.bench_function(BenchmarkId::new("bare blake3", len), |b| {
            b.iter(|| blake3::keyed_hash(&[1; 32], black_box(&data[..len])))
        });
    }
}

fn compress(c: &mut Criterion) {
    let mut group = c.benchmark_group("compress");
    group.throughput(Throughput::Bytes(SEGMENT_LEN_BYTES as u64)).sample_size(20);
    for (name, data) in [("random", random()), ("text", text())] {
        let segment = &data[..SEGMENT_LEN_BYTES];
        let mut ours = SegmentCompressor::new(Compression::DEFAULT);
        group.bench_function(BenchmarkId::new("drumlin", name), |b| {
            b.iter(|| black_box(ours.compress(segment)).map(<[u8]>::len))
        });
        let mut bare = zstd::bulk::Compressor::new(3).expect("memory");
        let mut out = vec![0; zstd::zstd_safe::compress_bound(SEGMENT_LEN_BYTES)];
        group.bench_function(BenchmarkId::new("bare zstd 3", name), |b| {
            b.iter(|| bare.compress_to_buffer(segment, &mut out[..]).expect("room"))
        });
    }
    let data = text();
    let packed = zstd::bulk::compress(&data[..SEGMENT_LEN_BYTES], 3).expect("memory");
    let (mut ours, mut out) = (SegmentDecompressor::default(), Vec::new());
    group.bench_function("unpack/drumlin", |b| {
        b.iter(|| ours.decompress(&packed, SEGMENT_LEN_BYTES, &mut out).expect("it was packed so"))
    });
    let mut bare = zstd::bulk::Decompressor::new().expect("memory");
    let mut out = vec![0; SEGMENT_LEN_BYTES];
    group.bench_function("unpack/bare zstd", |b| {
        b.iter(|| bare.decompress_to_buffer(&packed, &mut out[..]).expect("it was packed so"))
    });
}

fn seal(c: &mut Criterion) {
    let (keyring, data, mut group) = (keyring(), random(), c.benchmark_group("seal"));
    group.throughput(Throughput::Bytes(LEN_BYTES as u64)).sample_size(20);
    let id = keyring.ids().chunk_id(ChunkKind::Data, &data);
    let pack = || {
        let mut builder =
            ContainerBuilder::new(ContainerKind::Data, Vec::with_capacity(LEN_BYTES + (1 << 20)));
        for body in data.chunks(SEGMENT_LEN_BYTES) {
            let mut segment = SegmentBuilder::new(Vec::new());
            segment.push(ChunkKind::Data, id, body);
            let (raw, chunks) = segment.finish();
            builder.push(SegmentCodec::Raw, &raw, raw.len(), chunks);
        }
        builder.finish_pack(keyring.seal_packs(), &[3; 32])
    };
    group.bench_function("drumlin: a pack, built, sealed and named", |b| {
        b.iter(|| pack().bytes.len())
    });
    let (cipher, mut body) =
        (ChaCha20Poly1305::new_from_slice(&[1; 32]).expect("32 bytes"), data.clone());
    group.bench_function("bare chacha20-poly1305 and blake3", |b| {
        b.iter(|| {
            let tag = cipher
                .encrypt_inout_detached(&[0; 12].into(), &[], (&mut body[..]).into())
                .expect("short");
            (tag, blake3::hash(&body))
        })
    });
    let sealed = pack();
    let opener = Opener::from_salt(keyring.open_packs(), ContainerKind::Data, &sealed.salt);
    let stored_len = sealed.toc.segments[0].stored_len as usize;
    let stored = &sealed.bytes[HEADER_LEN_BYTES..HEADER_LEN_BYTES + stored_len];
    group.throughput(Throughput::Bytes(stored_len as u64));
    let (mut decompressor, mut out) = (SegmentDecompressor::default(), Vec::new());
    group.bench_function("drumlin: a segment, opened", |b| {
        let open = |stored: &mut Vec<u8>| {
            opener.segment(HEADER_LEN_BYTES as u64, stored, &mut decompressor, &mut out).is_ok()
        };
        b.iter_batched_ref(|| stored.to_vec(), open, BatchSize::LargeInput)
    });
    let mut bare = body[..stored_len].to_vec();
    let tag =
        cipher.encrypt_inout_detached(&[0; 12].into(), &[], (&mut bare[..]).into()).expect("short");
    group.bench_function("bare chacha20-poly1305, opening", |b| {
        let open = |bare: &mut Vec<u8>| {
            cipher
                .decrypt_inout_detached(&[0; 12].into(), &[], (&mut bare[..]).into(), &tag)
                .is_ok()
        };
        b.iter_batched_ref(|| bare.clone(), open, BatchSize::LargeInput)
    });
}

fn look_up(c: &mut Criterion) {
    const COUNT: usize = 200_000;
    let folder = tempfile::tempdir().expect("room on the disk");
    let init = InitOptions {
        profile: Profile::Standard,
        secret: Secret::KeyFile(drumlin::crypto::kdf::Key::new([5; 32])),
        kdf: SlotKdf::KeyFile,
        label: String::new(),
        now: Timestamp::default(),
        program: String::new(),
        cache_dir: folder.path().to_owned(),
    };
    let repo = Repository::init(Arc::new(MemoryStore::default()), &init).expect("an empty store");
    let session = Session::new(
        Reader::new(&repo).expect("an index").chunk_index().clone(),
        SessionOptions {
            compression: Compression::None,
            threads: 1,
            low_memory: false,
            dry_run: false,
            checkpoints: Default::default(),
        },
        SessionIdentity { host: String::new(), parent: None, clock: Arc::new(Timestamp::default) },
    );
    let ids: Vec<ChunkId> = (0..2 * COUNT as u64)
        .map(|n| repo.ids().chunk_id(ChunkKind::Data, &n.to_le_bytes()))
        .collect();
    let (there, missing) = ids.split_at(COUNT);
    let mut lane = Lane::new(&session);
    for (n, id) in (0u64..).zip(there) {
        lane.put(ChunkKind::Data, id, &n.to_le_bytes()).expect("memory");
    }
    drop(lane);
    session.finish().expect("memory");
    let (reader, plain) = (
        Reader::new(&repo).expect("an index").chunk_index().clone(),
        there.iter().map(|id| (*id, ())).collect::<HashMap<_, _>>(),
    );
    let mut group = c.benchmark_group("look up, of 200,000");
    group.throughput(Throughput::Elements(1));
    for (name, ids) in [("hit", there), ("miss", missing)] {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut next = || ids.choose(&mut rng).expect("there are some");
        group.bench_function(BenchmarkId::new("drumlin", name), |b| {
            b.iter(|| reader.locate(next()).expect("an index").is_some())
        });
        let mut rng = SmallRng::seed_from_u64(3);
        let mut next = || ids.choose(&mut rng).expect("there are some");
        group.bench_function(BenchmarkId::new("bare hash map", name), |b| {
            b.iter(|| plain.contains_key(next()))
        });
    }
}

fn walk(c: &mut Criterion) {
    const COUNT: usize = 2000;
    let folder = tempfile::tempdir().expect("room on the disk");
    for n in 0..COUNT {
        std::fs::write(folder.path().join(format!("file {n}")), b"").expect("room on the disk");
    }
    let mut group = c.benchmark_group("walk one folder");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("drumlin: sorted names and their stats", |b| {
        b.iter(|| {
            let dir = Dir::open(folder.path()).expect("it was made");
            dir.names()
                .expect("it was made")
                .iter()
                .map(|name| dir.stat(name).expect("it was made").size)
                .sum::<u64>()
        })
    });
    group.bench_function("bare getdents and statx", |b| {
        use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, StatxFlags, openat, statx};
        b.iter(|| {
            let dir = openat(CWD, folder.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
                .expect("it was made");
            let mut buffer = vec![std::mem::MaybeUninit::uninit(); 32 << 10];
            let (mut listing, mut sum) = (RawDir::new(&dir, &mut buffer), 0);
            while let Some(Ok(entry)) = listing.next() {
                sum += statx(
                    &dir,
                    entry.file_name(),
                    AtFlags::SYMLINK_NOFOLLOW,
                    StatxFlags::BASIC_STATS,
                )
                .expect("it was made")
                .stx_size;
            }
            sum
        })
    });
}

criterion_group! {
    name = stages;
    config = Criterion::default().measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(500));
    targets = cut, hash, compress, seal, look_up, walk
}
criterion_main!(stages);
