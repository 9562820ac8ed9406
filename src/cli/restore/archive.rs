//! `drumlin restore --to-tar` and `--to-zip`: output as an archive.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json_views::{ProblemView, RequestsView};
use crate::format::snapshot::Snapshot;
use crate::repo::Repository;
use crate::restore::archive::{self, ArchiveFormat, ArchiveOutput, ArchiveReport};
use crate::restore::{self, RestoreOptions};
use crate::text;
use crate::ui::output::BufferedStdout;

/// Size of the write buffer in bytes.
const BUFFER_LEN_BYTES: usize = 1 << 20;

/// Options about archives.
#[derive(Args)]
pub(super) struct ArchiveArgs {
    /// Write a tar archive to FILE, or to standard output for -
    ///
    /// FILE must not exist.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "to_zip", "target", "dry_run", "verify", "delete", "overwrite", "plan", "thaw",
        ],
    )]
    to_tar: Option<PathBuf>,

    /// Write a zip file
    ///
    /// Zip has no links, devices, owners or attributes, and only names that are text.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "target", "dry_run", "verify", "delete", "overwrite", "numeric_ids", "plan", "thaw",
        ],
    )]
    to_zip: Option<PathBuf>,
}

#[derive(Serialize)]
struct ArchiveView<'a> {
    snapshot: String,
    archive: &'a Path,
    format: &'static str,
    files: u64,
    dirs: u64,
    hard_links: u64,
    bytes: u64,
    archive_bytes: u64,
    damaged: u64,
    left_out: u64,
    partial: u64,
    seconds: f64,
    problem_count: u64,
    problems: Vec<ProblemView>,
    requests: RequestsView,
}

/// Format and destination of an archive.
pub(super) struct ArchiveTarget {
    format: ArchiveFormat,
    /// `None` for standard output.
    file: Option<PathBuf>,
    /// Start of the command.
    began: Instant,
}

impl ArchiveArgs {
    /// Returns the destination, if an archive is wanted; refuses invalid ones before a password is
    /// typed.
    pub(super) fn wanted(
        &self,
        ctx: &Context,
        began: Instant,
    ) -> Result<Option<ArchiveTarget>, Failure> {
        let (format, place) = match (&self.to_tar, &self.to_zip) {
            (Some(file), _) => (ArchiveFormat::Tar, file),
            (None, Some(file)) => (ArchiveFormat::Zip, file),
            (None, None) => return Ok(None),
        };
        if place.as_os_str() != "-" {
            if place.metadata().is_ok_and(|metadata| metadata.is_file() || metadata.is_dir()) {
                let failure = Failure::usage(format!("{} exists", text::path(place)));
                return Err(
                    failure.hint("existing files are never overwritten: choose another name")
                );
            }
            return Ok(Some(ArchiveTarget { format, file: Some(place.clone()), began }));
        }
        if format == ArchiveFormat::Zip {
            return Err(Failure::usage("a zip file is not written to standard output")
                .hint("name a file, or use --to-tar"));
        }
        if ctx.ui.json {
            return Err(Failure::usage("--json and the archive cannot both go to standard output")
                .hint("name a file"));
        }
        if std::io::stdout().is_terminal() {
            return Err(Failure::usage("an archive is not written to a terminal")
                .hint("name a file, or send it on: --to-tar - | ssh ..."));
        }
        Ok(Some(ArchiveTarget { format, file: None, began }))
    }
}

/// Runs the command.
pub(super) fn run(
    ctx: &Context,
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    wanted: &ArchiveTarget,
) -> Result<Exit, Failure> {
    let write = |out: &mut dyn Write| {
        ctx.run("archiving", |monitor| {
            archive::write(
                repository,
                snapshot,
                options,
                ArchiveOutput { format: wanted.format, out },
                monitor,
            )
        })
    };
    let (report, monitor) = match &wanted.file {
        Some(file) => into_file(options, file, write)?,
        None => {
            let mut out = BufferedStdout::open()?;
            let written = write(out.writer())?;
            // An archive without its end is useless, so a closed pipe is an error.
            out.finish_whole().map_err(|error| Failure::of(Exit::Error, &error))?;
            written
        }
    };
    if ctx.ui.json {
        ctx.ui.print_json(&ArchiveView {
            snapshot: snapshot.id.to_hex(),
            archive: wanted.file.as_deref().unwrap_or(Path::new("-")),
            format: name_of(wanted.format),
            files: report.files,
            dirs: report.dirs,
            hard_links: report.hard_links,
            bytes: report.bytes,
            archive_bytes: report.archive_bytes,
            damaged: report.damaged,
            left_out: report.left_out,
            partial: report.partial,
            seconds: wanted.began.elapsed().as_secs_f64(),
            problem_count: monitor.problem_count(),
            problems: ProblemView::all(&monitor),
            requests: ctx.requests_view(),
        })?;
    } else {
        let lines = lines(snapshot, wanted, &report);
        match &wanted.file {
            Some(_) => ctx.ui.say(&lines.join("\n"))?,
            None => ctx.ui.note(&lines.join("\n")),
        }
        ctx.ui.list_problems(&monitor);
    }
    Ok(match report {
        ArchiveReport { damaged: 1.., .. } => Exit::Damage,
        ArchiveReport { left_out: 1.., .. } | ArchiveReport { partial: 1.., .. } => {
            Exit::Unreadable
        }
        _ => Exit::Done,
    })
}

/// Creates the file, writes the archive and syncs it; removes a new file after any failure.
fn into_file<T>(
    options: &RestoreOptions,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    restore::refuse_own(&RestoreOptions { target: folder.to_path_buf(), ..options.clone() })?;
    let is_new = path.symlink_metadata().is_err();
    let failed = |error: &std::io::Error| Failure::file("write", path, error);
    // For its owner alone, since it may hold private files. An existing path is a device or a pipe.
    let file = File::options()
        .write(true)
        .create_new(is_new)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed(&error))?;
    if file.is_terminal() {
        return Err(Failure::usage("an archive is not written to a terminal").hint("name a file"));
    }
    let fill = || {
        let mut out = BufWriter::with_capacity(BUFFER_LEN_BYTES, file);
        let written = write(&mut out)?;
        let file = out.into_inner().map_err(|error| failed(error.error()))?;
        if is_new {
            file.sync_all()
                .and_then(|()| File::open(folder)?.sync_all())
                .map_err(|error| failed(&error))?;
        }
        Ok(written)
    };
    fill().inspect_err(|_| {
        if is_new {
            // Best effort: the error names the file.
            let _ = std::fs::remove_file(path);
        }
    })
}

fn name_of(format: ArchiveFormat) -> &'static str {
    match format {
        ArchiveFormat::Tar => "tar",
        ArchiveFormat::Zip => "zip",
    }
}

fn lines(snapshot: &Snapshot, wanted: &ArchiveTarget, report: &ArchiveReport) -> Vec<String> {
    let place = wanted.file.as_ref().map_or("standard output".to_owned(), |file| text::path(file));
    let mut lines = vec![
        format!(
            "wrote {} in {} of snapshot {} to {place}",
            text::counted(report.files, "file"),
            text::counted(report.dirs, "folder"),
            snapshot.id.short()
        ),
        format!(
            "  size     {} of content, {} of {}",
            text::size(report.bytes),
            text::size(report.archive_bytes),
            name_of(wanted.format)
        ),
    ];
    let mut some = |count: u64, what: &str| {
        if count > 0 {
            lines.push(format!("  {what}", what = what.replace("{}", &text::count(count))));
        }
    };
    some(report.hard_links, "links    {} of the files as further names of others");
    some(report.damaged, "damaged  {} not in the archive: the repository is damaged");
    some(report.left_out, "left out {} that the format cannot hold");
    some(report.partial, "partly   {} without something that the format cannot hold");
    lines.push(format!("  time     {}", text::duration(wanted.began.elapsed())));
    lines
}
