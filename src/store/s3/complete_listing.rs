//! Detection of truncated listings: without a stated length, the SDK accepts a page that ends
//! anywhere.

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

/// End of a page, except white space.
const END: &[u8] = b"</ListBucketResult>";

/// Refuses pages of a listing without the closing tag.
#[derive(Debug)]
pub(super) struct CompleteListing;

impl Intercept for CompleteListing {
    fn name(&self) -> &'static str {
        "CompleteListing"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_list =
            settings.load::<Metadata>().is_some_and(|request| request.name() == "ListObjectsV2");
        let response = context.response_mut();
        if is_list && response.status().is_success() {
            let body = std::mem::replace(response.body_mut(), SdkBody::taken());
            *response.body_mut() = SdkBody::from_body_1_x(Ending { body, last: Vec::new() });
        }
        Ok(())
    }
}

/// A body that fails at its end unless that is the end of a page.
struct Ending {
    body: SdkBody,
    /// The last bytes, without trailing white space.
    last: Vec<u8>,
}

impl Ending {
    fn note(&mut self, bytes: &[u8]) {
        // White space between two pieces is ignored, too: no server sends a tag with white space
        // inside.
        let bytes = bytes.trim_ascii_end();
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(END.len())..]);
        let passed = self.last.len().saturating_sub(END.len());
        self.last.drain(..passed);
    }
}

impl Body for Ending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(frame) => {
                let frame = frame?;
                self.note(frame.data_ref().map_or(&[], |data| data));
                Some(Ok(frame))
            }
            None if self.last == END => None,
            None => Some(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the listing is incomplete: its end is missing",
            )
            .into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_seen_however_it_is_cut() {
        let page = b"<ListBucketResult></ListBucketResult>\n ";
        for len in 1..=page.len() {
            let mut ending = Ending { body: SdkBody::empty(), last: Vec::new() };
            page.chunks(len).for_each(|piece| ending.note(piece));
            assert_eq!(ending.last, END, "{len}");
            page.chunks(len).take(1).for_each(|_| ending.note(b"x"));
            assert_ne!(ending.last, END, "{len}");
        }
    }
}
