//! Dumps of an app, planned from its settings.
//!
//! Databases come first, one after another, then commands, then the manifest: a row whose file is
//! newer is harmless, a row whose file is missing is not, so files are read last.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::containers::EnginePlace;
use super::databases;
use super::manifest::manifest_dump;
use super::range_notes::HeldRanges;
use super::timed::timed;
use crate::backup::DumpSource;
use crate::connect::{self, Operator, OtherErrorKind};
use crate::jobs::state::AppState;
use crate::monitor::Monitor;
use crate::settings::app::AppSettings;
use crate::settings::sources::{CommandSettings, SourceSettings};
use crate::sources::manifest::SharedRecord;
use crate::sources::planned::Planned;
use crate::sources::runner::{HostRunner, Runner};
use crate::sources::shell_command::{self, Action, Part};
use crate::sources::subversion::{self, RANGE_LEN_MIN, RangeNotes, SubversionSettings};
use crate::sources::{mysql, postgres};

/// What dumps need of the run that they belong to.
pub struct DumpConditions<'a> {
    /// The app, empty for none.
    pub app: String,
    /// Stops what waits.
    pub monitor: Arc<Monitor>,
    /// Directory for scratch files.
    pub scratch: PathBuf,
    /// State of the app, for what must be the same in every run.
    pub state: Option<&'a mut AppState>,
    /// Receiver of warnings about password files.
    pub operator: &'a dyn Operator,
    /// Where the engine of containers is.
    pub containers: EnginePlace<'a>,
}

/// Planned dumps.
#[derive(Default)]
pub struct AppDumps {
    /// In the order in which they are opened.
    pub dumps: Vec<DumpSource>,
    /// Names below the paths to leave out exactly.
    pub left_out: Vec<Vec<u8>>,
    /// What is recorded of each.
    pub records: Vec<SharedRecord>,
    /// What is known of the ranges of Subversion when all have ended.
    pub ranges: Vec<RangeNotes>,
    /// What the user should know, and is no error.
    pub notices: Vec<String>,
}

impl AppDumps {
    fn add(&mut self, planned: impl IntoIterator<Item = Planned>) {
        for Planned { source, record } in planned {
            self.dumps.push(timed(source, &record));
            self.records.push(record);
        }
    }

    /// Adds the dumps of programs in a container, whose name a restore wants to know.
    fn add_of(&mut self, container: Option<&String>, planned: Vec<Planned>) {
        for Planned { record, .. } in &planned {
            let name = container.map(|name| serde_json::Value::from(name.as_str()));
            let name = name.map(|name| ("container".to_owned(), name));
            record.update(|record| record.more.extend(name));
        }
        self.add(planned);
    }
}

/// Plans the dumps of an app. Servers are asked what there is; nothing is dumped yet.
///
/// Fails if a server cannot be reached, lets nobody in, or has not what is configured.
pub fn plan(app: &AppSettings, conditions: &mut DumpConditions) -> connect::Result<AppDumps> {
    let sources = &app.sources;
    let mut planned = AppDumps::default();
    for database in &sources.mysql {
        let password = databases::password_of(database, conditions.operator)?;
        let settings = databases::mysql_settings(database, password, &conditions.scratch);
        let runner = conditions.containers.runner_of(database, &conditions.monitor)?;
        let plan = mysql::plan(&settings, &runner).map_err(failed(&database.section))?;
        planned.add_of(database.container.as_ref(), plan.dumps);
        planned.notices.extend(plan.notices);
    }
    for database in &sources.postgres {
        let key = restrict_key(conditions)?;
        let password = databases::password_of(database, conditions.operator)?;
        let settings = databases::postgres_settings(database, password, key);
        let runner = conditions.containers.runner_of(database, &conditions.monitor)?;
        let plan = postgres::plan(&settings, &runner).map_err(failed(&database.section))?;
        planned.add_of(database.container.as_ref(), plan.dumps);
        planned.notices.extend(plan.notices);
    }
    let root = app.run.root.clone().unwrap_or_else(|| PathBuf::from("/"));
    plan_sqlite(sources, &root, conditions, &mut planned)?;
    let host: Arc<dyn Runner> = Arc::new(HostRunner::new(&conditions.monitor));
    plan_subversion(sources, &root, conditions, &host, &mut planned)?;
    for command in &sources.commands {
        let section = section_of(conditions, "command");
        let runner = |name| conditions.containers.container(name, &conditions.monitor);
        let container = command.container.as_deref().map(runner).transpose()?;
        let container = container.map(|runner| Arc::new(runner) as Arc<dyn Runner>);
        let planned_command = command_dump(command, container.as_ref(), conditions);
        let planned_command = planned_command.map_err(failed(&section))?;
        planned.add_of(command.container.as_ref(), vec![planned_command]);
    }
    let has_server = planned.records.iter().any(|record| record.get().kind != "command");
    if has_server {
        planned.dumps.push(manifest_dump(&conditions.app, app, &planned.records));
    }
    Ok(planned)
}

fn section_of(conditions: &DumpConditions, key: &str) -> String {
    match conditions.app.as_str() {
        "" => key.to_owned(),
        app => format!("app.{app}.{key}"),
    }
}

fn failed(section: &str) -> impl Fn(io::Error) -> connect::Error {
    let section = section.to_owned();
    move |error| {
        let message = format!("cannot dump what [{section}] names");
        connect::Error::new(OtherErrorKind::Failed, message).caused_by(error)
    }
}

/// Returns the key of PostgreSQL's dumps: the same in every run, or dumps would differ.
fn restrict_key(conditions: &mut DumpConditions) -> connect::Result<String> {
    let made = || databases::random_key().map_err(failed("app"));
    match &mut conditions.state {
        Some(state) if state.restrict_key.is_empty() => {
            state.restrict_key = made()?;
            Ok(state.restrict_key.clone())
        }
        Some(state) => Ok(state.restrict_key.clone()),
        None => made(),
    }
}

#[cfg(feature = "sqlite")]
fn plan_sqlite(
    sources: &SourceSettings,
    root: &Path,
    conditions: &DumpConditions,
    planned: &mut AppDumps,
) -> connect::Result<()> {
    use crate::sources::sqlite;
    if sources.sqlite.is_empty() {
        return Ok(());
    }
    let section = section_of(conditions, "sqlite");
    let settings = sqlite::SqliteSettings {
        section: section.trim_end_matches(".sqlite").to_owned(),
        patterns: sources.sqlite.clone(),
        root: root.to_owned(),
        scratch: conditions.scratch.clone(),
    };
    let plan = sqlite::plan(&settings, &conditions.monitor).map_err(failed(&section))?;
    planned.add(plan.dumps);
    planned.left_out.extend(plan.left_out);
    planned.notices.extend(plan.notices);
    Ok(())
}

#[cfg(not(feature = "sqlite"))]
fn plan_sqlite(
    sources: &SourceSettings,
    _: &Path,
    conditions: &DumpConditions,
    _: &mut AppDumps,
) -> connect::Result<()> {
    match sources.sqlite.is_empty() {
        true => Ok(()),
        false => {
            let section = section_of(conditions, "sqlite");
            let why = format!("[{section}]: this program was built without SQLite");
            Err(connect::Error::usage(why))
        }
    }
}

fn plan_subversion(
    sources: &SourceSettings,
    root: &Path,
    conditions: &DumpConditions,
    runner: &Arc<dyn Runner>,
    planned: &mut AppDumps,
) -> connect::Result<()> {
    if sources.subversion.is_empty() && sources.subversion_parents.is_empty() {
        return Ok(());
    }
    let section = section_of(conditions, "subversion");
    let held = HeldRanges::load(conditions.state.as_deref());
    let settings = SubversionSettings {
        section: section.trim_end_matches(".subversion").to_owned(),
        repositories: sources.subversion.clone(),
        parents: sources.subversion_parents.clone(),
        root: root.to_owned(),
        range_len_min: RANGE_LEN_MIN,
        known: held.ranges(),
    };
    let plan = subversion::plan(&settings, runner).map_err(failed(&section))?;
    planned.notices.extend(plan.notices);
    for mut repository in plan.repositories {
        held.mark(&mut repository.ranges);
        let record = repository.notes.record.clone();
        let ranges = repository.ranges.into_iter().map(|range| range.source);
        let files = repository.files.into_iter().map(databases::copied_files);
        planned.dumps.extend(ranges.chain(files).map(|source| timed(source, &record)));
        planned.records.push(record);
        planned.ranges.push(repository.notes);
    }
    Ok(())
}

fn command_dump(
    command: &CommandSettings,
    container: Option<&Arc<dyn Runner>>,
    conditions: &DumpConditions,
) -> io::Result<Planned> {
    let settings = shell_command::CommandSettings {
        section: section_of(conditions, "command"),
        name: command.name.clone(),
        action: match command.pipe.is_empty() {
            true => Action::Run(command.run.clone()),
            false => Action::Pipe(command.pipe.iter().cloned().map(Part::Line).collect()),
        },
        // Without an app an empty output is told, as that of any source.
        size_min_bytes: command.len_min_bytes.unwrap_or(u64::from(!conditions.app.is_empty())),
    };
    let planned = shell_command::plan(&settings, container, &conditions.monitor)?;
    if let Some(load) = &command.load {
        let load = serde_json::Value::from(load.as_str());
        planned.record.update(|record| drop(record.more.insert("load".to_owned(), load)));
    }
    Ok(planned)
}
