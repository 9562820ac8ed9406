//! Credentials and region.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, future};
use aws_sdk_s3::config::{Credentials, ProvideCredentials, Region, SharedHttpClient};
use tokio::sync::Mutex;

use super::credential_process::Programs;
use super::failure::S3Failure;
use super::options::S3Options;
use crate::store::ErrorKind;

/// Time-out of loading credentials without running a program.
const LOAD_MAX: Duration = Duration::from_secs(30);
/// Time-out per step of an instance's metadata service; where there is none, nothing answers.
const METADATA_MAX: Duration = Duration::from_secs(1);
/// Credentials are renewed this long before they expire.
const RENEW_BEFORE: Duration = Duration::from_secs(10);
/// Default region, which servers other than AWS accept, too.
const REGION: &str = "us-east-1";

/// Returns the region: the given one, else that of the environment or the profile, else
/// `us-east-1`.
pub(super) async fn region(options: &S3Options) -> Region {
    if let Some(region) = &options.region {
        return Region::new(region.trim().to_owned());
    }
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(name) = &options.profile {
        profile = profile.profile_name(name);
    }
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build());
    let region = chain
        .region()
        .await
        .map(|region| region.as_ref().trim().to_owned())
        .filter(|region| !region.is_empty());
    region.map_or(Region::from_static(REGION), Region::new)
}

/// Cached credentials, loaded again when they expire or the server refuses them.
pub(super) struct RenewingCredentials {
    source: CredentialSource,
    /// The credentials in use.
    held: Mutex<Option<Credentials>>,
    /// Number of credentials that were in use before.
    number: std::sync::atomic::AtomicU64,
}

/// Source of credentials.
enum CredentialSource {
    /// Fixed credentials.
    Given(Credentials),
    /// AWS's provider chain, or a named profile; read again each time.
    Aws { http: SharedHttpClient, region: Region, profile: Option<String>, programs: Programs },
}

impl RenewingCredentials {
    /// Takes the given credentials, or loads some from AWS's chain or the named profile.
    ///
    /// Fails within a few seconds if there are none, instead of at the first request of each
    /// thread. A credential program may take longer.
    pub(super) async fn load(
        options: &S3Options,
        http: &SharedHttpClient,
        region: Region,
    ) -> Result<Self, S3Failure> {
        let source = match &options.credentials {
            Some((id, secret)) => CredentialSource::Given(Credentials::new(
                id.trim(),
                secret.trim(),
                None,
                None,
                "drumlin",
            )),
            None => {
                let programs = Programs::new(options.without);
                CredentialSource::Aws {
                    http: http.clone(),
                    region,
                    profile: options.profile.clone(),
                    programs,
                }
            }
        };
        let first = source.load().await.map_err(not_loaded)?;
        Ok(Self { source, held: Mutex::new(Some(first)), number: 0.into() })
    }

    /// Returns the number of the credentials in use, for [`Self::renew`].
    pub(super) fn number(&self) -> u64 {
        self.number.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Loads credentials again because the server refused those with this number; returns whether
    /// there are others now.
    pub(super) async fn renew(&self, refused: u64) -> bool {
        let mut held = self.held.lock().await;
        if self.number() != refused {
            return true;
        }
        let Ok(fresh) = self.source.load().await else {
            return false;
        };
        let is_same = held.as_ref().is_some_and(|held| is_same(held, &fresh));
        self.hold(&mut held, fresh);
        !is_same
    }

    fn hold(&self, held: &mut Option<Credentials>, fresh: Credentials) {
        if held.as_ref().is_none_or(|held| !is_same(held, &fresh)) {
            self.number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        *held = Some(fresh);
    }

    async fn current(&self) -> provider::Result {
        let mut held = self.held.lock().await;
        let is_good_for = |credentials: &Credentials, span: Duration| {
            credentials.expiry().is_none_or(|expiry| SystemTime::now() + span < expiry)
        };
        if let Some(good) = held.as_ref().filter(|held| is_good_for(held, RENEW_BEFORE)) {
            return Ok(good.clone());
        }
        match self.source.load().await {
            Ok(fresh) => self.hold(&mut held, fresh),
            // The service may be down for a moment, and the old ones are still valid.
            Err(_) if held.as_ref().is_some_and(|held| is_good_for(held, Duration::ZERO)) => {}
            Err(error) => return Err(error),
        }
        held.clone().ok_or_else(|| CredentialsError::not_loaded("there are none"))
    }
}

impl fmt::Debug for RenewingCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RenewingCredentials")
    }
}

impl ProvideCredentials for RenewingCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.current())
    }
}

impl CredentialSource {
    async fn load(&self) -> provider::Result {
        let (http, region, profile, programs) = match self {
            Self::Given(credentials) => return Ok(credentials.clone()),
            Self::Aws { http, region, profile, programs } => (http, region, profile, programs),
        };
        // New each time: the SDK never reads its files twice.
        let config = ProviderConfig::without_region()
            .with_http_client(http.clone())
            .with_region(Some(region.clone()));
        let asked =
            tokio::time::timeout(LOAD_MAX, from_aws(&config, region, profile.as_deref())).await;
        let loaded =
            match asked.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(LOAD_MAX))) {
                // The SDK is built without its runner of credential programs.
                Err(error) if words(&error).any(|text| text.contains("cargo feature")) => {
                    programs.credentials(profile.clone()).await?
                }
                loaded => loaded?,
            };
        let token = loaded
            .session_token()
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        // Files and variables may end with a line end, which no header may contain.
        let (id, secret) = (loaded.access_key_id().trim(), loaded.secret_access_key().trim());
        Ok(Credentials::new(id, secret, token, loaded.expiry(), "drumlin"))
    }
}

/// Loads from the named profile, else from AWS's chain.
async fn from_aws(
    config: &ProviderConfig,
    region: &Region,
    profile: Option<&str>,
) -> provider::Result {
    let of_profile = ProfileFileCredentialsProvider::builder().configure(config);
    if let Some(name) = profile {
        // A named profile takes precedence over the environment.
        return of_profile.profile_name(name).build().provide_credentials().await;
    }
    match from_chain(config, region).await {
        // The chain does not report that the environment names a missing profile.
        Err(all @ CredentialsError::CredentialsNotLoaded(_)) => {
            match of_profile.build().provide_credentials().await {
                Err(error) if profile_failure(&error).is_some() => Err(error),
                _ => Err(all),
            }
        }
        loaded => loaded,
    }
}

/// Returns the messages of an error and its causes.
fn words(error: &CredentialsError) -> impl Iterator<Item = String> {
    let first = error as &(dyn std::error::Error + 'static);
    std::iter::successors(Some(first), |error| error.source()).map(ToString::to_string)
}

/// Loads from AWS's chain: environment, profile, files, container and instance roles.
async fn from_chain(config: &ProviderConfig, region: &Region) -> provider::Result {
    let metadata = imds::Client::builder()
        .configure(config)
        .max_attempts(1)
        .connect_timeout(METADATA_MAX)
        .read_timeout(METADATA_MAX)
        .build();
    let chain = DefaultCredentialsChain::builder()
        .configure(config.clone())
        .imds_client(metadata)
        .region(region.clone());
    chain.build().await.provide_credentials().await
}

fn is_same(one: &Credentials, other: &Credentials) -> bool {
    let parts = |of: &Credentials| {
        (
            of.access_key_id().to_owned(),
            of.secret_access_key().to_owned(),
            of.session_token().map(str::to_owned),
        )
    };
    parts(one) == parts(other)
}

const SILENT: &str = "the service that gives out credentials does not answer";

fn not_loaded(error: CredentialsError) -> S3Failure {
    if let Some(failure) = profile_failure(&error) {
        return failure;
    }
    let failure = match &error {
        CredentialsError::CredentialsNotLoaded(_) => {
            let says = "there are no credentials: set `key-id` and `secret-file` of the \
                repository, or AWS_ACCESS_KEY_ID and \
                        AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials";
            return S3Failure::new(ErrorKind::Other, says);
        }
        CredentialsError::ProviderTimedOut(_) => S3Failure::new(ErrorKind::Unavailable, SILENT),
        CredentialsError::InvalidConfiguration(_) => {
            S3Failure::new(ErrorKind::Other, "the AWS configuration is wrong")
        }
        _ => S3Failure::new(ErrorKind::Other, "credentials cannot be loaded"),
    };
    failure.because(error)
}

/// Returns the failure if it is about a profile; the SDK names it only in its message.
fn profile_failure(error: &CredentialsError) -> Option<S3Failure> {
    let named = |text: &str, after: &str| {
        let (name, rest) = text.split_once("profile `")?.1.split_once('`')?;
        rest.starts_with(after).then(|| name.to_owned())
    };
    words(error).find_map(|text| {
        let says = match (named(&text, " was not defined"), named(&text, " did not contain")) {
            (Some(name), _) => {
                format!("there is no profile `{name}` in ~/.aws/config or ~/.aws/credentials")
            }
            (None, Some(name)) => format!(
                "the profile `{name}` in ~/.aws/config or ~/.aws/credentials has no credentials"
            ),
            (None, None) => return None,
        };
        Some(S3Failure::new(ErrorKind::Other, says))
    })
}
