//! `drumlin forget`: puts snapshots into the trash, by name or by policy; shows, simulates, protects.

mod args;
mod outlook;
mod view;
mod words;

pub use args::ForgetArgs;

use jiff::tz::TimeZone;

use self::outlook::show_outlook;
use self::view::ForgetView;
use self::words::{name_of, table_of};
use super::context::{self, Context, Purpose};
use super::failure::{Exit, Failure};
use super::global::PROGRAM;
use super::snap;
use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::maintain::forget::{self, ForgetPlan, Refusal};
use crate::repo::snapshots::{self, Listing};
use crate::repo::trash::{ForgetNote, TRASH_WINDOW_S};
use crate::repo::{Error, Repository, protect};
use crate::retention::Policy;
use crate::settings::Settings;
use crate::ui::style::Role;
use crate::ui::text;

/// Runs the command.
pub fn run(ctx: &Context, args: &ForgetArgs) -> Result<Exit, Failure> {
    let policy = args.rules.policy()?;
    if !args.snaps.is_empty() && !policy.is_empty() {
        return Err(Failure::usage("snapshots are forgotten by name or by rules, not by both at once"));
    }
    let settings = ctx.settings()?;
    let jobs = if args.snaps.is_empty() { jobs_of(&settings, args, policy)? } else { Vec::new() };
    let repository = ctx.open_place(&ctx.place(&settings, None)?, Purpose::Work)?;
    let listing = snapshots::listing(&repository)?;
    let (named, unreadable) = resolve_all(ctx, &listing, &args.snaps)?;
    warn_of_faults(ctx, &listing, &unreadable);
    let now = text::now();
    let note = note(&listing, now);
    if args.protect || args.unprotect {
        if let Some(id) = unreadable.first().filter(|_| args.protect) {
            return Err(Failure::new(Exit::Error, format!("snapshot {} cannot be read, so it is not protected", id.short())));
        }
        let ids = named.iter().map(|snapshot| snapshot.id).chain(unreadable);
        return protect_named(ctx, args, (&repository, ids.collect(), &named), &note);
    }
    let plan = match args.snaps.is_empty() {
        true => plan_jobs(&listing, args, &jobs, now.seconds),
        false => {
            let named: Vec<_> = named.iter().map(|snapshot| snapshot.id).chain(unreadable).collect();
            forget::plan_named(&listing, &named, args.which.group_by, now.seconds)?
        }
    };
    if let Some(span_s) = args.simulate {
        return show_outlook(ctx, &plan, span_s);
    }
    let refusals = plan.refusals();
    if let (Some(first), false) = (refusals.first(), args.force) {
        let why = refusal_text(&plan, first, refusals.len());
        if !args.dry_run {
            return Err(Failure::new(Exit::Error, why).hint("`--dry-run` shows what would go; `--force` does it all the same"));
        }
        ctx.ui.warn(&format!("{why}: only done with --force"));
    }
    carry_out(ctx, args.dry_run, (&repository, plan), &note)
}

/// An app of the configuration, none for a policy of the command line, and the policy.
type Job = (Option<String>, Policy);

/// Returns the policies to apply: that of the command line, or those of the configured apps.
fn jobs_of(settings: &Settings, args: &ForgetArgs, policy: Policy) -> Result<Vec<Job>, Failure> {
    if !policy.is_empty() {
        return Ok(vec![(None, policy)]);
    }
    let with_defaults = |name: &String| {
        let app = settings.apps.get(name)?.clone().with_defaults(&settings.defaults);
        Some((Some(name.clone()), app.keep?))
    };
    let jobs: Vec<Job> = match &args.which.app {
        Some(app) => with_defaults(app).into_iter().collect(),
        None => settings.apps.keys().filter_map(with_defaults).collect(),
    };
    if jobs.is_empty() {
        return Err(Failure::usage("neither snapshots nor rules were given, and the configuration has none for them").hint(
            "for example --keep 'decay 2y', or --keep-daily 7 --keep-weekly 4 --keep-monthly 12; --dry-run shows what would go",
        ));
    }
    Ok(jobs)
}

fn plan_jobs(listing: &Listing, args: &ForgetArgs, jobs: &[Job], now_s: i64) -> ForgetPlan {
    let zone = TimeZone::system();
    let mut plan = ForgetPlan::default();
    for (app, policy) in jobs {
        let filter = args.which.filter(app.as_deref());
        plan.groups.extend(forget::plan_policy(listing, (&filter, policy, args.which.group_by), &zone, now_s).groups);
    }
    plan
}

fn warn_of_faults(ctx: &Context, listing: &Listing, named: &[SnapshotId]) {
    let damaged = listing.snapshots.iter().filter_map(|(id, snapshot)| Some((id, snapshot.as_ref().err()?)));
    for (id, error) in damaged.filter(|(id, _)| !named.contains(id)) {
        ctx.ui.warn(&format!("snapshot {} stays, because it cannot be read: {}", id.short(), in_words(error)));
    }
    for (id, error) in &listing.faults {
        ctx.ui.warn(&format!(
            "snapshot {} is not forgotten, because its tombstone does not hold: {}",
            id.short(),
            in_words(error)
        ));
    }
}

/// Returns an error and its causes in one line.
pub fn in_words(error: &crate::repo::Error) -> String {
    Failure::of(Exit::Error, error).text()
}

/// Finds the snapshots that the user named, each once: those that can be read, and the damaged ones.
fn resolve_all(ctx: &Context, listing: &Listing, names: &[String]) -> Result<(Vec<Snapshot>, Vec<SnapshotId>), Failure> {
    let good: Vec<Snapshot> = listing.snapshots.iter().filter_map(|(_, snapshot)| snapshot.as_ref().ok().cloned()).collect();
    let damaged = listing.snapshots.iter().filter(|(_, snapshot)| snapshot.as_ref().is_err_and(Error::is_damage));
    let damaged: Vec<SnapshotId> = damaged.map(|(id, _)| *id).collect();
    let (mut found, mut unreadable): (Vec<Snapshot>, Vec<SnapshotId>) = (Vec::new(), Vec::new());
    for name in names {
        let begins = |id: &SnapshotId| !name.is_empty() && id.to_hex().starts_with(name.as_str());
        let mut fitting = damaged.iter().copied().filter(begins);
        if let Some(id) = fitting.next() {
            if fitting.next().is_some() || good.iter().any(|snapshot| begins(&snapshot.id)) {
                return Err(Error::Ambiguous { what: "snapshot", text: name.clone() }.into());
            }
            unreadable.extend(Some(id).filter(|id| !unreadable.contains(id)));
            continue;
        }
        let is_forgotten = |name: &str| {
            let full = |one: &crate::repo::trash::Forgotten| one.tombstone.snapshot.to_hex();
            name.len() >= 8 && listing.forgotten.iter().any(|one| full(one).starts_with(name))
        };
        match snap::resolve_among(&good, name) {
            Ok(snapshot) if found.iter().any(|other| other.id == snapshot.id) => {}
            Ok(snapshot) => found.push(snapshot),
            Err(_) if is_forgotten(name) => ctx.ui.note(&format!("snapshot {name} is in the trash already")),
            Err(failure) => return Err(failure),
        }
    }
    Ok((found, unreadable))
}

fn note(listing: &Listing, now: Timestamp) -> ForgetNote {
    // A clock that is behind must not date a tombstone back: its time to live would be shorter.
    let store = listing.store_s.map_or(now, |seconds| Timestamp { seconds, nanos: 0 });
    ForgetNote {
        host: context::host_name(),
        user: context::user_name(),
        program: PROGRAM.to_owned(),
        now: now.max(store),
        reason: String::new(),
    }
}

fn refusal_text(plan: &ForgetPlan, first: &Refusal, count: usize) -> String {
    let mut why = match first {
        Refusal::MoreThanHalf { group, going, of } => {
            let of = text::counted(*of as u64, "snapshot");
            format!("this would forget {going} of the {of} of {}", name_of(&plan.groups[*group].key))
        }
        Refusal::Newest { group } => format!("this would forget the newest snapshot of {}", name_of(&plan.groups[*group].key)),
        Refusal::Unreadable { id } => format!("snapshot {} cannot be read: this would forget nobody knows what", id.short()),
    };
    if count > 1 {
        why += &format!(", and {} more like that", text::count(count as u64 - 1));
    }
    why
}

fn carry_out(
    ctx: &Context,
    dry_run: bool,
    (repository, plan): (&Repository, ForgetPlan),
    note: &ForgetNote,
) -> Result<Exit, Failure> {
    let until = Timestamp { seconds: note.now.seconds.saturating_add(TRASH_WINDOW_S), nanos: 0 };
    let forgotten = match dry_run {
        true => Vec::new(),
        false => ctx.run("forgetting", |monitor| forget::apply(repository, &plan, note, monitor))?.0,
    };
    if ctx.ui.json {
        ctx.ui.print_json(&ForgetView::new(&plan, dry_run, (&forgotten, until), ctx.requests.view()))?;
        return Ok(Exit::Done);
    }
    for group in plan.groups.iter().filter(|group| dry_run || group.going().next().is_some()) {
        ctx.ui.say(&table_of(group, dry_run, ctx.ui.out_style).join("\n"))?;
    }
    for id in &plan.unreadable {
        ctx.ui.say(&format!("{}  cannot be read", id.short()))?;
    }
    let (stay, go) = plan.counts();
    let (stay, go) = (text::counted(stay as u64, "snapshot"), go as u64);
    let style = ctx.ui.out_style;
    ctx.ui.say(&match (dry_run, go) {
        (true, _) => format!("would forget {}; {stay} would stay", text::counted(go, "snapshot")),
        (false, 0) => format!("nothing to forget; kept {stay}"),
        (false, _) => {
            let done = style.paint(Role::Good, &format!("forgot {}", text::counted(forgotten.len() as u64, "snapshot")));
            format!("{done}; kept {stay}\nuntil {} `drumlin undelete` brings them back", text::local_time(until))
        }
    })?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize)]
struct ProtectView {
    protected: Vec<String>,
    unprotected: Vec<String>,
}

fn protect_named(
    ctx: &Context,
    args: &ForgetArgs,
    (repository, ids, named): (&Repository, Vec<SnapshotId>, &[Snapshot]),
    note: &ForgetNote,
) -> Result<Exit, Failure> {
    repository.confirm_key()?;
    let note = ForgetNote { reason: "named".to_owned(), ..note.clone() };
    for id in &ids {
        match named.iter().find(|snapshot| snapshot.id == *id).filter(|_| args.protect) {
            Some(snapshot) => drop(protect::protect(repository, id, snapshots::chain_hash(snapshot), &note)?),
            None => drop(protect::unprotect(repository, id)?),
        }
        let what = if args.protect { "protected" } else { "no longer protected" };
        ctx.ui.say(&format!("snapshot {} is {what}", id.short()))?;
    }
    if ctx.ui.json {
        let ids: Vec<String> = ids.iter().map(SnapshotId::to_hex).collect();
        let (protected, unprotected) = if args.protect { (ids, Vec::new()) } else { (Vec::new(), ids) };
        ctx.ui.print_json(&ProtectView { protected, unprotected })?;
    }
    Ok(Exit::Done)
}
