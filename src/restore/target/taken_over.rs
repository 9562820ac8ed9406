//! Existing directories that a restore takes over while it works in them. Those that it does not
//! finish get their attributes back.
//!
//! A finished directory gets the owner and mode from the snapshot. A directory that is not
//! finished, because the restore was stopped or the disk is full, gets its own ones back; otherwise
//! its owner would be locked out.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};

use super::descriptors::{Descriptors, Reopenable};
use super::dir::TargetDir;
use crate::os::apply::LOCKING_FLAGS;
use crate::os::attributes::{read_flags, write_flags};
use crate::os::dir::Dir;
use crate::os::stat::Stat;
use crate::sync::lock;

/// The attributes of a directory before it was taken over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirAttributes {
    uid: u32,
    gid: u32,
    mode: u16,
    flags: u32,
}

impl From<&Stat> for DirAttributes {
    fn from(stat: &Stat) -> Self {
        Self { uid: stat.uid, gid: stat.gid, mode: stat.mode, flags: read_flags(stat) }
    }
}

impl DirAttributes {
    /// Sets these attributes on the open directory again.
    pub(crate) fn give_back(self, dir: &Dir) -> io::Result<()> {
        let stat = dir.stat_self()?;
        if (stat.uid, stat.gid) != (self.uid, self.gid) {
            fchown(dir, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        }
        // Changing the owner clears setuid and setgid.
        if dir.stat_self()?.mode != self.mode {
            fchmod(dir, Mode::from_raw_mode(self.mode.into()))?;
        }
        if self.flags & LOCKING_FLAGS != 0 {
            write_flags(dir, self.flags)?;
        }
        Ok(())
    }
}

/// Device and inode number.
type Inode = ((u32, u32), u64);

/// The directories that are taken over now.
#[derive(Default)]
pub(crate) struct TakenOverDirs(Mutex<HashMap<Inode, (Arc<TargetDir>, DirAttributes)>>);

impl TakenOverDirs {
    /// Adds a directory that was taken over. The first attributes are kept, because a directory may
    /// be reached by two paths.
    pub(crate) fn note(&self, dir: &Arc<TargetDir>, had: DirAttributes) {
        lock(&self.0).entry(dir.identity().parts()).or_insert_with(|| (dir.clone(), had));
    }

    /// Removes a directory that is finished.
    pub(crate) fn forget(&self, dir: &TargetDir) {
        lock(&self.0).remove(&dir.identity().parts());
    }

    /// Resets all remaining directories, children before parents; returns the paths where that
    /// failed, and why.
    pub(crate) fn give_back(&self, dirs: &Descriptors<TargetDir>) -> Vec<(Vec<u8>, String)> {
        let mut left: Vec<_> = std::mem::take(&mut *lock(&self.0)).into_values().collect();
        left.sort_by_cached_key(|(dir, _)| std::cmp::Reverse(depth(dir)));
        let mut failed = Vec::new();
        for (dir, had) in left {
            if let Err(error) = dir.open(dirs).and_then(|open| had.give_back(&open)) {
                let DirAttributes { uid, gid, mode, .. } = had;
                let what = format!(
                    "it could not get back its owner {uid}:{gid} and mode {mode:04o}: {error}"
                );
                failed.push((dir.path(), what));
            }
            dir.close();
        }
        failed
    }
}

fn depth(dir: &Arc<TargetDir>) -> usize {
    std::iter::successors(Some(dir), |dir| dir.parent()).count()
}
