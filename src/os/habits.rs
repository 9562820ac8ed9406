//! Treatment of owners and names by kinds of file systems.

use std::os::fd::AsFd;

use rustix::fs::{IFlags, fstatfs, ioctl_getflags};

/// File systems that store owners, modes and names exactly; `statfs(2)` lists the numbers.
///
/// Others may give all files one owner (FAT, exFAT, NTFS, network mounts) or treat different names
/// as equal.
const EXACT: [u64; 10] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // btrfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0xf2f5_2010, // F2FS
    0x794c_7630, // overlayfs
    0xca45_1a4e, // bcachefs
    0x3434,      // NILFS
    0x5265_4973, // ReiserFS
];
const ZFS: u64 = 0x2fc1_2fc1;
/// Inode flag of case-insensitive directories of ext4, F2FS, tmpfs and bcachefs.
const CASEFOLD: u32 = 0x4000_0000;

fn kind(fd: impl AsFd) -> Option<u64> {
    // The type of the field differs between machines; the numbers have 32 bits.
    fstatfs(fd).ok().map(|about| about.f_type as u64 & 0xffff_ffff)
}

/// Returns whether this file system stores owners and modes.
pub fn keeps_owners(fd: impl AsFd) -> bool {
    kind(fd).is_some_and(|kind| EXACT.contains(&kind) || kind == ZFS)
}

/// Returns whether two names in this directory are equal only if all their bytes are.
pub fn has_exact_names(fd: impl AsFd) -> bool {
    let folds = || {
        ioctl_getflags(&fd).is_ok_and(|flags| flags.contains(IFlags::from_bits_retain(CASEFOLD)))
    };
    kind(&fd).is_some_and(|kind| EXACT.contains(&kind)) && !folds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tests_run_on_keeps_owners_and_the_kernels_own_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let dir = std::fs::File::open(folder.path()).unwrap();
        assert!(keeps_owners(&dir) && has_exact_names(&dir));
        let other = std::fs::File::open("/proc").unwrap();
        assert!(!keeps_owners(&other) && !has_exact_names(&other));
    }
}
