//! The format of an upload whose checksum is known only after its last byte.
//!
//! The body is `aws-chunked` with the checksum as a trailer and the payload unsigned:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>. The SDK's own
//! encoder copies every byte twice and, over plain HTTP, signs each 64 KiB: `docs/benchmark.md` has
//! what that costs. Here the picture is one chunk, and its bytes pass unchanged between a head and a
//! tail.

use aws_runtime::auth::PayloadSigningOverride;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// A placeholder: every CRC-32 in base64 has this length.
const SOME_CRC32: &str = "AAAAAA==";

/// The bytes before the picture.
pub(super) fn head(length: u64) -> String {
    format!("{length:x}\r\n")
}

/// The bytes after the picture. `crc32` is big-endian, in base64.
pub(super) fn tail(crc32: &str) -> String {
    format!("\r\n0\r\nx-amz-checksum-crc32:{crc32}\r\n\r\n")
}

/// The length of the body for a picture of `length` bytes.
pub(super) fn encoded_length(length: u64) -> u64 {
    length + (head(length).len() + tail(SOME_CRC32).len()) as u64
}

/// Declares this format in the headers of a request, and has it signed accordingly.
#[derive(Debug)]
pub(super) struct ChecksumTrailer {
    /// The length of the picture in bytes.
    pub(super) length: u64,
}

#[dyn_dispatch_hint]
impl Intercept for ChecksumTrailer {
    fn name(&self) -> &'static str {
        "ChecksumTrailer"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        headers.insert("content-encoding", "aws-chunked");
        headers.insert("content-length", encoded_length(self.length).to_string());
        headers.insert("x-amz-decoded-content-length", self.length.to_string());
        headers.insert("x-amz-trailer", "x-amz-checksum-crc32");
        config
            .interceptor_state()
            .store_put(PayloadSigningOverride::StreamingUnsignedPayloadTrailer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_on_the_wire_is_that_of_head_bytes_and_tail() {
        for length in [1, 15, 16, 200_000, 8 << 20] {
            let parts = head(length).len() as u64 + length + tail("iIiIiA==").len() as u64;
            assert_eq!(encoded_length(length), parts);
        }
    }
}
