//! Check of a repository: its location, its secrets, and whether it opens.

use std::time::Duration;

use super::{ConfigCheck, error, note, warning};
use crate::connect::credentials::read_store_password;
use crate::connect::hints::hint_of_opening;
use crate::connect::{self, Purpose, RepositoryPlace};
use crate::monitor::in_words;
use crate::settings::Settings;
use crate::sources::finding::Finding;
use crate::text;

/// Longest time for which a request of a check is repeated. A backup waits longer, but a person
/// waits for this one.
const RETRY_MAX: Duration = Duration::from_secs(10);

impl ConfigCheck<'_> {
    pub(super) fn repository(&self, name: &str) -> Vec<Finding> {
        let section = format!("repository.{name}");
        let mut findings = Vec::new();
        let checked = self.check_repository(name, &mut findings, &section);
        let heard = self.heard.take();
        findings.extend(heard.into_iter().map(|message| warning(&section, message)));
        if let Err(failed) = checked {
            let message = text::harmless(&in_words(&failed));
            let is_away = failed
                .repository()
                .is_some_and(|error| matches!(error, crate::repo::Error::NoRepository { .. }))
                || failed.is_trouble();
            let may_be_away = self.settings.has_key("repository", name, "absent");
            let finding = match is_away && may_be_away {
                true => warning(&section, message),
                false => error(&section, message),
            };
            findings.push(finding.hint(hint_of_opening(&failed).unwrap_or_default()));
        }
        findings
    }

    fn check_repository(
        &self,
        name: &str,
        findings: &mut Vec<Finding>,
        section: &str,
    ) -> connect::Result<()> {
        let place = self.connector.place(&impatient(self.settings), Some(name))?;
        let shown = place.shown();
        if self.is_offline {
            self.read_secrets(&place)?;
            findings.push(note(section, format!("{shown}: secrets are there; it was not asked")));
            return Ok(());
        }
        let repository = self.connector.open_place(&place, Purpose::Look)?;
        findings.push(note(section, format!("{} opens", text::harmless(repository.location()))));
        Ok(())
    }

    /// Reads the secrets that opening would need.
    fn read_secrets(&self, place: &RepositoryPlace) -> connect::Result<()> {
        let operator = &*self.connector.operator;
        let source = self.connector.secret_source(place)?;
        source.read(operator, &self.connector.env, &place.shown())?;
        let of_store = place.settings.iter().flat_map(|settings| {
            [settings.s3.secret.as_ref(), settings.sftp.password.as_ref()].into_iter().flatten()
        });
        for secret in of_store {
            read_store_password(operator, secret)?;
        }
        Ok(())
    }
}

/// Returns settings with which no repository is asked for long.
fn impatient(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    for repository in settings.repositories.values_mut() {
        let retry = &mut repository.connection.retry;
        *retry = Some(retry.unwrap_or(RETRY_MAX).min(RETRY_MAX));
    }
    settings
}
