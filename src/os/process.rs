//! Rights, limits and user of this process.

use rustix::process::{Resource, getrlimit};

/// Returns the limit of open descriptors.
pub fn open_files_max() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX)
}

/// Returns whether the process acts as the superuser.
pub fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns an id of the machine's current boot; empty if the system does not tell.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Returns the umask; all bits if the system does not tell.
///
/// It is read from `/proc`, because the system call can only read it by changing it for all
/// threads.
pub fn creation_mask() -> u16 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|text| u16::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o777)
}

/// Returns the user and group that this process acts as.
pub fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_what_a_new_file_lacks() {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
        let folder = tempfile::tempdir().unwrap();
        let mut options = std::fs::OpenOptions::new();
        let file =
            options.create(true).write(true).mode(0o777).open(folder.path().join("f")).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o777 & !u32::from(creation_mask()));
        assert!(open_files_max() > 10);
    }
}
