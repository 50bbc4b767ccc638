//! Pictures that the `image` crate encodes, all of them different.

use std::io::Cursor;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageEncoder, ImageFormat, Rgb, RgbImage};

/// The formats of the image host's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Jpeg,
    Png,
    Gif,
    Webp,
}

impl Kind {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Jpeg, Self::Png, Self::Gif, Self::Webp];

    /// The format's name in the image host's URLs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Webp => "webp",
        }
    }

    /// The format's media type, as registered with IANA.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    /// The format with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A number that is unique in this process, and very likely among processes.
pub(crate) fn seed() -> u64 {
    static BASE: LazyLock<u64> = LazyLock::new(|| fastrand::u64(..));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    BASE.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Encodes a picture of coloured squares, which `seed` determines.
pub(crate) fn make(kind: Kind, width: u32, height: u32, seed: u64) -> Vec<u8> {
    let picture = draw(width.max(1), height.max(1), &mut Rng::with_seed(seed));
    encode(&picture, kind)
}

fn draw(width: u32, height: u32, dice: &mut Rng) -> RgbImage {
    // Uses few colours, so that a GIF needs no quantizer.
    let palette: [Rgb<u8>; 32] = std::array::from_fn(|_| Rgb(std::array::from_fn(|_| dice.u8(..))));
    // At least 8 by 8 squares if there are enough pixels, so that 320 bits
    // vary.
    let square = (width.min(height) / 8).clamp(1, 16);
    let columns = width.div_ceil(square);
    let squares: Vec<Rgb<u8>> = (0..columns * height.div_ceil(square))
        .map(|_| palette[dice.usize(..palette.len())])
        .collect();
    RgbImage::from_fn(width, height, |x, y| {
        let index = (y / square) * columns + x / square;
        squares[index as usize]
    })
}

fn encode(picture: &RgbImage, kind: Kind) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (width, height) = picture.dimensions();
    let rgb = image::ExtendedColorType::Rgb8;
    match kind {
        Kind::Jpeg => JpegEncoder::new_with_quality(&mut bytes, 85).write_image(
            picture.as_raw(),
            width,
            height,
            rgb,
        ),
        Kind::Gif => {
            GifEncoder::new_with_speed(&mut bytes, 30).encode(picture.as_raw(), width, height, rgb)
        }
        Kind::Png => DynamicImage::from(picture.clone())
            .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png),
        Kind::Webp => DynamicImage::from(picture.clone())
            .write_to(&mut Cursor::new(&mut bytes), ImageFormat::WebP),
    }
    .expect("a picture in memory can be encoded");
    bytes
}
