//! Answers to requests for `/metrics` and `/healthz`.
//!
//! Pure, so that any listener can use it: the daemon's own, and later that of the web page.

use std::sync::Arc;

use super::text::text;
use super::values::Values;

/// The media type of metrics.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const PLAIN: &str = "text/plain; charset=utf-8";

/// What is answered from. Copies share their texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    metrics: Arc<str>,
    complaint: Option<Arc<str>>,
}

impl Page {
    /// Makes a page of values. `complaint` says why the program is not healthy, if it is not.
    pub fn new(values: &Values, complaint: Option<&str>) -> Self {
        Self { metrics: text(values).into(), complaint: complaint.map(Arc::from) }
    }
}

/// An answer over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code. With 405, the listener adds `Allow: GET, HEAD`.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body. For `HEAD` the listener sends its length only.
    pub body: Arc<str>,
}

impl Answer {
    /// Makes an answer of one sentence.
    pub(super) fn plain(status: u16, says: &str) -> Self {
        Self { status, content_type: PLAIN, body: format!("{says}\n").into() }
    }
}

/// Answers a request by its method and target, which may have a query.
///
/// `/healthz` has status 503 if there is a complaint. `/metrics` has status 200 all the same,
/// because its values are what tells people.
pub fn answer(method: &str, target: &str, page: &Page) -> Answer {
    if !matches!(method, "GET" | "HEAD") {
        return Answer::plain(405, "only GET and HEAD are allowed here");
    }
    match (target.split('?').next(), &page.complaint) {
        (Some("/metrics"), _) => {
            let body = Arc::clone(&page.metrics);
            Answer { status: 200, content_type: CONTENT_TYPE, body }
        }
        (Some("/healthz"), None) => Answer::plain(200, "ok"),
        (Some("/healthz"), Some(complaint)) => Answer::plain(503, complaint),
        _ => Answer::plain(404, "there are /metrics and /healthz"),
    }
}
