//! Failures of requests: kind, cause and remedy, from the server's response or its absence.
//!
//! Spec: `format-spec/12-store.md`, section 6.

use std::error::Error;
use std::fmt;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::certificate;
use super::failure::{Again, S3Failure, one_line};
use crate::store::ErrorKind;

/// The facts about a request that its failure depends on.
#[derive(Clone, Copy)]
pub(super) struct RequestContext<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The permission that it needs.
    pub permission: &'static str,
    /// Whether it changes something, so that its outcome matters.
    pub changes: bool,
    /// Whether it is a `HEAD`, whose answers have no body.
    pub is_head: bool,
}

impl RequestContext<'_> {
    /// Returns the failure kind if no response comes.
    pub(super) fn unanswered(&self) -> ErrorKind {
        if self.changes { ErrorKind::Unanswered } else { ErrorKind::Unavailable }
    }

    /// Returns the failure of the request.
    ///
    /// `was_sent`: some of it may have reached the server although no response came.
    pub(super) fn explain<E>(&self, error: SdkError<E>, was_sent: bool) -> S3Failure
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let Some(response) = error.raw_response() {
            return self
                .answered(&ErrorResponse::read(response, error.code(), error.message()))
                .because_of(&error);
        }
        if is_credentials(&error) {
            return S3Failure::new(ErrorKind::Unavailable, "credentials cannot be renewed")
                .because(error);
        }
        if let Some(failure) = certificate::failure(&error) {
            return failure;
        }
        let failure = match &error {
            SdkError::ConstructionFailure(_) => {
                S3Failure::new(ErrorKind::Other, "the request cannot be made")
            }
            _ if is_connecting(&error) => {
                S3Failure::new(ErrorKind::Unavailable, "the server cannot be reached")
            }
            _ if was_sent => {
                S3Failure::new(self.unanswered(), "the connection broke before the server answered")
            }
            _ => S3Failure::new(
                ErrorKind::Unavailable,
                "the connection broke before anything was sent",
            ),
        };
        failure.because(error)
    }

    fn answered(&self, response: &ErrorResponse<'_>) -> S3Failure {
        let said = &response.said;
        let new = |kind, text: String| S3Failure::new(kind, text);
        match (response.status, response.code) {
            (412, _) => new(ErrorKind::Exists, "the object exists".to_owned()),
            // Only with an S3 error code: a proxy in between knows nothing of the object.
            (416, code) if !code.is_empty() => {
                new(ErrorKind::Short, "the object ends before the range".to_owned())
            }
            (409, "ConditionalRequestConflict" | "OperationAborted" | "ConcurrentModification") => {
                new(ErrorKind::Unavailable, format!("another request changes the object ({said})"))
            }
            (_, "NoSuchBucket") => {
                let says = format!(
                    "there is no bucket `{}` at this endpoint: create it, or correct its name",
                    self.bucket
                );
                // For a listing the repository is missing. For other requests it is a failure:
                // their objects are not lost.
                let is_look = self.permission == "s3:ListBucket";
                new(if is_look { ErrorKind::NotFound } else { ErrorKind::Other }, says)
            }
            // A 404 without an error code comes from a proxy that cannot reach the server. Only the
            // response to a HEAD has never one.
            (404, code) if self.is_head || !code.is_empty() => {
                new(ErrorKind::NotFound, "there is no such object".to_owned())
            }
            (_, code) if is_full(response.status, code) => new(
                ErrorKind::Full,
                format!("the bucket or the server is full ({said}): make room or raise the quota"),
            ),
            (_, code) if is_busy(code) => {
                new(ErrorKind::Unavailable, format!("the server is busy ({said})"))
            }
            (_, "RequestTimeout" | "IncompleteBody") | (429, _) => {
                new(ErrorKind::Unavailable, format!("the server did not take the request ({said})"))
            }
            (_, "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch") => new(
                ErrorKind::Unavailable,
                format!("the data was corrupted on its way to the server ({said})"),
            ),
            _ => self.credentials(response).unwrap_or_else(|| self.by_status(response)),
        }
    }

    /// Returns the failure if it is about credentials, or about clocks and regions, which
    /// signatures depend on.
    fn credentials(&self, response: &ErrorResponse<'_>) -> Option<S3Failure> {
        let new = |text: &str| S3Failure::new(ErrorKind::Other, text);
        Some(match (response.status, response.code) {
            (_, "SignatureDoesNotMatch") => {
                new("the secret key is wrong: the signature of the request does not match")
                    .again(Again::Renewed)
            }
            (_, "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException") => {
                new("the server does not know the key id: it is mistyped, deleted, or of another \
                    server")
                .again(Again::Renewed)
            }
            (
                _,
                "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "InvalidToken",
            ) => {
                let says = format!(
                    "the session of these credentials has expired ({}): log in again",
                    response.said
                );
                new(&says).again(Again::Renewed)
            }
            // AWS refuses a HEAD of an expired session like this.
            (400, "") if self.is_head => {
                new(&format!("the server refuses ({})", response.said)).again(Again::Renewed)
            }
            (_, "RequestTimeTooSkewed" | "RequestExpired") => new(&response.clocks()),
            (
                _,
                "PermanentRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
            )
            | (301 | 307, _) => new(&response.region()),
            _ => return None,
        })
    }

    fn by_status(&self, response: &ErrorResponse<'_>) -> S3Failure {
        let said = &response.said;
        let new = |kind, text: String| S3Failure::new(kind, text);
        match (response.status, response.code) {
            (501, _) => new(ErrorKind::Other, format!("the server cannot do this ({said})"))
                .again(Again::AFewTimes),
            (505, _) => new(ErrorKind::Other, format!("the server refuses ({said})")),
            (503, code) if !code.is_empty() => {
                new(ErrorKind::Unavailable, format!("the server is busy ({said})"))
            }
            // Includes responses of proxies (520 to 530), and refusals without an error code.
            (408 | 425 | 500.., _) | (400 | 404 | 416, "") => {
                new(self.unanswered(), format!("the server failed ({said})"))
            }
            (401 | 403, _) => new(
                ErrorKind::NotPermitted,
                format!("the server forbids it ({said}): the credential needs {}", self.permission),
            ),
            (200..=299, _) => new(
                self.unanswered(),
                "the answer is incomplete, or does not come from an S3 server".to_owned(),
            ),
            _ => new(ErrorKind::Other, format!("the server refuses ({said})")),
        }
    }
}

impl S3Failure {
    /// Adds the cause only of an unreadable response: other texts already hold the server's
    /// message.
    fn because_of<E, R>(self, error: &SdkError<E, R>) -> Self
    where
        E: Error + 'static,
        R: fmt::Debug,
    {
        if matches!(error, SdkError::ResponseError(_)) { self.because(error) } else { self }
    }
}

/// A response of a server that reports an error.
struct ErrorResponse<'a> {
    status: u16,
    code: &'a str,
    /// Status, code and message, for people.
    said: String,
    date: Option<&'a str>,
    region: Option<&'a str>,
}

impl<'a> ErrorResponse<'a> {
    fn read(response: &'a HttpResponse, code: Option<&'a str>, message: Option<&str>) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers();
        // The SDK invents a code for a 404 without a body.
        let has_words = response.body().bytes().is_none_or(|body| !body.is_empty());
        let code = code.filter(|_| has_words).unwrap_or_default();
        let mut said = format!("{status} {code}").trim_end().to_owned();
        if let Some(message) = message.filter(|message| !message.is_empty()) {
            said += ": ";
            said += &one_line(message);
        }
        Self {
            status,
            code,
            said,
            date: headers.get("date"),
            region: headers.get("x-amz-bucket-region"),
        }
    }

    fn clocks(&self) -> String {
        let own = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
        let server = self
            .date
            .map_or_else(|| "does not say".to_owned(), |date| format!("says {}", one_line(date)));
        format!(
            "this machine's clock is wrong, or the server's: it says {own}, and the server's \
                {server}: set the clock"
        )
    }

    fn region(&self) -> String {
        match self.region {
            Some(region) => format!(
                "the bucket is in the region {0}: set `region` to {0} ({1})",
                one_line(region),
                self.said
            ),
            None => format!(
                "the bucket is not in this region or at this endpoint ({}): set `region` and \
                    `endpoint`",
                self.said
            ),
        }
    }
}

/// Quotas and full disks, in the codes of Ceph, MinIO and others.
fn is_full(status: u16, code: &str) -> bool {
    status == 507
        || ["QuotaExceeded", "StorageFull", "CapExceeded", "EntityTooLargeForQuota"]
            .iter()
            .any(|full| code.contains(full))
}

/// Overload, in the codes of several servers, with any status.
fn is_busy(code: &str) -> bool {
    let parts = [
        "SlowDown",
        "Throttl",
        "TooManyRequests",
        "LimitExceeded",
        "ServerBusy",
        "ServiceUnavailable",
        "PriorRequestNotComplete",
    ];
    parts.iter().any(|busy| code.contains(busy))
}

fn is_connecting(error: &(dyn Error + 'static)) -> bool {
    let is_connect = |error: &(dyn Error + 'static)| {
        error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
    };
    causes(error).any(is_connect)
}

fn is_credentials(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|error| error.is::<aws_credential_types::provider::error::CredentialsError>())
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
