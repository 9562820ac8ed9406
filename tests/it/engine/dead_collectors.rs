//! Goal: where a collector died after its verdict, and something was lost before or since, there is
//! a way on that loses nothing more. Method: a repository in memory; verdicts sealed by hand are
//! left unfinished, packs are removed by hand, and the real commands go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use drumlin::format::generation::{Condemned, Removal, Victim};
use drumlin::format::run::PackClass;
use drumlin::id::ObjectId;
use drumlin::maintain::check::Level;
use drumlin::maintain::prune::PruneOptions;
use drumlin::maintain::repair::{self, RepairOptions, RepairOutcome};
use drumlin::monitor::Monitor;
use drumlin::repo::gc::generations::{self, GenerationState, Generations};
use drumlin::repo::objects::layout;
use drumlin::repo::{Error, Repository};
use drumlin::store::{Class, Key, Store};

use crate::support::fixture::{TestRepo, fast_folder, noise, now, run_backup, run_check};
use crate::support::operations::{at_once, prune, put_in_trash, repair_options};
use crate::support::sound::{flip_byte, keys_of};

fn victim_of(key: &Key) -> Victim {
    let class = if key.class == Class::Data { PackClass::Data } else { PackClass::Meta };
    Victim { class, name: layout::object_id(&key.name).unwrap() }
}

/// A collector that dies before its verdict, or after it.
fn begin_to_remove(repository: &Repository, removal: &Removal, is_decided: bool) -> u64 {
    let number = Generations::list(repository).unwrap().highest() + 1;
    generations::condemn(
        repository,
        number,
        now(),
        Condemned { oldest: 1, removal: removal.clone() },
    )
    .unwrap();
    if is_decided {
        generations::decide(repository, number, now(), Some(removal.clone())).unwrap();
    }
    number
}

fn mend(repository: &Arc<Repository>) -> RepairOutcome {
    let options = RepairOptions { snapshots: true, ..repair_options(Level::Structure) };
    repair::plan(repository, &options, &Monitor::default())
        .unwrap()
        .apply(&Monitor::default())
        .unwrap()
}

fn state(repository: &Repository) -> GenerationState {
    let generations = Generations::list(repository).unwrap();
    generations.state(repository, generations.highest()).unwrap()
}

/// A verdict may have become wrong: what its packs hold, and nothing else any more, is stored
/// again. Then it is carried out.
#[test]
fn what_a_verdict_removes_and_is_needed_since_is_stored_again() {
    let repo = TestRepo::new();
    repo.write("file", &noise(1, 200_000));
    repo.snapshot();
    repo.write("more", &noise(2, 150_000));
    repo.snapshot();
    let packs: Vec<Key> = repo
        .memory
        .keys()
        .into_iter()
        .filter(|key| matches!(key.class, Class::Data | Class::Meta))
        .collect();
    assert_eq!(packs.len(), 4);
    for chosen in [&packs[..], &packs[..1], &packs[1..2], &packs[2..3], &packs[3..]] {
        let store = Arc::new(repo.memory.image());
        let machine =
            |cache: &tempfile::TempDir| repo.open_in(store.clone(), cache.path()).unwrap();
        let cache = fast_folder();
        let mut removal =
            Removal { packs: chosen.iter().map(victim_of).collect(), snapshots: Vec::new() };
        removal.packs.sort_unstable();
        begin_to_remove(&machine(&cache), &removal, true);
        let refused = prune(&machine(&cache), at_once()).unwrap_err();
        assert!(
            matches!(&refused, Error::Unjustified { why, .. } if why.contains("only place")),
            "{refused:?}"
        );

        let plan =
            repair::plan(&machine(&cache), &repair_options(Level::Structure), &Monitor::default())
                .unwrap();
        let told: BTreeSet<ObjectId> = plan.packs.iter().map(|pack| pack.instead_of.name).collect();
        assert_eq!(told, removal.packs.iter().map(|pack| pack.name).collect());
        assert!(
            plan.packs.iter().all(|pack| pack.doomed_by == Some(1)) && plan.found.is_sound(),
            "{:?}",
            plan.packs
        );
        let outcome = plan.apply(&Monitor::default()).unwrap();
        assert!(outcome.after.is_sound() && !outcome.is_untold);
        // Once is enough.
        let again =
            repair::plan(&machine(&cache), &repair_options(Level::Structure), &Monitor::default())
                .unwrap();
        assert!(
            again.packs.is_empty() && again.added.is_empty() && again.rewritten.is_empty(),
            "{:?}",
            again.packs
        );

        assert_eq!(prune(&machine(&cache), at_once()).unwrap().removed_packs, chosen.len() as u64);
        assert!(chosen.iter().all(|key| store.stat(key).is_err()));
        let report = run_check(&machine(&fast_folder()), Level::Full);
        assert!(report.is_sound() && report.counts.snapshots == 2, "{report:#?}");
    }
}

/// Two snapshots of the same content, each with a data pack of its own.
fn twice_the_same() -> (TestRepo, Key, Key) {
    let repo = TestRepo::new();
    repo.write("file", &noise(1, 200_000));
    repo.snapshot();
    let first = keys_of(&repo.memory, Class::Data).remove(0);
    // Another machine, which does not know the index, stores the same content again.
    let runs = keys_of(&repo.memory, Class::Index);
    let hidden: Vec<(Key, Vec<u8>)> =
        runs.into_iter().map(|key| (key.clone(), repo.memory.read(&key).unwrap())).collect();
    hidden.iter().for_each(|(key, _)| repo.memory.remove(key).unwrap());
    let other = fast_folder();
    run_backup(&repo.open_in(repo.memory.clone(), other.path()).unwrap(), &repo.source());
    hidden.iter().for_each(|(key, bytes)| repo.memory.overwrite(key, bytes));
    let second = keys_of(&repo.memory, Class::Data).into_iter().find(|key| *key != first).unwrap();
    (repo, first, second)
}

/// A run may name a pack that a collector removed, when its session was slow: that is no damage.
/// But where the other place of the same content is lost, the content is lost, and the run is no
/// excuse to call it sound.
#[test]
fn a_removed_pack_that_is_named_yet_hides_no_loss() {
    let (repo, first, second) = twice_the_same();
    let number = begin_to_remove(
        &repo.open(),
        &Removal { packs: vec![victim_of(&second)], snapshots: Vec::new() },
        true,
    );
    repo.memory.remove(&second).unwrap();
    generations::finish(&repo.open(), number, now(), Vec::new()).unwrap();
    let check = || {
        run_check(&repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap(), Level::Full)
    };
    assert!(check().is_sound(), "{:#?}", check());
    repo.memory.remove(&first).unwrap();
    let plan = || {
        repair::plan(&repo.open(), &repair_options(Level::Structure), &Monitor::default()).unwrap()
    };
    for round in 0..2 {
        let report = check();
        let affected: BTreeSet<_> = report.affected.items.iter().map(|one| one.snapshot).collect();
        assert!(!report.is_sound() && affected.len() == 2, "{report:#?}");
        let plan = plan();
        assert_eq!(plan.incomplete().len(), 2, "round {round}");
        assert!(!plan.apply(&Monitor::default()).unwrap().after.is_sound());
    }
    // The source still has it.
    repo.write("other", b"so that there is something to store");
    run_backup(&repo.open(), &repo.source());
    assert!(check().is_sound(), "{:#?}", check());
    prune(&repo.open(), at_once()).unwrap();
    assert!(check().is_sound(), "{:#?}", check());
}

/// The other place of the same content is lost after the verdict, so that one repair has both to
/// do: name a pack again, and store it again.
#[test]
fn what_is_lost_beside_a_verdict_is_found_in_the_packs_that_it_removes() {
    let (repo, first, second) = twice_the_same();
    let cache = fast_folder();
    let machine = || repo.open_in(repo.memory.clone(), cache.path()).unwrap();
    begin_to_remove(
        &machine(),
        &Removal { packs: vec![victim_of(&second)], snapshots: Vec::new() },
        true,
    );
    repo.memory.remove(&first).unwrap();
    let refused = prune(&machine(), at_once()).unwrap_err();
    assert!(
        matches!(refused, Error::Unjustified { .. } | Error::MissingChunk { .. }),
        "{refused:?}"
    );
    let outcome = mend(&machine());
    assert!(outcome.after.is_sound() && outcome.replaced.is_empty(), "{:#?}", outcome.after);
    prune(&machine(), at_once()).unwrap();
    assert!(repo.memory.stat(&second).is_err(), "the verdict was carried out");
    let report =
        run_check(&repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap(), Level::Full);
    assert!(report.is_sound() && report.counts.snapshots == 2, "{report:#?}");
}

/// A snapshot in the trash that lacks something stops a prune while its time lasts. When that is
/// over, or ended by the user, what another collector left is finished all the same, and then the
/// snapshot is dropped.
#[test]
fn what_lacks_something_in_the_trash_does_not_stop_the_end_of_a_prune_that_died() {
    for is_decided in [true, false] {
        let repo = TestRepo::new();
        repo.write("file", &noise(1, 200_000));
        repo.snapshot();
        let before: BTreeSet<Key> = keys_of(&repo.memory, Class::Data).into_iter().collect();
        repo.write("gone", &noise(2, 150_000));
        let broken = repo.snapshot();
        let lost = keys_of(&repo.memory, Class::Data)
            .into_iter()
            .find(|key| !before.contains(key))
            .unwrap();
        std::fs::remove_file(repo.source().join("gone")).unwrap();
        let garbage = Victim { class: PackClass::Data, name: ObjectId([7; 32]) };
        repo.memory.overwrite(&layout::pack_key(garbage.class, &garbage.name), b"garbage");
        repo.memory.remove(&lost).unwrap();
        let outcome = mend(&repo.open());
        assert_eq!(outcome.replaced.iter().map(|one| one.old).collect::<Vec<_>>(), [broken.id]);
        let removal = Removal { packs: vec![garbage], snapshots: Vec::new() };
        begin_to_remove(&repo.open(), &removal, is_decided);
        // Its week is not over.
        let refused = prune(&repo.open(), PruneOptions { grace_s: 0, ..PruneOptions::new(now()) })
            .unwrap_err();
        assert!(matches!(refused, Error::MissingChunk { .. }), "{refused:?}");
        let report = prune(&repo.open(), at_once()).unwrap();
        assert!(report.dropped == [broken.id] && report.removed_packs >= 1, "{report:#?}");
        assert_eq!(state(&repo.open()), GenerationState::Done);
        let report = run_check(
            &repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap(),
            Level::Full,
        );
        assert!(report.is_sound() && report.counts.forgotten == 0, "{report:#?}");
    }
}

/// An expired snapshot that a verdict does not name keeps what it has, however little is left of
/// it: a forged record takes nothing of it.
#[test]
fn what_an_expired_snapshot_has_is_no_prey_of_a_verdict() {
    let repo = TestRepo::new();
    repo.write("file", &noise(1, 200_000));
    repo.snapshot();
    let before: BTreeSet<Key> = keys_of(&repo.memory, Class::Data).into_iter().collect();
    repo.write("only here", &noise(2, 150_000));
    let second = repo.snapshot();
    let only =
        keys_of(&repo.memory, Class::Data).into_iter().find(|key| !before.contains(key)).unwrap();
    put_in_trash(&repo.open(), &second);
    begin_to_remove(
        &repo.open(),
        &Removal { packs: vec![victim_of(&only)], snapshots: Vec::new() },
        true,
    );
    let refused = prune(&repo.open(), at_once()).unwrap_err();
    assert!(
        matches!(&refused, Error::Unjustified { why, .. } if why.contains("only place")),
        "{refused:?}"
    );
    assert!(repo.memory.stat(&only).is_ok());
}

/// Of two places of the same content in an open generation one is gone: that one is no reason to
/// let the other go.
#[test]
fn a_pack_that_is_gone_is_not_spared_in_the_place_of_one_that_is_there() {
    for swap in [false, true] {
        let (repo, first, second) = twice_the_same();
        let (gone, left) = if swap { (second, first) } else { (first, second) };
        let mut removal =
            Removal { packs: vec![victim_of(&gone), victim_of(&left)], snapshots: Vec::new() };
        removal.packs.sort_unstable();
        begin_to_remove(&repo.open(), &removal, false);
        repo.memory.remove(&gone).unwrap();
        let machine = repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap();
        prune(&machine, at_once()).unwrap();
        assert!(repo.memory.stat(&left).is_ok(), "the last place is there");
        let report = run_check(
            &repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap(),
            Level::Full,
        );
        assert!(report.affected.is_empty(), "{report:#?}");
    }
}

/// Another's open generation is carried out as it was planned, or cancelled: whoever relied on what
/// is spared then looks again.
#[test]
fn anothers_generation_of_which_anything_is_spared_is_cancelled() {
    let repo = TestRepo::new();
    repo.write("file", &noise(1, 200_000));
    repo.snapshot();
    let needed = victim_of(&keys_of(&repo.memory, Class::Data)[0]);
    let garbage = Victim { class: PackClass::Data, name: ObjectId([7; 32]) };
    repo.memory.overwrite(&layout::pack_key(garbage.class, &garbage.name), b"garbage");
    for (packs, is_carried_out) in
        [(vec![needed], false), (vec![needed, garbage], false), (vec![garbage], true)]
    {
        let mut removal = Removal { packs, snapshots: Vec::new() };
        removal.packs.sort_unstable();
        let number = begin_to_remove(&repo.open(), &removal, false);
        prune(&repo.open(), PruneOptions::new(now())).unwrap();
        let state = Generations::list(&repo.open()).unwrap().state(&repo.open(), number).unwrap();
        assert_eq!(
            state,
            if is_carried_out { GenerationState::Done } else { GenerationState::Cancelled }
        );
        assert!(run_check(&repo.open(), Level::Full).is_sound());
    }
}

/// The only place of something is in a pack that a verdict removes, and that is damaged: that is
/// damage like any other.
#[test]
fn a_damaged_pack_that_a_verdict_removes_is_repaired_like_any_other() {
    for level in [Level::Structure, Level::Full] {
        let repo = TestRepo::new();
        repo.write("file", &noise(1, 200_000));
        repo.snapshot();
        let before: BTreeSet<Key> = keys_of(&repo.memory, Class::Data).into_iter().collect();
        repo.write("other", &noise(2, 150_000));
        let broken = repo.snapshot();
        std::fs::remove_file(repo.source().join("other")).unwrap();
        let pack = keys_of(&repo.memory, Class::Data)
            .into_iter()
            .find(|key| !before.contains(key))
            .unwrap();
        begin_to_remove(
            &repo.open(),
            &Removal { packs: vec![victim_of(&pack)], snapshots: Vec::new() },
            true,
        );
        flip_byte(&repo.memory, &pack, 1_000);
        let options = RepairOptions { snapshots: true, ..repair_options(level) };
        let plan = repair::plan(&repo.open(), &options, &Monitor::default()).unwrap();
        assert_eq!(plan.incomplete(), [broken.id]);
        assert!(
            plan.found.problems.items.iter().any(|problem| problem.object == pack.to_string()),
            "{:?}",
            plan.found.problems
        );
        let outcome = plan.apply(&Monitor::default()).unwrap();
        assert_eq!(outcome.replaced.iter().map(|one| one.old).collect::<Vec<_>>(), [broken.id]);
        let again = repair::plan(&repo.open(), &options, &Monitor::default()).unwrap();
        assert!(again.packs.is_empty() && again.broken.is_empty(), "{:?}", again.packs);
        drop(again);
        prune(&repo.open(), at_once()).unwrap();
        assert!(repo.memory.stat(&pack).is_err(), "the verdict was carried out");
        let report = run_check(
            &repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap(),
            Level::Full,
        );
        assert!(report.is_sound(), "{report:#?}");
    }
}

/// A slot that nobody can read and that somebody forgot does not stop the end of a prune that died
/// either; then it goes itself.
#[test]
fn an_unreadable_slot_in_the_trash_does_not_stop_the_end_of_a_prune_that_died() {
    for is_decided in [true, false] {
        let repo = TestRepo::new();
        repo.write("file", &noise(1, 200_000));
        repo.snapshot();
        repo.write("file", &noise(2, 150_000));
        let broken = repo.snapshot();
        repo.write("file", &noise(3, 150_000));
        repo.snapshot();
        let garbage = Victim { class: PackClass::Data, name: ObjectId([7; 32]) };
        repo.memory.overwrite(&layout::pack_key(garbage.class, &garbage.name), b"garbage");
        begin_to_remove(
            &repo.open(),
            &Removal { packs: vec![garbage], snapshots: Vec::new() },
            is_decided,
        );
        put_in_trash(&repo.open(), &broken);
        repo.memory.overwrite(&layout::snapshot_key(&broken.id), b"no snapshot any more");
        let report = prune(&repo.open(), at_once()).unwrap();
        assert!(report.dropped == [broken.id] && report.removed_packs >= 1, "{report:#?}");
        let report = run_check(
            &repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap(),
            Level::Full,
        );
        assert!(
            report.is_sound() && report.counts.forgotten == 0 && report.counts.snapshots == 2,
            "{report:#?}"
        );
    }
}
