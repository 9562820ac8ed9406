//! Check of what an app dumps, by the adapters themselves.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{CheckedApp, ConfigCheck, error, warning};
use crate::connect::hints::hint_of_opening;
use crate::jobs::containers::EnginePlace;
use crate::jobs::databases;
use crate::monitor::in_words;
use crate::settings::sources::{CommandSettings, DatabaseSettings, SourceSettings};
use crate::sources::finding::Finding;
use crate::sources::runner::{HostRunner, Runner};
use crate::sources::shell_command::{self, Action, Part};
use crate::sources::subversion::{self, RANGE_LEN_MIN, SubversionSettings};
use crate::sources::{mysql, postgres};
use crate::text;

/// Key of dumps of PostgreSQL that are not made.
const NO_KEY: &str = "drumlinconfigcheck";

impl ConfigCheck<'_> {
    /// Returns what the adapters find, at their sections.
    pub(super) fn sources(&self, app: &CheckedApp) -> Vec<Finding> {
        let sources = &app.settings.sources;
        let runner: Arc<dyn Runner> = Arc::new(HostRunner::new(self.monitor));
        let mut findings = same_places(app);
        for database in &sources.mysql {
            findings.extend(self.with_server(database, |password, runner| {
                let settings = databases::mysql_settings(database, password, &self.scratch);
                mysql::check(&settings, runner)
            }));
        }
        for database in &sources.postgres {
            findings.extend(self.with_server(database, |password, runner| {
                let key = NO_KEY.to_owned();
                postgres::check(&databases::postgres_settings(database, password, key), runner)
            }));
        }
        let root = app.settings.run.root.clone().unwrap_or_else(|| "/".into());
        findings.extend(self.sqlite(app, &root));
        if !sources.subversion.is_empty() || !sources.subversion_parents.is_empty() {
            let settings = SubversionSettings {
                section: format!("app.{}", app.name),
                repositories: sources.subversion.clone(),
                parents: sources.subversion_parents.clone(),
                root,
                range_len_min: RANGE_LEN_MIN,
                known: Vec::new(),
            };
            let found = subversion::check(&settings, &runner);
            findings.extend(at(found, &format!("app.{}.subversion", app.name)));
        }
        for command in &sources.commands {
            findings.extend(self.command(app, command));
        }
        findings
    }

    /// Checks a server with its password, where its programs run.
    fn with_server(
        &self,
        database: &DatabaseSettings,
        check: impl FnOnce(Option<Zeroizing<String>>, &Arc<dyn Runner>) -> Vec<Finding>,
    ) -> Vec<Finding> {
        let containers = EnginePlace { docker: &self.settings.docker, env: &self.connector.env };
        let runner = match containers.runner_of(database, self.monitor) {
            Ok(runner) => runner,
            Err(failed) => {
                let message = text::harmless(&in_words(&failed));
                return vec![error(&database.section, message)];
            }
        };
        let password = databases::password_of(database, self.heard);
        let heard = self.heard.take().into_iter();
        let mut findings: Vec<Finding> =
            heard.map(|message| warning(&database.section, message)).collect();
        match password {
            Ok(password) => findings.extend(check(password, &runner)),
            Err(failed) => {
                let message = text::harmless(&in_words(&failed));
                let hint = hint_of_opening(&failed).unwrap_or_default();
                findings.push(error(&database.section, message).hint(hint));
            }
        }
        findings
    }

    #[cfg(feature = "sqlite")]
    fn sqlite(&self, app: &CheckedApp, root: &Path) -> Vec<Finding> {
        use crate::sources::sqlite;
        let patterns = app.settings.sources.sqlite.clone();
        if patterns.is_empty() {
            return Vec::new();
        }
        let settings = sqlite::SqliteSettings {
            section: format!("app.{}", app.name),
            patterns,
            root: root.to_owned(),
            // A run makes one of its own below the state folder, which is checked once for all.
            scratch: self.scratch.clone(),
        };
        at(sqlite::check(&settings), &format!("app.{}.sqlite", app.name))
    }

    #[cfg(not(feature = "sqlite"))]
    fn sqlite(&self, app: &CheckedApp, _: &Path) -> Vec<Finding> {
        let message = "this program was built without SQLite";
        let is_asked = !app.settings.sources.sqlite.is_empty();
        is_asked.then(|| error(&format!("app.{}.sqlite", app.name), message)).into_iter().collect()
    }

    fn command(&self, app: &CheckedApp, command: &CommandSettings) -> Vec<Finding> {
        let section = format!("app.{}.command", app.name);
        let settings = shell_command::CommandSettings {
            section: section.clone(),
            name: command.name.clone(),
            action: match command.pipe.is_empty() {
                true => Action::Run(command.run.clone()),
                false => Action::Pipe(command.pipe.iter().cloned().map(Part::Line).collect()),
            },
            size_min_bytes: command.len_min_bytes.unwrap_or(1),
        };
        let containers = EnginePlace { docker: &self.settings.docker, env: &self.connector.env };
        let container = command.container.as_ref().map(|name| {
            containers.container(name, self.monitor).map(|one| Arc::new(one) as Arc<dyn Runner>)
        });
        let found = match container.transpose() {
            Ok(container) => shell_command::check(&settings, container.as_ref(), self.monitor),
            Err(failed) => vec![error(&section, text::harmless(&in_words(&failed)))],
        };
        at(found, &format!("{section}.{}", command.name))
    }
}

/// Says that two servers, or two commands, would write to one place of the snapshot.
fn same_places(app: &CheckedApp) -> Vec<Finding> {
    let SourceSettings { mysql, postgres, commands, .. } = &app.settings.sources;
    let servers = mysql.iter().chain(postgres).map(databases::place_of);
    let names = commands.iter().map(|command| format!("/{}", command.name.trim_start_matches('/')));
    let mut counts = BTreeMap::<String, usize>::new();
    servers.chain(names).for_each(|place| *counts.entry(place).or_default() += 1);
    let twice = counts.into_iter().filter(|(_, count)| *count > 1);
    let said = |place: String| {
        let message =
            format!("more than one source would be {} in the snapshot", text::harmless(&place));
        error(&format!("app.{}", app.name), message).hint("give each a `name` of its own")
    };
    twice.map(|(place, _)| said(place)).collect()
}

/// Returns findings at this section.
fn at(findings: Vec<Finding>, section: &str) -> Vec<Finding> {
    let placed = |finding| Finding { place: section.to_owned(), ..finding };
    findings.into_iter().map(placed).collect()
}
