//! Which policy was applied to a series before: what this machine noted, or else what the tombstones say.

use super::forget::{ForgetPlan, Group, GroupBy, GroupKey};
use crate::repo::snapshots::Listing;
use crate::repo::{Repository, Result, state};
use crate::retention::guard::{Applied, Excess, History, excess};

/// Reasons of tombstones that no policy gave.
const NAMED: &str = "named";

/// Returns what speaks against a group's plan, by what is known of policies that were applied before.
pub fn excess_of(repository: &Repository, listing: &Listing, by: GroupBy, (group, now_s): (&Group, i64)) -> Option<Excess> {
    let history = history_of(repository, listing, by, group);
    excess(&group.items, &group.decisions, &history, now_s)
}

/// Returns what is known of a group's past.
pub fn history_of(repository: &Repository, listing: &Listing, by: GroupBy, group: &Group) -> History {
    let policy = group.policy.as_ref().map(ToString::to_string).unwrap_or_default();
    let of_group = |one: &&crate::repo::trash::Forgotten| {
        one.snapshot.as_ref().is_ok_and(|snapshot| GroupKey::of(snapshot, by) == group.key)
    };
    let forgotten: Vec<_> = listing.forgotten.iter().filter(of_group).collect();
    let by_policy = forgotten.iter().map(|one| &one.tombstone).filter(|tombstone| !tombstone.reason.starts_with(NAMED));
    let last_tombstone = by_policy
        .max_by_key(|tombstone| tombstone.forgotten)
        .map(|tombstone| Applied { at_s: tombstone.forgotten.seconds, is_same: tombstone.reason == policy });
    let last = noted(repository, &group.key).map(|(at_s, noted)| Applied { at_s, is_same: noted == policy });
    let forgotten_s = forgotten.iter().filter_map(|one| Some(one.snapshot.as_ref().ok()?.started.seconds)).collect();
    History { last: last.or(last_tombstone), forgotten_s }
}

/// Notes which policies were applied now. A note that is lost costs at most one question.
pub fn note_applied(repository: &Repository, plan: &ForgetPlan, now_s: i64) -> Result<()> {
    for group in plan.accepted() {
        if let Some(policy) = &group.policy {
            state::save(repository, &note_name(&group.key), format!("{now_s}\n{policy}").as_bytes())?;
        }
    }
    Ok(())
}

fn noted(repository: &Repository, key: &GroupKey) -> Option<(i64, String)> {
    let text = String::from_utf8(state::load(repository, &note_name(key))?).ok()?;
    let (at_s, policy) = text.split_once('\n')?;
    Some((at_s.parse().ok()?, policy.to_owned()))
}

/// Returns the name of the note about a series.
fn note_name(key: &GroupKey) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |kind: u8, bytes: &[u8]| {
        hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    key.host.iter().for_each(|host| part(0, host.as_bytes()));
    key.app.iter().for_each(|app| part(1, app.as_bytes()));
    key.paths.iter().flatten().for_each(|path| part(2, path));
    key.tags.iter().flatten().for_each(|tag| part(3, tag.as_bytes()));
    format!("retention {}", hasher.finalize().to_hex())
}
