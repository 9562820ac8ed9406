//! `drumlin prune`: removes data that no snapshot needs.

use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::json_views::RequestsView;
use super::repository_notes;
use super::slot::SlotArgs;
use crate::connect::Purpose;
use crate::format::entry::Timestamp;
use crate::maintain::prune::{self, Exclusion, PruneOptions, PruneReport};
use crate::repo::gc::object_locks::LockReport;
use crate::repo::gc::reserve;
use crate::repo::open::probe;
use crate::settings::values::parse_size;
use crate::text;

/// Limits of lock extensions, because a compliance lock cannot be undone.
const DAY_S: i64 = 24 * 3600;
const MANY_DAYS_S: i64 = 36_500 * DAY_S;

/// Remove data that no snapshot needs
///
/// It is safe while backups and other prunes run.
#[derive(Args)]
pub(super) struct PruneArgs {
    /// Show what would be done; change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// How long forgotten snapshots stay, in this run: 7d, 12h, 0d
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = parse_window)]
    trash: i64,

    /// Unused space to tolerate in packs, in percent of used space
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = parse_percent)]
    max_unused: u32,

    /// Rewrite at most this much to reclaim space in used packs
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_repack: Option<u64>,

    /// Do not rewrite file content younger than this: 90d
    ///
    /// For storage classes that bill a minimum duration.
    #[arg(long, value_name = "SPAN", default_value = "0d", value_parser = parse_window)]
    min_age: i64,

    /// Extend object locks of needed data to this long from now: 30d
    ///
    /// Locks are never shortened. It needs a bucket with object lock.
    #[arg(long, value_name = "SPAN", value_parser = parse_lock)]
    extend_locks: Option<i64>,

    /// Confirm that no other prune runs, here or elsewhere
    ///
    /// Needed where the store replaces objects instead of refusing to.
    #[arg(long)]
    only_collector: bool,

    /// Use less memory, at some cost of speed
    #[arg(long)]
    low_memory: bool,

    #[command(flatten)]
    pub slot: SlotArgs,
}

#[derive(Serialize)]
struct PruneView {
    dry_run: bool,
    removed_packs: u64,
    removed_bytes: u64,
    stored_bytes: u64,
    freed_bytes: u64,
    dropped: Vec<String>,
    waiting: Vec<WaitingView>,
    protected: Vec<String>,
    spared_packs: u64,
    running_sessions: u64,
    index_runs: u64,
    outrun: bool,
    locked_packs: u64,
    locked_until: Option<String>,
    locks: Option<LocksView>,
    plan: PrunePlanView,
    seconds: f64,
    requests: RequestsView,
}

#[derive(Serialize)]
struct LocksView {
    until: Option<String>,
    objects: u64,
    bytes: u64,
    extended: u64,
    extended_bytes: u64,
}

#[derive(Serialize)]
struct WaitingView {
    snapshot: String,
    until: Option<String>,
}

#[derive(Serialize)]
struct PrunePlanView {
    dropped: Vec<String>,
    dead_packs: u64,
    dead_bytes: u64,
    repack_packs: u64,
    repack_bytes: u64,
    repack_unused_bytes: u64,
    merged_runs: u64,
    left_unused_bytes: u64,
    young_bytes: u64,
}

/// Parses a span of days, hours, minutes or seconds, and returns seconds.
fn parse_window(text: &str) -> Result<i64, String> {
    let refuse = || format!("`{text}` is not a span such as 7d, 12h or 0d");
    let (at, unit) = text.char_indices().next_back().ok_or_else(refuse)?;
    let seconds: i64 = match unit {
        'w' => 7 * 24 * 3600,
        'd' => 24 * 3600,
        'h' => 3600,
        'm' => 60,
        's' => 1,
        _ => return Err(refuse()),
    };
    let number: u32 = text[..at].parse().map_err(|_| refuse())?;
    Ok(i64::from(number) * seconds)
}

/// Parses a span of 1 to 36500 days, and returns seconds.
fn parse_lock(text: &str) -> Result<i64, String> {
    let span_s = parse_window(text)?;
    match span_s {
        DAY_S..=MANY_DAYS_S => Ok(span_s),
        _ => Err(format!("`{text}` is not a span from 1d to 36500d")),
    }
}

/// Parses a share in percent, and returns it in 1/1000.
fn parse_percent(text: &str) -> Result<u32, String> {
    let refuse = || format!("`{text}` is not a percentage such as 5 or 2.5%");
    let percent: f64 = text.strip_suffix('%').unwrap_or(text).parse().map_err(|_| refuse())?;
    if (0.0..=100.0).contains(&percent) {
        Ok((percent * 10.0).round() as u32)
    } else {
        Err(refuse())
    }
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &PruneArgs) -> Result<Exit, Failure> {
    let began = Instant::now();
    let settings = ctx.connector.settings()?;
    let place = ctx.connector.place(&settings, None)?;
    let repository = ctx.connector.open_place(&place, Purpose::Work)?;
    // A dry run creates nothing, so it does not probe either.
    let exclusion = match args.dry_run {
        true => Exclusion::Store,
        false => exclusion_by(
            reserve::with_room(&repository, || probe::is_exclusive(&repository))?,
            args.only_collector,
        )?,
    };
    if exclusion == Exclusion::User {
        ctx.ui.note(
            "this store replaces objects: data of interrupted backups stays, since they may still \
                be running",
        );
    }
    let options = PruneOptions {
        exclusion,
        trash_window_s: args.trash,
        max_unused_permille: args.max_unused,
        max_repack_bytes: args.max_repack.unwrap_or(u64::MAX),
        min_age_s: args.min_age,
        lock_span_s: args.extend_locks,
        dry_run: args.dry_run,
        threads: ctx.global.threads(),
        low_memory: args.low_memory,
        ..PruneOptions::new(text::now())
    };
    let (report, _) = ctx.run("pruning", |monitor| prune::run(&repository, &options, monitor))?;
    if !args.dry_run {
        repository_notes::note(ctx, &settings, &place, |notes| {
            notes.last_prune_s = Some(text::now().seconds);
        });
    }
    if ctx.ui.json {
        ctx.ui.print_json(&view(ctx, &report, args.dry_run, began.elapsed().as_secs_f64()))?;
    } else if args.dry_run {
        ctx.ui.print(&planned(&report).join("\n"))?;
    } else {
        ctx.ui.say(&done(&report, began).join("\n"))?;
        if report.outrun {
            ctx.ui.note(
                "stopped: other prunes of this repository were at work each time; \
                they remove what is left",
            );
        }
    }
    Ok(Exit::Done)
}

/// Returns who excludes concurrent prunes; if the store cannot, the user must confirm it.
fn exclusion_by(is_exclusive: bool, only_collector: bool) -> Result<Exclusion, Failure> {
    match (is_exclusive, only_collector) {
        (true, _) => Ok(Exclusion::Store),
        (false, true) => Ok(Exclusion::User),
        (false, false) => {
            let failure = Failure::new(
                Exit::Error,
                "this store replaces objects, so two prunes would not notice each other",
            );
            Err(failure.hint(
                "make sure that no other prune runs or was killed just now, then repeat this with \
                    --only-collector",
            ))
        }
    }
}

fn view(ctx: &Context, report: &PruneReport, dry_run: bool, seconds: f64) -> PruneView {
    let ids = |ids: &[crate::id::SnapshotId]| ids.iter().map(|id| id.to_hex()).collect();
    let waiting = report.waiting.iter();
    let plan = &report.remaining;
    PruneView {
        dry_run,
        removed_packs: report.removed_packs,
        removed_bytes: report.removed_bytes,
        stored_bytes: report.stored_bytes,
        freed_bytes: report.freed_bytes(),
        dropped: ids(&report.dropped),
        waiting: waiting
            .map(|(id, until)| WaitingView { snapshot: id.to_hex(), until: text::rfc3339(*until) })
            .collect(),
        protected: ids(&report.guarded),
        spared_packs: report.spared_packs,
        running_sessions: report.running_sessions,
        index_runs: report.index_runs,
        outrun: report.outrun,
        locked_packs: report.locked_packs,
        locked_until: report.locked_until_s.and_then(|until_s| text::rfc3339(at(until_s))),
        locks: report.locks.map(|locks| LocksView {
            until: text::rfc3339(at(locks.until_s)),
            objects: locks.objects,
            bytes: locks.bytes,
            extended: locks.extended,
            extended_bytes: locks.extended_bytes,
        }),
        plan: PrunePlanView {
            dropped: ids(&plan.dropped),
            dead_packs: plan.dead.len() as u64,
            dead_bytes: plan.dead_bytes,
            repack_packs: plan.repack.len() as u64,
            repack_bytes: plan.repack_bytes,
            repack_unused_bytes: plan.repack_unused_bytes,
            merged_runs: plan.merges as u64,
            left_unused_bytes: plan.left_unused_bytes,
            young_bytes: plan.young_bytes,
        },
        seconds,
        requests: ctx.requests_view(),
    }
}

/// Returns the lines of a dry run.
fn planned(report: &PruneReport) -> Vec<String> {
    let plan = &report.remaining;
    let mut lines = vec![
        "would remove".to_owned(),
        format!(
            "  snapshots  {}, forgotten long enough ago",
            text::count(plan.dropped.len() as u64)
        ),
        format!(
            "  unneeded   {}, {}",
            text::counted(plan.dead.len() as u64, "pack"),
            text::size(plan.dead_bytes)
        ),
        format!(
            "  rewritten  {}, {} with about {} that nothing needs",
            text::counted(plan.repack.len() as u64, "pack"),
            text::size(plan.repack_bytes),
            text::size(plan.repack_unused_bytes)
        ),
    ];
    lines.extend(later(report));
    lines.extend(report.locks.map(|locks| locked(&locks, "to extend")));
    lines
}

/// Returns a moment in whole seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

/// Returns the line about object locks.
fn locked(locks: &LockReport, what: &str) -> String {
    format!(
        "  locks      {} needed, {}, until {}; {} {what}",
        text::counted(locks.objects, "object"),
        text::size(locks.bytes),
        text::local_time(at(locks.until_s)),
        text::count(locks.extended)
    )
}

/// Returns the lines about what was done.
fn done(report: &PruneReport, began: Instant) -> Vec<String> {
    let freed = report.freed_bytes();
    let mut lines = vec![
        if report.removed_packs == 0 {
            "nothing to free".to_owned()
        } else {
            format!("freed {}", text::size(freed))
        },
        format!(
            "  removed    {}, {}; rewritten {}",
            text::counted(report.removed_packs, "pack"),
            text::size(report.removed_bytes),
            text::size(report.stored_bytes)
        ),
        format!("  snapshots  {} dropped for good", text::count(report.dropped.len() as u64)),
    ];
    if let Some(until_s) = report.locked_until_s {
        let packs = text::counted(report.locked_packs, "pack");
        lines.push(format!(
            "  locked     {packs} of these; the room is free when their locks end, by {}",
            text::local_time(at(until_s))
        ));
    }
    lines.extend(later(report));
    lines.extend(report.locks.map(|locks| locked(&locks, "extended")));
    lines.push(format!("  time       {}", text::duration(began.elapsed())));
    lines
}

/// Returns the lines about what stays for now, and until when.
fn later(report: &PruneReport) -> Vec<String> {
    let plan = &report.remaining;
    let mut lines = Vec::new();
    if let Some(until) = report.waiting.iter().map(|(_, until)| *until).min() {
        let count = text::counted(report.waiting.len() as u64, "snapshot");
        lines.push(format!(
            "  trash      {count} can be brought back; the first goes after {}",
            text::local_time(until)
        ));
    }
    if let Some(first) = report.guarded.first() {
        let count = text::counted(report.guarded.len() as u64, "snapshot");
        lines.push(format!(
            "  protected  {count} in the trash stay until they are not protected any more, such \
                as {}",
            first.short()
        ));
    }
    if plan.left_unused_bytes > 0 {
        lines.push(format!(
            "  left       about {} between things that are needed",
            text::size(plan.left_unused_bytes)
        ));
    }
    if plan.young_bytes > 0 {
        let bytes = text::size(plan.young_bytes);
        lines.push(format!("  young      {bytes} that a running backup may need, for a day"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_store_cannot_exclude_others_the_user_must() {
        assert_eq!(exclusion_by(true, false).ok(), Some(Exclusion::Store));
        assert_eq!(exclusion_by(true, true).ok(), Some(Exclusion::Store));
        assert_eq!(exclusion_by(false, true).ok(), Some(Exclusion::User));
        let refused = exclusion_by(false, false).err().unwrap();
        assert!(
            refused.exit == Exit::Error && refused.text().contains("replaces objects"),
            "{refused:?}"
        );
    }

    #[test]
    fn spans_and_shares() {
        assert_eq!(parse_window("0d"), Ok(0));
        assert_eq!(parse_window("7d"), Ok(604_800));
        assert_eq!(parse_window("12h"), Ok(43_200));
        assert_eq!(parse_percent("2.5%"), Ok(25));
        assert_eq!(parse_percent("5"), Ok(50));
        for text in ["", "7", "d", "-1d", "1y", "1.5d", "ä"] {
            assert!(parse_window(text).is_err(), "{text}");
        }
        assert_eq!(parse_lock("30d"), Ok(2_592_000));
        for text in ["0d", "23h", "36501d", "30"] {
            assert!(parse_lock(text).is_err(), "{text}");
        }
        for text in ["", "-1", "101", "x", "nan"] {
            assert!(parse_percent(text).is_err(), "{text}");
        }
    }
}
