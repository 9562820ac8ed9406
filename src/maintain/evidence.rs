//! Evidence of earlier policies: when which policy was applied to a series, by this machine's notes
//! and by tombstones. The later of both counts.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::forget::{ForgetPlan, Group, GroupKey, Scope, is_by_policy};
use crate::format::snapshot::Snapshot;
use crate::format::tombstone::Tombstone;
use crate::id::SnapshotId;
use crate::repo::Repository;
use crate::repo::open::witness::PolicyNote;
use crate::repo::snapshots::Listing;
use crate::repo::snapshots::trash::{self, Forgotten};
use crate::retention::guard::{Applied, Excess, SeriesHistory, excess};
use crate::retention::rhythm::{Moment, usual_gap_s};
use crate::retention::{DatedSnapshot, Policy, plan};

/// Most tombstones without a snapshot that are read.
const REMOVED_READ_MAX: usize = 1_000;

/// Evidence of policies that were applied before.
pub struct Evidence<'a> {
    repository: &'a Repository,
    listing: &'a Listing,
    zone: &'a TimeZone,
    now_s: i64,
    /// Tombstones whose snapshots are gone, read on demand.
    removed: OnceCell<Vec<Tombstone>>,
}

impl<'a> Evidence<'a> {
    /// Reads nothing from the store yet.
    pub fn new(
        repository: &'a Repository,
        listing: &'a Listing,
        zone: &'a TimeZone,
        now_s: i64,
    ) -> Self {
        Self { repository, listing, zone, now_s, removed: OnceCell::new() }
    }

    /// Returns why a group's plan is excessive, if it is.
    pub fn excess_of(&self, group: &Group) -> Option<Excess> {
        let policy = group.policy.as_ref()?;
        let judge =
            |history: &SeriesHistory| excess(&group.items, &group.decisions, history, self.now_s);
        let history = self.history_of(group);
        let found = judge(&history)?;
        match history.last.map_or_else(|| self.applied_before(group, policy), |_| None) {
            Some(at_s) => {
                judge(&SeriesHistory { last: Some(Applied { at_s, is_same: true }), ..history })
            }
            None => Some(found),
        }
    }

    /// Notes the policies that were applied now. A lost note costs at most one question to the
    /// user.
    pub fn note_applied(&self, plan: &ForgetPlan) {
        let noted = plan.accepted().filter(|group| group.policy.is_some()).map(|group| {
            let mut moments = self.forgotten_of(group);
            moments.extend(
                group.items.iter().filter(|item| item.doubt.is_none()).map(DatedSnapshot::moment),
            );
            let (series, reason) =
                (series_name(&group.key, &group.scope), hash_of(&group.reason()));
            PolicyNote { series, at_s: self.now_s, reason, gap_s: usual_gap_s(&moments) }
        });
        self.repository.witness().note_policies(noted.collect());
    }

    /// Returns the history of a group: policies with the same filter and grouping, or else with any
    /// others.
    fn history_of(&self, group: &Group) -> SeriesHistory {
        let own = group.reason();
        let noted = self.repository.witness().policy_note(&series_name(&group.key, &group.scope));
        let gap_s = noted.as_ref().and_then(|noted| noted.gap_s);
        let noted =
            noted.map(|noted| Applied { at_s: noted.at_s, is_same: noted.reason == hash_of(&own) });
        let tombstones = self
            .in_trash(group)
            .map(|(one, _)| &one.tombstone)
            .filter(|one| is_by_policy(&one.reason));
        let (ours, others): (Vec<_>, Vec<_>) =
            tombstones.partition(|one| one.reason == own || group.scope.is_of(&one.reason));
        let ours = ours
            .into_iter()
            .map(|one| Applied { at_s: one.forgotten.seconds, is_same: one.reason == own });
        let last = ours.chain(noted).max_by_key(|one| (one.at_s, !one.is_same));
        let others_s =
            others.into_iter().map(|one| one.forgotten.seconds).chain(self.noted_of_others(group));
        let last = last.or_else(|| others_s.max().map(|at_s| Applied { at_s, is_same: false }));
        SeriesHistory { last, forgotten: self.forgotten_of(group), gap_s }
    }

    /// Returns the snapshots of a group that are in the trash.
    fn in_trash(&self, group: &Group) -> impl Iterator<Item = (&'a Forgotten, &'a Snapshot)> {
        let good = self
            .listing
            .forgotten
            .iter()
            .filter_map(|one| Some((one, one.snapshot.as_ref().ok()?)));
        good.filter(|(_, snapshot)| group.holds(snapshot))
    }

    fn forgotten_of(&self, group: &Group) -> Vec<Moment> {
        let usual = |snapshot: &Snapshot| GroupKey::of(snapshot, Scope::USUAL.by);
        let mut sources: BTreeMap<GroupKey, usize> = group
            .snapshots
            .iter()
            .zip(&group.items)
            .map(|(snapshot, item)| (usual(snapshot), item.source))
            .collect();
        let mut next = group.items.iter().map(|item| item.source + 1).max().unwrap_or(0);
        let in_trash = self.in_trash(group).map(|(_, snapshot)| {
            let source = *sources.entry(usual(snapshot)).or_insert(next);
            next += usize::from(source == next);
            Moment { source, time_s: snapshot.started.seconds }
        });
        in_trash.collect()
    }

    /// Returns when policies were applied to snapshots of a group by the usual grouping (host, app
    /// and paths).
    fn noted_of_others(&self, group: &Group) -> Vec<i64> {
        if group.scope.is_usual() {
            return Vec::new();
        }
        let mut keys: Vec<GroupKey> =
            group.snapshots.iter().map(|one| GroupKey::of(one, Scope::USUAL.by)).collect();
        keys.sort();
        keys.dedup();
        let noted = |key: &GroupKey| {
            self.repository.witness().policy_note(&series_name(key, &Scope::USUAL))
        };
        keys.iter().filter_map(noted).map(|noted| noted.at_s).collect()
    }

    /// Returns when the policy was last applied, by tombstones whose snapshots are gone, if the
    /// group looks as if it had been applied to it.
    ///
    /// Such a tombstone does not name its series. But if the policy would remove none of the
    /// snapshots that existed then, it counts as applied.
    fn applied_before(&self, group: &Group, policy: &Policy) -> Option<i64> {
        let own = group.reason();
        let ours =
            self.removed().iter().filter(|one| group.scope.is_of(&one.reason) || one.reason == own);
        let last = ours
            .max_by_key(|one| (one.forgotten, one.reason != own))
            .filter(|one| one.reason == own)?;
        let at_s = last.forgotten.seconds;
        let old: Vec<DatedSnapshot> =
            group.items.iter().filter(|item| item.time_s <= at_s).cloned().collect();
        let going =
            plan(&old, policy, self.zone).iter().filter(|decision| !decision.is_kept()).count();
        // One may go: a backup that ran meanwhile began before that time and was stored after it.
        (!old.is_empty() && going <= 1).then_some(at_s)
    }

    fn removed(&self) -> &[Tombstone] {
        self.removed.get_or_init(|| {
            let ids: Vec<SnapshotId> =
                self.listing.removed.keys().copied().take(REMOVED_READ_MAX).collect();
            let load = |id: &SnapshotId| {
                trash::load_cached(self.repository, id)
                    .map_or_else(|| trash::load(self.repository, id), Ok)
            };
            // A tombstone that cannot be read is no evidence; then the user is asked.
            let loaded = self.repository.for_each(&ids, load).unwrap_or_default();
            loaded.into_iter().flatten().filter(|one| is_by_policy(&one.reason)).collect()
        })
    }
}

/// Returns a name for a series: the hash of its key and scope.
fn series_name(key: &GroupKey, scope: &Scope) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |kind: u8, bytes: &[u8]| {
        hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    key.host.iter().for_each(|host| part(0, host.as_bytes()));
    key.app.iter().for_each(|app| part(1, app.as_bytes()));
    key.paths.iter().flatten().for_each(|path| part(2, path));
    key.tags.iter().flatten().for_each(|tag| part(3, tag.as_bytes()));
    part(4, scope.words().join("\n").as_bytes());
    hasher.finalize().to_hex()[..32].to_owned()
}

fn hash_of(reason: &str) -> String {
    blake3::hash(reason.as_bytes()).to_hex()[..32].to_owned()
}
