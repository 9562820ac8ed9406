//! `drumlin forget`: moves snapshots to the trash by name or policy; also simulates policies and
//! protects snapshots.

mod args;
mod names;
mod outlook;
mod report;
mod view;

pub(super) use args::ForgetArgs;

use jiff::tz::TimeZone;

use self::outlook::show_outlook;
use self::report::table_of;
use self::view::ForgetView;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::global::PROGRAM;
use super::snapshot_spec::warn_of_list;
use crate::connect::Purpose;
use crate::connect::host;
use crate::format::entry::Timestamp;
use crate::id::SnapshotId;
use crate::maintain::evidence::Evidence;
use crate::maintain::forget::{self, ForgetPlan, Group, Scope};
use crate::repo::Repository;
use crate::repo::snapshots::protect;
use crate::repo::snapshots::trash::{ForgetNote, TRASH_WINDOW_S};
use crate::repo::snapshots::{self, Listing};
use crate::retention::Policy;
use crate::settings::Settings;
use crate::text;
use crate::ui::style::Role;

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &ForgetArgs) -> Result<Exit, Failure> {
    let policy = args.rules.policy()?;
    if !args.snaps.is_empty() && !policy.is_empty() {
        return Err(Failure::usage(
            "snapshots are forgotten by name or by rules, not by both at once",
        ));
    }
    let settings = ctx.connector.settings()?;
    let names = names::parse(args)?;
    let policies =
        if names.is_empty() { policies_of(&settings, args, policy)? } else { Vec::new() };
    let repository =
        ctx.connector.open_place(&ctx.connector.place(&settings, None)?, Purpose::Work)?;
    let listing = snapshots::listing(&repository)?;
    let named =
        names::resolve_all(ctx, &repository, &listing, &names, args.protect || args.unprotect)?;
    warn_of_faults(ctx, &listing, &named.unreadable);
    warn_of_list(&ctx.ui, &repository, &listing)?;
    let now = text::now();
    let note = note(&listing, now);
    if args.protect || args.unprotect {
        return protect_named(ctx, args, &repository, &named, &note);
    }
    let zone = TimeZone::system();
    let mut plan = match names.is_empty() {
        true => plan_policies(&listing, args, &policies, &zone, now.seconds),
        false => forget::plan_named(&listing, &named.ids(), args.which.group_by, now.seconds),
    };
    if let Some(span_s) = args.simulate {
        return show_outlook(ctx, &plan, span_s);
    }
    let evidence = Evidence::new(&repository, &listing, &zone, now.seconds);
    if !args.force {
        plan.refuse(|group| evidence.excess_of(group));
    }
    carry_out(ctx, args.dry_run, &repository, &plan, &note)?;
    if args.dry_run {
        report::refusals_of(&plan)
            .iter()
            .for_each(|why| ctx.ui.warn(&format!("{why}: only done with --force")));
    } else {
        evidence.note_applied(&plan);
    }
    report::failure_of(&plan, args.dry_run).map_or(Ok(Exit::Done), Err)
}

/// A policy, and its app of the configuration (`None` for the command line's).
type AppPolicy = (Option<String>, Policy);

/// Returns the policy of the command line, else those of the configured apps.
fn policies_of(
    settings: &Settings,
    args: &ForgetArgs,
    policy: Policy,
) -> Result<Vec<AppPolicy>, Failure> {
    if !policy.is_empty() {
        return Ok(vec![(None, policy)]);
    }
    let with_defaults = |name: &str| {
        let app = settings.apps.get(name)?.clone().with_defaults(&settings.defaults);
        Some((Some(name.to_owned()), app.keep?))
    };
    let policies: Vec<AppPolicy> = match args.which.series_filter.app() {
        Some(app) => with_defaults(app).into_iter().collect(),
        None => settings.apps.keys().filter_map(|name| with_defaults(name)).collect(),
    };
    if policies.is_empty() {
        return Err(Failure::usage(
            "neither snapshots nor rules were given, and the configuration \
            has none for them",
        )
        .hint(
            "for example --keep 'decay 2y', or --keep-daily 7 --keep-weekly 4 --keep-monthly 12; \
                --dry-run shows what would go",
        ));
    }
    Ok(policies)
}

fn plan_policies(
    listing: &Listing,
    args: &ForgetArgs,
    policies: &[AppPolicy],
    zone: &TimeZone,
    now_s: i64,
) -> ForgetPlan {
    let mut plan = ForgetPlan::default();
    for (app, policy) in policies {
        let filter = args.which.series_filter.filter(app.as_deref());
        let scope = Scope { filter, by: args.which.group_by };
        plan.groups.extend(forget::plan_policy(listing, &scope, policy, zone, now_s).groups);
    }
    plan
}

fn warn_of_faults(ctx: &Context, listing: &Listing, named: &[SnapshotId]) {
    let damaged =
        listing.snapshots.iter().filter_map(|(id, snapshot)| Some((id, snapshot.as_ref().err()?)));
    for (id, error) in damaged.filter(|(id, _)| !named.contains(id)) {
        ctx.ui.loss(&format!(
            "snapshot {} stays, because it cannot be read: {}",
            id.short(),
            in_words(error)
        ));
    }
    for (id, error) in &listing.faults {
        ctx.ui.loss(&format!(
            "snapshot {} counts as not forgotten, because its tombstone is damaged or not \
                genuine: {}",
            id.short(),
            in_words(error)
        ));
    }
}

/// Returns an error with its causes in one line.
pub(super) fn in_words(error: &crate::repo::Error) -> String {
    Failure::of(Exit::Error, error).text()
}

fn note(listing: &Listing, now: Timestamp) -> ForgetNote {
    // A slow clock must not backdate a tombstone: the time in the trash would be too short.
    let store = listing.store_s.map_or(now, |seconds| Timestamp { seconds, nanos: 0 });
    ForgetNote {
        host: host::host_name(),
        user: host::user_name(),
        program: PROGRAM.to_owned(),
        now: now.max(store),
        reason: String::new(),
    }
}

fn carry_out(
    ctx: &Context,
    dry_run: bool,
    repository: &Repository,
    plan: &ForgetPlan,
    note: &ForgetNote,
) -> Result<(), Failure> {
    let until = Timestamp { seconds: note.now.seconds.saturating_add(TRASH_WINDOW_S), nanos: 0 };
    let forgotten = match dry_run {
        true => Vec::new(),
        false => ctx.run("forgetting", |monitor| forget::apply(repository, plan, note, monitor))?.0,
    };
    if ctx.ui.json {
        return Ok(ctx.ui.print_json(&ForgetView::new(
            plan,
            dry_run,
            &forgotten,
            until,
            ctx.requests_view(),
        ))?);
    }
    let is_told =
        |group: &&Group| dry_run || group.refused.is_none() && group.going().next().is_some();
    for group in plan.groups.iter().filter(is_told) {
        ctx.ui.say(&table_of(group, dry_run, ctx.ui.out_style).join("\n"))?;
    }
    for id in plan.unreadable.iter().filter(|_| dry_run || !plan.unreadable_refused) {
        ctx.ui.say(&format!("{}  cannot be read", id.short()))?;
    }
    let is_all_refused = plan.accepted().next().is_none() && forgotten.is_empty();
    if is_all_refused && report::failure_of(plan, dry_run).is_some() {
        // The error has all information.
        return Ok(());
    }
    // A dry run shows what --force would do.
    let (stay, go) = if dry_run { plan.counts_with_refused() } else { plan.counts() };
    let (stay, go) = (text::counted(stay as u64, "snapshot"), go as u64);
    let style = ctx.ui.out_style;
    ctx.ui.say(&match (dry_run, go) {
        (true, _) => format!("would forget {}; {stay} would stay", text::counted(go, "snapshot")),
        (false, 0) => format!("nothing to forget; kept {stay}"),
        (false, _) => {
            let done = style.paint(
                Role::Good,
                &format!("forgot {}", text::counted(forgotten.len() as u64, "snapshot")),
            );
            format!(
                "{done}; kept {stay}\nuntil {} `drumlin undelete` brings them back",
                text::local_time(until)
            )
        }
    })?;
    Ok(())
}

#[derive(serde::Serialize)]
struct ProtectView {
    protected: Vec<String>,
    unprotected: Vec<String>,
}

fn protect_named(
    ctx: &Context,
    args: &ForgetArgs,
    repository: &Repository,
    named: &names::NamedSnapshots,
    note: &ForgetNote,
) -> Result<Exit, Failure> {
    repository.confirm_key()?;
    let note = ForgetNote { reason: "named".to_owned(), ..note.clone() };
    let mut ids = Vec::new();
    for snapshot in &named.good {
        if args.protect {
            protect::protect(repository, &snapshot.id, snapshots::chain_hash(snapshot), &note)?;
        } else {
            protect::unprotect(repository, &snapshot.id)?;
        }
        ids.push(snapshot.id);
    }
    for id in named.unreadable.iter().filter(|_| args.unprotect) {
        protect::unprotect(repository, id)?;
        ids.push(*id);
    }
    let what = if args.protect { "protected" } else { "no longer protected" };
    for id in &ids {
        ctx.ui.say(&format!("snapshot {} is {what}", id.short()))?;
    }
    if ctx.ui.json {
        let ids: Vec<String> = ids.iter().map(SnapshotId::to_hex).collect();
        let (protected, unprotected) =
            if args.protect { (ids, Vec::new()) } else { (Vec::new(), ids) };
        ctx.ui.print_json(&ProtectView { protected, unprotected })?;
    }
    match named.unreadable.first().filter(|_| args.protect) {
        Some(id) => Err(Failure::new(
            Exit::Error,
            format!("snapshot {} cannot be read, so it is not protected", id.short()),
        )),
        None => Ok(Exit::Done),
    }
}
