//! Stores that speak less of S3 than S3 does, in memory: what gateways and older stores do with the
//! checksum of an upload. None checks signatures.
//!
//! - s3rver 3.7 keeps `aws-chunked` framing as content, and answers 200 with an entity tag (run);
//! - Ceph RGW 16 refuses a trailer as a bad digest (run); others refuse it with 400, 403, 411 or 501;
//! - stores before 2025 know no `x-amz-checksum-` headers, and echo none:
//!   <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html> documents the echo.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use url::Url;

use crate::body::hex;
use crate::scripted::{Asked, Reply, Scripted};

/// What a store does that S3 does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// It keeps the framing of `aws-chunked` as content.
    KeepsFraming,
    /// It refuses a checksum behind the body, with this status and code.
    RefusesTrailers(u16, &'static str),
    /// It refuses every header about checksums, with this status and code.
    RefusesChecksums(u16, &'static str),
    /// It answers without checksums.
    EchoesNothing,
    /// Its entity tags are no MD5.
    HasTagsOfItsOwn,
    /// It loses the last byte of each object.
    LosesAByte,
    /// It refuses to read objects.
    RefusesReading,
    /// It refuses to delete objects.
    RefusesDeleting,
    /// It sends white space before the XML of `CompleteMultipartUpload`.
    SendsWhiteSpace,
    /// It knows buckets by the name of the host alone: `BUCKET.DOMAIN`.
    HasDomain(&'static str),
    /// It answers this many of the first uploads with this status and code.
    RefusesFirst(usize, u16, &'static str),
}

/// A store in memory with its oddities, on 127.0.0.1.
#[derive(Debug)]
pub struct OddStore {
    server: Scripted,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    objects: BTreeMap<String, Bytes>,
    /// The parts of each upload, by number.
    uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    refused: usize,
}

impl OddStore {
    /// Starts the store, which has every bucket.
    ///
    /// # Errors
    ///
    /// A port cannot be bound.
    pub async fn start(oddities: &[Oddity]) -> io::Result<Self> {
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let its = Arc::clone(&shared);
        let oddities = oddities.to_vec();
        let server = Scripted::start(move |asked| answer(&oddities, &its, asked)).await?;
        Ok(Self { server, shared })
    }

    /// The URL for `AWS_ENDPOINT_URL_S3`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.server.url("")
    }

    /// The address of the store.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The objects by `BUCKET/KEY`.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        lock(&self.shared).objects.clone()
    }

    /// The multipart uploads that were neither completed nor aborted.
    #[must_use]
    pub fn uploads(&self) -> usize {
        lock(&self.shared).uploads.len()
    }

    /// The requests so far, in order of arrival.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.server.asked()
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(oddities: &[Oddity], shared: &Mutex<Shared>, asked: &Asked) -> Reply {
    let has = |name: &str| asked.headers.contains_key(name);
    let is_about_checksums = |name: &String| {
        name.starts_with("x-amz-checksum-")
            || name == "x-amz-sdk-checksum-algorithm"
            || name == "x-amz-trailer"
    };
    let is_refused = asked.method != "GET" && asked.headers.keys().any(is_about_checksums);
    let mut shared = lock(shared);
    for oddity in oddities {
        match *oddity {
            Oddity::RefusesTrailers(status, code) if has("x-amz-trailer") => {
                return error(status, code);
            }
            Oddity::RefusesChecksums(status, code) if is_refused => return error(status, code),
            Oddity::RefusesFirst(times, status, code)
                if asked.method == "PUT" && shared.refused < times =>
            {
                shared.refused += 1;
                return error(status, code);
            }
            _ => {}
        }
    }
    let Some((name, query)) = name(oddities, asked) else { return error(404, "NoSuchBucket") };
    let is = |oddity| oddities.contains(&oddity);
    match (asked.method.as_str(), query.get("uploadId")) {
        ("POST", None) if query.contains_key("uploads") => {
            let id = format!("upload-{}", uuid::Uuid::new_v4());
            shared.uploads.insert(id.clone(), BTreeMap::new());
            Reply::new(
                200,
                format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ),
            )
        }
        ("PUT", Some(id)) => {
            let number = query.get("partNumber").and_then(|number| number.parse().ok());
            let (Some(parts), Some(number)) = (shared.uploads.get_mut(id), number) else {
                return error(404, "NoSuchUpload");
            };
            let content = content(oddities, asked);
            let reply = stored(oddities, &content, has("x-amz-checksum-crc32"));
            parts.insert(number, content);
            reply
        }
        ("POST", Some(id)) => {
            let Some(parts) = shared.uploads.remove(id) else { return error(404, "NoSuchUpload") };
            let mut tags = Md5::new();
            for part in parts.values() {
                tags.update(Md5::digest(part));
            }
            let mut tag = format!("{}-{}", hex(&tags.finalize()), parts.len());
            if is(Oddity::HasTagsOfItsOwn) {
                tag = uuid::Uuid::new_v4().to_string();
            }
            shared.objects.insert(name, parts.into_values().flatten().collect());
            let spaces = if is(Oddity::SendsWhiteSpace) { "  \n \n" } else { "" };
            Reply::new(
                200,
                format!(
                    "{spaces}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUploadResult>\
                     <ETag>&quot;{tag}&quot;</ETag></CompleteMultipartUploadResult>"
                ),
            )
        }
        ("DELETE", Some(id)) => {
            shared.uploads.remove(id);
            Reply::new(204, "")
        }
        ("PUT", None) => {
            let content = content(oddities, asked);
            let reply =
                stored(oddities, &content, has("x-amz-checksum-crc32") || has("x-amz-trailer"));
            shared.objects.insert(name, content);
            reply
        }
        ("GET", None) if is(Oddity::RefusesReading) => error(403, "AccessDenied"),
        ("GET", None) => match shared.objects.get(&name) {
            Some(content) => Reply::new(200, content.clone()).header("etag", "\"x\""),
            None => error(404, "NoSuchKey"),
        },
        ("DELETE", None) if is(Oddity::RefusesDeleting) => error(403, "AccessDenied"),
        ("DELETE", None) => {
            shared.objects.remove(&name);
            Reply::new(204, "")
        }
        _ => error(405, "MethodNotAllowed"),
    }
}

/// The object, as `BUCKET/KEY`, and the query. `None` if the bucket is not where the store looks for it.
fn name(oddities: &[Oddity], asked: &Asked) -> Option<(String, BTreeMap<String, String>)> {
    let base = Url::parse("http://store.invalid/").ok()?;
    let url = base.join(&asked.target).ok()?;
    let path = url.path().trim_start_matches('/');
    let query = url.query_pairs().into_owned().collect();
    let domain = oddities.iter().find_map(|oddity| match oddity {
        Oddity::HasDomain(domain) => Some(*domain),
        _ => None,
    });
    let Some(domain) = domain else { return Some((path.to_owned(), query)) };
    let host = asked.headers.get("host")?.split(':').next()?;
    let bucket = host.strip_suffix(domain)?.strip_suffix('.')?;
    Some((format!("{bucket}/{path}"), query))
}

/// What the store keeps of a body.
fn content(oddities: &[Oddity], asked: &Asked) -> Bytes {
    let is_framed =
        asked.headers.get("content-encoding").is_some_and(|coding| coding == "aws-chunked");
    let content = if is_framed && !oddities.contains(&Oddity::KeepsFraming) {
        unframed(&asked.body)
    } else {
        asked.body.clone()
    };
    let lost = usize::from(oddities.contains(&Oddity::LosesAByte));
    content.slice(..content.len().saturating_sub(lost))
}

/// The content of a body in `aws-chunked` whose chunks are not signed.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>
fn unframed(body: &[u8]) -> Bytes {
    let mut content = Vec::new();
    let mut rest = body;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok();
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).unwrap_or(0);
        let Some(chunk) = rest.get(end + 2..end + 2 + size).filter(|chunk| !chunk.is_empty())
        else {
            break;
        };
        content.extend_from_slice(chunk);
        rest = &rest[(end + size + 4).min(rest.len())..];
    }
    content.into()
}

/// The answer to content that was stored, with its checksum if one was `sent`.
fn stored(oddities: &[Oddity], content: &[u8], sent: bool) -> Reply {
    let is = |oddity| oddities.contains(&oddity);
    let tag = if is(Oddity::HasTagsOfItsOwn) {
        uuid::Uuid::new_v4().to_string()
    } else {
        hex(&Md5::digest(content))
    };
    let reply = Reply::new(200, "").header("etag", &format!("\"{tag}\""));
    if !sent || is(Oddity::EchoesNothing) || is(Oddity::KeepsFraming) {
        return reply;
    }
    let crc32 = crc32fast::hash(content).to_be_bytes();
    reply.header("x-amz-checksum-crc32", &STANDARD.encode(crc32))
}

fn error(status: u16, code: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>not here</Message></Error>"
    );
    let body = if code.is_empty() { String::new() } else { body };
    Reply::new(status, body).header("content-type", "application/xml")
}
