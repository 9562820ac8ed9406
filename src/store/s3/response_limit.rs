//! Length limit of responses: the SDK buffers them whole, except the content of objects.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use bytes::Bytes;
use http_body::{Body, Frame};

/// Longest response that is not the content of an object; a page of a thousand names takes a
/// hundredth of it.
const LEN_MAX_BYTES: u64 = 16 << 20;

/// Fails responses that exceed the limit. Readers of an object's content have their own limit.
#[derive(Debug)]
pub(super) struct ResponseLimit;

impl Intercept for ResponseLimit {
    fn name(&self) -> &'static str {
        "ResponseLimit"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_get =
            settings.load::<Metadata>().is_some_and(|request| request.name() == "GetObject");
        let response = context.response_mut();
        if !(is_get && response.status().is_success()) {
            let body = std::mem::replace(response.body_mut(), SdkBody::taken());
            *response.body_mut() =
                SdkBody::from_body_1_x(Bounded { body, left_bytes: LEN_MAX_BYTES });
        }
        Ok(())
    }
}

/// A body that fails when it exceeds its limit.
struct Bounded {
    body: SdkBody,
    left_bytes: u64,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        let len = frame.data_ref().map_or(0, Bytes::len) as u64;
        Poll::Ready(Some(match self.left_bytes.checked_sub(len) {
            Some(left) => {
                self.left_bytes = left;
                Ok(frame)
            }
            None => Err(io::Error::other("the answer is longer than any of an S3 server").into()),
        }))
    }
}
