//! Containers sealed with the right key around arbitrary parts, as a hostile holder of the keys
//! could make them: opened, walked and verified, whole and cut.
#![no_main]

use drumlin::container::{Opener, Segment, verify_pack, walk};
use drumlin::crypto::container_keys::commitment;
use drumlin::crypto::keyring::Keyring;
use drumlin::crypto::seal::{Part, Sealer};
use drumlin::format::container::{ContainerKind, Header, Trailer};
use drumlin::id::RepositoryId;
use libfuzzer_sys::fuzz_target;

const KIND: ContainerKind = ContainerKind::Data;

fuzz_target!(|data: (Vec<([u8; 28], Vec<u8>)>, Vec<u8>, u8, u16)| {
    let (segments, toc, padding, cut) = data;
    let (repository, salt) = (RepositoryId([2; 16]), [3; 32]);
    let keyring = Keyring::new(&[1; 32], repository);
    let key = keyring.open_packs().container_key(KIND, &salt);
    let header = Header {
        kind: KIND,
        flags: 0,
        repository,
        salt,
        commitment: commitment(&key),
    }
    .encode();
    let sealer = Sealer::new(&key, &header);
    let mut bytes = header.to_vec();
    let mut append = |part, ordinal: Option<usize>, plain: &[u8]| {
        let start = bytes.len();
        bytes.extend_from_slice(plain);
        bytes.extend_from_slice(&[0; 16]);
        sealer.seal(part, ordinal.unwrap_or(start) as u64, &mut bytes[start..]);
        (start, bytes.len())
    };
    let (mut toc_offset, mut raw_total) = (header.len(), 0);
    for (frame, body) in &segments {
        let (at, _) =
            append(Part::Frame, None, &[&(body.len() as u32).to_le_bytes(), &frame[..]].concat());
        toc_offset = append(Part::Segment, Some(at), body).1;
        raw_total += u64::from(u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]));
    }
    append(Part::Toc, Some(0), &[&toc[..], &vec![0; usize::from(padding)]].concat());
    let (toc_len, segment_count) = (toc.len() as u32, segments.len() as u32);
    let trailer = Trailer {
        toc_offset: toc_offset as u64,
        toc_len,
        padding_len: padding.into(),
        segment_count,
        raw_total,
    };
    append(Part::Trailer, Some(0), &trailer.encode());
    let _ = verify_pack(keyring.open_packs(), keyring.ids(), KIND, &bytes);
    let bytes = &bytes[..bytes.len().saturating_sub(usize::from(cut))];
    if let Ok(opener) = Opener::from_header(keyring.open_packs(), KIND, bytes) {
        let _ = opener.pack_toc(bytes);
        for raw in walk(&opener, bytes).filter_map(|walked| walked.raw.ok()) {
            let _ = Segment::parse(raw);
        }
    }
});
