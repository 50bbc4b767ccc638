//! Signed requests to the S3, without the SDK, which cannot send invalid
//! requests.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use ring::{digest, hmac};
use sandbox::{Issued, S3Store};

use crate::common::{Answer, exchange, hex, split};

/// A request to sign and send.
pub struct Signed<'a> {
    pub store: &'a S3Store,
    pub key: &'a Issued,
    pub token: Option<&'a str>,
    pub content: &'a str,
}

impl<'a> Signed<'a> {
    /// A request with an unsigned payload and the right session token.
    pub fn new(store: &'a S3Store, key: &'a Issued) -> Self {
        Self { store, key, token: Some(&key.session_token), content: "UNSIGNED-PAYLOAD" }
    }

    /// The head of a request, signed with AWS Signature Version 4.
    pub fn head(&self, method: &str, path: &str, extra: &[(&str, &str)]) -> String {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let date = now.replace(['-', ':'], "");
        let endpoint = self.store.endpoint();
        let mut headers = vec![
            ("host", split(&endpoint).0),
            ("x-amz-content-sha256", self.content),
            ("x-amz-date", &date),
        ];
        headers.extend(self.token.map(|token| ("x-amz-security-token", token)));
        headers.extend(extra);
        headers.sort_unstable();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines = headers.iter().fold(String::new(), |mut lines, (name, value)| {
            let _ = writeln!(lines, "{name}:{value}");
            lines
        });
        let (target, query) = path.split_once('?').unwrap_or((path, ""));
        let canonical = format!("{method}\n{target}\n{query}\n{lines}\n{names}\n{}", self.content);
        let scope = format!("{}/us-east-1/s3/aws4_request", &date[..8]);
        let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let mut key = format!("AWS4{}", self.key.secret_access_key).into_bytes();
        for part in [&date[..8], "us-east-1", "s3", "aws4_request", &text] {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes())
                .as_ref()
                .to_vec();
        }
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(
            head,
            "authorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}\r\nconnection: close\r\n\r\n",
            self.key.access_key_id,
            hex(&key)
        );
        head
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let length = body.len().to_string();
        let mut headers = extra.to_vec();
        headers.push(("content-length", &length));
        let head = self.head(method, path, &headers);
        let endpoint = self.store.endpoint();
        exchange(split(&endpoint).0, &[head.as_bytes(), body]).await
    }

    /// Sends a body in aws-chunked encoding with a trailing CRC32, as the SDK
    /// does.
    pub async fn send_trailing(&self, path: &str, body: &[u8], crc: &str) -> Answer {
        let mut chunked = format!("{:x}\r\n", body.len()).into_bytes();
        chunked.extend_from_slice(body);
        let trailer = format!("\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n");
        chunked.extend_from_slice(trailer.as_bytes());
        let length = body.len().to_string();
        let extra = [
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", length.as_str()),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ];
        let signed = Self { content: "STREAMING-UNSIGNED-PAYLOAD-TRAILER", ..*self };
        signed.send("PUT", path, &extra, &chunked).await
    }
}

/// A store, and credentials that are valid for an hour.
pub async fn store() -> (S3Store, std::sync::Arc<sandbox::Credentials>, Issued) {
    let registry = sandbox::Credentials::new();
    let store = S3Store::start(registry.clone(), sandbox::S3Options::default()).await.unwrap();
    let key = registry.issue(Duration::from_hours(1));
    (store, registry, key)
}
