//! One file of a dump that is being filled: counted and hashed on its way.

use std::io::{self, Read};

use super::manifest::FileRecord;
use crate::backup::{FileNumber, FileSink};

/// Bytes that are passed on at once.
const BLOCK_LEN_BYTES: usize = 64 << 10;

/// A file that was begun. It is complete only after [`DumpFile::end`].
pub struct DumpFile<'a> {
    sink: &'a mut dyn FileSink,
    number: FileNumber,
    record: FileRecord,
    hasher: blake3::Hasher,
    /// Bytes that the sink does not have yet: pages of a database are small.
    waiting: Vec<u8>,
}

impl<'a> DumpFile<'a> {
    /// Begins a file; an empty path is the place of the dump itself.
    pub fn begin(sink: &'a mut dyn FileSink, path: &str) -> io::Result<Self> {
        let number = sink.begin(path.as_bytes())?;
        let record = FileRecord { path: path.to_owned(), ..FileRecord::default() };
        let waiting = Vec::with_capacity(2 * BLOCK_LEN_BYTES);
        Ok(Self { sink, number, record, hasher: blake3::Hasher::new(), waiting })
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.record.bytes += bytes.len() as u64;
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() < BLOCK_LEN_BYTES { Ok(()) } else { self.flush() }
    }

    /// Appends all that a source yields, after `look` has seen it.
    pub fn fill(
        &mut self,
        source: &mut impl Read,
        mut look: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; BLOCK_LEN_BYTES];
        loop {
            let len = match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            look(&buffer[..len])?;
            self.write(&buffer[..len])?;
        }
    }

    /// Returns the number of bytes so far.
    pub fn len_bytes(&self) -> u64 {
        self.record.bytes
    }

    /// Ends the file, and returns what is known of it.
    pub fn end(mut self) -> io::Result<FileRecord> {
        self.flush()?;
        self.sink.end(self.number)?;
        self.record.blake3 = self.hasher.finalize().to_hex().to_string();
        Ok(self.record)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.waiting);
        self.sink.write(self.number, &self.waiting)?;
        self.waiting.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept {
        files: Vec<Vec<u8>>,
        ended: usize,
        writes: usize,
    }

    impl FileSink for Kept {
        fn begin(&mut self, _: &[u8]) -> io::Result<FileNumber> {
            self.files.push(Vec::new());
            Ok(FileNumber(self.files.len() as u32 - 1))
        }

        fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
            self.writes += 1;
            self.files[file.0 as usize].extend_from_slice(bytes);
            Ok(())
        }

        fn end(&mut self, _: FileNumber) -> io::Result<()> {
            self.ended += 1;
            Ok(())
        }
    }

    #[test]
    fn small_pieces_are_joined_counted_and_hashed() {
        let mut sink = Kept::default();
        let mut file = DumpFile::begin(&mut sink, "a").unwrap();
        (0..=255).for_each(|byte| file.write(&[byte; 1024]).unwrap());
        let mut seen = 0;
        let look = |bytes: &[u8]| {
            seen += bytes.len();
            Ok(())
        };
        file.fill(&mut &[7; 100_000][..], look).unwrap();
        assert_eq!(file.len_bytes(), 256 * 1024 + 100_000);
        let record = file.end().unwrap();
        assert_eq!((seen, sink.ended, sink.writes), (100_000, 1, 6));
        assert_eq!((record.path.as_str(), record.bytes), ("a", sink.files[0].len() as u64));
        assert_eq!(record.blake3, blake3::hash(&sink.files[0]).to_hex().as_str());
    }
}
