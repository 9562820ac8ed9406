//! The JSON of `drumlin forget`. Every field is described in `docs/json.md`.

use serde::Serialize;

use super::report::{reasons_of, refusal_name};
use crate::cli::json_views::{RequestsView, exact, lossy};
use crate::format::entry::Timestamp;
use crate::id::SnapshotId;
use crate::maintain::forget::{ForgetPlan, Group, GroupKey};
use crate::text;

/// Key of a series.
#[derive(Serialize)]
pub(super) struct SeriesView {
    host: Option<String>,
    app: Option<String>,
    paths: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths_hex: Vec<Option<String>>,
    tags: Option<Vec<String>>,
}

impl SeriesView {
    /// Makes the view of a group's key.
    pub(super) fn new(key: &GroupKey) -> Self {
        let hex: Vec<Option<String>> = key.paths.iter().flatten().map(|path| exact(path)).collect();
        Self {
            host: key.host.clone(),
            app: key.app.clone(),
            paths: key.paths.as_ref().map(|paths| paths.iter().map(|path| lossy(path)).collect()),
            paths_hex: if hex.iter().any(Option::is_some) { hex } else { Vec::new() },
            tags: key.tags.clone(),
        }
    }
}

/// Result or plan.
#[derive(Serialize)]
pub(super) struct ForgetView {
    dry_run: bool,
    groups: Vec<GroupView>,
    unreadable: Vec<String>,
    protected: Vec<String>,
    forgotten: Vec<String>,
    until: Option<String>,
    requests: RequestsView,
}

#[derive(Serialize)]
struct GroupView {
    #[serde(flatten)]
    key: SeriesView,
    policy: Option<String>,
    kept: usize,
    going: usize,
    refused: Option<&'static str>,
    decisions: Vec<DecisionView>,
}

#[derive(Serialize)]
struct DecisionView {
    id: String,
    started: Option<String>,
    keep: bool,
    reasons: Vec<ReasonView>,
}

#[derive(Serialize)]
struct ReasonView {
    rule: &'static str,
    text: String,
}

impl ForgetView {
    /// Makes the view of a plan and its result.
    pub(super) fn new(
        plan: &ForgetPlan,
        dry_run: bool,
        forgotten: &[SnapshotId],
        until: Timestamp,
        requests: RequestsView,
    ) -> Self {
        Self {
            dry_run,
            groups: plan.groups.iter().map(view_of).collect(),
            unreadable: plan.unreadable.iter().map(SnapshotId::to_hex).collect(),
            protected: plan.protected.iter().map(SnapshotId::to_hex).collect(),
            forgotten: forgotten.iter().map(SnapshotId::to_hex).collect(),
            until: text::rfc3339(until).filter(|_| !dry_run),
            requests,
        }
    }
}

fn view_of(group: &Group) -> GroupView {
    let decisions = group.snapshots.iter().zip(&group.decisions).map(|(snapshot, decision)| {
        let reasons = reasons_of(decision, group.policy.as_ref())
            .into_iter()
            .map(|(rule, text)| ReasonView { rule, text });
        DecisionView {
            id: snapshot.id.to_hex(),
            started: text::rfc3339(snapshot.started),
            keep: decision.is_kept(),
            reasons: reasons.collect(),
        }
    });
    let going = group.going().count();
    GroupView {
        key: SeriesView::new(&group.key),
        policy: group.policy.as_ref().map(ToString::to_string),
        kept: group.snapshots.len() - going,
        going,
        refused: group.refused.as_ref().map(refusal_name),
        decisions: decisions.collect(),
    }
}
