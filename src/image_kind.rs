//! What a picture's first bytes say it is.

/// How many bytes are enough to tell every kind apart.
///
/// AVIF needs the most: its brand list is a box of variable length at the start (ISO/IEC 14496-12,
/// `ftyp`), which real encoders keep well under this.
pub const SNIFF_LENGTH: usize = 512;

/// A picture's format: media type (IANA) and file extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageKind {
    /// The media type, for `Content-Type`.
    pub media_type: &'static str,
    /// The file extension, without a dot.
    pub extension: &'static str,
}

/// What the job takes for a picture.
const ACCEPTED: [&str; 7] =
    ["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/bmp", "image/tiff"];

/// Tells the picture's kind from its first bytes (up to [`SNIFF_LENGTH`] of them).
///
/// # Errors
/// What the bytes are instead, as far as that can be told: a media type, or "unknown data".
pub fn of(first_bytes: &[u8]) -> Result<ImageKind, &'static str> {
    let found = infer::get(first_bytes).ok_or("unknown data")?;
    if ACCEPTED.contains(&found.mime_type()) {
        Ok(ImageKind { media_type: found.mime_type(), extension: found.extension() })
    } else {
        Err(found.mime_type())
    }
}

#[cfg(test)]
mod tests {
    use super::of;

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
            let kind = of(bytes).unwrap_or_else(|what| panic!("{media_type}: {what}"));
            assert_eq!((kind.media_type, kind.extension), (media_type, extension));
        }
    }

    #[test]
    fn everything_else_is_refused_and_named() {
        assert_eq!(of(b"<!DOCTYPE html><html>"), Err("text/html"));
        assert_eq!(of(b"%PDF-1.7"), Err("application/pdf"));
        assert_eq!(of(b"{\"AccessKeyId\":\"x\"}"), Err("unknown data"));
        assert_eq!(of(b""), Err("unknown data"));
    }
}
