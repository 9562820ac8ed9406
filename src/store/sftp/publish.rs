//! Giving a file its bytes first and its name last.

use std::sync::atomic::{AtomicBool, Ordering};

use ssh2::{File, OpenFlags, OpenType, RenameFlags};

use super::connection::Connection;
use super::error::SftpError;
use super::folder::{Folder, explain_by};
use crate::store::pace::PIECE_LEN_MAX_BYTES;

/// The folder of files that have no object's name yet.
pub const SCRATCH_FOLDER: &str = "tmp";
/// Scratch files are removed when they are so much older than one that was just made, in seconds.
const SCRATCH_AGE_MIN_S: i64 = 24 * 3600;
/// Bytes that are on their way at most. More are of no use: OpenSSH takes 2 MiB before it answers.
const WINDOW_LEN_BYTES: usize = 4 << 20;
/// Bytes of the random part of a scratch file's name.
const SCRATCH_ID_LEN_BYTES: usize = 16;

/// Writes files that appear whole or not at all, in one folder.
#[derive(Default)]
pub struct Publisher {
    /// The server has no `fsync@openssh.com`.
    cannot_sync: AtomicBool,
    /// Leftovers were looked for.
    swept: AtomicBool,
}

impl Publisher {
    /// Makes a new file with the given bytes; one that exists is never touched.
    ///
    /// Fails with [`SftpError::Exists`] if there is one. Dying at any moment leaves nothing, a scratch file, or the whole file.
    /// [`SftpError::Unanswered`] says that it may be there, or come to be.
    ///
    /// Spec: `format-spec/12-store.md`, section 5.
    pub fn publish(&self, connection: &Connection, folder: &Folder, name: &str, bytes: &[u8]) -> Result<(), SftpError> {
        let scratch = scratch_name()?;
        self.write(connection, folder, &scratch, bytes)?;
        if !self.swept.swap(true, Ordering::Relaxed) {
            // Leftovers cost room only, so failing to remove them is no failure.
            let _ = sweep(connection, folder, &scratch);
        }
        let renamed = match rename(connection, folder, &scratch, name) {
            Err(refused) if refused.is_status() => settle(connection, folder, &scratch, name),
            other => other,
        };
        if renamed.is_err() && !connection.is_broken() {
            let _ = connection.call(|sftp| sftp.unlink(&folder.path(&scratch)));
        }
        renamed
    }

    /// Writes a scratch file, on the server's disk when this returns if the server can say so; nothing is left of it after a failure unless the
    /// connection is broken.
    fn write(&self, connection: &Connection, folder: &Folder, scratch: &str, bytes: &[u8]) -> Result<(), SftpError> {
        let mut file = open_scratch(connection, folder, scratch)?;
        let written = write_all(connection, &mut file, bytes).and_then(|()| self.sync(connection, &mut file));
        let written = written.map_err(|error| explain_by(connection, &mut file, bytes.len() as u64, error));
        if connection.is_broken() {
            return written;
        }
        let written = written.and(connection.call_file(&mut file, File::close));
        if written.is_err() && !connection.is_broken() {
            let _ = connection.call(|sftp| sftp.unlink(&folder.path(scratch)));
        }
        written
    }

    /// A failed sync means that the bytes are not there; it is never repeated, because systems report it once only.
    fn sync(&self, connection: &Connection, file: &mut File) -> Result<(), SftpError> {
        if self.cannot_sync.load(Ordering::Relaxed) {
            return Ok(());
        }
        match connection.call_file(file, File::fsync) {
            Err(error) if error.is_unsupported() => {
                self.cannot_sync.store(true, Ordering::Relaxed);
                Ok(())
            }
            other => other,
        }
    }
}

fn scratch_name() -> Result<String, SftpError> {
    let mut id = [0; SCRATCH_ID_LEN_BYTES];
    getrandom::fill(&mut id).map_err(|_| SftpError::Refused("the system gives no random numbers"))?;
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{SCRATCH_FOLDER}/{hex}"))
}

fn is_scratch_name(name: &str) -> bool {
    name.len() == 2 * SCRATCH_ID_LEN_BYTES && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn open_scratch(connection: &Connection, folder: &Folder, scratch: &str) -> Result<File, SftpError> {
    let path = folder.path(scratch);
    let flags = OpenFlags::WRITE | OpenFlags::EXCLUSIVE;
    let open = || connection.call(|sftp| sftp.open_mode(&path, flags, 0o644, OpenType::File));
    match open() {
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(explain_by_any(connection, folder, error)),
        Ok(file) => return Ok(file),
    }
    folder.check(connection)?;
    folder.make_inner(connection, SCRATCH_FOLDER).and_then(|()| open()).map_err(|error| explain_by_any(connection, folder, error))
}

/// Explains a refusal where no file could be made, by any file that is there: every repository has a configuration.
fn explain_by_any(connection: &Connection, folder: &Folder, error: SftpError) -> SftpError {
    let entries = if error.is_status() { folder.list(connection, "config").unwrap_or_default() } else { Vec::new() };
    match entries.iter().find(|entry| !entry.is_folder) {
        Some(entry) => folder.explain(connection, &format!("config/{}", entry.name), 0, error),
        None => error,
    }
}

/// Sends all bytes with as many on their way as the window holds: each call goes on behind what was confirmed.
fn write_all(connection: &Connection, file: &mut File, bytes: &[u8]) -> Result<(), SftpError> {
    let (mut confirmed, mut end) = (0, 0);
    while confirmed < bytes.len() {
        let window_end = bytes.len().min(confirmed + WINDOW_LEN_BYTES);
        if connection.pace().is_unlimited() {
            end = window_end;
        } else if end < window_end {
            let piece = PIECE_LEN_MAX_BYTES.min(window_end - end);
            connection.pace().upload(piece);
            end += piece;
        }
        confirmed += connection.write(file, &bytes[confirmed..end])?;
    }
    Ok(())
}

fn rename(connection: &Connection, folder: &Folder, from: &str, to: &str) -> Result<(), SftpError> {
    // In version 3 of the protocol there are no flags: a target that exists makes it fail.
    let flags = Some(RenameFlags::empty());
    connection.call(|sftp| sftp.rename(&folder.path(from), &folder.path(to), flags)).map_err(SftpError::when_sent)
}

/// Finds out why a rename was refused: the name is taken, or its folder is missing, which is made.
fn settle(connection: &Connection, folder: &Folder, scratch: &str, name: &str) -> Result<(), SftpError> {
    if exists(connection, folder, name)? {
        return Err(SftpError::Exists);
    }
    let mut folders = name.match_indices('/').map(|(end, _)| &name[..end]);
    let made = folders.try_for_each(|inner| folder.make_inner(connection, inner));
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

fn exists(connection: &Connection, folder: &Folder, name: &str) -> Result<bool, SftpError> {
    match connection.call(|sftp| sftp.lstat(&folder.path(name))) {
        Ok(_) => Ok(true),
        Err(error) if error.is_status() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes scratch files of the dead: those that are much older than our own, by the server's clock.
fn sweep(connection: &Connection, folder: &Folder, own: &str) -> Result<(), SftpError> {
    let entries = folder.list(connection, SCRATCH_FOLDER)?;
    let path = |name: &str| format!("{SCRATCH_FOLDER}/{name}");
    let Some(now_s) = entries.iter().find(|entry| path(&entry.name) == own).and_then(|entry| entry.modified_s) else {
        return Ok(());
    };
    for entry in entries.iter().filter(|entry| !entry.is_folder && is_scratch_name(&entry.name)) {
        if entry.modified_s.is_some_and(|made_s| made_s <= now_s.saturating_sub(SCRATCH_AGE_MIN_S)) {
            folder.remove(connection, &path(&entry.name))?;
        }
    }
    Ok(())
}
