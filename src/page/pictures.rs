//! The last pictures themselves, which come from the tee of each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use crate::lock::lock;
use crate::source::{ImageKind, Tee, Tees};

/// The largest picture that is kept, and all that are kept together, in bytes.
const LARGEST_PICTURE: usize = 1 << 20;
const ALL_PICTURES: usize = 9 << 18;

/// The pause between two copies of pictures. Nobody could see more of them.
const COPY_PAUSE: Duration = Duration::from_millis(200);

/// Keeps copies of the last pictures. Cheap to clone: all clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Pictures {
    tees: Tees,
    /// How many are shown, at least one. As many again are kept, for browsers that ask late for a picture
    /// that they have been told of.
    number: usize,
    /// The newest first.
    kept: Arc<Mutex<VecDeque<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    /// The file name in the key of its object, which no other object has.
    name: String,
    kind: ImageKind,
    bytes: Bytes,
}

impl Pictures {
    /// Shows this number of pictures; `None` if that is zero.
    pub(super) fn new(number: usize) -> Option<Self> {
        let tees = Tees::new(LARGEST_PICTURE, COPY_PAUSE);
        (number > 0).then(|| Self { tees, number, kept: Arc::default() })
    }

    /// The tee for a picture of this declared length, if it is to be kept.
    pub(crate) fn tee(&self, length: Option<u64>) -> Option<Tee> {
        self.tees.tee(length)
    }

    /// Keeps what a tee has copied of the object with this key, and drops the oldest pictures until there
    /// is room for it.
    pub(crate) fn keep(&self, key: &str, kind: ImageKind, tee: Tee) {
        let Some(bytes) = tee.into_bytes().filter(|bytes| !bytes.is_empty()) else { return };
        let mut kept = lock(&self.kept);
        let mut total = bytes.len() + kept.iter().map(|each| each.bytes.len()).sum::<usize>();
        while kept.len() >= 2 * self.number || total > ALL_PICTURES {
            let Some(oldest) = kept.pop_back() else { break };
            total -= oldest.bytes.len();
        }
        kept.push_front(Kept { name: name(key).to_owned(), kind, bytes });
    }

    /// The picture with this name, and its kind.
    pub(super) fn find(&self, name: &str) -> Option<(ImageKind, Bytes)> {
        let kept = lock(&self.kept);
        let found = kept.iter().find(|each| each.name == name)?;
        Some((found.kind, found.bytes.clone()))
    }

    /// The path at which the picture of the object with this key is served, as long as it is shown.
    pub(super) fn path(&self, key: &str) -> Option<String> {
        let name = name(key);
        let is_shown = lock(&self.kept).iter().take(self.number).any(|each| each.name == name);
        is_shown.then(|| format!("/pictures/{name}"))
    }
}

fn name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}
