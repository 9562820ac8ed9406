//! Journal of a session: the packs that it relies on, and the intents that name them.
//!
//! Spec: `format-spec/13-commit.md`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::format::entry::Timestamp;
use crate::format::intent::Intent;
use crate::id::{ChunkId, ObjectId, SnapshotId};
use crate::repo::error::Result;
use crate::repo::gc::horizon::{Dependencies, Horizon};
use crate::repo::gc::intents;
use crate::repo::index::RunOrigin;
use crate::repo::open::Repository;
use crate::sync::lock;

/// The clock that dates intents.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The host and parent that a session's intents name.
#[derive(Clone)]
pub struct SessionIdentity {
    /// Host name.
    pub host: String,
    /// The snapshot whose unchanged subtrees are referred to without being read.
    pub parent: Option<SnapshotId>,
    /// Dates the intents.
    pub clock: Clock,
}

/// The packs that a session relies on, and its intents.
pub struct Journal {
    identity: Option<SessionIdentity>,
    horizon: Horizon,
    state: Mutex<JournalState>,
    publishing: Mutex<()>,
}

#[derive(Default)]
struct JournalState {
    /// The session's id; `None` for a collector, which writes no intents.
    session: Option<SnapshotId>,
    dependencies: HashSet<ObjectId>,
    /// Those dependencies that no intent names yet.
    unpublished: HashSet<ObjectId>,
    next_number: u64,
}

impl Journal {
    /// Starts the journal of a session whose next intent has the number `next_number`.
    pub fn of_session(
        session: SnapshotId,
        identity: SessionIdentity,
        horizon: Horizon,
        next_number: u64,
    ) -> Self {
        let state = Mutex::new(JournalState {
            session: Some(session),
            next_number,
            ..JournalState::default()
        });
        Self { identity: Some(identity), horizon, state, publishing: Mutex::default() }
    }

    /// Starts the journal of a collector that rewrites packs.
    pub fn of_collector(horizon: Horizon) -> Self {
        Self { identity: None, horizon, state: Mutex::default(), publishing: Mutex::default() }
    }

    /// Returns the origin that the session's index runs state.
    pub fn origin(&self) -> RunOrigin {
        RunOrigin { generation: self.horizon.highest, session: self.session() }
    }

    /// Returns the generation up to which the session's index includes all findings of repairs.
    pub fn decided(&self) -> u64 {
        self.horizon.decided
    }

    /// Returns the session's id; a collector has none.
    pub fn session(&self) -> Option<SnapshotId> {
        lock(&self.state).session
    }

    /// Returns the session's identity; a collector has none.
    pub fn identity(&self) -> Option<&SessionIdentity> {
        self.identity.as_ref()
    }

    /// Returns the number of the next intent.
    pub fn next_number(&self) -> u64 {
        lock(&self.state).next_number
    }

    /// Notes that the session relies on a pack.
    pub fn depend_on(&self, pack: ObjectId) {
        let mut state = lock(&self.state);
        if state.dependencies.insert(pack) {
            state.unpublished.insert(pack);
        }
    }

    /// Returns the horizon with which the session began.
    pub fn horizon(&self) -> &Horizon {
        &self.horizon
    }

    /// Stores an intent that names all packs that no intent names yet; `root` is absent in a
    /// checkpoint.
    pub fn publish_intent(
        &self,
        repository: &Repository,
        root: Option<ChunkId>,
        parent: Option<SnapshotId>,
    ) -> Result<()> {
        let (Some(session), Some(identity)) = (self.session(), &self.identity) else {
            return Ok(());
        };
        // Several threads may publish at once, and each intent needs its own number.
        let _publishing = lock(&self.publishing);
        let (packs, number) = {
            let mut state = lock(&self.state);
            (std::mem::take(&mut state.unpublished), state.next_number)
        };
        let intent = Intent {
            session,
            number,
            created: (identity.clock)(),
            host: identity.host.clone(),
            generation: self.horizon.highest,
            root,
            parent,
            packs: Vec::new(),
            extensions: Vec::new(),
        };
        let written = intents::write(repository, intent, &packs);
        let mut state = lock(&self.state);
        match written {
            Ok(next) => state.next_number = next,
            Err(error) => {
                state.unpublished.extend(packs);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stores an intent without a root, if there are packs that no intent names yet.
    pub fn checkpoint(&self, repository: &Repository) -> Result<()> {
        if lock(&self.state).unpublished.is_empty() {
            return Ok(());
        }
        self.publish_intent(
            repository,
            None,
            self.identity.as_ref().and_then(|identity| identity.parent),
        )
    }

    /// Returns whether a generation condemns a pack or the parent that the session relies on.
    pub fn has_conflict(
        &self,
        repository: &Repository,
        parent: Option<SnapshotId>,
    ) -> Result<bool> {
        let state = lock(&self.state);
        self.horizon.has_conflict(repository, &Dependencies { packs: &state.dependencies, parent })
    }

    /// Continues under another session id, because the slot of the old one was burnt.
    pub fn rename(&self, session: SnapshotId) {
        let state = &mut *lock(&self.state);
        state.session = Some(session);
        state.unpublished.clone_from(&state.dependencies);
        state.next_number = 0;
    }
}
