//! `drumlin cost`: estimates the cost of a repository at providers.

mod estimate;
mod prices;
pub(super) mod thaw_prices;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::json_views::RequestsView;
use super::snapshot_spec::warn_of_list;
use crate::connect::{Purpose, RepositoryPlace};
use crate::format::snapshot::Snapshot;
use crate::repo::Repository;
use crate::repo::snapshots::{self, Listing};
use crate::settings::location::Location;
use crate::store::Class;
use crate::text;
use estimate::{ClassTotals, RunRequests, StoredObjects};
use prices::{PROVIDERS, Provider, guess, parse_provider};

/// Show what is stored and what a provider charges for it
///
/// Prices are list prices without tax from the providers' public pages. The output says of which
/// day they are, and where today's prices are. They are estimates, not a bill.
#[derive(Args)]
pub(super) struct CostArgs {
    /// Show the prices of this provider only
    ///
    /// aws-standard, aws-ia, aws-glacier-ir, aws-deep-archive, hetzner-object-storage,
    /// hetzner-storage-box, backblaze-b2 or cloudflare-r2. The default depends on the repository's
    /// location; if that names no provider, all are shown.
    #[arg(long, value_name = "NAME", value_parser = parse_provider)]
    provider: Option<&'static Provider>,
}

/// Least bytes of a full pack of file content; more concurrent uploads make packs smaller.
const PACK_LEN_BYTES: u64 = 8 << 20;
/// Requests of a small backup with changes and a warm cache, without packs of file content: three
/// listings, a check of its key, and the creation of intent, trees, index run and snapshot. A test
/// compares this with a real backup.
const SMALL_BACKUP: RunRequests = RunRequests {
    list: 3,
    read_rest: 1,
    create_rest: 4,
    read_content: 0,
    create_content: 0,
    down_content: 0,
    down_rest: 0,
    up: 2048,
};
/// Number of recent snapshots for the average of stored bytes.
const SNAPSHOTS_LOOKED_AT: usize = 30;

#[derive(Serialize)]
struct CostView {
    stored: Vec<StoredView>,
    backups_looked_at: usize,
    unchanged_backup: RunRequestsView,
    changed_backup: RunRequestsView,
    full_restore: RunRequestsView,
    providers: Vec<ProviderView>,
    requests: RequestsView,
}

#[derive(Serialize)]
struct StoredView {
    class: &'static str,
    objects: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct RunRequestsView {
    calls: u64,
    list: u64,
    read: u64,
    create: u64,
    bytes_up: u64,
    bytes_down: u64,
}

#[derive(Serialize)]
struct ProviderView {
    name: &'static str,
    title: &'static str,
    currency: &'static str,
    as_of: &'static str,
    page: &'static str,
    note: &'static str,
    storage_month: f64,
    unchanged_backup: f64,
    changed_backup: f64,
    full_restore: f64,
    month_of_daily_backups: f64,
}

/// Figures of the repository.
struct Figures {
    classes: Vec<(Class, ClassTotals)>,
    stored: StoredObjects,
    backups_looked_at: usize,
    changed: RunRequests,
    restore: RunRequests,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &CostArgs) -> Result<Exit, Failure> {
    let settings = ctx.connector.settings()?;
    let place = ctx.connector.place(&settings, None)?;
    let repository = ctx.connector.open_place(&place, Purpose::Work)?;
    let listing = snapshots::overview(&repository)?;
    warn_of_list(&ctx.ui, &repository, &listing)?;
    let figures = measure(&repository, listing)?;
    let providers: Vec<&Provider> = match args.provider.or_else(|| guess_for(&place)) {
        Some(provider) => vec![provider],
        None => PROVIDERS.iter().collect(),
    };
    if ctx.ui.json {
        ctx.ui.print_json(&view(ctx, &figures, &providers))?;
    } else {
        ctx.ui.print(&lines(&figures, &providers).join("\n"))?;
    }
    Ok(Exit::Done)
}

fn guess_for(place: &RepositoryPlace) -> Option<&'static Provider> {
    match &place.location {
        Location::Local(_) => None,
        Location::Sftp(remote) => guess(Some(&remote.host), None),
        Location::S3(bucket) => {
            let host = bucket.endpoint.as_deref().map(|endpoint| {
                let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
                host.split(['/', ':']).next().unwrap_or_default()
            });
            let classes = place.settings.as_ref().map(|settings| &settings.s3.storage_classes);
            guess(host, classes.and_then(|classes| classes.get(&Class::Data)).map(String::as_str))
        }
    }
}

fn measure(repository: &Repository, listing: Listing) -> Result<Figures, Failure> {
    let (mut classes, mut stored) = (Vec::new(), StoredObjects::default());
    for class in Class::ALL {
        let lens = if class == Class::Data { &mut stored.content } else { &mut stored.rest };
        let before = lens.len();
        lens.extend(repository.object_lens(class)?);
        let held = ClassTotals {
            objects: (lens.len() - before) as u64,
            bytes: lens[before..].iter().sum(),
        };
        classes.push((class, held));
    }
    let held = |class: Class| {
        classes
            .iter()
            .find(|(other, _)| *other == class)
            .map_or_else(ClassTotals::default, |(_, held)| *held)
    };
    let content = held(Class::Data);
    let others =
        [Class::Config, Class::Keys, Class::Meta, Class::Index, Class::Snapshots].map(held);
    // Every object once, without local copies: an upper limit, exact for a single snapshot.
    let restore = RunRequests {
        list: 4,
        read_content: content.objects,
        read_rest: others.iter().map(|held| held.objects).sum(),
        down_content: content.bytes,
        down_rest: others.iter().map(|held| held.bytes).sum(),
        ..RunRequests::default()
    };
    let snapshots: Vec<Snapshot> =
        listing.snapshots.into_iter().filter_map(|(_, one)| one.ok()).collect();
    let (changed, backups_looked_at) = backup_like(&snapshots);
    Ok(Figures { classes, stored, backups_looked_at, changed, restore })
}

/// Returns the requests of a backup that stores the average of the last ones, and their number.
///
/// Ignores first backups, which have no parent, unless there are no others.
fn backup_like(snapshots: &[Snapshot]) -> (RunRequests, usize) {
    let later: Vec<&Snapshot> =
        snapshots.iter().filter(|snapshot| snapshot.parent.is_some()).collect();
    let all = if later.is_empty() { snapshots.iter().collect() } else { later };
    let last = &all[all.len().saturating_sub(SNAPSHOTS_LOOKED_AT)..];
    let sum =
        last.iter().fold(0_u64, |sum, snapshot| sum.saturating_add(snapshot.stats.bytes_stored));
    let up = sum / last.len().max(1) as u64;
    (
        RunRequests {
            create_content: up.div_ceil(PACK_LEN_BYTES),
            up: SMALL_BACKUP.up.saturating_add(up),
            ..SMALL_BACKUP
        },
        last.len(),
    )
}

fn view(ctx: &Context, figures: &Figures, providers: &[&Provider]) -> CostView {
    let asked = |asked: &RunRequests| RunRequestsView {
        calls: asked.requests(),
        list: asked.list,
        read: asked.read_content + asked.read_rest,
        create: asked.create_content + asked.create_rest,
        bytes_up: asked.up,
        bytes_down: asked.down_content + asked.down_rest,
    };
    let of_class = |(class, held): &(Class, ClassTotals)| StoredView {
        class: class.dir_name(),
        objects: held.objects,
        bytes: held.bytes,
    };
    CostView {
        stored: figures.classes.iter().map(of_class).collect(),
        backups_looked_at: figures.backups_looked_at,
        unchanged_backup: asked(&RunRequests::default()),
        changed_backup: asked(&figures.changed),
        full_restore: asked(&figures.restore),
        providers: providers.iter().map(|provider| price(provider, figures)).collect(),
        requests: ctx.requests_view(),
    }
}

fn price(provider: &Provider, figures: &Figures) -> ProviderView {
    let storage_month = estimate::storage(provider, &figures.stored);
    let of = |asked: &RunRequests| estimate::run(provider, asked, &figures.stored);
    let changed_backup = of(&figures.changed);
    ProviderView {
        name: provider.name,
        title: provider.title,
        currency: provider.currency,
        as_of: provider.as_of,
        page: provider.page,
        note: provider.note,
        storage_month,
        unchanged_backup: of(&RunRequests::default()),
        changed_backup,
        full_restore: of(&figures.restore),
        month_of_daily_backups: storage_month + 30.0 * changed_backup,
    }
}

fn lines(figures: &Figures, providers: &[&Provider]) -> Vec<String> {
    let held = |name: &str, held: ClassTotals| {
        format!(
            "  {name:<10} {:>8}  {:>10}",
            text::counted(held.objects, "object"),
            text::size(held.bytes)
        )
    };
    let mut lines = vec!["stored".to_owned()];
    let used = figures.classes.iter().filter(|(_, held)| held.objects > 0);
    lines.extend(used.map(|(class, of_class)| held(class.dir_name(), *of_class)));
    let asked = |name: &str, asked: &RunRequests| {
        let (up, down) = (text::size(asked.up), text::size(asked.down_content + asked.down_rest));
        format!(
            "  {name:<16} {:>11}, {up} up, {down} down",
            text::counted(asked.requests(), "request")
        )
    };
    lines.extend(["asked for".to_owned(), "  unchanged backup nothing".to_owned()]);
    lines.push(asked("changed backup", &figures.changed));
    lines.push(asked("full restore", &figures.restore));
    for provider in providers {
        let price = price(provider, figures);
        let currency = price.currency;
        lines.extend([
            String::new(),
            format!(
                "{}, list prices in {currency} without tax, as of {}",
                price.title, price.as_of
            ),
            format!("  storage          {} a month", money(price.storage_month)),
            format!("  unchanged backup {}", money(price.unchanged_backup)),
            format!("  changed backup   {}", money(price.changed_backup)),
            format!("  full restore     {}", money(price.full_restore)),
            format!(
                "  altogether       {} a month with a changed backup each day",
                money(price.month_of_daily_backups)
            ),
            format!("  {}", price.note),
            format!("  today's prices: {}", price.page),
        ]);
    }
    lines
}

/// Returns an amount with two digits, more where it is small.
fn money(amount: f64) -> String {
    match amount {
        0.0 => "0".to_owned(),
        amount if amount >= 0.1 => format!("{amount:.2}"),
        amount if amount >= 0.000_001 => format!("{amount:.6}"),
        _ => "less than 0.000001".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_amounts_keep_their_digits() {
        for (amount, text) in [
            (0.0, "0"),
            (1234.5, "1234.50"),
            (0.23, "0.23"),
            (0.000_025, "0.000025"),
            (1e-9, "less than 0.000001"),
        ] {
            assert_eq!(money(amount), text);
        }
    }
}
