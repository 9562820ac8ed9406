//! `drumlin undelete`: brings forgotten snapshots back.

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use crate::connect::Purpose;
use crate::id::SnapshotId;
use crate::repo::open::probe;
use crate::repo::snapshots::trash::{self, TRASH_WINDOW_S};
use crate::repo::{Error, snapshots};
use crate::text;

/// Bring forgotten snapshots back, within 7 days
///
/// `drumlin snapshots --forgotten` lists them.
#[derive(Args)]
pub(super) struct UndeleteArgs {
    /// Ids of snapshots, or their first digits
    #[arg(value_name = "SNAP", required_unless_present = "all")]
    snaps: Vec<String>,

    /// Bring back all that can be brought back
    #[arg(long, conflicts_with = "snaps")]
    all: bool,
}

#[derive(Serialize)]
struct UndeleteView {
    undeleted: Vec<String>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &UndeleteArgs) -> Result<Exit, Failure> {
    let repository = ctx.connector.open(Purpose::Work)?;
    let listing = snapshots::listing_to_bring_back(&repository)?;
    let now = text::now();
    let mut ids: Vec<SnapshotId> =
        listing.forgotten.iter().map(|one| one.tombstone.snapshot).collect();
    // Invalid tombstones are removed in the same way.
    ids.extend(listing.faults.iter().map(|(id, _)| *id));
    let chosen = match args.all {
        true => {
            let clock = listing.clock(now);
            let is_guarded =
                |one: &trash::Forgotten| listing.protected.contains(&one.tombstone.snapshot);
            let can = |one: &&trash::Forgotten| {
                !one.has_expired(TRASH_WINDOW_S, clock) || is_guarded(one)
            };
            let waiting = listing.forgotten.iter().filter(can).map(|one| one.tombstone.snapshot);
            // Snapshots that this machine has brought back, and whose old tombstone reappeared.
            let replayed = listing
                .faults
                .iter()
                .filter(|(_, error)| matches!(error, Error::Unjustified { .. }))
                .map(|(id, _)| *id);
            waiting.chain(replayed).collect()
        }
        false => args
            .snaps
            .iter()
            .map(|text| choose(&ids, &listing, text))
            .collect::<Result<Vec<_>, Failure>>()?,
    };
    if !chosen.is_empty() {
        repository.confirm_key()?;
    }
    let (mut undeleted, mut failed) = (Vec::new(), None);
    for id in &chosen {
        match trash::undelete(&repository, id, TRASH_WINDOW_S, now, &|| {
            probe::is_exclusive(&repository)
        }) {
            Ok(()) => {
                undeleted.push(id.to_hex());
                ctx.ui.say(&format!("snapshot {} is back", id.short()))?;
            }
            // One that is gone does not prevent bringing the others back.
            Err(error @ (Error::Collected { .. } | Error::NotForgotten { .. })) => match &failed {
                None => failed = Some(Failure::from(error)),
                Some(_) => ctx.ui.warn(&Failure::from(error).text()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    if ctx.ui.json {
        ctx.ui.print_json(&UndeleteView { undeleted })?;
    } else if chosen.is_empty() {
        ctx.ui.say("nothing is in the trash")?;
    }
    failed.map_or(Ok(Exit::Done), Err)
}

/// Finds the only snapshot in the trash whose id begins with `text`.
fn choose(
    ids: &[SnapshotId],
    listing: &snapshots::Listing,
    text: &str,
) -> Result<SnapshotId, Failure> {
    let begins = |id: &&SnapshotId| !text.is_empty() && id.to_hex().starts_with(text);
    let mut fitting = ids.iter().filter(begins);
    match (fitting.next(), fitting.next()) {
        (Some(id), None) => Ok(*id),
        (Some(_), Some(_)) => {
            Err(Error::Ambiguous { what: "snapshot", text: text.to_owned() }.into())
        }
        _ => {
            if let Some((id, _)) = listing.snapshots.iter().find(|(id, _)| begins(&id)) {
                return Err(Error::NotForgotten { id: *id }.into());
            }
            if let Some(id) = listing.removed.keys().find(begins) {
                return Err(Error::Collected { id: *id }.into());
            }
            let failure =
                Failure::from(Error::NotFound { what: "snapshot", text: text.to_owned() });
            Err(failure.instead("`drumlin snapshots --forgotten` lists what is in the trash"))
        }
    }
}
