//! Merging of command line and configuration into a job.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::args::{BackupArgs, ExcludeArgs, SourceArgs};
use super::outcome::BackupOutcome;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::global::PROGRAM;
use crate::connect::{RepositoryPlace, host};
use crate::jobs::containers::EnginePlace;
use crate::jobs::dumps::DumpConditions;
use crate::jobs::patterns::Surroundings;
use crate::jobs::{Additions, Job, lists};
use crate::monitor::ProblemKind;
use crate::repo::Repository;
use crate::rules::{Case, Pattern};
use crate::settings::Settings;
use crate::settings::sources::CommandSettings;
use crate::sources::manifest::SharedRecord;
use crate::text;

/// Merges command line and configuration; the command line takes precedence, lists are joined.
pub(super) fn plan(ctx: &Context, settings: &Settings, args: BackupArgs) -> Result<Job, Failure> {
    let typed_at =
        Surroundings { home: ctx.connector.env.home(), here: Some(host::here()?), root: None };
    job_of(settings, args, ctx.global.threads(), typed_at)
}

/// Returns the job for one folder without options.
pub(crate) fn plan_folder(
    ctx: &Context,
    settings: &Settings,
    folder: &Path,
) -> Result<Job, Failure> {
    plan(ctx, settings, BackupArgs { paths: vec![folder.to_path_buf()], ..BackupArgs::default() })
}

/// Takes the snapshot.
pub(crate) fn carry_out(
    job: Job,
    ctx: &Context,
    place: &RepositoryPlace,
    repository: &Arc<Repository>,
) -> Result<BackupOutcome, Failure> {
    let began = Instant::now();
    let dry_run = job.additions.dry_run;
    let docker = ctx.connector.settings()?.docker;
    let mut job = job;
    let (report, monitor) = ctx.run("backing up", |monitor| {
        let conditions = DumpConditions {
            app: job.app.clone(),
            monitor: Arc::clone(monitor),
            scratch: std::env::temp_dir(),
            state: None,
            operator: &*ctx.connector.operator,
            containers: EnginePlace { docker: &docker, env: &ctx.connector.env },
        };
        let records = job.plan_dumps(conditions)?;
        let tell = |notice| monitor.problem(ProblemKind::Notice, b"", notice);
        std::mem::take(&mut job.dumps.notices).into_iter().for_each(tell);
        let taken = job.run(&ctx.connector, place, repository, monitor);
        records.iter().flat_map(SharedRecord::take_notices).for_each(tell);
        taken
    })?;
    Ok(BackupOutcome { report, monitor, dry_run, seconds: began.elapsed().as_secs_f64() })
}

fn job_of(
    settings: &Settings,
    mut args: BackupArgs,
    threads: usize,
    typed_at: Surroundings,
) -> Result<Job, Failure> {
    args.paths.append(&mut paths_from(&args.sources)?);
    let has_source =
        !args.paths.is_empty() || args.streams.stdin || !args.streams.commands.is_empty();
    let mut merged = Job::settings_of(settings, args.app.as_deref(), has_source)?;
    if args.streams.commands.len() != args.streams.names.len() {
        return Err(Failure::usage("every --command needs its --command-name"));
    }
    merged.paths.extend(args.paths.drain(..).map(typed_path));
    merged.tags.append(&mut args.tags);
    let commands = args.streams.commands.drain(..).zip(args.streams.names.drain(..));
    let commands =
        commands.map(|(run, name)| CommandSettings { name, run, ..CommandSettings::default() });
    merged.sources.commands.extend(commands);
    merged.host = args.host.take().or(merged.host);
    merged.follow_sources =
        Some(args.sources.follow_sources).filter(|set| *set).or(merged.follow_sources);
    merged.read_special =
        Some(args.sources.read_special).filter(|set| *set).or(merged.read_special);
    merged.allow_empty = Some(args.sources.allow_empty).filter(|set| *set).or(merged.allow_empty);
    merged.chunker = args.chunker.or(merged.chunker);
    merged.compression = args.compression.or(merged.compression);
    args.excludes.add_to(&mut merged.excludes);
    let additions = Additions {
        excludes: patterns_of(&args.excludes, &typed_at)?,
        always_read: typed_at.patterns(&args.sources.always_read, &[]),
        stdin: args.streams.stdin.then_some(args.streams.stdin_name),
        dry_run: args.dry_run,
        always_snapshot: args.always_snapshot,
        read_all: args.read_all,
        ignore_inode: args.ignore_inode,
        low_memory: args.low_memory,
        threads,
        program: PROGRAM.to_owned(),
    };
    Ok(Job::new(args.app.unwrap_or_default(), merged, additions))
}

/// Returns the patterns of the command line, including those in files.
fn patterns_of(typed: &ExcludeArgs, typed_at: &Surroundings) -> Result<Vec<Pattern>, Failure> {
    let mut patterns = typed_at.patterns(&typed.patterns, &typed.folded_patterns);
    for file in &typed.files {
        patterns.append(&mut typed_at.patterns_in(file, Case::Exact)?);
    }
    Ok(patterns)
}

/// Returns the typed path, or, if it does not exist, the one that is printed like it.
fn typed_path(path: PathBuf) -> PathBuf {
    let printed = text::bytes_of_typed(path.as_os_str().as_bytes());
    let printed = PathBuf::from(OsString::from_vec(printed));
    if printed != path && path.symlink_metadata().is_err() && printed.symlink_metadata().is_ok() {
        printed
    } else {
        path
    }
}

/// Reads the names of sources from files, without patterns.
fn paths_from(args: &SourceArgs) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for file in &args.files_from {
        let mut names = lists::names_in(file, args.null)?;
        if names.is_empty() {
            return Err(Failure::usage(format!("{} names nothing to back up", file.display())));
        }
        paths.append(&mut names);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;
    use crate::compress::Compression;
    use crate::settings::environment::Environment;

    const CONFIG: &str = "[defaults]\nexclude = \"*.tmp\"\n[app.wiki]\npaths = \"/srv/wiki\"\ntag \
        = \"web\"\ncompression = \"fast\"\n\
                          [app.shop]\npaths = \"/srv/shop\"\nbefore = \"true\"\n";

    fn plan(args: BackupArgs) -> Result<Job, Failure> {
        let settings =
            Settings::parse(CONFIG, "/etc/drumlin/drumlin.toml".into(), &Environment::default())
                .unwrap();
        job_of(&settings, args, 1, Surroundings::default())
    }

    #[test]
    fn apps_bring_their_settings_and_the_command_line_wins() {
        let app = |name: &str| BackupArgs { app: Some(name.into()), ..BackupArgs::default() };
        let wiki = plan(app("wiki")).unwrap();
        assert_eq!(
            (wiki.app.as_str(), wiki.settings.tags.as_slice()),
            ("wiki", &["web".to_owned()][..])
        );
        assert_eq!(wiki.settings.paths, [Path::new("/srv/wiki")]);
        let own = BackupArgs {
            paths: vec!["/x".into()],
            compression: Some(Compression::None),
            ..app("wiki")
        };
        let own = plan(own).unwrap();
        assert_eq!(own.settings.paths, [Path::new("/x")]);
        assert_eq!(
            (own.settings.compression, own.settings.excludes.patterns),
            (Some(Compression::None), vec!["*.tmp".to_owned()])
        );
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let app = |name: &str| BackupArgs { app: Some(name.into()), ..BackupArgs::default() };
        for args in [app("shop"), app("nobody"), BackupArgs::default()] {
            assert_eq!(plan(args).err().map(|failure| failure.exit), Some(Exit::Usage));
        }
    }
}
