//! What an object or a part consists of, and what an answer of S3 shows of it.
//!
//! A success alone shows nothing: a store that does not know `aws-chunked` keeps the framing as a part of
//! the object. So an answer counts only if it has the checksum of the picture, or an entity tag that is its
//! MD5.

use std::fmt::Write as _;

use aws_smithy_types::base64;
use bytes::Bytes;
use md5::{Digest, Md5};

/// What an object or a part must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) length: u64,
    pub(super) crc32: u32,
}

impl Content {
    /// The CRC-32 as `x-amz-checksum-crc32` has it: big-endian, in base64.
    pub(super) fn checksum(self) -> String {
        base64::encode(self.crc32.to_be_bytes())
    }

    /// These bytes, then those.
    pub(super) fn then(self, next: Self) -> Self {
        let mut crc32 = crc32fast::Hasher::new_with_initial_len(self.crc32, self.length);
        crc32.combine(&crc32fast::Hasher::new_with_initial_len(next.crc32, next.length));
        Self { length: self.length + next.length, crc32: crc32.finalize() }
    }

    pub(super) const EMPTY: Self = Self { length: 0, crc32: 0 };
}

/// What an answer shows of the object or part that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Same,
    Other,
    Nothing,
}

/// What an answer to these bytes shows: its checksum, or else its entity tag, which most stores make the
/// MD5 of what they have.
pub(super) fn shown(
    content: Content,
    chunks: &[Bytes],
    crc32: Option<&str>,
    e_tag: Option<&str>,
) -> Shown {
    match crc32 {
        Some(crc32) if crc32 == content.checksum() => Shown::Same,
        Some(_) => Shown::Other,
        None if e_tag.and_then(md5_of).is_some_and(|tag| tag == md5(chunks)) => Shown::Same,
        None => Shown::Nothing,
    }
}

/// What the answer to the completion of an upload shows of its parts, each of which is known to be right:
/// a checksum of checksums, or an entity tag of entity tags.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>
pub(super) fn shown_of_parts(
    parts: &[(Content, String)],
    crc32: Option<&str>,
    e_tag: Option<&str>,
) -> Shown {
    let number = parts.len();
    let whole = parts.iter().fold(Content::EMPTY, |all, (part, _)| all.then(*part));
    if let Some(crc32) = crc32 {
        let mut of_parts = crc32fast::Hasher::new();
        for (part, _) in parts {
            of_parts.update(&part.crc32.to_be_bytes());
        }
        let composite = base64::encode(of_parts.finalize().to_be_bytes());
        let is_same = crc32 == format!("{composite}-{number}")
            || crc32 == composite
            || crc32 == whole.checksum();
        return if is_same { Shown::Same } else { Shown::Other };
    }
    let tags: Option<Vec<_>> = parts.iter().map(|(_, tag)| md5_of(tag)).collect();
    let expected = tags.map(|tags| {
        let tags: Vec<_> = tags.into_iter().map(|tag| Bytes::copy_from_slice(&tag)).collect();
        format!("{}-{number}", hexadecimal(&md5(&tags)))
    });
    let tag = e_tag.map(|tag| tag.trim_matches('"').to_ascii_lowercase());
    if expected.is_some() && tag == expected { Shown::Same } else { Shown::Nothing }
}

fn md5(chunks: &[Bytes]) -> [u8; 16] {
    let mut md5 = Md5::new();
    for chunk in chunks {
        md5.update(chunk);
    }
    md5.finalize().into()
}

/// The MD5 that an entity tag consists of, if it looks like one.
fn md5_of(tag: &str) -> Option<[u8; 16]> {
    let digits = tag.trim_matches('"');
    let all = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all.then(|| u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes))?
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: &[u8]) -> Content {
        Content { length: bytes.len() as u64, crc32: crc32fast::hash(bytes) }
    }

    #[test]
    fn contents_add_up_to_that_of_all_bytes() {
        let parts = [&b"a picture"[..], b" in", b"", b" four parts"];
        let whole = parts.iter().fold(Content::EMPTY, |all, part| all.then(content(part)));
        assert_eq!(whole, content(&parts.concat()));
    }

    #[test]
    fn an_answer_shows_its_checksum_or_its_md5() {
        let bytes = b"a picture";
        let chunks = [Bytes::from_static(b"a pic"), Bytes::from_static(b"ture")];
        let of = |crc32, e_tag| shown(content(bytes), &chunks, crc32, e_tag);
        let tag = "\"d92bd5b1a3fa8de9a29e45fa4e83d94b\"";
        let right = format!("\"{}\"", hexadecimal(&md5(&chunks)));
        let checksum = content(bytes).checksum();
        assert_eq!(of(Some(&checksum), None), Shown::Same);
        assert_eq!(of(Some("AAAAAA=="), Some(&right)), Shown::Other);
        let upper = right.to_uppercase();
        assert_eq!(of(None, Some(&upper)), Shown::Same);
        for unknown in [tag, "\"x\"", "", "\"d92bd5b1a3fa8de9a29e45fa4e83d94b-1\""] {
            assert_eq!(of(None, Some(unknown)), Shown::Nothing, "{unknown}");
        }
    }

    #[test]
    fn the_answer_to_a_completion_shows_checksums_or_entity_tags_of_the_parts() {
        let parts: Vec<_> = [&b"one"[..], b"two"]
            .map(|part| {
                let tag = md5(&[Bytes::copy_from_slice(part)]);
                (content(part), format!("\"{}\"", hexadecimal(&tag)))
            })
            .into();
        let of = |crc32, e_tag| shown_of_parts(&parts, crc32, e_tag);
        // Both as S3 documents them; the values are those of Python's zlib.crc32 and hashlib.md5.
        assert_eq!(of(Some("uDltSA==-2"), None), Shown::Same);
        let whole = content(b"onetwo").checksum();
        assert_eq!(of(Some(&whole), None), Shown::Same);
        assert_eq!(of(Some("uDltSA==-3"), None), Shown::Other);
        assert_eq!(of(None, Some("\"1397b7ee3222e3980d0d20f23a871b02-2\"")), Shown::Same);
        assert_eq!(of(None, Some("\"1397b7ee3222e3980d0d20f23a871b03-2\"")), Shown::Nothing);
        assert_eq!(of(None, None), Shown::Nothing);
    }
}
