//! Files of a copied server on their way: counted, hashed, and freed of the hour.
//!
//! `mariadb-backup` writes times, an identifier and its command line into its own description, so
//! that no two backups of an idle server would be equal. Nothing that restores reads them, so they
//! are left out.

use std::collections::BTreeMap;
use std::io;

use blake3::Hasher;

use crate::backup::{FileNumber, FileSink, PlacedFile};
use crate::sources::manifest::FileRecord;
use crate::sources::mbstream::UnpackedFile;

/// Names of the description; newer versions have the second.
const INFO: [&[u8]; 2] = [b"xtrabackup_info", b"mariadb_backup_info"];
/// Keys of it whose values differ each time.
const CHANGING: [&str; 5] = ["uuid", "tool_command", "start_time", "end_time", "lock_time"];

/// A sink in front of another.
pub(super) struct CopiedFiles<'a> {
    sink: &'a mut dyn FileSink,
    files: BTreeMap<FileNumber, CopiedFile>,
}

#[derive(Default)]
struct CopiedFile {
    hasher: Hasher,
    len_bytes: u64,
    /// Content that is passed on at the end; `None` for a file that is not the description.
    info: Option<Vec<u8>>,
}

impl<'a> CopiedFiles<'a> {
    /// Makes one that passes files on to `sink`.
    pub(super) fn new(sink: &'a mut dyn FileSink) -> Self {
        Self { sink, files: BTreeMap::new() }
    }

    /// Gives the files of the backup their places; returns their records, by path.
    pub(super) fn place(self, unpacked: Vec<UnpackedFile>) -> io::Result<Vec<FileRecord>> {
        let (mut records, mut placed) = (Vec::new(), Vec::new());
        for UnpackedFile { path, number, .. } in unpacked {
            let file = self.files.get(&number).ok_or_else(|| io::Error::other("a file is lost"))?;
            records.push(FileRecord {
                path: String::from_utf8_lossy(&path).into_owned(),
                bytes: file.len_bytes,
                blake3: file.hasher.finalize().to_hex().to_string(),
                ..FileRecord::default()
            });
            placed.push(PlacedFile { file: number, path });
        }
        self.sink.keep(placed)?;
        Ok(records)
    }

    fn pass(&mut self, number: FileNumber, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = self.files.get_mut(&number) {
            file.hasher.update(bytes);
            file.len_bytes += bytes.len() as u64;
        }
        self.sink.write(number, bytes)
    }
}

impl FileSink for CopiedFiles<'_> {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        let number = self.sink.begin(path)?;
        let info = INFO.contains(&path).then(Vec::new);
        self.files.insert(number, CopiedFile { info, ..CopiedFile::default() });
        Ok(number)
    }

    fn write(&mut self, number: FileNumber, bytes: &[u8]) -> io::Result<()> {
        match self.files.get_mut(&number).and_then(|file| file.info.as_mut()) {
            // The unpacker limits its length.
            Some(info) => {
                info.extend_from_slice(bytes);
                Ok(())
            }
            None => self.pass(number, bytes),
        }
    }

    fn end(&mut self, number: FileNumber) -> io::Result<()> {
        if let Some(info) = self.files.get_mut(&number).and_then(|file| file.info.take()) {
            self.pass(number, &without_changing(&info))?;
        }
        self.sink.end(number)
    }
}

/// Returns a description without the values that differ each time.
fn without_changing(info: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(info.len());
    for line in info.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let key = text.split_once('=').map(|(key, _)| key.trim());
        match key.filter(|key| CHANGING.contains(key)) {
            Some(key) => kept.extend_from_slice(format!("{key} = \n").as_bytes()),
            None => kept.extend_from_slice(line),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_loses_what_differs_each_time_and_nothing_else() {
        let info = "uuid = 5654875e\nname = \ntool_command = --user=x --a=b\ntool_version = 10.11\n\
                    start_time = 2026-12-01 12:25:39\nend_time = 2026-12-01\nlock_time = 0\n\
                    binlog_pos = filename 'bin.000002', position '342'\nstart_time_of_x = 7\n\
                    partial = N";
        let kept = without_changing(info.as_bytes());
        assert_eq!(
            String::from_utf8(kept).unwrap(),
            "uuid = \nname = \ntool_command = \ntool_version = 10.11\nstart_time = \nend_time = \n\
             lock_time = \nbinlog_pos = filename 'bin.000002', position '342'\n\
             start_time_of_x = 7\npartial = N"
        );
    }
}
