//! A named repository that is not open yet.

use std::path::Path;

use crate::settings::environment::Environment;
use crate::settings::location::Location;
use crate::settings::repository::RepositorySettings;
use crate::store::local;
use crate::text;

/// A repository that the user named, not yet opened.
pub struct RepositoryPlace {
    /// Its name in the configuration file, if it has one there.
    pub name: Option<String>,
    /// Where it is.
    pub location: Location,
    /// What the configuration file says about it.
    pub settings: Option<RepositorySettings>,
}

/// What a repository is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To look at what is there, as it is when the command begins (`format-spec/12-store.md`,
    /// section 2); nothing is stored or removed.
    Look,
    /// To back up: keys and settings may come from local copies, because they are confirmed before
    /// anything is stored.
    BackUp,
    /// Anything else.
    Work,
    /// To make it; its folder, too.
    Make,
}

impl RepositoryPlace {
    /// Returns where it is, for people, and for `--repo`.
    pub fn shown(&self) -> String {
        text::harmless(&self.location.to_string())
    }

    /// Returns what its store calls its place and itself, also where it cannot be opened.
    pub fn remembered_as(&self) -> (String, String) {
        self.local_dir().map_or_else(|| (self.shown(), self.shown()), local::names_of)
    }

    /// Returns the repository's folder, if it is one of this machine.
    pub fn local_dir(&self) -> Option<&Path> {
        self.location.local_dir()
    }

    /// Completes a location by what the configuration and the environment say of the server: a
    /// bucket's name alone says not which it is.
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
