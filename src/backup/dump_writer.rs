//! Dumps, stored as files of the snapshot.
//!
//! They are stored before the walk, one after another, on one lane. If one fails, the backup fails,
//! since half a dump must never look complete.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;

use super::context::Contexts;
use super::dump::DumpSource;
use super::dump_files::{DumpFiles, FileForm};
use super::options::Error;
use super::path;
use super::sources::SourceNode;
use crate::chunker::Cutting;
use crate::format::entry::{EntryKind, is_valid_name};
use crate::os::dir::stat_path;
use crate::repo::{self, DirEntry, Lane};

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
        if let Some(entry) = self.known_entry(&dump) {
            source.monitor.files_done.fetch_add(1, Ordering::Relaxed);
            source.monitor.bytes_done.fetch_add(entry.entry.size, Ordering::Relaxed);
            sources.insert_made(&dump.path, entry);
            source.losses.note_dump();
            return Ok(());
        }
        let DumpSource { path: place, open, cutting, original, may_fail, .. } = dump;
        let original = original.as_deref().map(|path| stat_path(path, true)).transpose();
        let made = original.map(|original| {
            let form = FileForm { cutting: cutting.unwrap_or(self.cutting), original };
            let lane = &mut self.lane;
            let mut files = DumpFiles::new(self.contexts, lane, &place, form, &mut *sources);
            let ran = open().and_then(|opened| opened.run(&mut files));
            (files.take_failure(), ran.and_then(|()| files.finish()))
        });
        let result = match made {
            _ if source.monitor.is_cancelled() => return Err(repo::Error::Cancelled.into()),
            Ok((Some(failure), _)) => return Err(failure.into()),
            Ok((None, result)) => result,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => source.losses.note_dump(),
            Err(error) if may_fail => {
                sources.remove_made(&place);
                source.losses.note_unread(&place, error);
            }
            Err(error) => {
                let path = String::from_utf8_lossy(&place).into_owned();
                return Err(Error::Stream { path, source: error });
            }
        }
        Ok(())
    }

    /// Returns the parent's entry of a dump that would make the same file again; `None` if it must
    /// be made.
    ///
    /// A parent that cannot be read, or that has another file there, is no reason to fail.
    fn known_entry(&self, dump: &DumpSource) -> Option<Box<DirEntry>> {
        let known = dump.known?;
        let parent = self.contexts.target.parent.as_ref()?;
        if parent.snapshot != known.snapshot || parent.doubts.is_on(&dump.path) {
            return None;
        }
        let found = parent.trees.lookup(&parent.root, &dump.path).ok()??;
        let is_it = found.entry.kind == EntryKind::File && found.entry.size == known.len_bytes;
        is_it.then(|| Box::new(found))
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
