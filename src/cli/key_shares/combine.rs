//! `drumlin key combine`: puts shares together into a key file.
//!
//! It needs no repository and no key. All that is wrong with any share is said at once: its holders
//! may live far apart.

use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use super::input::{self, About, Found};
use super::kit::kit_text;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::keyfile::write_new;
use crate::crypto::kdf::Key;
use crate::crypto::shares::combine::combine;
use crate::crypto::shares::share::Share;
use crate::text;

/// Put shares together into a key file
///
/// Each FILE is a page of `drumlin key split`, or holds the 33 words of a share or of several.
/// Neither a repository nor a password is needed.
#[derive(Args)]
pub(crate) struct CombineArgs {
    /// Pages or typed words [default: -, standard input]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Write the key file to FILE
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// A share that was read, and whence it came.
struct Member {
    origin: String,
    share: Share,
    about: About,
}

/// One set: shares that could belong together.
type Members = Vec<Member>;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Problem(String);

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &CombineArgs) -> Result<Exit, Failure> {
    let found = input::read(ctx, &args.files)?;
    let mut problems = Vec::new();
    let mut sets = by_set(found, &mut problems);
    let complete: Vec<usize> = (0..sets.len()).filter(|at| missing(&sets[*at]) == 0).collect();
    let [chosen] = complete[..] else {
        return Err(no_key(&sets, problems, complete.len()));
    };
    let members = sets.swap_remove(chosen);
    for other in &sets {
        let numbers = (set_id(other), set_id(&members));
        problems.push(Problem(format!(
            "{}: of another set ({}, not {}), not used",
            origins(other),
            numbers.0,
            numbers.1
        )));
    }
    problems.iter().for_each(|problem| ctx.ui.warn(&problem.0));
    let secret = secret_of(&members)?;
    let about = about(ctx, &members);
    let file = args.output.file_name().unwrap_or_default().to_string_lossy();
    let kit =
        kit_text(&secret, &about, &which(&members), &text::shell_word(&text::harmless(&file)));
    write_new(&args.output, &kit)?;
    report(ctx, args, &members, &about)
}

/// Sorts shares by their sets, and each set by its numbers; keeps one of each share.
fn by_set(found: Vec<Found>, problems: &mut Vec<Problem>) -> Vec<Members> {
    let mut sets: Vec<Members> = Vec::new();
    for Found { origin, share, about } in found {
        let share = match share {
            Ok(share) => share,
            Err(error) => {
                problems.push(Problem(format!("{origin}: {error}")));
                continue;
            }
        };
        let is_kin = |other: &Share| {
            (other.set, other.group, other.threshold, other.value.len())
                == (share.set, share.group, share.threshold, share.value.len())
        };
        let at = sets.iter().position(|set| is_kin(&set[0].share)).unwrap_or_else(|| {
            sets.push(Members::new());
            sets.len() - 1
        });
        match sets[at].iter().find(|other| other.share.index == share.index) {
            Some(same) if same.share == share => problems.push(Problem(format!(
                "{origin}: the same share as {}, counted once",
                same.origin
            ))),
            // With another value it is kept: that the two do not fit is said later.
            _ => sets[at].push(Member { origin, share, about }),
        }
    }
    sets.iter_mut().for_each(|set| set.sort_by_key(|member| member.share.index));
    sets
}

/// Returns how many shares a set lacks.
fn missing(set: &Members) -> u64 {
    u64::from(set[0].share.threshold).saturating_sub(set.len() as u64)
}

/// Returns why no set gives a key, or more than one.
fn no_key(sets: &[Members], mut problems: Vec<Problem>, complete: usize) -> Failure {
    for set in sets {
        let more = match missing(set) {
            0 => "complete".to_owned(),
            1 => "1 more of this set is needed".to_owned(),
            many => format!("{many} more of this set are needed"),
        };
        problems.push(Problem(format!("{} of set {}: {more}", which_shares(set), set_id(set))));
    }
    let (message, hint) = match (complete, sets.len()) {
        (0, 0 | 1) => (
            "the shares do not make a key yet",
            "give all shares at once; compare the words with the page",
        ),
        (0, _) => (
            "the shares do not make a key yet: they belong to sets of different days",
            "only shares with one set number open together; it is on their pages",
        ),
        _ => ("there are shares of more than one whole key", "give the shares of one set only"),
    };
    let failure = Failure::new(Exit::WrongSecret, message).hint(hint);
    problems.iter().fold(failure, |failure, problem| failure.caused_by(problem))
}

fn secret_of(members: &Members) -> Result<Key, Failure> {
    let shares: Vec<Share> = members.iter().map(|member| member.share.clone()).collect();
    let refused = |why: &str| {
        Failure::new(Exit::WrongSecret, format!("{} do not make a key", which(members)))
            .caused_by(&Problem(why.to_owned()))
            .hint(
                "if there are more shares than are needed, leave out one after the other; else \
                 look for a page of the same set that is not among them",
            )
    };
    let secret = combine(&shares, b"").map_err(|error| refused(&error.to_string()))?;
    match <[u8; 32]>::try_from(&secret[..]) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(_) => Err(refused(&format!(
            "they hold a secret of {} bytes, and a key has 32: another program made them",
            secret.len()
        ))),
    }
}

/// Returns what the pages say about the backup; warns if they do not agree.
fn about(ctx: &Context, members: &Members) -> About {
    let mut about = About::default();
    for member in members {
        let (facts, place) = (&member.about.facts, &member.about.place);
        for (known, read) in [(&mut about.facts, facts), (&mut about.place, place)] {
            if known.is_empty() {
                known.clone_from(read);
            } else if !read.is_empty() && known != read {
                ctx.ui.warn(&format!(
                    "{} says something else about the backup than the pages before it",
                    member.origin
                ));
            }
        }
    }
    about
}

fn report(
    ctx: &Context,
    args: &CombineArgs,
    members: &Members,
    about: &About,
) -> Result<Exit, Failure> {
    let location = about.location();
    if ctx.ui.json {
        let numbers: Vec<u8> = members.iter().map(|member| member.share.index + 1).collect();
        let fingerprint = about.fingerprint().map(|bytes| crate::id::encode_hex(&bytes));
        ctx.ui.print_json(&serde_json::json!({
            "kit": args.output,
            "set": set_id(members),
            "shares": numbers,
            "location": location,
            "fingerprint": fingerprint,
        }))?;
        return Ok(Exit::Done);
    }
    let place = match location {
        Some(location) => text::shell_word(&text::harmless(&location)),
        None => "FOLDER-or-URL".to_owned(),
    };
    let file = text::path(&args.output);
    ctx.ui.say(&format!(
        "{} make a key, written to {file}: anybody who has it can read the backup\n\
         next: drumlin --repo {place} --key-file {} snapshots",
        which(members),
        text::shell_word(&file),
    ))?;
    Ok(Exit::Done)
}

fn set_id(set: &Members) -> u16 {
    set[0].share.set.id
}

/// Returns `shares 1 and 3 of set 12345`.
fn which(set: &Members) -> String {
    let numbers: Vec<String> =
        set.iter().map(|member| (member.share.index + 1).to_string()).collect();
    match &numbers[..] {
        [one] => format!("share {one} of set {}", set_id(set)),
        [first @ .., last] => {
            format!("shares {} and {last} of set {}", first.join(", "), set_id(set))
        }
        [] => unreachable!("a set has a share"),
    }
}

/// Returns `share 1 (ada.txt)`, `shares 1 (ada.txt) and 2 (bo.txt)`.
fn which_shares(set: &Members) -> String {
    let noun = if set.len() == 1 { "share" } else { "shares" };
    let named = set.iter().map(|one| format!("{} ({})", one.share.index + 1, one.origin));
    format!("{noun} {}", named.collect::<Vec<_>>().join(" and "))
}

fn origins(set: &Members) -> String {
    set.iter().map(|member| member.origin.as_str()).collect::<Vec<_>>().join(" and ")
}
