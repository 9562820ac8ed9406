//! Plans of the dumps of repositories.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dump::RangeDump;
use super::fingerprint::fingerprint;
use super::program::{version, youngest};
use super::ranges::{REVISION_MAX, file_name, range_len, ranges};
use super::repository::{Repository, repositories_in};
use super::values::{
    KnownRange, PlannedRange, PlannedRepository, RangeNotes, RepositoryFiles, SubversionPlan,
    SubversionSettings,
};
use crate::backup::DumpSource;
use crate::chunker::Cutting;
use crate::sources::escape::escape;
use crate::sources::failure::failed;
use crate::sources::manifest::{SharedRecord, SourceRecord};
use crate::sources::runner::Runner;

/// Folder of the snapshot.
const PLACE: &str = "/@app/subversion";
/// Folders of a repository that a dump lacks, and their names in the snapshot.
const FOLDERS: [(&str, &str); 3] = [("conf", "conf"), ("hooks", "hooks"), ("db/locks", "locks")];

/// Plans the dumps of an app's repositories: asks each for its youngest revision. Revisions that
/// are committed later are for the next backup.
///
/// Fails if a repository cannot be read, or a parent has none.
pub fn plan(settings: &SubversionSettings, runner: &Arc<dyn Runner>) -> io::Result<SubversionPlan> {
    let mut planner = Planner {
        settings,
        runner,
        client: String::new(),
        known: settings.known.iter().map(|known| (known.path.as_str(), known)).collect(),
        names: BTreeSet::new(),
        plan: SubversionPlan::default(),
    };
    for found in find(settings)? {
        let shown = crate::text::path(&found.path);
        let action = || format!("cannot plan the dump of {shown} ({})", found.place);
        planner.add(&found).map_err(failed(action))?;
    }
    Ok(planner.plan)
}

/// A repository, and the section and key that it comes from.
pub(super) struct Found {
    pub path: PathBuf,
    pub place: String,
}

/// Returns the repositories that the settings name, each once.
pub(super) fn find(settings: &SubversionSettings) -> io::Result<Vec<Found>> {
    let [single, parent] = ["subversion", "subversion-parent"]
        .map(|key| format!("[{}], key `{key}`", settings.section));
    let mut paths = Vec::new();
    for path in &settings.repositories {
        paths.push((beneath(&settings.root, path).map_err(at(&single))?, &single));
    }
    for path in &settings.parents {
        let path = beneath(&settings.root, path).map_err(at(&parent))?;
        let repositories = repositories_in(&path).map_err(at(&parent))?;
        paths.extend(repositories.into_iter().map(|path| (path, &parent)));
    }
    let mut seen = BTreeSet::new();
    paths.retain(|(path, _)| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    Ok(paths.into_iter().map(|(path, place)| Found { path, place: place.clone() }).collect())
}

fn at(place: &str) -> impl FnOnce(io::Error) -> io::Error {
    failed(move || format!("cannot find the repositories ({place})"))
}

/// Returns where an absolute path is, below `root`.
fn beneath(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let below = path.strip_prefix("/").map_err(|_| {
        let shown = crate::text::path(path);
        io::Error::other(format!("`{shown}` is not absolute: begin it with `/`"))
    })?;
    Ok(root.join(below))
}

struct Planner<'a> {
    settings: &'a SubversionSettings,
    runner: &'a Arc<dyn Runner>,
    /// Version of `svnadmin`; empty until it was asked.
    client: String,
    known: BTreeMap<&'a str, &'a KnownRange>,
    names: BTreeSet<String>,
    plan: SubversionPlan,
}

impl Planner<'_> {
    fn add(&mut self, found: &Found) -> io::Result<()> {
        let repository = Repository::look(&found.path)?;
        if self.client.is_empty() {
            self.client = version(self.runner.as_ref())?;
        }
        let youngest = youngest(self.runner.as_ref(), &found.path)?;
        if youngest > REVISION_MAX {
            return Err(io::Error::other(format!("it has more than {REVISION_MAX} revisions")));
        }
        if repository.kind != "fsfs" {
            let (path, kind) = (crate::text::path(&found.path), &repository.kind);
            self.plan.notices.push(format!(
                "{path} is a repository of the kind {}, not fsfs: all its revisions are dumped each \
                 time",
                crate::text::harmless(kind)
            ));
        }
        let name = self.name(&found.path)?;
        let place = format!("{PLACE}/{name}");
        let record = SharedRecord::new(SourceRecord {
            place: place.clone(),
            kind: "subversion".to_owned(),
            method: "ranges".to_owned(),
            name,
            client: self.client.clone(),
            ..SourceRecord::default()
        });
        let mut planned = PlannedRepository {
            ranges: Vec::new(),
            files: files(&found.path, &place),
            notes: RangeNotes { record, fingerprints: BTreeMap::new() },
        };
        let folders = FOLDERS.iter().map(|(from, _)| found.path.join(from));
        for folder in folders.filter(|folder| has_link(folder)) {
            let folder = crate::text::path(&folder);
            self.plan.notices.push(format!(
                "{folder} has links, which are not stored: add it to `paths` of [{}]",
                self.settings.section
            ));
        }
        let len = range_len(repository.shard_len, self.settings.range_len_min);
        for range in ranges(youngest, len) {
            let file = file_name(&range);
            let fingerprint = fingerprint(&repository, &range)?;
            let known = self.known.get(format!("{place}/{file}").as_str());
            let known = known.filter(|known| Some(&known.fingerprint) == fingerprint.as_ref());
            if let Some(known) = known {
                // Replaced by the dump, if the snapshot does not have it any more.
                planned.notes.record.update(|record| record.files.push(known.record.clone()));
            }
            planned.notes.fingerprints.extend(fingerprint.map(|print| (file.clone(), print)));
            let dump = RangeDump {
                repository: found.path.clone(),
                place: found.place.clone(),
                range,
                runner: Arc::clone(self.runner),
                record: planned.notes.record.clone(),
            };
            planned.ranges.push(PlannedRange {
                source: source(format!("{place}/{file}"), dump),
                is_unchanged: known.is_some(),
            });
        }
        self.plan.repositories.push(planned);
        Ok(())
    }

    /// Returns a name in the snapshot that no other repository has.
    fn name(&mut self, path: &Path) -> io::Result<String> {
        let name = path.file_name().and_then(|name| name.to_str());
        let message = "it has no name, or one that is not UTF-8: rename the folder";
        let name = escape(name.ok_or_else(|| io::Error::other(message))?);
        let others = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.clone()).chain(others);
        let free = names.find(|name| !self.names.contains(name)).expect("there are endless names");
        self.names.insert(free.clone());
        Ok(free)
    }
}

fn source(path: String, dump: RangeDump) -> DumpSource {
    DumpSource {
        path: path.into_bytes(),
        open: Box::new(|| Ok(Box::new(dump))),
        known: None,
        cutting: Some(Cutting::Rows),
        original: None,
        may_fail: false,
    }
}

/// Returns whether there is a file in a folder or below, or it cannot be known.
fn has_file(folder: &Path) -> bool {
    let is_there = |entry: io::Result<std::fs::DirEntry>| {
        let Ok(entry) = entry else { return true };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => has_file(&entry.path()),
            Ok(kind) => kind.is_file(),
            Err(_) => true,
        }
    };
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.any(is_there),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Returns whether a folder has links.
fn has_link(folder: &Path) -> bool {
    let is_link = |entry: std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_symlink());
    std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(is_link))
}

/// Returns the files of a repository that a dump lacks.
fn files(repository: &Path, place: &str) -> Vec<RepositoryFiles> {
    let folder = |(from, to): (&str, &str)| {
        let from = repository.join(from);
        let to = format!("{place}/{to}").into_bytes();
        // Locks that were released leave folders without any file.
        has_file(&from).then_some(RepositoryFiles { from, to })
    };
    FOLDERS.into_iter().filter_map(folder).collect()
}
