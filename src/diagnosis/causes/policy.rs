//! What IAM says about a request that it denied.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>

/// IAM's reason: "because no KIND policy allows the ACTION action", or "with an explicit deny in a KIND
/// policy".
pub(super) struct Reason<'a> {
    /// In IAM's words.
    pub(super) text: &'a str,
    /// Whether a policy denies the request; otherwise none allows it.
    pub(super) is_explicit: bool,
}

impl<'a> Reason<'a> {
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let reasons = [("with an explicit deny", true), ("because no ", false)];
        reasons.into_iter().find_map(|(start, is_explicit)| {
            let text = &text[text.find(start)?..];
            // What follows is not IAM's reason: the end of EKS Auth's error, the id of the decision.
            let ends = [", fault", ". Go to ", "; Go to ", " Go to http", ", or call the "];
            let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
            Some(Self { text: text[..end].trim_end_matches('.'), is_explicit })
        })
    }

    /// Whether it names this kind of policy.
    pub(super) fn is_of(&self, kind: &str) -> bool {
        self.text.contains(kind)
    }

    /// Where a policy of this kind is. A resource-based one is in `own`.
    pub(super) fn place(&self, own: &'static str) -> Option<&'static str> {
        let kinds = [
            ("identity-based policy", "the role's policy"),
            ("trust policy", "the role's trust policy"),
            ("resource-based policy", own),
            ("permissions boundary", "the role's permissions boundary"),
            (
                "service control policy",
                "the organization's service control policy (ask its administrators)",
            ),
            (
                "resource control policy",
                "the organization's resource control policy (ask its administrators)",
            ),
            ("VPC endpoint policy", "the policy of the VPC endpoint"),
            ("session policy", "the session policy of the association"),
        ];
        kinds.into_iter().find_map(|(kind, place)| self.is_of(kind).then_some(place))
    }

    /// How to have it allow the action, where `place` has the policy.
    pub(super) fn fix(&self, action: &str, place: &str) -> String {
        if self.is_explicit {
            format!("{action}: change {place}, which denies it explicitly")
        } else {
            format!("allow {action} in {place}")
        }
    }
}
