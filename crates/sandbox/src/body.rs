//! The bytes of a picture, and the filler that extends it to the requested
//! size.
//!
//! The filler repeats one random block, which the whole process shares, with a
//! unique stamp before each repetition. A gigabyte of filler therefore needs no
//! memory, no generation and little checksumming (the CRC of the block is known
//! and combined), even in a build without optimization. Still, no two blocks
//! and no two bodies are equal.

use std::sync::LazyLock;

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// The length of a stamp and a block together, in bytes.
const BLOCK: usize = 256 * 1024;
const STAMP: usize = 16;

static FILLER: LazyLock<(Bytes, crc32fast::Hasher)> = LazyLock::new(|| {
    let mut block = vec![0; BLOCK - STAMP];
    fastrand::fill(&mut block);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&block);
    (block.into(), crc)
});

/// The checksums of the bytes sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digests {
    /// In hexadecimal; empty if it was not requested.
    pub(crate) sha256: String,
    pub(crate) crc32: u32,
}

/// The body of an answer: a picture, followed by filler up to `len`.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    picture: Bytes,
    len: u64,
    seed: u64,
    /// Precomputed for pictures that are served repeatedly.
    pub(crate) digests: Option<Digests>,
}

impl Body {
    /// Extends `picture` with filler to exactly `len` bytes, or truncates it if
    /// it is longer.
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

/// Consecutive bytes, in two pieces to avoid copying them.
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

    /// Whether the segment has no bytes.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps only the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.rest.truncate(len.saturating_sub(self.first.len()));
        self.first.truncate(len);
    }

    /// Removes the first `len` bytes and returns them.
    pub(crate) fn split_to(&mut self, len: usize) -> Self {
        let first = self.first.split_to(len.min(self.first.len()));
        let rest = self.rest.split_to((len - first.len()).min(self.rest.len()));
        Self { first, rest }
    }
}

/// Computes the checksums of segments.
#[derive(Debug)]
pub(crate) struct Digester {
    crc: crc32fast::Hasher,
    sha: Option<Sha256>,
}

impl Digester {
    /// SHA-256 is optional, because it is far slower than the loopback network.
    pub(crate) fn new(sha256: bool) -> Self {
        Self { crc: crc32fast::Hasher::new(), sha: sha256.then(Sha256::new) }
    }

    /// Adds the next bytes.
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

    /// The checksums of the bytes so far.
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
