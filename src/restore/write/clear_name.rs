//! Removal of one entry of the target that another one replaces.

use std::io;

use crate::format::entry::EntryKind;
use crate::os::apply::LOCKING_FLAGS;
use crate::os::attributes::{read_flags, write_flags};
use crate::os::dir::Dir;
use crate::os::special;
use crate::os::stat::Stat;

/// Message about a directory that cannot be replaced.
pub(crate) const IN_THE_WAY: &str = "a folder that is not empty is in the way";

/// Removes `name`, which has this `stat`, so that another entry can replace it; a directory must be
/// empty.
pub(crate) fn remove(dir: &Dir, name: &[u8], stat: &Stat) -> io::Result<()> {
    unlock(dir, name, stat)?;
    if stat.kind != EntryKind::Dir {
        return special::remove(dir, name);
    }
    special::remove_dir(dir, name).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => io::Error::other(IN_THE_WAY),
        _ => error,
    })
}

/// Clears the flags (immutable, append-only) that prevent changes to a file or directory; returns
/// whether any were set.
pub(crate) fn unlock(dir: &Dir, name: &[u8], stat: &Stat) -> io::Result<bool> {
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
