//! Removing one entry of the target so that another takes its place.

use std::io;

use crate::format::entry::EntryKind;
use crate::os::apply::LOCKING_FLAGS;
use crate::os::attributes::{read_flags, write_flags};
use crate::os::dir::Dir;
use crate::os::special;
use crate::os::stat::Stat;

/// What is said of a folder that would have to go for something else.
pub const IN_THE_WAY: &str = "a folder that is not empty is in the way";

/// Removes `name`, of which `stat` is known, so that something else can take its place; a folder
/// must be empty.
pub fn remove(dir: &Dir, name: &[u8], stat: &Stat) -> io::Result<()> {
    unlock(dir, name, stat)?;
    if stat.kind != EntryKind::Dir {
        return special::remove(dir, name);
    }
    special::remove_dir(dir, name).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => io::Error::other(IN_THE_WAY),
        _ => error,
    })
}

/// Takes away the flags that keep a file or folder from being changed; returns whether there were
/// any.
pub fn unlock(dir: &Dir, name: &[u8], stat: &Stat) -> io::Result<bool> {
    let flags = read_flags(stat);
    if flags & LOCKING_FLAGS == 0 {
        return Ok(false);
    }
    match stat.kind {
        EntryKind::File => write_flags(dir.open_file(name)?, flags & !LOCKING_FLAGS)?,
        EntryKind::Dir => write_flags(dir.open_dir(name)?, flags & !LOCKING_FLAGS)?,
        _ => return Ok(false),
    }
    Ok(true)
}
