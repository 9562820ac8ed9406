//! Unpacker of the stream of `mariadb-backup --stream=mbstream`.
//!
//! Each file of the server becomes a file of the snapshot, without a temporary copy, so that an
//! unchanged table is not stored again. The unpacker reads nothing itself: it is given bytes and
//! calls a sink. Its memory does not grow with the content, only with the number of files.
//!
//! A stream is trusted as little as one of an enemy. All of it must be understood, the checksum of
//! each payload must be right, each file must end, and the backup must say that it is whole: what
//! is missing here would be noticed on the day of the restore.

mod chunk;
mod error;
mod metadata;
mod names;

use std::collections::BTreeMap;

use crate::backup::{FileNumber, FileSink};
use crate::text::printable;

use self::chunk::{Decoded, Head, Payload};
use self::metadata::{CHECKPOINTS, INFO, METADATA_LEN_MAX_BYTES, NEEDED};
use self::names::Names;

pub use self::error::MbstreamError;
pub use self::metadata::BackupInfo;
pub use self::names::UnpackedFile;

/// Most files that may be open at once. The program has one for each `--parallel`, and some logs.
const OPEN_FILES_MAX: usize = 64;
/// Endings of files that options compressed or encrypted, here or in Percona's program.
const TRANSFORMED: [&str; 4] = [".qp", ".lz4", ".zst", ".xbcrypt"];

/// Beginning of the names of Aria's logs, which the server writes one after the other.
const ARIA_LOG: &[u8] = b"aria_log.";

/// All that a stream held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The files, in the order of their paths. This list decides what the backup holds: during the
    /// stream a file may be replaced, renamed or removed after it ended.
    pub files: Vec<UnpackedFile>,
    /// What the backup says of itself.
    pub info: BackupInfo,
}

/// A push parser of one stream.
#[derive(Default)]
pub struct Unpacker {
    /// Bytes taken so far.
    at: u64,
    /// Position of the chunk that is being read.
    chunk_at: u64,
    /// The first bytes of that chunk.
    head: Vec<u8>,
    /// Bytes of the head that are needed to know more.
    head_needed_bytes: usize,
    /// The payload that is being read.
    content: Option<ContentState>,
    open: Vec<OpenFile>,
    complete: Names,
    /// Numbers and contents of files of metadata, by path.
    metadata: BTreeMap<Vec<u8>, (FileNumber, Vec<u8>)>,
    is_refused: bool,
}

struct OpenFile {
    path: Vec<u8>,
    number: FileNumber,
    len_bytes: u64,
    metadata: Option<Vec<u8>>,
}

struct ContentState {
    /// Index of the open file.
    file: usize,
    left_bytes: u64,
    crc: crc32fast::Hasher,
    crc32: u32,
}

impl Unpacker {
    /// Takes the next bytes of the stream, of any length, and passes files and content on.
    ///
    /// The content of a payload is passed on before its checksum is known. After an error all that
    /// was passed on is void, and each further call fails.
    pub fn push(&mut self, bytes: &[u8], sink: &mut dyn FileSink) -> Result<(), MbstreamError> {
        // Stays set if the loop is left by an error.
        if std::mem::replace(&mut self.is_refused, true) {
            return Err(self.damaged("it was refused before"));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken_bytes = match self.content.take() {
                Some(content) => self.take_content(content, rest, sink)?,
                None => self.take_head(rest, sink)?,
            };
            self.at += taken_bytes as u64;
            rest = &rest[taken_bytes..];
        }
        self.is_refused = false;
        Ok(())
    }

    /// Ends the stream, and returns what it held.
    ///
    /// Fails unless it was a whole, plain backup. The caller must also see that the program exited
    /// with status 0, before anything is committed.
    pub fn finish(self) -> Result<Unpacked, MbstreamError> {
        if self.is_refused {
            return Err(self.damaged("it was refused before"));
        }
        if self.at == 0 {
            return Err(MbstreamError::incomplete("nothing came"));
        }
        if !self.head.is_empty() || self.content.is_some() {
            return Err(MbstreamError::incomplete(format!(
                "it ends within the chunk at byte {}",
                self.chunk_at
            )));
        }
        if let Some(file) = self.open.first() {
            return Err(MbstreamError::incomplete(format!(
                "`{}` has no end",
                printable(&file.path)
            )));
        }
        if let Some(path) = self.complete.lost() {
            return Err(MbstreamError::changed_meanwhile(path, "got lost: its table changed"));
        }
        if let Some(name) = NEEDED.iter().find(|name| !self.complete.has(name.as_bytes())) {
            return Err(MbstreamError::incomplete(format!("it has no `{name}`")));
        }
        let [checkpoints, info] = [CHECKPOINTS, INFO].map(|names| self.content_of(names));
        let info = metadata::read(checkpoints?, info?)?;
        let files = self.complete.into_files().map_err(MbstreamError::incomplete)?;
        Ok(Unpacked { files, info })
    }

    /// Returns the content of a file of metadata that has one of two names.
    fn content_of(&self, names: [&str; 2]) -> Result<&[u8], MbstreamError> {
        names
            .iter()
            .filter_map(|name| self.metadata.get_key_value(name.as_bytes()))
            .find(|(path, (number, _))| self.complete.number(path) == Some(*number))
            .map(|(_, (_, content))| content.as_slice())
            .ok_or_else(|| MbstreamError::incomplete(format!("it has no `{}`", names[0])))
    }

    /// Takes bytes of a head, and acts when it is whole.
    fn take_head(&mut self, bytes: &[u8], sink: &mut dyn FileSink) -> Result<usize, MbstreamError> {
        if self.head.is_empty() {
            self.chunk_at = self.at;
        }
        let missing_bytes = self.head_needed_bytes - self.head.len();
        let taken_bytes = missing_bytes.min(bytes.len());
        self.head.extend_from_slice(&bytes[..taken_bytes]);
        if taken_bytes < missing_bytes {
            return Ok(taken_bytes);
        }
        let mut head = std::mem::take(&mut self.head);
        match chunk::decode(&head).map_err(|why| self.damaged(why))? {
            Decoded::Needs(needed_bytes) => self.head_needed_bytes = needed_bytes,
            Decoded::Whole(whole) => {
                self.act(&whole, sink)?;
                head.clear();
                self.head_needed_bytes = 0;
            }
        }
        self.head = head;
        Ok(taken_bytes)
    }

    fn act(&mut self, head: &Head, sink: &mut dyn FileSink) -> Result<(), MbstreamError> {
        match head {
            Head::Payload(payload) => self.begin_content(payload, sink),
            Head::End { path } => self.end_file(path, sink),
            Head::Rename { from, to } => self.rename(from, to),
            Head::Remove { path } => self.remove(path),
            Head::Seek { path } if path.starts_with(ARIA_LOG) => {
                Err(MbstreamError::changed_meanwhile(path, "was full, and got its final head,"))
            }
            Head::Seek { path } => Err(self.damaged_file(path, "does not come in one piece")),
        }
    }

    fn begin_content(
        &mut self,
        payload: &Payload,
        sink: &mut dyn FileSink,
    ) -> Result<(), MbstreamError> {
        let file = match self.open.iter().position(|file| file.path == payload.path) {
            Some(file) => file,
            None if self.complete.has(payload.path) && !payload.is_rewrite => {
                return Err(self.damaged_file(payload.path, "goes on after its end"));
            }
            None => self.open(payload.path, sink)?,
        };
        if payload.offset != self.open[file].len_bytes {
            return Err(self.damaged_file(payload.path, "does not go on where it was"));
        }
        let content = ContentState {
            file,
            left_bytes: payload.len_bytes,
            crc: crc32fast::Hasher::new(),
            crc32: payload.crc32,
        };
        // The rest of the pushed bytes may be empty: what is complete must not wait for more.
        self.take_content(content, &[], sink).map(|_| ())
    }

    /// Takes bytes of a payload, and compares its checksum when it is whole.
    fn take_content(
        &mut self,
        mut content: ContentState,
        bytes: &[u8],
        sink: &mut dyn FileSink,
    ) -> Result<usize, MbstreamError> {
        let file = &mut self.open[content.file];
        let left_bytes = usize::try_from(content.left_bytes).unwrap_or(usize::MAX);
        let bytes = &bytes[..left_bytes.min(bytes.len())];
        content.crc.update(bytes);
        content.left_bytes -= bytes.len() as u64;
        file.len_bytes += bytes.len() as u64;
        if let Some(metadata) = &mut file.metadata {
            metadata.extend_from_slice(bytes);
            if metadata.len() > METADATA_LEN_MAX_BYTES {
                let path = file.path.clone();
                return Err(self.damaged_file(&path, "is larger than any of its kind"));
            }
        }
        if !bytes.is_empty() {
            sink.write(file.number, bytes)?;
        }
        if content.left_bytes > 0 {
            self.content = Some(content);
        } else if content.crc.finalize() != content.crc32 {
            let path = file.path.clone();
            return Err(self.damaged_file(&path, "has a wrong checksum"));
        }
        Ok(bytes.len())
    }

    /// Begins a file, and returns its index among the open ones.
    fn open(&mut self, path: &[u8], sink: &mut dyn FileSink) -> Result<usize, MbstreamError> {
        names::check_path(path).map_err(|why| self.damaged(why))?;
        if TRANSFORMED.iter().any(|ending| path.ends_with(ending.as_bytes())) {
            return Err(MbstreamError::unsuitable(
                format!("`{}` is compressed or encrypted", printable(path)),
                "take `--compress` and `--encrypt` out of `options`: the repository does both",
            ));
        }
        if self.open.len() == OPEN_FILES_MAX {
            return Err(MbstreamError::unsuitable(
                format!("more than {OPEN_FILES_MAX} files come at once"),
                "take `--parallel` out of `options`",
            ));
        }
        let number = sink.begin(path)?;
        let metadata = metadata::is_metadata(path).then(Vec::new);
        self.open.push(OpenFile { path: path.to_vec(), number, len_bytes: 0, metadata });
        Ok(self.open.len() - 1)
    }

    fn end_file(&mut self, path: &[u8], sink: &mut dyn FileSink) -> Result<(), MbstreamError> {
        let file = match self.open.iter().position(|file| file.path == path) {
            Some(file) => file,
            // A file without content has nothing but an end; the end has no flag that tells whether
            // it is to replace the earlier one.
            None if self.complete.has(path) => {
                return Err(MbstreamError::changed_meanwhile(path, "was emptied"));
            }
            None => self.open(path, sink)?,
        };
        let OpenFile { path, number, len_bytes, metadata } = self.open.swap_remove(file);
        sink.end(number)?;
        self.metadata.extend(metadata.map(|content| (path.clone(), (number, content))));
        let file = UnpackedFile { path, number, len_bytes };
        self.complete.insert(file).map_err(|why| self.damaged(why))
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), MbstreamError> {
        for path in [from, to] {
            names::check_path(path).map_err(|why| self.damaged(why))?;
            if self.open.iter().any(|file| file.path == path) {
                return Err(MbstreamError::changed_meanwhile(path, "got another name"));
            }
        }
        if self.complete.rename(from, to).map_err(|why| self.damaged(why))? {
            Ok(())
        } else {
            Err(MbstreamError::changed_meanwhile(from, "got the name of another file"))
        }
    }

    fn remove(&mut self, path: &[u8]) -> Result<(), MbstreamError> {
        names::check_path(path).map_err(|why| self.damaged(why))?;
        if let Some(file) = self.open.iter().find(|file| names::is_removed(&file.path, path)) {
            return Err(MbstreamError::changed_meanwhile(&file.path, "was removed"));
        }
        self.complete.remove(path).map_err(|why| self.damaged(why))
    }

    fn damaged(&self, why: impl Into<String>) -> MbstreamError {
        MbstreamError::Damaged { at: self.chunk_at, why: why.into() }
    }

    fn damaged_file(&self, path: &[u8], why: &str) -> MbstreamError {
        self.damaged(format!("`{}` {why}", printable(path)))
    }
}

#[cfg(test)]
mod tests;
