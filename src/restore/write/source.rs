//! The restored part of a snapshot: everything, the content of one directory, or one file.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::context::RestoreContext;
use crate::format::entry::Content;
use crate::format::node::Totals;
use crate::format::snapshot::Snapshot;
use crate::repo::{DirEntry, Trees};
use crate::restore::error::{Error, Result};
use crate::restore::options::RestoreOptions;
use crate::restore::plan::select::{Selector, TargetScope};
use crate::restore::plan::walk::SnapshotWalk;

/// The part of a snapshot that is restored.
pub(crate) struct RestoreSource {
    /// Path of the directory whose content is restored into the target, without a trailing slash;
    /// empty for `/`.
    pub shown: Vec<u8>,
    /// The entry of that directory; `None` for `/`, whose metadata is not in snapshots, and for a
    /// single file.
    pub dir: Option<DirEntry>,
    kind: SourceKind,
    totals: Totals,
    select: Arc<Selector>,
}

enum SourceKind {
    Whole(crate::id::ChunkId),
    Single(Box<DirEntry>),
}

impl RestoreSource {
    /// Finds the path that the options name; fails with [`Error::NoSuchPath`] if the snapshot does
    /// not have it.
    pub(crate) fn find(
        trees: &Trees,
        snapshot: &Snapshot,
        options: &RestoreOptions,
    ) -> Result<Self> {
        let steps = options
            .path
            .as_deref()
            .unwrap_or_default()
            .split(|byte| *byte == b'/')
            .filter(|step| !step.is_empty());
        let steps: Vec<&[u8]> = steps.collect();
        let select = Arc::new(Selector::new(&options.includes, &options.excludes)?);
        if steps.is_empty() {
            let totals = snapshot.stats.totals;
            return Ok(Self {
                shown: Vec::new(),
                dir: None,
                kind: SourceKind::Whole(snapshot.root),
                totals,
                select,
            });
        }
        let path = [b"/", &steps.join(&b'/')[..]].concat();
        let missing = || Error::NoSuchPath { path: String::from_utf8_lossy(&path).into_owned() };
        let found = trees.lookup(&snapshot.root, &path)?.ok_or_else(missing)?;
        if let Content::Tree(tree) = found.entry.content {
            let totals = found.totals.unwrap_or_default();
            return Ok(Self {
                shown: path,
                dir: Some(found),
                kind: SourceKind::Whole(tree),
                totals,
                select,
            });
        }
        let totals = found.content_totals();
        let shown = path[..path.len() - found.entry.name.len() - 1].to_vec();
        Ok(Self { shown, dir: None, kind: SourceKind::Single(Box::new(found)), totals, select })
    }

    /// Returns a hash that identifies the snapshot and the part of it, so that a later run can
    /// continue.
    pub(crate) fn work(&self, snapshot: &Snapshot) -> String {
        let hash = blake3::hash(&[snapshot.id.to_hex().as_bytes(), &self.shown].concat());
        hash.to_hex()[..32].to_owned()
    }

    /// Returns the selection of paths in the target.
    pub(crate) fn scope(&self) -> TargetScope {
        TargetScope { select: self.select.clone(), shown: self.shown.clone() }
    }

    /// Starts a walk through it.
    pub(crate) fn walk(&self, context: &RestoreContext) -> Result<SnapshotWalk> {
        let select = self.select.clone();
        Ok(match &self.kind {
            SourceKind::Whole(tree) => SnapshotWalk::below(&context.trees, tree, select),
            SourceKind::Single(entry) => SnapshotWalk::single(entry.clone(), select),
        })
    }

    /// Reports patterns that matched nothing.
    pub(crate) fn report_unmatched(&self, context: &RestoreContext) {
        for (kind, pattern) in self.select.unmatched() {
            context.monitor.problem(kind, pattern.as_bytes(), "this pattern matched nothing");
        }
    }

    /// Sets the monitor's totals, if no patterns make them unknown.
    pub(crate) fn expect_totals(&self, context: &RestoreContext) {
        if context.options.includes.is_empty() && context.options.excludes.is_empty() {
            context.monitor.files_total.store(self.totals.files, Ordering::Relaxed);
            context.monitor.bytes_total.store(self.totals.bytes, Ordering::Relaxed);
        }
    }
}
