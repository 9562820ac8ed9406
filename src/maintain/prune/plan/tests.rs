//! Goal: a plan removes no pack that anything needs, rewrites only what is worth it, and is the
//! same on every machine with the same view. Method: random repositories and the rules as one
//! would state them, then an example on each side of every limit.

use proptest::prelude::*;

use super::*;
use crate::format::generation::{CollectorRecord, RecordContent, Removal};
use crate::repo::gc::collect::DatedPack;

const MIB: u64 = 1 << 20;
const DAY: i64 = 86_400;
const NOW_S: i64 = 1_800_000_000;

/// A pack as the index and the store describe it.
#[derive(Clone, Debug)]
struct Pack {
    class: PackClass,
    len_bytes: u64,
    unused_bytes: u64,
    /// Whether a snapshot needs something of it.
    is_live: bool,
    is_settled: bool,
    is_relied: bool,
    /// Age by the store's clock, if the store states it.
    age_s: Option<i64>,
}

impl Pack {
    /// A pack of file content that is ten days old and that nothing needs.
    fn dead(len_bytes: u64) -> Self {
        let class = PackClass::Data;
        Self {
            class,
            len_bytes,
            unused_bytes: len_bytes,
            is_live: false,
            is_settled: true,
            is_relied: false,
            age_s: Some(10 * DAY),
        }
    }

    /// The like, but needed except for `unused_bytes`.
    fn live(len_bytes: u64, unused_bytes: u64) -> Self {
        Self { unused_bytes, is_live: true, ..Self::dead(len_bytes) }
    }
}

/// Names whose order is not that of the packs.
fn name_of(at: usize) -> ObjectId {
    let number = (at as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let mut name = [0; 32];
    name[..16].copy_from_slice(&number.to_be_bytes());
    ObjectId(name)
}

fn options() -> PruneOptions {
    PruneOptions::new(Timestamp { seconds: NOW_S, nanos: 0 })
}

fn listed(packs: &[Pack]) -> PackList {
    let mut list = PackList::default();
    for (at, pack) in packs.iter().enumerate() {
        let modified_s = pack.age_s.map(|age_s| NOW_S - age_s);
        let dated = DatedPack { class: pack.class, len_bytes: pack.len_bytes, modified_s };
        list.packs.insert(name_of(at), dated);
        list.newest_s = list.newest_s.max(modified_s);
    }
    list
}

fn plan_of(packs: &[Pack], options: &PruneOptions) -> PrunePlan {
    let uses = packs.iter().enumerate().map(|(at, pack)| {
        let live = u64::from(pack.is_live);
        let one = PackUse {
            class: pack.class,
            len_bytes: pack.len_bytes,
            named: 2,
            live,
            is_settled: pack.is_settled,
            unused_bytes: pack.unused_bytes,
        };
        (name_of(at), one)
    });
    let relied = packs.iter().enumerate().filter(|(_, pack)| pack.is_relied);
    let roots = Roots { relied: relied.map(|(at, _)| name_of(at)).collect(), ..Roots::default() };
    plan(&uses.collect(), &listed(packs), &roots, options)
}

/// Returns the positions of victims, ascending.
fn places(packs: &[Pack], victims: &[Victim]) -> Vec<usize> {
    let at = |victim: &Victim| (0..packs.len()).find(|at| name_of(*at) == victim.name).unwrap();
    let mut places: Vec<usize> = victims.iter().map(at).collect();
    places.sort_unstable();
    places
}

fn any_pack() -> impl Strategy<Value = Pack> {
    let class = prop_oneof![Just(PackClass::Data), Just(PackClass::Meta)];
    let len_bytes = prop_oneof![1..MIB, MIB..8 * MIB, 30 * MIB..34 * MIB];
    let age_s =
        prop_oneof![Just(None), (0..3 * DAY).prop_map(Some), (DAY..400 * DAY).prop_map(Some)];
    let facts = (any::<bool>(), any::<bool>(), proptest::bool::weighted(0.1));
    (class, len_bytes, 0..=1000u64, facts, age_s).prop_map(
        |(class, len_bytes, unused_permille, (is_live, is_settled, is_relied), age_s)| {
            let unused_bytes = if is_live { len_bytes * unused_permille / 1000 } else { len_bytes };
            Pack { class, len_bytes, unused_bytes, is_live, is_settled, is_relied, age_s }
        },
    )
}

proptest! {
    #[test]
    fn nothing_needed_goes_and_what_is_left_is_allowed(
        packs in prop::collection::vec(any_pack(), 0..60),
        max_unused_permille in prop_oneof![Just(0), Just(50), 0..2000u32],
        max_repack_bytes in prop_oneof![Just(u64::MAX), 0..200 * MIB],
        min_age_s in prop_oneof![Just(0), Just(30 * DAY)],
        grace_s in prop_oneof![Just(0), Just(DAY)],
    ) {
        let options = PruneOptions {
            max_unused_permille, max_repack_bytes, min_age_s, grace_s, ..options()
        };
        let plan = plan_of(&packs, &options);
        let is_older = |pack: &Pack, age_s: i64| pack.age_s.is_none_or(|age| age >= age_s);
        let sum = |packs: &[Pack], places: &[usize], of: fn(&Pack) -> u64| -> u64 {
            places.iter().map(|at| of(&packs[*at])).sum()
        };

        // Unneeded packs: all are removed that no running backup may be about to use.
        let expected: Vec<usize> = (0..packs.len()).filter(|at| {
            let pack = &packs[*at];
            !pack.is_live && !pack.is_relied && (pack.is_settled || is_older(pack, grace_s))
        }).collect();
        let dead = places(&packs, &plan.dead);
        prop_assert_eq!(&dead, &expected);
        prop_assert_eq!(plan.dead_bytes, sum(&packs, &dead, |pack| pack.len_bytes));
        let young = packs.iter().filter(|pack| {
            !pack.is_live && !pack.is_relied && !pack.is_settled && !is_older(pack, grace_s)
        });
        prop_assert_eq!(plan.young_bytes, young.map(|pack| pack.len_bytes).sum::<u64>());

        // Needed packs: only what is needed, and old enough, is rewritten, up to the limit.
        let repack = places(&packs, &plan.repack);
        for at in &repack {
            let pack = &packs[*at];
            prop_assert!(pack.is_live && !pack.is_relied);
            prop_assert!(pack.class == PackClass::Meta || is_older(pack, min_age_s));
        }
        prop_assert_eq!(plan.repack_bytes, sum(&packs, &repack, |pack| pack.len_bytes));
        prop_assert_eq!(plan.repack_unused_bytes, sum(&packs, &repack, |pack| pack.unused_bytes));
        prop_assert!(plan.repack_bytes <= max_repack_bytes);
        let kept: Vec<&Pack> =
            packs.iter().filter(|pack| pack.is_live && !pack.is_relied).collect();
        let unused: u64 = kept.iter().map(|pack| pack.unused_bytes).sum();
        let used: u64 = kept.iter().map(|pack| pack.len_bytes - pack.unused_bytes).sum();
        prop_assert_eq!(plan.left_unused_bytes, unused - plan.repack_unused_bytes);
        let allowed = used * u64::from(max_unused_permille) / 1000;
        // More than this is certainly worth it: a megabyte, and 2 % of what is written.
        let is_certain = unused > MIB + used / 50;
        if is_certain && min_age_s == 0 && max_repack_bytes == u64::MAX {
            prop_assert!(plan.left_unused_bytes <= allowed, "{plan:?}");
        }
        prop_assert_eq!(plan.total_bytes, packs.iter().map(|pack| pack.len_bytes).sum::<u64>());

        // Another hash map iterates in another order.
        let again = plan_of(&packs, &options);
        prop_assert_eq!((plan.dead, plan.repack), (again.dead, again.repack));
    }
}

#[test]
fn an_unneeded_pack_without_a_finished_session_waits_for_its_grace() {
    let of_age = |age_s| Pack { is_settled: false, age_s, ..Pack::dead(MIB) };
    let packs = [
        of_age(Some(DAY - 1)),
        of_age(Some(DAY)),
        of_age(None),
        of_age(Some(-3 * DAY)),
        of_age(Some(0)),
    ];
    // The newest pack is dated three days after this host's clock: the store's clock counts.
    assert_eq!(places(&packs, &plan_of(&packs, &options()).dead), [0, 1, 2, 4]);
    let plan = plan_of(&packs[..3], &options());
    assert_eq!(places(&packs, &plan.dead), [1, 2]);
    assert_eq!((plan.young, plan.young_bytes), (vec![name_of(0)], MIB));
}

#[test]
fn nothing_is_rewritten_while_what_is_unused_is_tolerated() {
    // 5 % of 95 MiB are 4.75 MiB.
    let repack = |unused_bytes| {
        let packs = [Pack::live(100 * MIB, unused_bytes), Pack::live(MIB * 9 / 2, 0)];
        let options = PruneOptions { max_unused_permille: 50, ..options() };
        plan_of(&packs, &options)
    };
    let used = |unused: u64| (100 * MIB + MIB * 9 / 2 - unused) * 50 / 1000;
    let limit = (0..).find(|unused| *unused + 1 > used(*unused + 1)).unwrap();
    assert!(repack(limit).repack.is_empty());
    assert_eq!(repack(limit).left_unused_bytes, limit);
    let plan = repack(limit + 1);
    assert_eq!((plan.repack.len(), plan.left_unused_bytes), (1, 0));
    assert_eq!((plan.repack_bytes, plan.repack_unused_bytes), (100 * MIB, limit + 1));
}

#[test]
fn the_largest_unused_share_is_rewritten_first_and_no_more_than_needed() {
    let packs = [
        Pack::live(20 * MIB, 2 * MIB),
        Pack::live(10 * MIB, 8 * MIB),
        Pack::live(30 * MIB, 9 * MIB),
        Pack::live(400 * MIB, 0),
    ];
    let options = |permille| PruneOptions { max_unused_permille: permille, ..options() };
    let repack = |permille| places(&packs, &plan_of(&packs, &options(permille)).repack);
    // 441 MiB are used, 19 MiB are not.
    assert!(repack(44).is_empty());
    assert_eq!(repack(40), [1]);
    assert_eq!(repack(24), [1, 2]);
    assert_eq!(repack(0), [0, 1, 2]);
}

#[test]
fn rewriting_must_make_the_repository_smaller() {
    let everything = PruneOptions { max_unused_permille: 0, ..options() };
    // New packs, each with its padding and a frame, and the records.
    let cost = |used: u64, count: u64| {
        let padding = padded_len(used.min(4 * MIB) + 1) - used.min(4 * MIB);
        (2 + used / (4 * MIB)) * (padding + 512) + 4096 + 2 * 33 * count
    };
    // Every number of bytes, so that the last that is not worth it is among them.
    for (len_bytes, count, step) in
        [(100_000, 1, 1), (100_000, 3, 1), (MIB, 1, 262), (16 * MIB, 1, 4_194)]
    {
        let (mut cheap, mut dear, mut equal) = (0, 0, 0);
        for unused in (0..len_bytes).step_by(step).take(12_000) {
            let packs = vec![Pack::live(len_bytes, unused); count as usize];
            let (unused, used) = (count * unused, count * (len_bytes - unused));
            let is_worth_it = unused > cost(used, count);
            equal += u64::from(unused == cost(used, count));
            *(if is_worth_it { &mut cheap } else { &mut dear }) += 1;
            let is_chosen = !plan_of(&packs, &everything).repack.is_empty();
            assert_eq!(is_chosen, is_worth_it, "{unused} of {len_bytes}");
        }
        assert!(cheap > 1_000 && dear > 50, "{len_bytes}: {cheap}, {dear}");
        assert!(equal > 0 || step * count as usize > 1, "{len_bytes}");
    }
    // A few bytes in each of many packs are not worth it; the same in one pack are.
    let many: Vec<Pack> = (0..100).map(|_| Pack::live(5 * MIB, 3_000)).collect();
    assert!(plan_of(&many, &everything).repack.is_empty());
    let mut one: Vec<Pack> = (0..99).map(|_| Pack::live(5 * MIB, 0)).collect();
    one.push(Pack::live(5 * MIB, 300_000));
    assert_eq!(places(&one, &plan_of(&one, &everything).repack), [99]);
}

#[test]
fn twelve_small_packs_of_a_class_are_merged() {
    let small = |class, count: usize| {
        let len_bytes = if class == PackClass::Data { 4 * MIB - 1 } else { MIB - 1 };
        vec![Pack { class, ..Pack::live(len_bytes, 0) }; count]
    };
    let repacked = |packs: &[Pack]| places(packs, &plan_of(packs, &options()).repack).len();
    for class in [PackClass::Data, PackClass::Meta] {
        assert_eq!(repacked(&small(class, 11)), 0);
        assert_eq!(repacked(&small(class, 12)), 12);
        let large: Vec<Pack> = small(class, 12)
            .into_iter()
            .map(|pack| Pack { len_bytes: pack.len_bytes + 1, ..pack })
            .collect();
        assert_eq!(repacked(&large), 0);
    }
    let both = [small(PackClass::Data, 6), small(PackClass::Meta, 11)].concat();
    assert_eq!(repacked(&both), 0);
    // A large pack of the class stays.
    let with_large = [small(PackClass::Data, 12), vec![Pack::live(30 * MIB, 0)]].concat();
    assert_eq!(repacked(&with_large), 12);
    // Small ones come first where not all fit.
    let crowded = [vec![Pack::live(40 * MIB, 30 * MIB)], small(PackClass::Data, 12)].concat();
    let limited = PruneOptions { max_repack_bytes: 48 * MIB, ..options() };
    assert_eq!(places(&crowded, &plan_of(&crowded, &limited).repack), Vec::from_iter(1..13));
}

#[test]
fn data_packs_below_the_minimum_age_are_not_rewritten() {
    let of_age = |class, age_s| Pack { class, age_s, ..Pack::live(20 * MIB, 10 * MIB) };
    let packs = [
        of_age(PackClass::Data, Some(30 * DAY - 1)),
        of_age(PackClass::Data, Some(30 * DAY)),
        of_age(PackClass::Data, None),
        of_age(PackClass::Meta, Some(0)),
    ];
    let aged = PruneOptions { min_age_s: 30 * DAY, ..options() };
    // The newest pack is as old as the host's clock says.
    let plan = plan_of(&packs, &aged);
    assert_eq!(places(&packs, &plan.repack), [1, 2, 3]);
    assert_eq!(plan.left_unused_bytes, 10 * MIB);
}

#[test]
fn a_limit_of_bytes_skips_what_does_not_fit() {
    let packs = [
        Pack::live(20 * MIB, 18 * MIB),
        Pack::live(10 * MIB, 8 * MIB),
        Pack::live(5 * MIB, 2 * MIB),
    ];
    let repack = |max_repack_bytes| {
        let options = PruneOptions { max_unused_permille: 0, max_repack_bytes, ..options() };
        places(&packs, &plan_of(&packs, &options).repack)
    };
    assert_eq!(repack(35 * MIB), [0, 1, 2]);
    assert_eq!(repack(35 * MIB - 1), [0, 1]);
    assert_eq!(repack(15 * MIB), [1, 2]);
    assert!(repack(5 * MIB - 1).is_empty());
    // A pack without unused bytes is not rewritten because another one did not fit.
    let packs = [Pack::live(20 * MIB, 10 * MIB), Pack::live(8 * MIB, 0)];
    let options = PruneOptions { max_unused_permille: 0, max_repack_bytes: 10 * MIB, ..options() };
    assert!(plan_of(&packs, &options).repack.is_empty());
}

#[test]
fn no_more_packs_go_at_once_than_a_record_can_name() {
    let dead = vec![Pack::dead(2); RECORD_PACKS_MAX];
    let plan = plan_of(&dead, &options());
    assert_eq!((plan.dead.len(), plan.is_capped), (RECORD_PACKS_MAX, false));
    assert_eq!(plan.dead_bytes, 2 * RECORD_PACKS_MAX as u64);
    assert!(plan.dead.is_sorted());
    // There is room for one more victim, or for none.
    let live = Pack::live(100 * MIB, 90 * MIB);
    let nearly = [&dead[1..], &[live.clone(), live.clone()]].concat();
    assert_eq!(plan_of(&nearly, &options()).repack.len(), 1);
    let full = [&dead[..], &[live]].concat();
    assert!(plan_of(&full, &options()).repack.is_empty());
    let more = [&dead[..], &[Pack::dead(2)]].concat();
    let plan = plan_of(&more, &options());
    assert_eq!((plan.dead.len(), plan.is_capped), (RECORD_PACKS_MAX, true));
    assert_eq!((plan.dead_bytes, plan.total_bytes), (400_000, 400_002));
}

#[test]
fn no_more_is_dropped_at_once_than_a_record_can_name() {
    let id = |number: u128| SnapshotId(number.to_be_bytes());
    for (due, is_capped) in
        [(3, false), (RECORD_SNAPSHOTS_MAX, false), (RECORD_SNAPSHOTS_MAX + 7, true)]
    {
        let roots = Roots { dropped: (0..due as u128).map(id).collect(), ..Roots::default() };
        let plan = plan(&HashMap::new(), &PackList::default(), &roots, &options());
        assert_eq!(
            (plan.dropped.len(), plan.is_capped),
            (due.min(RECORD_SNAPSHOTS_MAX), is_capped)
        );
        let content = RecordContent::Go(Removal { packs: plan.victims(), snapshots: plan.dropped });
        let record = CollectorRecord { number: 1, created: Timestamp::default(), content };
        assert_eq!(CollectorRecord::decode(&record.encode()), Ok(record));
    }
}

#[test]
fn a_full_store_is_freed_of_the_largest_packs_first() {
    let mut packs: Vec<Pack> = (0..TIGHT_MAX as u64 + 6).map(|at| Pack::dead(1000 + at)).collect();
    packs.push(Pack::live(100 * MIB, 90 * MIB));
    let mut plan = PrunePlan { merges: 3, ..plan_of(&packs, &options()) };
    assert_eq!((plan.repack.len(), plan.is_capped), (1, false));
    plan.tighten(&listed(&packs));
    assert_eq!(places(&packs, &plan.dead), Vec::from_iter(6..TIGHT_MAX + 6));
    assert!(plan.dead.is_sorted() && plan.is_capped);
    assert_eq!(plan.dead_bytes, (1006..1006 + TIGHT_MAX as u64).sum::<u64>());
    assert_eq!((plan.repack.len(), plan.repack_bytes, plan.repack_unused_bytes), (0, 0, 0));
    assert_eq!(plan.merges, 0);
    let mut few = plan_of(&packs[..TIGHT_MAX], &options());
    few.tighten(&listed(&packs));
    assert_eq!((few.dead.len(), few.is_capped), (TIGHT_MAX, false));
    let mut capped = PrunePlan { is_capped: true, ..PrunePlan::default() };
    capped.tighten(&listed(&packs));
    assert!(capped.is_capped);
}

#[test]
fn a_plan_is_empty_if_nothing_would_change() {
    let victim = Victim { class: PackClass::Data, name: name_of(1) };
    assert!(
        PrunePlan { total_bytes: 7, young: vec![name_of(1)], ..PrunePlan::default() }.is_empty()
    );
    for plan in [
        PrunePlan { dead: vec![victim], ..PrunePlan::default() },
        PrunePlan { repack: vec![victim], ..PrunePlan::default() },
        PrunePlan { dropped: vec![SnapshotId([1; 16])], ..PrunePlan::default() },
        PrunePlan { merges: 1, ..PrunePlan::default() },
    ] {
        assert!(!plan.is_empty(), "{plan:?}");
    }
    let both = PrunePlan {
        dead: vec![Victim { name: name_of(2), ..victim }],
        repack: vec![Victim { name: name_of(1), ..victim }, Victim { name: name_of(3), ..victim }],
        ..PrunePlan::default()
    };
    assert!(both.victims().is_sorted() && both.victims().len() == 3);
}
