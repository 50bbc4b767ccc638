//! Which kind of picture the first bytes announce, and whether the last bytes complete it.

use memchr::memmem;

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
    mark: &'static [u8],
    seen: bool,
    /// The last bytes so far, one fewer than the mark has, because the mark may span two chunks.
    before: Vec<u8>,
    /// The smallest length in bytes of a whole picture.
    least: u64,
}

impl EndWatch {
    /// For a picture of this kind that begins with these bytes.
    pub(crate) fn new(kind: ImageKind, first_bytes: &[u8]) -> Self {
        let (mark, least): (&[u8], u64) = match (kind.media_type, first_bytes) {
            ("image/jpeg", _) => (b"\xff\xd9", 0),            // EOI
            ("image/png", _) => (b"IEND\xae\x42\x60\x82", 0), // the last chunk's type and CRC
            // RIFF, then the length of all that follows these eight bytes.
            ("image/webp", &[_, _, _, _, a, b, c, d, ..]) => {
                (b"", u64::from(u32::from_le_bytes([a, b, c, d])) + 8)
            }
            _ => (b"", 0),
        };
        Self { mark, seen: mark.is_empty(), before: Vec::new(), least }
    }

    pub(crate) fn see(&mut self, chunk: &[u8]) {
        if self.seen {
            return;
        }
        let overlap = self.mark.len() - 1;
        self.before.extend_from_slice(&chunk[..overlap.min(chunk.len())]);
        self.seen = memmem::find(&self.before, self.mark).is_some()
            || memmem::find(chunk, self.mark).is_some();
        if chunk.len() >= overlap {
            self.before.clear();
            self.before.extend_from_slice(&chunk[chunk.len() - overlap..]);
        } else {
            self.before.drain(..self.before.len().saturating_sub(overlap));
        }
    }

    /// Whether a picture that ends after `length` bytes is complete.
    pub(crate) fn is_whole(&self, length: u64) -> bool {
        self.seen && length >= self.least
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Bytes that often begin as a picture does.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let starts: Vec<&'static [u8]> =
            vec![b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBP", b"GIF89a"];
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
        let jpeg = b"\xff\xd8\xff\xe0....\xff\xd9";
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
        let cut: [&[u8]; 3] = [
            b"\x89PNG\r\n\x1a\n....IEND\xae\x42\x60",
            b"\xff\xd8\xff\xe0....\xff",
            b"RIFF\x10\0\0\0WEBPVP8 1234567",
        ];
        for picture in cut {
            let mut watch = EndWatch::new(ImageKind::of(picture).expect("a picture"), picture);
            watch.see(picture);
            assert!(!watch.is_whole(picture.len() as u64), "{picture:?}");
        }
    }
}
