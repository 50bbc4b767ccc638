//! A service account token where a pod finds it.

use std::io::{self, Write};
use std::path::PathBuf;

/// A file in a directory of this process alone, replaced as the kubelet
/// replaces a projected token.
#[derive(Debug)]
pub(crate) struct TokenFile {
    directory: tempfile::TempDir,
    name: &'static str,
}

impl TokenFile {
    /// An empty directory for it.
    pub(crate) fn new(name: &'static str) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("token-").tempdir()?;
        Ok(Self { directory, name })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    /// Writes beside the file (a temporary file is of mode 0600) and renames,
    /// so that a reader sees the old text or the new one.
    pub(crate) fn write(&self, token: &str) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(self.directory.path())?;
        file.write_all(token.as_bytes())?;
        file.persist(self.path())?;
        Ok(())
    }
}
