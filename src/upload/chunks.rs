//! Bytes that have arrived and are not sent yet.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::source::{FetchError, Picture};

/// A queue of bytes, in the chunks in which they arrived, so that none is copied.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunks: VecDeque<Bytes>,
    length: u64,
}

impl Chunks {
    /// Reads from the picture until there are more than `length` bytes here, or until it ends: then
    /// this returns `false`, or an error if the picture is not whole.
    pub(super) async fn fill_beyond(
        &mut self,
        picture: &mut Picture,
        length: u64,
    ) -> Result<bool, FetchError> {
        while self.length <= length {
            let Some(chunk) = picture.chunk().await? else {
                picture.finish()?;
                return Ok(false);
            };
            self.length += chunk.len() as u64;
            self.chunks.push_back(chunk);
        }
        Ok(true)
    }

    /// Removes the first `length` bytes, or all if there are fewer.
    pub(super) fn take(&mut self, length: u64) -> Vec<Bytes> {
        let mut taken = Vec::new();
        let mut missing = length;
        while missing > 0
            && let Some(mut chunk) = self.chunks.pop_front()
        {
            if let Ok(cut) = usize::try_from(missing)
                && cut < chunk.len()
            {
                self.chunks.push_front(chunk.split_off(cut));
            }
            missing -= chunk.len() as u64;
            taken.push(chunk);
        }
        self.length -= length - missing;
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_wherever_they_are_cut() {
        let mut chunks = Chunks::default();
        for chunk in ["ab", "cde", "f"] {
            chunks.length += chunk.len() as u64;
            chunks.chunks.push_back(Bytes::from_static(chunk.as_bytes()));
        }
        assert_eq!(chunks.take(1).concat(), b"a");
        assert_eq!(chunks.take(3).concat(), b"bcd");
        assert!(!chunks.is_empty());
        assert_eq!(chunks.take(9).concat(), b"ef");
        assert!(chunks.is_empty());
    }
}
