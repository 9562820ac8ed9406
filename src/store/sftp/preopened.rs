//! A scratch file opened ahead, for the next object.
//!
//! Opening a file costs a round trip. So the request to open the next scratch file is sent together
//! with the last request of the object before it.
//!
//! Spec: `format-spec/12-store.md`, section 5.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::multiplexer::Sent;

use crate::sync::lock;

/// Maximum age at use. After a day, other processes remove it.
const AGE_MAX: Duration = Duration::from_secs(3600);

/// A scratch file that the server was asked to open.
pub(super) struct PreopenedScratch {
    /// Path below the repository's directory.
    pub below: String,
    /// Its path on the server.
    pub path: PathBuf,
    /// The request that opens it.
    pub sent: Sent,
    /// When the request was sent.
    pub since: Instant,
}

impl PreopenedScratch {
    /// Returns whether it is so old that another process may remove it as a leftover.
    pub(super) fn is_old(&self) -> bool {
        self.since.elapsed() > AGE_MAX
    }
}

/// Holds at most one preopened file of a connection.
#[derive(Default)]
pub(super) struct PreopenedSlot {
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    kept: Option<PreopenedScratch>,
    /// A file is held, or a caller is about to request one.
    is_claimed: bool,
}

impl PreopenedSlot {
    /// Returns true if the caller must request a scratch file and [`keep`](Self::keep) it here:
    /// none is held, and no other caller has claimed the slot.
    pub(super) fn claim(&self) -> bool {
        !std::mem::replace(&mut lock(&self.state).is_claimed, true)
    }

    /// Stores the file that the caller claimed and requested.
    pub(super) fn keep(&self, preopened: PreopenedScratch) {
        lock(&self.state).kept = Some(preopened);
    }

    /// Takes the file out, so that the next one can be claimed.
    pub(super) fn take(&self) -> Option<PreopenedScratch> {
        let mut state = lock(&self.state);
        let preopened = state.kept.take()?;
        state.is_claimed = false;
        Some(preopened)
    }
}
