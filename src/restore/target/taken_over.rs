//! Existing folders that a restore takes over while it works in them, and gives back if it does not
//! finish them.
//!
//! A finished folder gets the owner and mode that the snapshot has. One that is not, because the
//! restore was stopped, the disk is full or the network away, gets back what it had: its owner
//! would be shut out otherwise, and nobody would know why.

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

/// What a folder had before it was taken over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DirAttributes {
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
    /// Gives it back to the open folder.
    pub fn give_back(self, dir: &Dir) -> io::Result<()> {
        let stat = dir.stat_self()?;
        if (stat.uid, stat.gid) != (self.uid, self.gid) {
            fchown(dir, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        }
        // Changing the owner clears bits.
        if dir.stat_self()?.mode != self.mode {
            fchmod(dir, Mode::from_raw_mode(self.mode.into()))?;
        }
        if self.flags & LOCKING_FLAGS != 0 {
            write_flags(dir, self.flags)?;
        }
        Ok(())
    }
}

/// A device and an inode on it.
type Inode = ((u32, u32), u64);

/// The folders that are taken over at the moment.
#[derive(Default)]
pub struct TakenOverDirs(Mutex<HashMap<Inode, (Arc<TargetDir>, DirAttributes)>>);

impl TakenOverDirs {
    /// Notes a folder that was taken over; what was noted of it first counts, as it may be reached
    /// in two ways.
    pub fn note(&self, dir: &Arc<TargetDir>, had: DirAttributes) {
        lock(&self.0).entry(dir.identity().parts()).or_insert_with(|| (dir.clone(), had));
    }

    /// Forgets a folder that is finished.
    pub fn forget(&self, dir: &TargetDir) {
        lock(&self.0).remove(&dir.identity().parts());
    }

    /// Gives back all that is left, those below before those above; tells of which folders that
    /// failed, and how.
    pub fn give_back(&self, dirs: &Descriptors<TargetDir>) -> Vec<(Vec<u8>, String)> {
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
