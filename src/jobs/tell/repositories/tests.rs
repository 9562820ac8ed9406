//! Goal: what is known of repositories becomes the right troubles, and nothing else. Method: the
//! state of upkeep in a real state directory.

use super::*;
use crate::jobs::state::{CheckDepth, CheckNotes};
use crate::settings::environment::Environment;

const KEPT: &str = "repository.box = { url = \"/x\", prune = \"daily\", check = \"weekly\" }";

/// Returns what holds, as kinds, and the first error and hint of the message.
fn told(dir: &StateDir, text: &str) -> (Vec<TroubleKind>, Option<String>, Option<String>) {
    let settings = Settings::parse(text, "/drumlin.toml".into(), &Environment::default()).unwrap();
    let mut failures = Vec::new();
    let mut sayings = sayings_of(&settings, dir, &mut failures);
    assert_eq!((sayings.len(), failures), (1, Vec::new()));
    let Happening { what: Happened::Together(all), facts } = sayings.remove(0).happening else {
        panic!("several at once");
    };
    let held = all.into_iter().filter_map(|one| match one {
        Happened::Holds { trouble, .. } => {
            assert_eq!(trouble.target.as_deref(), Some("box"));
            Some(trouble.kind)
        }
        _ => None,
    });
    (held.collect(), facts.errors.first().cloned(), facts.hint)
}

fn note_run(dir: &StateDir, kind: Upkeep, run: RunRecord) {
    let upkeep = StateDir::of_repositories(dir.path());
    let state = AppState { last: Some(run), ..AppState::default() };
    upkeep.write(&kind.state_name("box"), &state).unwrap();
}

fn failed(error: &str) -> RunRecord {
    RunRecord {
        slot: Some(7),
        attempt: 1,
        status: RunStatus::Failed,
        error: Some(error.to_owned()),
        ..RunRecord::default()
    }
}

#[test]
fn damage_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::new(folder.path());
    assert_eq!(told(&dir, KEPT), (vec![], None, None));
    let check = CheckNotes { at_s: 9, ..CheckNotes::default() };
    dir.note_repository("box", |notes| notes.note_check(check.clone(), CheckDepth::Full, 2))
        .unwrap();
    let found = RunRecord { fault: Some(Fault::Damage), ..failed("damage was found") };
    note_run(&dir, Upkeep::Check, found);
    let (held, error, hint) = told(&dir, KEPT);
    assert_eq!(
        (held, error.as_deref()),
        (vec![TroubleKind::Damage], Some("2 objects damaged or missing"))
    );
    assert!(hint.unwrap().contains("drumlin --repo box check"));
    // A check by hand that found it is told, too, without any schedule.
    assert_eq!(told(&dir, "repository.box = { url = \"/x\" }").0, [TroubleKind::Damage]);
    dir.note_repository("box", |notes| notes.note_check(check, CheckDepth::Full, 0)).unwrap();
    note_run(&dir, Upkeep::Check, RunRecord { status: RunStatus::Done, ..failed("") });
    assert_eq!(told(&dir, KEPT), (vec![], None, None));
}

#[test]
fn upkeep_that_is_given_up_is_told_and_one_that_is_tried_again_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::new(folder.path());
    note_run(&dir, Upkeep::Prune, RunRecord { is_transient: true, ..failed("it is away") });
    assert!(told(&dir, KEPT).0.is_empty());
    note_run(&dir, Upkeep::Prune, failed("no rights"));
    let (held, error, _) = told(&dir, KEPT);
    assert_eq!((held, error.as_deref()), (vec![TroubleKind::PruneFailed], Some("no rights")));
    assert!(
        told(&dir, "repository.box = { url = \"/x\" }").0.is_empty(),
        "no schedule asks for it"
    );
    let back = RunRecord { fault: Some(Fault::RolledBack), ..failed("an older state") };
    note_run(&dir, Upkeep::Check, back);
    let (held, error, _) = told(&dir, KEPT);
    assert_eq!(held, [TroubleKind::RolledBack, TroubleKind::PruneFailed]);
    assert_eq!(error.as_deref(), Some("an older state"));
    note_run(&dir, Upkeep::Check, failed("no password"));
    assert_eq!(told(&dir, KEPT).0, [TroubleKind::PruneFailed, TroubleKind::CheckFailed]);
}
