//! A repository named by the user, not yet opened.

use std::path::Path;

use crate::settings::environment::Environment;
use crate::settings::location::Location;
use crate::settings::repository::RepositorySettings;
use crate::store::local;
use crate::text;

/// A repository that the user named, with its settings.
pub struct RepositoryPlace {
    /// Its name in the configuration, if it has one.
    pub name: Option<String>,
    /// Its location.
    pub location: Location,
    /// Its settings in the configuration.
    pub settings: Option<RepositorySettings>,
}

/// Purpose of opening a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Read-only, in the state at the beginning of the command (`format-spec/12-store.md`, section
    /// 2).
    Look,
    /// A backup: keys and configuration may come from local copies, because they are confirmed
    /// before anything is stored.
    BackUp,
    /// Anything else.
    Work,
    /// Creation of the repository, including its directory.
    Make,
}

impl RepositoryPlace {
    /// Returns the location for people and for `--repo`.
    pub fn shown(&self) -> String {
        text::harmless(&self.location.to_string())
    }

    /// Returns the place and the location that its store would report, without opening it.
    pub fn remembered_as(&self) -> (String, String) {
        self.local_dir().map_or_else(|| (self.shown(), self.shown()), local::names_of)
    }

    /// Returns the repository's directory, if it is on this machine.
    pub fn local_dir(&self) -> Option<&Path> {
        self.location.local_dir()
    }

    /// Makes a place. Completes the location of a bucket by endpoint and region from configuration
    /// and environment: a bucket's name alone is not unique.
    pub fn new(
        location: Location,
        named: Option<(String, RepositorySettings)>,
        env: &Environment,
    ) -> Self {
        let (name, settings) = named.unzip();
        let mut place = Self { name, location, settings };
        if let Location::S3(bucket) = &mut place.location {
            let configured = place.settings.as_ref().map(|settings| &settings.s3);
            let of_env = |names: &[&str]| {
                names.iter().find_map(|name| env.get(name)?.to_str().map(str::to_owned))
            };
            let of_server =
                || of_env(&["DRUMLIN_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
            let of_region = || of_env(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
            bucket.endpoint = bucket
                .endpoint
                .take()
                .or(configured.and_then(|s3| s3.endpoint.clone()))
                .or_else(of_server);
            bucket.region = bucket
                .region
                .take()
                .or(configured.and_then(|s3| s3.region.clone()))
                .or_else(of_region);
        }
        place
    }
}
