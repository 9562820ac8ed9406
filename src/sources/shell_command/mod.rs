//! Commands of the user whose output is backed up.
//!
//! Half a dump must never look complete: each command of a pipe must succeed, and the output must
//! have a least size. `run` is a line for a shell, `pipe` is programs without one.

mod action;
mod check;
mod dump;
mod pipeline;
mod quotes;
mod shell;
mod words;

use std::io;
use std::sync::Arc;

use action::Act;
use dump::CommandDump;

use super::failure::failed;
use super::manifest::{SharedRecord, SourceRecord};
use super::planned::Planned;
use super::runner::Runner;
use crate::backup::DumpSource;
use crate::chunker::Cutting;
use crate::monitor::Monitor;

pub use action::{Action, CommandSettings, Part};
pub use check::check;
pub use pipeline::kill_pipelines;

/// Plans the dump of a command. Nothing is started.
///
/// `container` is where `run` runs instead of this host. Fails if the name is no path, if a part of
/// `pipe` cannot be split into words, or for `pipe` in a container.
pub fn plan(
    settings: &CommandSettings,
    container: Option<&Arc<dyn Runner>>,
    monitor: &Arc<Monitor>,
) -> io::Result<Planned> {
    let action = || format!("cannot plan the command `{}` ({})", settings.name, settings.place());
    let place = settings.path().map_err(failed(action))?;
    let act = Act::of(&settings.action, container, monitor).map_err(failed(action))?;
    let record = SharedRecord::new(SourceRecord {
        place: place.clone(),
        kind: "command".to_owned(),
        method: "output".to_owned(),
        name: settings.name.clone(),
        ..SourceRecord::default()
    });
    let dump = CommandDump { settings: settings.clone(), act, record: record.clone() };
    let source = DumpSource {
        path: place.into_bytes(),
        open: Box::new(|| Ok(Box::new(dump))),
        known: None,
        cutting: Some(Cutting::Rows),
        original: None,
        may_fail: false,
    };
    Ok(Planned { source, record })
}

#[cfg(test)]
mod tests;
