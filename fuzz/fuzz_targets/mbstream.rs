//! Streams of mariadb-backup: understood or refused alike however they are split, with one end for
//! each file, and a list that agrees with what was passed on.
#![no_main]

use std::io;

use drumlin::backup::{FileNumber, FileSink};
use drumlin::sources::mbstream::{MbstreamError, Unpacked, Unpacker};
use libfuzzer_sys::fuzz_target;

/// What was passed on for each file: its path, its content, and whether it ended.
#[derive(Debug, Default, PartialEq)]
struct Files(Vec<(Vec<u8>, Vec<u8>, bool)>);

impl FileSink for Files {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        self.0.push((path.to_vec(), Vec::new(), false));
        Ok(FileNumber(self.0.len() as u32 - 1))
    }

    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        let (_, content, has_ended) = &mut self.0[file.0 as usize];
        assert!(!*has_ended);
        content.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, file: FileNumber) -> io::Result<()> {
        assert!(!std::mem::replace(&mut self.0[file.0 as usize].2, true));
        Ok(())
    }
}

fn unpack(stream: &[u8], piece_bytes: usize) -> (Files, Result<Unpacked, MbstreamError>) {
    let (mut unpacker, mut files) = (Unpacker::default(), Files::default());
    let mut pieces = stream.chunks(piece_bytes);
    let pushed = pieces.try_for_each(|piece| unpacker.push(piece, &mut files));
    let outcome = pushed.and_then(|()| unpacker.finish());
    (files, outcome)
}

fuzz_target!(|data: &[u8]| {
    let Some((piece_bytes, stream)) = data.split_first() else { return };
    let (files, outcome) = unpack(stream, usize::MAX);
    let (files_of_pieces, outcome_of_pieces) = unpack(stream, usize::from(*piece_bytes).max(1));
    assert_eq!(
        outcome.as_ref().map_err(ToString::to_string),
        outcome_of_pieces.as_ref().map_err(ToString::to_string)
    );
    assert!(files.0.iter().filter(|(_, _, has_ended)| !has_ended).count() <= 64);
    let mut names = files.0.iter().flat_map(|(path, ..)| path.split(|byte| *byte == b'/'));
    assert!(names.all(|name| !matches!(name, b"" | b"." | b"..")));
    let Ok(unpacked) = outcome else { return };
    assert_eq!(files, files_of_pieces);
    assert!(files.0.iter().all(|(_, _, has_ended)| *has_ended));
    for file in &unpacked.files {
        assert_eq!(files.0[file.number.0 as usize].1.len() as u64, file.len_bytes);
    }
    assert!(unpacked.files.is_sorted_by(|one, next| one.path < next.path));
});
