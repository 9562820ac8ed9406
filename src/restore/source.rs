//! What is restored: everything, the content of one folder, or one file.

use std::sync::atomic::Ordering;

use super::context::Context;
use super::error::{Error, Result};
use super::options::RestoreOptions;
use super::select::Select;
use super::walk::Walk;
use crate::format::entry::Content;
use crate::format::node::Totals;
use crate::format::snapshot::Snapshot;
use crate::repo::{DirEntry, Trees};

/// The part of a snapshot that is restored.
pub struct Source {
    /// Path of the folder whose content goes into the target, without a trailing slash; empty for `/`.
    pub shown: Vec<u8>,
    /// The folder itself; `None` for `/`, of which snapshots know nothing, and for a single file.
    pub folder: Option<DirEntry>,
    kind: Kind,
    totals: Totals,
}

enum Kind {
    Whole(crate::id::ChunkId),
    Single(Box<DirEntry>),
}

impl Source {
    /// Finds what the options ask for; fails with [`Error::NoSuchPath`] if the snapshot does not have it.
    pub fn find(trees: &Trees, snapshot: &Snapshot, options: &RestoreOptions) -> Result<Self> {
        let steps = options.path.as_deref().unwrap_or_default().split(|byte| *byte == b'/').filter(|step| !step.is_empty());
        let steps: Vec<&[u8]> = steps.collect();
        if steps.is_empty() {
            let totals = snapshot.stats.totals;
            return Ok(Self { shown: Vec::new(), folder: None, kind: Kind::Whole(snapshot.root), totals });
        }
        let path = [b"/", &steps.join(&b'/')[..]].concat();
        let missing = || Error::NoSuchPath { path: String::from_utf8_lossy(&path).into_owned() };
        let found = trees.lookup(&snapshot.root, &path)?.ok_or_else(missing)?;
        if let Content::Tree(tree) = found.entry.content {
            let totals = found.totals.unwrap_or_default();
            return Ok(Self { shown: path, folder: Some(found), kind: Kind::Whole(tree), totals });
        }
        let totals = found.content_totals();
        let shown = path[..path.len() - found.entry.name.len() - 1].to_vec();
        Ok(Self { shown, folder: None, kind: Kind::Single(Box::new(found)), totals })
    }

    /// Starts a walk through it.
    pub fn walk(&self, context: &Context) -> Result<Walk> {
        let select = Select::new(&context.options.includes, &context.options.excludes)?;
        Ok(match &self.kind {
            Kind::Whole(tree) => Walk::below(&context.trees, tree, select),
            Kind::Single(entry) => Walk::single(&context.trees, entry.clone(), select),
        })
    }

    /// Tells the monitor how much there is to do, if that is known.
    pub fn expect_totals(&self, context: &Context) {
        if context.options.includes.is_empty() && context.options.excludes.is_empty() {
            context.monitor.files_total.store(self.totals.files, Ordering::Relaxed);
            context.monitor.bytes_total.store(self.totals.bytes, Ordering::Relaxed);
        }
    }
}
