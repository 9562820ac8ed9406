//! Atomic creation: a file gets its bytes first and its name last.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::connection::Connection;
use super::error::SftpError;
use super::multiplexer::Sent;
use super::preopened::PreopenedScratch;
use super::remote_dir::RemoteDir;
use super::wire::{BLOCK_LEN_BYTES, Handle, NEW_FILE, Request};

use crate::sync::lock;

/// The directory of files that have no object's name yet.
pub(super) const SCRATCH_DIR: &str = "tmp";
/// Scratch files are removed if they are this much older than a new one, in seconds.
const SCRATCH_AGE_MIN_S: i64 = 24 * 3600;
/// Maximum bytes in flight. OpenSSH accepts 2 MiB before it replies, so more would not help.
const WINDOW_LEN_BYTES: usize = 4 << 20;
/// Blocks that are queued before they are sent.
const BLOCKS_AT_ONCE: usize = 8;
/// Maximum length of an object after which the next scratch file is opened ahead: the cost of small
/// objects is round trips, not bytes.
const SMALL_LEN_BYTES: usize = 64 << 10;
/// Bytes of the random part of a scratch file's name.
const SCRATCH_ID_LEN_BYTES: usize = 16;

/// Writes files of one directory that appear whole or not at all.
#[derive(Default)]
pub(super) struct SftpPublisher {
    /// The server has no `fsync@openssh.com`.
    cannot_sync: AtomicBool,
    /// Leftovers were removed once.
    swept: AtomicBool,
    /// Directories that the server was asked to make.
    folders: Mutex<HashSet<String>>,
}

impl SftpPublisher {
    /// Makes a new file with the given bytes; one that exists is never touched.
    ///
    /// Fails with [`SftpError::Exists`] if there is one. Dying at any moment leaves nothing, a
    /// scratch file, or the whole file. [`SftpError::Unanswered`] says that it may be there, or
    /// come to be.
    ///
    /// Spec: `format-spec/12-store.md`, section 5.
    pub(super) fn publish(
        &self,
        connection: &Connection,
        folder: &RemoteDir,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), SftpError> {
        // Requests without a needed reply come first, so that they travel with one whose reply is
        // awaited.
        let preopened = connection.take_preopened();
        self.make_dir_ahead(connection, folder, name);
        let scratch = self.write(connection, folder, preopened, bytes)?;
        if is_probe(name) && !self.swept.swap(true, Ordering::Relaxed) {
            // Leftovers only take space, so failing to remove them is no failure.
            let _ = sweep(connection, folder, &scratch);
        }
        let renamed = connection.send(&Request::Rename(&folder.path(&scratch), &folder.path(name)));
        if bytes.len() <= SMALL_LEN_BYTES && !is_last(name) && connection.preopened().claim() {
            let preopened = ask_for_scratch(connection, folder);
            preopened.into_iter().for_each(|preopened| connection.preopened().keep(preopened));
        }
        let renamed = match connection.done(renamed).map_err(SftpError::when_sent) {
            Err(refused) if refused.is_status() => settle(connection, folder, &scratch, name),
            other => other,
        };
        if renamed.is_err() && !connection.is_broken() {
            let _ = connection.ask(&Request::Remove(&folder.path(&scratch)));
        }
        renamed
    }

    /// Asks for the object's directory once, if its class has directories below its own.
    ///
    /// The reply does not matter: the directory usually exists.
    fn make_dir_ahead(&self, connection: &Connection, folder: &RemoteDir, name: &str) {
        let Some((inner, _)) = name.rsplit_once('/').filter(|(inner, _)| inner.contains('/'))
        else {
            return;
        };
        let mut asked_for = lock(&self.folders);
        if asked_for.insert(inner.to_owned()) {
            connection.send_ignoring_reply(&Request::MakeDir(&folder.path(inner), 0o755));
        }
    }

    /// Writes a scratch file. It is on the server's disk when this returns, if the server supports
    /// `fsync`. After a failure it is removed, unless the connection is broken.
    fn write(
        &self,
        connection: &Connection,
        folder: &RemoteDir,
        preopened: Option<Opened>,
        bytes: &[u8],
    ) -> Result<String, SftpError> {
        let (scratch, handle) = open_scratch(connection, folder, preopened)?;
        let written = self.fill(connection, &handle, bytes);
        let Err(error) = written else { return Ok(scratch) };
        let error = folder.explain(connection, &scratch, bytes.len() as u64, error);
        if !connection.is_broken() {
            let _ = connection.ask(&Request::Remove(&folder.path(&scratch)));
        }
        Err(error)
    }

    /// Writes all bytes to an open file, syncs and closes it. A failed sync means that the bytes
    /// are lost; it is never repeated, because systems report it only once.
    fn fill(
        &self,
        connection: &Connection,
        handle: &Handle,
        bytes: &[u8],
    ) -> Result<(), SftpError> {
        let mut blocks = VecDeque::new();
        let mut result = write_all(connection, handle, bytes, &mut blocks);
        let sync = (!self.cannot_sync.load(Ordering::Relaxed))
            .then(|| connection.send(&Request::Sync(handle)));
        let close = connection.send(&Request::Close(handle));
        for sent in blocks {
            result = result.and(connection.done(sent));
        }
        if let Some(sync) = sync {
            result = result.and(match connection.done(sync) {
                Err(error) if error.is_unsupported() => {
                    self.cannot_sync.store(true, Ordering::Relaxed);
                    Ok(())
                }
                other => other,
            });
        }
        result.and(connection.done(close))
    }
}

/// Returns whether it is a probe: only `init` and collectors make those, and they may also remove
/// objects.
fn is_probe(name: &str) -> bool {
    name.starts_with("probe/")
}

/// Returns whether it is usually the last object that a process makes.
fn is_last(name: &str) -> bool {
    name.starts_with("snapshots/") || is_probe(name)
}

fn scratch_name() -> Result<String, SftpError> {
    let mut id = [0; SCRATCH_ID_LEN_BYTES];
    getrandom::fill(&mut id)
        .map_err(|_| SftpError::Refused("the system gives no random numbers"))?;
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{SCRATCH_DIR}/{hex}"))
}

fn is_scratch_name(name: &str) -> bool {
    name.len() == 2 * SCRATCH_ID_LEN_BYTES
        && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The name of a scratch file, and how opening it went.
type Opened = (String, Result<Handle, SftpError>);

/// Asks for a scratch file.
fn ask_for_scratch(
    connection: &Connection,
    folder: &RemoteDir,
) -> Result<PreopenedScratch, SftpError> {
    let below = scratch_name()?;
    let path = folder.path(&below);
    let sent = connection.send(&Request::Open(&path, NEW_FILE));
    Ok(PreopenedScratch { below, path, sent, since: Instant::now() })
}

/// Returns the name and handle of an open scratch file; makes the scratch directory if it is
/// missing.
fn open_scratch(
    connection: &Connection,
    folder: &RemoteDir,
    preopened: Option<Opened>,
) -> Result<(String, Handle), SftpError> {
    let open = || {
        let asked = ask_for_scratch(connection, folder)?;
        Ok::<_, SftpError>((asked.below, connection.opened(asked.sent)?))
    };
    match preopened.map_or_else(open, |(below, opened)| Ok((below, opened?))) {
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(explain_by_any(connection, folder, error)),
        Ok(opened) => return Ok(opened),
    }
    folder.check(connection)?;
    let opened = folder.make_all_inner(connection, &[SCRATCH_DIR]).and_then(|()| open());
    opened.map_err(|error| explain_by_any(connection, folder, error))
}

/// Explains why no file could be made, by means of a file that exists: every repository has a
/// configuration.
fn explain_by_any(connection: &Connection, folder: &RemoteDir, error: SftpError) -> SftpError {
    let entries = if error.is_status() {
        folder.list(connection, "config").ok().flatten().unwrap_or_default()
    } else {
        Vec::new()
    };
    match entries.iter().find(|entry| !entry.is_dir) {
        Some(entry) => folder.explain(connection, &format!("config/{}", entry.name), 0, error),
        None => error,
    }
}

/// Sends all bytes, with at most a window of them in flight; `blocks` holds the requests whose
/// replies are still to be read.
fn write_all(
    connection: &Connection,
    handle: &Handle,
    bytes: &[u8],
    blocks: &mut VecDeque<Sent>,
) -> Result<(), SftpError> {
    for (index, block) in bytes.chunks(BLOCK_LEN_BYTES).enumerate() {
        if blocks.len() >= WINDOW_LEN_BYTES / BLOCK_LEN_BYTES
            && let Some(first) = blocks.pop_front()
        {
            connection.done(first)?;
        }
        connection.rate_limiter().upload(block.len());
        blocks.push_back(connection.send(&Request::Write(
            handle,
            (index * BLOCK_LEN_BYTES) as u64,
            block,
        )));
        if !connection.rate_limiter().is_unlimited() || index % BLOCKS_AT_ONCE == BLOCKS_AT_ONCE - 1
        {
            connection.flush()?;
        }
    }
    Ok(())
}

fn rename(
    connection: &Connection,
    folder: &RemoteDir,
    from: &str,
    to: &str,
) -> Result<(), SftpError> {
    connection
        .done(connection.send(&Request::Rename(&folder.path(from), &folder.path(to))))
        .map_err(SftpError::when_sent)
}

/// Handles a refused rename: fails if the name is taken; else makes the missing directory and
/// renames again.
fn settle(
    connection: &Connection,
    folder: &RemoteDir,
    scratch: &str,
    name: &str,
) -> Result<(), SftpError> {
    if exists(connection, folder, name)? {
        return Err(SftpError::Exists);
    }
    let folders: Vec<_> = name.match_indices('/').map(|(end, _)| &name[..end]).collect();
    let made = folder.make_all_inner(connection, &folders);
    match made.and_then(|()| rename(connection, folder, scratch, name)) {
        Err(again) if again.is_status() => {
            if exists(connection, folder, name)? {
                return Err(SftpError::Exists);
            }
            Err(folder.explain(connection, scratch, 0, again))
        }
        other => other,
    }
}

fn exists(connection: &Connection, folder: &RemoteDir, name: &str) -> Result<bool, SftpError> {
    match connection.ask(&Request::LStat(&folder.path(name))) {
        Ok(_) => Ok(true),
        Err(error) if error.is_status() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes scratch files of dead processes: those much older than our own, by the server's clock.
fn sweep(connection: &Connection, folder: &RemoteDir, own: &str) -> Result<(), SftpError> {
    let entries = folder.list(connection, SCRATCH_DIR)?.unwrap_or_default();
    let path = |name: &str| format!("{SCRATCH_DIR}/{name}");
    let Some(now_s) =
        entries.iter().find(|entry| path(&entry.name) == own).and_then(|entry| entry.modified_s)
    else {
        return Ok(());
    };
    for entry in entries.iter().filter(|entry| !entry.is_dir && is_scratch_name(&entry.name)) {
        if entry.modified_s.is_some_and(|made_s| made_s <= now_s.saturating_sub(SCRATCH_AGE_MIN_S))
        {
            folder.remove(connection, &path(&entry.name))?;
        }
    }
    Ok(())
}
