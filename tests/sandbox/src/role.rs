//! An IAM role, as far as its credentials tell of it.

use crate::credentials::{ACCOUNT, ALPHANUMERIC_UPPER, random};

/// An IAM role of this world's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name, without a path.
    pub name: String,
    /// Its unique id: `AROA` and 17 letters and digits.
    pub id: String,
}

impl Role {
    /// A new role of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let id = format!("AROA{}", random(17, ALPHANUMERIC_UPPER));
        Self { name: name.to_owned(), id }
    }

    /// `arn:aws:iam::ACCOUNT:role/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{ACCOUNT}:role/{}", self.name)
    }
}
