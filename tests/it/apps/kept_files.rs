//! A sink that keeps the files of a dump in memory.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use drumlin::backup::{DumpSource, FileNumber, FileSink};

/// Files by path below the dump, and whether they have ended.
#[derive(Default)]
pub struct KeptFiles {
    files: Vec<(String, Vec<u8>, bool)>,
    /// Time that each write takes.
    pub pause: Duration,
}

impl FileSink for KeptFiles {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        let path = String::from_utf8(path.to_vec()).unwrap();
        assert!(self.files.iter().all(|(other, ..)| *other != path), "{path} was begun before");
        self.files.push((path, Vec::new(), false));
        Ok(FileNumber(self.files.len() as u32 - 1))
    }

    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        let (_, content, has_ended) = &mut self.files[file.0 as usize];
        assert!(!*has_ended);
        content.extend_from_slice(bytes);
        std::thread::sleep(self.pause);
        Ok(())
    }

    fn end(&mut self, file: FileNumber) -> io::Result<()> {
        self.files[file.0 as usize].2 = true;
        Ok(())
    }
}

/// Runs a dump, and returns its files.
pub fn dump(source: DumpSource) -> io::Result<BTreeMap<String, Vec<u8>>> {
    dump_slowly(source, Duration::ZERO)
}

/// Runs a dump into a sink that takes its time for each write.
pub fn dump_slowly(source: DumpSource, pause: Duration) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut kept = KeptFiles { pause, ..KeptFiles::default() };
    (source.open)()?.run(&mut kept)?;
    assert!(kept.files.iter().all(|(_, _, has_ended)| *has_ended), "a file has not ended");
    Ok(kept.files.into_iter().map(|(path, content, _)| (path, content)).collect())
}

/// Runs a dump of one file, and returns it.
pub fn dump_one(source: DumpSource) -> io::Result<Vec<u8>> {
    let mut files = dump(source)?;
    assert_eq!(files.len(), 1);
    Ok(files.remove("").unwrap())
}
