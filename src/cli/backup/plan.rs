//! What a backup is about to do: the command line and the configuration, put together.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::args::{BackupArgs, SourceArgs, StreamArgs};
use super::outcome::Outcome;
use crate::backup::{self, BackupOptions, ExcludeOptions, StreamSource};
use crate::cli::context::Context;
use crate::cli::failure::{Exit, Failure};
use crate::cli::given;
use crate::cli::global::PROGRAM;
use crate::cli::patterns::Surroundings;
use crate::compress::Compression;
use crate::connect::Place;
use crate::connect::host;
use crate::connect::own_dirs;
use crate::format::config::Profile;
use crate::format::snapshot::Consistency;
use crate::monitor::Monitor;
use crate::repo::Repository;
use crate::repo::write::Checkpoints;
use crate::rules::{Case, Pattern};
use crate::settings::Settings;
use crate::settings::model::{AppSettings, CommandSettings};
use crate::settings::values::Chunker;
use crate::sources::command;
use crate::text;

/// What a backup is about to do: the command line and the configuration, put together.
pub struct Plan {
    /// App, empty for none.
    app: String,
    settings: AppSettings,
    args: BackupArgs,
}

impl Plan {
    /// Puts the command line and the configuration together; the command line wins, lists are joined.
    pub fn new(settings: &Settings, mut args: BackupArgs) -> Result<Self, Failure> {
        let configured = match &args.app {
            Some(app) => settings.apps.get(app),
            None => None,
        };
        args.paths.append(&mut paths_from(&args.sources)?);
        let has_source = !args.paths.is_empty() || args.streams.stdin || !args.streams.commands.is_empty();
        let mut merged = match (configured, has_source) {
            (Some(app), _) => app.clone().with_defaults(&settings.defaults),
            (None, true) => AppSettings::default().with_defaults(&settings.defaults),
            (None, false) => return Err(nothing_to_back_up(settings, args.app.as_deref())),
        };
        if has_source {
            merged.paths = Vec::new();
            merged.commands = Vec::new();
        } else if let Some(key) = merged.later.first() {
            let why = format!("app `{}` has `{key}`, which comes in a later version", args.app.as_deref().unwrap_or_default());
            return Err(Failure::usage(why).hint("a backup without it would not be what the configuration asks for"));
        }
        if args.streams.commands.len() != args.streams.names.len() {
            return Err(Failure::usage("every --command needs its --command-name"));
        }
        merged.paths.extend(args.paths.drain(..).map(typed_path));
        merged.tags.append(&mut args.tags);
        let commands = args.streams.commands.drain(..).zip(args.streams.names.drain(..));
        merged.commands.extend(commands.map(|(run, name)| CommandSettings { name, run }));
        merged.host = args.host.take().or(merged.host);
        merged.follow_sources = Some(args.sources.follow_sources).filter(|set| *set).or(merged.follow_sources);
        merged.read_special = Some(args.sources.read_special).filter(|set| *set).or(merged.read_special);
        merged.allow_empty = Some(args.sources.allow_empty).filter(|set| *set).or(merged.allow_empty);
        merged.chunker = args.chunker.or(merged.chunker);
        merged.compression = args.compression.or(merged.compression);
        args.excludes.add_to(&mut merged.excludes);
        Ok(Self { app: args.app.take().unwrap_or_default(), settings: merged, args })
    }

    /// Returns a plan for one folder without any options.
    pub fn of_folder(settings: &Settings, folder: &Path) -> Result<Self, Failure> {
        Self::new(settings, BackupArgs { paths: vec![folder.to_path_buf()], ..BackupArgs::default() })
    }

    /// Returns the name of the repository that the configuration names for it.
    pub fn repository(&self, ctx: &Context) -> Result<Option<&str>, Failure> {
        match self.settings.repositories.as_slice() {
            [_, _, ..] if ctx.global.repo.is_none() && !self.app.is_empty() => {
                Err(Failure::usage(format!("app `{}` has several repositories, which comes in a later version", self.app))
                    .hint("give --repo NAME for one of them"))
            }
            names => Ok(names.first().map(String::as_str)),
        }
    }

    /// Takes the snapshot.
    pub fn carry_out(self, ctx: &Context, place: &Place, repository: &Arc<Repository>) -> Result<Outcome, Failure> {
        let began = Instant::now();
        let dry_run = self.args.dry_run;
        let mut own_folders = ctx.own_folders(place);
        own_folders.extend(own_dirs::in_cache_to_leave_out(&ctx.cache_dir(place)));
        let (patterns, always_read) = (self.patterns(ctx)?, self.always_read(ctx)?);
        let (report, monitor) = ctx.run("backing up", |monitor| {
            let options = self.options(ctx, repository, monitor, (patterns, always_read, own_folders))?;
            Ok::<_, Failure>(backup::run(repository, options, monitor)?)
        })?;
        Ok(Outcome { report, monitor, dry_run, seconds: began.elapsed().as_secs_f64() })
    }

    /// Returns all patterns, those in files too: the configuration's, for which it does not matter where the program runs, then
    /// the command line's, which are to match something.
    fn patterns(&self, ctx: &Context) -> Result<Vec<Pattern>, Failure> {
        let (configured, typed) = (&self.settings.excludes, &self.args.excludes);
        let anywhere = Surroundings { home: ctx.env().home(), ..Surroundings::default() };
        let words = |patterns: &[String]| patterns.iter().map(OsString::from).collect::<Vec<_>>();
        let mut patterns = anywhere.patterns(&words(&configured.patterns), &words(&configured.folded_patterns));
        for file in &configured.pattern_files {
            patterns.append(&mut anywhere.patterns_in(file, Case::Exact)?);
        }
        patterns.iter_mut().for_each(|pattern| pattern.is_general = true);
        let here = Surroundings { here: Some(host::here()?), ..anywhere };
        patterns.append(&mut here.patterns(&typed.patterns, &typed.folded_patterns));
        for file in &typed.files {
            patterns.append(&mut here.patterns_in(file, Case::Exact)?);
        }
        Ok(patterns)
    }

    /// Returns the patterns of what is read even if it looks unchanged.
    fn always_read(&self, ctx: &Context) -> Result<Vec<Pattern>, Failure> {
        let anywhere = Surroundings { home: ctx.env().home(), ..Surroundings::default() };
        let configured = self.settings.always_read.iter().map(OsString::from).collect::<Vec<_>>();
        let here = Surroundings { here: Some(host::here()?), ..anywhere.clone() };
        Ok([anywhere.patterns(&configured, &[]), here.patterns(&self.args.sources.always_read, &[])].concat())
    }

    fn options(
        self,
        ctx: &Context,
        repository: &Repository,
        monitor: &Arc<Monitor>,
        (patterns, always_read, own_folders): (Vec<Pattern>, Vec<Pattern>, Vec<PathBuf>),
    ) -> Result<BackupOptions, Failure> {
        let Self { app, settings, args } = self;
        let mut streams = open_streams(&settings.commands, &args.streams, monitor)?;
        let paths = open_special(settings.paths, settings.read_special == Some(true), &mut streams, monitor)?;
        let excludes = settings.excludes;
        Ok(BackupOptions {
            consistency: if paths.is_empty() { Consistency::Dump } else { Consistency::Live },
            paths,
            follow_sources: settings.follow_sources == Some(true),
            allow_empty: settings.allow_empty == Some(true),
            streams,
            tags: settings.tags,
            host: settings.host.unwrap_or_else(host::host_name),
            user: host::user_name(),
            app,
            program: PROGRAM.to_owned(),
            excludes: ExcludeOptions {
                patterns,
                caches: excludes.caches.unwrap_or(false),
                if_present: excludes.if_present,
                larger_than: excludes.larger_than,
                ignore_files: excludes.ignore_files,
                one_file_system: excludes.one_file_system.unwrap_or(false),
                always_read,
                own_folders,
            },
            chunker: settings.chunker.map(|chunker| profile_of(chunker, repository.config().profile)),
            compression: settings.compression.unwrap_or(Compression::DEFAULT),
            dry_run: args.dry_run,
            always_snapshot: args.always_snapshot,
            read_all: args.read_all,
            ignore_inodes: args.ignore_inode,
            threads: ctx.global.threads(),
            low_memory: args.low_memory,
            clock: Arc::new(text::now),
            checkpoints: Checkpoints::default(),
        })
    }
}

fn nothing_to_back_up(settings: &Settings, app: Option<&str>) -> Failure {
    let Some(app) = app else {
        return Failure::usage("nothing to back up was named").hint("give a PATH, --stdin, --command or --app");
    };
    let known: Vec<&str> = settings.apps.keys().map(String::as_str).collect();
    let failure = Failure::usage(format!("there is no [app.{app}] in the configuration, and no PATH was given"));
    if known.is_empty() { failure } else { failure.hint(format!("the configuration has {}", known.join(", "))) }
}

/// Returns the path that was typed, or, if there is no such file, the one that is printed like this.
fn typed_path(path: PathBuf) -> PathBuf {
    let printed = text::bytes_of_typed(path.as_os_str().as_bytes());
    let printed = PathBuf::from(OsString::from_vec(printed));
    if printed != path && path.symlink_metadata().is_err() && printed.symlink_metadata().is_ok() { printed } else { path }
}

/// Reads the names of sources from files, as they stand there.
fn paths_from(args: &SourceArgs) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for file in &args.files_from {
        let mut names = given::names_in(file, args.null)?;
        if names.is_empty() {
            return Err(Failure::usage(format!("{} names nothing to back up", file.display())));
        }
        paths.append(&mut names);
    }
    Ok(paths)
}

/// Makes streams of the special files among the paths, if these are to be read.
fn open_special(
    paths: Vec<PathBuf>,
    reads_special: bool,
    streams: &mut Vec<StreamSource>,
    monitor: &Arc<Monitor>,
) -> Result<Vec<PathBuf>, Failure> {
    let mut others = Vec::with_capacity(paths.len());
    for path in paths {
        if !(reads_special && command::is_special(&path)) {
            others.push(path);
            continue;
        }
        let fail = |error| Failure::file("read", &path, &error);
        streams.push(command::file_source(&path, monitor).map_err(fail)?);
    }
    Ok(others)
}

fn open_streams(commands: &[CommandSettings], args: &StreamArgs, monitor: &Arc<Monitor>) -> Result<Vec<StreamSource>, Failure> {
    let mut sources = Vec::new();
    if args.stdin {
        sources.push(command::stdin_source(&args.stdin_name, monitor));
    }
    for CommandSettings { name, run } in commands {
        let fail = |error| Failure::new(Exit::Error, format!("cannot run `{run}`")).caused_by(&error);
        sources.push(command::command_source(name, run, monitor).map_err(fail)?);
    }
    Ok(sources)
}

fn profile_of(chunker: Chunker, own: Profile) -> Profile {
    match (chunker, own) {
        (Chunker::Fixed, _) => Profile::Fixed,
        (Chunker::ContentDefined, Profile::Fixed) => Profile::Standard,
        (Chunker::ContentDefined, own) => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::environment::Environment;

    const CONFIG: &str = "[defaults]\nexclude = \"*.tmp\"\n[app.wiki]\npaths = \"/srv/wiki\"\ntag = \"web\"\ncompression = \"fast\"\n\
                          [app.shop]\nmariadb = { databases = [\"shop\"] }\n";

    fn plan(args: BackupArgs) -> Result<Plan, Failure> {
        let settings = Settings::parse(CONFIG, "/etc/drumlin/drumlin.toml".into(), &Environment::default()).unwrap();
        Plan::new(&settings, args)
    }

    #[test]
    fn apps_bring_their_settings_and_the_command_line_wins() {
        let app = |name: &str| BackupArgs { app: Some(name.into()), ..BackupArgs::default() };
        let wiki = plan(app("wiki")).unwrap();
        assert_eq!((wiki.app.as_str(), wiki.settings.tags.as_slice()), ("wiki", &["web".to_owned()][..]));
        assert_eq!(wiki.settings.paths, [Path::new("/srv/wiki")]);
        let own = BackupArgs { paths: vec!["/x".into()], compression: Some(Compression::None), ..app("wiki") };
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

    #[test]
    fn chunkers_keep_the_repository_s_sizes() {
        assert_eq!(profile_of(Chunker::ContentDefined, Profile::Large), Profile::Large);
        assert_eq!(profile_of(Chunker::ContentDefined, Profile::Fixed), Profile::Standard);
        assert_eq!(profile_of(Chunker::Fixed, Profile::Small), Profile::Fixed);
    }
}
