//! The file systems that a restore writes to, and waiting for them at its end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;

use crate::os::dir::Dir;
use crate::os::stat::Stat;
use crate::sync::lock;

/// One open folder of each file system that the target lies on.
///
/// It is opened before anything is written there: the system tells a descriptor of those writes
/// that failed since it was opened.
#[derive(Default)]
pub struct FileSystems(Mutex<HashMap<(u32, u32), OwnedFd>>);

impl FileSystems {
    /// Notes the file system of a folder, of which `stat` is known.
    pub fn note(&self, dir: &Dir, stat: &Stat) -> io::Result<()> {
        if let Entry::Vacant(unknown) = lock(&self.0).entry(stat.dev) {
            unknown.insert(dir.as_fd().try_clone_to_owned()?);
        }
        Ok(())
    }

    /// Waits until all that was written there is on the disks; fails if any of it could not be
    /// written.
    ///
    /// One call for each file system: what other programs have written there is waited for too, but
    /// a call for each file would take far longer.
    pub fn sync(&self) -> io::Result<()> {
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
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("below")).unwrap();
        note(folder.path());
        note(&folder.path().join("below"));
        assert_eq!(lock(&file_systems.0).len(), 1);
        note("/proc".as_ref());
        assert_eq!(lock(&file_systems.0).len(), 2);
        file_systems.sync().unwrap();
    }
}
