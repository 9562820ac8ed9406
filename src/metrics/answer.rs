//! Answers to requests for `/metrics` and `/healthz`.
//!
//! Pure, so that any listener can use it: the daemon's own, and later that of the web page.

use super::text::text;
use super::values::Values;

/// The media type of metrics.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const PLAIN: &str = "text/plain; charset=utf-8";

/// An answer over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code. With 405, the listener adds `Allow: GET, HEAD`.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body. For `HEAD` the listener sends its length only.
    pub body: String,
}

/// Answers a request by its method and target, which may have a query.
///
/// `complaint` says why the program is not healthy, if it is not: `/healthz` has status 503 then.
/// `/metrics` has status 200 all the same, because its values are what tells people.
pub fn answer(method: &str, target: &str, values: &Values, complaint: Option<&str>) -> Answer {
    let plain =
        |status, says: &str| Answer { status, content_type: PLAIN, body: format!("{says}\n") };
    if !matches!(method, "GET" | "HEAD") {
        return plain(405, "only GET and HEAD are allowed here");
    }
    match (target.split('?').next(), complaint) {
        (Some("/metrics"), _) => {
            Answer { status: 200, content_type: CONTENT_TYPE, body: text(values) }
        }
        (Some("/healthz"), None) => plain(200, "ok"),
        (Some("/healthz"), Some(complaint)) => plain(503, complaint),
        _ => plain(404, "there are /metrics and /healthz"),
    }
}
