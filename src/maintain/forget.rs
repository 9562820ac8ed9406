//! Forgetting: which snapshots go, why, whether that is too many at once, and then doing it.
//!
//! The plan is a value: it is shown, refused, or applied. Nothing is removed here; a forgotten
//! snapshot lies in the trash.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::monitor::Monitor;
use crate::repo::snapshots::trash::{self, ForgetNote};
use crate::repo::snapshots::{self, Listing};
use crate::repo::{Error, Repository, Result};
use crate::retention::guard::Excess;
use crate::retention::trust::{DateClaim, DateVerdict, judge};
use crate::retention::{DatedSnapshot, Decision, Doubt, Keep, Policy, plan};

pub use super::scope::{Filter, GroupBy, GroupKey, Scope};

/// How the reason of a tombstone begins whose snapshot was named.
const NAMED: &str = "named";
/// How the reason of a tombstone begins whose snapshot a repair replaced.
pub const REPAIRED: &str = "a repair";

/// Returns whether a policy gave the reason of a tombstone.
pub fn is_by_policy(reason: &str) -> bool {
    !reason.starts_with(NAMED) && !reason.starts_with(REPAIRED)
}

/// A series of snapshots and what becomes of them.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they have in common.
    pub key: GroupKey,
    /// Which snapshots were looked at, and what makes a series of them.
    pub scope: Scope,
    /// The policy that decides; `None` where snapshots were named.
    pub policy: Option<Policy>,
    /// The snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// What the policy knows of them, in the same order.
    pub items: Vec<DatedSnapshot>,
    /// What becomes of them, in the same order.
    pub decisions: Vec<Decision>,
    /// Why nothing of it is carried out.
    pub refused: Option<Refusal>,
}

impl Group {
    /// Returns whether a snapshot belongs to it, or did before it was forgotten.
    pub fn holds(&self, snapshot: &Snapshot) -> bool {
        self.scope.filter.fits(snapshot) && GroupKey::of(snapshot, self.scope.by) == self.key
    }

    /// Returns why snapshots of it are forgotten, as their tombstones say it.
    pub fn reason(&self) -> String {
        self.policy.as_ref().map_or_else(|| NAMED.to_owned(), |policy| self.scope.reason(policy))
    }

    /// Returns the snapshots that go, oldest first, whether that is refused or not.
    pub fn going(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots
            .iter()
            .zip(&self.decisions)
            .filter(|(_, decision)| !decision.is_kept())
            .map(|(snapshot, _)| snapshot)
    }
}

/// Why the plan for a group is not carried out without being forced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// More than half of a group would go.
    MoreThanHalf {
        /// How many would go.
        going: usize,
        /// Of how many.
        of: usize,
    },
    /// More than half of what another policy kept would go.
    OtherPolicy {
        /// How many would go.
        going: usize,
        /// Of how many.
        of: usize,
    },
    /// Many came at once, and more than half of what was kept so far would go for them.
    Flood {
        /// How many would go.
        going: usize,
        /// Of how many.
        of: usize,
        /// How many came.
        came: usize,
    },
    /// The newest of a group would go, or its only one.
    Newest,
}

/// What is to be done.
#[derive(Clone, Debug, Default)]
pub struct ForgetPlan {
    /// All groups that were looked at.
    pub groups: Vec<Group>,
    /// Snapshots that were named and cannot be read; they go, unless that is refused.
    pub unreadable: Vec<SnapshotId>,
    /// Whether nobody is to forget what nobody can read.
    pub unreadable_refused: bool,
    /// Snapshots that were named and are protected; they stay.
    pub protected: Vec<SnapshotId>,
}

impl ForgetPlan {
    /// Returns how many snapshots stay and go; what is refused stays.
    pub fn counts(&self) -> (usize, usize) {
        let all: usize = self.groups.iter().map(|group| group.snapshots.len()).sum();
        let going = self.accepted().flat_map(Group::going).count();
        let unreadable = if self.unreadable_refused { 0 } else { self.unreadable.len() };
        (all - going, going + unreadable)
    }

    /// Returns the same, as if nothing was refused.
    pub fn counts_with_refused(&self) -> (usize, usize) {
        let all: usize = self.groups.iter().map(|group| group.snapshots.len()).sum();
        let going = self.groups.iter().flat_map(Group::going).count();
        (all - going, going + self.unreadable.len())
    }

    /// Refuses what nobody can have meant, group by group: one that is refused does not stop the
    /// others.
    ///
    /// `excess` says of a group with a policy what is too much.
    pub fn refuse(&mut self, excess: impl Fn(&Group) -> Option<Excess>) {
        self.unreadable_refused = !self.unreadable.is_empty();
        for group in &mut self.groups {
            group.refused = refusal_of(group, &excess);
        }
    }

    /// Returns the groups of which nothing is refused.
    pub fn accepted(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.refused.is_none())
    }
}

fn refusal_of(group: &Group, excess: impl Fn(&Group) -> Option<Excess>) -> Option<Refusal> {
    let (going, of) = (group.going().count(), group.snapshots.len());
    if group.policy.is_some() {
        return excess(group).map(|excess| match excess {
            Excess::Series => Refusal::MoreThanHalf { going, of },
            Excess::OtherPolicy { going, of } => Refusal::OtherPolicy { going, of },
            Excess::Flood { going, of, came } => Refusal::Flood { going, of, came },
        });
    }
    if going * 2 > of {
        return Some(Refusal::MoreThanHalf { going, of });
    }
    // Snapshots with dates in doubt do not make up for the newest that is sure.
    let sure = group.items.iter().zip(&group.decisions).filter(|(item, _)| item.doubt.is_none());
    let (_, newest) = sure.max_by_key(|(item, _)| (item.time_s, item.sequence))?;
    (!newest.is_kept()).then_some(Refusal::Newest)
}

/// Plans what a policy does to the snapshots that it looks at.
pub fn plan_policy(
    listing: &Listing,
    scope: &Scope,
    policy: &Policy,
    zone: &TimeZone,
    now_s: i64,
) -> ForgetPlan {
    let mut groups = group_all(listing, scope, now_s);
    for group in &mut groups {
        group.decisions = plan(&group.items, policy, zone);
        group.policy = Some(policy.clone());
    }
    ForgetPlan { groups, ..ForgetPlan::default() }
}

/// Plans to forget named snapshots; only the groups that they belong to are in the plan. Those that
/// are damaged belong to none.
///
/// Those that are protected stay, and are told apart.
pub fn plan_named(listing: &Listing, named: &[SnapshotId], by: GroupBy, now_s: i64) -> ForgetPlan {
    let (protected, named): (Vec<_>, Vec<_>) =
        named.iter().partition(|id| listing.protected.contains(id));
    let mut groups = group_all(listing, &Scope { filter: Filter::default(), by }, now_s);
    groups.retain(|group| group.snapshots.iter().any(|snapshot| named.contains(&snapshot.id)));
    for group in &mut groups {
        let decide = |snapshot: &Snapshot| match (
            named.contains(&snapshot.id),
            listing.protected.contains(&snapshot.id),
        ) {
            (true, _) => Decision::default(),
            (false, true) => Decision { keeps: vec![Keep::Protected], misses: Vec::new() },
            (false, false) => Decision::unasked(),
        };
        group.decisions = group.snapshots.iter().map(decide).collect();
    }
    let damaged = listing
        .snapshots
        .iter()
        .filter(|(_, snapshot)| snapshot.as_ref().is_err_and(Error::is_damage));
    let unreadable = damaged.map(|(id, _)| *id).filter(|id| named.contains(id)).collect();
    ForgetPlan { groups, unreadable, protected, ..ForgetPlan::default() }
}

fn group_all(listing: &Listing, scope: &Scope, now_s: i64) -> Vec<Group> {
    // Dates are judged among all snapshots, so that no filter hides a witness.
    let good: Vec<&Snapshot> =
        listing.snapshots.iter().filter_map(|(_, snapshot)| snapshot.as_ref().ok()).collect();
    let mut series: BTreeMap<GroupKey, usize> = BTreeMap::new();
    let claims: Vec<DateClaim> =
        good.iter().map(|snapshot| claim_of(listing, snapshot, &mut series)).collect();
    let judged = good.iter().zip(judge(&claims, now_s)).zip(&claims);
    let mut groups: BTreeMap<GroupKey, Group> = BTreeMap::new();
    for ((snapshot, verdict), claim) in
        judged.filter(|((snapshot, _), _)| scope.filter.fits(snapshot))
    {
        let verdict = verdict_on(snapshot, verdict);
        let key = GroupKey::of(snapshot, scope.by);
        let group = groups.entry(key.clone()).or_insert_with(|| Group {
            key,
            scope: scope.clone(),
            policy: None,
            snapshots: Vec::new(),
            items: Vec::new(),
            decisions: Vec::new(),
            refused: None,
        });
        group.items.push(DatedSnapshot {
            time_s: if let DateVerdict::Sure(time_s) = verdict {
                time_s
            } else {
                snapshot.started.seconds
            },
            sequence: snapshot.sequence,
            tags: snapshot.tags.clone(),
            is_protected: listing.protected.contains(&snapshot.id),
            doubt: verdict.doubt(),
            source: claim.series,
        });
        group.snapshots.push((*snapshot).clone());
    }
    groups.into_values().collect()
}

/// A repair's snapshot is as old as the one that it replaces, though it was stored later. Spec:
/// `format-spec/08-snapshots.md`, section 7.
fn verdict_on(snapshot: &Snapshot, verdict: DateVerdict) -> DateVerdict {
    match verdict {
        DateVerdict::Doubtful(Doubt::Ahead) => verdict,
        _ if snapshot.instead_of().is_some() => DateVerdict::Sure(snapshot.started.seconds),
        _ => verdict,
    }
}

fn claim_of(
    listing: &Listing,
    snapshot: &Snapshot,
    series: &mut BTreeMap<GroupKey, usize>,
) -> DateClaim {
    let next = series.len();
    DateClaim {
        series: *series.entry(GroupKey::of(snapshot, GroupBy::DEFAULT)).or_insert(next),
        time_s: snapshot.started.seconds,
        ended_s: snapshot.ended.seconds.max(snapshot.started.seconds),
        stored_s: listing.stored_s.get(&snapshot.id).copied(),
        sequence: snapshot.sequence,
        hash: snapshots::chain_hash(snapshot),
        previous: snapshot.previous,
    }
}

/// Carries a plan out but for what is refused: puts all that goes into the trash, the oldest of
/// each group first, and returns their ids.
///
/// A snapshot that another process forgot meanwhile is left as it is. Whatever was done before a
/// failure stays done.
pub fn apply(
    repository: &Repository,
    plan: &ForgetPlan,
    note: &ForgetNote,
    monitor: &Monitor,
) -> Result<Vec<SnapshotId>> {
    let mut forgotten = Vec::new();
    let (_, going) = plan.counts();
    if going == 0 {
        return Ok(forgotten);
    }
    repository.confirm_key()?;
    let unread =
        ForgetNote { reason: format!("{NAMED}, because it could not be read"), ..note.clone() };
    for id in plan.unreadable.iter().filter(|_| !plan.unreadable_refused) {
        if trash::forget(repository, id, None, &unread)? {
            forgotten.push(*id);
        }
    }
    for group in plan.accepted() {
        let note = ForgetNote { reason: group.reason(), ..note.clone() };
        for snapshot in group.going() {
            if monitor.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if trash::forget(
                repository,
                &snapshot.id,
                Some(snapshots::chain_hash(snapshot)),
                &note,
            )? {
                forgotten.push(snapshot.id);
            }
        }
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests;
