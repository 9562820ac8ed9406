//! Check of the repositories that a configuration names.

use std::sync::Arc;

use super::plan::{Found, find};
use super::program::{argument, version, youngest};
use super::repository::Repository;
use super::values::SubversionSettings;
use crate::monitor::in_words;
use crate::sources::finding::{Finding, Severity};
use crate::sources::runner::Runner;

/// Returns what can be known before the first backup. Changes nothing.
pub fn check(settings: &SubversionSettings, runner: &Arc<dyn Runner>) -> Vec<Finding> {
    let place = format!("[{}]", settings.section);
    let error = |cause| vec![Finding::new(Severity::Error, &place, in_words(&cause))];
    let found = match find(settings) {
        Ok(found) => found,
        Err(cause) => return error(cause),
    };
    let version = match version(runner.as_ref()) {
        Ok(version) => version,
        Err(cause) => return error(cause),
    };
    let place_of_programs = runner.place();
    let message = format!("svnadmin {version} on {place_of_programs}");
    let mut findings = vec![Finding::new(Severity::Note, &place, message)];
    findings.extend(found.iter().map(|found| check_one(found, runner.as_ref())));
    findings
}

fn check_one(found: &Found, runner: &dyn Runner) -> Finding {
    let shown = crate::text::path(&found.path);
    let looked = || {
        argument(&found.path)?;
        let repository = Repository::look(&found.path)?;
        Ok::<_, std::io::Error>((repository.kind, youngest(runner, &found.path)?))
    };
    match looked() {
        Err(cause) => {
            let message = format!("cannot read {shown}: {}", in_words(&cause));
            let hint = "let this user read the repository, or remove it from the configuration";
            Finding::new(Severity::Error, &found.place, message).hint(hint)
        }
        Ok((kind, youngest)) if kind == "fsfs" => {
            let message = format!("{shown}: youngest revision {youngest}");
            Finding::new(Severity::Note, &found.place, message)
        }
        Ok((kind, _)) => {
            let kind = crate::text::harmless(&kind);
            let message = format!("{shown} is of the kind {kind}: it is dumped whole each time");
            let hint = "load a dump of it into a repository of the kind fsfs";
            Finding::new(Severity::Warning, &found.place, message).hint(hint)
        }
    }
}
