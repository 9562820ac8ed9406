//! Which snapshot a name means, among those that there are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::failure::{Exit, Failure};
use super::snap::{SnapPath, parse_time};
use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::repo::snapshots::{self, Listing};
use crate::repo::{Error, Reader, Repository, Trees, chains};
use crate::ui::{Ui, text};

/// The snapshots that a name may mean, oldest first.
pub struct Candidates {
    good: Vec<Snapshot>,
    /// When each was taken, as far as that is sure.
    moments: HashMap<SnapshotId, Timestamp>,
}

/// What a name says.
enum Name<'a> {
    /// The newest, or so many before it.
    Latest(usize),
    /// The newest of an app that is not newer than a time.
    AppAt(&'a str, Timestamp),
    /// The start of an id.
    Id(&'a str),
}

/// What makes trees, if they are needed.
pub type MakeTrees<'a> = dyn Fn() -> Result<Trees, Failure> + 'a;

impl Candidates {
    /// Lists the snapshots that `wanted` chooses from; warns of those that are dated in the future, and names those that are damaged:
    /// the command ends with the exit code for damage where one of them may have been meant.
    pub fn of_repository(ui: &Ui, repository: &Arc<Repository>, wanted: &SnapPath) -> Result<Self, Failure> {
        let listing = snapshots::overview(repository)?;
        let is_id = is_by_id(&wanted.snapshot);
        if !is_id {
            warn_of_list(ui, repository, &listing);
            refuse_hidden(repository, &listing, wanted)?;
        }
        let text = &wanted.snapshot;
        // A damaged snapshot does not hide the others, unless it may be the one that is meant.
        let is_meant = |id: &SnapshotId| id.to_hex().starts_with(text.as_str());
        let heads = repository.witness().heads_of(wanted.narrow().host());
        let mut good = Vec::with_capacity(listing.snapshots.len());
        for (id, snapshot) in listing.snapshots {
            match snapshot {
                Ok(snapshot) => good.push(snapshot),
                Err(error) if is_meant(&id) => return Err(error.into()),
                // It may be the newest one: an older one must not be taken for `latest` in silence.
                Err(error) => {
                    let says = format!("snapshot {} is left out: {}", id.short(), Failure::from(error).text());
                    // Anybody may put garbage there; this was the newest of its host, so an older one is taken for it now.
                    if !is_id && heads.contains(&id) { ui.damage(&says) } else { ui.loss(&says) }
                }
            }
        }
        if good.is_empty() {
            return Err(
                Failure::new(Exit::Error, "the repository holds no snapshot").hint("`drumlin backup PATH` takes the first one")
            );
        }
        let candidates = Self { good, moments: listing.moments };
        match name_of(text) {
            Ok(Name::Id(_))
                if !candidates.good.iter().any(|snapshot| is_meant(&snapshot.id)) && is_in_trash(repository, text)? =>
            {
                Err(Failure::from(missing(text)).instead(IN_TRASH))
            }
            _ => Ok(candidates),
        }
    }

    /// Takes the good ones of a listing, for several names.
    pub fn of_listing(listing: &Listing) -> Self {
        let good = listing.snapshots.iter().filter_map(|(_, snapshot)| snapshot.as_ref().ok().cloned()).collect();
        Self { good, moments: listing.moments.clone() }
    }

    /// Finds the one that is meant, and says which it is unless it was named by its id.
    pub fn choose(&self, ui: &Ui, wanted: &SnapPath, trees: &MakeTrees<'_>) -> Result<Snapshot, Failure> {
        let narrow = wanted.narrow();
        let text = &wanted.snapshot;
        let among: Vec<&Snapshot> = self.good.iter().filter(|snapshot| narrow.fits(snapshot)).collect();
        let nothing = || {
            let failure = Failure::new(Exit::Error, format!("no snapshot{} matches '{}'", narrow.words(), shown(text)));
            Err(failure.hint("`drumlin snapshots` lists them"))
        };
        match name_of(text)? {
            Name::Id(id) => match by_id(&among, id)? {
                Some(found) => Ok(found.clone()),
                None => nothing(),
            },
            Name::AppAt(app, time) => {
                let is_app = |one: &Snapshot| one.app == app || app.is_empty() && narrow.app().is_some();
                let fits = |one: &&&Snapshot| is_app(one) && self.moments.get(&one.id).is_none_or(|moment| *moment <= time);
                match among.iter().rev().find(fits) {
                    Some(found) => Ok(self.say(ui, wanted, found, 0)),
                    None => nothing(),
                }
            }
            Name::Latest(back) => match wanted.path_below_root() {
                Some(path) if !among.is_empty() && back == 0 => {
                    let (found, newer) = latest_with(&among, path, trees)?;
                    Ok(self.say(ui, wanted, found, newer))
                }
                Some(path) if !among.is_empty() => Ok(self.say(ui, wanted, before_latest(&among, (path, back))?, 0)),
                _ => match among.len().checked_sub(back.saturating_add(1)) {
                    Some(at) => Ok(self.say(ui, wanted, among[at], 0)),
                    None => nothing(),
                },
            },
        }
    }

    /// Says which snapshot was chosen, where there was a choice.
    fn say(&self, ui: &Ui, wanted: &SnapPath, found: &Snapshot, newer: usize) -> Snapshot {
        // A document names the snapshot itself.
        if !ui.json && (newer > 0 || self.is_choice(wanted)) {
            say(ui, wanted, found, newer);
        }
        found.clone()
    }

    /// Returns whether a name can mean anything but the last snapshot, by date too, of the only host and app that there is.
    fn is_choice(&self, wanted: &SnapPath) -> bool {
        let series = |one: &Snapshot| (one.host.clone(), one.app.clone());
        let is_alone = self.good.windows(2).all(|pair| series(&pair[0]) == series(&pair[1]));
        let is_in_order = self.good.windows(2).all(|pair| pair[0].started <= pair[1].started);
        wanted.snapshot != "latest" || !wanted.narrow().is_empty() || !is_alone || !is_in_order
    }
}

/// The hint about a snapshot in the trash.
const IN_TRASH: &str = "it is in the trash: `drumlin snapshots --forgotten` tells more, `drumlin undelete` brings it back";

fn shown(text: &str) -> String {
    text::printable(text.as_bytes())
}

fn missing(text: &str) -> Error {
    Error::NotFound { what: "snapshot", text: text.to_owned() }
}

/// Returns whether a snapshot is named by its id.
pub fn is_by_id(text: &str) -> bool {
    matches!(name_of(text), Ok(Name::Id(_)))
}

fn name_of(text: &str) -> Result<Name<'_>, Failure> {
    if let Some((app, time)) = text.split_once('@') {
        let time = parse_time(time).ok_or_else(|| {
            Failure::usage(format!("`{time}` is not a date or time")).hint("write 2026-03-01 or 2026-03-01T12:30")
        })?;
        return Ok(Name::AppAt(app, time));
    }
    let back = match text.strip_prefix("latest") {
        None => return Ok(Name::Id(text)),
        Some("") => 0,
        Some(rest) => rest.strip_prefix('~').and_then(|number| number.parse().ok()).ok_or_else(|| missing(text))?,
    };
    Ok(Name::Latest(back))
}

fn by_id<'a>(among: &[&'a Snapshot], text: &str) -> Result<Option<&'a Snapshot>, Failure> {
    let mut fitting = among.iter().filter(|snapshot| !text.is_empty() && snapshot.id.to_hex().starts_with(text));
    match (fitting.next(), fitting.next()) {
        (Some(_), Some(_)) => Err(Error::Ambiguous { what: "snapshot", text: text.to_owned() }.into()),
        (found, _) => Ok(found.copied()),
    }
}

/// Finds the newest snapshot that holds a path; returns how many newer ones do not hold it.
///
/// Of each host and app only those snapshots count whose sources are those of its last one about the path: what is not backed up any more,
/// because the sources are others now, is not the latest of anything.
fn latest_with<'a>(among: &[&'a Snapshot], path: &[u8], trees: &MakeTrees<'_>) -> Result<(&'a Snapshot, usize), Failure> {
    if let [one] = among {
        // Whoever asked finds out by itself whether it is there.
        return Ok((one, 0));
    }
    let trees = trees()?;
    let (mut newer, mut last) = (0, None);
    let (mut sources, mut others) = (HashMap::new(), 0_u64);
    let about: HashSet<SnapshotId> = about(among, path).iter().map(|one| one.id).collect();
    for snapshot in among.iter().rev() {
        let is_about = about.contains(&snapshot.id);
        let is_of_others =
            is_about && *sources.entry((&snapshot.host, &snapshot.app)).or_insert(&snapshot.sources) != &snapshot.sources;
        if !is_about || is_of_others {
            (newer, others) = (newer + 1, others + u64::from(is_of_others));
            continue;
        }
        // Neighbours often have one tree.
        if last == Some(snapshot.root) {
            newer += 1;
            continue;
        }
        sync_with(trees.reader(), snapshot)?;
        match trees.lookup(&snapshot.root, path) {
            Ok(None) => newer += 1,
            Ok(Some(_)) => return Ok((snapshot, newer)),
            // Nobody can tell. An older one must not be taken for it in silence, so whoever reads it finds the damage.
            Err(error) if error.is_damage() => return Ok((snapshot, newer)),
            Err(error) => return Err(error.into()),
        }
        last = Some(snapshot.root);
    }
    let path = text::printable(path);
    if others > 0 {
        let others = text::counted(others, "older snapshot");
        let why = format!(
            "there is no '{path}' in the snapshots of the sources that are backed up now; {others} of other sources may have it"
        );
        return Err(Failure::new(Exit::Error, why).hint(format!("`drumlin history {}` looks in all", text::shell_word(&path))));
    }
    let all = text::counted(among.len() as u64, "snapshot");
    Err(Failure::new(Exit::Error, format!("there is no '{path}' in any of {all}")).hint(PATHS))
}

/// Finds the snapshot that is so many before the newest, among those whose sources are the path, hold it or lie in it: others say
/// nothing about it.
fn before_latest<'a>(among: &[&'a Snapshot], (path, back): (&[u8], usize)) -> Result<&'a Snapshot, Failure> {
    let about = about(among, path);
    about.len().checked_sub(back.saturating_add(1)).map(|at| about[at]).ok_or_else(|| {
        let (all, about) = (text::counted(among.len() as u64, "snapshot"), text::count(about.len() as u64));
        let why = format!("only {about} of {all} are about '{}'", text::printable(path));
        Failure::new(Exit::Error, why).hint(PATHS)
    })
}

/// Returns the snapshots whose sources are the path, hold it or lie in it.
fn about<'a>(among: &[&'a Snapshot], path: &[u8]) -> Vec<&'a Snapshot> {
    let parts = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let wanted = parts(path);
    let is_about = |source: &Vec<u8>| {
        let source = parts(source);
        source.starts_with(&wanted) || wanted.starts_with(&source)
    };
    among.iter().copied().filter(|one| one.sources.iter().any(is_about)).collect()
}

/// The hint about paths that are nowhere.
const PATHS: &str = "paths are stored absolute; `drumlin find NAME` looks for a name in all folders";

/// Says which snapshot was chosen.
fn say(ui: &Ui, wanted: &SnapPath, found: &Snapshot, newer: usize) {
    let app = if found.app.is_empty() { String::new() } else { format!(", app {}", shown(&found.app)) };
    let is_latest = wanted.snapshot.starts_with("latest");
    let path = wanted.path_below_root().filter(|_| is_latest).map(|path| format!(":{} is looked for in", text::printable(path)));
    let newer = match newer {
        0 => String::new(),
        1 => "; 1 newer snapshot does not hold it".to_owned(),
        count => format!("; {} newer snapshots do not hold it", text::count(count as u64)),
    };
    ui.note(&format!(
        "{}{} snapshot {} of {}{app}, {}{newer}",
        shown(&wanted.snapshot),
        path.as_deref().unwrap_or(" is"),
        found.id.short(),
        shown(&found.host),
        text::local_time(found.started)
    ));
}

/// Warns of what is wrong with a list: dates that cannot be right, and snapshots that are proven to be missing.
pub fn warn_of_list(ui: &Ui, repository: &Repository, listing: &Listing) {
    warn_of_dates(ui, listing);
    for after in chains::name_hidden(repository, listing) {
        ui.loss(&format!(
            "the snapshot of {} before {} of {} is missing, and nobody forgot it: something hides it, or it is lost; \
             `drumlin check` tells more",
            shown(&after.host),
            after.id.short(),
            text::local_time(after.started)
        ));
    }
}

/// Fails if a name may mean another snapshot than it did, because one is proven to be missing.
fn refuse_hidden(repository: &Repository, listing: &Listing, wanted: &SnapPath) -> Result<(), Failure> {
    if !matches!(name_of(&wanted.snapshot)?, Name::Latest(1..) | Name::AppAt(..)) {
        return Ok(());
    }
    let is_meant = |after: &&Snapshot| wanted.narrow().host().is_none_or(|host| host == after.host);
    let hidden = chains::name_hidden(repository, listing).into_iter().find(is_meant);
    hidden.map_or(Ok(()), |after| Err(chains::hidden_before(repository, after).into()))
}

/// Warns of snapshots whose dates cannot be right, because nobody has seen that day yet.
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
    ui.warn(&format!("{what}{more}: the clock of that host was wrong; its place in the chain counts, not the date"));
}

/// Makes sure that a reader finds a snapshot: the index may have been listed before the snapshot was made.
pub fn sync_with(reader: &Reader, snapshot: &Snapshot) -> Result<(), Failure> {
    if reader.locate(&snapshot.root)?.is_none() {
        reader.sync()?;
    }
    Ok(())
}

/// Returns whether a text is the start of the id of a forgotten snapshot.
fn is_in_trash(repository: &Repository, text: &str) -> Result<bool, Failure> {
    let is_id = text.len() >= ID_LEN_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let forgotten = if is_id { snapshots::listing(repository)?.forgotten } else { Vec::new() };
    Ok(forgotten.iter().any(|one| one.tombstone.snapshot.to_hex().starts_with(text)))
}

/// How many digits make a text look like an id, when it is looked up in the trash.
const ID_LEN_MIN: usize = 4;
