//! Receivers of unpacked files: a folder, and nothing but sums.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use drumlin::backup::{FileNumber, FileSink};
use drumlin::sources::mbstream::{MbstreamError, Unpacked, Unpacker};

/// A function that gets the path of a file that ended.
type OnEnd<'a> = Box<dyn FnMut(&[u8]) + 'a>;

/// Files in a folder: by number while they come, by path in the end.
pub struct FolderSink<'a> {
    folder: PathBuf,
    open: BTreeMap<u32, File>,
    count: u32,
    /// Called with the path of each file that ended.
    pub on_end: OnEnd<'a>,
    paths: Vec<Vec<u8>>,
}

impl FolderSink<'_> {
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder.join(".numbers")).unwrap();
        let folder = folder.to_owned();
        let on_end = Box::new(|_: &[u8]| ());
        Self { folder, open: BTreeMap::new(), count: 0, on_end, paths: Vec::new() }
    }

    fn numbered(&self, number: u32) -> PathBuf {
        self.folder.join(".numbers").join(number.to_string())
    }

    /// Gives the files their paths.
    pub fn finish(self, unpacked: &Unpacked) {
        for file in &unpacked.files {
            let path = self.folder.join(std::str::from_utf8(&file.path).unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::rename(self.numbered(file.number.0), &path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), file.len_bytes);
        }
        fs::remove_dir_all(self.folder.join(".numbers")).unwrap();
    }
}

impl FileSink for FolderSink<'_> {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        let number = self.count;
        self.count += 1;
        self.paths.push(path.to_vec());
        self.open.insert(number, File::create(self.numbered(number))?);
        Ok(FileNumber(number))
    }

    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        self.open.get_mut(&file.0).expect("it is open").write_all(bytes)
    }

    fn end(&mut self, file: FileNumber) -> io::Result<()> {
        self.open.remove(&file.0).expect("it is open");
        (self.on_end)(&self.paths[file.0 as usize]);
        Ok(())
    }
}

/// Unpacks a stream into a folder.
pub fn unpack(stream: &[u8], folder: &Path) -> Unpacked {
    let (mut unpacker, mut sink) = (Unpacker::default(), FolderSink::new(folder));
    for piece in stream.chunks(65_537) {
        unpacker.push(piece, &mut sink).unwrap();
    }
    let unpacked = unpacker.finish().unwrap();
    sink.finish(&unpacked);
    unpacked
}

/// Lengths and checksums of files by number.
#[derive(Default)]
struct Sums(Vec<crc32fast::Hasher>);

impl FileSink for Sums {
    fn begin(&mut self, _: &[u8]) -> io::Result<FileNumber> {
        self.0.push(crc32fast::Hasher::new());
        Ok(FileNumber(u32::try_from(self.0.len() - 1).unwrap()))
    }

    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        self.0[file.0 as usize].update(bytes);
        Ok(())
    }

    fn end(&mut self, _: FileNumber) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the paths of a stream's files with content, their lengths and their checksums.
pub fn sums(stream: &[u8]) -> Result<Vec<(Vec<u8>, u64, u32)>, MbstreamError> {
    let (mut unpacker, mut sums) = (Unpacker::default(), Sums::default());
    unpacker.push(stream, &mut sums)?;
    let files = unpacker.finish()?.files.into_iter().filter(|file| file.len_bytes > 0);
    let sum = |number: FileNumber| sums.0[number.0 as usize].clone().finalize();
    Ok(files.map(|file| (file.path, file.len_bytes, sum(file.number))).collect())
}

/// Returns the files below a folder, with their contents' lengths and checksums.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, (u64, u32)> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = fs::read(&path).unwrap();
                let sum = (content.len() as u64, crc32fast::hash(&content));
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), sum);
            }
        }
    }
    found
}
