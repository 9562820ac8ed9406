//! A home with apps, and a daemon that looks often.

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::home::Home;

/// A run that holds up: it says that it began, and waits for the file `go`.
pub const WAITS: &str =
    "before = \"touch begun-$DRUMLIN_APP; while ! test -e go; do sleep 0.05; done\"\n";

/// Returns a home with a repository and a configuration with these lines.
pub fn home(lines: &str) -> Home {
    let home = Home::new()
        .with("DRUMLIN_CONFIG", "drumlin.toml")
        .with("DRUMLIN_STATE_DIR", "state")
        .with("DRUMLIN_KEY_FILE", "test.key");
    home.write("source/file", "first\n");
    configure(&home, lines);
    home.run(["init", "--repo", "box"]).ok();
    home
}

pub fn configure(home: &Home, lines: &str) {
    let text = "repository.box = { url = \"repo\" }\n\
                defaults = { repository = \"box\", schedule = \"every 1h\" }\n";
    // As editors do: nobody reads half of it.
    home.write("drumlin.new", format!("{text}{lines}"));
    fs::rename(home.path("drumlin.new"), home.path("drumlin.toml")).unwrap();
}

/// Returns the tables of `[daemon]`, without quiet time, and of these apps with these lines.
pub fn apps(names: &[&str], lines: &str) -> String {
    let app = |name: &&str| format!("[app.{name}]\npaths = \"source\"\n{lines}");
    let daemon = "[daemon]\nsettle = \"0s\"\nstop-timeout = \"60s\"\n".to_owned();
    names.iter().map(app).fold(daemon, |text, app| text + &app)
}

#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let asked = Instant::now();
    while !is_so() {
        assert!(asked.elapsed() < Duration::from_secs(60), "{what} does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the runs of an app that have ended, oldest first.
pub fn runs(home: &Home, app: &str) -> Vec<Value> {
    let path = home.path(&format!("state/apps/{app}/runs.jsonl"));
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Changes the state of an app.
fn change_state(home: &Home, app: &str, change: impl FnOnce(&mut Value)) {
    // The process of a run still writes when its history has the run: it remembers what it told.
    let lock = fs::File::open(home.path(&format!("state/apps/{app}/lock"))).unwrap();
    lock.lock().unwrap();
    let file = format!("state/apps/{app}/state.json");
    let mut state: Value = serde_json::from_str(&home.read(&file)).unwrap();
    change(&mut state);
    home.write(&format!("{file}-changed"), state.to_string());
    fs::rename(home.path(&format!("{file}-changed")), home.path(&file)).unwrap();
}

/// Makes the last run of an app one that failed for a reason that may pass, two minutes ago.
pub fn let_it_be_tried_again(home: &Home, app: &str) {
    change_state(home, app, |state| {
        state["last"]["is_transient"] = true.into();
        make_earlier(&mut state["last"]["ended"], 121);
    });
}

/// Makes a moment of a state earlier.
pub fn make_earlier(moment: &mut Value, seconds: i64) {
    *moment = (moment.as_i64().unwrap() - seconds).into();
}

/// A daemon, which is killed if the test does not end it.
pub struct Daemon {
    pub child: Child,
}

impl Daemon {
    /// Starts it; it looks every 50 ms. What it and its runs print goes to the file `log`.
    pub fn start(home: &Home) -> Self {
        let starts = || fs::read_to_string(home.path("log")).unwrap_or_default();
        let starts = || starts().matches("the daemon keeps").count();
        let before = starts();
        let log = File::options().create(true).append(true).open(home.path("log")).unwrap();
        let mut command = home.command(["daemon", "--look-ms", "50"]);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let daemon = Self { child };
        wait_until("the daemon", || starts() > before);
        daemon
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end and returns its exit code.
    pub fn code(&mut self) -> Option<i32> {
        wait_until("the end of the daemon", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code()
    }

    /// Asks it to end, which it does well.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.code(), Some(0));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
