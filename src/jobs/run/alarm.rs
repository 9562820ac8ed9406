//! Alarms: changes of a snapshot that nobody may have wanted.
//!
//! Ransomware and a mistaken command change most files at once, or remove them. The snapshot
//! is kept and the change is told. Retention rests, so that good snapshots do not go before it is
//! seen.

use crate::format::snapshot::SnapshotStats;
use crate::jobs::state::AlarmKind;
use crate::settings::run::AlarmSettings;

/// Shares that are told if nothing else is configured, in 1/1000.
const CHANGED_DEFAULT: u32 = 600;
const GONE_DEFAULT: u32 = 300;
/// Fewest files that count: of a few, most change on an ordinary day.
const FILES_MIN: u64 = 20;

/// Returns an alarming change; `None` if there is none.
///
/// `files_before` is the number of files of the last good snapshot; without one nothing is.
pub(super) fn alarm_of(
    settings: Option<&AlarmSettings>,
    stats: &SnapshotStats,
    files_before: Option<u64>,
) -> Option<(AlarmKind, String)> {
    let default = AlarmSettings {
        changed_permille: Some(CHANGED_DEFAULT),
        gone_permille: Some(GONE_DEFAULT),
    };
    let limits = settings.unwrap_or(&default);
    let before = files_before?;
    let stayed = stats.totals.files.saturating_sub(stats.files_new);
    let gone = before.saturating_sub(stayed);
    let is_above = |count: u64, limit: Option<u32>| {
        limit.is_some_and(|permille| {
            count >= FILES_MIN && count * 1_000 >= before * u64::from(permille)
        })
    };
    if is_above(gone, limits.gone_permille) {
        let what = format!("{gone} of {before} files are gone since the last snapshot");
        return Some((AlarmKind::Shrunk, what));
    }
    let changed = stats.files_changed;
    is_above(changed, limits.changed_permille).then(|| {
        let what = format!("{changed} of {before} files changed since the last snapshot");
        (AlarmKind::ChangedTooMuch, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(files: u64, new: u64, changed: u64, settings: Option<AlarmSettings>) -> bool {
        let mut stats =
            SnapshotStats { files_new: new, files_changed: changed, ..SnapshotStats::default() };
        stats.totals.files = files;
        alarm_of(settings.as_ref(), &stats, Some(100)).is_some()
    }

    #[test]
    fn many_changes_at_once_are_told() {
        assert!(!alarm(100, 0, 59, None) && alarm(100, 0, 60, None));
        assert!(!alarm(71, 0, 0, None) && alarm(70, 0, 0, None));
        // 40 went and 40 came.
        assert!(alarm(100, 40, 0, None));
        let off = AlarmSettings { changed_permille: None, gone_permille: None };
        assert!(!alarm(0, 0, 0, Some(off)));
        let strict = AlarmSettings { changed_permille: Some(200), gone_permille: None };
        assert!(alarm(100, 0, 20, Some(strict)) && !alarm(100, 0, 19, Some(strict)));
    }
}
