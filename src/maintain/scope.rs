//! Scope of a policy: the filter of snapshots, and their grouping into series.

use crate::format::snapshot::Snapshot;
use crate::retention::Policy;

/// Filter of snapshots; others are neither changed nor counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only snapshots of this app.
    pub app: Option<String>,
    /// Only snapshots of this host.
    pub host: Option<String>,
    /// Only snapshots with all of these tags.
    pub tags: Vec<String>,
}

impl Filter {
    /// Returns whether a snapshot passes.
    pub fn fits(&self, snapshot: &Snapshot) -> bool {
        self.app.as_ref().is_none_or(|app| snapshot.app == *app)
            && self.host.as_ref().is_none_or(|host| snapshot.host == *host)
            && self.tags.iter().all(|tag| snapshot.tags.contains(tag))
    }
}

/// The properties by which snapshots are grouped into series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupBy {
    /// The host's name.
    pub host: bool,
    /// The app's name.
    pub app: bool,
    /// The source paths.
    pub paths: bool,
    /// All tags.
    pub tags: bool,
}

impl GroupBy {
    /// Host, app and paths.
    pub const DEFAULT: Self = Self { host: true, app: true, paths: true, tags: false };
}

/// The common properties of a group; `None` for those that may differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The host's name.
    pub host: Option<String>,
    /// The app, empty for none.
    pub app: Option<String>,
    /// The source paths.
    pub paths: Option<Vec<Vec<u8>>>,
    /// All tags.
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

/// The filter and grouping of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The filter.
    pub filter: Filter,
    /// The grouping.
    pub by: GroupBy,
}

/// Separates policy and scope in the reason of a tombstone.
const BETWEEN: &str = "; ";

impl Scope {
    /// All snapshots, by host, app and paths.
    pub const USUAL: Self =
        Self { filter: Filter { app: None, host: None, tags: Vec::new() }, by: GroupBy::DEFAULT };

    /// Returns the reason for tombstones: the policy, and the scope unless it is the usual one.
    pub fn reason(&self, policy: &Policy) -> String {
        [policy.to_string()].into_iter().chain(self.words()).collect::<Vec<_>>().join(BETWEEN)
    }

    /// Returns whether a tombstone's reason names this scope, whatever its policy.
    pub fn is_of(&self, reason: &str) -> bool {
        let (_, scope) = reason.split_once(BETWEEN).unwrap_or((reason, ""));
        scope == self.words().join(BETWEEN)
    }

    /// Returns whether this is the scope without any options.
    pub fn is_usual(&self) -> bool {
        self.words().is_empty()
    }

    /// Returns how it differs from the usual scope. A filter by a property that is also grouped by
    /// is left out, because the series implies it.
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
