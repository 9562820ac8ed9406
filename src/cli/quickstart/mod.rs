//! `drumlin quickstart`: a first backup without configuration or questions.
//!
//! Every step first checks whether it is done, so the command can be interrupted and repeated.

mod report;

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use self::report::{Made, options_from_now_on, tell};
use super::backup::{BackupView, carry_out, plan_folder};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::init::{self, NewKey, RepositoryView};
use super::keyfile::{self, KIT_LABEL, KitDetails};
use crate::connect::SecretSource;
use crate::connect::credentials::{self, KeyFile};
use crate::connect::host;
use crate::connect::{Purpose, RepositoryPlace};
use crate::crypto::slot::Secret;
use crate::format::config::Profile;
use crate::format::slot::{SlotInfo, SlotKdf};
use crate::repo::open::keys;
use crate::repo::{Error, Repository, checked_open};
use crate::settings::location::Location;
use crate::settings::repository::{RepositorySettings, SecretSettings};
use crate::settings::{FILE_NAME, Settings};
use crate::text;

/// Make a first backup without any configuration
///
/// Makes a repository in your data folder (or where --repo says), a key file, a recovery kit and a
/// configuration file, takes a snapshot of FOLDER, and says how to get files back. It asks nothing.
/// Run it again to take another snapshot.
#[derive(Args)]
pub(super) struct QuickstartArgs {
    /// Folder to back up [default: the current folder]
    folder: Option<PathBuf>,
}

/// Name of the repository in the new configuration file.
const FIRST_NAME: &str = "main";

#[derive(Serialize)]
struct QuickstartView {
    repository: RepositoryView,
    key_file: Option<PathBuf>,
    kit: Option<PathBuf>,
    config: Option<PathBuf>,
    made: Vec<&'static str>,
    backup: BackupView,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &QuickstartArgs) -> Result<Exit, Failure> {
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder =
        folder.canonicalize().map_err(|error| Failure::file("read the folder", &folder, &error))?;
    let settings = ctx.connector.settings()?;
    let config_dir = ctx.connector.env.config_dir().ok_or_else(|| {
        Failure::usage("no folder for the key and configuration is known").hint("set HOME")
    })?;
    let place = choose_place(ctx, &settings, &config_dir)?;
    let mut made = Made { config: settings.file.clone(), ..Made::default() };
    let fail = |error| Failure::file("make the folder", &config_dir, &error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config_dir).map_err(fail)?;
    let repository = open_or_make(ctx, &place, &mut made)?;
    ensure_kit(
        ctx,
        &repository,
        &config_dir.join(format!("{}-recovery-kit.txt", name_of(&place))),
        &mut made,
    )?;
    let mut defaults = settings.clone();
    if settings.file.is_none() {
        let file = config_dir.join(FILE_NAME);
        write_config(&file, &place, made.key_file.as_deref())?;
        defaults = Settings::load(Some(&file), &ctx.connector.env)?;
        made.config = Some(file);
        made.now.push("configuration");
    }
    let outcome = carry_out(plan_folder(ctx, &defaults, &folder)?, ctx, &place, &repository)?;
    if ctx.ui.json {
        ctx.ui.print_json(&QuickstartView {
            repository: RepositoryView::new(&repository),
            key_file: made.key_file,
            kit: made.kit,
            config: made.config,
            made: made.now,
            backup: outcome.view(ctx),
        })?;
        return Ok(outcome.exit());
    }
    let options = options_from_now_on(ctx, &settings, &place, &made, name_of(&place));
    ctx.ui.say(&tell(&place, &made, &outcome, &folder, &options))?;
    outcome.list_problems(ctx);
    Ok(outcome.exit())
}

/// Chooses the repository: `--repo`, else the configuration's, else one in the user's data
/// directory.
fn choose_place(
    ctx: &Context,
    settings: &Settings,
    config_dir: &Path,
) -> Result<RepositoryPlace, Failure> {
    let mut place = if ctx.global.repo.is_some() || settings.default_repository().is_some() {
        ctx.connector.place(settings, None)?
    } else {
        let data = ctx.connector.env.data_dir().ok_or_else(|| {
            Failure::usage("no folder for the repository is known").hint("set HOME, or give --repo")
        })?;
        RepositoryPlace {
            name: None,
            location: Location::Local(data.join("repository")),
            settings: None,
        }
    };
    if place.settings.is_none() {
        // The name depends only on the place, so that another run finds the same files.
        let name =
            if settings.file.is_none() { FIRST_NAME.to_owned() } else { name_for(&place.location) };
        let key_file = config_dir.join(format!("{name}.key"));
        let secret = Some(SecretSettings::KeyFile(key_file));
        place.settings = Some(RepositorySettings {
            url: place.shown(),
            secret,
            ..RepositorySettings::default()
        });
        place.name = Some(name);
    }
    Ok(place)
}

fn name_of(place: &RepositoryPlace) -> &str {
    place.name.as_deref().unwrap_or(FIRST_NAME)
}

/// Returns a name for a repository that is not configured: its directory's name and a few digits.
fn name_for(location: &Location) -> String {
    let (stem, whole) = match location {
        Location::Local(path) => (
            path.file_name().map(|name| name.to_string_lossy().into_owned()),
            path.as_os_str().to_owned(),
        ),
        Location::S3(bucket) => (
            bucket
                .prefix
                .rsplit('/')
                .find(|part| !part.is_empty())
                .or(Some(&bucket.name))
                .map(str::to_owned),
            location.to_string().into(),
        ),
        Location::Sftp(remote) => {
            (remote.path.rsplit('/').next().map(str::to_owned), location.to_string().into())
        }
    };
    let stem = stem.unwrap_or_default();
    let stem: String = stem.chars().filter(|c| c.is_alphanumeric() || *c == '-').take(40).collect();
    let digits = &blake3::hash(whole.as_bytes()).to_hex()[..4];
    format!(
        "{}-{digits}",
        if stem.is_empty() { "repository" } else { stem.trim_start_matches('-') }
    )
}

fn open_or_make(
    ctx: &Context,
    place: &RepositoryPlace,
    made: &mut Made,
) -> Result<Arc<Repository>, Failure> {
    let origin = ctx.connector.secret_source(place)?;
    if let SecretSource::KeyFile(path) = &origin {
        made.key_file = Some(path.clone());
    }
    let found = match place.local_dir().is_none_or(Path::is_dir) {
        true => checked_open::refuse_missing(
            &*ctx.connector.store(place, Purpose::Work)?,
            &ctx.connector.witness(place),
        ),
        false => Err(Error::NoRepository { location: place.shown(), is_known: false }),
    };
    if !matches!(found, Err(Error::NoRepository { .. })) {
        found?;
        if let Some(path) = made.key_file.as_ref().filter(|path| !path.exists()) {
            return Err(Failure::new(
                Exit::WrongSecret,
                format!(
                    "there is a repository at {}, but its key file {} is missing",
                    place.shown(),
                    text::path(path)
                ),
            )
            .hint(
                "give the key file or recovery kit that belongs to it: --key-file FILE; or \
                    another place for a new repository: --repo FOLDER",
            ));
        }
        return Ok(ctx.connector.open_place(place, Purpose::BackUp)?);
    }
    ctx.connector.refuse_used(place)?;
    let key = NewKey::for_repository(ctx, place, &origin, false)?;
    if key.made.is_some() {
        made.now.push("key file");
    }
    let repository = init::make(ctx, place, Profile::Standard, key)?;
    made.now.push("repository");
    Ok(repository)
}

/// Makes a recovery kit, unless the repository has one.
///
/// The kit may have been printed and deleted, so its key slot decides. The file is written first:
/// the next run completes an interrupted one from the words in the file.
fn ensure_kit(
    ctx: &Context,
    repository: &Repository,
    path: &Path,
    made: &mut Made,
) -> Result<(), Failure> {
    let has_kit = keys::list(repository)?
        .iter()
        .any(|slot| slot.info.as_ref().is_ok_and(|info| info.label == KIT_LABEL));
    let now = text::now();
    let own = repository.fingerprint();
    let is_own = |kit: &KeyFile| kit.fingerprints.iter().any(|known| own.starts_with(known));
    // A kit of another repository is never reused: its text describes that one.
    let places = [path.to_path_buf(), beside(path, repository)];
    let mut found = None;
    for place in places.iter().filter(|place| place.exists()) {
        match credentials::read_key_file(&ctx.ui, place) {
            Ok(kit) if is_own(&kit) => found = found.or(Some((place, kit.secret))),
            Err(failure) if !has_kit => return Err(failure.into()),
            _ => {}
        }
    }
    made.kit = found.as_ref().map(|(place, _)| place.to_path_buf());
    if has_kit {
        return Ok(());
    }
    let secret = match found {
        Some((_, secret)) => secret,
        None => {
            let secret = keyfile::new_secret()?;
            let repository_id = repository.config().repository.to_hex();
            let about = KitDetails {
                location: repository.location(),
                repository_id: &repository_id,
                fingerprint: own,
                host: &host::host_name(),
                made: now,
            };
            let place = places.iter().find(|place| !place.exists()).unwrap_or(&places[1]);
            keyfile::write_kit(place, &secret, &about)?;
            made.kit = Some(place.clone());
            secret
        }
    };
    keys::add(
        repository,
        &SlotInfo { label: KIT_LABEL.to_owned(), created: now },
        &Secret::KeyFile(secret),
        SlotKdf::KeyFile,
    )?;
    made.now.push("recovery kit");
    Ok(())
}

/// Returns an alternative name for the kit of a repository.
fn beside(path: &Path, repository: &Repository) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{}.txt", &repository.config().repository.to_hex()[..8]))
}

/// Writes the configuration file; an existing one is never touched.
fn write_config(
    file: &Path,
    place: &RepositoryPlace,
    key_file: Option<&Path>,
) -> Result<(), Failure> {
    let quote = |path: &Path| match path.to_str() {
        Some(text) => Ok(toml::Value::String(text.replace("${", "$${")).to_string()),
        None => Err(Failure::usage(format!(
            "{} is not UTF-8 and cannot be written into a configuration file",
            text::path(path)
        ))),
    };
    let mut text = format!(
        "# Written by `drumlin quickstart`; yours to change.\n\n[repository.{}]\nurl = {}\n",
        name_of(place),
        quote(place.local_dir().unwrap_or(Path::new(&place.shown())))?
    );
    if let Some(key_file) = key_file {
        text += &format!("key-file = {}\n", quote(key_file)?);
    }
    text += "\n[defaults]\n\
             # Folders that programs mark as caches (with a CACHEDIR.TAG) are left out. Without \
             this line they are backed up too.\n\
             exclude-caches = true\n";
    let fail = |error| Failure::file("create", file, &error);
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::Builder::new().prefix(".drumlin-").tempfile_in(folder).map_err(fail)?;
    new.write_all(text.as_bytes()).and_then(|()| new.as_file().sync_all()).map_err(fail)?;
    new.persist_noclobber(file).map_err(|error| fail(error.error))?;
    Ok(())
}
