//! The role that `identity --expect-role` names.

use std::fmt;
use std::str::FromStr;

use crate::aws::Partition;

/// An expected role. What is not given is not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExpectedRole {
    pub(crate) partition: Option<String>,
    /// Twelve digits.
    pub(crate) account: Option<String>,
    /// Without its path, which a session's ARN does not have.
    pub(crate) name: String,
}

impl ExpectedRole {
    /// Whether a session's ARN (`arn:PARTITION:sts::ACCOUNT:assumed-role/NAME/SESSION`) is one of this
    /// role.
    pub(crate) fn matches(&self, session_arn: &str) -> bool {
        session(session_arn)
            .is_some_and(|(_, _, name)| self.has_account_of(session_arn) && self.name == name)
    }

    /// Whether a session's ARN is one of a role, of whatever name, in this role's partition and account.
    pub(crate) fn has_account_of(&self, session_arn: &str) -> bool {
        let is = |expected: &Option<String>, found| expected.as_deref().is_none_or(|e| e == found);
        session(session_arn).is_some_and(|(partition, account, _)| {
            is(&self.partition, partition) && is(&self.account, account)
        })
    }
}

/// Partition, account and role of a session's ARN.
fn session(arn: &str) -> Option<(&str, &str, &str)> {
    let (partition, account, resource) = parts(arn, "sts")?;
    let (name, session) = resource.strip_prefix("assumed-role/")?.split_once('/')?;
    (!name.is_empty() && !session.is_empty()).then_some((partition, account, name))
}

/// Partition, account and resource of an ARN of this service, which has no region.
fn parts<'a>(arn: &'a str, service: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (partition, rest) = arn.strip_prefix("arn:")?.split_once(':')?;
    let (account, resource) = rest.strip_prefix(service)?.strip_prefix("::")?.split_once(':')?;
    Some((partition, account, resource))
}

/// The name, or the ARN without its path.
impl fmt::Display for ExpectedRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.partition, &self.account) {
            (Some(partition), Some(account)) => {
                write!(f, "arn:{partition}:iam::{account}:role/{}", self.name)
            }
            _ => f.write_str(&self.name),
        }
    }
}

impl FromStr for ExpectedRole {
    type Err = String;

    /// Reads a role's name or its ARN, `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`. An error is one line.
    fn from_str(text: &str) -> Result<Self, String> {
        let (partition, account, name) = if text.starts_with("arn:") {
            if let Some((partition, account, name)) = session(text) {
                return Err(format!(
                    "{text:?} is the ARN of a role's session: give the role's, \
                     \"arn:{partition}:iam::{account}:role/{}\"",
                    name.escape_debug()
                ));
            }
            let role = parts(text, "iam").and_then(|(partition, account, resource)| {
                let path = resource.strip_prefix("role/")?;
                Some((partition, account, path.rsplit_once('/').map_or(path, |(_, name)| name)))
            });
            let (partition, account, name) =
                role.ok_or_else(|| format!("{text:?} is not the ARN of a role"))?;
            if !Partition::all().any(|known| known.id == partition) {
                let known: Vec<_> = Partition::all().map(|known| known.id).collect();
                let known = known.join(", ");
                return Err(format!(
                    "{text:?} has the partition {partition:?}, which is none of {known}"
                ));
            }
            if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("{text:?} has the account {account:?}: give its 12 digits"));
            }
            (Some(partition.to_owned()), Some(account.to_owned()), name)
        } else {
            (None, None, text)
        };
        // https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !(1..=64).contains(&name.len()) || !name.chars().all(is_allowed) {
            return Err(format!(
                "{text:?} is not a role's name (1 to 64 letters, digits and _+=,.@-) and not the \
                 ARN of a role"
            ));
        }
        Ok(Self { partition, account, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/uploader/eks-demo-pod-1";

    #[test]
    fn what_is_given_of_a_role_is_what_a_session_must_have() {
        let matches = |role: &str, session| {
            let role: ExpectedRole = role.parse().unwrap_or_else(|why| panic!("{role}: {why}"));
            (role.has_account_of(session), role.matches(session))
        };
        for (role, expected) in [
            ("uploader", (true, true)),
            ("Uploader", (true, false)),
            ("upload", (true, false)),
            ("arn:aws:iam::123456789012:role/uploader", (true, true)),
            ("arn:aws:iam::123456789012:role/a/path/uploader", (true, true)),
            ("arn:aws:iam::123456789012:role/reader", (true, false)),
            ("arn:aws:iam::999999999999:role/uploader", (false, false)),
            ("arn:aws:iam::999999999999:role/reader", (false, false)),
            ("arn:aws-cn:iam::123456789012:role/uploader", (false, false)),
            ("arn:aws-us-gov:iam::123456789012:role/uploader", (false, false)),
        ] {
            assert_eq!(matches(role, SESSION), expected, "{role}");
        }
        for no_session in [
            "",
            "uploader",
            "arn:aws:iam::123456789012:user/uploader",
            "arn:aws:iam::123456789012:role/uploader",
            "arn:aws:sts::123456789012:federated-user/uploader",
            "arn:aws:sts::123456789012:assumed-role/uploader",
            "arn:aws:sts::123456789012:assumed-role/uploader/",
            "arn:aws:sts:us-east-1:123456789012:assumed-role/uploader/session",
            "arn:aws:stsx::123456789012:assumed-role/uploader/session",
        ] {
            assert_eq!(matches("uploader", no_session), (false, false), "{no_session}");
        }
    }

    #[test]
    fn a_role_is_shown_as_far_as_it_is_compared() {
        for (given, shown) in [
            ("uploader", "uploader"),
            (
                "arn:aws:iam::123456789012:role/a/b/uploader",
                "arn:aws:iam::123456789012:role/uploader",
            ),
        ] {
            assert_eq!(
                given.parse().map(|role: ExpectedRole| role.to_string()).as_deref(),
                Ok(shown)
            );
        }
    }

    #[test]
    fn what_names_no_role_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "not a role's name"),
            ("service/uploader", "not a role's name"),
            ("an uploader", "not a role's name"),
            ("x\ny", "not a role's name"),
            ("arn:aws:iam::123456789012:role/", "not a role's name"),
            ("arn:aws:iam::123456789012:role/path/", "not a role's name"),
            ("arn:aws:iam::123456789012:user/me", "not the ARN of a role"),
            ("arn:aws:s3:::pictures", "not the ARN of a role"),
            ("arn:", "not the ARN of a role"),
            ("arn:aws:iam::1:role/me", "has the account \"1\""),
            ("arn:aws:iam::12345678901x:role/me", "12 digits"),
            ("arn:aws:iam:::role/me", "12 digits"),
            ("arn:amazon:iam::123456789012:role/me", "none of aws, aws-cn, aws-eusc"),
            ("arn::iam::123456789012:role/me", "has the partition \"\""),
            (SESSION, "give the role's, \"arn:aws:iam::123456789012:role/uploader\""),
        ] {
            let error = text.parse::<ExpectedRole>().expect_err(text);
            assert!(error.contains(why) && !error.contains('\n'), "{text:?}: {error}");
        }
    }
}
