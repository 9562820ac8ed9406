//! `drumlin forget --simulate`: effect of a policy on each series over time.

use jiff::tz::TimeZone;
use serde::Serialize;

use super::report::name_of;
use super::view::SeriesView;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::maintain::forget::ForgetPlan;
use crate::retention::simulate::{DayCount, Simulation, simulate};
use crate::retention::{Policy, span_text};
use crate::text;
use crate::ui::style::Role;
use crate::ui::table::{Align, TextTable};

const DAY_S: i64 = 86_400;
const MONTH_S: i64 = 2_629_800;
const YEAR_S: i64 = 31_557_600;
/// Times of the rows of the first table, within the simulated time.
const MARKS_S: [i64; 9] = [
    DAY_S,
    7 * DAY_S,
    MONTH_S,
    3 * MONTH_S,
    6 * MONTH_S,
    YEAR_S,
    2 * YEAR_S,
    5 * YEAR_S,
    10 * YEAR_S,
];
/// Age limits of the rows of the second table.
const AGES_S: [i64; 8] =
    [DAY_S, 7 * DAY_S, MONTH_S, 3 * MONTH_S, 6 * MONTH_S, YEAR_S, 2 * YEAR_S, 5 * YEAR_S];
/// Width of the picture.
const PICTURE_LEN: usize = 64;

#[derive(Serialize)]
struct OutlookView {
    simulations: Vec<SimulationView>,
}

#[derive(Serialize)]
struct SimulationView {
    #[serde(flatten)]
    key: SeriesView,
    policy: String,
    every_seconds: i64,
    assumed: bool,
    counts: Vec<CountView>,
    ages_seconds: Vec<i64>,
}

#[derive(Serialize)]
struct CountView {
    after_seconds: i64,
    kept: usize,
    oldest_seconds: i64,
}

/// Simulates the policy of each group for `span_s` seconds and prints what is left.
pub(super) fn show_outlook(ctx: &Context, plan: &ForgetPlan, span_s: i64) -> Result<Exit, Failure> {
    let zone = TimeZone::system();
    let policies = plan.groups.iter().filter_map(|group| Some((group, group.policy.as_ref()?)));
    let told: Vec<_> = policies
        .map(|(group, policy)| (group, policy, simulate(&group.items, policy, &zone, span_s)))
        .collect();
    if ctx.ui.json {
        let simulations = told
            .iter()
            .map(|(group, policy, told)| view_of(SeriesView::new(&group.key), policy, told))
            .collect();
        ctx.ui.print_json(&OutlookView { simulations })?;
        return Ok(Exit::Done);
    }
    if told.is_empty() {
        ctx.ui.say("no snapshots")?;
    }
    for (group, policy, told) in &told {
        let name = ctx.ui.out_style.paint(Role::Strong, &name_of(&group.key));
        ctx.ui.print(&[vec![name], lines_of(policy, told, span_s)].concat().join("\n"))?;
    }
    Ok(Exit::Done)
}

fn view_of(key: SeriesView, policy: &Policy, told: &Simulation) -> SimulationView {
    let count = |count: &DayCount| CountView {
        after_seconds: count.after_s,
        kept: count.kept,
        oldest_seconds: count.oldest_s,
    };
    SimulationView {
        key,
        policy: policy.to_string(),
        every_seconds: told.rhythm_s,
        assumed: !told.is_own_rhythm,
        counts: told.counts.iter().map(count).collect(),
        ages_seconds: told.left_s.clone(),
    }
}

fn lines_of(policy: &Policy, told: &Simulation, span_s: i64) -> Vec<String> {
    let assumed = if told.is_own_rhythm { "as so far" } else { "which is assumed" };
    let mut lines = vec![
        format!("keeping {policy}; a snapshot every {}, {assumed}", span_text(told.rhythm_s)),
        String::new(),
    ];
    lines.extend(over_time(told, span_s).lines());
    lines.extend([String::new(), format!("what is left after {}", span_text(span_s))]);
    lines.extend(by_age(told).lines());
    lines.extend([String::new(), picture(&told.left_s), String::new()]);
    lines
}

fn over_time(told: &Simulation, span_s: i64) -> TextTable {
    let mut table = TextTable::new(&[
        ("after", Align::Left),
        ("snapshots", Align::Right),
        ("oldest", Align::Right),
    ]);
    let mut row = |name: String, count: &DayCount| {
        table.row(vec![name, text::count(count.kept as u64), span_text(count.oldest_s)]);
    };
    if let Some(now) = told.counts.first() {
        row("now".to_owned(), now);
    }
    for mark_s in MARKS_S.into_iter().filter(|mark_s| *mark_s < span_s).chain([span_s]) {
        let reached = told.counts.iter().skip(1).rfind(|count| count.after_s <= mark_s);
        if let Some(count) = reached {
            row(span_text(mark_s), count);
        }
    }
    table
}

fn by_age(told: &Simulation) -> TextTable {
    let mut table = TextTable::new(&[
        ("age", Align::Left),
        ("snapshots", Align::Right),
        ("one in", Align::Right),
    ]);
    let mut from_s = 0;
    for to_s in AGES_S.into_iter().chain([i64::MAX]) {
        let within = told.left_s.iter().filter(|age_s| (from_s..to_s).contains(*age_s));
        let (number, oldest_s) =
            within.fold((0i64, from_s), |(number, oldest), age| (number + 1, oldest.max(*age)));
        let name = match (from_s, to_s) {
            (0, to_s) => format!("up to {}", span_text(to_s)),
            (from_s, i64::MAX) => format!("from {}", span_text(from_s)),
            (from_s, to_s) => format!("{} to {}", span_text(from_s), span_text(to_s)),
        };
        if number > 0 {
            let reach_s =
                if told.left_s.iter().any(|age_s| *age_s >= to_s) { to_s } else { oldest_s };
            let gap_s = ((reach_s - from_s) / number).max(told.rhythm_s);
            // A single snapshot has no gap.
            let gap = if number == 1 { String::new() } else { span_text(gap_s) };
            table.row(vec![name, text::count(number.unsigned_abs()), gap]);
        }
        from_s = to_s;
    }
    table
}

/// Returns a line with a stroke for each snapshot, the newest at the left, on a logarithmic scale
/// of ages.
fn picture(ages_s: &[i64]) -> String {
    let scale = |age_s: i64| (1.0 + age_s as f64 / DAY_S as f64).ln();
    let oldest_s = ages_s.last().copied().unwrap_or(0).max(DAY_S);
    let mut line = vec![b'.'; PICTURE_LEN];
    for age_s in ages_s {
        let column = (scale(*age_s) / scale(oldest_s) * (PICTURE_LEN - 1) as f64).round() as usize;
        line[column.min(PICTURE_LEN - 1)] = b'|';
    }
    format!("now {} {} ago", String::from_utf8_lossy(&line), span_text(oldest_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_thins_out() {
        assert_eq!(picture(&[]), format!("now {} 1 day ago", ".".repeat(PICTURE_LEN)));
        let line = picture(&[0, DAY_S, 10 * DAY_S, 100 * DAY_S, 2 * YEAR_S]);
        assert_eq!(line.matches('|').count(), 5);
        assert!(line.starts_with("now |") && line.ends_with("| 2 years ago"), "{line}");
    }
}
