//! Verification walk: reads everything that was restored from the disk again.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::Sender;

use super::context::RestoreContext;
use super::enter_dir::open_read_only;
use super::read_back::{Recheck, RecheckedEntry};
use super::workers::{Unit, with_workers};
use crate::format::entry::Content;
use crate::repo::DirEntry;
use crate::restore::error::Result;
use crate::restore::options::add;
use crate::restore::plan::walk::{SnapshotWalk, WalkEvent};
use crate::restore::target::dir::TargetDir;

/// Most pieces, and most bytes of them, that one worker reads at a time.
const PIECES_PER_UNIT: usize = 64;
const BYTES_PER_UNIT: u64 = 8 << 20;

/// Reads everything from the disk and compares it with the snapshot's ids. The file systems must be
/// synced before.
///
/// Entries that were reported as not restored, or left alone, are skipped.
pub(crate) fn verify(
    context: &RestoreContext,
    walk: SnapshotWalk,
    root: &Arc<TargetDir>,
) -> Result<()> {
    // The progress counts the bytes of this walk like those of the first one.
    let again = |total: &std::sync::atomic::AtomicU64| {
        add(total, total.load(std::sync::atomic::Ordering::Relaxed))
    };
    again(&context.monitor.bytes_total);
    with_workers(context, |units, _| {
        VerifyWalk { context, walk, units, dirs: vec![Some(root.clone())] }.run()
    })
}

struct VerifyWalk<'a> {
    context: &'a RestoreContext<'a>,
    walk: SnapshotWalk,
    units: Sender<Unit>,
    dirs: Vec<Option<Arc<TargetDir>>>,
}

impl VerifyWalk<'_> {
    fn run(mut self) -> Result<()> {
        while let Some(event) = self.walk.next() {
            self.context.check()?;
            match event {
                WalkEvent::Enter(entry, _) => {
                    let below = self.enter(&entry.entry.name);
                    self.dirs.push(below);
                }
                WalkEvent::Entry(entry) => self.take(*entry),
                WalkEvent::Leave => {
                    self.dirs.pop();
                }
                // Reported by the first walk.
                WalkEvent::Unselected(_) | WalkEvent::Unreadable(_) => {}
            }
        }
        Ok(())
    }

    /// Returns the directory, `None` if it does not exist: nothing in it was selected, or that was
    /// reported.
    fn enter(&self, name: &[u8]) -> Option<Arc<TargetDir>> {
        let parent = self.dirs.last()?.as_ref()?;
        open_read_only(self.context, parent, name).ok().flatten()
    }

    fn take(&mut self, found: DirEntry) {
        let mut entry = found.entry;
        let Some(Some(dir)) = self.dirs.last().cloned() else {
            return;
        };
        if self.context.was_skipped(&dir.path_of(&entry.name)) {
            return;
        }
        self.context.monitor.working_on(self.walk.path());
        add(&self.context.counts.verified, 1);
        let content = match &entry.content {
            Content::Refs(_) | Content::List(_) => {
                std::mem::replace(&mut entry.content, Content::None)
            }
            Content::Inline(_) | Content::None | Content::Tree(_) => Content::None,
        };
        let subject = Arc::new(RecheckedEntry { dir, entry, is_wrong: AtomicBool::new(false) });
        if matches!(content, Content::None) {
            return self.send(subject, Vec::new());
        }
        let (mut pieces, mut bytes, mut offset) = (Vec::new(), 0, 0);
        for piece in self.context.trees.refs(&content) {
            // If the list cannot be read, the restore of this file failed, and the file is skipped.
            let Ok(piece) = piece else { return };
            pieces.push((offset, piece));
            offset += piece.len();
            bytes += piece.len();
            if pieces.len() >= PIECES_PER_UNIT || bytes >= BYTES_PER_UNIT {
                self.send(subject.clone(), std::mem::take(&mut pieces));
                bytes = 0;
            }
            if self.context.is_stopped() {
                return;
            }
        }
        if !pieces.is_empty() {
            self.send(subject, pieces);
        }
    }

    fn send(&self, subject: Arc<RecheckedEntry>, pieces: Vec<(u64, crate::format::entry::Ref)>) {
        // The workers run until this end of the channel is closed; if they panicked, the restore
        // was stopped.
        let _ = self.units.send(Unit::Recheck(Recheck { subject, pieces }));
    }
}
