//! Forgetting of snapshots: the plan, its refusal if too many would go at once, and its execution.
//!
//! The plan is a value: it is shown, refused, or applied. Nothing is removed here: a forgotten
//! snapshot goes to the trash.

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

/// Beginning of the reason in a tombstone whose snapshot was named by the user.
const NAMED: &str = "named";
/// Beginning of the reason in a tombstone whose snapshot a repair replaced.
pub const REPAIRED: &str = "a repair";

/// Returns whether the reason in a tombstone is a policy.
pub fn is_by_policy(reason: &str) -> bool {
    !reason.starts_with(NAMED) && !reason.starts_with(REPAIRED)
}

/// A series of snapshots, and the decisions about them.
#[derive(Clone, Debug)]
pub struct Group {
    /// The properties that they have in common.
    pub key: GroupKey,
    /// The filter and grouping that made the series.
    pub scope: Scope,
    /// The policy that decides; `None` where snapshots were named.
    pub policy: Option<Policy>,
    /// The snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Their facts for the policy, in the same order.
    pub items: Vec<DatedSnapshot>,
    /// The decisions about them, in the same order.
    pub decisions: Vec<Decision>,
    /// Why the plan for it is refused.
    pub refused: Option<Refusal>,
}

impl Group {
    /// Returns whether a snapshot belongs to this series, forgotten or not.
    pub fn holds(&self, snapshot: &Snapshot) -> bool {
        self.scope.filter.fits(snapshot) && GroupKey::of(snapshot, self.scope.by) == self.key
    }

    /// Returns the reason for the tombstones of its snapshots.
    pub fn reason(&self) -> String {
        self.policy.as_ref().map_or_else(|| NAMED.to_owned(), |policy| self.scope.reason(policy))
    }

    /// Returns the snapshots that are to be forgotten, oldest first, even if that is refused.
    pub fn going(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots
            .iter()
            .zip(&self.decisions)
            .filter(|(_, decision)| !decision.is_kept())
            .map(|(snapshot, _)| snapshot)
    }
}

/// Reason for which the plan for a group is not carried out unless it is forced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// More than half of a group would go.
    MoreThanHalf {
        /// Snapshots that would go.
        going: usize,
        /// Snapshots that count.
        of: usize,
    },
    /// More than half of the snapshots that another policy kept would go.
    OtherPolicy {
        /// Snapshots that would go.
        going: usize,
        /// Snapshots that count.
        of: usize,
    },
    /// Many snapshots came at once, and would displace more than half of the ones kept so far.
    Flood {
        /// Snapshots that would go.
        going: usize,
        /// Snapshots that count.
        of: usize,
        /// Snapshots that came.
        came: usize,
    },
    /// The newest snapshot of a group would go, or its only one.
    Newest,
}

/// The plan of a `forget`.
#[derive(Clone, Debug, Default)]
pub struct ForgetPlan {
    /// All groups within the scope.
    pub groups: Vec<Group>,
    /// Named snapshots that cannot be read; they go, unless that is refused.
    pub unreadable: Vec<SnapshotId>,
    /// Whether forgetting the unreadable ones is refused.
    pub unreadable_refused: bool,
    /// Named snapshots that are protected; they stay.
    pub protected: Vec<SnapshotId>,
}

impl ForgetPlan {
    /// Returns how many snapshots stay and how many go; those of refused groups stay.
    pub fn counts(&self) -> (usize, usize) {
        let all: usize = self.groups.iter().map(|group| group.snapshots.len()).sum();
        let going = self.accepted().flat_map(Group::going).count();
        let unreadable = if self.unreadable_refused { 0 } else { self.unreadable.len() };
        (all - going, going + unreadable)
    }

    /// Returns the same counts, as if nothing was refused.
    pub fn counts_with_refused(&self) -> (usize, usize) {
        let all: usize = self.groups.iter().map(|group| group.snapshots.len()).sum();
        let going = self.groups.iter().flat_map(Group::going).count();
        (all - going, going + self.unreadable.len())
    }

    /// Refuses plans that are probably a mistake, group by group: a refused group does not stop the
    /// others.
    ///
    /// `excess` returns why the plan of a group with a policy is excessive.
    pub fn refuse(&mut self, excess: impl Fn(&Group) -> Option<Excess>) {
        self.unreadable_refused = !self.unreadable.is_empty();
        for group in &mut self.groups {
            group.refused = refusal_of(group, &excess);
        }
    }

    /// Returns the groups that are not refused.
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
    // A snapshot with a doubtful date does not count as the newest.
    let sure = group.items.iter().zip(&group.decisions).filter(|(item, _)| item.doubt.is_none());
    let (_, newest) = sure.max_by_key(|(item, _)| (item.time_s, item.sequence))?;
    (!newest.is_kept()).then_some(Refusal::Newest)
}

/// Plans the application of a policy to the snapshots in its scope.
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

/// Plans to forget named snapshots. The plan contains only their groups; damaged snapshots belong
/// to no group.
///
/// Protected snapshots stay, and are listed separately.
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
    // Dates are judged among all snapshots, so that a filter hides no evidence.
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

/// Trusts the date of a snapshot that a repair made: it is as old as the one that it replaces,
/// though it was stored later. Spec: `format-spec/08-snapshots.md`, section 7.
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

/// Carries out a plan without its refused groups: moves snapshots to the trash, the oldest of each
/// group first, and returns their ids.
///
/// A snapshot that another process forgot meanwhile is left as it is. Steps before a failure are
/// not undone.
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
