//! Text output of series, decisions and reasons.

use crate::cli::exit::Exit;

use crate::cli::failure::Failure;
use crate::format::snapshot::Snapshot;
use crate::maintain::forget::{ForgetPlan, Group, GroupKey, Refusal};
use crate::retention::{Decision, Doubt, Keep, Miss, Period, Policy, span_text};
use crate::text;
use crate::ui::style::{Role, Style};
use crate::ui::table::{Align, TextTable};

/// Returns the name of a series: what its snapshots have in common.
pub(super) fn name_of(key: &GroupKey) -> String {
    let mut parts = Vec::new();
    parts.extend(key.host.as_deref().map(|host| text::printable(host.as_bytes())));
    parts.extend(
        key.app
            .as_deref()
            .filter(|app| !app.is_empty())
            .map(|app| format!("app {}", text::printable(app.as_bytes()))),
    );
    let paths = key
        .paths
        .iter()
        .map(|paths| paths.iter().map(|path| text::printable(path)).collect::<Vec<_>>().join(" "));
    parts.extend(paths);
    let tags = key.tags.iter().filter(|tags| !tags.is_empty());
    parts.extend(tags.map(|tags| format!("tags {}", text::printable(tags.join(",").as_bytes()))));
    if parts.is_empty() { "all snapshots".to_owned() } else { parts.join(", ") }
}

/// Returns the refusals of a plan, one text per group.
pub(super) fn refusals_of(plan: &ForgetPlan) -> Vec<String> {
    let unreadable = plan.unreadable.iter().filter(|_| plan.unreadable_refused);
    let unreadable = unreadable.map(|id| {
        format!("snapshot {} cannot be read, so nobody can tell what this would forget", id.short())
    });
    unreadable
        .chain(
            plan.groups
                .iter()
                .filter_map(|group| Some(refusal_text(group.refused.as_ref()?, group))),
        )
        .collect()
}

fn refusal_text(refusal: &Refusal, group: &Group) -> String {
    let name = name_of(&group.key);
    let counted = |of: usize| text::counted(of as u64, "snapshot");
    match refusal {
        Refusal::MoreThanHalf { going, of } => {
            format!("this would forget {going} of the {} of {name}", counted(*of))
        }
        Refusal::OtherPolicy { going, of } => {
            format!(
                "this would forget {going} of the {} of {name} that another policy kept so far",
                counted(*of)
            )
        }
        Refusal::Flood { going, of, came } => format!(
            "this would forget {going} of the {} of {name} that were kept so far, for {} that \
                came at once",
            counted(*of),
            text::count(*came as u64)
        ),
        Refusal::Newest => format!("this would forget the newest snapshot of {name}"),
    }
}

/// Returns the name of a refusal in JSON.
pub(super) fn refusal_name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::MoreThanHalf { .. } => "more-than-half",
        Refusal::OtherPolicy { .. } => "other-policy",
        Refusal::Flood { .. } => "flood",
        Refusal::Newest => "newest",
    }
}

/// Returns the failure about refused groups and protected snapshots, if any; the rest was done.
pub(super) fn failure_of(plan: &ForgetPlan, dry_run: bool) -> Option<Failure> {
    let protected: Vec<String> =
        plan.protected.iter().map(|id| format!("snapshot {} is protected", id.short())).collect();
    let refused = if dry_run { Vec::new() } else { refusals_of(plan) };
    let hint = match refused.is_empty() {
        true => "`drumlin forget --unprotect` ends the protection",
        false => "`--dry-run` shows what would go; `--force` forgets it anyway",
    };
    let texts = [refused, protected].concat();
    if texts.is_empty() {
        None
    } else {
        Some(Failure::new(Exit::Error, texts.join("; ")).hint(hint))
    }
}

/// Returns the lines about a group: with all of its snapshots, or only those that are forgotten.
pub(super) fn table_of(group: &Group, with_kept: bool, style: Style) -> Vec<String> {
    let mut lines = vec![style.paint(Role::Strong, &name_of(&group.key))];
    if let Some(policy) = &group.policy {
        lines.push(format!("keeping {policy}"));
    }
    let mut table = TextTable::new(&[
        ("id", Align::Left),
        ("time", Align::Left),
        ("", Align::Left),
        ("why", Align::Left),
    ]);
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

/// Returns the reasons of a decision, each as rule and text: the rules that keep the snapshot, else
/// why none does.
pub(super) fn reasons_of(
    decision: &Decision,
    policy: Option<&Policy>,
) -> Vec<(&'static str, String)> {
    if decision.is_kept() {
        let others = decision.keeps.len() > 1;
        // "The newest" is left out if another rule keeps it.
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
        Keep::Doubt(Doubt::Ahead) => (
            "dated-ahead",
            "its date is later than when it was stored: kept, and not counted".to_owned(),
        ),
        Keep::Doubt(Doubt::Behind) => (
            "dated-behind",
            "its date is earlier than snapshots that were there before it: kept, and not counted"
                .to_owned(),
        ),
        Keep::Unasked => ("unasked", "it was not named".to_owned()),
        Keep::Newest => ("newest", "the newest".to_owned()),
        Keep::Last(rank) => ("last", format!("last {rank}")),
        Keep::Period(period, rank) => (period.rule(), format!("{} {rank}", period.rule())),
        Keep::Within => (
            "within",
            format!("within {}", span_text(policy.and_then(|policy| policy.within_s).unwrap_or(0))),
        ),
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
        Miss::SamePeriod(period) => {
            (period.rule(), format!("a newer one of the same {}", period.noun()))
        }
        Miss::Period(period, count) => (period.rule(), period_text(period, count)),
        Miss::Within(span_s) => {
            ("within", format!("more than {} older than the newest", span_text(span_s)))
        }
        Miss::Tags => ("tag", "none of the tags".to_owned()),
        Miss::SameSpan(span_s) => {
            ("decay", format!("decay: an older one of the same {}", span_text(span_s)))
        }
        Miss::Horizon(span_s) => ("decay", format!("decay: older than {}", span_text(span_s))),
    }
}
