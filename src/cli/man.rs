//! `drumlin man`: manual pages.

use std::path::PathBuf;

use clap::{Args, Command};

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use crate::text;

/// Write the manual pages
///
/// To read one: man DIR/drumlin-backup.1
#[derive(Args)]
pub(super) struct ManArgs {
    /// Folder to write to; it is made if it does not exist
    dir: PathBuf,
}

/// Runs the command; `definition` is the whole command line.
pub(super) fn run(ctx: &Context, args: &ManArgs, definition: Command) -> Result<Exit, Failure> {
    std::fs::create_dir_all(&args.dir)
        .map_err(|error| Failure::file("make the folder", &args.dir, &error))?;
    clap_mangen::generate_to(definition, &args.dir)
        .map_err(|error| Failure::file("write manual pages to", &args.dir, &error))?;
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(&args.dir)
        .map_err(|error| Failure::file("read", &args.dir, &error))?
        .filter_map(Result::ok)
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("drumlin") && name.ends_with(".1") {
            pages.push(entry.path());
        }
    }
    pages.sort();
    if ctx.ui.json {
        ctx.ui.print_json(&serde_json::json!({ "pages": pages }))?;
    } else {
        ctx.ui.say(&format!(
            "wrote {} to {}",
            text::counted(pages.len() as u64, "page"),
            text::path(&args.dir)
        ))?;
    }
    Ok(Exit::Done)
}
