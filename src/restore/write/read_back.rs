//! Verification of restored entries: read back from the disk and compared with the snapshot.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, fadvise};

use super::compare::{DataExtents, is_chunk, is_zero};
use super::context::RestoreContext;
use crate::format::entry::{Content, Entry, EntryKind, Ref};
use crate::os::dir::{Dir, stat_of};
use crate::os::special;
use crate::restore::options::add;
use crate::restore::plan::read_plan::FileChunk;
use crate::restore::target::dir::TargetDir;

const OPEN_TRIES: usize = 20;

/// An entry that is read back.
pub(crate) struct RecheckedEntry {
    /// Its directory.
    pub dir: Arc<TargetDir>,
    /// The entry of the snapshot, without its references to chunks.
    pub entry: Entry,
    /// Whether it was reported as wrong.
    pub is_wrong: AtomicBool,
}

/// A part of an entry to be verified.
pub(crate) struct Recheck {
    /// The entry.
    pub subject: Arc<RecheckedEntry>,
    /// Pieces of its content with their offsets; empty for an entry without pieces.
    pub pieces: Vec<(u64, Ref)>,
}

/// Verifies a part of an entry; reports the entry if it differs from the snapshot.
pub(crate) fn recheck(context: &RestoreContext, work: &Recheck, buffer: &mut Vec<u8>) {
    let RecheckedEntry { dir, entry, is_wrong } = &*work.subject;
    let result = match entry.kind {
        EntryKind::File => recheck_file(context, work, buffer),
        _ => recheck_other(context, dir, entry),
    };
    let wrong = match result {
        Ok(true) => return,
        Ok(false) => "it is not what the snapshot says".to_owned(),
        Err(error) => error.to_string(),
    };
    if !is_wrong.swap(true, Ordering::Relaxed) {
        add(&context.counts.verify_failed, 1);
        context.report(&dir.path_of(&entry.name), format!("reading it again failed: {wrong}"));
    }
}

fn recheck_file(
    context: &RestoreContext,
    work: &Recheck,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    let RecheckedEntry { dir, entry, .. } = &*work.subject;
    let file = open(&*dir.open(&context.host.dirs)?, entry)?;
    let stat = stat_of(&file)?;
    if (stat.kind, stat.size) != (EntryKind::File, entry.size) {
        return Ok(false);
    }
    if let Content::Inline(bytes) = &entry.content {
        forget_cached(&file, 0, entry.size);
        buffer.resize(bytes.len(), 0);
        file.read_exact_at(buffer, 0)?;
        return Ok(buffer == bytes);
    }
    let mut extents = DataExtents::default();
    for (offset, piece) in &work.pieces {
        if context.is_stopped() {
            return Ok(true);
        }
        let is_right = match *piece {
            Ref::Data { id, len } => {
                forget_cached(&file, *offset, len.into());
                let chunk = FileChunk { offset: *offset, len, id };
                is_chunk(context, &file, &mut extents, chunk, buffer)
            }
            Ref::Hole { len } => is_zero(&file, &mut extents, *offset, len, buffer)?,
        };
        if !is_right {
            return Ok(false);
        }
        add(&context.monitor.bytes_done, piece.len());
    }
    Ok(true)
}

/// Opens a restored file; if its restored mode denies access to its owner, adds the permission for
/// that moment.
fn open(dir: &Dir, entry: &Entry) -> io::Result<File> {
    let mut opened = dir.open_file(&entry.name);
    // Another thread that opens the same file may remove the permission in between.
    for _ in 0..OPEN_TRIES {
        if !opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            break;
        }
        special::change_mode(dir, &entry.name, EntryKind::File, entry.mode | 0o400)?;
        opened = dir.open_file(&entry.name);
        special::change_mode(dir, &entry.name, EntryKind::File, entry.mode)?;
    }
    opened
}

fn recheck_other(
    context: &RestoreContext,
    dir: &Arc<TargetDir>,
    entry: &Entry,
) -> io::Result<bool> {
    let open = dir.open(&context.host.dirs)?;
    let stat = open.stat(&entry.name)?;
    let is_same_link = match &entry.content {
        Content::Inline(target) => open.read_link(&entry.name)? == *target,
        _ => true,
    };
    Ok((stat.kind, stat.device) == (entry.kind, entry.device) && is_same_link)
}

/// Drops cached pages, so that the next read comes from the disk. It is only advice to the kernel.
fn forget_cached(file: &File, offset: u64, len: u64) {
    if let Some(len) = NonZeroU64::new(len) {
        let _ = fadvise(file, offset, Some(len), Advice::DontNeed);
    }
}
