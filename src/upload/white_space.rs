//! White space before the XML of an answer, which S3 sends to keep the connection open while it makes an
//! object of parts: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>.

use std::mem::replace;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::{Error, SdkBody};
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use http_body::{Body, Frame};

/// Removes it: the SDK takes an XML declaration behind it for a mistake.
#[derive(Debug)]
pub(super) struct WithoutWhiteSpace;

#[dyn_dispatch_hint]
impl Intercept for WithoutWhiteSpace {
    fn name(&self) -> &'static str {
        "WithoutWhiteSpace"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let inner = replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Trimmed { inner, has_begun: false });
        Ok(())
    }
}

struct Trimmed {
    inner: SdkBody,
    has_begun: bool,
}

impl Body for Trimmed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let frame = ready!(Pin::new(&mut self.inner).poll_frame(context)).transpose()?;
            let Some(frame) = frame else { return Poll::Ready(None) };
            let data = match frame.into_data() {
                Ok(data) if !self.has_begun => data,
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(other) => return Poll::Ready(Some(Ok(other))),
            };
            let rest = data.slice(data.len() - data.trim_ascii_start().len()..);
            if !rest.is_empty() {
                self.has_begun = true;
                return Poll::Ready(Some(Ok(Frame::data(rest))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[test]
    fn only_white_space_at_the_beginning_is_removed_however_it_is_cut() {
        let text = b" \r\n  \n<?xml version=\"1.0\"?>\n<a> b </a>\n";
        for size in 1..=text.len() {
            let frames = text
                .chunks(size)
                .map(|chunk| Ok::<_, std::io::Error>(Frame::data(Bytes::copy_from_slice(chunk))));
            let stream = futures_util::stream::iter(frames.collect::<Vec<_>>());
            let inner = SdkBody::from_body_1_x(StreamBody::new(stream));
            let all = Trimmed { inner, has_begun: false }.collect().now_or_never();
            let all = all.expect("nothing is waited for").expect("no error").to_bytes();
            assert_eq!(&all[..], text.trim_ascii_start().iter().as_slice(), "{size}");
        }
    }
}
