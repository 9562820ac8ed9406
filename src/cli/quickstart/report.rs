//! The report of `drumlin quickstart`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::backup::BackupOutcome;
use crate::cli::context::Context;
use crate::connect::RepositoryPlace;
use crate::settings::Settings;
use crate::text;

/// The files, and which of them were made now.
#[derive(Default)]
pub(super) struct Made {
    pub key_file: Option<PathBuf>,
    pub kit: Option<PathBuf>,
    pub config: Option<PathBuf>,
    pub now: Vec<&'static str>,
}

/// Returns the options that later commands need, for the printed examples; `name` is the
/// repository's in the configuration.
pub(super) fn options_from_now_on(
    ctx: &Context,
    settings: &Settings,
    place: &RepositoryPlace,
    made: &Made,
    name: &str,
) -> String {
    let is_explicit =
        ctx.global.config.is_some() && ctx.connector.env.get("DRUMLIN_CONFIG").is_none();
    let config = match (&ctx.global.config, is_explicit) {
        (Some(file), true) => format!(" --config {}", word(file)),
        _ => String::new(),
    };
    let is_default = settings.file.is_none() || settings.default_repository() == Some(name);
    match &made.key_file {
        _ if is_default => config,
        _ if settings.repositories.contains_key(name) => format!("{config} --repo {name}"),
        Some(key) => {
            format!("{config} --repo {} --key-file {}", text::shell_word(&place.shown()), word(key))
        }
        None => format!("{config} --repo {}", text::shell_word(&place.shown())),
    }
}

/// Returns the report of the command: the files, the snapshot and the next commands.
pub(super) fn tell(
    place: &RepositoryPlace,
    made: &Made,
    outcome: &BackupOutcome,
    folder: &Path,
    options: &str,
) -> String {
    let mut lines = Vec::new();
    let mut item = |name: &'static str, path: &Path| {
        let verb = if made.now.contains(&name) { "made" } else { "kept" };
        lines.push(format!("{verb}  {name:<14} {}", text::path(path)));
    };
    item("repository", Path::new(&place.shown()));
    [("key file", &made.key_file), ("recovery kit", &made.kit), ("configuration", &made.config)]
        .into_iter()
        .for_each(|(name, path)| path.iter().for_each(|path| item(name, path)));
    lines.push(String::new());
    lines.extend(outcome.lines());
    let source = word(folder);
    // If nothing changed, the existing snapshot may not be the latest one.
    let snapshot =
        outcome.report.unchanged_since.map_or_else(|| "latest".to_owned(), |id| id.short());
    let inside = text::shell_word(&format!("{snapshot}:{}", folder.display()));
    lines.extend([
        String::new(),
        "To see what is there, and to get it back:".to_owned(),
        format!("  drumlin{options} snapshots"),
        format!("  drumlin{options} ls {inside}"),
        format!("  drumlin{options} restore {inside} --target restored"),
        "For the next backup:".to_owned(),
        format!("  drumlin{options} backup {source}"),
        String::new(),
    ]);
    if let Some(key) = &made.key_file {
        lines.push(format!("The key is in {}. Without it, or the recovery kit,", text::path(key)));
        lines.push("nothing can be read any more, by anybody.".to_owned());
    }
    if made.now.contains(&"configuration") {
        lines.push(
            "Folders that programs mark as caches are left out; the configuration says so."
                .to_owned(),
        );
    }
    if let Some(kit) = &made.kit {
        lines.push(format!("Print {} and keep it away from this machine.", text::path(kit)));
    }
    if place.local_dir().is_some_and(|repository| on_one_disk(folder, repository)) {
        lines.push(
            "The repository is on the same disk as what it protects. To have one on another disk:"
                .to_owned(),
        );
        lines.push(format!("  drumlin quickstart --repo /mnt/DISK/drumlin {source}"));
    }
    lines.join("\n")
}

fn on_one_disk(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    device(one).is_some() && device(one) == device(other)
}

fn word(path: &Path) -> String {
    text::shell_word(&path.to_string_lossy())
}
