//! Which snapshots a policy looks at, and what makes a series of them.

use crate::format::snapshot::Snapshot;
use crate::retention::Policy;

/// Which snapshots a policy looks at; the others are not touched and not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this app.
    pub app: Option<String>,
    /// Only those of this host.
    pub host: Option<String>,
    /// Only those with all of these tags.
    pub tags: Vec<String>,
}

impl Filter {
    /// Returns whether the policy looks at a snapshot.
    pub fn fits(&self, snapshot: &Snapshot) -> bool {
        self.app.as_ref().is_none_or(|app| snapshot.app == *app)
            && self.host.as_ref().is_none_or(|host| snapshot.host == *host)
            && self.tags.iter().all(|tag| snapshot.tags.contains(tag))
    }
}

/// What snapshots of one series have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupBy {
    /// The host.
    pub host: bool,
    /// The app.
    pub app: bool,
    /// The paths.
    pub paths: bool,
    /// The tags.
    pub tags: bool,
}

impl GroupBy {
    /// Host, app and paths.
    pub const DEFAULT: Self = Self { host: true, app: true, paths: true, tags: false };
}

/// What the snapshots of a group have in common; `None` where they may differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The host.
    pub host: Option<String>,
    /// The app, empty for none.
    pub app: Option<String>,
    /// The paths.
    pub paths: Option<Vec<Vec<u8>>>,
    /// The tags.
    pub tags: Option<Vec<String>>,
}

impl GroupKey {
    /// Returns the key of a snapshot's group.
    pub fn of(snapshot: &Snapshot, by: GroupBy) -> Self {
        Self {
            host: by.host.then(|| snapshot.host.clone()),
            app: by.app.then(|| snapshot.app.clone()),
            paths: by.paths.then(|| snapshot.sources.clone()),
            tags: by.tags.then(|| snapshot.tags.clone()),
        }
    }
}

/// Which snapshots a policy looks at, and what makes a series of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Which snapshots it looks at.
    pub filter: Filter,
    /// What those of a series have in common.
    pub by: GroupBy,
}

/// Stands between a policy and its scope in the reason of a tombstone.
const BETWEEN: &str = "; ";

impl Scope {
    /// All snapshots, by host, app and paths.
    pub const USUAL: Self =
        Self { filter: Filter { app: None, host: None, tags: Vec::new() }, by: GroupBy::DEFAULT };

    /// Returns why a policy forgets snapshots, as tombstones say it: the policy, and its scope
    /// unless that is the usual one.
    pub fn reason(&self, policy: &Policy) -> String {
        [policy.to_string()].into_iter().chain(self.words()).collect::<Vec<_>>().join(BETWEEN)
    }

    /// Returns whether a tombstone's reason names this scope, whatever its policy.
    pub fn is_of(&self, reason: &str) -> bool {
        let (_, scope) = reason.split_once(BETWEEN).unwrap_or((reason, ""));
        scope == self.words().join(BETWEEN)
    }

    /// Returns whether it is what no option asks for.
    pub fn is_usual(&self) -> bool {
        self.words().is_empty()
    }

    /// Returns what makes it another one than the usual. What is the same in all of a series need
    /// not be said of it.
    pub fn words(&self) -> Vec<String> {
        let mut tags: Vec<&String> = self.filter.tags.iter().filter(|_| !self.by.tags).collect();
        tags.sort();
        tags.dedup();
        let mut words: Vec<String> = self
            .filter
            .host
            .iter()
            .filter(|_| !self.by.host)
            .map(|host| format!("host {host}"))
            .collect();
        words.extend(
            self.filter.app.iter().filter(|_| !self.by.app).map(|app| format!("app {app}")),
        );
        words.extend(tags.into_iter().map(|tag| format!("tag {tag}")));
        let by = [
            ("host", self.by.host),
            ("app", self.by.app),
            ("paths", self.by.paths),
            ("tags", self.by.tags),
        ];
        let by: Vec<&str> =
            by.into_iter().filter(|(_, is_meant)| *is_meant).map(|(name, _)| name).collect();
        let by = if by.is_empty() { "none".to_owned() } else { by.join(",") };
        words.extend((self.by != GroupBy::DEFAULT).then(|| format!("by {by}")));
        words
    }
}
