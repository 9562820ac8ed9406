//! Streams, stored as files: the output of programs.

use std::collections::BTreeSet;

use super::chunk_stream::ChunkStreamError;
use super::context::{Contexts, FileCounts, SourceContext};
use super::options::{Error, StreamSource};
use super::sources::SourceNode;
use super::target_writer::TargetWriter;
use crate::format::config::Profile;
use crate::format::entry::{Content, Entry, EntryKind, is_valid_name};
use crate::monitor::ProblemKind;
use crate::repo::DirEntry;
use crate::repo::write::list_builder::ListBuilder;

/// Stores a stream and adds its entry to the sources.
///
/// If the program fails, the backup fails, since half a dump must never look complete; a stream
/// that `may_fail` is left out.
pub(super) fn store(
    contexts: Contexts,
    profile: Profile,
    mut stream: StreamSource,
    sources: &mut SourceNode,
) -> Result<(), Error> {
    let Contexts { source, target } = contexts;
    let path = || String::from_utf8_lossy(&stream.path).into_owned();
    let name = stream.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    source.monitor.working_on(&stream.path);
    let mut writer = TargetWriter::new(target, profile, true);
    let mut list = ListBuilder::default();
    let read = |buffer: &mut [u8]| {
        if source.monitor.is_cancelled() {
            return Err(std::io::Error::other("interrupted"));
        }
        let len = stream.stream.read(buffer)?;
        source.monitor.bytes_done.fetch_add(len as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(len)
    };
    let put = writer.put_all(&mut list, read);
    if source.monitor.is_cancelled() {
        return Err(crate::repo::Error::Cancelled.into());
    }
    let size = match put {
        Ok(size) => size,
        Err(ChunkStreamError::Repository(error)) => return Err(error.into()),
        Err(ChunkStreamError::Read(error)) if stream.may_fail => {
            source.losses.note_unread(&stream.path, error);
            return Ok(());
        }
        Err(ChunkStreamError::Read(error)) => {
            return Err(Error::Stream { path: path(), source: error });
        }
    };
    stream.stream.finish().map_err(|error| Error::Stream { path: path(), source: error })?;
    let content = list.finish(&mut writer.lane).map_err(Error::from)?;
    FileCounts::add(&target.counts.bytes_read, size);
    FileCounts::add(&target.counts.new, 1);
    source.monitor.files_done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    if size == 0 && !source.allows_empty {
        source.monitor.source_problem(
            ProblemKind::Unreadable,
            &stream.path,
            "nothing came: an empty dump is rarely meant (--allow-empty accepts it)",
        );
    }
    let entry = stream_entry(source, name, content, size);
    sources.insert_stream(&stream.path, Box::new(entry));
    source.losses.note_stream();
    Ok(())
}

/// Checks that the path of each stream is valid and free, before any stream is read.
pub(super) fn check_paths(streams: &[StreamSource], sources: &SourceNode) -> Result<(), Error> {
    let refuse = |stream: &StreamSource, why| {
        let path = String::from_utf8_lossy(&stream.path).into_owned();
        Err(Error::Stream { path, source: std::io::Error::other(why) })
    };
    let mut taken = BTreeSet::new();
    for stream in streams {
        let parts: Vec<&[u8]> =
            stream.path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
        if parts.is_empty() || !parts.iter().all(|part| is_valid_name(part)) {
            return refuse(stream, "its name cannot be the name of a file");
        }
        if sources.is_taken(&parts) || !taken.insert(parts) {
            return refuse(
                stream,
                "another source has this place in the snapshot: give it another name",
            );
        }
    }
    for (above, below) in taken.iter().zip(taken.iter().skip(1)) {
        if below.starts_with(above) {
            let path = String::from_utf8_lossy(&above.join(&b'/')).into_owned();
            let why =
                "the folder of another stream has this place in the snapshot: give it another name";
            return Err(Error::Stream { path, source: std::io::Error::other(why) });
        }
    }
    Ok(())
}

/// Returns the entry of a stream: a private file of this process, made now.
fn stream_entry(source: &SourceContext, name: Vec<u8>, content: Content, size: u64) -> DirEntry {
    let (uid, gid) = crate::os::process::own_ids();
    let now = source.started;
    let entry = Entry {
        name,
        kind: EntryKind::File,
        mode: 0o600,
        uid,
        gid,
        user: 0,
        group: 0,
        mtime: now,
        ctime: now,
        btime: None,
        size,
        device: None,
        hard_link: None,
        content,
        xattrs: Vec::new(),
        flags: 0,
        extensions: Vec::new(),
    };
    DirEntry { entry, user: source.owners.user(uid), group: source.owners.group(gid), totals: None }
}
