//! Goal: a policy that goes on as it did is never refused, whatever its rhythm, its filter, its
//! grouping and the trash; a policy that was mistyped, and many snapshots at once, are. Method:
//! calendars of backups and forgets are played through on listings, with what the program
//! remembers.

use std::sync::Arc;

use drumlin::format::entry::Timestamp;
use drumlin::format::snapshot::Snapshot;
use drumlin::format::tombstone::Tombstone;
use drumlin::id::SnapshotId;
use drumlin::maintain::evidence::Evidence;
use drumlin::maintain::forget::{self, Filter, GroupBy, Refusal, Scope};
use drumlin::repo::Repository;
use drumlin::repo::snapshots::Listing;
use drumlin::repo::snapshots::trash::{self, ForgetNote, Forgotten};
use drumlin::retention::Policy;
use jiff::tz::TimeZone;

use crate::support::fixture::TestRepo;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
/// 2026-03-01T00:00:00Z.
const START: i64 = 1_772_323_200;
/// When on its day a forget runs.
const EVENING: i64 = DAY - 600;

const NONE: GroupBy = GroupBy { host: false, app: false, paths: false, tags: false };
const BY_HOST: GroupBy = GroupBy { host: true, ..NONE };
const BY_TAGS: GroupBy = GroupBy { tags: true, ..GroupBy::DEFAULT };

/// What is typed: tags to look at, what makes a series, and the policy.
#[derive(Clone, Copy, Debug)]
struct Typed(&'static [&'static str], GroupBy, &'static str);

fn usual(policy: &'static str) -> Typed {
    Typed(&[], GroupBy::DEFAULT, policy)
}

/// A repository as listings show it.
struct World {
    /// The machine that forgets.
    machine: Arc<Repository>,
    first: Snapshot,
    snapshots: Vec<Snapshot>,
    trash: Vec<(Tombstone, Snapshot)>,
    trash_s: i64,
    count: u64,
}

impl World {
    fn new(repo: &TestRepo, first: &Snapshot, trash_s: i64) -> Self {
        let (snapshots, trash) = (Vec::new(), Vec::new());
        Self { machine: repo.open(), first: first.clone(), snapshots, trash, trash_s, count: 0 }
    }

    fn back_up(&mut self, (host, tag): (&str, &str), time_s: i64) {
        self.count += 1;
        let at = Timestamp { seconds: time_s, nanos: 0 };
        self.snapshots.push(Snapshot {
            id: SnapshotId(u128::from(self.count).to_be_bytes()),
            host: host.to_owned(),
            tags: vec![tag.to_owned()],
            sequence: self.count,
            started: at,
            ended: at,
            ..self.first.clone()
        });
    }

    fn listing(&self) -> Listing {
        let forgotten = self.trash.iter().map(|(tombstone, snapshot)| {
            let snapshot = Ok(snapshot.clone());
            Forgotten { tombstone: tombstone.clone(), stored_s: None, snapshot }
        });
        Listing {
            snapshots: self
                .snapshots
                .iter()
                .map(|snapshot| (snapshot.id, Ok(snapshot.clone())))
                .collect(),
            forgotten: forgotten.collect(),
            ..Listing::default()
        }
    }

    /// Makes a tombstone in the store of a snapshot that is gone; returns it as listings show it.
    fn leave_tombstone(&self, reason: &str, time_s: i64) -> (SnapshotId, u64) {
        let (id, word) = (SnapshotId([9; 16]), str::to_owned);
        let now = Timestamp { seconds: time_s, nanos: 0 };
        let note = ForgetNote {
            host: word("host"),
            user: word("user"),
            program: word("test"),
            now,
            reason: word(reason),
        };
        trash::forget(&self.machine, &id, None, &note).unwrap();
        (id, 0)
    }

    /// Forgets what may be forgotten, prunes, and returns what was refused.
    fn forget(&mut self, typed: Typed, now_s: i64) -> Vec<Refusal> {
        let Typed(tags, by, text) = typed;
        let filter = Filter {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Filter::default()
        };
        let mut policy = Policy::default();
        policy.add(text).unwrap();
        let listing = self.listing();
        let mut plan =
            forget::plan_policy(&listing, &Scope { filter, by }, &policy, &TimeZone::UTC, now_s);
        let zone = TimeZone::UTC;
        let evidence = Evidence::new(&self.machine, &listing, &zone, now_s);
        plan.refuse(|group| evidence.excess_of(group));
        evidence.note_applied(&plan);
        for group in plan.accepted() {
            for snapshot in group.going() {
                self.snapshots.retain(|one| one.id != snapshot.id);
                self.trash.push((tombstone_of(snapshot, group.reason(), now_s), snapshot.clone()));
            }
        }
        self.trash.retain(|(tombstone, _)| now_s - tombstone.forgotten.seconds < self.trash_s);
        plan.groups.into_iter().filter_map(|group| group.refused).collect()
    }
}

fn tombstone_of(snapshot: &Snapshot, reason: String, now_s: i64) -> Tombstone {
    Tombstone {
        snapshot: snapshot.id,
        repository: snapshot.repository,
        hash: None,
        host: "host".to_owned(),
        user: "user".to_owned(),
        program: "test".to_owned(),
        forgotten: Timestamp { seconds: now_s, nanos: 0 },
        reason,
        extensions: Vec::new(),
        writer: [0; 32],
    }
}

/// The backups of a day: host, tag, and seconds after midnight.
type Rhythm = Vec<(&'static str, &'static str, i64)>;

fn every(source: (&'static str, &'static str), gap_s: i64, count: i64) -> Rhythm {
    (0..count).map(|number| (source.0, source.1, 600 + number * gap_s)).collect()
}

fn rhythms() -> Vec<(&'static str, Rhythm)> {
    let of_all = |gap_s: i64, count: i64| {
        ["a", "b", "c", "d", "e"].map(|host| every((host, "x"), gap_s, count)).concat()
    };
    let tagged = [every(("a", "hourly"), HOUR, 23), every(("a", "nightly"), DAY, 1)].concat();
    let unequal =
        [every(("a", "x"), HOUR, 23), every(("b", "x"), DAY, 1), every(("c", "x"), DAY, 1)]
            .concat();
    let mut all = vec![
        ("quarter hours", every(("a", "x"), 900, 90)),
        ("hours", every(("a", "x"), HOUR, 23)),
        ("twice", every(("a", "x"), HOUR, 2)),
        ("four times", every(("a", "x"), 6 * HOUR, 4)),
        ("days", every(("a", "x"), DAY, 1)),
        ("hosts by day", of_all(DAY, 1)),
        ("hosts by hour", of_all(HOUR, 12)),
        ("hours and nights", tagged),
        ("unequal hosts", unequal),
    ];
    // One that comes before others with earlier dates would be in doubt.
    all.iter_mut().for_each(|(_, rhythm)| rhythm.sort_by_key(|(_, _, time_s)| *time_s));
    all
}

/// Plays a calendar through; returns the first day on which something was refused, and what.
fn play(
    world: &mut World,
    rhythm: &Rhythm,
    typed: &[Typed],
    (days, step): (i64, i64),
) -> Option<(i64, Refusal)> {
    for day in 0..days {
        for (host, tag, time_s) in rhythm {
            world.back_up((host, tag), START + day * DAY + time_s);
        }
        for typed in typed.iter().filter(|_| day % step == 0) {
            if let Some(refused) = world.forget(*typed, START + day * DAY + EVENING).pop() {
                return Some((day, refused));
            }
        }
    }
    None
}

/// When forgets run: for so many days, every so many days.
const STEPS: [(i64, i64); 3] = [(12, 1), (36, 7), (62, 30)];
const TRASHES: [i64; 3] = [0, DAY, 8 * DAY];

#[test]
fn what_goes_on_as_it_did_is_never_refused() {
    let repo = TestRepo::new();
    let first = repo.snapshot();
    let policies = ["last 1", "last 5", "hourly 7, daily 7", "daily 7, weekly 12", "decay 1y"];
    let mut habits: Vec<Vec<Typed>> = Vec::new();
    for policy in policies {
        habits.push(vec![usual(policy)]);
        habits.push(vec![Typed(&[], NONE, policy)]);
        habits.push(vec![Typed(&[], BY_HOST, policy)]);
        habits.push(vec![Typed(&["x"], GroupBy::DEFAULT, policy)]);
    }
    habits.push(vec![
        Typed(&["hourly"], GroupBy::DEFAULT, "last 4"),
        Typed(&["nightly"], GroupBy::DEFAULT, "last 30"),
    ]);
    habits.push(vec![
        Typed(&["nightly"], GroupBy::DEFAULT, "last 30"),
        Typed(&["hourly"], NONE, "hourly 5"),
    ]);
    habits.push(vec![Typed(&[], BY_TAGS, "daily 7")]);
    let mut refused = Vec::new();
    let mut played = 0;
    for (name, rhythm) in rhythms() {
        let has = |tag: &&str| rhythm.iter().any(|(_, other, _)| other == tag);
        for habit in habits.iter().filter(|habit| habit.iter().all(|typed| typed.0.iter().all(has)))
        {
            for (days, step) in STEPS {
                // What comes often costs much to play and is seen in few days.
                let days = if rhythm.len() > 50 { days.min(15) } else { days };
                for trash_s in TRASHES {
                    let mut world = World::new(&repo, &first, trash_s);
                    let found = play(&mut world, &rhythm, habit, (days, step));
                    refused.extend(found.map(|found| {
                        format!(
                            "{name}, {habit:?}, every {step} days, trash {trash_s} s: {found:?}"
                        )
                    }));
                    played += 1;
                }
            }
        }
    }
    assert!(refused.is_empty(), "{} of {played}:\n{}", refused.len(), refused.join("\n"));
}

/// On each of these, what comes before runs every night, and what is typed then must not be carried
/// out.
#[test]
fn what_was_mistyped_is_refused() {
    let repo = TestRepo::new();
    let first = repo.snapshot();
    let hosts = "hosts by day";
    let cases: [(&str, &[Typed], Typed); 13] = [
        (hosts, &[usual("daily 7")], Typed(&[], NONE, "daily 7")),
        (
            hosts,
            &[usual("daily 7")],
            Typed(&[], GroupBy { app: true, paths: true, ..NONE }, "daily 7"),
        ),
        (hosts, &[usual("last 7")], Typed(&[], NONE, "last 7")),
        (hosts, &[usual("decay 1y")], Typed(&[], NONE, "daily 7")),
        (hosts, &[usual("daily 7")], usual("daily 1")),
        (hosts, &[usual("daily 7")], usual("weekly 1")),
        (hosts, &[usual("last 7")], Typed(&["x"], GroupBy::DEFAULT, "last 1")),
        (hosts, &[Typed(&[], NONE, "daily 7")], Typed(&[], NONE, "daily 1")),
        ("hosts by hour", &[usual("hourly 24, daily 7")], Typed(&[], NONE, "daily 7")),
        (
            "hours and nights",
            &[
                Typed(&["hourly"], GroupBy::DEFAULT, "last 4"),
                Typed(&["nightly"], GroupBy::DEFAULT, "last 30"),
            ],
            usual("last 4"),
        ),
        (
            "hours and nights",
            &[Typed(&["nightly"], GroupBy::DEFAULT, "last 30")],
            Typed(&["nightly"], GroupBy::DEFAULT, "last 1"),
        ),
        ("hours and nights", &[Typed(&[], BY_TAGS, "last 7")], Typed(&[], BY_TAGS, "last 1")),
        ("days", &[usual("daily 14")], usual("monthly 2")),
    ];
    for (name, habit, typed) in cases {
        let (_, rhythm) = rhythms().into_iter().find(|(other, _)| *other == name).unwrap();
        for (trash_s, days) in
            [(0, 9), (DAY, 9), (8 * DAY, 9), (0, 20), (8 * DAY, 20), (8 * DAY, 5)]
        {
            let mut world = World::new(&repo, &first, trash_s);
            assert_eq!(play(&mut world, &rhythm, habit, (days, 1)), None, "{name}, {habit:?}");
            let before = world.snapshots.len();
            let refused = world.forget(typed, START + days * DAY + 60);
            assert!(
                !refused.is_empty(),
                "{name}, {habit:?}, then {typed:?} after {days} days, trash {trash_s} s"
            );
            assert_eq!(
                world.snapshots.len(),
                before,
                "{name}, {habit:?}, then {typed:?} after {days} days, trash {trash_s} s"
            );
            // The right one goes on.
            assert_eq!(world.forget(habit[0], START + days * DAY + 120), []);
        }
    }
}

/// Twenty and more within an hour, after so many days of one a day, must not push out what is
/// there.
#[test]
fn what_comes_at_once_pushes_nothing_out() {
    let repo = TestRepo::new();
    let first = repo.snapshot();
    for (policy, days) in [
        ("last 5", 1),
        ("last 2", 2),
        ("last 3", 3),
        ("last 7", 9),
        ("hourly 7", 9),
        ("last 14", 30),
    ] {
        for trash_s in TRASHES {
            for by in [GroupBy::DEFAULT, NONE] {
                let mut world = World::new(&repo, &first, trash_s);
                let typed = Typed(&[], by, policy);
                assert_eq!(
                    play(&mut world, &every(("a", "x"), DAY, 1), &[typed], (days, 1)),
                    None,
                    "{policy}"
                );
                let before: Vec<SnapshotId> = world.snapshots.iter().map(|one| one.id).collect();
                let next_s = START + days * DAY + 12 * HOUR;
                let gap_s = if policy.starts_with("hourly") { HOUR / 2 } else { 60 };
                (0..30).for_each(|number| world.back_up(("a", "x"), next_s + number * gap_s));
                let refused = world.forget(typed, next_s + 16 * HOUR);
                assert!(
                    matches!(refused[..], [Refusal::Flood { came: 30, .. }]),
                    "{policy}, {days} days: {refused:?}"
                );
                assert!(
                    before.iter().all(|id| world.snapshots.iter().any(|one| one.id == *id)),
                    "{policy}, {days} days"
                );
            }
        }
    }
}

/// What another machine did since counts more than what this one did before.
#[test]
fn the_later_of_two_machines_policies_counts() {
    let (repo, trash_s) = (TestRepo::new(), 8 * DAY);
    let first = repo.snapshot();
    let mut world = World::new(&repo, &first, trash_s);
    let rhythm = every(("a", "x"), DAY, 1);
    assert_eq!(play(&mut world, &rhythm, &[usual("last 2")], (3, 1)), None);
    let this = std::mem::replace(&mut world.machine, repo.open());
    for day in 3..30 {
        world.back_up(("a", "x"), START + day * DAY + 600);
        assert_eq!(world.forget(usual("last 20"), START + day * DAY + EVENING), []);
    }
    world.machine = this;
    let refused = world.forget(usual("last 2"), START + 30 * DAY);
    assert!(matches!(refused[..], [Refusal::OtherPolicy { going: 18, of: 20 }]), "{refused:?}");
}

/// What was named, or replaced by a repair, was forgotten by no policy.
#[test]
fn no_policy_is_read_out_of_other_reasons() {
    let repo = TestRepo::new();
    let first = repo.snapshot();
    for reason in ["named", "a repair: replaced by 00000001"] {
        let mut world = World::new(&repo, &first, 8 * DAY);
        assert_eq!(play(&mut world, &every(("a", "x"), DAY, 1), &[usual("last 1")], (5, 1)), None);
        let (_, old) = world.trash.pop().unwrap();
        world.trash.push((tombstone_of(&old, reason.to_owned(), START + 5 * DAY), old));
        world.back_up(("a", "x"), START + 5 * DAY + 600);
        assert_eq!(world.forget(usual("last 1"), START + 5 * DAY + EVENING), [], "{reason}");
    }
}

/// A machine that remembers nothing, on a repository whose trash is emptied at once, learns from
/// the tombstones that are left what was done night after night, and does not believe it of a
/// series that does not look so.
#[test]
fn tombstones_without_snapshots_tell_what_went_on() {
    let repo = TestRepo::new();
    let first = repo.snapshot();
    let mut world = World::new(&repo, &first, 0);
    assert_eq!(play(&mut world, &every(("a", "x"), HOUR, 23), &[usual("last 5")], (5, 1)), None);
    let evening_s = START + 4 * DAY + EVENING;
    let gone = world.leave_tombstone("last 5", evening_s);
    world.machine = repo.open();
    for day in 5..12 {
        every(("a", "x"), HOUR, 23)
            .iter()
            .for_each(|(_, _, time_s)| world.back_up(("a", "x"), START + day * DAY + time_s));
    }
    let judge = |world: &World, text: &str, removed: &[(SnapshotId, u64)]| {
        let mut policy = Policy::default();
        policy.add(text).unwrap();
        let listing = Listing { removed: removed.iter().copied().collect(), ..world.listing() };
        let now_s = evening_s + 7 * DAY;
        let mut plan = forget::plan_policy(&listing, &Scope::USUAL, &policy, &TimeZone::UTC, now_s);
        let zone = TimeZone::UTC;
        plan.refuse(|group| Evidence::new(&world.machine, &listing, &zone, now_s).excess_of(group));
        plan.groups.into_iter().filter_map(|group| group.refused).collect::<Vec<_>>()
    };
    assert_eq!(judge(&world, "last 5", &[gone]), []);
    for (text, removed) in [("last 5", &[][..]), ("last 4", &[gone])] {
        assert!(
            matches!(judge(&world, text, removed)[..], [Refusal::MoreThanHalf { .. }]),
            "{text}"
        );
    }
    (0..30).for_each(|number| world.back_up(("b", "x"), START - 20 * DAY + number * 12 * HOUR));
    assert!(matches!(
        judge(&world, "last 5", &[gone])[..],
        [Refusal::MoreThanHalf { going: 25, of: 30 }]
    ));
}
