//! The file systems that a restore writes to, synced at its end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;

use crate::os::dir::Dir;
use crate::os::stat::Stat;
use crate::sync::lock;

/// One open directory of each file system that the target spans.
///
/// It is opened before anything is written there, because the system reports through a descriptor
/// only those writes that failed since it was opened.
#[derive(Default)]
pub(crate) struct FileSystems(Mutex<HashMap<(u32, u32), OwnedFd>>);

impl FileSystems {
    /// Adds the file system of a directory that has this `stat`.
    pub(crate) fn note(&self, dir: &Dir, stat: &Stat) -> io::Result<()> {
        if let Entry::Vacant(unknown) = lock(&self.0).entry(stat.dev) {
            unknown.insert(dir.as_fd().try_clone_to_owned()?);
        }
        Ok(())
    }

    /// Waits until all written data is on the disks; fails if any of it could not be written.
    ///
    /// One `syncfs` for each file system also waits for data of other programs, but one `fsync` for
    /// each file would take far longer.
    pub(crate) fn sync(&self) -> io::Result<()> {
        lock(&self.0).values().try_for_each(|fd| Ok(rustix::fs::syncfs(fd)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_system_is_noted_once() {
        let file_systems = FileSystems::default();
        let note = |path: &std::path::Path| {
            let dir = Dir::open(path).unwrap();
            file_systems.note(&dir, &dir.stat_self().unwrap()).unwrap();
        };
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("below")).unwrap();
        note(temp.path());
        note(&temp.path().join("below"));
        assert_eq!(lock(&file_systems.0).len(), 1);
        note("/proc".as_ref());
        assert_eq!(lock(&file_systems.0).len(), 2);
        file_systems.sync().unwrap();
    }
}
