//! Second attempt at packs that the store lists but did not return: a failing disk or proxy may
//! return them later.

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use crate::container::name_of;
use crate::format::run::PackRef;
use crate::id::ObjectId;
use crate::maintain::check::Examined;
use crate::repo::{Error, Repository, Result, audit};

/// Pause before the second attempt, for a local disk and for any other store.
const PAUSE_AT_HAND: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_secs(2);
/// Most packs of which one byte is read before it is believed that none can be read.
const ASKED_MAX: usize = 100;

/// Reads packs a second time that were not returned, before they count as lost.
///
/// Fails with `Contended` if one is sound after all: then the examination must be repeated. Fails
/// with `NothingReadable` if no pack at all can be read: then the store has failed, not the packs.
pub(super) fn look_again(repository: &Repository, examined: &Examined) -> Result<()> {
    let unread = examined.damage.unread_packs();
    if unread.is_empty() {
        return Ok(());
    }
    thread::sleep(if repository.is_local() { PAUSE_AT_HAND } else { PAUSE });
    let packs = packs_of(examined);
    for pack in packs.iter().filter(|pack| unread.contains(&pack.name)) {
        if is_sound(repository, pack)? {
            return Err(Error::Contended { rounds: 1 });
        }
    }
    let (doubtful, others): (Vec<PackRef>, Vec<PackRef>) =
        packs.into_iter().partition(|pack| unread.contains(&pack.name));
    for pack in others.iter().chain(&doubtful).take(ASKED_MAX) {
        if audit::is_readable(repository, pack)? {
            return Ok(());
        }
    }
    Err(Error::NothingReadable { location: repository.location().to_owned() })
}

/// Returns the existing packs that the index names, each once.
fn packs_of(examined: &Examined) -> Vec<PackRef> {
    let (runs, mut seen) = (examined.reader.index().runs(), HashSet::<ObjectId>::new());
    let packs = runs.iter().flat_map(|run| run.toc().packs.iter().copied());
    packs.filter(|pack| !examined.damage.is_gone(&pack.name) && seen.insert(pack.name)).collect()
}

fn is_sound(repository: &Repository, pack: &PackRef) -> Result<bool> {
    let mut bytes = Vec::new();
    match audit::read_pack(repository, pack.class, &pack.name, pack.len.into(), &mut bytes) {
        Err(error) if error.is_damage() => Ok(false),
        read => read.map(|()| name_of(&bytes) == pack.name),
    }
}
