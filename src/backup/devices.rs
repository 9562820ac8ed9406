//! The devices that one backup meets, under labels that are the same in the next backup.
//!
//! The kernel numbers devices as they come: after a start, for each snapshot of a volume, and for
//! each btrfs subvolume that is mounted, a file system has another number. Where it begins (a
//! source, or the folder that it is mounted on) stays the same.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::RwLock;

use crate::os::dir::Dir;
use crate::os::filesystem;
use crate::sync;

type Number = (u32, u32);
/// Stands for a device.
pub type Label = [u8; 32];

/// The devices that were met so far.
#[derive(Default)]
pub struct Devices {
    /// Whether inode numbers count for nothing when files are compared with those of the parent.
    pub ignore_inodes: bool,
    labels: RwLock<HashMap<Number, Label>>,
    trusted: RwLock<HashMap<Number, bool>>,
}

impl Devices {
    /// Begins with the devices of the sources at these absolute paths, which must be sorted.
    pub fn of_sources(paths: &[Vec<u8>], ignore_inodes: bool) -> Self {
        let devices = Self { ignore_inodes, ..Self::default() };
        for path in paths {
            let source = Path::new(OsStr::from_bytes(path));
            for found in
                [std::fs::symlink_metadata(source), std::fs::metadata(source)].into_iter().flatten()
            {
                let number = found.dev();
                devices.enter((rustix::fs::major(number), rustix::fs::minor(number)), path);
            }
        }
        devices
    }

    /// States that a device is met at an absolute path; where it was met first counts.
    pub fn enter(&self, device: Number, path: &[u8]) {
        if !sync::read(&self.labels).contains_key(&device) {
            let mut labels = sync::write(&self.labels);
            labels.entry(device).or_insert_with(|| *blake3::hash(path).as_bytes());
        }
    }

    /// Returns the label of a device; one that was never entered (some file systems have one for
    /// each layer) goes by its number.
    pub fn label(&self, device: Number) -> Label {
        let known = sync::read(&self.labels).get(&device).copied();
        known.unwrap_or_else(|| {
            let mut label = Label::default();
            label[..4].copy_from_slice(&device.0.to_le_bytes());
            label[4..8].copy_from_slice(&device.1.to_le_bytes());
            label
        })
    }

    /// Returns whether a folder on this device was met, whose file system is trusted.
    pub fn is_known_to_be_trusted(&self, device: Number) -> bool {
        sync::read(&self.trusted).get(&device).copied().unwrap_or(false)
    }

    /// Returns whether the file system of an open folder on this device is known to keep its word.
    pub fn is_trusted(&self, device: Number, dir: &Dir) -> bool {
        if let Some(known) = sync::read(&self.trusted).get(&device) {
            return *known;
        }
        let trusted = filesystem::is_trusted(dir);
        sync::write(&self.trusted).insert(device, trusted);
        trusted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_belong_to_places_and_not_to_numbers() {
        let (before, after) = (Devices::default(), Devices::default());
        before.enter((8, 1), b"/a");
        before.enter((8, 2), b"/b");
        before.enter((8, 1), b"/c");
        after.enter((8, 2), b"/a");
        after.enter((0, 70), b"/b");
        assert_eq!(before.label((8, 1)), after.label((8, 2)));
        assert_eq!(before.label((8, 2)), after.label((0, 70)));
        assert_ne!(before.label((8, 1)), before.label((8, 2)));
        assert_ne!(before.label((9, 9)), before.label((9, 8)));
    }
}
