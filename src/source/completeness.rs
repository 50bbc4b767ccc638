//! Whether the bytes of a picture reach its end.
//!
//! If a host declares too small a Content-Length, HTTP/1.1 ends the body there without an error, and
//! the picture is cut off. JPEG, PNG and WebP say where they end, so these are checked. Other kinds are
//! not, and bytes after the end are allowed.

use memchr::memchr;

use super::image_kind::ImageKind;

/// Follows the structure of a picture to its end, however its bytes are cut into chunks.
#[derive(Clone, Debug)]
pub(crate) enum Completeness {
    /// The end was reached, or the kind has none that is checked.
    Complete,
    Jpeg(Jpeg),
    Png(Png),
    Webp(Webp),
}

impl Completeness {
    /// For a picture of this kind, before its first byte.
    pub(crate) fn of(kind: ImageKind) -> Self {
        match kind.media_type {
            "image/jpeg" => Self::Jpeg(Jpeg::Data),
            "image/png" => Self::Png(Png { chunks: Chunks::after(PNG_SIGNATURE), is_last: false }),
            "image/webp" => Self::Webp(Webp::Header(Vec::new())),
            _ => Self::Complete,
        }
    }

    /// Takes the next bytes of the picture.
    pub(crate) fn see(&mut self, bytes: &[u8]) {
        let reaches_end = match self {
            Self::Complete => return,
            Self::Jpeg(jpeg) => jpeg.reaches_end(bytes),
            Self::Png(png) => png.reaches_end(bytes),
            Self::Webp(webp) => webp.reaches_end(bytes),
        };
        if reaches_end {
            *self = Self::Complete;
        }
    }

    /// Whether the bytes so far are a whole picture.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Self::Complete)
    }
}

/// What the next byte of a JPEG belongs to (ITU-T T.81, annex B). Segments are skipped, because the
/// thumbnail in one of them is a JPEG with an end of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Jpeg {
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

/// The chunks of a PNG or a WebP: a head of eight bytes each, and the data that the head announces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks {
    head: [u8; 8],
    /// How many bytes of the next head are here.
    filled: usize,
    /// How many bytes there are before the next head.
    left: u64,
}

impl Chunks {
    /// The chunks behind this number of bytes.
    fn after(bytes: u64) -> Self {
        Self { head: [0; 8], filled: 0, left: bytes }
    }

    /// Skips data, and returns the next head once it is complete.
    fn next_head(&mut self, bytes: &mut &[u8]) -> Option<[u8; 8]> {
        let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        *bytes = &bytes[skipped..];
        self.left -= skipped as u64;
        let taken = (self.head.len() - self.filled).min(bytes.len());
        self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
        *bytes = &bytes[taken..];
        self.filled += taken;
        (self.filled == self.head.len()).then(|| {
            self.filled = 0;
            self.head
        })
    }
}

/// The length of the signature before a PNG's first chunk.
const PNG_SIGNATURE: u64 = 8;

/// A PNG, which is walked from chunk to chunk to its last, `IEND` (PNG 3rd edition, section 5.3). A
/// chunk may contain another PNG.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Png {
    chunks: Chunks,
    /// Whether the chunk is `IEND`.
    is_last: bool,
}

impl Png {
    fn reaches_end(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            if self.is_last {
                return bytes.len() as u64 >= self.chunks.left || {
                    self.chunks.left -= bytes.len() as u64;
                    false
                };
            }
            let Some([a, b, c, d, name @ ..]) = self.chunks.next_head(&mut bytes) else {
                return false;
            };
            // The data is followed by four bytes of CRC.
            self.chunks.left = u64::from(u32::from_be_bytes([a, b, c, d])) + 4;
            self.is_last = &name == b"IEND";
            if !name.iter().all(u8::is_ascii_alphabetic) {
                // No chunk: nothing that follows is one.
                self.chunks.left = u64::MAX;
            }
        }
    }
}

/// A WebP, whose header has the length of all that follows it, and whose chunks must fit into that
/// (<https://developers.google.com/speed/webp/docs/riff_container>).
#[derive(Clone, Debug)]
pub(crate) enum Webp {
    /// The bytes of the header so far.
    Header(Vec<u8>),
    Chunks {
        chunks: Chunks,
        /// How many bytes there are from the next byte to the end that the header declares.
        left: u64,
        /// Whether a chunk had a picture.
        has_picture: bool,
    },
    /// A chunk is longer than what contains it.
    Damaged,
}

/// `RIFF`, a length, `WEBP`.
const WEBP_HEADER: usize = 12;

impl Webp {
    fn reaches_end(&mut self, mut bytes: &[u8]) -> bool {
        if let Self::Header(header) = self {
            let missing = (WEBP_HEADER - header.len()).min(bytes.len());
            header.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            let &[_, _, _, _, a, b, c, d, _, _, _, _] = header.as_slice() else { return false };
            // The length counts the four bytes of `WEBP`.
            let left = u64::from(u32::from_le_bytes([a, b, c, d])).saturating_sub(4);
            *self = Self::Chunks { chunks: Chunks::after(0), left, has_picture: false };
        }
        let Self::Chunks { chunks, left, has_picture } = self else { return false };
        loop {
            let before = bytes.len();
            let head = chunks.next_head(&mut bytes);
            let walked = (before - bytes.len()) as u64;
            // Fewer bytes than a head has may follow the last chunk.
            if walked >= *left && (head.is_none() || walked > *left) {
                return *has_picture && chunks.left == 0;
            }
            *left -= walked;
            let Some([name @ .., a, b, c, d]) = head else { return false };
            let length = u64::from(u32::from_le_bytes([a, b, c, d]));
            if length > *left {
                *self = Self::Damaged;
                return false;
            }
            // A byte of padding follows data of odd length; some writers omit the last one.
            chunks.left = (length + length % 2).min(*left);
            *has_picture |= matches!(&name, b"VP8 " | b"VP8L" | b"ANMF");
            if *left == 0 {
                return *has_picture;
            }
        }
    }
}

/// What holds for all bytes of an image host, for property tests and `fuzz/`.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz_logic {
    use super::Completeness;
    use crate::source::image_kind::{ImageKind, SNIFF_LENGTH};

    /// Bytes are judged alike however they are cut into chunks, and only images are pictures. The
    /// first byte of the input is the size of the chunks.
    ///
    /// # Panics
    ///
    /// The property does not hold.
    pub fn picture(input: &[u8]) {
        let Some((size, bytes)) = input.split_first() else { return };
        match ImageKind::of(&bytes[..bytes.len().min(SNIFF_LENGTH)]) {
            Ok(kind) => {
                assert!(kind.media_type.starts_with("image/"), "{kind:?}");
                let mut whole = Completeness::of(kind);
                let mut cut = whole.clone();
                whole.see(bytes);
                bytes.chunks(usize::from(*size).max(1)).for_each(|chunk| cut.see(chunk));
                assert_eq!(whole.is_whole(), cut.is_whole(), "{kind:?} in chunks of {size}");
            }
            Err(what) => assert!(!what.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::seeds::each_seed;

    #[test]
    fn the_property_holds_for_the_seeds() {
        each_seed("picture", fuzz_logic::picture);
    }

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
    const IEND: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";

    /// Bytes that often begin as a picture does.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let starts: Vec<&'static [u8]> = vec![
            b"",
            b"\xff\xd8\xff\xe0",
            b"\xff\xd8\xff\xe0\0\x04..",
            b"\x89PNG\r\n\x1a\n\0\0\0\x02aaaa......",
            b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0",
            b"RIFF\x16\0\0\0WEBPVP8 \x03\0\0\0abc\0VP8X\0\0\0",
            b"GIF89a",
        ];
        let ends: Vec<&'static [u8]> = vec![b"", b"\xff\xd9", IEND, b"\xff"];
        let parts =
            (prop::sample::select(starts), vec(any::<u8>(), 0..600), prop::sample::select(ends));
        parts.prop_map(|(start, middle, end)| [start, &middle, end].concat())
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_alike_however_they_are_cut(bytes in bytes(), size in 1..50_u8) {
            fuzz_logic::picture(&[&[size], bytes.as_slice()].concat());
        }
    }

    /// Whether the picture is whole, in one piece and in chunks of every size.
    fn is_whole(picture: &[u8]) -> bool {
        let kind = ImageKind::of(picture).expect("a picture");
        let judged = |size: usize| {
            let mut completeness = Completeness::of(kind);
            picture.chunks(size).for_each(|chunk| completeness.see(chunk));
            completeness.is_whole()
        };
        let whole = judged(picture.len());
        for size in 1..picture.len() {
            assert_eq!(judged(size), whole, "{kind:?} in chunks of {size}");
        }
        whole
    }

    fn chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).expect("short").to_be_bytes();
        [&length, name, data, b"crc."].concat()
    }

    #[test]
    fn the_end_is_seen_and_bytes_after_it_are_allowed() {
        let png = [PNG, &chunk(b"IHDR", &[1; 13]), &chunk(b"IDAT", b"..."), IEND].concat();
        let jpeg =
            b"\xff\xd8\xff\xe1\0\x08\xff\xd8\xff\xd9..\xff\xda\0\x03.\xff\0\xff\xd0.\xff\xff\xd9";
        let webps: [&[u8]; 4] = [
            b"RIFF\x14\0\0\0WEBPVP8 \x08\0\0\x0012345678",
            // Odd data with its padding, without it, and with a length that does not count it.
            b"RIFF\x14\0\0\0WEBPVP8L\x07\0\0\x001234567\0",
            b"RIFF\x13\0\0\0WEBPVP8L\x07\0\0\x001234567",
            b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\x001234567890VP8 \0\0\0\0",
        ];
        for picture in [&png[..], &jpeg[..]].into_iter().chain(webps) {
            assert!(is_whole(picture), "{picture:?}");
            assert!(is_whole(&[picture, b"more"].concat()), "{picture:?}");
            assert!(!is_whole(&picture[..picture.len() - 1]), "{picture:?}");
        }
    }

    #[test]
    fn a_picture_inside_a_picture_does_not_end_it() {
        let inner = [PNG, &chunk(b"IHDR", &[1; 13]), IEND].concat();
        let start = [PNG, &chunk(b"IHDR", &[1; 13]), &chunk(b"caBX", &inner)].concat();
        assert!(!is_whole(&start), "a PNG in a chunk of a PNG");
        assert!(is_whole(&[&start, &chunk(b"IDAT", b"...")[..], IEND].concat()));
        // The ends of a thumbnail, in segments that are whole and cut.
        for jpeg in [
            &b"\xff\xd8\xff\xe1\0\x08\xff\xd8\xff\xd9..\xff\xda\0\x02...."[..],
            b"\xff\xd8\xff\xe1\xff\xff\xff\xd8\xff\xd9..",
            b"\xff\xd8\xff\xe1\xff\xd9",
        ] {
            assert!(!is_whole(jpeg), "{jpeg:?}");
        }
    }

    #[test]
    fn what_is_no_structure_has_no_end() {
        for damaged in [
            [PNG, b"....IEND\xae\x42\x60\x82", IEND].concat(),
            [PNG, b"\0\0\0\0\0\0\0\0....", IEND].concat(),
            // A chunk that is longer than the header says, and one without a picture.
            b"RIFF\x14\0\0\0WEBPVP8 \x09\0\0\x00123456789012".to_vec(),
            b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\x001234567890".to_vec(),
        ] {
            assert!(!is_whole(&damaged), "{damaged:?}");
        }
    }
}
