//! The variables that the webhooks of Pod Identity and IRSA set in this pod, and those that affect
//! the credential chain before them.

use std::collections::BTreeMap;
use std::env;

use super::provider::Provider;
use crate::aws::{clean, keep_secret};

/// The URL from which the container provider gets credentials: for Pod Identity, the agent's.
pub(crate) const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
/// The path of ECS's credential endpoint.
pub(crate) const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
/// The file with the token that authorizes the request to the agent.
pub(crate) const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// The file with IRSA's token.
pub(crate) const WEB_IDENTITY_TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
/// IRSA's role.
pub(crate) const ROLE_ARN: &str = "AWS_ROLE_ARN";

/// The static keys, which are used only if both are there.
const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";

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
    (ACCESS_KEY, Value::Secret),
    (SECRET_KEY, Value::Secret),
    ("AWS_SESSION_TOKEN", Value::Secret),
    (SKIP_CONTAINERS, Value::Public),
];

#[derive(Clone, Copy, PartialEq)]
enum Value {
    Public,
    Secret,
}

/// The variables that are set, also to an empty text: the SDK takes an empty one for a setting, except
/// for keys. It has no `Debug`, because some are secret.
#[derive(Clone, Default)]
pub(crate) struct Injected(BTreeMap<&'static str, String>);

impl Injected {
    /// Reads the environment, which does not change while the program runs.
    pub(crate) fn from_env() -> Self {
        let variables =
            VARIABLES.into_iter().filter_map(|(name, _)| Some((name, env::var(name).ok()?)));
        let injected = Self(variables.collect());
        let secrets = VARIABLES.into_iter().filter(|(_, value)| *value == Value::Secret);
        for (name, _) in secrets {
            keep_secret(injected.variable(name).unwrap_or_default());
        }
        injected
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn set(mut self, name: &'static str, value: &str) -> Self {
        self.0.insert(name, value.to_owned());
        self
    }

    /// The text of a variable, which may be empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Names and values, in the order of reading; secret values are replaced.
    pub(crate) fn shown(&self) -> Vec<(&'static str, String)> {
        let shown = VARIABLES.into_iter().filter_map(|(name, kind)| {
            let value = self.variable(name)?;
            let shown = match kind {
                _ if value.is_empty() => "(set, but empty)".to_owned(),
                Value::Secret => "(set, not shown)".to_owned(),
                Value::Public => clean(value),
            };
            Some((name, shown))
        });
        shown.collect()
    }

    /// Whether Pod Identity is injected: an agent to ask, and a projected token to ask it with.
    pub(crate) fn has_pod_identity(&self) -> bool {
        self.has(FULL_URI) && self.has(TOKEN_FILE)
    }

    pub(crate) fn has_irsa(&self) -> bool {
        self.has(WEB_IDENTITY_TOKEN_FILE) && self.has(ROLE_ARN)
    }

    /// Whether the container provider is set up as ECS does it: with a relative URI, which the SDK prefers,
    /// or with an absolute one without a token file.
    pub(crate) fn has_ecs(&self) -> bool {
        self.has(RELATIVE_URI) || (self.has(FULL_URI) && !self.has(TOKEN_FILE))
    }

    /// Which of the two users of the SDK's container provider these variables are for.
    pub(super) fn of_container(&self) -> Provider {
        if self.has_ecs() { Provider::Ecs } else { Provider::PodIdentity }
    }

    /// Which of the two variables of static keys is missing or blank, if the other one is there.
    pub(crate) fn half_of_a_key(&self) -> Option<(&'static str, &'static str)> {
        let is_there = |name| self.variable(name).is_some_and(|value| !value.trim().is_empty());
        match (is_there(ACCESS_KEY), is_there(SECRET_KEY)) {
            (true, false) => Some((ACCESS_KEY, SECRET_KEY)),
            (false, true) => Some((SECRET_KEY, ACCESS_KEY)),
            _ => None,
        }
    }

    /// The variable of this provider that is set to an empty text.
    pub(crate) fn empty_variable(&self, provider: Provider) -> Option<&'static str> {
        let names: &[&'static str] = match provider {
            Provider::Irsa => &[WEB_IDENTITY_TOKEN_FILE, ROLE_ARN],
            Provider::PodIdentity | Provider::Ecs => &[RELATIVE_URI, FULL_URI, TOKEN_FILE],
            _ => &[],
        };
        names.iter().copied().find(|name| self.variable(name).is_some_and(str::is_empty))
    }

    /// Why the SDK cannot be given the settings of this provider: it would panic.
    pub(super) fn unusable(&self, provider: Provider) -> Option<String> {
        if !matches!(provider, Provider::PodIdentity | Provider::Ecs) {
            return None;
        }
        let is_no_path = |uri: &str| !uri.is_empty() && !uri.starts_with('/');
        if self.variable(RELATIVE_URI).is_some_and(is_no_path) {
            return Some(format!("{RELATIVE_URI} does not begin with a slash"));
        }
        let is_no_url = |uri: &str| {
            let is_url =
                |url: url::Url| url.has_host() && ["http", "https"].contains(&url.scheme());
            !uri.is_empty() && !url::Url::parse(uri).is_ok_and(is_url)
        };
        let full = self.variable(FULL_URI).filter(|_| !self.has(RELATIVE_URI));
        full.is_some_and(is_no_url).then(|| format!("{FULL_URI} is not a URL with a host"))
    }

    /// The annotation that makes the webhook leave this container out, if it names it. In the
    /// project's manifests the container has the program's name.
    pub(crate) fn skipped_by(&self) -> Option<&str> {
        let skipped = self.variable(SKIP_CONTAINERS)?;
        let names_this = skipped.split(',').any(|name| name.trim() == env!("CARGO_PKG_NAME"));
        names_this.then_some(skipped)
    }
}
