//! Checks whether a role trusts EKS.

use serde::Deserialize;

use super::policies::POD_IDENTITY_SERVICE;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    statement: OneOrMore<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: String,
    #[serde(default)]
    principal: Option<Principal>,
    #[serde(default)]
    action: OneOrMore<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Principal {
    Named {
        #[serde(rename = "Service", default)]
        services: OneOrMore<String>,
    },
    /// `"*"`, which matches every account but no service.
    #[expect(dead_code, reason = "there to be told from the names")]
    Anyone(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    More(Vec<T>),
    One(T),
}

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl<T> OneOrMore<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::More(all) => all,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}

/// Whether a trust policy allows EKS these actions. A policy that cannot be
/// parsed does not. The emulator's STS evaluates conditions and denials.
pub(crate) fn trusts_eks(document: &str, actions: &[&str]) -> bool {
    let Ok(policy) = serde_json::from_str::<Policy>(document) else {
        return false;
    };
    let statements = policy.statement.as_slice();
    actions.iter().all(|needed| statements.iter().any(|statement| statement.allows_eks(needed)))
}

impl Statement {
    fn allows_eks(&self, needed: &str) -> bool {
        let named = match &self.principal {
            Some(Principal::Named { services }) => services.as_slice(),
            _ => &[],
        };
        self.effect == "Allow"
            && named.iter().any(|service| service == POD_IDENTITY_SERVICE)
            && self.action.as_slice().iter().any(|pattern| matches(pattern, needed))
    }
}

/// Whether a policy's pattern matches an action: case is ignored, and an
/// asterisk matches any text.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| action.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::emulator::{pod_identity_trust, trust_of};

    fn trusts_eks(document: &str) -> bool {
        super::trusts_eks(document, &["sts:AssumeRole", "sts:TagSession"])
    }

    fn trusted(statement: &Value) -> bool {
        trusts_eks(&json!({ "Version": "2012-10-17", "Statement": statement }).to_string())
    }

    #[test]
    fn the_policy_of_the_user_guide_trusts_eks_in_every_notation() {
        let both = ["sts:AssumeRole", "sts:TagSession"];
        assert!(trusts_eks(&pod_identity_trust().to_string()));
        let services = ["ec2.amazonaws.com", "pods.eks.amazonaws.com"];
        assert!(trusted(
            &json!({ "Effect": "Allow", "Principal": { "Service": services }, "Action": both })
        ));
        for all in ["sts:*", "*", "STS:*", "s*:*"] {
            let eks = trust_of("pods.eks.amazonaws.com", &[all]);
            assert!(trusts_eks(&eks.to_string()), "{all}");
        }
        let eks = json!({ "Service": "pods.eks.amazonaws.com" });
        assert!(trusted(&json!([
            { "Effect": "Allow", "Principal": eks, "Action": "sts:AssumeRole" },
            { "Effect": "Allow", "Principal": eks, "Action": "sts:Tag*" },
        ])));
    }

    #[test]
    fn a_policy_without_a_required_part_does_not_trust_eks() {
        for (service, actions) in [
            ("ec2.amazonaws.com", &["sts:AssumeRole", "sts:TagSession"][..]),
            ("eks.amazonaws.com", &["sts:*"]),
            ("pods.eks.amazonaws.com", &["sts:AssumeRole"]),
            ("pods.eks.amazonaws.com", &["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]),
            ("pods.eks.amazonaws.com", &["sts:*Session"]),
            ("pods.eks.amazonaws.com", &[]),
        ] {
            assert!(!trusts_eks(&trust_of(service, actions).to_string()), "{service} {actions:?}");
        }
        let eks = json!({ "Service": "pods.eks.amazonaws.com" });
        assert!(!trusted(&json!({ "Effect": "Deny", "Principal": eks, "Action": "sts:*" })));
        assert!(!trusted(&json!({ "Effect": "Allow", "Principal": "*", "Action": "sts:*" })));
        let account = json!({ "AWS": "arn:aws:iam::123456789012:root" });
        assert!(!trusted(&json!({ "Effect": "Allow", "Principal": account, "Action": "sts:*" })));
        assert!(!trusts_eks("no policy"));
    }

    #[test]
    fn without_session_tags_one_action_is_enough() {
        let trust = trust_of("pods.eks.amazonaws.com", &["sts:AssumeRole"]).to_string();
        assert!(super::trusts_eks(&trust, &["sts:AssumeRole"]));
        assert!(!trusts_eks(&trust));
    }
}
