//! Which kind of picture the first bytes announce, and whether the last bytes complete it.

use memchr::{memchr, memmem};

/// The number of bytes that suffice to distinguish all kinds.
///
/// AVIF needs the most: its brand list is a box of variable length at the start (ISO/IEC 14496-12,
/// `ftyp`), which real encoders keep well under this.
pub(crate) const SNIFF_LENGTH: usize = 512;

/// A picture's format: media type (IANA) and file extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageKind {
    pub(crate) media_type: &'static str,
    pub(crate) extension: &'static str,
}

/// The media types that are uploaded.
const ACCEPTED: [&str; 7] =
    ["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/bmp", "image/tiff"];

impl ImageKind {
    /// Determines a picture's kind from its first bytes, [`SNIFF_LENGTH`] of them or all that there are.
    /// The error says what the bytes are instead: a media type, or "unknown data".
    pub(crate) fn of(first_bytes: &[u8]) -> Result<Self, &'static str> {
        let found = infer::get(first_bytes).ok_or("unknown data")?;
        if ACCEPTED.contains(&found.mime_type()) {
            Ok(Self { media_type: found.mime_type(), extension: found.extension() })
        } else {
            Err(found.mime_type())
        }
    }
}

/// Watches the bytes of a picture for its end.
///
/// If a host declares too small a Content-Length, HTTP/1.1 ends the body there without an error, and the
/// picture is cut off. JPEG and PNG end with a mark and WebP begins with its length, so these are
/// checked. Other kinds are not, and bytes after the mark are allowed.
#[derive(Clone, Debug)]
pub(crate) struct EndWatch {
    mark: Mark,
    /// The smallest length in bytes of a whole picture.
    least: u64,
}

/// What is to be found at the end.
#[derive(Clone, Debug)]
enum Mark {
    /// Nothing more.
    Seen,
    Jpeg(Jpeg),
    /// The last chunk's type and CRC. Here are the last bytes so far, one fewer than the mark has,
    /// because the mark may span two chunks of the body.
    Png(Vec<u8>),
}

const PNG_MARK: &[u8] = b"IEND\xae\x42\x60\x82";

impl EndWatch {
    /// For a picture of this kind that begins with these bytes.
    pub(crate) fn new(kind: ImageKind, first_bytes: &[u8]) -> Self {
        let (mark, least) = match (kind.media_type, first_bytes) {
            ("image/jpeg", _) => (Mark::Jpeg(Jpeg::Data), 0),
            ("image/png", _) => (Mark::Png(Vec::new()), 0),
            // RIFF, then the length of all that follows these eight bytes.
            ("image/webp", &[_, _, _, _, a, b, c, d, ..]) => {
                (Mark::Seen, u64::from(u32::from_le_bytes([a, b, c, d])) + 8)
            }
            _ => (Mark::Seen, 0),
        };
        Self { mark, least }
    }

    pub(crate) fn see(&mut self, chunk: &[u8]) {
        let is_seen = match &mut self.mark {
            Mark::Seen => return,
            Mark::Jpeg(place) => place.reaches_end(chunk),
            Mark::Png(before) => spans(before, chunk, PNG_MARK),
        };
        if is_seen {
            self.mark = Mark::Seen;
        }
    }

    /// Whether a picture that ends after `length` bytes is complete.
    pub(crate) fn is_whole(&self, length: u64) -> bool {
        matches!(self.mark, Mark::Seen) && length >= self.least
    }
}

/// Whether the mark is in `chunk`, or begins in the bytes before it. Keeps the bytes before the next.
fn spans(before: &mut Vec<u8>, chunk: &[u8], mark: &[u8]) -> bool {
    let overlap = mark.len() - 1;
    before.extend_from_slice(&chunk[..overlap.min(chunk.len())]);
    let found = memmem::find(before, mark).is_some() || memmem::find(chunk, mark).is_some();
    if chunk.len() >= overlap {
        before.clear();
        before.extend_from_slice(&chunk[chunk.len() - overlap..]);
    } else {
        before.drain(..before.len().saturating_sub(overlap));
    }
    found
}

/// What the next byte of a JPEG belongs to (ITU-T T.81, annex B). Segments are skipped, because the
/// thumbnail in one of them is a JPEG with an end of its own.
#[derive(Clone, Copy, Debug)]
enum Jpeg {
    /// The data of the picture, in which no marker is hidden, or what is between segments.
    Data,
    /// A marker, after its first byte.
    Marker,
    /// The first byte of a segment's length.
    Length,
    /// The second byte, after this one.
    RestOfLength(u8),
    /// A segment that goes on for this number of bytes.
    Segment(usize),
}

impl Jpeg {
    /// Whether these bytes reach the marker EOI.
    fn reaches_end(&mut self, mut bytes: &[u8]) -> bool {
        while let [byte, rest @ ..] = bytes {
            bytes = rest;
            *self = match *self {
                Self::Data if *byte == 0xff => Self::Marker,
                Self::Data => {
                    bytes = &rest[memchr(0xff, rest).unwrap_or(rest.len())..];
                    Self::Data
                }
                Self::Marker => match byte {
                    0xd9 => return true,
                    0xff => Self::Marker,
                    // A byte 0xff of the data, and the markers without a segment: TEM, RST, SOI.
                    0x00 | 0x01 | 0xd0..=0xd8 => Self::Data,
                    _ => Self::Length,
                },
                Self::Length => Self::RestOfLength(*byte),
                // The length counts its own two bytes.
                Self::RestOfLength(high) => {
                    Self::Segment(usize::from(u16::from_be_bytes([high, *byte])).saturating_sub(2))
                        .or_data()
                }
                Self::Segment(left) => {
                    let skipped = (left - 1).min(rest.len());
                    bytes = &rest[skipped..];
                    Self::Segment(left - 1 - skipped).or_data()
                }
            };
        }
        false
    }

    /// Behind the end of a segment is data, or the next marker.
    fn or_data(self) -> Self {
        if matches!(self, Self::Segment(0)) { Self::Data } else { self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Bytes that often begin as a picture does.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let starts: Vec<&'static [u8]> = vec![
            b"",
            b"\xff\xd8\xff\xe0",
            b"\xff\xd8\xff\xe0\0\x04..",
            b"\x89PNG\r\n\x1a\n",
            b"RIFF\x10\0\0\0WEBP",
            b"GIF89a",
        ];
        let ends: Vec<&'static [u8]> = vec![b"", b"\xff\xd9", b"IEND\xae\x42\x60\x82", b"\xff"];
        let parts =
            (prop::sample::select(starts), vec(any::<u8>(), 0..600), prop::sample::select(ends));
        parts.prop_map(|(start, middle, end)| [start, &middle, end].concat())
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_alike_however_they_are_cut(bytes in bytes(), size in 1..50_usize) {
            crate::fuzzing::picture(&bytes, size);
        }
    }

    #[test]
    fn each_accepted_kind_is_told_by_its_first_bytes() {
        let cases: [(&[u8], &str, &str); 9] = [
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg", "jpg"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png", "png"),
            (b"GIF89a\x01\0\x01\0", "image/gif", "gif"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp", "webp"),
            (b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf", "image/avif", "avif"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "image/avif", "avif"),
            (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", "image/bmp", "bmp"),
            (b"II*\0\x08\0\0\0\x01\0\0\x01", "image/tiff", "tif"),
            (b"MM\0*\0\0\0\x08\0\x01\x01\0", "image/tiff", "tif"),
        ];
        for (bytes, media_type, extension) in cases {
            let kind = ImageKind::of(bytes).unwrap_or_else(|what| panic!("{media_type}: {what}"));
            assert_eq!((kind.media_type, kind.extension), (media_type, extension));
        }
    }

    #[test]
    fn everything_else_is_refused_and_named() {
        assert_eq!(ImageKind::of(b"<!DOCTYPE html><html>"), Err("text/html"));
        assert_eq!(ImageKind::of(b"%PDF-1.7"), Err("application/pdf"));
        assert_eq!(ImageKind::of(b"{\"AccessKeyId\":\"x\"}"), Err("unknown data"));
        assert_eq!(ImageKind::of(b""), Err("unknown data"));
    }

    #[test]
    fn the_end_is_seen_wherever_the_chunks_are_cut() {
        let png = b"\x89PNG\r\n\x1a\n....IEND\xae\x42\x60\x82trailer";
        let jpeg =
            b"\xff\xd8\xff\xe1\0\x08\xff\xd8\xff\xd9..\xff\xda\0\x03.\xff\0\xff\xd0.\xff\xff\xd9";
        let webp = b"RIFF\x10\0\0\0WEBPVP8 12345678";
        for picture in [&png[..], &jpeg[..], &webp[..]] {
            let kind = ImageKind::of(picture).expect("a picture");
            for size in 1..=picture.len() {
                let mut watch = EndWatch::new(kind, picture);
                picture.chunks(size).for_each(|chunk| watch.see(chunk));
                assert!(watch.is_whole(picture.len() as u64), "{kind:?} in chunks of {size}");
            }
        }
    }

    #[test]
    fn a_picture_without_its_end_is_not_whole() {
        let cut: [&[u8]; 6] = [
            b"\x89PNG\r\n\x1a\n....IEND\xae\x42\x60",
            b"\xff\xd8\xff\xda\0\x02....\xff",
            // The ends of a thumbnail, in segments that are whole and cut.
            b"\xff\xd8\xff\xe1\0\x08\xff\xd8\xff\xd9..\xff\xda\0\x02....",
            b"\xff\xd8\xff\xe1\xff\xff\xff\xd8\xff\xd9..",
            b"\xff\xd8\xff\xe1\xff\xd9",
            b"RIFF\x10\0\0\0WEBPVP8 1234567",
        ];
        for picture in cut {
            let mut watch = EndWatch::new(ImageKind::of(picture).expect("a picture"), picture);
            watch.see(picture);
            assert!(!watch.is_whole(picture.len() as u64), "{picture:?}");
        }
    }
}
