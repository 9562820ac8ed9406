//! Retention of an app's snapshots after a good run.

use jiff::tz::TimeZone;

use super::outcome::in_words;
use crate::connect::host;
use crate::format::entry::Timestamp;
use crate::maintain::evidence::Evidence;
use crate::maintain::forget::{self, Filter, GroupBy, Scope};
use crate::monitor::Monitor;
use crate::repo::Repository;
use crate::repo::snapshots;
use crate::repo::snapshots::trash::ForgetNote;
use crate::retention::Policy;

/// The snapshots of one app of one host.
pub(super) struct AppSeries<'a> {
    /// The app.
    pub app: &'a str,
    /// The host.
    pub host: &'a str,
}

/// Moves to the trash what the policy does not keep of one app's snapshots of one host.
///
/// Returns how many stay. Fails, and forgets nothing, if the plan takes away too much at once: then
/// `drumlin forget` shows it.
pub(super) fn apply(
    repository: &Repository,
    series: &AppSeries,
    policy: &Policy,
    program: &str,
    now: Timestamp,
) -> Result<u64, String> {
    let AppSeries { app, host } = *series;
    let listing = snapshots::listing(repository).map_err(|error| in_words(&error))?;
    let zone = TimeZone::system();
    let filter =
        Filter { host: Some(host.to_owned()), app: Some(app.to_owned()), ..Filter::default() };
    let scope = Scope { filter, by: GroupBy::DEFAULT };
    let mut plan = forget::plan_policy(&listing, &scope, policy, &zone, now.seconds);
    let evidence = Evidence::new(repository, &listing, &zone, now.seconds);
    plan.refuse(|group| evidence.excess_of(group));
    let is_refused = plan.groups.iter().any(|group| group.refused.is_some());
    let store = listing.store_s.map_or(now, |seconds| Timestamp { seconds, nanos: 0 });
    let note = ForgetNote {
        host: host::host_name(),
        user: host::user_name(),
        program: program.to_owned(),
        now: now.max(store),
        reason: String::new(),
    };
    forget::apply(repository, &plan, &note, &Monitor::default())
        .map_err(|error| in_words(&error))?;
    evidence.note_applied(&plan);
    match is_refused {
        true => Err(format!(
            "the policy would forget too much at once; look with `drumlin forget --app {app} \
             --dry-run`, then use --force"
        )),
        false => Ok(plan.counts().0 as u64),
    }
}
