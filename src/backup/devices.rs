//! Stable labels for devices.
//!
//! The kernel's device numbers change: a file system has another number after a reboot, for each
//! snapshot of a volume, and for each mounted btrfs subvolume. The path where it begins (a source
//! or a mount point) stays the same, and is its label.

use std::collections::HashMap;
use std::sync::RwLock;

use super::source_root::SourceRoot;
use crate::os::dir::Dir;
use crate::os::filesystem;
use crate::sync;

type DeviceNumber = (u32, u32);
/// Hash of the path where a device begins.
pub(super) type Label = [u8; 32];

/// The devices that the walk has reached so far.
#[derive(Default)]
pub(super) struct Devices {
    /// Whether comparison with the parent ignores inode numbers.
    pub ignore_inodes: bool,
    labels: RwLock<HashMap<DeviceNumber, Label>>,
    trusted: RwLock<HashMap<DeviceNumber, bool>>,
}

impl Devices {
    /// Starts with the devices of the sources at these absolute paths, which must be sorted.
    pub(super) fn of_sources(root: &SourceRoot, paths: &[Vec<u8>], ignore_inodes: bool) -> Self {
        let devices = Self { ignore_inodes, ..Self::default() };
        for path in paths {
            for found in [root.stat(path, false), root.stat(path, true)].into_iter().flatten() {
                devices.add(found.dev, path);
            }
        }
        devices
    }

    /// Adds a device at an absolute path; the first path counts.
    pub(super) fn add(&self, device: DeviceNumber, path: &[u8]) {
        if !sync::read(&self.labels).contains_key(&device) {
            let mut labels = sync::write(&self.labels);
            labels.entry(device).or_insert_with(|| *blake3::hash(path).as_bytes());
        }
    }

    /// Returns the label of a device; its number if it was never added: some file systems have a
    /// device for each layer.
    pub(super) fn label(&self, device: DeviceNumber) -> Label {
        let known = sync::read(&self.labels).get(&device).copied();
        known.unwrap_or_else(|| {
            let mut label = Label::default();
            label[..4].copy_from_slice(&device.0.to_le_bytes());
            label[4..8].copy_from_slice(&device.1.to_le_bytes());
            label
        })
    }

    /// Returns whether the device was found to be trusted already.
    pub(super) fn is_known_to_be_trusted(&self, device: DeviceNumber) -> bool {
        sync::read(&self.trusted).get(&device).copied().unwrap_or(false)
    }

    /// Returns whether the file system of an open directory on this device is trusted.
    pub(super) fn is_trusted(&self, device: DeviceNumber, dir: &Dir) -> bool {
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
        before.add((8, 1), b"/a");
        before.add((8, 2), b"/b");
        before.add((8, 1), b"/c");
        after.add((8, 2), b"/a");
        after.add((0, 70), b"/b");
        assert_eq!(before.label((8, 1)), after.label((8, 2)));
        assert_eq!(before.label((8, 2)), after.label((0, 70)));
        assert_ne!(before.label((8, 1)), before.label((8, 2)));
        assert_ne!(before.label((9, 9)), before.label((9, 8)));
    }
}
