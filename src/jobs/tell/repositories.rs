//! Events of repositories: damage that is known, and scheduled prunes and checks that fail.

use super::row::Saying;
use crate::jobs::state::{AppState, DamageNotes, Fault, RunRecord, RunStatus, StateDir};
use crate::jobs::transient;
use crate::jobs::upkeep::Upkeep;
use crate::notify::{Facts, Happened, Happening, Trouble, TroubleKind};
use crate::settings::Settings;
use crate::text;

/// What this machine remembers of a repository.
struct Known {
    damage: Option<DamageNotes>,
    /// The last prune that failed and is not tried again within its slot.
    prune: Option<RunRecord>,
    /// The same of a check.
    check: Option<RunRecord>,
}

/// Returns what is to be said of each repository. What cannot be read is added to `failures`.
pub(super) fn sayings_of(
    settings: &Settings,
    dir: &StateDir,
    failures: &mut Vec<String>,
) -> Vec<Saying> {
    let upkeep = StateDir::of_repositories(dir.path());
    let mut sayings = Vec::new();
    for (name, repository) in &settings.repositories {
        let failed = |kind: Upkeep| match kind.schedule(repository) {
            [] => Ok(None),
            _ => upkeep.read(&kind.state_name(name)).map(failed_for_good),
        };
        let known = dir.repository_notes(name).and_then(|notes| {
            let (prune, check) = (failed(Upkeep::Prune)?, failed(Upkeep::Check)?);
            Ok(Known { damage: notes.damage, prune, check })
        });
        match known {
            Ok(known) => sayings.push(known.saying(name)),
            Err(error) => failures.push(format!("{name}: nobody can tell how it is: {error}")),
        }
    }
    sayings
}

/// Returns the last run if it failed and is not tried again.
fn failed_for_good(state: AppState) -> Option<RunRecord> {
    let last = state.last.filter(|last| last.status == RunStatus::Failed)?;
    transient::retry_at_s(&last, None).is_none().then_some(last)
}

impl Known {
    /// Returns all that holds of a repository, for one message.
    fn saying(&self, repository: &str) -> Saying {
        let trouble = |kind| Trouble::of_target(kind, repository);
        let of_run = |kind, run: Option<&RunRecord>| match run {
            Some(run) => Happened::Holds { trouble: trouble(kind), since_s: run.started },
            None => Happened::Ended(trouble(kind)),
        };
        let has_fault = |fault| move |run: &&RunRecord| run.fault == Some(fault);
        let check = self.check.as_ref();
        let rolled_back = check.filter(has_fault(Fault::RolledBack));
        // A check that found damage did its work.
        let failed = check.filter(|run| run.fault.is_none());
        let damage = match &self.damage {
            Some(known) => {
                Happened::Holds { trouble: trouble(TroubleKind::Damage), since_s: known.since_s }
            }
            None => Happened::Ended(trouble(TroubleKind::Damage)),
        };
        let what = Happened::Together(vec![
            damage,
            of_run(TroubleKind::RolledBack, rolled_back),
            of_run(TroubleKind::PruneFailed, self.prune.as_ref()),
            of_run(TroubleKind::CheckFailed, failed),
        ]);
        let told = rolled_back.or(self.prune.as_ref()).or(failed);
        let mut facts = Facts {
            errors: told.and_then(|run| run.error.clone()).into_iter().collect(),
            hint: told.and_then(|run| run.hint.clone()),
            ..Facts::default()
        };
        if let Some(known) = &self.damage {
            let objects = text::counted(known.objects, "object");
            facts.errors.insert(0, format!("{objects} damaged or missing"));
            facts.hint = Some(format!(
                "`drumlin --repo {repository} check` names them, and `repair` mends what can be"
            ));
        }
        Saying::of(Happening { what, facts })
    }
}

#[cfg(test)]
mod tests;
