//! Series, decisions and their reasons as people read them.

use crate::format::snapshot::Snapshot;
use crate::maintain::forget::{Group, GroupKey};
use crate::retention::{Decision, Doubt, Keep, Miss, Period, Policy, span_text};
use crate::ui::style::{Role, Style};
use crate::ui::table::{Align, Table};
use crate::ui::text;

/// Returns a series by what its snapshots have in common.
pub fn name_of(key: &GroupKey) -> String {
    let mut parts = Vec::new();
    parts.extend(key.host.as_deref().map(|host| text::printable(host.as_bytes())));
    parts.extend(key.app.as_deref().filter(|app| !app.is_empty()).map(|app| format!("app {}", text::printable(app.as_bytes()))));
    let paths = key.paths.iter().map(|paths| paths.iter().map(|path| text::printable(path)).collect::<Vec<_>>().join(" "));
    parts.extend(paths);
    let tags = key.tags.iter().filter(|tags| !tags.is_empty());
    parts.extend(tags.map(|tags| format!("tags {}", text::printable(tags.join(",").as_bytes()))));
    if parts.is_empty() { "all snapshots".to_owned() } else { parts.join(", ") }
}

/// Returns the lines about a group: all of its snapshots, or those that go.
pub fn table_of(group: &Group, with_kept: bool, style: Style) -> Vec<String> {
    let mut lines = vec![style.paint(Role::Strong, &name_of(&group.key))];
    if let Some(policy) = &group.policy {
        lines.push(format!("keeping {policy}"));
    }
    let mut table = Table::new(&[("id", Align::Left), ("time", Align::Left), ("", Align::Left), ("why", Align::Left)]);
    for (snapshot, decision) in group.snapshots.iter().zip(&group.decisions) {
        if with_kept || !decision.is_kept() {
            table.row(row_of(snapshot, decision, group.policy.as_ref()));
        }
    }
    lines.extend(table.lines());
    lines.push(String::new());
    lines
}

fn row_of(snapshot: &Snapshot, decision: &Decision, policy: Option<&Policy>) -> Vec<String> {
    let what = if decision.is_kept() { "stays" } else { "goes" };
    let why: Vec<String> = reasons_of(decision, policy).into_iter().map(|(_, text)| text).collect();
    vec![snapshot.id.short(), text::local_time(snapshot.started), what.to_owned(), why.join("; ")]
}

/// Returns the reasons of a decision: the rule's word, and a text. Of a snapshot that stays, what keeps it; else why no rule does.
pub fn reasons_of(decision: &Decision, policy: Option<&Policy>) -> Vec<(&'static str, String)> {
    if decision.is_kept() {
        let others = decision.keeps.len() > 1;
        // That it is the newest is worth a word only where nothing else keeps it.
        let worth = decision.keeps.iter().filter(|keep| !(others && matches!(keep, Keep::Newest)));
        return worth.map(|keep| keep_text(*keep, policy)).collect();
    }
    if policy.is_none() {
        return vec![("named", "it was named".to_owned())];
    }
    if decision.misses.is_empty() {
        return vec![("newest", "no rule keeps it".to_owned())];
    }
    decision.misses.iter().map(|miss| miss_text(*miss)).collect()
}

fn keep_text(keep: Keep, policy: Option<&Policy>) -> (&'static str, String) {
    match keep {
        Keep::Protected => ("protected", "protected".to_owned()),
        Keep::Doubt(Doubt::Ahead) => {
            ("dated-ahead", "its date is later than when it was stored: kept, and not counted".to_owned())
        }
        Keep::Doubt(Doubt::Behind) => {
            ("dated-behind", "its date is earlier than snapshots that were there before it: kept, and not counted".to_owned())
        }
        Keep::Unasked => ("unasked", "it was not named".to_owned()),
        Keep::Newest => ("newest", "the newest".to_owned()),
        Keep::Last(rank) => ("last", format!("last {rank}")),
        Keep::Period(period, rank) => (period.rule(), format!("{} {rank}", period.rule())),
        Keep::Within => ("within", format!("within {}", span_text(policy.and_then(|policy| policy.within_s).unwrap_or(0)))),
        Keep::Tag(at) => {
            let tag = policy.and_then(|policy| policy.tags.get(at)).map_or("", String::as_str);
            ("tag", format!("tag {}", text::printable(tag.as_bytes())))
        }
        Keep::Decay(0) => ("decay", "decay: too young to be thinned out".to_owned()),
        Keep::Decay(span_s) => ("decay", format!("decay: first of {}", span_text(span_s))),
    }
}

fn miss_text(miss: Miss) -> (&'static str, String) {
    let period_text = |period: Period, count: u32| match count {
        1 => format!("not of the last {}", period.noun()),
        _ => format!("not of the last {count} {}s", period.noun()),
    };
    match miss {
        Miss::Last(1) => ("last", "not the last".to_owned()),
        Miss::Last(count) => ("last", format!("not of the last {count}")),
        Miss::SamePeriod(period) => (period.rule(), format!("a newer one of the same {}", period.noun())),
        Miss::Period(period, count) => (period.rule(), period_text(period, count)),
        Miss::Within(span_s) => ("within", format!("more than {} older than the newest", span_text(span_s))),
        Miss::Tags => ("tag", "none of the tags".to_owned()),
        Miss::SameSpan(span_s) => ("decay", format!("decay: an older one of the same {}", span_text(span_s))),
        Miss::Horizon(span_s) => ("decay", format!("decay: older than {}", span_text(span_s))),
    }
}
