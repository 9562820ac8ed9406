//! `drumlin key`: manages passwords and keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::key_shares::combine::{self, CombineArgs};
use super::key_shares::split::{self, SplitArgs};
use super::keyfile;
use crate::connect::Purpose;
use crate::connect::credentials::passphrase_kdf;
use crate::connect::{SecretArgs, SecretSource};
use crate::crypto::slot::Secret;
use crate::format::slot::{SlotInfo, SlotKdf};
use crate::id::SlotId;
use crate::repo::open::keys::{self, SlotDescription};
use crate::repo::{self, Repository, checked_open};
use crate::text;
use crate::ui::table::{Align, TextTable};

/// Hint about unusable keys.
const DAMAGED_HINT: &str = "`drumlin key remove ID` removes a damaged or foreign key; whoever \
    used it can get a new one by `drumlin key add`";

/// List, add, remove and change keys and passwords
#[derive(Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Subcommand)]
enum KeyCommand {
    /// List the keys
    List,
    /// Add a password, or a new key file with --output
    Add(AddArgs),
    /// Remove a key
    ///
    /// An owner of the key who copied the master key can still read everything; only a new
    /// repository prevents that.
    Remove(RemoveArgs),
    /// Replace the password that opens the repository
    ChangePassword(PasswordArgs),
    Split(SplitArgs),
    Combine(CombineArgs),
}

/// Where a new password comes from.
#[derive(Args)]
struct PasswordArgs {
    /// File that holds the new password
    #[arg(long, value_name = "FILE", conflicts_with = "new_password_command")]
    new_password_file: Option<PathBuf>,

    /// Command that prints the new password
    #[arg(long, value_name = "COMMAND")]
    new_password_command: Option<String>,

    /// Make each guess of the password cost 1 GiB of memory, not 64 MiB
    #[arg(long)]
    strong: bool,
}

#[derive(Args)]
struct AddArgs {
    /// Write a new key file instead of adding a password
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["new_password_file", "new_password_command", "strong"],
    )]
    output: Option<PathBuf>,

    /// A name for the key, shown by `key list`
    #[arg(long, value_name = "NAME")]
    label: Option<String>,

    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Args)]
struct RemoveArgs {
    /// The key's id, or its first digits
    id: String,
}

#[derive(Serialize)]
struct KeyView {
    id: String,
    kind: Option<&'static str>,
    label: Option<String>,
    created: Option<String>,
    in_use: bool,
    error: Option<String>,
}

impl KeyView {
    fn new(slot: &SlotDescription) -> Self {
        let info = slot.info.as_ref();
        Self {
            id: slot.name.clone(),
            kind: slot.kdf.as_ref().map(kind_name),
            label: info.ok().map(|info| info.label.clone()),
            created: info.ok().and_then(|info| text::rfc3339(info.created)),
            in_use: slot.in_use,
            error: info.err().map(|error| Failure::of(Exit::Error, error).text()),
        }
    }
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: KeyArgs) -> Result<Exit, Failure> {
    let open = || -> Result<_, Failure> {
        let repository = ctx.connector.open(Purpose::Work)?;
        // These commands list no stored data, so this is the only check for a rollback.
        checked_open::check_rollback(&repository)?;
        Ok(repository)
    };
    match args.command {
        KeyCommand::List => list(ctx, &*open()?),
        KeyCommand::Add(args) => add(ctx, &*open()?, args),
        KeyCommand::Remove(args) => {
            let repository = open()?;
            refuse_in_use(&repository, &args.id)?;
            let name = keys::remove(&repository, &args.id)?;
            done(ctx, "removed", &name, None)
        }
        KeyCommand::ChangePassword(args) => change_password(ctx, &*open()?, &args),
        KeyCommand::Split(args) => split::run(ctx, &*open()?, &args),
        // Its user has neither a repository nor a key yet.
        KeyCommand::Combine(args) => combine::run(ctx, &args),
    }
}

/// Refuses to remove the key that opened the repository: a user without another one would be locked
/// out.
fn refuse_in_use(repository: &Repository, prefix: &str) -> Result<(), Failure> {
    let slots = keys::list(repository)?;
    let is_meant = |slot: &&SlotDescription| !prefix.is_empty() && slot.name.starts_with(prefix);
    let opening = |slot: &SlotDescription| slot.info.is_ok() || slot.in_use;
    // An ambiguous prefix and the last key fail later, with their own errors.
    match slots.iter().filter(is_meant).collect::<Vec<_>>()[..] {
        [slot]
            if slot.in_use
                && slots.iter().any(|other| other.name != slot.name && opening(other)) =>
        {
            let why =
                format!("key {} is the one that opened the repository now", short(&slot.name));
            Err(Failure::new(Exit::Error, why).hint(
                "open it with another password or key to remove this one; `key \
                    change-password` replaces it",
            ))
        }
        _ => Ok(()),
    }
}

fn list(ctx: &Context, repository: &Repository) -> Result<Exit, Failure> {
    let slots = keys::list(repository)?;
    let views: Vec<KeyView> = slots.iter().map(KeyView::new).collect();
    if ctx.ui.json {
        ctx.ui.print_json(&serde_json::json!({ "keys": views }))?;
        return Ok(Exit::Done);
    }
    let mut table = TextTable::new(&[
        ("id", Align::Left),
        ("kind", Align::Left),
        ("label", Align::Left),
        ("made", Align::Left),
        ("", Align::Left),
    ]);
    for (slot, view) in slots.iter().zip(views) {
        let made = slot.info.as_ref().map_or(String::new(), |info| text::local_time(info.created));
        let label = view.label.map_or_else(String::new, |label| text::printable(label.as_bytes()));
        let remark = match (view.error, slot.in_use) {
            (Some(error), _) => format!("damaged or foreign: {error}"),
            (None, true) => "in use now".to_owned(),
            (None, false) => String::new(),
        };
        let kind = view.kind.unwrap_or("?").to_owned();
        table.row(vec![short(&slot.name).to_owned(), kind, label, made, remark]);
    }
    ctx.ui.print(&table.lines().join("\n"))?;
    if slots.iter().any(|slot| slot.info.is_err()) {
        ctx.ui.warn(DAMAGED_HINT);
    }
    Ok(Exit::Done)
}

fn add(ctx: &Context, repository: &Repository, args: AddArgs) -> Result<Exit, Failure> {
    let now = text::now();
    let label = |default: &str| args.label.clone().unwrap_or_else(|| default.to_owned());
    if let Some(path) = &args.output {
        // The file first: a key without a file is useless.
        let secret = keyfile::new_secret()?;
        keyfile::write_key_file(
            path,
            &secret,
            repository.location(),
            &repository.fingerprint(),
            now,
        )?;
        let info = SlotInfo { label: label("key file"), created: now };
        let added = keys::add(repository, &info, &Secret::KeyFile(secret), SlotKdf::KeyFile);
        let id = added.inspect_err(|_| {
            let _ = std::fs::remove_file(path);
        })?;
        return done(ctx, "added", &id.to_hex(), Some(path.clone()));
    }
    let password =
        new_password_origin(&args.password).read_new_password(&ctx.ui, &ctx.connector.env)?;
    let info = SlotInfo { label: label("password"), created: now };
    let id = keys::add(
        repository,
        &info,
        &Secret::Passphrase(password),
        passphrase_kdf(args.password.strong),
    )?;
    done(ctx, "added", &id.to_hex(), None)
}

fn change_password(
    ctx: &Context,
    repository: &Repository,
    args: &PasswordArgs,
) -> Result<Exit, Failure> {
    let slots = keys::list(repository)?;
    let old = slots
        .iter()
        .find(|slot| slot.in_use)
        .ok_or(repo::Error::NotFound { what: "key", text: "in use".to_owned() })?;
    if old.kdf == Some(SlotKdf::KeyFile) {
        let why = "the repository was opened with a key file, which has no password";
        return Err(Failure::usage(why)
            .hint("open it with the password to change; `drumlin key add` adds a password"));
    }
    let password = new_password_origin(args).read_new_password(&ctx.ui, &ctx.connector.env)?;
    let label = old.info.as_ref().map_or_else(|_| "password".to_owned(), |info| info.label.clone());
    let info = SlotInfo { label, created: text::now() };
    let strong = args.strong || old.kdf == Some(passphrase_kdf(true));
    // The new slot first: dying between the two leaves one key too many instead of too few.
    let id = keys::add(repository, &info, &Secret::Passphrase(password), passphrase_kdf(strong))?;
    keys::remove(repository, &old.name)?;
    done(ctx, "changed", &id.to_hex(), None)
}

fn new_password_origin(args: &PasswordArgs) -> SecretSource {
    let named = SecretArgs {
        password_file: args.new_password_file.clone(),
        password_command: args.new_password_command.clone(),
        ..SecretArgs::default()
    };
    named.origin().unwrap_or(SecretSource::Prompt)
}

fn done(ctx: &Context, what: &str, name: &str, file: Option<PathBuf>) -> Result<Exit, Failure> {
    if ctx.ui.json {
        ctx.ui.print_json(
            &serde_json::json!({ "key": { "id": name, "action": what, "file": file } }),
        )?;
        return Ok(Exit::Done);
    }
    let text = match (what, file) {
        ("changed", _) => format!("the password is changed; its key is now {}", short(name)),
        (_, Some(file)) => format!("{what} key {}, written to {}", short(name), text::path(&file)),
        _ => format!("{what} key {}", short(name)),
    };
    ctx.ui.say(&text)?;
    Ok(Exit::Done)
}

fn kind_name(kdf: &SlotKdf) -> &'static str {
    match kdf {
        SlotKdf::Passphrase { .. } => "password",
        SlotKdf::KeyFile => "key-file",
    }
}

/// Returns a short id; a name that is no id is returned whole.
fn short(name: &str) -> &str {
    if SlotId::from_hex(name).is_some() { &name[..8] } else { name }
}
