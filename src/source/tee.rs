//! Copies of small pictures, for whoever wants to look at them.
//!
//! A picture streams from the image host to S3 and is never in memory as a whole. A tee keeps the bytes
//! that pass, up to a limit. When a picture turns out to be larger, its bytes are released.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::lock::lock;

/// Decides which pictures are copied. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tees {
    /// The largest picture that is copied, in bytes.
    limit: usize,
    /// The shortest time between two copies, so that a fast job is not slowed down for pictures that
    /// nobody could see.
    pause: Duration,
    next: Arc<Mutex<Option<Instant>>>,
}

impl Tees {
    pub(crate) fn new(limit: usize, pause: Duration) -> Self {
        Self { limit, pause, next: Arc::default() }
    }

    /// A tee for a picture of this declared length, unless the picture is too large or the last copy
    /// was made less than the pause ago.
    pub(crate) fn tee(&self, length: Option<u64>) -> Option<Tee> {
        if length.is_some_and(|length| length > self.limit as u64) {
            return None;
        }
        let now = Instant::now();
        let mut next = lock(&self.next);
        if next.is_some_and(|next| now < next) {
            return None;
        }
        *next = Some(now + self.pause);
        Some(Tee::new(self.limit))
    }
}

/// The copy of one picture. Cheap to clone: all clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Tee(Arc<Mutex<Copied>>);

#[derive(Debug)]
struct Copied {
    /// The chunks themselves, which are counted and not copied while they are on their way; `None`
    /// once there were too many bytes.
    chunks: Option<Vec<Bytes>>,
    /// How many more bytes there may be.
    left: usize,
}

impl Tee {
    fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Copied { chunks: Some(Vec::new()), left: limit })))
    }

    pub(super) fn add(&self, chunk: &Bytes) {
        let mut copied = lock(&self.0);
        match copied.left.checked_sub(chunk.len()) {
            Some(left) => {
                copied.left = left;
                if let Some(chunks) = &mut copied.chunks {
                    chunks.push(chunk.clone());
                }
            }
            None => copied.chunks = None,
        }
    }

    /// The picture in one piece, which holds no buffer of the connection; `None` if it was too large.
    pub(crate) fn into_bytes(self) -> Option<Bytes> {
        let chunks = lock(&self.0).chunks.take()?;
        Some(chunks.concat().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_copied_up_to_the_limit_and_not_beyond() {
        let chunk = Bytes::from_static(b"four");
        let tee = Tee::new(8);
        tee.add(&chunk);
        tee.add(&chunk);
        assert_eq!(tee.clone().into_bytes().as_deref(), Some(&b"fourfour"[..]));

        let tee = Tee::new(8);
        (0..3).for_each(|_| tee.add(&chunk));
        assert_eq!(tee.clone().into_bytes(), None);
        tee.add(&chunk);
        assert_eq!(tee.into_bytes(), None, "what came after it is no picture");
    }
}
