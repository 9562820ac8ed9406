//! Options of `drumlin forget`.

use std::ffi::OsString;

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::series_filter::SeriesFilter;
use crate::maintain::forget::GroupBy;
use crate::retention::{Period, Policy, parse_span};

/// Forget snapshots by name or by a policy
///
/// Forgotten snapshots stay in the trash for 7 days; `drumlin undelete` brings them back. Rules
/// apply to each series (host, app and paths) by itself. A snapshot stays if any rule keeps it, and
/// the newest of a series always stays. Without SNAP and rules, the `keep` of the configuration
/// applies to each app that has one.
#[derive(Args)]
pub(crate) struct ForgetArgs {
    /// Snapshots to forget
    ///
    /// An id or its first digits, latest, latest~2, latest:/PATH (the newest that has it), or
    /// APP@2026-03-01.
    #[arg(value_name = "SNAP")]
    pub snaps: Vec<OsString>,

    #[command(flatten)]
    pub rules: RuleArgs,

    #[command(flatten)]
    pub which: WhichArgs,

    /// Show what would go, what would stay and why; change nothing
    #[arg(long, short = 'n', help_heading = "How")]
    pub dry_run: bool,

    /// Show what the rules leave after this time (2y, 6m); change nothing
    #[arg(
        long,
        value_name = "SPAN",
        value_parser = parse_span,
        conflicts_with = "snaps",
        help_heading = "How",
    )]
    pub simulate: Option<i64>,

    /// Forget even what the guard protects
    ///
    /// That is: what a new policy or a flood of snapshots would take of a series, the newest
    /// snapshot of one, and damaged snapshots.
    #[arg(long, help_heading = "How")]
    pub force: bool,

    /// Protect the named snapshots until --unprotect
    #[arg(
        long,
        requires = "snaps",
        conflicts_with_all = ["unprotect", "dry_run", "force"],
        help_heading = "Single snapshots",
    )]
    pub protect: bool,

    /// End the protection of the named snapshots
    #[arg(
        long,
        requires = "snaps",
        conflicts_with_all = ["dry_run", "force"],
        help_heading = "Single snapshots",
    )]
    pub unprotect: bool,
}

/// The rules of a policy.
#[derive(Args, Default)]
#[command(next_help_heading = "What to keep")]
pub(crate) struct RuleArgs {
    /// Keep the newest N snapshots
    #[arg(long, value_name = "N", value_parser = count)]
    keep_last: Option<u32>,

    /// Keep one snapshot for each of the last N hours that have any
    ///
    /// The newest of each hour is kept.
    #[arg(long, value_name = "N", value_parser = count)]
    keep_hourly: Option<u32>,

    /// Keep one snapshot for each of the last N days that have any
    #[arg(long, value_name = "N", value_parser = count)]
    keep_daily: Option<u32>,

    /// Keep one snapshot for each of the last N weeks that have any
    ///
    /// Weeks begin on Mondays.
    #[arg(long, value_name = "N", value_parser = count)]
    keep_weekly: Option<u32>,

    /// Keep one snapshot for each of the last N months that have any
    #[arg(long, value_name = "N", value_parser = count)]
    keep_monthly: Option<u32>,

    /// Keep one snapshot for each of the last N years that have any
    #[arg(long, value_name = "N", value_parser = count)]
    keep_yearly: Option<u32>,

    /// Keep all within this time of the newest: 36h, 14d, 1y6m
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    keep_within: Option<i64>,

    /// Keep all with this tag (repeatable)
    #[arg(long = "keep-tag", value_name = "TAG")]
    keep_tags: Vec<String>,

    /// Keep by a rule in words: 'daily 7, weekly 4' or 'decay 2y'
    ///
    /// decay 2y keeps fewer and fewer with age, and none older than two years.
    #[arg(long = "keep", value_name = "RULE")]
    keep: Vec<String>,
}

/// Which snapshots the rules look at, and names choose from.
#[derive(Args, Default)]
#[command(next_help_heading = "Which snapshots")]
pub(crate) struct WhichArgs {
    #[command(flatten)]
    pub series_filter: SeriesFilter,

    /// What makes a series: host, app, paths, tags, or none
    ///
    /// Separate several with commas; none is one series of all snapshots.
    #[arg(long, value_name = "LIST", value_parser = group_by, default_value = "host,app,paths")]
    pub group_by: GroupBy,
}

impl RuleArgs {
    /// Returns the policy, empty if no rule was given.
    pub(crate) fn policy(&self) -> Result<Policy, Failure> {
        let mut policy = Policy::default();
        for text in &self.keep {
            policy.add(text).map_err(|why| Failure::usage(format!("--keep: {why}")))?;
        }
        policy.last = self.keep_last.or(policy.last);
        let periods = [
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ];
        for period in Period::ALL {
            let own = &mut policy.periods[period as usize];
            *own = periods[period as usize].or(*own);
        }
        policy.within_s = self.keep_within.or(policy.within_s);
        policy.tags.extend(self.keep_tags.iter().cloned());
        Ok(policy)
    }
}

impl Default for GroupBy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

fn count(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a number from 1".to_owned()),
        Ok(count) => Ok(count),
    }
}

fn group_by(text: &str) -> Result<GroupBy, String> {
    let mut by = GroupBy { host: false, app: false, paths: false, tags: false };
    for word in text.split(',').filter(|_| text != "none") {
        match word {
            "host" => by.host = true,
            "app" => by.app = true,
            "paths" => by.paths = true,
            "tags" => by.tags = true,
            _ => return Err(format!("`{word}` is not one of host, app, paths, tags, none")),
        }
    }
    Ok(by)
}
