//! Messages and pings of the runs of a process.

use std::path::Path;
use std::sync::Arc;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::connect;
use crate::jobs::state::RunRecord;
use crate::jobs::tell::{Pings, Reload, Teller};
use crate::monitor::Monitor;
use crate::settings::Settings;
use crate::text;

/// What is told while apps are run.
pub(super) struct Telling<'a> {
    ctx: &'a Context,
    pings: Pings<'a>,
    /// Nothing is told without a state directory.
    teller: Option<Teller<'a>>,
}

impl<'a> Telling<'a> {
    /// Prepares to tell.
    ///
    /// Fails if a channel cannot work: better now than after a run that failed.
    pub(super) fn new(
        ctx: &'a Context,
        settings: &'a Settings,
        state_dir: Option<&Path>,
    ) -> Result<Self, Failure> {
        let teller = state_dir.map(|dir| Teller::new(settings, &ctx.connector.env, dir));
        let teller = teller.transpose().map_err(connect::Error::from)?;
        let pings = Pings::new(settings).map_err(connect::Error::from)?;
        Ok(Self { ctx, pings, teller })
    }

    /// Says that a run begins to read.
    pub(super) fn begins(&self, record: &RunRecord) {
        self.warn(&record.app, self.pings.begins(record));
    }

    /// Tells how a run ended; its lock is free again.
    pub(super) fn ended(&self, record: &RunRecord) {
        self.warn(&record.app, self.pings.ended(record));
        let Some(teller) = &self.teller else { return };
        let told = teller.tell(&record.app, text::now().seconds);
        // Without a channel there is nobody to tell, and the run itself says what cannot be kept.
        let failed = told.err().filter(|_| teller.has_channel());
        self.warn(&record.app, failed.map(|error| format!("what happened is told later: {error}")));
        // It was asked to end soon: the next process delivers.
        if !record.is_stopped {
            self.deliver(teller);
        }
    }

    /// Tells what no run tells.
    pub(super) fn look(&self) {
        let Some(teller) = &self.teller else { return };
        for failure in teller.look(&Reload::Unknown, text::now().seconds) {
            self.ctx.ui.warn(&failure);
        }
        self.deliver(teller);
    }

    fn deliver(&self, teller: &Teller) {
        let monitor = Arc::new(Monitor::default());
        let _guard = interrupt::while_running(&monitor);
        for words in teller.deliver(&|| monitor.is_cancelled()) {
            self.ctx.ui.warn(&words);
        }
    }

    fn warn(&self, app: &str, why: Option<String>) {
        if let Some(why) = why {
            self.ctx.ui.warn(&format!("{app}: {why}"));
        }
    }
}
