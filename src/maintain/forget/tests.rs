use super::*;
use crate::format::entry::Timestamp;
use crate::format::node::Totals;
use crate::format::snapshot::{Consistency, SnapshotStats};
use crate::id::{ChunkId, RepositoryId};

const DAY_S: i64 = 24 * 3600;

/// Returns a snapshot that a host made on a day; its id begins with both numbers.
fn taken(host: u8, day: i64) -> Snapshot {
    let at = |seconds| Timestamp { seconds, nanos: 0 };
    let mut id = [0; 16];
    (id[0], id[1]) = (host, u8::try_from(day).unwrap());
    Snapshot {
        id: SnapshotId(id),
        repository: RepositoryId([1; 16]),
        host: format!("host-{host}"),
        user: "ada".to_owned(),
        app: String::new(),
        sequence: u64::try_from(day).unwrap(),
        previous: None,
        parent: None,
        started: at(day * DAY_S),
        ended: at(day * DAY_S + 60),
        program: "test".to_owned(),
        sources: vec![b"/srv".to_vec()],
        tags: Vec::new(),
        root: ChunkId([0; 32]),
        consistency: Consistency::Live,
        stats: SnapshotStats { totals: Totals::default(), ..SnapshotStats::default() },
        problem_count: 0,
        problems: Vec::new(),
        extensions: Vec::new(),
        writer: [2; 32],
    }
}

/// Lists snapshots of two hosts on ten days.
fn listing() -> Listing {
    let all = [1, 2].iter().flat_map(|host| (1..=10).map(|day| taken(*host, day)));
    let snapshots: Vec<_> = all.map(|snapshot| (snapshot.id, Ok(snapshot))).collect();
    Listing { snapshots, ..Listing::default() }
}

fn days(snapshots: impl Iterator<Item = SnapshotId>) -> Vec<u8> {
    snapshots.map(|id| id.0[1]).collect()
}

fn by_policy(listing: &Listing, policy: &Policy) -> ForgetPlan {
    let scope = Scope { filter: Filter::default(), by: GroupBy::DEFAULT };
    let mut groups = group_all(listing, &scope, 20 * DAY_S);
    for group in &mut groups {
        group.decisions = plan(&group.items, policy, &TimeZone::UTC);
        group.policy = Some(policy.clone());
    }
    ForgetPlan { groups, ..ForgetPlan::default() }
}

#[test]
fn each_series_is_looked_at_for_itself() {
    let policy = Policy { last: Some(3), ..Policy::default() };
    let planned = by_policy(&listing(), &policy);
    assert_eq!(planned.groups.len(), 2);
    for group in &planned.groups {
        let going = days(group.going().map(|snapshot| snapshot.id));
        assert_eq!(going, [1, 2, 3, 4, 5, 6, 7], "{:?}", group.key);
        assert!(is_by_policy(&group.reason()));
    }
    assert_eq!((planned.counts(), planned.counts_with_refused()), ((6, 14), (6, 14)));
}

#[test]
fn what_is_too_much_of_one_series_stops_no_other() {
    let policy = Policy { last: Some(3), ..Policy::default() };
    let mut planned = by_policy(&listing(), &policy);
    let flood = Excess::Flood { going: 7, of: 10, came: 8 };
    let is_first = |group: &Group| group.snapshots[0].host == "host-1";
    planned.refuse(|group| is_first(group).then_some(flood));
    let refused = planned.groups.iter().find(|group| is_first(group)).unwrap();
    assert_eq!(refused.refused, Some(Refusal::Flood { going: 7, of: 10, came: 8 }));
    assert_eq!(planned.accepted().count(), 1);
    assert_eq!((planned.counts(), planned.counts_with_refused()), ((13, 7), (6, 14)));
}

#[test]
fn named_snapshots_go_and_no_others() {
    let listing = listing();
    let named = [taken(1, 2).id, taken(1, 4).id];
    let mut planned = plan_named(&listing, &named, GroupBy::DEFAULT, 20 * DAY_S);
    planned.refuse(|_| panic!("a named snapshot is not a matter of policies"));
    let [group] = planned.groups.as_slice() else { panic!("{:?}", planned.groups) };
    assert_eq!(days(group.going().map(|snapshot| snapshot.id)), [2, 4]);
    assert!(group.refused.is_none() && !is_by_policy(&group.reason()));
}

#[test]
fn the_newest_and_most_of_a_series_are_refused() {
    let listing = listing();
    let refusal = |days: &[i64]| {
        let named: Vec<SnapshotId> = days.iter().map(|day| taken(1, *day).id).collect();
        let mut planned = plan_named(&listing, &named, GroupBy::DEFAULT, 20 * DAY_S);
        planned.refuse(|_| None);
        planned.groups[0].refused.clone()
    };
    assert_eq!(refusal(&[10]), Some(Refusal::Newest));
    assert_eq!(refusal(&[1, 2, 3, 4, 5]), None);
    let most = Refusal::MoreThanHalf { going: 6, of: 10 };
    assert_eq!(refusal(&[1, 2, 3, 4, 5, 6]), Some(most));
}

#[test]
fn protected_snapshots_stay_though_they_are_named() {
    let mut listing = listing();
    let (kept, going) = (taken(1, 3).id, taken(1, 4).id);
    listing.protected.insert(kept);
    let planned = plan_named(&listing, &[kept, going], GroupBy::DEFAULT, 20 * DAY_S);
    assert_eq!(planned.protected, [kept]);
    assert_eq!(days(planned.groups[0].going().map(|snapshot| snapshot.id)), [4]);
    let policy = Policy { last: Some(1), ..Policy::default() };
    let planned = by_policy(&listing, &policy);
    assert!(planned.groups[0].going().all(|snapshot| snapshot.id != kept));
}

#[test]
fn what_nobody_can_read_goes_only_if_it_is_forced() {
    let mut listing = listing();
    let damaged = SnapshotId([9; 16]);
    let error = Error::WrongContent { object: "snapshots/09".to_owned() };
    listing.snapshots.push((damaged, Err(error)));
    let mut planned = plan_named(&listing, &[damaged], GroupBy::DEFAULT, 20 * DAY_S);
    assert_eq!((planned.unreadable.as_slice(), planned.counts().1), (&[damaged][..], 1));
    planned.refuse(|_| None);
    assert_eq!((planned.unreadable_refused, planned.counts().1), (true, 0));
}
