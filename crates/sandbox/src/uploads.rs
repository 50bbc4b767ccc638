//! The multipart uploads in progress, and the checks that S3 makes on
//! completion.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use s3s::dto::{Checksum, CompletedPart, ETag};
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::checked::differ;

/// The minimum size of every part but the last, in bytes.
const SMALLEST_PART: u64 = 5 * 1024 * 1024;

/// An uploaded part.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) e_tag: Option<ETag>,
    pub(crate) len: u64,
    pub(crate) sums: Checksum,
}

/// Uploads by their id.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashMap<String, Upload>>);

#[derive(Debug)]
enum Upload {
    Open(BTreeMap<i32, Part>),
    /// Completed, with the object's entity tag. A client that lost the answer
    /// completes the upload again and gets the same answer.
    Completed(ETag),
}

impl Uploads {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, id: &str) {
        self.all().insert(id.to_owned(), Upload::Open(BTreeMap::new()));
    }

    /// Fails if there is no open upload with this ID.
    pub(crate) fn need_open(&self, id: &str) -> S3Result<()> {
        match self.all().get(id) {
            Some(Upload::Open(_)) => Ok(()),
            _ => Err(no_such_upload()),
        }
    }

    /// Records a part, or fails if the upload has ended in the meantime.
    pub(crate) fn add(&self, id: &str, number: i32, part: Part) -> S3Result<()> {
        match self.all().get_mut(id) {
            Some(Upload::Open(parts)) => {
                parts.insert(number, part);
                Ok(())
            }
            _ => Err(no_such_upload()),
        }
    }

    /// Removes an upload.
    pub(crate) fn abort(&self, id: &str) {
        self.all().remove(id);
    }

    /// The object's entity tag, if the upload has already been completed.
    pub(crate) fn completed(&self, id: &str) -> Option<ETag> {
        match self.all().get(id) {
            Some(Upload::Completed(e_tag)) => Some(e_tag.clone()),
            _ => None,
        }
    }

    pub(crate) fn complete(&self, id: &str, e_tag: ETag) {
        self.all().insert(id.to_owned(), Upload::Completed(e_tag));
    }

    /// Checks that these parts can form an object. s3s-fs checks only their
    /// numbers.
    pub(crate) fn check(&self, id: &str, wanted: &[CompletedPart]) -> S3Result<()> {
        let all = self.all();
        let Some(Upload::Open(parts)) = all.get(id) else {
            return Err(no_such_upload());
        };
        let numbers: Vec<i32> = wanted.iter().filter_map(|part| part.part_number).collect();
        if numbers.len() != wanted.len() || !numbers.is_sorted_by(|one, next| one < next) {
            let text = "The list of parts was not in ascending order. Parts must be ordered by part number.";
            return Err(S3Error::with_message(S3ErrorCode::InvalidPartOrder, text));
        }
        for (index, part) in wanted.iter().enumerate() {
            let known = parts
                .get(&numbers[index])
                .filter(|known| known.e_tag == part.e_tag && !differ(&known.sums, &sums_of(part)));
            let Some(known) = known else {
                let text = "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.";
                return Err(S3Error::with_message(S3ErrorCode::InvalidPart, text));
            };
            if index + 1 < wanted.len() && known.len < SMALLEST_PART {
                let text = "Your proposed upload is smaller than the minimum allowed size";
                return Err(S3Error::with_message(S3ErrorCode::EntityTooSmall, text));
            }
        }
        Ok(())
    }
}

fn sums_of(part: &CompletedPart) -> Checksum {
    Checksum {
        checksum_crc32: part.checksum_crc32.clone(),
        checksum_crc32c: part.checksum_crc32c.clone(),
        checksum_crc64nvme: part.checksum_crc64nvme.clone(),
        checksum_sha1: part.checksum_sha1.clone(),
        checksum_sha256: part.checksum_sha256.clone(),
        ..Checksum::default()
    }
}

fn no_such_upload() -> S3Error {
    let text = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    S3Error::with_message(S3ErrorCode::NoSuchUpload, text)
}
