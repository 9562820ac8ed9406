//! Hard-link groups by number: of those whose first member is done only what a link needs is kept, about 80 bytes each.

use std::collections::HashMap;
use std::sync::Arc;

use super::descriptors::lock;
use super::job::{LinkGroup, LinkState};
use super::target::{Identity, TargetDir};
use crate::format::entry::EntryKind;

/// All groups of a restore.
#[derive(Default)]
pub struct Groups {
    live: HashMap<u64, Arc<LinkGroup>>,
    sweep_at: usize,
    done: HashMap<u64, u32>,
    records: Vec<Record>,
    names: Vec<u8>,
    dirs: Vec<Arc<TargetDir>>,
    devices: Vec<(u32, u32)>,
}

/// A group whose first member is done.
struct Record {
    inode: u64,
    name_start: u32,
    dir: u32,
    name_len: u16,
    device: u16,
    kind: EntryKind,
}

/// Groups that come to life between two times that finished ones are put away.
const LIVE_MAX: usize = 16 << 10;

impl Groups {
    /// Returns the group with this number, `None` if there is none yet.
    pub fn get(&self, number: u64) -> Option<Arc<LinkGroup>> {
        if let Some(group) = self.live.get(&number) {
            return Some(group.clone());
        }
        let record = &self.records[*self.done.get(&number)? as usize];
        let name = &self.names[record.name_start as usize..][..usize::from(record.name_len)];
        let identity = Identity::new(self.devices[usize::from(record.device)], record.inode);
        let dir = self.dirs[record.dir as usize].clone();
        Some(Arc::new(LinkGroup { dir, name: name.into(), kind: record.kind, state: LinkState::Done(identity).into() }))
    }

    /// Adds a group.
    pub fn insert(&mut self, number: u64, group: Arc<LinkGroup>) {
        self.live.insert(number, group);
        if self.live.len() > self.sweep_at.max(LIVE_MAX) {
            self.put_done_away();
            self.sweep_at = self.live.len() + LIVE_MAX;
        }
    }

    fn put_done_away(&mut self) {
        let live = std::mem::take(&mut self.live);
        for (number, group) in live {
            let identity = match *lock(&group.state) {
                LinkState::Done(identity) => Some(identity),
                LinkState::Pending(_) | LinkState::Failed => None,
            };
            let record = identity.and_then(|identity| self.record(&group, identity));
            match record {
                Some(record) => {
                    self.done.insert(number, self.records.len() as u32);
                    self.records.push(record);
                }
                None => drop(self.live.insert(number, group)),
            }
        }
    }

    /// Returns what is kept of a group, `None` if it would not fit.
    fn record(&mut self, group: &LinkGroup, identity: Identity) -> Option<Record> {
        let (device, inode) = identity.parts();
        let device = self.devices.iter().position(|known| *known == device).unwrap_or_else(|| {
            self.devices.push(device);
            self.devices.len() - 1
        });
        if self.dirs.last().is_none_or(|last| !Arc::ptr_eq(last, &group.dir)) {
            self.dirs.push(group.dir.clone());
        }
        let name_start = u32::try_from(self.names.len()).ok()?;
        self.names.extend_from_slice(&group.name);
        Some(Record {
            inode,
            name_start,
            dir: u32::try_from(self.dirs.len() - 1).ok()?,
            name_len: u16::try_from(group.name.len()).ok()?,
            device: u16::try_from(device).ok()?,
            kind: group.kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::dir::Dir;

    #[test]
    fn groups_are_found_whether_done_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let dir = TargetDir::root(Dir::open(folder.path()).unwrap(), b"", None).unwrap();
        let mut groups = Groups::default();
        let count = 3 * LIVE_MAX as u64;
        for number in 0..count {
            let state = match number % 5 {
                0 => LinkState::Pending(Vec::new()),
                1 => LinkState::Failed,
                _ => LinkState::Done(Identity::new((number as u32 % 3, 7), number)),
            };
            let name = format!("n{number}").into_bytes().into();
            groups.insert(number, Arc::new(LinkGroup { dir: dir.clone(), name, kind: EntryKind::File, state: state.into() }));
        }
        assert!(groups.live.len() < 2 * LIVE_MAX && groups.records.len() > LIVE_MAX);
        for number in 0..count {
            let group = groups.get(number).unwrap();
            assert_eq!(&*group.name, format!("n{number}").as_bytes());
            let right = match &*lock(&group.state) {
                LinkState::Pending(_) => number % 5 == 0,
                LinkState::Failed => number % 5 == 1,
                LinkState::Done(identity) => *identity == Identity::new((number as u32 % 3, 7), number),
            };
            assert!(right, "{number}");
        }
        assert!(groups.get(count).is_none());
    }
}
