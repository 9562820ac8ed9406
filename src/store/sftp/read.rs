//! Pipelined reads of a file, straight into the caller's buffer.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::connection::Connection;
use super::error::SftpError;
use super::multiplexer::Sent;
use super::open_files::{CachedFile, FileHandle};
use super::remote_dir::regular_len_bytes;
use super::wire::{Answer, BLOCK_LEN_BYTES, Handle, READING, Request};

/// Blocks requested at once, without and with a rate limit.
const BLOCKS_AHEAD: usize = 128;
const BLOCKS_AHEAD_LIMITED: usize = 8;

/// Appends a range of a file, or all of it, to `out`. A range must not be longer than an object.
///
/// Fails with [`SftpError::Short`] if the file ends before the range does.
pub(super) fn read(
    connection: &Connection,
    path: &Path,
    range: Option<Range<u64>>,
    out: &mut Vec<u8>,
) -> Result<(), SftpError> {
    if let Some(read) = range.clone().and_then(|range| read_in_open(connection, path, range, out)) {
        return read;
    }
    let since = Instant::now();
    let is_part = range.is_some();
    let opened = connection.send(&Request::Open(path, READING));
    let stat = range.is_none().then(|| connection.send(&Request::Stat(path)));
    let opened = connection.opened(opened);
    // Both answers are read, even if the first one is an error.
    let range = match stat {
        Some(stat) => connection
            .attributes(stat)
            .and_then(|attributes| Ok(0..regular_len_bytes(&attributes)?)),
        None => Ok(range.unwrap_or_default()),
    };
    let handle = opened?;
    let result = range.and_then(|range| read_range(connection, &handle, range, out));
    if is_part && result.is_ok() {
        leave(
            connection,
            CachedFile { path: path.to_owned(), handle: FileHandle::Open(handle), since },
        );
    } else {
        // The result of the close does not matter: the bytes are here.
        connection.send_ignoring_reply(&Request::Close(&handle));
    }
    result
}

/// Reads through the cache of open files; `None` if the file is not in it, or if its handle no
/// longer works.
fn read_in_open(
    connection: &Connection,
    path: &Path,
    range: Range<u64>,
    out: &mut Vec<u8>,
) -> Option<Result<(), SftpError>> {
    let (start, file) = (out.len(), connection.open_files()?.take(path)?);
    let read = handle_of(connection, file.handle).and_then(|handle| {
        let read = read_range(connection, &handle, range, out);
        match &read {
            Ok(()) => leave(connection, CachedFile { handle: FileHandle::Open(handle), ..file }),
            Err(_) => connection.send_ignoring_reply(&Request::Close(&handle)),
        }
        read
    });
    match read {
        // The server may have lost the handle, or another file may have taken the name.
        Err(error)
            if error.is_status()
                || matches!(error, SftpError::Short | SftpError::Unreadable(_)) =>
        {
            out.truncate(start);
            None
        }
        read => Some(read),
    }
}

/// Asks the server to open files that will be read soon; does not wait.
pub(super) fn open_ahead(connection: &Connection, paths: &[PathBuf]) {
    let Some(open_files) = connection.open_files() else { return };
    for path in paths.iter().filter(|path| !open_files.has(path)) {
        let handle = FileHandle::Requested(connection.send(&Request::Open(path, READING)));
        leave(connection, CachedFile { path: path.clone(), handle, since: Instant::now() });
    }
}

fn handle_of(connection: &Connection, handle: FileHandle) -> Result<Handle, SftpError> {
    match handle {
        FileHandle::Open(handle) => Ok(handle),
        FileHandle::Requested(sent) => connection.opened(sent),
    }
}

/// Puts a file into the cache for the next read, or closes it if there is no cache.
fn leave(connection: &Connection, file: CachedFile) {
    let closed = match connection.open_files() {
        Some(open_files) => open_files.put(file),
        None => vec![file],
    };
    for handle in closed.into_iter().filter_map(|file| handle_of(connection, file.handle).ok()) {
        connection.send_ignoring_reply(&Request::Close(&handle));
    }
}

/// Offset in the requested range, and length.
type Block = (usize, usize);

fn read_range(
    connection: &Connection,
    handle: &Handle,
    range: Range<u64>,
    out: &mut Vec<u8>,
) -> Result<(), SftpError> {
    let len =
        usize::try_from(range.end.saturating_sub(range.start)).map_err(|_| SftpError::Short)?;
    let start = out.len();
    out.resize(start + len, 0);
    let target = &mut out[start..];
    let ahead =
        if connection.rate_limiter().is_unlimited() { BLOCKS_AHEAD } else { BLOCKS_AHEAD_LIMITED };
    let ask = |(at, len): Block| {
        let len_asked = u32::try_from(len).expect("a block is short");
        (connection.send(&Request::Read(handle, range.start + at as u64, len_asked)), (at, len))
    };
    let mut blocks =
        (0..len).step_by(BLOCK_LEN_BYTES).map(|at| (at, BLOCK_LEN_BYTES.min(len - at)));
    let mut asked: VecDeque<(Sent, Block)> = blocks.by_ref().take(ahead).map(ask).collect();
    let result = loop {
        let Some((sent, (at, len))) = asked.pop_front() else { break Ok(()) };
        let bytes = match connection.answer(sent) {
            Ok(Answer::Data(bytes)) if (1..=len).contains(&bytes.len()) => bytes,
            Ok(_) => break Err(connection.protocol_error()),
            Err(error) if error.is_end() => break Err(SftpError::Short),
            Err(error) => break Err(error.when_reading()),
        };
        target[at..at + bytes.len()].copy_from_slice(&bytes);
        connection.rate_limiter().download(bytes.len());
        // Servers may return less than was requested.
        let rest = (at + bytes.len(), len - bytes.len());
        let next = if rest.1 > 0 { Some(rest) } else { blocks.next() };
        asked.extend(next.map(ask));
    };
    asked.into_iter().for_each(|(sent, _)| connection.decline(sent));
    result
}
