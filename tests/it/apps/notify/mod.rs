//! Goal: what happens to apps is told once, to those who want it, whatever servers and processes
//! do; and telling never changes how a run ends. Method: the real program, with servers of the
//! tests' own for HTTP and SMTP; times pass by changing what the program remembers.

mod channels; // forms of messages, servers that are away, what is wrong with settings
mod pings; // requests that a service waits for
mod runs; // what runs tell
pub(super) mod sinks; // the servers
mod upkeep; // damage, and prunes and checks that fail
mod watch; // what no run tells

use std::fs;

use serde_json::Value;

use crate::support::home::{Home, Ran};

/// Returns a home with a repository `box` and the app `wiki`.
fn home() -> Home {
    let home = Home::with_repository().with("DRUMLIN_CONFIG", "drumlin.toml");
    let home = home.with("DRUMLIN_STATE_DIR", "state");
    home.write("source/file", "first\n");
    home
}

/// Writes the configuration: lines of `[notify]`, and of the app.
fn configure(home: &Home, notify: &str, app: &str) {
    let text = format!(
        "repository.box = {{ url = \"repo\", key-file = \"test.key\" }}\n\
         defaults = {{ repository = \"box\" }}\n[notify]\n{notify}\n\
         [app.wiki]\npaths = \"source\"\n{app}\n"
    );
    home.write("drumlin.toml", text);
}

/// A source that fails.
const FAILS: &str = "[[app.wiki.command]]\nname = \"x\"\nrun = \"exit 3\"";

/// Runs the app, which ends with a code.
#[track_caller]
fn run(home: &Home, code: i32) -> Ran {
    home.run(["run", "wiki"]).code(code)
}

#[track_caller]
fn run_due(home: &Home) -> Ran {
    home.run(["run", "--due"]).ok()
}

/// Changes a stored document.
fn change(home: &Home, file: &str, change: impl FnOnce(&mut Value)) {
    let mut document = serde_json::from_str(&home.read(file)).unwrap();
    change(&mut document);
    home.write(file, document.to_string());
}

const STATE: &str = "state/apps/wiki/state.json";
const WATCH: &str = "state/watch/state.json";

/// Makes a time of a document earlier.
fn shift(value: &mut Value, seconds: i64) {
    *value = (value.as_i64().expect("a time") - seconds).into();
}

/// Returns the files of messages that wait.
fn waiting(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.path("state/outbox")).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.len() > 50).collect();
    names.sort();
    names
}

/// Makes the next try of all messages due.
fn make_due(home: &Home) {
    for name in waiting(home) {
        change(home, &format!("state/outbox/{name}"), |item| {
            for delivery in item["deliveries"].as_array_mut().unwrap() {
                delivery["next_s"] = 0.into();
            }
        });
    }
}
