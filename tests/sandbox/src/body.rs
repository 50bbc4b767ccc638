//! The bytes of one picture, and of the filler that makes it as long as asked.
//!
//! Filler is made of one random block, the same for the whole process, with a
//! stamp in front of each repetition. So a gigabyte costs no memory, no
//! generating and hardly any checksumming (the CRC of the block is known and
//! is combined in), also in a build without optimization, and yet no two
//! blocks and no two bodies are equal.

use std::sync::LazyLock;

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// Filler per stamp and block together, in bytes.
const BLOCK: usize = 256 * 1024;
const STAMP: usize = 16;

static FILLER: LazyLock<(Bytes, crc32fast::Hasher)> = LazyLock::new(|| {
    let mut block = vec![0; BLOCK - STAMP];
    fastrand::fill(&mut block);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&block);
    (block.into(), crc)
});

/// Checksums of what was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digests {
    /// Hexadecimal; empty where it was not wanted.
    pub(crate) sha256: String,
    pub(crate) crc32: u32,
}

/// One body: a picture, then filler up to `len`.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    picture: Bytes,
    len: u64,
    seed: u64,
    /// Known beforehand for pictures that are served again and again.
    pub(crate) digests: Option<Digests>,
}

impl Body {
    /// `picture` made exactly `len` bytes long: filled up, or, where it is
    /// longer than that, truncated.
    pub(crate) fn new(picture: Vec<u8>, len: Option<u64>, seed: u64) -> Self {
        let mut picture = Bytes::from(picture);
        let len = len.unwrap_or(picture.len() as u64);
        picture.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Self { picture, len, seed, digests: None }
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Its bytes in order.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Segment> + Send + use<> {
        let picture = Segment { first: self.picture.clone(), rest: Bytes::new() };
        let (seed, mut left) = (self.seed, self.len - self.picture.len() as u64);
        let filler = (0..).map_while(move |index| {
            let mut segment = Segment::filler(seed, index);
            segment.truncate(left);
            left -= segment.len();
            (!segment.is_empty()).then_some(segment)
        });
        std::iter::once(picture).filter(|segment| !segment.is_empty()).chain(filler)
    }
}

/// Some bytes in a row, in two pieces so that neither has to be copied.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) first: Bytes,
    pub(crate) rest: Bytes,
}

impl Segment {
    fn filler(seed: u64, index: u64) -> Self {
        let mut stamp = BytesMut::with_capacity(STAMP);
        stamp.put_u64(seed);
        stamp.put_u64(index);
        Self { first: stamp.freeze(), rest: FILLER.0.clone() }
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        (self.first.len() + self.rest.len()) as u64
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Leaves the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.rest.truncate(len.saturating_sub(self.first.len()));
        self.first.truncate(len);
    }

    /// Takes the first `len` bytes away from it.
    pub(crate) fn split_to(&mut self, len: usize) -> Self {
        let first = self.first.split_to(len.min(self.first.len()));
        let rest = self.rest.split_to((len - first.len()).min(self.rest.len()));
        Self { first, rest }
    }
}

/// Adds up the checksums of segments.
#[derive(Debug)]
pub(crate) struct Digester {
    crc: crc32fast::Hasher,
    sha: Option<Sha256>,
}

impl Digester {
    /// `sha256` is far slower than the network here, so it is optional.
    pub(crate) fn new(sha256: bool) -> Self {
        Self { crc: crc32fast::Hasher::new(), sha: sha256.then(Sha256::new) }
    }

    /// The next bytes.
    pub(crate) fn update(&mut self, segment: &Segment) {
        self.crc.update(&segment.first);
        if segment.rest.len() == FILLER.0.len() {
            self.crc.combine(&FILLER.1);
        } else {
            self.crc.update(&segment.rest);
        }
        if let Some(sha) = &mut self.sha {
            sha.update(&segment.first);
            sha.update(&segment.rest);
        }
    }

    /// The sums so far.
    pub(crate) fn finish(&self) -> Digests {
        let sha256 = self.sha.clone().map(|sha| hex(&sha.finalize()));
        Digests { sha256: sha256.unwrap_or_default(), crc32: self.crc.clone().finalize() }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
