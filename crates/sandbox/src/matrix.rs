//! What Pod Identity gives to whom: an experiment in an emulator of AWS.

mod account;
mod column;

use std::fmt;
use std::io;

use crate::emulator::Emulator;
use account::Account;
use column::Column;

/// Who asks for access.
pub(crate) const ROWS: [&str; 6] = [
    "this service account",
    "another service account of the namespace",
    "another namespace",
    "another cluster",
    "the node",
    "static keys",
];

/// What was set, and what it means.
const COLUMNS: [(&str, Column); 4] = [
    ("role only", Column::RoleOnly),
    ("tag-bound policy", Column::TagBound),
    ("session policy", Column::SessionPolicy),
    ("target role", Column::TargetRole),
];

/// Whether an upload to the bucket of "this service account" was allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The object was stored.
    Allowed,
    /// It was not.
    Denied {
        /// The service that denied it.
        by: &'static str,
        /// Its reason: the policy that does not allow an action.
        why: String,
    },
}

/// Who may upload to the bucket of a service account, by what was set.
///
/// All four pods have an association with the same role, so that only IAM
/// tells them apart. The node has the permissions of a node and no others. The
/// static keys are those of a user with the role's own policy.
///
/// - *role only*: the role's policy allows uploads to the bucket.
/// - *tag-bound policy*: the scripts' policy, which demands the session tags of
///   the service account.
/// - *session policy*: the role's policy allows uploads to the bucket, and each
///   association restricts them to a prefix of its own.
/// - *target role*: the role may only assume a target role, which may upload,
///   and which demands the external ID of the service account's association.
#[derive(Clone, Debug)]
pub struct Matrix(Vec<Vec<Access>>);

impl Matrix {
    /// Tries each combination in an account of the emulator, with clusters,
    /// roles, a user and a bucket that are created for it, and deleted at the
    /// end.
    ///
    /// # Errors
    ///
    /// The emulator fails.
    pub async fn of(emulator: &Emulator) -> io::Result<Self> {
        let account = Account::new(emulator).await?;
        let mut columns = Vec::new();
        for (_, column) in COLUMNS {
            columns.push(column.tried(&account).await?);
        }
        let roles: Vec<_> = COLUMNS.iter().flat_map(|(_, column)| column.roles(&account)).collect();
        account.remove(&roles).await?;
        let row = |at: usize| columns.iter().map(|column| column[at].clone()).collect();
        Ok(Self((0..ROWS.len()).map(row).collect()))
    }

    /// The cells by row and column, in the order of the printed table.
    #[must_use]
    pub fn cells(&self) -> &[Vec<Access>] {
        &self.0
    }
}

impl Access {
    /// A denial with IAM's text, from which only the reason is taken: `because
    /// no identity-based policy allows the s3:PutObject action`. IAM gives none
    /// where a trust policy decides: its text ends with the role then. Any other
    /// text stays as it is.
    pub(crate) fn denied(by: &'static str, message: &str) -> Self {
        let reason = message.split_once("because ").map(|(_, reason)| reason);
        let reason = reason.map(|reason| reason.split(", fault").next().unwrap_or_default());
        let why = match reason.map(|reason| reason.replacen("allows the ", "allows ", 1)) {
            Some(reason) => reason.trim_end_matches(" action").to_owned(),
            None if is_of_trust_policy(message) => {
                "the target role's trust policy does not allow sts:AssumeRole".to_owned()
            }
            None => message.to_owned(),
        };
        Self::Denied { by, why }
    }
}

/// Whether this is IAM's whole text where the trust policy of a role decides.
fn is_of_trust_policy(message: &str) -> bool {
    let action = " is not authorized to perform: sts:AssumeRole on resource: ";
    message.split_once(action).is_some_and(|(_, rest)| {
        let role = rest.strip_suffix(", fault: client").unwrap_or(rest);
        role.starts_with("arn:aws:iam::") && role.contains(":role/") && !role.contains(' ')
    })
}

/// A table in Markdown.
impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
        writeln!(f, "| who asks | {} |", head.join(" | "))?;
        writeln!(f, "|---{}|", "|---".repeat(head.len()))?;
        for (name, cells) in ROWS.iter().zip(&self.0) {
            let cells: Vec<_> = cells.iter().map(Access::to_string).collect();
            writeln!(f, "| {name} | {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Denied { by, why } => write!(f, "denied by {by}: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Access;

    fn why(message: &str) -> String {
        match Access::denied("STS", message) {
            Access::Denied { why, .. } => why,
            Access::Allowed => String::new(),
        }
    }

    #[test]
    fn a_denial_has_the_reason_of_iam_and_no_other() {
        let said = "User: arn:aws:sts::1:assumed-role/a/b is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::1:role/target";
        let trust = "the target role's trust policy does not allow sts:AssumeRole";
        assert_eq!(why(said), trust);
        assert_eq!(why(&format!("[id]: (AccessDeniedException): {said}, fault: client")), trust);
        let because = "because no identity-based policy allows the sts:AssumeRole action";
        let policy = "no identity-based policy allows sts:AssumeRole";
        assert_eq!(why(&format!("{said} {because}")), policy);
        let denied = format!("{said} with an explicit deny in a service control policy");
        for other in [denied.as_str(), "sts:AssumeRole: Rate exceeded", "Access Denied"] {
            assert_eq!(why(other), other);
        }
    }
}
