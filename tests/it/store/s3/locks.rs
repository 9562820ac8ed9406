//! Goal: what is needed stays locked, and nothing else does. Method: a bucket of Ceph's radosgw
//! with object lock.

use std::collections::HashSet;
use std::sync::Arc;

use drumlin::format::generation::{Condemned, Removal};
use drumlin::maintain::prune::{self, Exclusion, PruneOptions, PruneReport};
use drumlin::monitor::Monitor;
use drumlin::repo::gc::generations;
use drumlin::repo::gc::object_locks::{self, Unneeded};
use drumlin::repo::snapshots::trash::{self, ForgetNote};
use drumlin::repo::{Error, snapshots};
use drumlin::store::memory::MemoryStore;
use drumlin::store::s3::S3Store;
use drumlin::store::s3::options::Lock;
use drumlin::store::{Archive, Class, Key, Store};

use crate::support::fixture::{TestRepo, noise, now, run_backup, run_check};
use crate::support::servers::radosgw;

const DAY_S: i64 = 24 * 3600;
const LOCKED: [Class; 6] =
    [Class::Config, Class::Keys, Class::Data, Class::Meta, Class::Index, Class::Snapshots];

/// Returns when the locks of all objects end that are not tombstones.
fn ends(store: &S3Store) -> Vec<(Key, Option<i64>)> {
    let listed = LOCKED.into_iter().flat_map(|class| {
        store.list(class, "").unwrap().into_iter().map(move |object| (class, object.name))
    });
    let keys = listed
        .filter(|(_, name)| !name.ends_with(".forgotten"))
        .map(|(class, name)| Key::new(class, name));
    keys.map(|key| (key.clone(), store.locked_until(&key).unwrap())).collect()
}

#[test]
fn what_is_needed_stays_locked_and_garbage_does_not() {
    let server = radosgw::start();
    let bucket = "locked".to_owned();
    server.as_owner(|owner| {
        owner.create_bucket().bucket(&bucket).object_lock_enabled_for_bucket(true).send()
    });
    let mut options = server.options_of(bucket.clone());
    options.lock = Some(Lock { is_compliance: false, days: 1 });
    let store = Arc::new(S3Store::open(options).unwrap());
    let repo = TestRepo::with_store(Arc::new(MemoryStore::default()), store.clone());
    repo.write("a", &noise(1, 400_000));
    let first = run_backup(&repo.repository, &repo.source()).snapshot.unwrap();
    repo.write("a", &noise(2, 400_000));
    run_backup(&repo.repository, &repo.source()).snapshot.unwrap();
    let word = str::to_owned;
    let note = ForgetNote {
        host: word("h"),
        user: word("u"),
        program: word("p"),
        now: now(),
        reason: word("named"),
    };
    trash::forget(&repo.repository, &first.id, Some(snapshots::chain_hash(&first)), &note).unwrap();
    let before: HashSet<Key> = ends(&store).into_iter().map(|(key, _)| key).collect();
    // What nothing needs, and a running backup may.
    let young = Key::new(Class::Data, format!("ab/{}", "ab".repeat(32)));
    store.create(&young, b"young").unwrap();

    let now = now();
    let run = |days: i64, dry_run: bool| -> PruneReport {
        let exclusion = Exclusion::User;
        let lock_span_s = Some(days * DAY_S);
        let options = PruneOptions {
            exclusion,
            trash_window_s: 0,
            max_unused_permille: 0,
            lock_span_s,
            dry_run,
            ..PruneOptions::new(now)
        };
        prune::run(&repo.repository, &options, &Monitor::default()).unwrap()
    };
    let plan = run(30, true).locks.unwrap();
    assert!(
        plan.extended > 4 && plan.extended == plan.objects && plan.extended_bytes == plan.bytes,
        "{plan:?}"
    );
    assert!(
        ends(&store).iter().all(|(_, end_s)| end_s.unwrap() < now.seconds + 2 * DAY_S),
        "a dry run changes nothing"
    );

    // As if a run had been stopped: what it has done is found.
    let until_s = object_locks::end_of_day(now, 30 * DAY_S);
    let slot = Key::new(Class::Config, "1");
    assert!(store.extend_lock(&slot, until_s).unwrap());
    let report = run(30, false);
    let extended = report.locks.unwrap();
    assert!(extended.until_s == until_s && extended.extended == extended.objects - 1, "{report:?}");
    assert!(report.removed_packs > 0 && report.locked_packs == report.removed_packs, "{report:?}");
    assert!(
        report
            .locked_until_s
            .is_some_and(|end_s| end_s > now.seconds && end_s < now.seconds + 2 * DAY_S),
        "{report:?}"
    );
    for (key, end_s) in ends(&store) {
        let end_s = end_s.unwrap();
        assert!(
            if key == young { end_s < now.seconds + 2 * DAY_S } else { end_s == until_s },
            "{key}: {end_s}"
        );
    }
    // What was removed is there, hidden, with the lock that it had.
    let after: HashSet<Key> = ends(&store).into_iter().map(|(key, _)| key).collect();
    let versions = server
        .as_owner(|owner| owner.list_object_versions().bucket(&bucket).prefix("a/b/data/").send());
    let gone: Vec<&Key> =
        before.difference(&after).filter(|key| key.class == Class::Data).collect();
    assert!(!gone.is_empty());
    for key in gone {
        let name = format!("a/b/{key}");
        let version = versions
            .versions()
            .iter()
            .find(|version| version.key() == Some(&name))
            .unwrap()
            .version_id()
            .unwrap();
        let head = server.as_owner(|owner| {
            owner.head_object().bucket(&bucket).key(&name).version_id(version).send()
        });
        assert!(
            head.object_lock_retain_until_date().unwrap().secs() < now.seconds + 2 * DAY_S,
            "{key}"
        );
    }

    // Nothing becomes shorter, and nothing is done twice.
    for days in [30, 5] {
        let again = run(days, false);
        assert_eq!((again.locks.unwrap().extended, again.locked_packs), (0, 0), "{again:?}");
    }
    assert!(ends(&store).iter().all(|(key, end_s)| *key == young || *end_s == Some(until_s)));
    condemned_packs_are_not_extended(&repo, &store);
    assert!(
        run_check(&repo.repository, drumlin::maintain::check::Level::Full).counts.snapshots == 1
    );
}

/// What an open generation condemns may be going, so it is left as it is.
fn condemned_packs_are_not_extended(repo: &TestRepo, store: &S3Store) {
    let extend = || {
        let until_s = now().seconds + 100 * DAY_S;
        object_locks::extend(
            &repo.repository,
            &Unneeded::default(),
            until_s,
            true,
            &Monitor::default(),
        )
        .unwrap()
        .objects
    };
    let objects = extend();
    let mut listed = store.list(Class::Data, "").unwrap().into_iter();
    let pack =
        listed.find_map(|object| drumlin::repo::objects::layout::object_id(&object.name)).unwrap();
    let victim = drumlin::format::generation::Victim {
        class: drumlin::format::run::PackClass::Data,
        name: pack,
    };
    let removal = Removal { packs: vec![victim], snapshots: Vec::new() };
    let number = generations::Generations::list(&repo.repository).unwrap().highest() + 1;
    assert!(
        generations::condemn(&repo.repository, number, now(), Condemned { oldest: 1, removal })
            .unwrap()
    );
    assert_eq!(extend(), objects - 1);
    generations::decide(&repo.repository, number, now(), None).unwrap();
    assert_eq!(extend(), objects);
}

/// A repository that is damaged cannot be collected, and keeps its locks while it is mended.
#[test]
fn damage_lets_no_lock_run_out() {
    let server = crate::support::servers::moto::start();
    let bucket = "locked".to_owned();
    server.as_owner(|owner| {
        owner.create_bucket().bucket(&bucket).object_lock_enabled_for_bucket(true).send()
    });
    let mut options = server.options_of(bucket);
    options.lock = Some(Lock { is_compliance: true, days: 1 });
    let store = Arc::new(S3Store::open(options).unwrap());
    let repo = TestRepo::with_store(Arc::new(MemoryStore::default()), store.clone());
    repo.write("a", &noise(1, 400_000));
    run_backup(&repo.repository, &repo.source()).snapshot.unwrap();
    for pack in store.list(Class::Meta, "").unwrap() {
        store.remove(&Key::new(Class::Meta, pack.name)).unwrap();
    }
    let cache = crate::support::fixture::fast_folder();
    let elsewhere = repo.open_in(store.clone(), cache.path()).unwrap();
    let options = PruneOptions { lock_span_s: Some(30 * DAY_S), ..PruneOptions::new(now()) };
    let refused = prune::run(&elsewhere, &options, &Monitor::default()).unwrap_err();
    assert!(refused.is_damage(), "{refused:?}");
    let until_s = object_locks::end_of_day(options.now, 30 * DAY_S);
    let ends = ends(&store);
    assert!(ends.len() > 4 && ends.iter().all(|(_, end_s)| *end_s == Some(until_s)), "{ends:?}");
}

#[test]
fn a_store_that_locks_nothing_says_so() {
    let repo = TestRepo::new();
    let options = PruneOptions { lock_span_s: Some(DAY_S), ..PruneOptions::new(now()) };
    let refused = prune::run(&repo.repository, &options, &Monitor::default());
    assert!(matches!(refused, Err(Error::NoLocks { .. })), "{refused:?}");
}
