//! `drumlin config check`: all that can be known before the night.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, ended};
use crate::cli::interrupt;
use crate::cli::schedules::Schedules;
use crate::connect::{ConnectOptions, Connector, Operator};
use crate::jobs::check::{CheckedApp, ConfigCheck, FindingGroup, Heard};
use crate::jobs::containers::{AppFault, with_labelled};
use crate::jobs::tell;
use crate::settings::{Settings, SettingsError};
use crate::sources::finding::{Finding, Severity};
use crate::text;
use crate::ui::Ui;
use crate::ui::style::Role;

#[derive(Args)]
pub(super) struct CheckArgs {
    /// Ask no repository; databases of apps are asked
    #[arg(long)]
    offline: bool,

    /// Send a test message through each channel of notifications
    #[arg(long)]
    send_test: bool,
}

#[derive(Serialize)]
struct FindingsView<'a> {
    findings: Vec<FindingView<'a>>,
}

#[derive(Serialize)]
struct FindingView<'a> {
    severity: &'static str,
    #[serde(rename = "where")]
    place: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &CheckArgs) -> Result<Exit, Failure> {
    let connector = &ctx.connector;
    let groups = match Settings::load(connector.options.config.as_deref(), &connector.env) {
        Ok(settings) if settings.file.is_none() => vec![no_file()],
        Ok(settings) => {
            let (settings, faults) = with_labelled(settings, &connector.env);
            let mut groups = check(ctx, args, &settings)?;
            groups.extend((!faults.is_empty()).then(|| of_labels(&faults)));
            if args.send_test {
                groups.push(send_test(&settings));
            }
            groups
        }
        Err(error) => vec![of_file(&error)],
    };
    let worst = groups.iter().flat_map(|group| &group.findings).map(|found| found.severity).max();
    let exit = match worst {
        Some(Severity::Error) => Exit::Usage,
        _ => Exit::Done,
    };
    let told = match ctx.ui.json {
        true => ctx.ui.print_json(&view(&groups)),
        false => ctx.ui.print(&lines(&groups, &ctx.ui).join("\n")),
    };
    ended(exit, told.map_err(Failure::from))
}

fn check(
    ctx: &Context,
    args: &CheckArgs,
    settings: &Settings,
) -> Result<Vec<FindingGroup>, Failure> {
    let heard = Arc::new(Heard::default());
    // `--repo` would be in the place of each repository that the file names.
    let options = ConnectOptions { repo: None, is_dry: true, ..ctx.connector.options.clone() };
    let env = ctx.connector.env.clone();
    let operator = Arc::clone(&heard) as Arc<dyn Operator>;
    let connector = Connector::new(options, env, operator, interrupt::is_stopping);
    let schedules = Schedules { env: &ctx.connector.env, settings, is_dry: true };
    let apps: Vec<CheckedApp> = settings
        .apps
        .iter()
        .map(|(name, app)| {
            let app = app.clone().with_defaults(&settings.defaults);
            let schedule = schedules.of(name, &app).map_err(|failure| failure.text());
            CheckedApp { name: name.clone(), settings: app, schedule }
        })
        .collect();
    let (groups, _) = ctx.run("checking", |monitor| {
        let check = ConfigCheck {
            connector: &connector,
            heard: &heard,
            settings,
            apps: &apps,
            monitor,
            is_offline: args.offline,
            state_dir: connector.state_dir(),
            scratch: std::env::temp_dir(),
            now_s: text::now().seconds,
        };
        let groups = check.run();
        // What was stopped half-way is no finding.
        if monitor.is_cancelled() { Err(Failure::interrupted()) } else { Ok(groups) }
    })?;
    Ok(groups)
}

/// Sends a test message through each channel, and returns what came of it.
fn send_test(settings: &Settings) -> FindingGroup {
    let finding = |severity, message: String| Finding::new(severity, "notify", message);
    let findings = match tell::send_test(settings) {
        Ok(tried) if tried.is_empty() => {
            let why = "there is no channel to which a test message could go";
            vec![
                finding(Severity::Error, why.to_owned())
                    .hint("add `email` or `webhook` to [notify]"),
            ]
        }
        Ok(tried) => {
            let outcome = |one: &tell::Tried| match &one.error {
                None => {
                    finding(Severity::Note, format!("{}: a test message was sent", one.channel))
                }
                Some(error) => finding(Severity::Error, format!("{}: {error}", one.channel)),
            };
            tried.iter().map(outcome).collect()
        }
        Err(error) => vec![finding(Severity::Error, error.to_string())],
    };
    FindingGroup { title: "test messages".to_owned(), findings }
}

/// Returns the findings about apps of labels that are left out.
fn of_labels(faults: &[AppFault]) -> FindingGroup {
    let finding = |fault: &AppFault| {
        let place = fault.app.as_ref().map_or("docker".to_owned(), |app| format!("app.{app}"));
        let finding = Finding::new(Severity::Error, &place, fault.message.clone());
        finding.hint(fault.hint.clone().unwrap_or_default())
    };
    let findings = faults.iter().map(finding).collect();
    FindingGroup { title: "labels of containers".to_owned(), findings }
}

/// Returns the finding that a file cannot be read, or is not valid.
fn of_file(error: &SettingsError) -> FindingGroup {
    let (place, message) = match error {
        SettingsError::Invalid { file, line, message, .. } => {
            (format!("{}:{line}", file.display()), message.clone())
        }
        SettingsError::Read { file, .. } | SettingsError::Untrusted { file, .. } => {
            (file.display().to_string(), Failure::of(Exit::Usage, error).text())
        }
    };
    let finding = Finding::new(Severity::Error, &place, message);
    let finding = finding.hint(error.hint().unwrap_or_default());
    FindingGroup { title: "configuration".to_owned(), findings: vec![finding] }
}

fn no_file() -> FindingGroup {
    let finding = Finding::new(Severity::Error, "configuration", "there is no configuration file")
        .hint(
            "`drumlin quickstart` writes one; --config names another than drumlin.toml in \
             $XDG_CONFIG_HOME/drumlin or /etc/drumlin",
        );
    FindingGroup { title: "configuration".to_owned(), findings: vec![finding] }
}

fn view(groups: &[FindingGroup]) -> FindingsView<'_> {
    let findings = groups.iter().flat_map(|group| &group.findings).map(|finding| FindingView {
        severity: name(finding.severity),
        place: &finding.place,
        message: &finding.message,
        hint: Some(finding.hint.as_str()).filter(|hint| !hint.is_empty()),
    });
    FindingsView { findings: findings.collect() }
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// Returns a line for each finding, by group, and the sum. `--quiet` leaves out the notes.
fn lines(groups: &[FindingGroup], ui: &Ui) -> Vec<String> {
    let mut lines = Vec::new();
    let is_shown = |found: &&Finding| !ui.quiet || found.severity > Severity::Note;
    for group in groups {
        let shown: Vec<&Finding> = group.findings.iter().filter(is_shown).collect();
        if shown.is_empty() {
            continue;
        }
        lines.push(ui.out_style.paint(Role::Strong, &text::harmless(&group.title)));
        for finding in shown {
            let role = match finding.severity {
                Severity::Note => Role::Dim,
                Severity::Warning => Role::Warning,
                Severity::Error => Role::Error,
            };
            let severity = ui.out_style.paint(role, &format!("{:<7}", name(finding.severity)));
            let below = finding.place.strip_prefix(&group.title).unwrap_or(&finding.place);
            let place = match below.trim_start_matches('.') {
                "" => String::new(),
                place => format!("{}: ", text::harmless(place)),
            };
            lines.push(format!("  {severity} {place}{}", text::harmless(&finding.message)));
            if !finding.hint.is_empty() {
                lines.push(format!("          {}", text::harmless(&finding.hint)));
            }
        }
    }
    let count = |severity| {
        let all = groups.iter().flat_map(|group| &group.findings);
        all.filter(|finding| finding.severity == severity).count() as u64
    };
    let errors = match count(Severity::Error) {
        0 => "no errors".to_owned(),
        errors => text::counted(errors, "error"),
    };
    let warnings = match count(Severity::Warning) {
        0 => "no warnings".to_owned(),
        warnings => text::counted(warnings, "warning"),
    };
    lines.push(format!("{errors}, {warnings}"));
    lines
}
