//! Fetching, opening, unpacking, verifying and placing.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use zstd::bulk::Decompressor;

use super::backup::{KEY, Stored};
use super::clock::Clock;
use super::source::{Buffer, Sized};

/// Takes every segment back to its chunks.
pub fn read_back(stored: &Stored, work: &Path, clock: &mut Clock) {
    let cipher = ChaCha20Poly1305::new_from_slice(&KEY).expect("32 bytes");
    let (mut decompressor, mut raw, mut bytes) =
        (Decompressor::new().expect("memory"), Vec::new(), Vec::new());
    let mut segments = stored.segments.iter().peekable();
    for pack in 0..stored.packs {
        let path = work.join(pack.to_string());
        let len = fs::metadata(&path).expect("it was written").len();
        bytes.resize(len as usize, 0);
        clock.time("fetch", len, || {
            File::open(path)
                .expect("it was written")
                .read_exact_at(&mut bytes, 0)
                .expect("it was written")
        });
        std::hint::black_box(clock.time("scrub", len, || blake3::hash(&bytes)));
        while let Some(segment) = segments.next_if(|segment| segment.pack == pack) {
            let body = &mut bytes[segment.range.clone()];
            clock.time("open", body.len() as u64, || {
                cipher
                    .decrypt_inout_detached(&[0; 12].into(), &[], (&mut *body).into(), &segment.tag)
                    .expect("it was sealed so");
            });
            if raw.len() < segment.raw_len {
                raw.resize(segment.raw_len, 0);
            }
            let plain: &[u8] = match segment.is_raw {
                true => body,
                false => {
                    clock.time("unpack", segment.raw_len as u64, || {
                        decompressor
                            .decompress_to_buffer(body, &mut raw[..])
                            .expect("it was packed so")
                    });
                    &raw[..segment.raw_len]
                }
            };
            clock.time("verify", plain.len() as u64, || {
                let mut rest = plain;
                for len in &segment.chunk_lens {
                    let (chunk, more) = rest.split_at(*len);
                    std::hint::black_box(blake3::keyed_hash(&KEY, chunk));
                    rest = more;
                }
            });
        }
    }
}

/// Writes every folder and file anew below `target`, with owner, mode and times; reading them is
/// not counted.
pub fn place(root: &Path, target: &Path, folders: &[PathBuf], files: &[Sized], clock: &mut Clock) {
    let there = |path: &Path| target.join(path.strip_prefix(root).expect("it lies below the root"));
    clock.time("place", 0, || {
        for folder in folders {
            fs::create_dir_all(there(folder)).expect("room on the disk");
        }
    });
    let mut buffer = Buffer::default();
    for (path, len) in files {
        let Ok(from) = File::open(path) else { continue };
        let meta = from.metadata().expect("it is open");
        let to = clock.time("place", 0, || File::create(there(path)).expect("room on the disk"));
        let mut at = 0;
        while at < *len {
            buffer.keep_from(buffer.bytes().len());
            let end = buffer.read_piece(&from, *len, at);
            let bytes = buffer.bytes();
            let start = end - bytes.len() as u64;
            clock.time("place", bytes.len() as u64, || {
                to.write_all_at(bytes, start).expect("room on the disk")
            });
            at = end;
        }
        clock.time("place", 0, || {
            fchown(&to, Some(meta.uid()), Some(meta.gid())).ok();
            to.set_permissions(Permissions::from_mode(meta.mode())).expect("it is ours");
            to.set_modified(meta.modified().expect("Unix has it")).expect("it is ours");
            if meta.len() > *len || meta.blocks() == 0 {
                to.set_len(meta.len()).expect("it is ours");
            }
            drop(to);
        });
    }
}
