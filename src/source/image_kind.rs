//! Which kind of picture the first bytes announce.

/// The number of bytes that suffice to tell all kinds.
///
/// AVIF needs the most: its list of brands is a box of variable length at the start (ISO/IEC 14496-12,
/// `ftyp`), of which this many bytes are considered.
pub(crate) const SNIFF_LENGTH: usize = 4096;

/// A picture's format: media type (IANA) and file extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageKind {
    pub(crate) media_type: &'static str,
    pub(crate) extension: &'static str,
}

/// What bytes of a kind begin with.
type Matcher = fn(&[u8]) -> bool;

/// Each kind that is uploaded: media type, extension, and what tells it.
const KINDS: [(&str, &str, Matcher); 7] = [
    ("image/jpeg", "jpg", is_jpeg),
    ("image/png", "png", is_png),
    ("image/gif", "gif", is_gif),
    ("image/webp", "webp", is_webp),
    ("image/avif", "avif", is_avif),
    ("image/bmp", "bmp", is_bmp),
    ("image/tiff", "tif", is_tiff),
];

/// What an image host sends instead of a picture: how it begins, without white space and in lower case,
/// and its media type.
const OTHERS: [(&[u8], &str); 14] = [
    (b"<!doctype html", "text/html"),
    (b"<html", "text/html"),
    (b"<head", "text/html"),
    (b"<svg", "image/svg+xml"),
    (b"<?xml", "text/xml"),
    (b"%pdf-", "application/pdf"),
    (b"pk\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\0\0\x01\0", "image/vnd.microsoft.icon"),
    (b"8bps", "image/vnd.adobe.photoshop"),
    (b"\xff\x0a", "image/jxl"),
    (b"\0\0\0\x0cjxl ", "image/jxl"),
    (b"ii*\0\x10\0\0\0cr\x02", "image/x-canon-cr2"),
];

impl ImageKind {
    /// Determines a picture's kind from its first bytes, [`SNIFF_LENGTH`] of them or all that there are.
    /// The error says what the bytes are instead: a media type, or "unknown data".
    pub(crate) fn of(first_bytes: &[u8]) -> Result<Self, &'static str> {
        let kind = KINDS.iter().find(|(_, _, matches)| matches(first_bytes));
        kind.map(|(media_type, extension, _)| Self { media_type, extension })
            .ok_or_else(|| other(first_bytes))
    }
}

/// What is no picture that is uploaded.
fn other(bytes: &[u8]) -> &'static str {
    let start = bytes.trim_ascii_start();
    let begins =
        |with: &[u8]| start.get(..with.len()).is_some_and(|s| s.eq_ignore_ascii_case(with));
    let known = OTHERS.iter().find(|(beginning, _)| begins(beginning));
    match (known, bytes) {
        (Some((_, media_type)), _) => media_type,
        (None, [_, _, _, _, b'f', b't', b'y', b'p', b'h', b'e', b'i' | b'v', ..]) => "image/heif",
        (None, [_, _, _, _, b'f', b't', b'y', b'p', ..]) => "video/mp4 or alike",
        _ => "unknown data",
    }
}

/// SOI, and the first byte of the next marker (ITU-T T.81, annex B).
fn is_jpeg(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xd8, 0xff, 0x01 | 0xc0..=0xd7 | 0xda..=0xff, ..])
}

/// The signature (PNG 3rd edition, section 5.2).
fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n")
}

/// The header, and behind its color table the beginning of an extension or of an image: a text may begin
/// with `GIF89a` as well (`GIF89a` specification, sections 17 to 26).
fn is_gif(bytes: &[u8]) -> bool {
    let [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', _, _, _, _, packed, _, _, blocks @ ..] = bytes
    else {
        return false;
    };
    let color_table = if packed & 0x80 == 0 { 0 } else { 3 << ((packed & 7) + 1) };
    match blocks.get(color_table..) {
        // An image: its place, its flags, its own color table, and the size of its codes.
        Some([0x2c, _, _, _, _, _, _, _, _, packed, rest @ ..]) => {
            let color_table = if packed & 0x80 == 0 { 0 } else { 3 << ((packed & 7) + 1) };
            matches!(rest.get(color_table), Some(1..=11))
        }
        // Graphic control, comment, plain text, and those of applications.
        Some(
            [0x21, 0xf9, 4, ..] | [0x21, 0xfe, ..] | [0x21, 0x01, 12, ..] | [0x21, 0xff, 11, ..],
        ) => true,
        _ => false,
    }
}

/// The header with a length that has room for a chunk, and the first chunk
/// (<https://developers.google.com/speed/webp/docs/riff_container>).
fn is_webp(bytes: &[u8]) -> bool {
    let [b'R', b'I', b'F', b'F', a, b, c, d, b'W', b'E', b'B', b'P', b'V', b'P', b'8', kind, ..] =
        bytes
    else {
        return false;
    };
    matches!(kind, b' ' | b'L' | b'X') && u32::from_le_bytes([*a, *b, *c, *d]) >= 12
}

/// The brand `avif` or `avis` (a sequence) in the first box, as the major one or among the compatible
/// ones (AV1 Image File Format, section 6).
fn is_avif(bytes: &[u8]) -> bool {
    let [a, b, c, d, b'f', b't', b'y', b'p', ..] = bytes else { return false };
    let (header, length) = match (u32::from_be_bytes([*a, *b, *c, *d]), bytes) {
        // A length of 64 bits follows.
        (1, [_, _, _, _, _, _, _, _, 0, 0, 0, 0, a, b, c, d, ..]) => {
            (16, u32::from_be_bytes([*a, *b, *c, *d]))
        }
        (length, _) => (8, length),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let brands = bytes.get(header..length.min(bytes.len())).unwrap_or_default();
    let is_brand = |brand: &[u8]| matches!(brand, b"avif" | b"avis");
    // The version is between the major brand and the others.
    let (brands, _) = brands.as_chunks::<4>();
    brands.iter().enumerate().any(|(place, brand)| place != 1 && is_brand(brand))
}

/// Both headers of a bitmap: a text may begin with `BM` as well.
fn is_bmp(bytes: &[u8]) -> bool {
    let [b'B', b'M', _, _, _, _, _, _, _, _, o0, o1, o2, o3, l0, l1, l2, l3, rest @ ..] = bytes
    else {
        return false;
    };
    let header = u32::from_le_bytes([*l0, *l1, *l2, *l3]);
    let pixels = u32::from_le_bytes([*o0, *o1, *o2, *o3]);
    let (planes, depth) = match (header, rest) {
        // OS/2 1.x has 16 bits for width and height, all others have 32.
        (12, [_, _, _, _, p0, p1, d0, d1, ..])
        | (16 | 40 | 52 | 56 | 64 | 108 | 124, [_, _, _, _, _, _, _, _, p0, p1, d0, d1, ..]) => {
            (u16::from_le_bytes([*p0, *p1]), u16::from_le_bytes([*d0, *d1]))
        }
        _ => return false,
    };
    planes == 1 && matches!(depth, 0 | 1 | 2 | 4 | 8 | 16 | 24 | 32) && pixels >= 14 + header
}

/// The header of a TIFF, with the place of the first directory behind it (TIFF 6.0, section 2), or that
/// of a `BigTIFF`, whose places have eight bytes. Canon's raw format is a TIFF with a mark of its own.
fn is_tiff(bytes: &[u8]) -> bool {
    match bytes {
        [b'I', b'I', 42, 0, 16, 0, 0, 0, b'C', b'R', 2, ..] => false,
        [b'I', b'I', 42, 0, a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]) >= 8,
        [b'M', b'M', 0, 42, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]) >= 8,
        [b'I', b'I', 43, 0, 8, 0, 0, 0, place @ ..] => {
            place.first_chunk().is_some_and(|place| u64::from_le_bytes(*place) >= 16)
        }
        [b'M', b'M', 0, 43, 0, 8, 0, 0, place @ ..] => {
            place.first_chunk().is_some_and(|place| u64::from_be_bytes(*place) >= 16)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_accepted_kind_is_told_by_its_first_bytes() {
        let long_avif =
            [b"\0\0\x04\x10ftypmif1\0\0\0\0", &b"xxxx".repeat(255)[..], b"avif"].concat();
        let cases: [(&[u8], &str, &str); 19] = [
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg", "jpg"),
            (b"\xff\xd8\xff\xdb\0\x43", "image/jpeg", "jpg"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png", "png"),
            (b"GIF89a\x01\0\x01\0\0\0\0\x21\xf9\x04", "image/gif", "gif"),
            (b"GIF87a\x01\0\x01\0\x80\0\0......\x2c\0\0\0\0\x01\0\x01\0\0\x02", "image/gif", "gif"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp", "webp"),
            (b"RIFF\x24\0\0\0WEBPVP8X", "image/webp", "webp"),
            (b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf", "image/avif", "avif"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "image/avif", "avif"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0miafMA1Bavis", "image/avif", "avif"),
            (b"\0\0\0\x01ftyp\0\0\0\0\0\0\0\x1cmif1\0\0\0\0avif", "image/avif", "avif"),
            (&long_avif, "image/avif", "avif"),
            (
                b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0",
                "image/bmp",
                "bmp",
            ),
            (
                b"BM\x1e\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0\x01\0\x01\0\x01\0\x18\0",
                "image/bmp",
                "bmp",
            ),
            (b"II*\0\x08\0\0\0\x01\0\0\x01", "image/tiff", "tif"),
            (b"MM\0*\0\0\0\x08\0\x01\x01\0", "image/tiff", "tif"),
            (b"II*\0\x18\0\0\0CR..............", "image/tiff", "tif"),
            (b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0", "image/tiff", "tif"),
            (b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10", "image/tiff", "tif"),
        ];
        for (bytes, media_type, extension) in cases {
            let kind = ImageKind::of(bytes).unwrap_or_else(|what| panic!("{media_type}: {what}"));
            assert_eq!((kind.media_type, kind.extension), (media_type, extension));
        }
    }

    #[test]
    fn everything_else_is_refused_and_named() {
        let cases: [(&[u8], &str); 24] = [
            (b"<!DOCTYPE html><html>", "text/html"),
            (b"\n  <HTML>", "text/html"),
            (b"%PDF-1.7", "application/pdf"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'>", "image/svg+xml"),
            (b"{\"AccessKeyId\":\"x\"}", "unknown data"),
            (b"", "unknown data"),
            (b"BM", "unknown data"),
            (b"BMW is a car, and this text is longer than both headers", "unknown data"),
            (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", "unknown data"),
            (b"GIF", "unknown data"),
            (b"GIF is a format", "unknown data"),
            (b"GIF89a is a format, and this is a text about it", "unknown data"),
            (b"GIF89a images, and this text has a comma where images begin", "unknown data"),
            (b"GIF89a images! And this one has what begins an extension", "unknown data"),
            (b"GIF89a\x01\0\x01\0\0\0\0;", "unknown data"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "unknown data"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "unknown data"),
            (b"RIFF is a container, WEBPVP8 is in it", "unknown data"),
            (b"II*\0\x10\0\0\0CR\x02\0", "image/x-canon-cr2"),
            (b"II*\0\0\0\0\0", "unknown data"),
            (b"\xff\xd8\xff\xd9", "unknown data"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heif"),
            (b"\0\0\0\x18ftypmp42avifmp42isom", "video/mp4 or alike"),
            (b"\0\0\0\x14ftypmif1\0\0\0\0miafavif", "video/mp4 or alike"),
        ];
        for (bytes, what) in cases {
            assert_eq!(ImageKind::of(bytes), Err(what), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
