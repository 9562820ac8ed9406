//! Memory of the snapshots that this machine has seen, and of missing ones that the user accepted.
//!
//! The newest of each host is enough, because its chain names the others.
//!
//! Spec: `format-spec/08-snapshots.md`, section 4.

use super::Witness;
use super::file::{HostHead, add};
use crate::format::snapshot::Snapshot;
use crate::id::{SnapshotId, encode_hex};
use crate::sync::lock;

impl Witness {
    /// Returns the snapshots that must exist or be explained: the newest of each host.
    pub fn heads(&self) -> Vec<SnapshotId> {
        self.heads_of(None)
    }

    /// Returns the newest snapshot of one host, or of each host if none is given.
    pub fn heads_of(&self, host: Option<&str>) -> Vec<SnapshotId> {
        let memory = lock(&self.memory);
        let is_of = |head: &&HostHead| host.is_none_or(|host| head.host == host);
        let heads = memory.copies.last().into_iter().flat_map(|copy| &copy.heads).filter(is_of);
        heads.filter_map(|head| SnapshotId::from_hex(&head.snapshot)).collect()
    }

    /// Remembers the newest of these snapshots for each host, after forgetting those for which
    /// `is_gone` returns true.
    pub fn saw_snapshots<'a>(
        &self,
        seen: impl Iterator<Item = &'a Snapshot>,
        is_gone: impl Fn(&SnapshotId) -> bool,
    ) {
        self.change(|memory| {
            let Some(copy) = memory.copies.last_mut() else {
                return;
            };
            copy.heads.retain(|head| {
                SnapshotId::from_hex(&head.snapshot).is_some_and(|id| !is_gone(&id))
            });
            for snapshot in seen {
                let new = HostHead {
                    host: snapshot.host.clone(),
                    snapshot: snapshot.id.to_hex(),
                    sequence: snapshot.sequence,
                };
                match copy.heads.iter_mut().find(|head| head.host == snapshot.host) {
                    Some(head) if head.sequence < new.sequence => *head = new,
                    Some(_) => {}
                    None => copy.heads.push(new),
                }
            }
        });
    }

    /// Returns whether the user accepted that a snapshot is missing, or accepts it now.
    pub fn accepts_missing(&self, hash: &[u8; 32]) -> bool {
        let hash = encode_hex(hash);
        if self.accept.rollback {
            self.change(|memory| {
                if let Some(copy) = memory.copies.last_mut() {
                    add(&mut copy.accepted, hash);
                }
            });
            return true;
        }
        lock(&self.memory).copies.last().is_some_and(|copy| copy.accepted.contains(&hash))
    }

    /// Remembers that a tombstone was taken back.
    pub fn took_back(&self, tombstone: &[u8; 32]) {
        let hash = encode_hex(tombstone);
        self.change(|memory| {
            if let Some(copy) = memory.copies.last_mut() {
                add(&mut copy.taken_back, hash);
            }
        });
    }

    /// Returns whether this machine took the tombstone with this hash back. If the user accepts a
    /// rollback, the tombstone counts again from now on.
    pub fn has_taken_back(&self, tombstone: &[u8; 32]) -> bool {
        let hash = encode_hex(tombstone);
        let has_it =
            lock(&self.memory).copies.last().is_some_and(|copy| copy.taken_back.contains(&hash));
        if has_it && self.accept.rollback {
            self.change(|memory| {
                memory
                    .copies
                    .last_mut()
                    .into_iter()
                    .for_each(|copy| copy.taken_back.retain(|one| *one != hash))
            });
        }
        has_it && !self.accept.rollback
    }
}
