//! Goal: a stream means the same however its bytes are split. Method: random streams, whole and
//! damaged, split at random.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{backup, content, contents, end, unpack_pieces};

/// Returns chunks of files whose contents come in turns, and the files.
fn turns(pieces: &[(u8, Vec<u8>)]) -> (Vec<Vec<u8>>, BTreeMap<String, Vec<u8>>) {
    let (mut chunks, mut files) = (Vec::new(), BTreeMap::<String, Vec<u8>>::new());
    for (name, bytes) in pieces {
        let path = format!("d/{name}.ibd");
        let so_far = files.entry(path.clone()).or_default();
        chunks.push(content(&path, so_far.len() as u64, bytes));
        so_far.extend_from_slice(bytes);
    }
    chunks.extend(files.keys().map(|path| end(path)));
    (chunks, files)
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        pieces in prop::collection::vec((0..6u8, prop::collection::vec(any::<u8>(), 0..99)), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let (chunks, files) = turns(&pieces);
        let stream = backup(&chunks);
        prop_assert_eq!(contents(&stream).unwrap(), files.into_iter().collect::<Vec<_>>());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([stream.len()]);
        let split = starts.zip(ends).map(|(start, end)| &stream[start..end]);
        let (unpacked, mut memory) = unpack_pieces(split).unwrap();
        let (whole, mut memory_of_whole) = unpack_pieces([&stream[..]]).unwrap();
        memory.write_max_bytes = 0;
        memory_of_whole.write_max_bytes = 0;
        prop_assert_eq!((unpacked, memory), (whole, memory_of_whole));
    }

    #[test]
    fn damaged_streams_are_refused_alike_in_any_split(
        pieces in prop::collection::vec((0..3u8, prop::collection::vec(any::<u8>(), 0..30)), 0..6),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut stream = backup(&turns(&pieces).0);
        let place = place.index(stream.len());
        stream[place] = byte;
        let outcome = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let unpacked = unpack_pieces(pieces);
            unpacked.map(|(unpacked, _)| unpacked).map_err(|error| error.to_string())
        };
        let expected = outcome(&mut std::iter::once(&stream[..]));
        prop_assert_eq!(outcome(&mut stream.chunks(1)), expected);
    }
}
