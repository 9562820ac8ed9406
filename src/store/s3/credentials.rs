//! Who we are to the server, and which region it is in.

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::{Credentials, ProvideCredentials, Region, SharedCredentialsProvider, SharedHttpClient};

use super::errors::Failure;
use super::options::S3Options;
use crate::store::ErrorKind;

/// Longest time that loading credentials may take.
pub const LOAD_MAX: Duration = Duration::from_secs(10);
/// How long an instance's metadata service may take for a step; where there is none, nothing answers.
const METADATA_MAX: Duration = Duration::from_secs(1);
/// What AWS calls its first region, and others accept.
const REGION: &str = "us-east-1";

/// Returns the region: the given one, else that of the environment or the profile, else `us-east-1`.
pub async fn region(options: &S3Options) -> Region {
    if let Some(region) = &options.region {
        return Region::new(region.clone());
    }
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(name) = &options.profile {
        profile = profile.profile_name(name);
    }
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(profile.build());
    chain.region().await.unwrap_or(Region::from_static(REGION))
}

/// Returns the given credentials, or AWS's chain, which renews those that run out, once it has found some.
///
/// Without any this fails within a few seconds, and not at the first request of each thread.
pub async fn load(options: &S3Options, http: &SharedHttpClient, region: Region) -> Result<SharedCredentialsProvider, Failure> {
    if let Some((id, secret)) = &options.credentials {
        return Ok(SharedCredentialsProvider::new(Credentials::new(id, secret.as_str(), None, None, "drumlin")));
    }
    let config = ProviderConfig::without_region().with_http_client(http.clone()).with_region(Some(region.clone()));
    let metadata = imds::Client::builder()
        .configure(&config)
        .max_attempts(1)
        .connect_timeout(METADATA_MAX)
        .read_timeout(METADATA_MAX)
        .build();
    let mut chain = DefaultCredentialsChain::builder().configure(config).imds_client(metadata).region(region);
    if let Some(name) = &options.profile {
        chain = chain.profile_name(name);
    }
    let chain = SharedCredentialsProvider::new(chain.build().await);
    match tokio::time::timeout(LOAD_MAX, chain.provide_credentials()).await {
        Ok(Ok(_)) => Ok(chain),
        Ok(Err(error)) => Err(not_loaded(error)),
        Err(_) => Err(Failure::new(ErrorKind::Unavailable, "the service that gives out credentials does not answer")),
    }
}

fn not_loaded(error: CredentialsError) -> Failure {
    let failure = match &error {
        CredentialsError::CredentialsNotLoaded(_) => {
            let says = "there are no credentials: set `key-id` and `secret-file` of the repository, or AWS_ACCESS_KEY_ID and \
                        AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials";
            return Failure::new(ErrorKind::Other, says);
        }
        CredentialsError::ProviderTimedOut(_) => {
            Failure::new(ErrorKind::Unavailable, "the service that gives out credentials does not answer")
        }
        CredentialsError::InvalidConfiguration(_) => Failure::new(ErrorKind::Other, "the AWS configuration is wrong"),
        _ => Failure::new(ErrorKind::Other, "credentials cannot be loaded"),
    };
    failure.because(error)
}
