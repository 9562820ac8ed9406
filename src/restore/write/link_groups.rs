//! Hard-link groups by number: pending ones in memory, finished ones in a log.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use super::link_group::{LinkGroup, LinkState};
use super::link_group_log::{FinishedGroup, GroupLog};
use crate::restore::target::dir::TargetDir;
use crate::sync::lock;

/// New groups after which finished ones are moved to the log.
const LIVE_MAX: usize = 16 << 10;

/// Creates the unnamed file for finished groups.
pub(crate) type MakeFile = Box<dyn Fn() -> io::Result<File>>;

/// All groups of a restore.
pub(crate) struct LinkGroups {
    root: Arc<TargetDir>,
    make_file: MakeFile,
    live: HashMap<u64, Arc<LinkGroup>>,
    sweep_at: usize,
    log: Option<GroupLog>,
    /// Whether the log could not be written: from then on groups stay in memory.
    is_log_full: bool,
}

impl LinkGroups {
    /// Starts with no groups, for the target with this root. The file is created when there are
    /// many groups.
    pub(crate) fn new(root: Arc<TargetDir>, make_file: MakeFile) -> Self {
        Self { root, make_file, live: HashMap::new(), sweep_at: 0, log: None, is_log_full: false }
    }

    /// Returns the group with this number, `None` if there is none yet; fails if the log cannot be
    /// read.
    pub(crate) fn get(&mut self, number: u64) -> io::Result<Option<Arc<LinkGroup>>> {
        if let Some(group) = self.live.get(&number) {
            return Ok(Some(group.clone()));
        }
        let Some(log) = &mut self.log else {
            return Ok(None);
        };
        Ok(log.get(number)?.map(|FinishedGroup { kind, likeness, first }| {
            Arc::new(LinkGroup::done(kind, likeness, first))
        }))
    }

    /// Adds a group.
    pub(crate) fn insert(&mut self, number: u64, group: Arc<LinkGroup>) {
        self.live.insert(number, group);
        if self.live.len() > self.sweep_at.max(LIVE_MAX) {
            self.is_log_full = self.is_log_full || self.put_done_away().is_err();
            self.sweep_at = self.live.len() + LIVE_MAX;
        }
    }

    fn put_done_away(&mut self) -> io::Result<()> {
        let log = match &mut self.log {
            Some(log) => log,
            none => none.insert(GroupLog::new(self.root.clone(), (self.make_file)()?)),
        };
        let finished =
            self.live.iter().filter_map(|(number, group)| Some((*number, as_finished(group)?)));
        for (number, group) in finished.collect::<Vec<_>>() {
            log.insert(number, &group)?;
            self.live.remove(&number);
        }
        Ok(())
    }
}

fn as_finished(group: &LinkGroup) -> Option<FinishedGroup> {
    let state = lock(&group.state);
    let LinkState::Done(first) = &*state else {
        return None;
    };
    Some(FinishedGroup { kind: group.kind, likeness: group.likeness, first: first.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::{Content, EntryKind};
    use crate::os::dir::Dir;
    use crate::os::special;
    use crate::restore::plan::coverage::SourceRelation;
    use crate::restore::target::dir::{DirPlace, InodeId};
    use crate::restore::write::link_group::{EntrySpec, FirstLink, TargetName};

    #[test]
    fn groups_are_found_whether_done_or_not() {
        let temp = tempfile::tempdir().unwrap();
        let root =
            TargetDir::root(Dir::open(temp.path()).unwrap(), b"", SourceRelation::Below, None)
                .unwrap();
        let dirs = [b"a", b"b", b"c"].map(|name| made(&root, name));
        let dirs = [dirs[0].clone(), dirs[1].clone(), made(&dirs[2], b"deep"), root.clone()];
        let mut groups = LinkGroups::new(root, Box::new(tempfile::tempfile));
        let count = 20 * LIVE_MAX as u64;
        // Numbers in random order.
        let numbers: Vec<u64> =
            (0..count).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        for (at, number) in (0..count).zip(&numbers) {
            let name = TargetName {
                dir: dirs[at as usize % 4].clone(),
                name: format!("n{at}").into_bytes().into(),
            };
            let wanted = EntrySpec {
                size: 0,
                content: Content::None,
                metadata: Default::default(),
                device: None,
                weight: None,
            };
            let state = match at % 25 {
                0 => LinkState::Pending(Box::new(wanted), Vec::new()),
                1 => LinkState::Failed(name),
                _ => LinkState::Done(FirstLink {
                    name,
                    identity: InodeId::new(at as u32 % 3, 7, at),
                }),
            };
            groups.insert(
                *number,
                Arc::new(LinkGroup {
                    kind: EntryKind::Fifo,
                    likeness: [at as u8; 16],
                    state: state.into(),
                }),
            );
        }
        assert!(groups.live.len() < 4 * LIVE_MAX && !groups.is_log_full);
        for (at, number) in (0..count).zip(&numbers) {
            let group = groups.get(*number).unwrap().unwrap();
            assert_eq!((group.kind, group.likeness), (EntryKind::Fifo, [at as u8; 16]));
            let is_path = |TargetName { dir, name }: &TargetName| {
                dir.path_of(name) == dirs[at as usize % 4].path_of(format!("n{at}").as_bytes())
            };
            let right = match &*lock(&group.state) {
                LinkState::Pending(..) => at % 25 == 0,
                LinkState::Orphaned(..) => false,
                LinkState::Failed(name) => at % 25 == 1 && is_path(name),
                LinkState::Done(FirstLink { name, identity }) => {
                    *identity == InodeId::new(at as u32 % 3, 7, at) && is_path(name)
                }
            };
            assert!(right, "{at}");
        }
        assert!(groups.get(1).unwrap().is_none());
    }

    fn made(parent: &Arc<TargetDir>, name: &[u8]) -> Arc<TargetDir> {
        let above = parent.open(&crate::restore::target::descriptors::Descriptors::new(8)).unwrap();
        special::make_dir(&above, name).unwrap();
        TargetDir::made(
            DirPlace { parent, name, relation: SourceRelation::Below },
            InodeId::from(&above.stat(name).unwrap()),
            Box::default(),
        )
    }

    #[test]
    fn where_no_file_can_be_made_groups_stay_in_memory() {
        let temp = tempfile::tempdir().unwrap();
        let root =
            TargetDir::root(Dir::open(temp.path()).unwrap(), b"", SourceRelation::Below, None)
                .unwrap();
        let mut groups =
            LinkGroups::new(root.clone(), Box::new(|| Err(io::ErrorKind::StorageFull.into())));
        for number in 0..3 * LIVE_MAX as u64 {
            let name = TargetName { dir: root.clone(), name: (*b"n").into() };
            let first = FirstLink { name, identity: InodeId::new(0, 7, number) };
            groups.insert(number, Arc::new(LinkGroup::done(EntryKind::File, [0; 16], first)));
        }
        assert!((0..3 * LIVE_MAX as u64).all(|number| groups.get(number).unwrap().is_some()));
    }
}
