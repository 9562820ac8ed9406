use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Gathered, Gathering};
use crate::connect::RequestTotals;
use crate::jobs::state::{
    AppState, Began, CheckDepth, CheckNotes, Counters, GoodRun, RepositoryCounters,
    RepositoryState, RunRecord, RunStatus, SourceRun, SourceTotals, StateDir,
};
use crate::metrics::values::{Repository, SourceSize, Status, Target};
use crate::settings::Settings;
use crate::settings::environment::Environment;

/// Noon of a day.
const NOON_S: i64 = 1_796_040_000;

fn settings(apps: &str) -> Settings {
    let text = format!("repository.box = {{ url = \"/mnt/box\" }}\n{apps}");
    Settings::parse(&text, "/etc/drumlin.toml".into(), &Environment::default()).unwrap()
}

fn gather(settings: &Settings, dir: &StateDir, now_s: i64) -> Gathered {
    let (channels, env) = (["mail".to_owned()], Environment::of([("TZ", "UTC")]));
    let gathering = Gathering {
        settings,
        state: Some(dir),
        env: &env,
        channels: &channels,
        version: "1.2.3",
        now_s,
    };
    gathering.gather(None)
}

fn write(dir: &StateDir, app: &str, state: &AppState) {
    let _lock = dir.lock(app).unwrap().unwrap();
    dir.write(app, state).unwrap();
}

#[test]
fn an_app_that_never_ran_has_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::new(folder.path());
    let settings = settings(
        "[app.wiki]\npaths = \"/x\"\nschedule = \"daily 13:00\"\nafter = \"true\"\n\
         [app.shop]\npaths = \"/y\"\nenabled = false\nschedule = \"daily 13:00\"\n",
    );
    let Gathered { values, problems } = gather(&settings, &dir, NOON_S);
    assert!(problems.is_empty() && std::fs::read_dir(folder.path()).unwrap().next().is_none());
    let wiki = &values.apps["wiki"];
    assert_eq!(wiki.targets, BTreeMap::from([("box".to_owned(), Target::default())]));
    assert_eq!((wiki.runs.len(), wiki.runs.values().sum::<u64>()), (6, 0));
    assert_eq!(wiki.hook_failures, BTreeMap::from([("after".to_owned(), 0)]));
    assert_eq!((wiki.next_run_s, wiki.max_age_s), (Some(NOON_S + 3_600), Some(49 * 3_600)));
    assert!(wiki.is_enabled && !wiki.is_running && !wiki.is_overdue);
    assert_eq!(values.notification_failures, BTreeMap::from([("mail".to_owned(), 0)]));
    assert_eq!(values.repositories["box"], Repository::default());
    let shop = &values.apps["shop"];
    assert!(!shop.is_enabled && shop.next_run_s.is_none() && shop.hook_failures.is_empty());
}

#[test]
fn an_app_that_never_succeeded_is_overdue_too() {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::new(folder.path());
    let settings = settings("[app.wiki]\npaths = \"/x\"\nmax-age = \"1h\"\n");
    let mut state = AppState::default();
    state.counters.known_since_s = Some(NOON_S);
    write(&dir, "wiki", &state);
    let is_overdue =
        |after_s| gather(&settings, &dir, NOON_S + after_s).values.apps["wiki"].is_overdue;
    assert!(!is_overdue(3_600) && is_overdue(3_601));
    let good = Some(GoodRun { at_s: NOON_S + 60, ..GoodRun::default() });
    let known = RepositoryState { good, ..RepositoryState::default() };
    state.repositories.insert("box".to_owned(), known);
    write(&dir, "wiki", &state);
    assert!(!is_overdue(3_660) && is_overdue(3_661));
    // A clock that was set back makes nothing old.
    assert!(!is_overdue(-86_400));
}

#[test]
fn what_was_counted_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::new(folder.path());
    let settings = settings("[app.wiki]\npaths = \"/x\"\n[app.shop]\npaths = \"/y\"\n");
    let known = |is_reachable, asked_s| RepositoryCounters {
        added_bytes: Some(4),
        added_bytes_total: 9,
        last_snapshot_s: Some(NOON_S - 50),
        snapshots: Some(3),
        is_reachable: Some(is_reachable),
        asked_s,
        requests: RequestTotals { read: 3, bytes_up: 10, ..RequestTotals::default() },
    };
    let mut state = AppState { missed_total: 2, ..AppState::default() };
    state.last = Some(RunRecord {
        status: RunStatus::Partial,
        ended: NOON_S - 40,
        seconds: 1.5,
        bytes_read: 77,
        unread_files: 3,
        ..RunRecord::default()
    });
    let source = Some(SourceTotals { bytes: 1_000, files: 10 });
    let dumps = vec![SourceRun {
        source: "/@app/mariadb/wiki".to_owned(),
        bytes: 500,
        rows: Some(6),
        seconds: 0.25,
        ..SourceRun::default()
    }];
    state.counters = Counters {
        runs: BTreeMap::from([("partial".to_owned(), 8)]),
        given_up: 1,
        hook_failures: BTreeMap::from([("finally".to_owned(), 5)]),
        repositories: BTreeMap::from([
            ("box".to_owned(), known(true, 20)),
            ("gone".to_owned(), known(true, 20)),
        ]),
        source,
        dumps,
        ..Counters::default()
    };
    write(&dir, "wiki", &state);
    let mut other = AppState::default();
    other.counters.repositories.insert("box".to_owned(), known(false, 30));
    write(&dir, "shop", &other);
    let Gathered { values, .. } = gather(&settings, &dir, NOON_S);
    let wiki = &values.apps["wiki"];
    assert_eq!((wiki.runs[&Status::Partial], wiki.runs[&Status::Missed]), (8, 2));
    assert_eq!((wiki.missed_runs, wiki.failures_in_a_row), (2, 1));
    let last = wiki.last_run.as_ref().unwrap();
    assert_eq!((last.status, last.read_bytes, last.unread_files), (Status::Partial, 77, 3));
    assert_eq!((last.ended_s, last.duration), (NOON_S - 40, Duration::from_millis(1_500)));
    assert_eq!(wiki.source, Some(SourceSize { bytes: 1_000, files: 10 }));
    let dump = &wiki.dumps["/@app/mariadb/wiki"];
    assert_eq!((dump.bytes, dump.rows, dump.duration.as_millis()), (500, Some(6), 250));
    let target = &wiki.targets["box"];
    assert_eq!((target.added_bytes, target.added_bytes_total), (Some(4), 9));
    assert_eq!(target.last_snapshot_s, Some(NOON_S - 50));
    assert_eq!(wiki.hook_failures["finally"], 5);
    // Of both apps; a repository that is not configured any more is left out.
    assert_eq!(values.repositories.len(), 1);
    let the_box = &values.repositories["box"];
    assert_eq!((the_box.requests.read, the_box.uploaded_bytes), (6, 20));
    assert_eq!(the_box.is_reachable, Some(false), "what was seen last");
}

#[test]
fn the_last_check_and_prune_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::new(folder.path());
    let settings = settings("[app.wiki]\npaths = \"/x\"\n");
    let check = CheckNotes { at_s: 9, bytes: 1_000, data_bytes: 800, verified_bytes: 200 };
    dir.note_repository("box", |notes| {
        notes.note_check(check, CheckDepth::Full, 2);
        notes.last_prune_s = Some(8);
    })
    .unwrap();
    let the_box = gather(&settings, &dir, NOON_S).values.repositories["box"].clone();
    assert_eq!((the_box.last_check_s, the_box.last_prune_s), (Some(9), Some(8)));
    assert_eq!((the_box.damaged, the_box.bytes), (2, Some(1_000)));
    assert_eq!(the_box.verified_ratio, Some(0.25));
}

#[test]
fn a_run_is_under_way_while_its_lock_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::new(folder.path());
    let settings = settings("[app.wiki]\npaths = \"/x\"\n");
    let is_running = || gather(&settings, &dir, NOON_S).values.apps["wiki"].is_running;
    let lock = dir.lock("wiki").unwrap().unwrap();
    assert!(!is_running(), "it has not begun");
    let state = AppState { began: Some(Began::default()), ..AppState::default() };
    dir.write("wiki", &state).unwrap();
    assert!(is_running());
    drop(lock);
    assert!(!is_running(), "it died");
}

#[test]
fn a_state_that_cannot_be_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::new(folder.path());
    let settings = settings("[app.wiki]\npaths = \"/x\"\n");
    write(&dir, "wiki", &AppState::default());
    std::fs::write(dir.app_dir("wiki").join("state.json"), "{").unwrap();
    let Gathered { values, problems } = gather(&settings, &dir, NOON_S);
    assert_eq!(values.apps["wiki"].runs[&Status::Done], 0);
    assert!(problems.len() == 1 && problems[0].contains("app wiki"), "{problems:?}");
}

#[test]
fn two_hundred_apps_are_gathered_in_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::new(folder.path());
    let apps: String = (0..200)
        .map(|n| format!("[app.a{n}]\npaths = \"/x\"\nschedule = \"daily 03:10\"\n"))
        .collect();
    let settings = settings(&apps);
    for n in 0..200 {
        let last = RunRecord { problems: vec!["p".repeat(200); 20], ..RunRecord::default() };
        write(&dir, &format!("a{n}"), &AppState { last: Some(last), ..AppState::default() });
    }
    let began = Instant::now();
    let gathered = gather(&settings, &dir, NOON_S);
    let took = began.elapsed();
    assert_eq!(gathered.values.apps.len(), 200);
    // Some 20 ms on a quiet machine.
    assert!(took < Duration::from_secs(5), "{took:?}");
    eprintln!("200 apps in {took:?}, {} bytes", crate::metrics::text(&gathered.values).len());
}
