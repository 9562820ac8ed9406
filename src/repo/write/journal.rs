//! What a session relies on, and what it has told of it. Spec: `format-spec/13-commit.md`.

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

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Who runs a session.
#[derive(Clone)]
pub struct SessionIdentity {
    /// Name of the host.
    pub host: String,
    /// The snapshot from which subtrees may be taken over unread.
    pub parent: Option<SnapshotId>,
    /// Tells the time.
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
    /// The session; `None` for a collector's, which needs no intent.
    session: Option<SnapshotId>,
    dependencies: HashSet<ObjectId>,
    /// Those of them that no intent names yet.
    unpublished: HashSet<ObjectId>,
    next_number: u64,
}

impl Journal {
    /// Starts the journal of a session whose next intent has this number.
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

    /// Starts the journal of a collector that stores chunks again.
    pub fn of_collector(horizon: Horizon) -> Self {
        Self { identity: None, horizon, state: Mutex::default(), publishing: Mutex::default() }
    }

    /// Returns what the session's runs say of themselves.
    pub fn origin(&self) -> RunOrigin {
        RunOrigin { generation: self.horizon.highest, session: self.session() }
    }

    /// Returns the generation up to which the session's index says everything that repairs found.
    pub fn decided(&self) -> u64 {
        self.horizon.decided
    }

    /// Returns the session; a collector has none.
    pub fn session(&self) -> Option<SnapshotId> {
        lock(&self.state).session
    }

    /// Returns who runs the session; a collector has no identity.
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

    /// Returns what the session began with.
    pub fn horizon(&self) -> &Horizon {
        &self.horizon
    }

    /// Stores an intent that names what was not told before; `root` is absent in a checkpoint.
    pub fn publish_intent(
        &self,
        repository: &Repository,
        root: Option<ChunkId>,
        parent: Option<SnapshotId>,
    ) -> Result<()> {
        let (Some(session), Some(identity)) = (self.session(), &self.identity) else {
            return Ok(());
        };
        // Several threads may be due at once, and each intent has a number of its own.
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

    /// Stores an intent without a root, if there is anything to tell.
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

    /// Returns whether a generation condemns what the session relies on.
    pub fn has_conflict(
        &self,
        repository: &Repository,
        parent: Option<SnapshotId>,
    ) -> Result<bool> {
        let state = lock(&self.state);
        self.horizon.has_conflict(repository, &Dependencies { packs: &state.dependencies, parent })
    }

    /// Goes on under another name, because the slot of the old one was burnt.
    pub fn rename(&self, session: SnapshotId) {
        let state = &mut *lock(&self.state);
        state.session = Some(session);
        state.unpublished.clone_from(&state.dependencies);
        state.next_number = 0;
    }
}
