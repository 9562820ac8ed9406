//! Findings of `config check`: what can be known of a source before the night.

use std::io;
use std::sync::Arc;

use super::client::Client;
use super::copy;
use super::failure::Failure;
use super::grants::Grants;
use super::options::refused_option;
use super::plan::notices;
use super::server::{self, Database, Server};
use super::settings::{Product, Settings};
use crate::sources::finding::{Finding, Severity};
use crate::sources::runner::Runner;

/// Describes an error as a finding.
fn failed(settings: &Settings, error: &io::Error) -> Finding {
    let cause = error.get_ref().and_then(|error| error.source()).map(ToString::to_string);
    let failure = error.get_ref().and_then(|error| error.downcast_ref::<Failure>());
    let hint = failure.map(Failure::hint).unwrap_or_default();
    let action = failure.map_or_else(|| error.to_string(), |failure| failure.action().to_owned());
    let message = match cause {
        Some(cause) => format!("{action}: {cause}"),
        None => action,
    };
    Finding::new(Severity::Error, &settings.section, message).hint(hint)
}

/// Checks a source: programs and versions, login, databases, rights, engines, options.
///
/// Asks the server, and changes nothing. Never fails: what fails is a finding.
pub fn check(settings: &Settings, runner: &Arc<dyn Runner>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(why) = refused_option(settings) {
        let finding = Finding::new(Severity::Error, &settings.section, why);
        findings.push(finding.hint("take it out of `options`"));
    }
    if let Err(error) = server::data_not(settings) {
        findings.push(failed(settings, &error));
    }
    if let Err(error) = ask(settings, runner, &mut findings) {
        findings.push(failed(settings, &error));
    }
    findings
}

fn ask(
    settings: &Settings,
    runner: &Arc<dyn Runner>,
    findings: &mut Vec<Finding>,
) -> io::Result<()> {
    let client = Client::find(settings, runner)?;
    let server = server::server(&client)?;
    let (title, place) = (server.product.title(), runner.place());
    let section = &settings.section;
    if settings.copy.is_some() {
        copy::refuse_other_products(settings, &server)?;
        let message = format!("{title} {} answers; {} on {place}", server.version, copy::KIND);
        findings.push(Finding::new(Severity::Note, section, message));
        let grants = server::grants(&client)?;
        let lacking = ["RELOAD", "PROCESS"].into_iter().filter(|right| !grants.has(right, None));
        findings.extend(lacking.map(|right| {
            let message = format!("the user lacks {right}, which {} needs", copy::KIND);
            let hint = format!("GRANT {right} ON *.* TO …");
            Finding::new(Severity::Error, section, message).hint(hint)
        }));
        return Ok(());
    }
    let message =
        format!("{title} {} answers; client on {place}: {}", server.version, client.version);
    findings.push(Finding::new(Severity::Note, section, message));
    if client.product != server.product {
        let of_client = client.product.title();
        let message = format!("the client is {of_client}'s, and the server is {title}");
        let hint = "install the client of the server's product, or set `program`";
        findings.push(Finding::new(Severity::Warning, section, message).hint(hint));
    }
    let databases = server::databases(&client)?;
    let tables = server::tables(&client, &databases)?;
    findings.extend(rights(&server::grants(&client)?, &databases, &server, settings));
    let warn = |notice| Finding::new(Severity::Warning, section, notice);
    let notices = notices(&client, &server, &databases, &tables)?;
    findings.extend(notices.into_iter().map(warn));
    Ok(())
}

/// Returns what the user lacks.
fn rights(
    grants: &Grants,
    databases: &[Database],
    server: &Server,
    settings: &Settings,
) -> Vec<Finding> {
    if grants.has_roles && server.product == Product::MySql {
        // What a role may do is not in the answer.
        return Vec::new();
    }
    let error = |message: String, hint: String| {
        Finding::new(Severity::Error, &settings.section, message).hint(hint)
    };
    // Without these a dump fails. Without TRIGGER it only lacks triggers: that is a notice.
    let needed = [("SELECT", true), ("SHOW VIEW", true), ("EVENT", settings.has_events)];
    let mut findings = Vec::new();
    for (right, _) in needed.into_iter().filter(|(_, is_needed)| *is_needed) {
        if let Some(names) = server::lacking(grants, right, databases) {
            let hint = format!("GRANT {right} ON … TO …");
            findings.push(error(format!("the user lacks {right} on {names}"), hint));
        }
    }
    if settings.is_locked && !grants.has("RELOAD", None) {
        let message = "the user lacks RELOAD, which locking all tables needs";
        findings.push(error(message.to_owned(), "GRANT RELOAD ON *.* TO …".to_owned()));
    }
    if settings.dumps_users() && !grants.has("SELECT", Some("mysql")) {
        let message = "the user lacks SELECT on `mysql`: users cannot be dumped";
        let hint = "GRANT SELECT ON mysql.* TO …, or set `users = false`";
        findings.push(error(message.to_owned(), hint.to_owned()));
    }
    findings
}
