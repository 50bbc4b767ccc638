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

/// From this width and height on, a picture is a landscape, otherwise squares.
const LANDSCAPE: (u32, u32) = (97, 64);

/// Encodes a picture, which `seed` determines.
pub(crate) fn make(kind: Kind, width: u32, height: u32, seed: u64) -> Vec<u8> {
    let mut dice = Rng::with_seed(seed);
    let picture = if width >= LANDSCAPE.0 && height >= LANDSCAPE.1 {
        landscape(width, height, &mut dice)
    } else {
        squares(width.max(1), height.max(1), &mut dice)
    };
    encode(&picture, kind)
}

/// Hills under a sky with a sun, for people to look at. Like the squares it has few colours, and
/// much of it varies: the waves alone have 24 numbers.
fn landscape(width: u32, height: u32, dice: &mut Rng) -> RgbImage {
    const HILLS: u16 = 5;
    let (w, h) = (f64::from(width), f64::from(height));
    let (hue, turn) = (dice.f64() * 360.0, 30.0 + dice.f64() * 60.0);
    let (sun_x, sun_y) = ((0.15 + dice.f64() * 0.7) * w, (0.15 + dice.f64() * 0.3) * h);
    let sun = (0.05 + dice.f64() * 0.06) * w.min(h * 1.6);
    let hills: Vec<(Vec<f64>, Rgb<u8>)> = (0..HILLS)
        .map(|number| {
            let near = f64::from(number) / f64::from(HILLS - 1);
            let waves = [1.5_f64, 4.0, 11.0].map(|often| {
                let high = h * 0.09 / often.sqrt() * (0.5 + dice.f64());
                (often * (0.6 + dice.f64() * 0.8), dice.f64() * 7.0, high)
            });
            let line = (0..width).map(|x| {
                let wave = |(often, shift, high): (f64, f64, f64)| {
                    high * (f64::from(x) / w * often * 3.0 + shift).sin()
                };
                h * (0.5 + near * 0.38) + waves.into_iter().map(wave).sum::<f64>()
            });
            (line.collect(), colour(hue + turn, 0.30 + near * 0.25, 0.62 - near * 0.44))
        })
        .collect();
    RgbImage::from_fn(width, height, |x, y| {
        let at = f64::from(y);
        let hill = hills.iter().rev().find(|(line, _)| at >= line[x as usize]);
        if let Some((_, colour)) = hill {
            return *colour;
        }
        if (f64::from(x) - sun_x).hypot(at - sun_y) < sun {
            return colour(hue + 20.0, 0.9, 0.93);
        }
        // In bands, so that there are few colours.
        let band = (at / h * 48.0).floor() / 48.0;
        colour(hue + band * turn, 0.65, 0.45 + band * 0.5)
    })
}

/// A colour by hue in degrees, saturation and lightness.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 255")]
fn colour(hue: f64, saturation: f64, lightness: f64) -> Rgb<u8> {
    let amount = saturation * lightness.min(1.0 - lightness);
    Rgb([0.0, 8.0, 4.0].map(|offset| {
        let k = (offset + hue / 30.0).rem_euclid(12.0);
        let value = lightness - amount * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (value * 255.0).round().clamp(0.0, 255.0) as u8
    }))
}

fn squares(width: u32, height: u32, dice: &mut Rng) -> RgbImage {
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
