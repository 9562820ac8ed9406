//! Apps of labels that are not backed up any more: their containers are gone, or their labels are
//! not valid.
//!
//! Nothing else remembers them: an app of labels exists only as long as the engine shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::row::Saying;
use crate::notify::{Facts, Happened, Happening, Trouble, TroubleKind};
use crate::settings::Settings;

/// Seconds for which an app may be gone before it is told: an update makes its containers anew.
const PATIENCE_S: i64 = 3_600;
/// After so many seconds it is noted again that an app is there.
const REFRESH_S: i64 = 600;
/// Most apps that are remembered.
const APPS_MAX: usize = 200;

/// What is remembered of apps of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Absent {
    /// When each was last seen to be backed up, or first seen with a fault; in seconds since 1970.
    seen_s: BTreeMap<String, i64>,
    /// Those that the last look said to be gone.
    #[serde(skip)]
    gone: Vec<String>,
}

impl Absent {
    /// Takes over what the engine shows, and returns what is to be said. Nothing changes if it did
    /// not answer.
    pub(super) fn look(&mut self, settings: &Settings, now_s: i64) -> Vec<Saying> {
        if !settings.docker.has_labels {
            *self = Self::default();
        }
        self.gone.clear();
        let Some(labelled) = &settings.labelled else { return Vec::new() };
        for app in labelled.apps.iter().chain(labelled.faults.keys()) {
            if self.seen_s.len() < APPS_MAX || self.seen_s.contains_key(app) {
                let is_backed_up = labelled.apps.contains(app);
                let seen_s = self.seen_s.entry(app.clone()).or_insert(now_s);
                // Each change is written, which wakes up a disk that sleeps.
                let is_old = (now_s - *seen_s).abs() >= REFRESH_S;
                *seen_s = if is_backed_up && is_old { now_s } else { now_s.min(*seen_s) };
            }
        }
        let is_gone = |(app, seen_s): &(&String, &i64)| {
            let is_shown = labelled.apps.contains(*app) || labelled.faults.contains_key(*app);
            !is_shown && now_s.saturating_sub(**seen_s) > PATIENCE_S
        };
        self.gone = self.seen_s.iter().filter(is_gone).map(|(app, _)| app.clone()).collect();
        let sayings = self.seen_s.iter().filter_map(|(app, seen_s)| {
            let trouble = Trouble::of_target(TroubleKind::LeftOut, app);
            let holds = |why: &str| {
                let what = Happened::Holds { trouble: trouble.clone(), since_s: *seen_s };
                Happening { what, facts: facts(why) }
            };
            Some(Saying::of(match labelled.faults.get(app) {
                Some(why) => holds(why),
                None if labelled.apps.contains(app) => {
                    Happening { what: Happened::Ended(trouble), facts: Facts::default() }
                }
                None if self.gone.contains(app) => holds("no container has its labels any more"),
                None => return None,
            }))
        });
        sayings.collect()
    }

    /// Forgets the apps that were told to be gone: the user may have removed them, and hears of it
    /// once.
    pub(super) fn forget_told(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        self.seen_s.retain(|app, _| !gone.contains(app));
    }

    /// Returns the names of the apps that are remembered.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.seen_s.keys().cloned()
    }
}

fn facts(why: &str) -> Facts {
    let hint = "what was backed up stays in the repository; `drumlin snapshots` lists it";
    Facts { errors: vec![why.to_owned()], hint: Some(hint.to_owned()), ..Facts::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::docker::Labelled;

    fn settings(apps: &[&str], faults: &[&str]) -> Settings {
        let names = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let mut settings = Settings::default();
        settings.docker.has_labels = true;
        settings.labelled = Some(Labelled {
            apps: names(apps).into_iter().collect(),
            faults: names(faults).into_iter().map(|app| (app, "no".to_owned())).collect(),
        });
        settings
    }

    /// Looks, and returns the names of the apps that are not backed up.
    fn left_out(known: &mut Absent, settings: &Settings, now_s: i64) -> Vec<String> {
        let sayings = known.look(settings, now_s);
        known.forget_told();
        let held = sayings.into_iter().filter_map(|saying| match saying.happening.what {
            Happened::Holds { trouble, .. } => trouble.target,
            _ => None,
        });
        held.collect()
    }

    #[test]
    fn an_app_that_is_gone_is_told_once_after_an_hour() {
        let mut known = Absent::default();
        let (both, one) = (settings(&["wiki", "shop"], &[]), settings(&["wiki"], &[]));
        assert!(left_out(&mut known, &both, 1_000).is_empty());
        assert!(left_out(&mut known, &one, 1_060).is_empty(), "it may be made anew");
        assert!(left_out(&mut known, &both, 2_000).is_empty());
        let mut unknown = one.clone();
        unknown.labelled = None;
        assert!(left_out(&mut known, &unknown, 9_000).is_empty(), "nobody knows");
        assert_eq!(left_out(&mut known, &one, 9_060), ["shop"]);
        assert!(left_out(&mut known, &one, 9_120).is_empty());
        assert!(left_out(&mut known, &both, 9_180).is_empty());
        let none = Settings::default();
        assert!(left_out(&mut known, &none, 99_000).is_empty(), "labels are not read any more");
        assert_eq!(known, Absent::default());
    }

    #[test]
    fn an_app_with_faulty_labels_is_told_while_it_lasts() {
        let mut known = Absent::default();
        let faulty = settings(&["wiki"], &["shop"]);
        for now_s in [1_000, 9_000, 99_000] {
            assert_eq!(left_out(&mut known, &faulty, now_s), ["shop"]);
        }
        let gone = settings(&["wiki"], &[]);
        assert_eq!(left_out(&mut known, &gone, 99_060), ["shop"], "the container is removed");
        assert!(left_out(&mut known, &gone, 99_120).is_empty());
    }
}
