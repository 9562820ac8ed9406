//! The current list of snapshots.

use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::report::Report;
use super::views::{NameOfTime, Views};
use crate::format::snapshot::Snapshot;
use crate::repo::{Reader, Result, snapshots};
use crate::sync::{self, lock};

/// Maximum age of the list of snapshots at a lookup.
const FRESH: Duration = Duration::from_secs(3);
/// How long the last list is used after a failed listing: lookups wait for the
/// attempt.
const REST: Duration = Duration::from_secs(30);

/// The list of snapshots; lookups refresh it when it is old.
pub(super) struct Catalog {
    reader: Arc<Reader>,
    name_of_time: NameOfTime,
    views: RwLock<Arc<Views>>,
    last_listing: Mutex<LastListing>,
    vanished: (Sender<Vanished>, Receiver<Vanished>),
}

/// The last listing of the store.
struct LastListing {
    /// Time of the next listing.
    next: Instant,
    /// Hash of the listing.
    listed: [u8; 32],
}

/// A name that has vanished, and the inode number of its directory.
pub(super) type Vanished = (u64, String);

impl Catalog {
    /// Lists the snapshots; damaged ones are reported and left out.
    pub(super) fn open(
        reader: &Arc<Reader>,
        name_of_time: NameOfTime,
        report: &Report,
    ) -> Result<Self> {
        let listed = snapshots::state_of_list(reader.repository())?;
        let views = Arc::new(Views::new(list(reader, report)?, name_of_time));
        let last_listing = Mutex::new(LastListing { next: Instant::now() + FRESH, listed });
        Ok(Self {
            reader: reader.clone(),
            name_of_time,
            views: RwLock::new(views),
            last_listing,
            vanished: unbounded(),
        })
    }

    /// Returns the views; lists the snapshots again if the list is old.
    ///
    /// While another thread lists, and if listing fails, the last list is used.
    pub(super) fn views(&self, report: &Report) -> Arc<Views> {
        if let Ok(mut last_listing) = self.last_listing.try_lock()
            && Instant::now() >= last_listing.next
        {
            self.look(&mut last_listing, report);
        }
        sync::read(&self.views).clone()
    }

    /// Lists the snapshots in any case and returns the views. If listing fails, the last list is
    /// used.
    pub(super) fn views_now(&self, report: &Report) -> Arc<Views> {
        self.look(&mut lock(&self.last_listing), report);
        sync::read(&self.views).clone()
    }

    fn look(&self, last_listing: &mut LastListing, report: &Report) {
        let refreshed = self.refresh(&mut last_listing.listed, report);
        last_listing.next = Instant::now() + if refreshed.is_ok() { FRESH } else { REST };
        if let Err(error) = refreshed {
            report.trouble(b"the list of snapshots", &error);
        }
    }

    fn refresh(&self, listed: &mut [u8; 32], report: &Report) -> Result<()> {
        let now = snapshots::state_of_list(self.reader.repository())?;
        if now == *listed {
            return Ok(());
        }
        let found = list(&self.reader, report)?;
        // The index must know the new snapshots' chunks before a program sees them.
        self.reader.sync()?;
        let views = Arc::new(Views::new(found, self.name_of_time));
        let old = std::mem::replace(&mut *sync::write(&self.views), views.clone());
        *listed = now;
        // It cannot fail: this value holds the receiver, too.
        old.vanished(&views).into_iter().for_each(|name| drop(self.vanished.0.send(name)));
        Ok(())
    }

    /// Returns a receiver of the names that vanish from the views; it ends with this value.
    pub(super) fn vanished(&self) -> Receiver<Vanished> {
        self.vanished.1.clone()
    }
}

fn list(reader: &Reader, report: &Report) -> Result<Vec<Arc<Snapshot>>> {
    let mut good = Vec::new();
    for (id, snapshot) in snapshots::list_all(reader.repository())? {
        match snapshot {
            Ok(snapshot) => good.push(Arc::new(snapshot)),
            Err(error) => report.trouble(format!("snapshot {}", id.short()).as_bytes(), &error),
        }
    }
    Ok(good)
}
