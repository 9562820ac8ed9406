//! Work of the daemon besides runs: messages that no run sends, the heartbeat, metrics.
//!
//! A thread of its own does it: a mail server that hangs must not stop the schedules. What it tells
//! was seen by the loop that starts runs, so that a loop that hangs tells nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::cli::context::Context;
use crate::cli::own_metrics::OwnMetrics;
use crate::jobs::state::StateDir;
use crate::jobs::tell::{Reload, Teller};
use crate::metrics::values::Daemon;
use crate::metrics::{Handle, Page, Shared, start};
use crate::settings::Settings;

/// How often the textfile is written while no run writes it: each time wakes up a disk that sleeps.
const TEXTFILE_INTERVAL: Duration = Duration::from_secs(300);

/// What the loop saw at one look.
pub(super) struct Sight {
    /// The configuration in force.
    pub settings: Arc<Settings>,
    /// What came of reading it again.
    pub reload: Reload,
    /// When the daemon was started, in seconds since 1970.
    pub started_s: i64,
    /// When the loop looked, in seconds since 1970.
    pub now_s: i64,
}

/// The thread's values.
pub(super) struct Besides<'a> {
    ctx: &'a Context,
    dir: StateDir,
    page: Arc<Shared>,
    is_stopping: AtomicBool,
}

impl<'a> Besides<'a> {
    /// Prepares the work for a state directory.
    pub(super) fn new(ctx: &'a Context, dir: StateDir) -> Self {
        Self { ctx, dir, page: Arc::default(), is_stopping: AtomicBool::new(false) }
    }

    /// Ends deliveries after the one that is under way.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Does what each sight asks for, until no more can come.
    pub(super) fn work(&self, sights: &Receiver<Sight>) {
        let mut said = BTreeSet::new();
        let mut next = sights.recv().ok();
        while let Some(sight) = next {
            let settings = Arc::clone(&sight.settings);
            next = self.work_with(&settings, sight, sights, &mut said);
        }
    }

    /// Works with one configuration; returns the first sight with another.
    fn work_with(
        &self,
        settings: &Arc<Settings>,
        first: Sight,
        sights: &Receiver<Sight>,
        said: &mut BTreeSet<String>,
    ) -> Option<Sight> {
        let teller = Teller::new(settings, &self.ctx.connector.env, self.dir.path());
        let teller = teller.map_err(|error| self.ctx.ui.loss(&error.to_string())).ok();
        let _listener = self.listen(settings);
        let mut written: Option<Instant> = None;
        let mut sight = first;
        loop {
            let mut failures = self.tell(teller.as_ref(), &sight);
            let metrics =
                OwnMetrics { env: &self.ctx.connector.env, settings, state: Some(&self.dir) };
            self.show(&metrics, &sight);
            if written.is_none_or(|at| at.elapsed() >= TEXTFILE_INTERVAL) {
                failures.extend(metrics.write());
                written = Some(Instant::now());
            }
            // Each is said once while it lasts.
            failures
                .iter()
                .filter(|one| !said.contains(*one))
                .for_each(|one| self.ctx.ui.warn(one));
            *said = failures.into_iter().collect();
            match sights.recv().ok() {
                Some(next) if Arc::ptr_eq(&next.settings, settings) => sight = next,
                next => return next,
            }
        }
    }

    fn tell(&self, teller: Option<&Teller>, sight: &Sight) -> Vec<String> {
        let Some(teller) = teller else { return Vec::new() };
        let mut failures = teller.look(&sight.reload, sight.now_s);
        failures.extend(teller.deliver(&|| self.is_stopping.load(Ordering::Relaxed)));
        failures
    }

    /// Puts the values of a sight where the listener finds them. What cannot be read is said by the
    /// loop. `/healthz` does not complain of apps: who asks would start the daemon again.
    fn show(&self, metrics: &OwnMetrics, sight: &Sight) {
        if metrics.settings.metrics.listen.is_none() {
            return;
        }
        let daemon = Daemon {
            started_s: sight.started_s,
            is_reload_failed: matches!(sight.reload, Reload::Refused { .. }),
        };
        let mut gathered = metrics.gather(Some(daemon));
        gathered.values.process.gathered_s = sight.now_s;
        self.page.set(Page::new(&gathered.values, None));
    }

    /// Listens for those who read metrics, if that is configured. No run depends on it.
    fn listen(&self, settings: &Settings) -> Option<Handle> {
        let address = settings.metrics.listen?;
        let failed = |error| {
            self.ctx
                .ui
                .loss(&format!("cannot listen for readers of metrics at {address}: {error}"));
        };
        start(address, Arc::clone(&self.page)).map_err(failed).ok()
    }
}
