//! Check of what all apps share: the files of the configuration, folders, the time zone.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{ConfigCheck, error, note, warning};
use crate::os::owners::is_private_group;
use crate::sources::finding::Finding;
use crate::text;

/// Place of these findings.
const PLACE: &str = "configuration";

impl ConfigCheck<'_> {
    pub(super) fn machine(&self) -> Vec<Finding> {
        let mut findings = self.files();
        findings.extend(self.folders());
        findings.extend(self.zone());
        if self.settings.apps.is_empty() {
            findings.push(warning(PLACE, "there is no app").hint("add [app.NAME] with `paths`"));
        }
        if self.settings.repositories.is_empty() {
            let hint = "add [repository.NAME] with `url` and `password-file`";
            findings.push(error(PLACE, "there is no repository").hint(hint));
        }
        let names = || self.settings.repositories.keys();
        let is_pruned = |name: &String| self.settings.has_key("repository", name, "prune");
        if !self.settings.repositories.is_empty() && !names().any(is_pruned) {
            let message = "nothing here removes the data of forgotten snapshots";
            findings.push(note(PLACE, message).hint("run `drumlin prune` now and then"));
        }
        findings
    }

    /// Says which files were read, and who else may write to them. Root does not get here if others
    /// may.
    fn files(&self) -> Vec<Finding> {
        let Some(first) = &self.settings.file else { return Vec::new() };
        let included = &self.settings.included;
        let more = match included.len() {
            0 => String::new(),
            count => format!(", and {} that it includes", text::counted(count as u64, "file")),
        };
        let mut findings = vec![note(PLACE, format!("{}{more}", text::path(first)))];
        for file in std::iter::once(first).chain(included) {
            let Ok(metadata) = file
                .metadata()
                .map(|metadata| (metadata.mode() & 0o7777, metadata.gid(), metadata.uid()))
            else {
                continue;
            };
            let (mode, gid, uid) = metadata;
            let by_group = mode & 0o020 != 0 && gid != 0 && !is_private_group(gid, uid);
            if mode & 0o002 != 0 || by_group {
                let shown = text::path(file);
                let message = format!("others may write to {shown} (mode {mode:04o})");
                let hint = format!("it holds commands: chmod go-w {}", text::shell_word(&shown));
                findings.push(warning(PLACE, message).hint(hint));
            }
        }
        findings
    }

    /// Says which folders of the program's own this user cannot write to.
    fn folders(&self) -> Vec<Finding> {
        let has_schedule = self.apps.iter().any(|app| !app.settings.run.schedule.is_empty());
        let mut findings = Vec::new();
        match &self.state_dir {
            None => {
                let message = "there is no directory for the state of apps: schedules are not kept";
                findings.push(error(PLACE, message).hint("set DRUMLIN_STATE_DIR"));
            }
            Some(dir) => {
                if let Err(why) = may_write(dir) {
                    let message =
                        format!("cannot write to the state folder {}: {why}", text::path(dir));
                    let finding = match has_schedule {
                        true => error(PLACE, format!("{message}; schedules need it")),
                        false => warning(PLACE, message),
                    };
                    findings.push(finding.hint("set DRUMLIN_STATE_DIR, or let this user write"));
                }
            }
        }
        let cache_dir = self.connector.options.cache_dir.clone();
        if let Some(dir) = cache_dir.or_else(|| self.connector.env.cache_dir())
            && let Err(why) = may_write(&dir)
        {
            let shown = text::path(&dir);
            let message = format!("no local copies are kept in {shown}, which is slower: {why}");
            findings.push(warning(PLACE, message).hint("set DRUMLIN_CACHE_DIR"));
        }
        findings
    }

    /// Says that the zone of the environment is none.
    fn zone(&self) -> Option<Finding> {
        let name = self.connector.env.get("TZ")?.to_string_lossy();
        if TimeZone::get(&name).is_ok() || TimeZone::try_system().is_ok() {
            return None;
        }
        let shown = text::harmless(&name);
        let message = format!("TZ is `{shown}`, which is no time zone: schedules are in UTC");
        Some(warning(PLACE, message).hint("write a name such as Europe/Berlin"))
    }
}

/// Returns why this user cannot write to a directory, or make it.
fn may_write(dir: &Path) -> Result<(), String> {
    if dir.is_dir() {
        return tempfile::tempfile_in(dir).map(drop).map_err(|error| error.to_string());
    }
    let mut at: PathBuf = dir.to_path_buf();
    while at.symlink_metadata().is_err() && at.pop() {}
    if !at.is_dir() {
        return Err(format!("{} is no folder", text::path(&at)));
    }
    let needed = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, &at, needed, AtFlags::EACCESS)
        .map_err(|errno| format!("cannot make it in {}: {errno}", text::path(&at)))
}
