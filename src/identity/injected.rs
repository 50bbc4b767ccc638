//! The variables that the webhooks of Pod Identity and IRSA set in this pod, and those that affect
//! the credential chain before them.

use std::collections::BTreeMap;
use std::env;

/// The URL from which the container provider gets credentials: for Pod Identity, the agent's.
pub(super) const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
/// The path of ECS's credential endpoint.
const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
/// The file with the token that authorizes the request to the agent.
pub(super) const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// The file with IRSA's token.
pub(super) const WEB_IDENTITY_TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
/// IRSA's role.
pub(super) const ROLE_ARN: &str = "AWS_ROLE_ARN";

/// The pod's annotation `eks.amazonaws.com/skip-containers`: the containers that the webhook leaves
/// out. The manifest passes it on by the downward API.
const SKIP_CONTAINERS: &str = "SKIP_CONTAINERS";

/// The variables, in the order in which a report shows them. Of a secret one, the report says only
/// that it is set.
const VARIABLES: [(&str, Value); 15] = [
    (FULL_URI, Value::Public),
    (TOKEN_FILE, Value::Public),
    (RELATIVE_URI, Value::Public),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", Value::Secret),
    (ROLE_ARN, Value::Public),
    (WEB_IDENTITY_TOKEN_FILE, Value::Public),
    ("AWS_ROLE_SESSION_NAME", Value::Public),
    ("AWS_REGION", Value::Public),
    ("AWS_DEFAULT_REGION", Value::Public),
    ("AWS_STS_REGIONAL_ENDPOINTS", Value::Public),
    ("AWS_PROFILE", Value::Public),
    ("AWS_ACCESS_KEY_ID", Value::Secret),
    ("AWS_SECRET_ACCESS_KEY", Value::Secret),
    ("AWS_SESSION_TOKEN", Value::Secret),
    (SKIP_CONTAINERS, Value::Public),
];

#[derive(Clone, Copy, PartialEq)]
enum Value {
    Public,
    Secret,
}

/// The variables that are set and not empty. It has no `Debug`, because some are secret.
#[derive(Clone, Default)]
pub(crate) struct Injected(BTreeMap<&'static str, String>);

impl Injected {
    /// Reads the environment, which does not change while the program runs.
    pub(crate) fn from_env() -> Self {
        let variables =
            VARIABLES.into_iter().filter_map(|(name, _)| Some((name, env::var(name).ok()?)));
        Self(variables.filter(|(_, value)| !value.is_empty()).collect())
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn set(mut self, name: &'static str, value: &str) -> Self {
        self.0.insert(name, value.to_owned());
        self
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Names and values, in the order of reading; secret values are replaced.
    pub(super) fn shown(&self) -> Vec<(&'static str, String)> {
        let shown = VARIABLES.into_iter().filter_map(|(name, kind)| {
            let value = self.variable(name)?;
            Some((name, if kind == Value::Secret { "(set, not shown)" } else { value }.to_owned()))
        });
        shown.collect()
    }

    /// Whether Pod Identity is injected: an agent to ask, and a projected token to ask it with.
    pub(super) fn has_pod_identity(&self) -> bool {
        self.has(FULL_URI) && self.has(TOKEN_FILE) && !self.has(RELATIVE_URI)
    }

    /// Whether the chain asks the agent: with IRSA as well, it asks STS and ends there.
    pub(super) fn leads_to_agent(&self) -> bool {
        self.has_pod_identity() && !self.has_irsa()
    }

    pub(super) fn has_irsa(&self) -> bool {
        self.has(WEB_IDENTITY_TOKEN_FILE) && self.has(ROLE_ARN)
    }

    /// Whether the container provider is set up as ECS does it: with a relative URI, or with an
    /// absolute one without a token file.
    pub(super) fn has_ecs(&self) -> bool {
        self.has(RELATIVE_URI) || (self.has(FULL_URI) && !self.has(TOKEN_FILE))
    }

    /// The annotation that makes the webhook leave this container out, if it names it. In the
    /// project's manifests the container has the program's name.
    pub(super) fn skipped_by(&self) -> Option<&str> {
        let skipped = self.variable(SKIP_CONTAINERS)?;
        let names_this = skipped.split(',').any(|name| name.trim() == env!("CARGO_PKG_NAME"));
        names_this.then_some(skipped)
    }
}
