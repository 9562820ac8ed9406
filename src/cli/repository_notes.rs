//! Notes on a repository that was checked or pruned.

use super::context::Context;
use crate::connect::RepositoryPlace;
use crate::jobs::state::{RepositoryNotes, StateDir};
use crate::settings::Settings;
use crate::text;

/// Remembers what a command did, for the metrics of apps; without apps nobody asks for them.
pub(super) fn note(
    ctx: &Context,
    settings: &Settings,
    place: &RepositoryPlace,
    change: impl FnOnce(&mut RepositoryNotes),
) {
    let (Some(dir), Some(name)) = (ctx.connector.state_dir(), &place.name) else { return };
    if settings.apps.is_empty() {
        return;
    }
    if let Err(error) = StateDir::new(&dir).note_repository(name, change) {
        let dir = text::path(&dir);
        ctx.ui.warn(&format!("this is not remembered for metrics in {dir}: {error}"));
    }
}
