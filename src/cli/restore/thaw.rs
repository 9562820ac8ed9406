//! `drumlin restore --plan` and `--thaw`: the packs that a restore reads, and thawing of those in
//! archive classes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::cost::thaw_prices as prices;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::format::snapshot::Snapshot;
use crate::monitor::ProblemKind;
use crate::repo::{self, Repository};
use crate::restore::{self, NeededPack, RestoreOptions};
use crate::store::{Readiness, ThawTier};
use crate::sync::{self, lock};
use crate::text;

/// Options about packs in archive classes.
#[derive(Args)]
pub(super) struct ThawArgs {
    /// Show what would be read and thawed; change nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub plan: bool,

    /// Order packs in an archive class to be thawed
    ///
    /// Run the same command again later: when all packs are thawed, it restores.
    #[arg(long, conflicts_with_all = ["dry_run", "plan"])]
    pub thaw: bool,

    /// How quickly to thaw: expedited, standard or bulk
    ///
    /// expedited takes minutes and is expensive, standard takes hours, bulk up to two days and is
    /// cheap.
    #[arg(
        long,
        value_name = "SPEED",
        value_enum,
        default_value = "standard",
        hide_possible_values = true
    )]
    thaw_speed: Speed,

    /// Keep thawed packs readable for this many days
    #[arg(
        long,
        value_name = "N",
        default_value_t = 7,
        value_parser = clap::value_parser!(u32).range(1..=365),
    )]
    thaw_days: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Speed {
    Expedited,
    Standard,
    Bulk,
}

impl From<Speed> for ThawTier {
    fn from(speed: Speed) -> Self {
        match speed {
            Speed::Expedited => Self::Expedited,
            Speed::Standard => Self::Standard,
            Speed::Bulk => Self::Bulk,
        }
    }
}

/// Number and length of packs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct PackSum {
    packs: u64,
    /// Whole packs, because only these can be thawed.
    bytes: u64,
}

impl PackSum {
    fn add(&mut self, pack: &NeededPack) {
        self.packs += 1;
        self.bytes += u64::from(pack.pack.len);
    }

    fn in_words(self) -> String {
        format!("{}, {}", text::counted(self.packs, "pack"), text::size(self.bytes))
    }
}

/// Packs in one archive class.
#[derive(Debug, Serialize)]
struct Frozen {
    storage_class: String,
    #[serde(flatten)]
    share: PackSum,
    /// Least and most hours of thawing, if known.
    hours: Option<(f64, f64)>,
    /// Price in USD, if known.
    price_usd: Option<f64>,
}

#[derive(Debug, Default)]
struct PackReadiness {
    ready: PackSum,
    thawing: PackSum,
    frozen: BTreeMap<String, Vec<NeededPack>>,
}

#[derive(Serialize)]
struct ThawPlanView {
    snapshot: String,
    /// Bytes that are read; packs may be longer.
    bytes_read: u64,
    ready: PackSum,
    thawing: PackSum,
    frozen: Vec<Frozen>,
    prices_as_of: &'static str,
    prices_page: &'static str,
}

/// Prints what a restore needs.
pub(super) fn plan(
    ctx: &Context,
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    args: &ThawArgs,
) -> Result<Exit, Failure> {
    let (needed, state, exit) = check_readiness(ctx, repository, snapshot, options)?;
    let view = ThawPlanView {
        snapshot: snapshot.id.to_hex(),
        bytes_read: needed.iter().map(|pack| pack.bytes).sum(),
        ready: state.ready,
        thawing: state.thawing,
        frozen: frozen_views(&state, args.thaw_speed.into()),
        prices_as_of: prices::AS_OF,
        prices_page: prices::PAGE,
    };
    if ctx.ui.json {
        ctx.ui.print_json(&view)?;
    } else {
        ctx.ui.say(&lines(&view).join("\n"))?;
    }
    Ok(exit)
}

fn lines(view: &ThawPlanView) -> Vec<String> {
    let mut lines = vec![format!("a restore reads {}", text::size(view.bytes_read))];
    lines.push(format!("  ready    {}", view.ready.in_words()));
    if view.thawing.packs > 0 {
        lines.push(format!("  thawing  {}", view.thawing.in_words()));
    }
    for frozen in &view.frozen {
        lines.push(format!("  frozen   {} in {}", frozen.share.in_words(), frozen.storage_class));
        if let (Some((least, most)), Some(price)) = (frozen.hours, frozen.price_usd) {
            lines.push(format!(
                "           thawing takes {least} to {most} hours and costs about \
                    {price:.2} USD, without egress"
            ));
        }
    }
    if !view.frozen.is_empty() {
        lines.push(format!("prices of AWS as of {}: see {}", view.prices_as_of, view.prices_page));
        lines.push("`--thaw` instead of `--plan` orders it".to_owned());
    }
    lines
}

fn frozen_views(state: &PackReadiness, tier: ThawTier) -> Vec<Frozen> {
    let view = |(class, packs): (&String, &Vec<NeededPack>)| {
        let mut share = PackSum::default();
        packs.iter().for_each(|pack| share.add(pack));
        let thaw = prices::of(class, tier);
        Frozen {
            storage_class: class.clone(),
            share,
            hours: thaw.map(|thaw| (thaw.hours.least, thaw.hours.most)),
            price_usd: thaw.map(|thaw| thaw.price(share.packs, share.bytes)),
        }
    };
    state.frozen.iter().map(view).collect()
}

/// Requests thawing of frozen packs; succeeds only if everything is readable now.
pub(super) fn thaw(
    ctx: &Context,
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    args: &ThawArgs,
) -> Result<(), Failure> {
    let (_, state, _) = check_readiness(ctx, repository, snapshot, options)?;
    let frozen: Vec<NeededPack> = state.frozen.values().flatten().copied().collect();
    let tier = args.thaw_speed.into();
    for_each_pack(repository, &frozen, &|pack| repository.thaw(&pack.pack, args.thaw_days, tier))?;
    let waiting = frozen.len() as u64 + state.thawing.packs;
    if waiting == 0 {
        return Ok(());
    }
    let hours = state
        .frozen
        .keys()
        .filter_map(|class| prices::of(class, tier))
        .map(|thaw| thaw.hours.most)
        .fold(0.0, f64::max);
    let ordered = format!(
        "{} ordered now, {} before",
        text::counted(frozen.len() as u64, "pack"),
        state.thawing.packs
    );
    let when =
        if hours > 0.0 { format!("in {hours} hours at the latest") } else { "later".to_owned() };
    Err(Failure::new(
        Exit::Error,
        format!(
            "nothing is restored yet: {} being thawed ({ordered})",
            text::counted(waiting, "pack")
        ),
    )
    .hint(format!(
        "run the same command again {when}: it restores as soon as all of them are there"
    )))
}

/// Returns the needed packs, their readiness, and the exit code: 4 if a pack cannot be found or
/// read.
fn check_readiness(
    ctx: &Context,
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
) -> Result<(Vec<NeededPack>, PackReadiness, Exit), Failure> {
    let (needed, monitor) = ctx
        .run("planning", |monitor| restore::needed_packs(repository, snapshot, options, monitor))?;
    ctx.ui.list_problems(&monitor);
    let is_damaged = monitor.problems().iter().any(|problem| problem.kind == ProblemKind::Damaged);
    let exit = if is_damaged { Exit::Damage } else { Exit::Done };
    let state = Mutex::new(PackReadiness::default());
    for_each_pack(repository, &needed, &|pack| {
        let readiness = repository.readiness(&pack.pack)?;
        let mut state = lock(&state);
        match readiness {
            Readiness::Ready => state.ready.add(pack),
            Readiness::Thawing => state.thawing.add(pack),
            Readiness::Frozen(class) => state.frozen.entry(class).or_default().push(*pack),
        }
        Ok(())
    })?;
    Ok((needed, sync::into_inner(state), exit))
}

/// Calls `ask` for every pack, several at once; the first failure ends it.
fn for_each_pack(
    repository: &Repository,
    packs: &[NeededPack],
    ask: &(dyn Fn(&NeededPack) -> repo::Result<()> + Sync),
) -> Result<(), Failure> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    thread::scope(|scope| {
        for _ in 0..repository.readers(1).min(packs.len()) {
            scope.spawn(|| {
                while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = ask(pack) {
                        next.store(packs.len(), Ordering::Relaxed);
                        lock(&failure).get_or_insert(error);
                    }
                }
            });
        }
    });
    sync::into_inner(failure).map_or(Ok(()), |error| Err(error.into()))
}
