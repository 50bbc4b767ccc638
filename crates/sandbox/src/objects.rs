//! The contents of the S3's folder, read from disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::body::hex;

/// An object in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: String,
    /// The file that contains exactly the object's bytes.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// The Content-Type of the object.
    pub content_type: Option<String>,
    /// The `x-amz-meta-` headers of the object, without that prefix.
    pub metadata: BTreeMap<String, String>,
}

impl Stored {
    /// The SHA-256 of its bytes, in hexadecimal.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn sha256(&self) -> io::Result<String> {
        let mut sha = Sha256::new();
        self.read(|bytes| sha.update(bytes))?;
        Ok(hex(&sha.finalize()))
    }

    /// The CRC32 of its bytes.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn crc32(&self) -> io::Result<u32> {
        let mut crc = crc32fast::Hasher::new();
        self.read(|bytes| crc.update(bytes))?;
        Ok(crc.finalize())
    }

    fn read(&self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                length => take(&buffer[..length]),
            }
        }
    }
}

/// What interrupted uploads have left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Multipart uploads that were neither completed nor aborted.
    pub uploads: usize,
    /// Files of uploaded parts.
    pub parts: usize,
    /// Temporary files, which are being written or were abandoned.
    pub temporary: usize,
}

impl Leftovers {
    /// Whether nothing has been left behind.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Counts them in the S3's folder, by the names that s3s-fs gives them.
    pub(crate) fn count(root: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        for entry in root.read_dir()? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(".upload-") {
                found.uploads += 1;
            } else if name.starts_with(".upload_id-") {
                found.parts += 1;
            } else if name.starts_with(".tmp.") {
                found.temporary += 1;
            }
        }
        Ok(found)
    }
}

/// The file in which s3s-fs keeps an object's headers.
#[derive(Debug, Default, Deserialize)]
struct Attributes {
    #[serde(default)]
    user_metadata: BTreeMap<String, String>,
    content_type: Option<String>,
}

/// All objects of a bucket, sorted by key.
pub(crate) fn list(root: &Path, bucket: &str) -> io::Result<Vec<Stored>> {
    let folder = root.join(bucket);
    let mut objects = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in next.read_dir()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let path = entry.path();
            let key = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().into_owned();
            let Attributes { user_metadata, content_type } = attributes(root, bucket, &key);
            let len = entry.metadata()?.len();
            objects.push(Stored { key, path, len, content_type, metadata: user_metadata });
        }
    }
    objects.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(objects)
}

fn attributes(root: &Path, bucket: &str, key: &str) -> Attributes {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let name = format!(".bucket-{}.object-{}.metadata.json", encode(bucket), encode(key));
    // The file is missing while the object is being stored, and for files that were not uploaded.
    let content = std::fs::read(root.join(name)).unwrap_or_default();
    serde_json::from_slice(&content).unwrap_or_default()
}
