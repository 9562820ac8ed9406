//! `drumlin key split`: makes a new key, and a page for each of its shares.
//!
//! A page that opens nothing must not look like one that does, and a key without its pages is
//! useless. So the order is: pages under names that say `.unfinished`, durable; the key slot; the
//! final names. A death before the slot leaves unfinished pages and no key. A death after it leaves
//! a key and whole pages, of which some still have those names: `key list` shows the set's number.
//! What fails takes pages and slot back.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use zeroize::Zeroizing;

use super::files::NewPages;
use super::page::{Set, html_page, text_page, unescaped};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::keyfile::{grouped, new_secret};
use crate::connect::host;
use crate::crypto::kdf::Key;
use crate::crypto::shares::combine::combine;
use crate::crypto::shares::share::Share;
use crate::crypto::shares::split::{Scheme, split};
use crate::crypto::shares::text::shares_in;
use crate::crypto::slot::Secret;
use crate::format::slot::{SlotInfo, SlotKdf};
use crate::repo::Repository;
use crate::repo::open::keys;
use crate::text;

/// Longest name of a holder, in characters.
const NAME_LEN_MAX: usize = 60;

/// Make a new key in shares, of which some together open
///
/// Each share is a page for one holder. Any K of them open the repository; fewer open nothing.
#[derive(Args)]
pub(crate) struct SplitArgs {
    /// How many shares open, of how many: 2-of-3
    #[arg(value_name = "K-of-N", value_parser = parse_scheme)]
    scheme: Scheme,

    /// Folder for the pages, which is made if it does not exist
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Names of the holders, one for each share: Ada,Bo,Cy
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    names: Vec<String>,

    /// A name for the key, shown by `key list` before the set's number
    #[arg(long, value_name = "NAME")]
    label: Option<String>,

    /// Form of the pages: text, html or both
    #[arg(
        long,
        value_name = "FORM",
        value_enum,
        default_value = "both",
        hide_possible_values = true
    )]
    format: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Html,
    Both,
}

/// Parses `2-of-3`.
fn parse_scheme(typed: &str) -> Result<Scheme, String> {
    let numbers = typed
        .split_once("-of-")
        .and_then(|(needed, count)| Some((needed.parse().ok()?, count.parse().ok()?)));
    let Some((needed, count)) = numbers else {
        return Err("how many shares open, of how many, as in 2-of-3".to_owned());
    };
    Scheme::new(needed, count).map_err(|error| match needed {
        1 => format!("{error}: make {count} keys by `drumlin key add --output FILE`"),
        _ => error.to_string(),
    })
}

/// A page before it is written.
struct Page {
    name: String,
    text: Zeroizing<String>,
    share: u8,
}

/// Makes the key. The repository is open.
pub(crate) fn run(
    ctx: &Context,
    repository: &Repository,
    args: &SplitArgs,
) -> Result<Exit, Failure> {
    let names: Vec<String> = args.names.iter().map(|name| name.trim().to_owned()).collect();
    check_names(&names, args.scheme)?;
    let secret = new_secret()?;
    let shares = new_shares(&secret, args.scheme)?;
    let set_id = shares[0].set.id;
    let made = text::now();
    let set = Set {
        scheme: args.scheme,
        names: &names,
        location: repository.location(),
        repository_id: &repository.config().repository.to_hex(),
        fingerprint: &grouped(&repository.fingerprint()),
        host: &host::host_name(),
        made: &text::local_time(made),
    };
    let pages = pages(&set, &shares, args.format);
    check_pages(&pages, &shares, &secret, args.scheme)?;
    let written = write(&args.output, &pages)?;
    let (needed, count) = (args.scheme.threshold(), args.scheme.count());
    let what = format!("{needed} of {count} shares, set {set_id}");
    let label = match &args.label {
        Some(label) => format!("{label}: {what}"),
        None => what,
    };
    let info = SlotInfo { label, created: made };
    let id = keys::add(repository, &info, &Secret::KeyFile(secret), SlotKdf::KeyFile)?.to_hex();
    written.finish().map_err(|error| {
        let failure = cannot_write(&args.output, &error);
        match keys::remove(repository, &id) {
            Ok(_) => failure,
            Err(_) => failure.hint(format!("`drumlin key remove {}` removes its key", &id[..8])),
        }
    })?;
    report(ctx, args, &Made { names: &names, pages: &pages, set_id, id, label: info.label })
}

fn check_names(names: &[String], scheme: Scheme) -> Result<(), Failure> {
    let count = usize::from(scheme.count());
    if !names.is_empty() && names.len() != count {
        return Err(Failure::usage(format!(
            "--names has {}, and there are {count} shares",
            text::counted(names.len() as u64, "name")
        ))
        .hint("give one name for each share, with a comma after each but the last"));
    }
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() || name.chars().count() > NAME_LEN_MAX {
            return Err(Failure::usage(format!("name {} is empty or too long", at + 1))
                .hint(format!("a name has 1 to {NAME_LEN_MAX} characters")));
        }
        if names[..at].contains(name) {
            let shown = text::harmless(name);
            return Err(Failure::usage(format!("--names has `{shown}` twice"))
                .hint("two shares with one holder are not two holders; tell namesakes apart"));
        }
    }
    Ok(())
}

fn new_shares(secret: &Key, scheme: Scheme) -> Result<Vec<Share>, Failure> {
    let mut random = Zeroizing::new(Vec::with_capacity(scheme.random_blocks()));
    for _ in 0..scheme.random_blocks() {
        random.push(*new_secret()?);
    }
    let set = new_secret()?;
    Ok(split(secret, scheme, u16::from_le_bytes([set[0], set[1]]), &random))
}

/// Returns the pages in the order of their shares. Their names hold the set's number, so that sets
/// can be in one folder, and pages be told apart in another.
fn pages(set: &Set<'_>, shares: &[Share], format: Form) -> Vec<Page> {
    let mut pages = Vec::new();
    for share in shares {
        let number = share.index + 1;
        let name = format!("share-{}-{number}", share.set.id);
        if format != Form::Html {
            let text = text_page(set, share);
            pages.push(Page { name: format!("{name}.txt"), text, share: number });
        }
        if format != Form::Text {
            let text = html_page(set, share);
            pages.push(Page { name: format!("{name}.html"), text, share: number });
        }
    }
    pages
}

/// Reads all pages back and opens the secret with the first and with the last of them: a fault of
/// this program or of the memory must not be found when the pages are needed.
fn check_pages(
    pages: &[Page],
    shares: &[Share],
    secret: &Key,
    scheme: Scheme,
) -> Result<(), Failure> {
    let reads_back = |page: &Page| {
        let text = unescaped(&page.text);
        let read = shares_in(if page.name.ends_with(".html") { &text } else { &page.text });
        matches!(&read[..], [Ok(share)] if *share == shares[usize::from(page.share) - 1])
    };
    let needed = usize::from(scheme.threshold());
    let opens = |shares: &[Share]| combine(shares, b"").is_ok_and(|read| read[..] == secret[..]);
    let is_right = pages.iter().all(reads_back)
        && opens(&shares[..needed])
        && opens(&shares[shares.len() - needed..]);
    if is_right {
        return Ok(());
    }
    Err(Failure::new(Exit::Error, "the new shares do not open what was split; nothing was changed")
        .hint("test this machine's memory; if it is sound, this is a fault of Drumlin"))
}

/// Writes all pages under their unfinished names, durably.
fn write(folder: &Path, pages: &[Page]) -> Result<NewPages, Failure> {
    let mut written = NewPages::begin(folder)
        .map_err(|error| Failure::file("make the folder", folder, &error))?;
    for page in pages {
        written
            .write(&page.name, &page.text)
            .map_err(|error| cannot_write(&folder.join(&page.name), &error))?;
    }
    written.sync().map_err(|error| cannot_write(folder, &error))?;
    Ok(written)
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::file("write", path, error);
    if error.kind() == io::ErrorKind::AlreadyExists {
        failure.hint("existing files are never overwritten: choose another folder")
    } else {
        failure
    }
}

/// What was made.
struct Made<'a> {
    names: &'a [String],
    pages: &'a [Page],
    set_id: u16,
    id: String,
    label: String,
}

fn report(ctx: &Context, args: &SplitArgs, made: &Made<'_>) -> Result<Exit, Failure> {
    let (needed, count) = (args.scheme.threshold(), args.scheme.count());
    let files = |share: u8| {
        let pages = made.pages.iter().filter(move |page| page.share == share);
        pages.map(|page| args.output.join(&page.name)).collect::<Vec<PathBuf>>()
    };
    let holder = |share: u8| made.names.get(usize::from(share) - 1);
    if ctx.ui.json {
        let shares: Vec<serde_json::Value> = (1..=count)
            .map(|share| {
                serde_json::json!({
                    "share": share, "holder": holder(share), "files": files(share),
                })
            })
            .collect();
        ctx.ui.print_json(&serde_json::json!({
            "key": { "id": made.id, "action": "added", "file": null, "label": made.label },
            "set": made.set_id,
            "needed": needed,
            "shares": shares,
        }))?;
        return Ok(Exit::Done);
    }
    let mut lines = vec![format!(
        "added key {} in {count} shares, set {}; any {needed} of them open; their pages are in {}",
        &made.id[..8],
        made.set_id,
        text::path(&args.output)
    )];
    for share in 1..=count {
        let names = made.pages.iter().filter(|page| page.share == share);
        let names: Vec<&str> = names.map(|page| page.name.as_str()).collect();
        let holder =
            holder(share).map_or(String::new(), |name| format!(" {}", text::harmless(name)));
        lines.push(format!("  share {share}{holder}: {}", names.join(", ")));
    }
    lines.push(format!(
        "next: print each page for its holder, then delete the files: {needed} of them are the \
         whole key"
    ));
    ctx.ui.say(&lines.join("\n"))?;
    Ok(Exit::Done)
}
