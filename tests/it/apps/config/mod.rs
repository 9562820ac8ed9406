//! `config check`, `config show` and included files, as a user has them. Method: the real program,
//! and each finding by the real thing.

mod check; // findings
mod databases; // findings of real servers
mod files; // included files, and who may write to them
mod show; // what holds after defaults

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::home::{Home, Ran};

/// A home with a repository that opens by its password file.
fn home() -> Home {
    let home = Home::new().with("DRUMLIN_CONFIG", "etc/drumlin.toml").with("TZ", "UTC");
    home.write("source/file", "first\n");
    home.write("etc/password", "secret\n");
    set_mode(&home.path("etc/password"), 0o600);
    configure(&home, "");
    home.run(["init"]).ok();
    home
}

const REPOSITORY: &str = "repository.box = { url = \"../repo\", password-file = \"password\" }\n";

/// Writes a configuration of a repository and these lines.
fn configure(home: &Home, lines: &str) {
    home.write("etc/drumlin.toml", format!("{REPOSITORY}{lines}\n"));
}

/// Writes a configuration with the app `wiki`, which has these lines, too.
fn configure_app(home: &Home, lines: &str) {
    configure(home, &format!("[app.wiki]\npaths = \"../source\"\n{lines}"));
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// A finding: severity, place, message, hint.
#[derive(Clone, Debug)]
struct Found {
    severity: String,
    place: String,
    message: String,
    hint: String,
}

fn found_in(ran: &Ran) -> Vec<Found> {
    let document: Value = ran.json();
    let findings = document["findings"].as_array().unwrap().clone();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let found = findings.iter().map(|finding| Found {
        severity: text(finding, "severity"),
        place: text(finding, "where"),
        message: text(finding, "message"),
        hint: text(finding, "hint"),
    });
    found.collect()
}

/// Returns the findings of `config check`, whose exit code says whether one is an error.
#[track_caller]
fn check(home: &Home) -> Vec<Found> {
    let ran = home.run(["config", "check", "--json"]);
    let found = found_in(&ran);
    let has_error = found.iter().any(|found| found.severity == "error");
    assert_eq!(ran.code, if has_error { 2 } else { 0 }, "{ran:?}");
    found
}

/// Expects a finding.
#[track_caller]
fn expect(found: &[Found], severity: &str, place: &str, part: &str) -> Found {
    let meant = |found: &&Found| {
        found.severity == severity && found.place == place && found.message.contains(part)
    };
    let Some(finding) = found.iter().find(meant) else {
        panic!("no {severity} at {place} with `{part}` in {found:#?}");
    };
    finding.clone()
}

/// Expects that nothing is an error or a warning.
#[track_caller]
fn expect_peace(found: &[Found]) {
    let loud: Vec<&Found> = found.iter().filter(|found| found.severity != "note").collect();
    assert!(loud.is_empty(), "{loud:#?}");
}
