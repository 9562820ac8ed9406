//! Streams: the output of a program, stored as a file.

use std::collections::BTreeSet;

use super::chunk_stream::{ChunkStream, StreamError};
use super::context::{Context, Counts};
use super::options::{Error, StreamSource};
use super::sources::SourceNode;
use crate::chunker::Cutter;
use crate::format::config::Profile;
use crate::format::entry::{Content, Entry, EntryKind, is_valid_name};
use crate::monitor::ProblemKind;
use crate::repo::write::list_builder::ListBuilder;
use crate::repo::{DirEntry, Lane};

/// Stores a stream and adds its entry to the sources.
///
/// An error at its end (the program failed) fails the backup: half a dump must never look like a
/// whole one. A stream that `may_fail` is left out then.
pub fn store(
    context: &Context,
    profile: Profile,
    mut source: StreamSource,
    sources: &mut SourceNode,
) -> Result<(), Error> {
    let path = || String::from_utf8_lossy(&source.path).into_owned();
    let name = source.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    context.monitor.working_on(&source.path);
    let cutter = Cutter::new(profile, context.session.ids().gear());
    let mut lane = Lane::new(context.session);
    let mut list = ListBuilder::default();
    let read = |buffer: &mut [u8]| {
        if context.monitor.is_cancelled() {
            return Err(std::io::Error::other("interrupted"));
        }
        let len = source.stream.read(buffer)?;
        context.monitor.bytes_done.fetch_add(len as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(len)
    };
    let put = ChunkStream::new(cutter, true).put_all(&mut lane, &mut list, read);
    if context.monitor.is_cancelled() {
        return Err(crate::repo::Error::Cancelled.into());
    }
    let size = match put {
        Ok(size) => size,
        Err(StreamError::Repository(error)) => return Err(error.into()),
        Err(StreamError::Read(error)) if source.may_fail => {
            context.losses.unread(&source.path, error);
            return Ok(());
        }
        Err(StreamError::Read(error)) => return Err(Error::Stream { path: path(), source: error }),
    };
    source.stream.finish().map_err(|error| Error::Stream { path: path(), source: error })?;
    let content = list.finish(&mut lane).map_err(Error::from)?;
    Counts::add(&context.counts.bytes_read, size);
    Counts::add(&context.counts.new, 1);
    context.monitor.files_done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    if size == 0 && !context.allows_empty {
        context.monitor.source_problem(
            ProblemKind::Unreadable,
            &source.path,
            "nothing came: an empty dump is rarely meant (--allow-empty accepts it)",
        );
    }
    let entry = made_entry(context, name, content, size);
    sources.insert_made(&source.path, Box::new(entry));
    context.losses.stored_stream();
    Ok(())
}

/// Checks, before any of them is read, that every stream can have its place beside the other
/// sources.
pub fn check_places(streams: &[StreamSource], sources: &SourceNode) -> Result<(), Error> {
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

fn made_entry(context: &Context, name: Vec<u8>, content: Content, size: u64) -> DirEntry {
    let (uid, gid) = crate::os::process::own_ids();
    let now = context.started;
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
    DirEntry {
        entry,
        user: context.owners.user(uid),
        group: context.owners.group(gid),
        totals: None,
    }
}
