//! Packs that a restore will read, listed before it reads any.

use std::collections::BTreeSet;

use drumlin::monitor::Monitor;
use drumlin::repo::objects::layout;
use drumlin::restore::{self, NeededPack, RestoreOptions};
use drumlin::store::{Action, Class, Store};

use super::{options, restore_well, target};
use crate::support::fixture::{TestRepo, noise, write};

/// Three packs: the files are larger than what fits into one.
fn repo_of_several_packs() -> (TestRepo, drumlin::format::snapshot::Snapshot) {
    let repo = TestRepo::new();
    (0..3).for_each(|number| {
        write(&repo.source().join(format!("large-{number}")), &noise(number, 8 << 20))
    });
    write(&repo.source().join("small"), b"in its folder's node");
    let snapshot = repo.snapshot();
    (repo, snapshot)
}

fn needed(
    repo: &TestRepo,
    snapshot: &drumlin::format::snapshot::Snapshot,
    options: &RestoreOptions,
) -> Vec<NeededPack> {
    let before = repo.store.counts();
    let monitor = Monitor::default();
    let packs = restore::needed_packs(&repo.repository, snapshot, options, &monitor).unwrap();
    assert_eq!(
        (repo.store.counts() - before).of(Action::Read, Class::Data).calls,
        0,
        "only trees are read"
    );
    assert_eq!(monitor.problem_count(), 0);
    packs
}

#[test]
fn a_plan_names_the_packs_that_the_restore_reads() {
    let (repo, snapshot) = repo_of_several_packs();
    let stored = repo.memory.list(Class::Data, "").unwrap();
    let all = needed(&repo, &snapshot, &options(&repo, &target(&repo)));
    let listed: BTreeSet<String> = stored.iter().map(|object| object.name.clone()).collect();
    let named = |packs: &[NeededPack]| -> BTreeSet<String> {
        packs
            .iter()
            .map(|needed| layout::pack_key(needed.pack.class, &needed.pack.name).name)
            .collect()
    };
    assert_eq!(named(&all), listed);
    assert!(
        all.iter().all(|needed| needed.bytes > 0 && needed.bytes <= u64::from(needed.pack.len))
    );
    let one = RestoreOptions { includes: vec!["large-1".into()], ..options(&repo, &target(&repo)) };
    let part = needed(&repo, &snapshot, &one);
    assert!(part.len() < all.len() && named(&part).is_subset(&named(&all)), "{part:?}");
    let bytes = |packs: &[NeededPack]| packs.iter().map(|needed| needed.bytes).sum::<u64>();
    assert!(bytes(&part) >= 8 << 20 && bytes(&part) < bytes(&all));
    let small = RestoreOptions { includes: vec!["small".into()], ..options(&repo, &target(&repo)) };
    assert_eq!(needed(&repo, &snapshot, &small), []);
}

#[test]
fn what_is_right_already_needs_nothing() {
    let (repo, snapshot) = repo_of_several_packs();
    restore_well(&repo, &snapshot, &options(&repo, &target(&repo)));
    assert_eq!(needed(&repo, &snapshot, &options(&repo, &target(&repo))), []);
}
