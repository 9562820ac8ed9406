//! The packs that a restore reads, for stores where reads cost money or must be ordered hours
//! ahead.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::error::Result;
use super::options::{EntryAction, RestoreOptions};
use crate::format::entry::{Content, Ref};
use crate::format::run::PackRef;
use crate::format::snapshot::Snapshot;
use crate::id::ObjectId;
use crate::monitor::{Monitor, ProblemKind};
use crate::repo::{self, Repository, Trees};

/// A pack of file content that a restore reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeededPack {
    /// Its name, class and length.
    pub pack: PackRef,
    /// Bytes of the segments that are needed.
    pub bytes: u64,
}

/// Returns the packs of file content that a restore with these options reads, sorted by name.
/// Changes nothing, and reads only trees.
///
/// Files whose size and time are trusted need nothing; files that would be compared count whole.
/// Takes about 50 bytes of memory for each segment (about a mebibyte of content). Trees that cannot
/// be read are problems in the monitor.
pub fn needed_packs(
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    monitor: &Monitor,
) -> Result<Vec<NeededPack>> {
    let trees = Trees::new(options.reader(repository)?);
    let mut needs =
        Needs { trees: &trees, segments: HashSet::new(), packs: BTreeMap::new(), monitor };
    let mut failure = None;
    super::list_in(&trees, snapshot, options, monitor, &mut |planned| {
        let is_needed = matches!(planned.action, EntryAction::Create | EntryAction::Update);
        if let Some(content) = planned.content.filter(|_| is_needed)
            && failure.is_none()
        {
            failure = needs.add(planned.path, content).err();
        }
    })?;
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(needs.packs.into_values().collect()),
    }
}

struct Needs<'a> {
    trees: &'a Trees,
    segments: HashSet<(ObjectId, u32)>,
    packs: BTreeMap<ObjectId, NeededPack>,
    monitor: &'a Monitor,
}

impl Needs<'_> {
    fn add(&mut self, path: &[u8], content: &Content) -> repo::Result<()> {
        for piece in self.trees.refs(content) {
            if self.monitor.is_cancelled() {
                return Err(repo::Error::Cancelled);
            }
            let added = piece.and_then(|piece| self.add_piece(&piece));
            match added {
                Err(error) if error.is_damage() => {
                    self.monitor.problem(
                        ProblemKind::Damaged,
                        path,
                        crate::monitor::in_words(&error),
                    );
                    return Ok(());
                }
                added => added?,
            }
        }
        Ok(())
    }

    fn add_piece(&mut self, piece: &Ref) -> repo::Result<()> {
        let Ref::Data { id, .. } = piece else { return Ok(()) };
        let place = self.trees.reader().locate(id)?.ok_or(repo::Error::MissingChunk { id: *id })?;
        if self.segments.insert((place.pack.name, place.offset)) {
            let needed = self
                .packs
                .entry(place.pack.name)
                .or_insert(NeededPack { pack: place.pack, bytes: 0 });
            needed.bytes += u64::from(place.stored_len);
        }
        Ok(())
    }
}
