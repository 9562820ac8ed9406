//! Scratch file that is asked for ahead.
//!
//! A server needs a round trip to open the file that the next object is written to. It is asked for
//! with the last request of the object before, and kept until there is a next one.
//!
//! Spec: `format-spec/12-store.md`, section 5.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::multiplexer::Sent;

use crate::sync::lock;

/// How long it may be used: after a day, other processes remove it.
const AGE_MAX: Duration = Duration::from_secs(3600);

/// A scratch file that was asked for ahead.
pub struct PreopenedScratch {
    /// Its name in the repository's folder.
    pub below: String,
    /// Its path on the server.
    pub path: PathBuf,
    /// The request that opens it.
    pub sent: Sent,
    /// When that was.
    pub since: Instant,
}

impl PreopenedScratch {
    /// Returns whether another process can have taken it for what a dead one left.
    pub fn is_old(&self) -> bool {
        self.since.elapsed() > AGE_MAX
    }
}

/// Room for one scratch file of a connection.
#[derive(Default)]
pub struct PreopenedSlot {
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    kept: Option<PreopenedScratch>,
    /// One is kept, or a caller is about to ask for one.
    is_claimed: bool,
}

impl PreopenedSlot {
    /// Returns whether the caller shall ask for a scratch file ahead, and keep it here: nobody else
    /// does, and none is kept.
    pub fn claim(&self) -> bool {
        !std::mem::replace(&mut lock(&self.state).is_claimed, true)
    }

    /// Keeps a scratch file that was claimed and asked for.
    pub fn keep(&self, preopened: PreopenedScratch) {
        lock(&self.state).kept = Some(preopened);
    }

    /// Takes what is kept, so that the next one can be claimed.
    pub fn take(&self) -> Option<PreopenedScratch> {
        let mut state = lock(&self.state);
        let preopened = state.kept.take()?;
        state.is_claimed = false;
        Some(preopened)
    }
}
