//! Rejection of successful responses that are web pages.

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// Rejects web pages: a captive portal or proxy answers with them, and with status 200.
#[derive(Debug)]
pub(super) struct RejectHtml;

impl Intercept for RejectHtml {
    fn name(&self) -> &'static str {
        "RejectHtml"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let (status, headers) = (response.status(), response.headers());
        // Some servers label every response as HTML, even empty ones.
        let is_empty = status.as_u16() == 204
            || headers.get("content-length").is_some_and(|len| len.trim() == "0");
        let kind = headers.get("content-type").unwrap_or_default();
        if status.is_success()
            && !is_empty
            && kind.trim_start().to_ascii_lowercase().starts_with("text/html")
        {
            return Err("it is a web page".into());
        }
        Ok(())
    }
}
