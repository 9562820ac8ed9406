//! Maps tree entries to FUSE attributes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};

use crate::format::entry::{Entry, EntryKind, Timestamp};

/// Preferred length of reads in bytes (`st_blksize`).
const BLOCK_LEN_BYTES: u32 = 128 << 10;
/// Unit of `st_blocks` in bytes.
const BLOCK_UNIT_BYTES: u64 = 512;

/// Returns the FUSE type of a kind of entry.
pub(super) fn file_type(kind: EntryKind) -> FileType {
    match kind {
        EntryKind::File => FileType::RegularFile,
        EntryKind::Dir => FileType::Directory,
        EntryKind::Symlink => FileType::Symlink,
        EntryKind::Fifo => FileType::NamedPipe,
        EntryKind::Socket => FileType::Socket,
        EntryKind::CharDevice => FileType::CharDevice,
        EntryKind::BlockDevice => FileType::BlockDevice,
    }
}

/// Returns the attributes of an entry; `data_len` is its length without holes.
///
/// Access times are not stored: the modification time is shown instead.
pub(super) fn of_entry(number: u64, entry: &Entry, links: u32, data_len: u64) -> FileAttr {
    let mtime = system_time(entry.mtime);
    FileAttr {
        ino: INodeNo(number),
        size: entry.size,
        blocks: data_len.div_ceil(BLOCK_UNIT_BYTES),
        atime: mtime,
        mtime,
        ctime: system_time(entry.ctime),
        crtime: mtime,
        kind: file_type(entry.kind),
        perm: entry.mode,
        nlink: links,
        uid: entry.uid,
        gid: entry.gid,
        rdev: entry.device.map_or(0, |(major, minor)| device_number(major, minor)),
        blksize: BLOCK_LEN_BYTES,
        flags: 0,
    }
}

/// User and group of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// Returns the attributes of a directory or link above the snapshots: read-only, of the user who
/// mounts.
pub(super) fn of_view(
    number: u64,
    kind: FileType,
    size: u64,
    time: Timestamp,
    owner: Owner,
) -> FileAttr {
    let time = system_time(time);
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: 0,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm: if kind == FileType::Symlink { 0o777 } else { 0o555 },
        nlink: 1,
        uid: owner.uid,
        gid: owner.gid,
        rdev: 0,
        blksize: BLOCK_LEN_BYTES,
        flags: 0,
    }
}

/// Returns a time as `SystemTime`; the epoch if it is out of range.
fn system_time(time: Timestamp) -> SystemTime {
    let span = Duration::from_secs(time.seconds.unsigned_abs());
    let whole =
        if time.seconds < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    whole
        .and_then(|whole| whole.checked_add(Duration::from_nanos(time.nanos.into())))
        .unwrap_or(UNIX_EPOCH)
}

/// Returns a device's numbers in the kernel's 32 bits.
fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xf_ff00) << 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_their_nanoseconds_forward() {
        let time = system_time(Timestamp { seconds: -2, nanos: 800_000_000 });
        assert_eq!(UNIX_EPOCH.duration_since(time).unwrap(), Duration::from_millis(1200));
    }

    #[test]
    fn device_numbers_are_the_kernels() {
        assert_eq!(device_number(8, 1), 0x801);
        assert_eq!(device_number(259, 0x12345), 0x1231_0345);
    }
}
