//! The file with a pod's service account token.

use std::io::{self, Write};
use std::path::PathBuf;

/// A file in a temporary directory of this process, which is replaced
/// atomically, as the kubelet replaces a projected token.
#[derive(Debug)]
pub(crate) struct TokenFile {
    directory: tempfile::TempDir,
    name: &'static str,
}

impl TokenFile {
    /// Creates the directory, without the file.
    pub(crate) fn new(name: &'static str) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("token-").tempdir()?;
        Ok(Self { directory, name })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    /// Writes a temporary file (with mode 0600) and renames it, so that a
    /// reader sees either the old or the new token.
    pub(crate) fn write(&self, token: &str) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(self.directory.path())?;
        file.write_all(token.as_bytes())?;
        file.persist(self.path())?;
        Ok(())
    }
}
