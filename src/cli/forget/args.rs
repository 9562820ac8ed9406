//! What `drumlin forget` can be told.

use std::ffi::OsString;

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::narrow::Narrow;
use crate::maintain::forget::GroupBy;
use crate::retention::{Period, Policy, parse_span};

/// Forgets snapshots: those that are named, or those that a policy does not keep
///
/// Forgotten snapshots lie in the trash for 7 days, where `drumlin undelete` brings them back.
/// Rules look at one series at a time (host, app and paths); a snapshot stays if any rule keeps it,
/// and the newest of a series always stays. Without SNAP and without rules the configuration's
/// `keep` decides, for each app that has one.
#[derive(Args)]
pub struct ForgetArgs {
    /// Snapshots by name: an id or the start of one, latest, latest~2, latest:/PATH (the newest
    /// that holds it), or APP@2026-03-01
    #[arg(value_name = "SNAP")]
    pub snaps: Vec<OsString>,

    #[command(flatten)]
    pub rules: RuleArgs,

    #[command(flatten)]
    pub which: WhichArgs,

    /// Show what would go and what would stay, and why, and do nothing
    #[arg(long, short = 'n', help_heading = "How")]
    pub dry_run: bool,

    /// Show what the rules leave of each series if it goes on like this for so long (2y, 6m), and
    /// do nothing
    #[arg(long, value_name = "SPAN", value_parser = parse_span, conflicts_with = "snaps", help_heading = "How")]
    pub simulate: Option<i64>,

    /// Forget even what a new policy or a flood of snapshots would take of a series, or the newest
    /// of one, or one that is damaged
    #[arg(long, help_heading = "How")]
    pub force: bool,

    /// Protect the snapshots that are named: nothing forgets them until --unprotect
    #[arg(long, requires = "snaps", conflicts_with_all = ["unprotect", "dry_run", "force"], help_heading = "Single snapshots")]
    pub protect: bool,

    /// End the protection of the snapshots that are named
    #[arg(long, requires = "snaps", conflicts_with_all = ["dry_run", "force"], help_heading = "Single snapshots")]
    pub unprotect: bool,
}

/// The rules of a policy.
#[derive(Args, Default)]
#[command(next_help_heading = "What to keep")]
pub struct RuleArgs {
    /// Keep the newest N
    #[arg(long, value_name = "N", value_parser = count)]
    keep_last: Option<u32>,

    /// Keep the newest of each of the last N hours that have snapshots
    #[arg(long, value_name = "N", value_parser = count)]
    keep_hourly: Option<u32>,

    /// Likewise for days
    #[arg(long, value_name = "N", value_parser = count)]
    keep_daily: Option<u32>,

    /// Likewise for weeks, which begin on Mondays
    #[arg(long, value_name = "N", value_parser = count)]
    keep_weekly: Option<u32>,

    /// Likewise for months
    #[arg(long, value_name = "N", value_parser = count)]
    keep_monthly: Option<u32>,

    /// Likewise for years
    #[arg(long, value_name = "N", value_parser = count)]
    keep_yearly: Option<u32>,

    /// Keep all that are not older than this before the newest: 36h, 14d, 6m, 1y6m
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    keep_within: Option<i64>,

    /// Keep all with this tag; may be given several times
    #[arg(long = "keep-tag", value_name = "TAG")]
    keep_tags: Vec<String>,

    /// Keep by a rule in words: 'decay 2y' (fewer and fewer with age, none after two years), 'daily
    /// 7, weekly 4'
    #[arg(long = "keep", value_name = "RULE")]
    keep: Vec<String>,
}

/// Which snapshots the rules look at, and names choose from.
#[derive(Args, Default)]
#[command(next_help_heading = "Which snapshots")]
pub struct WhichArgs {
    #[command(flatten)]
    pub narrow: Narrow,

    /// What makes a series: host, app, paths, tags with commas between them, or none for one series
    /// of all
    #[arg(long, value_name = "LIST", value_parser = group_by, default_value = "host,app,paths")]
    pub group_by: GroupBy,
}

impl RuleArgs {
    /// Returns the policy, empty if no rule was given.
    pub fn policy(&self) -> Result<Policy, Failure> {
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
