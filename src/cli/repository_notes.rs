//! Notes on a repository that was checked or pruned.

use super::context::Context;
use crate::connect::RepositoryPlace;
use crate::jobs::state::{RepositoryNotes, StateDir};
use crate::settings::Settings;
use crate::text;

/// Remembers what a command did, for metrics and messages; without apps, and without a schedule of
/// its own, nobody asks for that.
pub(super) fn note(
    ctx: &Context,
    settings: &Settings,
    place: &RepositoryPlace,
    change: impl FnOnce(&mut RepositoryNotes),
) {
    let (Some(dir), Some(name)) = (ctx.connector.state_dir(), &place.name) else { return };
    let is_kept = |name: &String| {
        let upkeep = settings.repositories.get(name).map(|repository| &repository.upkeep);
        upkeep.is_some_and(|upkeep| !upkeep.prune.is_empty() || !upkeep.check.is_empty())
    };
    // Apps of labels are not in the file.
    if settings.apps.is_empty() && !settings.docker.has_labels && !is_kept(name) {
        return;
    }
    if let Err(error) = StateDir::new(&dir).note_repository(name, change) {
        let dir = text::path(&dir);
        ctx.ui.warn(&format!("this is not remembered for metrics in {dir}: {error}"));
    }
}
