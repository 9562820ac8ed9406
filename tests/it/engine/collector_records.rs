//! Goal: records of collectors, whatever their numbers and however many, cost no more than they
//! weigh. Method: a repository in memory; records sealed by hand, and names that anybody can add.

use std::sync::Arc;

use drumlin::backup;
use drumlin::format::codec;
use drumlin::format::generation::Condemned;
use drumlin::format::limits::GENERATION_MAX;
use drumlin::format::run::RunToc;
use drumlin::maintain::check::Level;
use drumlin::maintain::repair;
use drumlin::monitor::Monitor;
use drumlin::repo::gc::generations::{self, Generations};
use drumlin::repo::{Error, Repository, audit};
use drumlin::store::{Action, Class, Key, Store};

use crate::support::fixture::{self, Meanwhile, TestRepo, noise, now};
use crate::support::operations::{at_once, prune, put_in_trash, repair_options};

/// A repository with two snapshots and one finished generation.
fn collected() -> TestRepo {
    let repo = TestRepo::new();
    let shots: Vec<_> = (0..3)
        .map(|round| {
            repo.write("file", &noise(round, 100_000));
            repo.snapshot()
        })
        .collect();
    put_in_trash(&repo.open(), &shots[0]);
    assert_eq!(prune(&repo.open(), at_once()).unwrap().generations, [1]);
    repo
}

/// How many generations there should be is what records say that open with the key, and not what
/// somebody calls an object.
#[test]
fn a_name_with_a_huge_number_is_one_fault() {
    for number in [9, 99_999, 1u64 << 62] {
        for word in ["condemned", "verdict", "done"] {
            let repo = collected();
            repo.memory
                .create(&Key::new(Class::Collector, format!("{number}.{word}")), b"garbage")
                .unwrap();
            let faults = audit::generations(&repo.open()).unwrap().faults;
            assert_eq!(
                faults.iter().map(|fault| fault.object.clone()).collect::<Vec<_>>(),
                [format!("gc/{number}.{word}")]
            );
            let report = repo.check(Level::Structure);
            assert!(!report.is_sound() && !report.went_back, "{report:#?}");
            let _ =
                repair::plan(&repo.open(), &repair_options(Level::Structure), &Monitor::default());
        }
    }
}

/// What is missing is told once for all that is missing between two generations.
#[test]
fn missing_generations_are_one_fault_for_each_stretch() {
    let repo = collected();
    generations::condemn(
        &repo.open(),
        1000,
        now(),
        Condemned { oldest: 1, ..Condemned::default() },
    )
    .unwrap();
    let objects = || -> Vec<String> {
        audit::generations(&repo.open())
            .unwrap()
            .faults
            .into_iter()
            .map(|fault| fault.object)
            .collect()
    };
    assert_eq!(objects(), ["gc/2-999"]);
    repo.memory.remove(&Key::new(Class::Collector, "1.verdict")).unwrap();
    assert_eq!(objects(), ["gc/1-999"]);
    generations::condemn(
        &repo.open(),
        1 << 61,
        now(),
        Condemned { oldest: 1 << 60, ..Condemned::default() },
    )
    .unwrap();
    assert_eq!(objects(), [format!("gc/{}-{}", 1u64 << 60, (1u64 << 61) - 1)]);
    assert!(repo.check(Level::Quick).went_back);
}

/// Whoever has a key can seal any number: what no sum can be made of is refused, and stretches
/// without end are not walked.
#[test]
fn huge_generations_are_refused_or_cost_nothing() {
    let repo = collected();
    let refuse = |number| {
        let refused = generations::condemn(
            &repo.open(),
            number,
            now(),
            Condemned { oldest: 1, ..Condemned::default() },
        );
        assert!(refused.is_err_and(|error| error.is_damage()), "{number}");
    };
    [GENERATION_MAX + 1, u64::MAX].into_iter().for_each(refuse);
    // A name with such a number is no generation, whoever made it.
    repo.memory
        .create(&Key::new(Class::Collector, format!("{}.condemned", u64::MAX)), b"garbage")
        .unwrap();
    repo.write("file", &noise(9, 100_000));
    repo.snapshot();
    assert!(prune(&repo.open(), at_once()).is_ok() && repo.check(Level::Full).is_sound());
    // Nothing is known of the generations between: that is said at once, and nothing is removed.
    let condemned = Condemned { oldest: 1, ..Condemned::default() };
    assert!(generations::condemn(&repo.open(), GENERATION_MAX, now(), condemned).unwrap());
    repo.write("file", &noise(10, 100_000));
    let refused = prune(&repo.open(), at_once()).unwrap_err();
    assert!(matches!(refused, Error::RolledBack { .. }), "{refused:?}");
    assert!(
        backup::run(&repo.open(), fixture::options(&[repo.source()], "host"), &Monitor::default())
            .is_err()
    );
}

/// A run that says a generation above the limit is refused as any damaged run is, by everybody.
#[test]
fn a_run_of_a_huge_generation_is_refused() {
    for generation in [GENERATION_MAX, GENERATION_MAX + 1, u64::MAX] {
        let toc = RunToc { generation, ..RunToc::default() };
        assert_eq!(
            RunToc::decode(&codec::encode(&toc)).is_ok(),
            generation <= GENERATION_MAX,
            "{generation}"
        );
    }
}

/// A generation that somebody cancelled removed nothing, so it is planned anew; and nobody waits
/// for one who cancels without end.
#[test]
fn what_was_cancelled_is_planned_anew() {
    fn cancel_before_verdict(store: &Arc<Meanwhile>, machine: Arc<Repository>, times: u64) {
        let again = Arc::downgrade(store);
        // The first record is `condemned`, the next one the verdict.
        store.plan(move || {
            let store = again.upgrade().unwrap();
            store.clone().plan(move || {
                let number = Generations::list(&machine).unwrap().highest();
                assert_eq!(generations::decide(&machine, number, now(), None).unwrap(), None);
                if times > 1 {
                    cancel_before_verdict(&store, machine, times - 1);
                }
            });
        });
    }
    for times in [1, 3, 100] {
        let repo = TestRepo::new();
        repo.write("file", &noise(1, 100_000));
        let gone = repo.snapshot();
        repo.write("file", &noise(2, 100_000));
        repo.snapshot();
        put_in_trash(&repo.open(), &gone);
        let store =
            Arc::new(Meanwhile::new(repo.memory.clone(), (Action::Create, Class::Collector)));
        cancel_before_verdict(&store, repo.open(), times);
        let report = prune(&repo.open_in(store, &repo.cache()).unwrap(), at_once()).unwrap();
        assert_eq!(report.outrun, times == 100, "{report:#?}");
        if !report.outrun {
            assert_eq!((report.generations, report.dropped), (vec![times + 1], vec![gone.id]));
        }
        assert!(repo.check(Level::Full).is_sound());
    }
}
