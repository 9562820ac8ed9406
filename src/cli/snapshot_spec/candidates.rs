//! The snapshots among which a name chooses, and the choice.

use std::collections::HashMap;
use std::sync::Arc;

use super::SnapshotSpec;
use super::latest::{
    Coverage, LatestMatch, MakeTrees, before_latest, coverage_of, latest_with, newest_for,
    sources_in,
};
use super::times::parse_time;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::repo::snapshots::chains;
use crate::repo::snapshots::{self, Listing};
use crate::repo::{Error, Repository};
use crate::text;
use crate::ui::Ui;

/// The snapshots among which a name chooses, oldest first.
pub(crate) struct Candidates {
    good: Vec<Snapshot>,
    /// Whether damaged snapshots are left out.
    lacks_any: bool,
    /// Time of each snapshot, as far as it is certain.
    moments: HashMap<SnapshotId, Timestamp>,
}

/// A parsed snapshot name.
enum SnapshotName<'a> {
    /// The newest, or this many before it.
    Latest(usize),
    /// The newest of an app up to a time.
    AppAt(&'a str, Timestamp),
    /// The start of an id.
    Id(&'a str),
}

impl Candidates {
    /// Lists the snapshots that `wanted` chooses from. Warns of future dates and of damaged
    /// snapshots; the exit code is that of damage if one of these may have been meant.
    pub(crate) fn of_repository(
        ui: &Ui,
        repository: &Arc<Repository>,
        wanted: &SnapshotSpec,
    ) -> Result<Self, Failure> {
        let listing = snapshots::overview(repository)?;
        let is_id = is_by_id(&wanted.snapshot);
        if !is_id {
            warn_of_list(ui, repository, &listing)?;
            refuse_hidden(repository, &listing, wanted)?;
        }
        let text = &wanted.snapshot;
        // A damaged snapshot does not hide the others, unless it may be the one that is meant.
        let is_meant = |id: &SnapshotId| id.to_hex().starts_with(text.as_str());
        let heads = repository.witness().heads_of(wanted.series_filter().host());
        let (mut good, mut lacks_any) = (Vec::with_capacity(listing.snapshots.len()), false);
        for (id, snapshot) in listing.snapshots {
            match snapshot {
                Ok(snapshot) => good.push(snapshot),
                Err(error) if is_meant(&id) => return Err(error.into()),
                // It may be the newest one: `latest` must not silently mean an older one.
                Err(error) => {
                    lacks_any = true;
                    let says = format!(
                        "snapshot {} is left out: {}",
                        id.short(),
                        Failure::from(error).text()
                    );
                    // Others may put garbage there. But this was the newest of its host, so an
                    // older one is chosen now.
                    if !is_id && heads.contains(&id) { ui.damage(&says) } else { ui.loss(&says) }
                }
            }
        }
        if good.is_empty() && !lacks_any {
            return Err(Failure::new(Exit::Error, "the repository holds no snapshot")
                .hint("`drumlin backup PATH` takes the first one"));
        }
        let candidates = Self { good, lacks_any, moments: listing.moments };
        match name_of(text) {
            Ok(SnapshotName::Id(_))
                if !candidates.good.iter().any(|snapshot| is_meant(&snapshot.id))
                    && is_in_trash(repository, text)? =>
            {
                Err(Failure::from(missing(text)).instead(IN_TRASH))
            }
            _ => Ok(candidates),
        }
    }

    /// Takes the readable snapshots of a listing, for several names.
    pub(crate) fn of_listing(listing: &Listing) -> Self {
        let good: Vec<_> = listing
            .snapshots
            .iter()
            .filter_map(|(_, snapshot)| snapshot.as_ref().ok().cloned())
            .collect();
        Self {
            lacks_any: good.len() < listing.snapshots.len(),
            good,
            moments: listing.moments.clone(),
        }
    }

    /// Finds the named snapshot, and prints which it is unless it was named by its id.
    ///
    /// If none matches and damaged ones are left out, the exit code is that of damage.
    pub(crate) fn choose(
        &self,
        ui: &Ui,
        wanted: &SnapshotSpec,
        trees: &MakeTrees<'_>,
    ) -> Result<Snapshot, Failure> {
        self.choose_good(ui, wanted, trees).map_err(|mut failure| {
            if failure.exit == Exit::Error && self.lacks_any && !is_by_id(&wanted.snapshot) {
                failure.exit = Exit::Damage;
            }
            failure
        })
    }

    fn choose_good(
        &self,
        ui: &Ui,
        wanted: &SnapshotSpec,
        trees: &MakeTrees<'_>,
    ) -> Result<Snapshot, Failure> {
        let series_filter = wanted.series_filter();
        let text = &wanted.snapshot;
        let among: Vec<&Snapshot> =
            self.good.iter().filter(|snapshot| series_filter.fits(snapshot)).collect();
        let nothing = || {
            let failure = Failure::new(
                Exit::Error,
                format!("no snapshot{} matches '{}'", series_filter.words(), shown(text)),
            );
            Err(failure.hint("`drumlin snapshots` lists them"))
        };
        match name_of(text)? {
            SnapshotName::Id(id) => match by_id(&among, id)? {
                Some(found) => Ok(found.clone()),
                None => nothing(),
            },
            SnapshotName::AppAt(app, time) => {
                let is_app = |one: &Snapshot| {
                    one.app == app || app.is_empty() && series_filter.app().is_some()
                };
                let is_by_then =
                    |one: &Snapshot| self.moments.get(&one.id).is_none_or(|moment| *moment <= time);
                let fitting: Vec<_> =
                    among.iter().copied().filter(|one| is_app(one) && is_by_then(one)).collect();
                match newest_for(&fitting, wanted.path_below_root()) {
                    Some(found) => Ok(self.say(ui, wanted, LatestMatch::first(found))),
                    None => nothing(),
                }
            }
            SnapshotName::Latest(back) => match wanted.path_below_root() {
                Some(path) if !among.is_empty() && back == 0 => {
                    Ok(self.say(ui, wanted, latest_with(&among, path, trees)?))
                }
                Some(path) if !among.is_empty() => {
                    Ok(self.say(ui, wanted, LatestMatch::first(before_latest(&among, path, back)?)))
                }
                _ => match among.len().checked_sub(back.saturating_add(1)) {
                    Some(at) => Ok(self.say(ui, wanted, LatestMatch::first(among[at]))),
                    None => nothing(),
                },
            },
        }
    }

    /// Prints which snapshot was chosen, if there was a choice, and what it lacks of the path.
    fn say(&self, ui: &Ui, wanted: &SnapshotSpec, found: LatestMatch<'_>) -> Snapshot {
        let path = wanted.path_below_root();
        let is_part = path.is_some_and(|path| coverage_of(found.snapshot, path) == Coverage::Part);
        let has_others = self.has_other_sources(wanted);
        // JSON output names the snapshot itself, but not what it lacks: a partial path is always
        // reported.
        if is_part {
            ui.loss(&words(wanted, found, is_part, has_others));
        } else if !ui.json && (found.newer > 0 || has_others || self.is_choice(wanted)) {
            ui.note(&words(wanted, found, is_part, has_others));
        }
        found.snapshot.clone()
    }

    /// Returns whether there was a choice: the name is not `latest`, or there are several hosts or
    /// apps, or dates out of order.
    fn is_choice(&self, wanted: &SnapshotSpec) -> bool {
        let series = |one: &Snapshot| (one.host.clone(), one.app.clone());
        let is_alone = self.good.windows(2).all(|pair| series(&pair[0]) == series(&pair[1]));
        let is_in_order = self.good.windows(2).all(|pair| pair[0].started <= pair[1].started);
        wanted.snapshot != "latest"
            || !wanted.series_filter().is_empty()
            || !is_alone
            || !is_in_order
    }

    /// Returns whether a whole snapshot is wanted, but the snapshots have different sources.
    fn has_other_sources(&self, wanted: &SnapshotSpec) -> bool {
        let mut fitting = self.good.iter().filter(|one| wanted.series_filter().fits(one));
        let first = fitting.next();
        wanted.path_below_root().is_none()
            && fitting.any(|one| first.is_some_and(|first| first.sources != one.sources))
    }
}

/// The hint about a snapshot in the trash.
const IN_TRASH: &str = "it is in the trash: `drumlin snapshots --forgotten` tells more, `drumlin \
    undelete` brings it back";

fn shown(text: &str) -> String {
    text::printable(text.as_bytes())
}

fn missing(text: &str) -> Error {
    Error::NotFound { what: "snapshot", text: text.to_owned() }
}

/// Returns whether a snapshot is named by its id.
pub(crate) fn is_by_id(text: &str) -> bool {
    matches!(name_of(text), Ok(SnapshotName::Id(_)))
}

fn name_of(text: &str) -> Result<SnapshotName<'_>, Failure> {
    if let Some((app, time)) = text.split_once('@') {
        let time = parse_time(time).ok_or_else(|| {
            Failure::usage(format!("`{time}` is not a date or time"))
                .hint("write 2026-03-01 or 2026-03-01T12:30")
        })?;
        return Ok(SnapshotName::AppAt(app, time));
    }
    let back = match text.strip_prefix("latest") {
        None => return Ok(SnapshotName::Id(text)),
        Some("") => 0,
        Some(rest) => rest
            .strip_prefix('~')
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| missing(text))?,
    };
    Ok(SnapshotName::Latest(back))
}

fn by_id<'a>(among: &[&'a Snapshot], text: &str) -> Result<Option<&'a Snapshot>, Failure> {
    let mut fitting =
        among.iter().filter(|snapshot| !text.is_empty() && snapshot.id.to_hex().starts_with(text));
    match (fitting.next(), fitting.next()) {
        (Some(_), Some(_)) => {
            Err(Error::Ambiguous { what: "snapshot", text: text.to_owned() }.into())
        }
        (found, _) => Ok(found.copied()),
    }
}

/// Returns the text about the chosen snapshot.
fn words(wanted: &SnapshotSpec, found: LatestMatch<'_>, is_part: bool, has_others: bool) -> String {
    let LatestMatch { snapshot, newer, newer_parts } = found;
    let app = if snapshot.app.is_empty() {
        String::new()
    } else {
        format!(", app {}", shown(&snapshot.app))
    };
    let is_latest = wanted.snapshot.starts_with("latest");
    let path = wanted.path_below_root();
    let looked = path
        .filter(|_| is_latest)
        .map(|path| format!(":{} is looked for in", text::printable(path)));
    let newer = match newer {
        0 => String::new(),
        1 => "; 1 newer snapshot does not hold it".to_owned(),
        count => format!("; {} newer snapshots do not hold it", text::count(count as u64)),
    };
    let parts = if newer_parts > 0 { ", or only a part of it" } else { "" };
    let sources = match path {
        Some(path) if is_part => format!(
            "; of {} it holds only {}",
            text::printable(path),
            paths(&sources_in(snapshot, path))
        ),
        None if has_others => {
            format!("; it holds {}, and not what others hold", paths(&sources_in(snapshot, b"/")))
        }
        _ => String::new(),
    };
    format!(
        "{}{} snapshot {} of {}{app}, {}{newer}{parts}{sources}",
        shown(&wanted.snapshot),
        looked.as_deref().unwrap_or(" is"),
        snapshot.id.short(),
        shown(&snapshot.host),
        text::local_time(snapshot.started)
    )
}

/// Returns a few paths for people, and how many more there are.
fn paths(all: &[&[u8]]) -> String {
    let (first, more) = all.split_at(all.len().min(PATHS_SHOWN));
    let mut shown: Vec<String> = first.iter().map(|path| text::printable(path)).collect();
    shown.extend((!more.is_empty()).then(|| format!("{} more", text::count(more.len() as u64))));
    shown.join(", ")
}

/// Number of sources that are listed.
const PATHS_SHOWN: usize = 3;

/// Warns of wrong dates and of snapshots that are provably missing.
pub(crate) fn warn_of_list(
    ui: &Ui,
    repository: &Repository,
    listing: &Listing,
) -> Result<(), Failure> {
    warn_of_dates(ui, listing);
    for after in chains::name_hidden(repository, listing)? {
        ui.loss(&format!(
            "the snapshot of {} before {} of {} is missing, and nobody forgot it: it is hidden or \
                lost; `drumlin check` tells more",
            shown(&after.host),
            after.id.short(),
            text::local_time(after.started)
        ));
    }
    Ok(())
}

/// Fails if a name may mean another snapshot than before, because one is provably missing.
fn refuse_hidden(
    repository: &Repository,
    listing: &Listing,
    wanted: &SnapshotSpec,
) -> Result<(), Failure> {
    if !matches!(name_of(&wanted.snapshot)?, SnapshotName::Latest(1..) | SnapshotName::AppAt(..)) {
        return Ok(());
    }
    let is_meant =
        |after: &&Snapshot| wanted.series_filter().host().is_none_or(|host| host == after.host);
    let hidden = chains::name_hidden(repository, listing)?.into_iter().find(is_meant);
    hidden.map_or(Ok(()), |after| Err(chains::hidden_before(repository, after).into()))
}

/// Warns of snapshots with dates in the future.
fn warn_of_dates(ui: &Ui, listing: &Listing) {
    let ahead = listing.dated_ahead(text::now());
    let Some(newest) = ahead.iter().max_by_key(|snapshot| snapshot.started) else {
        return;
    };
    let what = format!(
        "snapshot {} of {} is dated {}, after it was stored or later than now",
        newest.id.short(),
        shown(&newest.host),
        text::local_time(newest.started)
    );
    let more = match ahead.len() - 1 {
        0 => String::new(),
        more => format!(" (and {} more)", text::count(more as u64)),
    };
    ui.warn(&format!(
        "{what}{more}: the clock of that host was wrong; its place in the chain \
        counts, not the date"
    ));
}

/// Returns whether a text is the start of the id of a forgotten snapshot.
fn is_in_trash(repository: &Repository, text: &str) -> Result<bool, Failure> {
    let is_id = text.len() >= ID_LEN_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let forgotten = if is_id { snapshots::listing(repository)?.forgotten } else { Vec::new() };
    Ok(forgotten.iter().any(|one| one.tombstone.snapshot.to_hex().starts_with(text)))
}

/// How many digits make a text look like an id, when it is looked up in the trash.
const ID_LEN_MIN: usize = 4;
