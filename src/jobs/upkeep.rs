//! Upkeep of repositories by schedule, as other parts name it.

use crate::settings::repository::RepositorySettings;

/// What is done with a repository by schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// `drumlin prune`.
    Prune,
    /// `drumlin check`.
    Check,
}

impl Upkeep {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Prune, Self::Check];

    /// Returns the name of its command.
    pub fn command(self) -> &'static str {
        match self {
            Self::Prune => "prune",
            Self::Check => "check",
        }
    }

    /// Returns the lines of its schedule.
    pub fn schedule(self, repository: &RepositorySettings) -> &[String] {
        match self {
            Self::Prune => &repository.upkeep.prune,
            Self::Check => &repository.upkeep.check,
        }
    }

    /// Returns the name of its state below that of repositories.
    pub fn state_name(self, repository: &str) -> String {
        format!("{repository}/{}", self.command())
    }
}
