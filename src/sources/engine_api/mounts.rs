//! Mounts of a container that hold data.

use std::path::Path;

use super::list::{Inspected, Mount};
use crate::settings::labels::{LabelError, Names};

/// Folders of the host that are no data of a container, though many mount them.
const SYSTEM_DIRS: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/var/run"];

/// Returns the mounts of a container that the label `drumlin.volumes` asks for.
///
/// All means volumes and folders or files of the host, without the system's own (`/` and
/// what is in `/dev`, `/proc`, `/run`, `/sys`). A name is that of a volume, or a path in the
/// container; fails if there is none, so that a renamed volume is not left out silently.
pub fn mounts_to_read<'a>(
    inspected: &'a Inspected,
    names: &Names,
) -> Result<Vec<&'a Mount>, LabelError> {
    let stored = || inspected.mounts.iter().filter(|mount| mount.is_stored());
    let Names::Only(names) = names else {
        return Ok(stored().filter(|mount| !is_system(&mount.source)).collect());
    };
    let find = |name: &String| {
        let is_named = |mount: &&Mount| {
            mount.name.as_ref() == Some(name) || mount.destination == Path::new(name)
        };
        stored().find(is_named).ok_or_else(|| LabelError {
            container: inspected.container.name.clone(),
            label: "drumlin.volumes".into(),
            problem: format!("`{name}` is not a volume of it, nor a path where one is mounted"),
        })
    };
    names.iter().map(find).collect()
}

fn is_system(source: &Path) -> bool {
    source == Path::new("/") || SYSTEM_DIRS.iter().any(|dir| source.starts_with(dir))
}

#[cfg(test)]
mod tests;
