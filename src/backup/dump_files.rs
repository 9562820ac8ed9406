//! Files of one dump while it runs.
//!
//! They get their places in the snapshot when the dump has succeeded, and not before: a dump may
//! replace, rename or remove what it sent, or begin again, and one that fails leaves nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;

use super::chunk_stream::ChunkStream;
use super::context::{Contexts, FileCounts};
use super::describe::describe_made;
use super::dump::{FileNumber, FileSink, PlacedFile};
use super::path;
use super::sources::SourceNode;
use crate::chunker::{Cutter, Cutting};
use crate::format::entry::{Content, is_valid_name};
use crate::format::limits::INLINE_LEN_MAX_BYTES;
use crate::monitor::ProblemKind;
use crate::os::stat::Stat;
use crate::repo::write::list_builder::ListBuilder;
use crate::repo::{self, DirEntry, Lane};

/// Most files that a dump may fill at the same time. Each has a buffer of 2 MiB.
const OPEN_FILES_MAX: usize = 64;

/// The files of one dump.
pub(super) struct DumpFiles<'d, 't> {
    contexts: Contexts<'t>,
    lane: &'d mut Lane<'t>,
    place: &'d [u8],
    form: FileForm,
    open: BTreeMap<FileNumber, OpenFile>,
    ended: BTreeMap<FileNumber, EndedFile>,
    /// Buffers of files that ended.
    spare: Vec<ChunkStream>,
    begun: u32,
    /// The repository's error, which is the one to report.
    failure: Option<repo::Error>,
    sources: &'d mut SourceNode,
}

/// A file that was begun and has not ended.
struct OpenFile {
    path: Vec<u8>,
    stream: ChunkStream,
    list: ListBuilder,
}

/// A file whose content is stored.
struct EndedFile {
    path: Vec<u8>,
    entry: Box<DirEntry>,
}

/// Form in which files are stored.
pub(super) struct FileForm {
    /// Chunk sizes.
    pub cutting: Cutting,
    /// Metadata for the files, if they are copies of a file.
    pub original: Option<Stat>,
}

impl<'d, 't> DumpFiles<'d, 't> {
    /// Begins a dump without files; `place` is its path.
    pub(super) fn new(
        contexts: Contexts<'t>,
        lane: &'d mut Lane<'t>,
        place: &'d [u8],
        form: FileForm,
        sources: &'d mut SourceNode,
    ) -> Self {
        Self {
            contexts,
            lane,
            place,
            form,
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            spare: Vec::new(),
            begun: 0,
            failure: None,
            sources,
        }
    }

    /// Takes the error of the repository, if it had one.
    pub(super) fn take_failure(&mut self) -> Option<repo::Error> {
        self.failure.take()
    }

    /// Puts the files into the tree of sources. Fails unless all have ended, there is one, and no
    /// path has two.
    pub(super) fn finish(self) -> io::Result<()> {
        if let Some(open) = self.open.values().next() {
            let path = String::from_utf8_lossy(&open.path);
            return Err(io::Error::other(format!("{path} was begun and did not end")));
        }
        if self.ended.is_empty() {
            return Err(io::Error::other("it has no file"));
        }
        let source = self.contexts.source;
        let is_empty = self.ended.values().all(|file| file.entry.entry.size == 0);
        if is_empty && !source.allows_empty {
            source.monitor.source_problem(
                ProblemKind::Unreadable,
                self.place,
                "nothing came: an empty dump is rarely meant (--allow-empty accepts it)",
            );
        }
        let may_replace = self.form.original.is_some();
        for EndedFile { path, entry } in self.ended.into_values() {
            let parts: Vec<&[u8]> = path::parts(&path).collect();
            if self.sources.is_taken(&parts, may_replace) {
                return Err(refused(&path, "is in the snapshot already"));
            }
            self.sources.insert_made(&path, entry);
        }
        Ok(())
    }

    /// Keeps the repository's error, and returns one that stops the dump.
    fn stopped(&mut self, error: repo::Error) -> io::Error {
        self.failure.get_or_insert(error);
        io::Error::other("the repository failed")
    }

    /// Returns the absolute path of a file; fails if it is not valid, or taken by another dump.
    fn whole_path(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        let whole =
            if path.is_empty() { self.place.to_vec() } else { path::join(self.place, path) };
        if !path.is_empty() && !path.split(|byte| *byte == b'/').all(is_valid_name) {
            return Err(refused(&whole, "cannot be the path of a file"));
        }
        let parts: Vec<&[u8]> = path::parts(&whole).collect();
        match self.sources.is_taken(&parts, self.form.original.is_some()) {
            true => Err(refused(&whole, "is in the snapshot already")),
            false => Ok(whole),
        }
    }

    fn open_file(&mut self, file: FileNumber) -> io::Result<OpenFile> {
        self.open.remove(&file).ok_or_else(|| not_open(file))
    }

    /// Stores the end of a file, and returns its content.
    fn end_content(&mut self, file: OpenFile) -> repo::Result<Content> {
        let OpenFile { mut stream, mut list, .. } = file;
        let content = if list.len_bytes() == 0 && stream.uncut().len() <= INLINE_LEN_MAX_BYTES {
            Content::Inline(stream.uncut().to_vec())
        } else {
            stream.end(self.lane, &mut list)?;
            list.finish(self.lane)?
        };
        self.spare.push(stream);
        Ok(content)
    }
}

impl FileSink for DumpFiles<'_, '_> {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        let path = self.whole_path(path)?;
        if self.open.len() >= OPEN_FILES_MAX {
            return Err(io::Error::other(format!("more than {OPEN_FILES_MAX} files are open")));
        }
        let gear = self.contexts.target.session.ids().gear();
        let new = || ChunkStream::new(Cutter::new(self.form.cutting, gear), true);
        let mut stream = self.spare.pop().unwrap_or_else(new);
        stream.begin();
        let number = FileNumber(self.begun);
        self.begun += 1;
        self.open.insert(number, OpenFile { path, stream, list: ListBuilder::default() });
        Ok(number)
    }

    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        let monitor = self.contexts.source.monitor;
        if monitor.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        monitor.bytes_done.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let open = self.open.get_mut(&file).ok_or_else(|| not_open(file))?;
        let pushed = open.stream.push(self.lane, &mut open.list, bytes);
        pushed.map_err(|error| self.stopped(error))
    }

    fn end(&mut self, file: FileNumber) -> io::Result<()> {
        let open = self.open_file(file)?;
        let path = open.path.clone();
        let size = open.list.len_bytes() + open.stream.uncut().len() as u64;
        let content = self.end_content(open).map_err(|error| self.stopped(error))?;
        let Contexts { source, target } = self.contexts;
        FileCounts::add(&target.counts.bytes_read, size);
        source.monitor.files_done.fetch_add(1, Ordering::Relaxed);
        let entry =
            describe_made(source, path::name(&path), content, size, self.form.original.as_ref());
        self.ended.insert(file, EndedFile { path, entry: Box::new(entry) });
        Ok(())
    }

    fn keep(&mut self, files: Vec<PlacedFile>) -> io::Result<()> {
        let mut kept = BTreeMap::new();
        for PlacedFile { file, path } in files {
            let path = self.whole_path(&path)?;
            let mut ended = self.ended.remove(&file).ok_or_else(|| {
                io::Error::other(format!("file {} has not ended, or is kept twice", file.0))
            })?;
            ended.entry.entry.name = path::name(&path).to_vec();
            kept.insert(file, EndedFile { path, ..ended });
        }
        self.ended = kept;
        let forgotten = std::mem::take(&mut self.open);
        self.spare.extend(forgotten.into_values().map(|open| open.stream));
        Ok(())
    }
}

fn not_open(file: FileNumber) -> io::Error {
    io::Error::other(format!("file {} is not open", file.0))
}

fn refused(path: &[u8], why: &str) -> io::Error {
    io::Error::other(format!("{} {why}", String::from_utf8_lossy(path)))
}
