//! File status by `statx`.

use rustix::fs::{FileType, Statx, StatxFlags};

use crate::format::entry::{EntryKind, Timestamp};

/// Status of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Kind of file.
    pub kind: EntryKind,
    /// Permission bits (12 bits).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Last modification.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Creation time, if known.
    pub btime: Option<Timestamp>,
    /// Major and minor number of a device node.
    pub device: Option<(u32, u32)>,
    /// Number of names of the inode.
    pub nlink: u64,
    /// Inode number.
    pub inode: u64,
    /// Device that the file lives on.
    pub dev: (u32, u32),
    /// Id of the mount, 0 if the kernel does not tell.
    pub mount_id: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
    /// File attributes (`STATX_ATTR_*`).
    pub attributes: u64,
}

impl Stat {
    pub(super) fn from_statx(raw: &Statx) -> Self {
        let time = |time: &rustix::fs::StatxTimestamp| Timestamp {
            seconds: time.tv_sec,
            nanos: time.tv_nsec,
        };
        let kind = match FileType::from_raw_mode(u32::from(raw.stx_mode)) {
            FileType::Directory => EntryKind::Dir,
            FileType::Symlink => EntryKind::Symlink,
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket => EntryKind::Socket,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            _ => EntryKind::File,
        };
        let is_device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        let has = |flag: StatxFlags| raw.stx_mask & flag.bits() != 0;
        Self {
            kind,
            mode: raw.stx_mode & 0o7777,
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            size: raw.stx_size,
            mtime: time(&raw.stx_mtime),
            ctime: time(&raw.stx_ctime),
            btime: has(StatxFlags::BTIME).then(|| time(&raw.stx_btime)),
            device: is_device.then_some((raw.stx_rdev_major, raw.stx_rdev_minor)),
            nlink: u64::from(raw.stx_nlink),
            inode: raw.stx_ino,
            dev: (raw.stx_dev_major, raw.stx_dev_minor),
            mount_id: if has(StatxFlags::MNT_ID) { raw.stx_mnt_id } else { 0 },
            blocks: raw.stx_blocks,
            attributes: raw.stx_attributes.bits(),
        }
    }
}
