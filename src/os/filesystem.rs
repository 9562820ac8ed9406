//! Which file systems are trusted, and with what.
//!
//! A backup has to take a file system's word for some things: where a file has holes, whether a
//! number names one file, and that a change leaves a mark. Those that keep their word are listed
//! here by the magic number of `statfs`; on all others the data itself decides.

use std::os::fd::AsFd;

use rustix::fs::fstatfs;

/// ext2, ext3 and ext4; XFS; btrfs; tmpfs.
///
/// * `SEEK_HOLE` and `SEEK_DATA` tell the truth, also about data that is not on the disk yet.
/// * One inode number on one device is one file.
/// * A file that is renamed gets a new change stamp.
///
/// Not ZFS, which called dirty pages holes until 2.2.2; not FUSE, overlayfs, NFS, SMB, 9p and
/// virtiofs, which pass on what others say; not FAT and exFAT, which number their files anew each
/// time.
const TRUSTED: [u64; 4] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994];

/// Returns whether an open file or directory is on a file system that is known to be reliable.
///
/// Where the system does not tell, it is not.
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
