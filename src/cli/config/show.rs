//! `drumlin config show`: what holds after defaults.

use clap::Args;
use serde::Serialize;
use toml::{Table, Value};

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::labelled;
use crate::cli::run::report::rfc3339;
use crate::cli::schedules::Schedules;
use crate::settings::Settings;
use crate::text;

/// Tables of named tables.
const NAMED: [&str; 3] = ["app", "copy", "repository"];
/// Slots that are shown.
const SLOTS_SHOWN: usize = 3;

#[derive(Args)]
pub(super) struct ShowArgs {
    /// Show only this app and its repositories
    #[arg(long, value_name = "APP")]
    app: Option<String>,
}

#[derive(Serialize)]
struct ShowView {
    files: Vec<String>,
    tables: Vec<TableView>,
    schedules: Vec<ScheduleView>,
}

/// A table of the configuration; its name is a value, because users choose it.
#[derive(Serialize)]
struct TableView {
    table: String,
    values: Table,
}

#[derive(Serialize)]
struct ScheduleView {
    app: String,
    times: String,
    next: Vec<Option<String>>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &ShowArgs) -> Result<Exit, Failure> {
    let (settings, has_faults) = labelled::settings_of(ctx, args.app.as_slice())?;
    let exit = labelled::with_faults(Exit::Done, has_faults);
    let Some(file) = &settings.file else {
        return Err(Failure::usage("there is no configuration file")
            .hint("`drumlin quickstart` writes one"));
    };
    if let Some(app) = args.app.as_ref().filter(|app| !settings.apps.contains_key(*app)) {
        return Err(Failure::usage(format!("there is no [app.{app}] in the configuration")));
    }
    let files = std::iter::once(file).chain(&settings.included);
    let files: Vec<String> = files.map(|file| text::path(file)).collect();
    let shown = settings.effective(args.app.as_deref());
    let schedules = schedules_of(ctx, &settings, args.app.as_deref())?;
    if ctx.ui.json {
        ctx.ui.print_json(&ShowView { files, tables: views_of(shown), schedules })?;
        return Ok(exit);
    }
    let mut lines: Vec<String> = files.iter().map(|file| format!("# {file}")).collect();
    // The tables of those files are here.
    lines.extend([String::new(), "include = []".to_owned()]);
    for (name, value) in &shown {
        match value {
            Value::Table(tables) if NAMED.contains(&name.as_str()) => {
                for (below, table) in tables {
                    let schedule = schedules.iter().find(|one| name == "app" && one.app == *below);
                    print_table(&[name, below], table, schedule, &mut lines);
                }
            }
            table => print_table(&[name], table, None, &mut lines),
        }
    }
    lines.extend(labelled_lines(&settings, &schedules));
    ctx.ui.print(&lines.join("\n"))?;
    Ok(exit)
}

/// Returns lines for the apps that labels describe: they have no table in a file.
fn labelled_lines(settings: &Settings, schedules: &[ScheduleView]) -> Vec<String> {
    let Some(labelled) = &settings.labelled else { return Vec::new() };
    let of_labels = schedules.iter().filter(|schedule| labelled.apps.contains(&schedule.app));
    let lines = of_labels.flat_map(|schedule| {
        let app = text::harmless(&schedule.app);
        [String::new(), format!("# app.{app}, by labels of its containers"), times_of(schedule)]
    });
    lines.collect()
}

/// Returns the comment that says when an app is run.
fn times_of(schedule: &ScheduleView) -> String {
    let next = schedule.next.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    text::harmless(&match next.is_empty() {
        true => format!("# {}", schedule.times),
        false => format!("# {}: next {next}", schedule.times),
    })
}

/// Returns the tables one by one.
fn views_of(shown: Table) -> Vec<TableView> {
    let mut views = Vec::new();
    for (name, value) in shown {
        let Value::Table(table) = value else { continue };
        if !NAMED.contains(&name.as_str()) {
            views.push(TableView { table: name, values: table });
            continue;
        }
        for (below, value) in table {
            if let Value::Table(values) = value {
                views.push(TableView { table: format!("{name}.{below}"), values });
            }
        }
    }
    views
}

/// Returns what the words of schedules became on this host.
fn schedules_of(
    ctx: &Context,
    settings: &Settings,
    only: Option<&str>,
) -> Result<Vec<ScheduleView>, Failure> {
    let schedules = Schedules { env: &ctx.connector.env, settings, is_dry: true };
    let now_s = text::now().seconds;
    let mut views = Vec::new();
    for (name, app) in &settings.apps {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let app = app.clone().with_defaults(&settings.defaults);
        let schedule = schedules.of(name, &app)?;
        let next = schedule.upcoming_s(now_s, SLOTS_SHOWN).into_iter().map(rfc3339).collect();
        views.push(ScheduleView { app: name.clone(), times: schedule.to_string(), next });
    }
    Ok(views)
}

/// Appends a table: its values, then the lists of tables below it.
fn print_table(
    names: &[&str],
    table: &Value,
    schedule: Option<&ScheduleView>,
    lines: &mut Vec<String>,
) {
    let name = names.iter().map(|name| key(name)).collect::<Vec<_>>().join(".");
    let Value::Table(table) = table else {
        // No key but `include` is outside of a table.
        return lines.push(format!("{name} = {}", harmless(table)));
    };
    let is_list = |value: &&Value| matches!(value, Value::Array(items) if is_of_tables(items));
    lines.extend([String::new(), format!("[{name}]")]);
    for (below, value) in table.iter().filter(|(_, value)| !is_list(value)) {
        lines.push(format!("{} = {}", key(below), harmless(value)));
        if let Some(schedule) = schedule.filter(|_| below == "schedule") {
            lines.push(times_of(schedule));
        }
    }
    for (below, value) in table {
        let Value::Array(items) = value else { continue };
        for item in items.iter().filter(|_| is_of_tables(items)) {
            let Value::Table(item) = item else { continue };
            lines.extend([String::new(), format!("[[{name}.{}]]", key(below))]);
            let values = item.iter();
            lines.extend(
                values.map(|(below, value)| format!("{} = {}", key(below), harmless(value))),
            );
        }
    }
}

fn is_of_tables(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(|item| matches!(item, Value::Table(_)))
}

/// Returns a key as TOML, in quotes where it needs them.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !name.is_empty() && name.chars().all(is_bare) {
        true => name.to_owned(),
        false => harmless(&Value::String(name.to_owned())),
    }
}

/// Returns a value as TOML in one line, which no terminal interprets.
fn harmless(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().any(|c| c.is_control() || text::is_loud(c)) => {
            let mut quoted = String::from("\"");
            for c in text.chars() {
                match c {
                    '"' | '\\' => quoted.extend(['\\', c]),
                    c if c.is_control() || text::is_loud(c) => {
                        quoted += &format!("\\U{:08x}", u32::from(c));
                    }
                    c => quoted.push(c),
                }
            }
            quoted + "\""
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(harmless).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) if table.is_empty() => "{}".to_owned(),
        Value::Table(table) => {
            let pair =
                |(name, value): (&String, &Value)| format!("{} = {}", key(name), harmless(value));
            format!("{{ {} }}", table.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}
