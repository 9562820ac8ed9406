//! Goal: the watch tells what no run can, once. Method: the real state directory and an HTTP server
//! that records; times are arguments.

use serde_json::Value;

use super::*;
use crate::jobs::state::{AppState, GoodRun, RepositoryState, StateDir};
use crate::notify::tests::servers::{HttpRules, HttpServer};
use crate::settings::Settings;
use crate::settings::environment::Environment;

const DAY_S: i64 = 86_400;

/// A state directory and a server for the messages about it.
struct Place {
    folder: tempfile::TempDir,
    server: HttpServer,
    settings: Settings,
    env: Environment,
}

impl Place {
    fn new() -> Self {
        let server = HttpServer::start(HttpRules::default());
        let text = format!(
            "repository.box = {{ url = \"/x\" }}\n[notify]\nwebhook = \"{}\"\nremind = false\n\
             [app.wiki]\npaths = \"/x\"\nschedule = \"every 1d\"\nmax-age = \"2d\"\n",
            server.url("http", "/")
        );
        let env = Environment::of([("TZ", "UTC")]);
        let settings = Settings::parse(&text, "/drumlin.toml".into(), &env).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), server, settings, env }
    }

    fn dir(&self) -> StateDir {
        StateDir::new(self.folder.path())
    }

    /// Looks, delivers, and returns app and event of all messages so far.
    fn look(&self, reload: &Reload, now_s: i64) -> Vec<String> {
        let teller = Teller::new(&self.settings, &self.env, self.folder.path()).unwrap();
        assert_eq!(teller.look(reload, now_s), [""; 0]);
        assert_eq!(teller.deliver(&|| false), [""; 0]);
        let asked = self.server.asked();
        let name = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let events = asked.iter().map(|asked| {
            let message: Value = serde_json::from_str(&asked.body).unwrap();
            format!("{} {}", name(&message["app"]), name(&message["event"]))
        });
        events.collect()
    }

    /// Says that the app was last good at a time. Its lock is not needed: nobody else is here.
    fn set_good(&self, at_s: i64) {
        let good = Some(GoodRun { at_s, ..GoodRun::default() });
        let known = RepositoryState { good, ..RepositoryState::default() };
        let mut state = self.dir().read("wiki").unwrap();
        state.repositories.insert("box".to_owned(), known);
        self.dir().write("wiki", &state).unwrap();
    }
}

#[test]
fn a_run_that_hangs_does_not_hide_that_its_app_is_overdue() {
    let place = Place::new();
    let now_s = crate::text::now().seconds;
    place.set_good(now_s);
    let run = place.dir().lock("wiki").unwrap();
    assert!(run.is_some());
    let limit_s = now_s + 2 * DAY_S;
    assert_eq!(place.look(&Reload::Unknown, limit_s + 60), [""; 0], "it may end well");
    assert_eq!(place.look(&Reload::Unknown, limit_s + 7_200), ["wiki overdue"]);
    drop(run);
    assert_eq!(place.look(&Reload::Unknown, limit_s + 7_260), ["wiki overdue"], "told once");
    place.set_good(limit_s + 7_300);
    let ended = ["wiki overdue", "wiki recovered"];
    assert_eq!(place.look(&Reload::Unknown, limit_s + 7_320), ended);
    assert_eq!(place.look(&Reload::Unknown, limit_s + 7_380), ended);
    // From now on its own state tells it.
    let later_s = limit_s + 9 * DAY_S;
    assert_eq!(place.look(&Reload::Unknown, later_s).len(), 3);
    assert_eq!(place.dir().read("wiki").unwrap().told.open.len(), 1);
    let run = place.dir().lock("wiki").unwrap();
    assert!(run.is_some());
    assert_eq!(place.look(&Reload::Unknown, later_s + DAY_S).len(), 3);
}

#[test]
fn a_configuration_that_was_refused_is_told_until_it_is_accepted() {
    let place = Place::new();
    let now_s = crate::text::now().seconds - 1_000;
    let error = "drumlin.toml:3: no".to_owned();
    let refused = Reload::Refused { error, since_s: now_s };
    assert_eq!(place.look(&refused, now_s), ["- reload-failed"]);
    assert_eq!(place.look(&Reload::Unknown, now_s + 60), ["- reload-failed"]);
    assert_eq!(place.look(&refused, now_s + 120), ["- reload-failed"]);
    let message: Value = serde_json::from_str(&place.server.asked()[0].body).unwrap();
    assert_eq!(message["facts"]["errors"][0], "drumlin.toml:3: no");
    let ended = ["- reload-failed", "- recovered"];
    assert_eq!(place.look(&Reload::Accepted, now_s + 180), ended);
}

#[test]
fn messages_that_were_given_up_are_told() {
    let place = Place::new();
    let now_s = crate::text::now().seconds - 1_000;
    let health =
        r#"{"webhook": {"given_up_in_a_row": 1, "last_error": "h: 500", "last_error_s": 5}}"#;
    std::fs::create_dir(place.folder.path().join("outbox")).unwrap();
    std::fs::write(place.folder.path().join("outbox/health.json"), health).unwrap();
    assert_eq!(place.look(&Reload::Unknown, now_s), ["- undelivered"]);
    let message: Value = serde_json::from_str(&place.server.asked()[0].body).unwrap();
    assert_eq!(
        (&message["target"], &message["facts"]["errors"][0]),
        (&"webhook".into(), &"h: 500".into())
    );
    // It was delivered: messages arrive again.
    assert_eq!(place.look(&Reload::Unknown, now_s + 60), ["- undelivered", "- recovered"]);
}

#[test]
fn one_process_looks_and_a_damaged_state_is_said() {
    let place = Place::new();
    let teller = Teller::new(&place.settings, &place.env, place.folder.path()).unwrap();
    let lock = teller.watch.lock().unwrap();
    assert!(lock.is_some());
    assert_eq!(teller.look(&Reload::Unknown, 1_800_000_000), [""; 0]);
    assert!(!place.folder.path().join("watch/state.json").exists());
    drop(lock);
    std::fs::write(place.folder.path().join("watch/state.json"), "{\"format\": 9}").unwrap();
    let said = teller.look(&Reload::Unknown, 1_800_000_000);
    assert!(said.len() == 1 && said[0].contains("its format is 9"), "{said:?}");
    std::fs::remove_file(place.folder.path().join("watch/state.json")).unwrap();
    place.dir().write("wiki", &AppState::default()).unwrap();
    std::fs::write(place.dir().app_dir("wiki").join("state.json"), "{").unwrap();
    let said = teller.look(&Reload::Unknown, 1_800_000_000);
    assert!(said.len() == 1 && said[0].starts_with("wiki: "), "{said:?}");
}
