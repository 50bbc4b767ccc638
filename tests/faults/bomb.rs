//! Small answers that would become huge if they were decompressed.

use std::io::Write;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

/// The beginning of a picture, so that a program that decompresses takes it for one.
pub const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0";

/// How many bytes they would become.
const HUGE: usize = 256 << 20;

/// [`JPEG`] and zeros, [`HUGE`] bytes in all, as Node's `zlib.brotliCompressSync` makes it.
const BROTLI: &str = "\
    cfffff7f00c4316ec095ae17a071b2e3c0407abdff7f3f30b2c0ffff7f002400e2b00074effff9ffff0f\
    8004401c1680eefd3fffffff01900088c302d0bdffe7ffff3f001200715800baf7fffcffff074002200e\
    0b40f7fe9fffffff004800c46101e8defff3ffff1f000980382c00ddfb7ffeffff032001108705a07bff\
    cfffff7f002400e2b00074effff9ffff0f8004401c1680eefd3fffffff01900088c302d0bdffe7ffff3f\
    001200715800baf7fffcffff074002200e0b40f7fe9fffffff004800c46101e8deffe7ffff3f00098038\
    2c00ddfb7f";

/// The codings of HTTP, each with a bomb in it.
pub fn all() -> [(&'static str, Vec<u8>); 3] {
    static GZIP: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        fill(&mut encoder);
        encoder.finish().expect("in memory")
    });
    static DEFLATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        fill(&mut encoder);
        encoder.finish().expect("in memory")
    });
    let byte = |at| u8::from_str_radix(&BROTLI[at..at + 2], 16).expect("hexadecimal");
    let brotli = (0..BROTLI.len()).step_by(2).map(byte).collect();
    [("gzip", GZIP.clone()), ("deflate", DEFLATE.clone()), ("br", brotli)]
}

fn fill(encoder: &mut impl Write) {
    let zeros = vec![0; 1 << 20];
    let mut left = HUGE - JPEG.len();
    encoder.write_all(JPEG).expect("in memory");
    while left > 0 {
        let piece = left.min(zeros.len());
        encoder.write_all(&zeros[..piece]).expect("in memory");
        left -= piece;
    }
}
