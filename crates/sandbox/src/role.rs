//! An IAM role, with the properties that its credentials reveal.

use crate::credentials::{ACCOUNT, ALPHANUMERIC_UPPER, random};

/// An IAM role in the sandbox's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The name, without a path.
    pub name: String,
    /// The unique ID: `AROA` and 17 letters and digits.
    pub id: String,
}

impl Role {
    /// Creates a role with this name.
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
