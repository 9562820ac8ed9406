//! `drumlin init`: makes a repository.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::global::PROGRAM;
use super::keyfile::{self, KIT_LABEL, KitDetails};
use crate::chunker::{Cutting, chunk_lens};
use crate::connect::credentials::{self, KeyFile};
use crate::connect::host;
use crate::connect::{RepositoryPlace, SecretSource};
use crate::crypto::slot::Secret;
use crate::format::config::Profile;
use crate::format::slot::{SlotInfo, SlotKdf};
use crate::repo::open::keys;
use crate::repo::{InitOptions, NewIdentity, Repository};
use crate::settings::values::parse_profile;
use crate::text;

/// Make a repository
///
/// The password is asked for at the terminal unless --password-file, --password-command or
/// DRUMLIN_PASSWORD gives it. With --key-file, the repository opens with that file instead; it is
/// made if it does not exist.
#[derive(Args)]
pub(super) struct InitArgs {
    /// Chunk sizes of the repository: small, standard, large or fixed
    ///
    /// They cannot be changed later.
    #[arg(long, value_name = "PROFILE", default_value = "standard", value_parser = parse_profile)]
    profile: Profile,

    /// Also write a recovery kit to FILE
    ///
    /// 24 words that open the repository, with instructions for your heirs.
    #[arg(long, value_name = "FILE")]
    kit: Option<PathBuf>,

    /// Cost of guessing the password: standard (64 MiB) or strong (1 GiB)
    #[arg(
        long,
        value_name = "KDF",
        value_enum,
        default_value = "standard",
        hide_possible_values = true
    )]
    kdf: Kdf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kdf {
    Standard,
    Strong,
}

/// A repository in JSON.
#[derive(Serialize)]
pub(super) struct RepositoryView {
    location: String,
    id: String,
    fingerprint: String,
    profile: &'static str,
    created: Option<String>,
}

impl RepositoryView {
    /// Makes the view of an open repository.
    pub(super) fn new(repository: &Repository) -> Self {
        let config = repository.config();
        Self {
            location: repository.location().to_owned(),
            id: config.repository.to_hex(),
            fingerprint: crate::id::encode_hex(&repository.fingerprint()),
            profile: config.profile.name(),
            created: text::rfc3339(config.created),
        }
    }
}

#[derive(Serialize)]
struct InitView {
    repository: RepositoryView,
    key_file: Option<PathBuf>,
    kit: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: InitArgs) -> Result<Exit, Failure> {
    let settings = ctx.connector.settings()?;
    let place = ctx.connector.place(&settings, None)?;
    ctx.connector.refuse_used(&place)?;
    if let Some(kit) = args.kit.as_deref().filter(|kit| kit.symlink_metadata().is_ok()) {
        return Err(Failure::usage(format!("{} exists", text::path(kit)))
            .hint("existing files are never overwritten: choose another name"));
    }
    let folder =
        args.kit.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(Failure::usage(format!(
            "there is no folder {} for the recovery kit",
            text::path(folder)
        ))
        .hint("make it first"));
    }
    let origin = ctx.connector.secret_source(&place)?;
    if args.kdf == Kdf::Strong && matches!(origin, SecretSource::KeyFile(_)) {
        return Err(Failure::usage("--kdf is about passwords; a key file cannot be guessed")
            .hint("leave --kdf out"));
    }
    let key = NewKey::for_repository(ctx, &place, &origin, args.kdf == Kdf::Strong)?;
    let made_key_file = key.made.clone();
    let repository = make(ctx, &place, args.profile, key)?;
    if let Some(kit) = &args.kit {
        add_kit(&repository, kit)?;
    }
    if ctx.ui.json {
        let view = InitView {
            repository: RepositoryView::new(&repository),
            key_file: made_key_file,
            kit: args.kit,
        };
        ctx.ui.print_json(&view)?;
        return Ok(Exit::Done);
    }
    let mut lines = vec![format!("made a repository at {}", repository.location())];
    lines.extend(describe(&repository));
    lines.push(String::new());
    lines.extend(what_to_keep_safe(repository.location(), &origin, args.kit.as_deref()));
    lines.push(String::new());
    lines.push(format!(
        "next: drumlin --repo {} backup FOLDER",
        text::shell_word(repository.location())
    ));
    ctx.ui.say(&lines.join("\n"))?;
    Ok(Exit::Done)
}

/// Key of a repository that is about to be made.
pub(super) struct NewKey {
    identity: NewIdentity,
    secret: Secret,
    kdf: SlotKdf,
    label: &'static str,
    /// The key file, if it was made now.
    pub made: Option<PathBuf>,
}

impl NewKey {
    /// Reads the password, or reads or makes the key file.
    pub(super) fn for_repository(
        ctx: &Context,
        place: &RepositoryPlace,
        origin: &SecretSource,
        strong: bool,
    ) -> Result<Self, Failure> {
        let identity = NewIdentity::random()?;
        let SecretSource::KeyFile(path) = origin else {
            let password = origin.read_new_password(&ctx.ui, &ctx.connector.env)?;
            let secret = Secret::Passphrase(password);
            return Ok(Self {
                identity,
                secret,
                kdf: credentials::passphrase_kdf(strong),
                label: "password",
                made: None,
            });
        };
        let (secret, made) = match path.symlink_metadata() {
            Ok(_) => {
                let read = credentials::read_key_file(&ctx.ui, path)?;
                note_in_key_file(ctx, path, &read, &place.shown(), &identity.fingerprint());
                (read.secret, None)
            }
            Err(_) => {
                let secret = keyfile::new_secret()?;
                keyfile::write_key_file(
                    path,
                    &secret,
                    &place.shown(),
                    &identity.fingerprint(),
                    text::now(),
                )?;
                (secret, Some(path.clone()))
            }
        };
        Ok(Self {
            identity,
            secret: Secret::KeyFile(secret),
            kdf: SlotKdf::KeyFile,
            label: "key file",
            made,
        })
    }
}

/// Adds the repository to a key file of another repository: a machine that knows neither checks
/// this.
///
/// This happens before the repository is made, since a superfluous line is harmless.
fn note_in_key_file(
    ctx: &Context,
    path: &Path,
    read: &KeyFile,
    location: &str,
    fingerprint: &[u8; 32],
) {
    if read.fingerprints.is_empty() {
        return;
    }
    if let Err(error) = keyfile::add_repository(path, location, fingerprint) {
        let line = keyfile::fingerprint_line(fingerprint);
        ctx.ui.warn(&format!(
            "{} names another repository, and cannot be written ({error}): add the line `{line}`",
            text::path(path)
        ));
    }
}

/// Makes the repository after probing its store.
pub(super) fn make(
    ctx: &Context,
    place: &RepositoryPlace,
    profile: Profile,
    key: NewKey,
) -> Result<Arc<Repository>, Failure> {
    let options = InitOptions {
        profile,
        secret: key.secret,
        kdf: key.kdf,
        label: key.label.to_owned(),
        now: text::now(),
        program: PROGRAM.to_owned(),
        cache_dir: ctx.connector.cache_dir(place),
    };
    let created = ctx.connector.create(place, &options, key.identity)?;
    if !created.is_exclusive {
        ctx.ui.note(
            "this store replaces objects: backups are safe there, but only one prune may run at a \
                time, and has to be told so",
        );
    }
    Ok(created.repository)
}

/// Adds a key slot for a recovery kit and writes the kit.
///
/// The slot first: a kit that opens nothing would be worse than an unused slot.
pub(super) fn add_kit(repository: &Repository, path: &Path) -> Result<(), Failure> {
    let secret = keyfile::new_secret()?;
    let made = text::now();
    let slot = Secret::KeyFile(secret.clone());
    let id = keys::add(
        repository,
        &SlotInfo { label: KIT_LABEL.to_owned(), created: made },
        &slot,
        SlotKdf::KeyFile,
    )?;
    let (repository_id, fingerprint) =
        (repository.config().repository.to_hex(), repository.fingerprint());
    let about = KitDetails {
        location: repository.location(),
        repository_id: &repository_id,
        fingerprint,
        host: &host::host_name(),
        made,
    };
    keyfile::write_kit(path, &secret, &about).inspect_err(|_| {
        // Best effort: an unused slot is harmless.
        let _ = keys::remove(repository, &id.to_hex());
    })
}

/// Returns lines that describe the repository.
pub(super) fn describe(repository: &Repository) -> Vec<String> {
    let profile = repository.config().profile;
    let (least, average, most) = chunk_lens(Cutting::Profile(profile));
    let chunks = match profile {
        Profile::Fixed => format!("blocks of {}", text::size(average as u64)),
        _ => format!("chunks of {} to {}", text::size(least as u64), text::size(most as u64)),
    };
    vec![
        format!("  profile      {} ({chunks})", profile.name()),
        format!("  fingerprint  {}", fingerprint(repository)),
    ]
}

/// Returns the start of a repository's fingerprint, in groups.
pub(super) fn fingerprint(repository: &Repository) -> String {
    keyfile::grouped(&repository.fingerprint())
}

fn what_to_keep_safe(location: &str, origin: &SecretSource, kit: Option<&Path>) -> Vec<String> {
    let mut lines = vec!["keep safe, and not only on this machine:".to_owned()];
    match origin {
        SecretSource::KeyFile(path) => lines.push(format!(
            "  the key file {}: whoever has it can read the backups",
            text::path(path)
        )),
        _ => lines.push("  the password: nobody can tell it to you again".to_owned()),
    }
    match kit {
        Some(kit) => lines.push(format!(
            "  the recovery kit {}: print it, then keep it where you keep your will",
            text::path(kit)
        )),
        None => {
            lines.push(
                "  without it nothing can be read any more. A second way in, 24 words to print:"
                    .to_owned(),
            );
            lines.push(format!(
                "  drumlin --repo {} key add --output KIT.txt",
                text::shell_word(location)
            ));
        }
    }
    lines
}
