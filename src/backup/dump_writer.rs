//! Dumps, stored as files of the snapshot.
//!
//! They are stored before the walk, one after another, on one lane. If one fails, the backup fails,
//! since half a dump must never look complete.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::Ordering;

use super::chunk_stream::ChunkStream;
use super::context::{Contexts, FileCounts};
use super::describe::describe_made;
use super::dump::{DumpSource, FileNumber, FileSink};
use super::options::Error;
use super::path;
use super::sources::SourceNode;
use crate::chunker::{Cutter, Cutting};
use crate::format::entry::{Content, is_valid_name};
use crate::format::limits::INLINE_LEN_MAX_BYTES;
use crate::monitor::ProblemKind;
use crate::os::dir::stat_path;
use crate::os::stat::Stat;
use crate::repo::write::list_builder::ListBuilder;
use crate::repo::{self, Lane};

/// Most files that a dump may fill at the same time. Each has a buffer of 2 MiB.
const OPEN_FILES_MAX: usize = 64;

/// Stores dumps on one lane.
pub(super) struct DumpWriter<'t> {
    contexts: Contexts<'t>,
    lane: Lane<'t>,
    /// Chunk sizes of dumps that do not say their own.
    cutting: Cutting,
}

impl<'t> DumpWriter<'t> {
    /// Opens a lane.
    pub(super) fn new(contexts: Contexts<'t>, cutting: Cutting) -> Self {
        Self { contexts, lane: Lane::new(contexts.target.session), cutting }
    }

    /// Stores a dump and adds its entries to the sources; one that `may_fail` is left out.
    pub(super) fn store(
        &mut self,
        dump: DumpSource,
        sources: &mut SourceNode,
    ) -> Result<(), Error> {
        let source = self.contexts.source;
        source.monitor.working_on(&dump.path);
        let original = dump.original.as_deref().map(|path| stat_path(path, true));
        let original = original.transpose();
        let made = original.map(|original| {
            let mut files = DumpFiles {
                contexts: self.contexts,
                lane: &mut self.lane,
                cutting: dump.cutting.unwrap_or(self.cutting),
                place: &dump.path,
                original,
                open: BTreeMap::new(),
                spare: Vec::new(),
                begun: 0,
                failure: None,
                sources: &mut *sources,
            };
            let ran = (dump.open)().and_then(|opened| opened.run(&mut files));
            (files.failure.take(), ran.and_then(|()| files.finish()))
        });
        let path = || String::from_utf8_lossy(&dump.path).into_owned();
        let result = match made {
            _ if source.monitor.is_cancelled() => return Err(repo::Error::Cancelled.into()),
            Ok((Some(failure), _)) => return Err(failure.into()),
            Ok((None, result)) => result,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => source.losses.note_dump(),
            Err(error) if dump.may_fail => {
                sources.remove_made(&dump.path);
                source.losses.note_unread(&dump.path, error);
            }
            Err(error) => return Err(Error::Stream { path: path(), source: error }),
        }
        Ok(())
    }
}

/// The files of one dump.
struct DumpFiles<'d, 't> {
    contexts: Contexts<'t>,
    lane: &'d mut Lane<'t>,
    cutting: Cutting,
    place: &'d [u8],
    /// Metadata for its files, if they are copies of a file.
    original: Option<Stat>,
    open: BTreeMap<FileNumber, OpenFile>,
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

impl DumpFiles<'_, '_> {
    /// Fails unless all files have ended, and there is one.
    fn finish(&self) -> io::Result<()> {
        match self.open.values().next() {
            Some(open) => {
                let path = String::from_utf8_lossy(&open.path);
                Err(io::Error::other(format!("{path} was begun and did not end")))
            }
            None if self.begun == 0 => Err(io::Error::other("it has no file")),
            None => Ok(()),
        }
    }

    /// Keeps the repository's error, and returns one that stops the dump.
    fn stopped(&mut self, error: repo::Error) -> io::Error {
        self.failure.get_or_insert(error);
        io::Error::other("the repository failed")
    }

    fn check_path(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        let whole =
            if path.is_empty() { self.place.to_vec() } else { path::join(self.place, path) };
        let parts: Vec<&[u8]> = path::parts(&whole).collect();
        let is_valid = path.is_empty() || path.split(|byte| *byte == b'/').all(is_valid_name);
        let refuse = |why: &str| {
            let path = String::from_utf8_lossy(&whole);
            Err(io::Error::other(format!("{path} {why}")))
        };
        if !is_valid {
            return refuse("cannot be the path of a file");
        }
        let is_open = self.open.values().any(|open| open.path == whole);
        if is_open || self.sources.is_taken(&parts, self.original.is_some()) {
            return refuse("is in the snapshot already");
        }
        Ok(whole)
    }

    fn open_file(&mut self, file: FileNumber) -> io::Result<OpenFile> {
        let unknown = || io::Error::other(format!("file {} is not open", file.0));
        self.open.remove(&file).ok_or_else(unknown)
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
        let path = self.check_path(path)?;
        if self.open.len() >= OPEN_FILES_MAX {
            return Err(io::Error::other(format!("more than {OPEN_FILES_MAX} files are open")));
        }
        let gear = self.contexts.target.session.ids().gear();
        let new = || ChunkStream::new(Cutter::new(self.cutting, gear), true);
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
        let unknown = || io::Error::other(format!("file {} is not open", file.0));
        let open = self.open.get_mut(&file).ok_or_else(unknown)?;
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
        if size == 0 && !source.allows_empty {
            source.monitor.source_problem(
                ProblemKind::Unreadable,
                &path,
                "nothing came: an empty dump is rarely meant (--allow-empty accepts it)",
            );
        }
        let entry = describe_made(source, path::name(&path), content, size, self.original.as_ref());
        self.sources.insert_made(&path, Box::new(entry));
        Ok(())
    }
}

/// Checks that the path of each dump is valid and free, before any dump is opened.
pub(super) fn check_paths(dumps: &[DumpSource], sources: &SourceNode) -> Result<(), Error> {
    let refuse = |path: &[u8], why: &str| {
        let path = String::from_utf8_lossy(path).into_owned();
        Err(Error::Stream { path, source: io::Error::other(why) })
    };
    let mut taken = BTreeSet::new();
    for dump in dumps {
        let parts: Vec<&[u8]> = path::parts(&dump.path).collect();
        if parts.is_empty() || !parts.iter().all(|part| is_valid_name(part)) {
            return refuse(&dump.path, "its name cannot be the name of a file");
        }
        if sources.is_taken(&parts, dump.original.is_some()) || !taken.insert(parts) {
            return refuse(
                &dump.path,
                "another source has this place in the snapshot: give it another name",
            );
        }
    }
    for (above, below) in taken.iter().zip(taken.iter().skip(1)) {
        if below.starts_with(above) {
            return refuse(
                &[&b"/"[..], &above.join(&b'/')].concat(),
                "the folder of another stream has this place in the snapshot: give it another name",
            );
        }
    }
    Ok(())
}
