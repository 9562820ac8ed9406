//! File systems whose reports are reliable.
//!
//! A backup depends on some reports of the file system: the holes of a file, that an inode number
//! means one file, and that changes update the change time. Reliable ones are listed here by the
//! magic number of `statfs`; on all others a backup reads the data.

use std::os::fd::AsFd;

use rustix::fs::fstatfs;

/// ext2, ext3 and ext4; XFS; btrfs; tmpfs.
///
/// * `SEEK_HOLE` and `SEEK_DATA` are right, also about data that is not on the disk yet.
/// * One inode number on one device is one file.
/// * Renaming a file updates its change time.
///
/// Not ZFS, which reported dirty pages as holes until 2.2.2; not FUSE, overlayfs, NFS, SMB, 9p and
/// virtiofs, which depend on other systems; not FAT and exFAT, whose inode numbers change with each
/// mount.
const TRUSTED: [u64; 4] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994];

/// Returns whether an open file or directory is on a file system that is known to be reliable.
///
/// Returns false if the system does not tell.
pub fn is_trusted(fd: impl AsFd) -> bool {
    // The width of the field differs between machines; magic numbers have 32 bits.
    fstatfs(fd).is_ok_and(|found| TRUSTED.contains(&(found.f_type as u64 & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_files_are_not_believed() {
        assert!(!is_trusted(std::fs::File::open("/proc/self/status").unwrap()));
    }
}
