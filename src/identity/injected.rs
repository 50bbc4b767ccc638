//! What the webhooks of Pod Identity and IRSA put into this pod: variables and tokens.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Where the container provider asks for credentials; Pod Identity's agent.
pub const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
/// The file with the token that it is asked with.
pub const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// IRSA's token file.
pub const WEB_IDENTITY_TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
/// IRSA's role.
pub const ROLE_ARN: &str = "AWS_ROLE_ARN";

/// All that the two webhooks set, and what would come before them in the chain.
const VARIABLES: [&str; 14] = [
    FULL_URI,
    TOKEN_FILE,
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ROLE_ARN,
    WEB_IDENTITY_TOKEN_FILE,
    "AWS_ROLE_SESSION_NAME",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// Of these only that they are set is told.
const SECRET: [&str; 4] = [
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// A variable that is set and not empty.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether Pod Identity's variables are there: an agent to ask and a projected token to ask with.
/// ECS sets a relative URI, or a token by value.
#[must_use]
pub fn has_pod_identity() -> bool {
    variable(FULL_URI).is_some()
        && variable(TOKEN_FILE).is_some()
        && variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_none()
}

/// Whether IRSA's variables are there.
#[must_use]
pub fn has_irsa() -> bool {
    variable(WEB_IDENTITY_TOKEN_FILE).is_some() && variable(ROLE_ARN).is_some()
}

/// What was injected, as far as it may be told.
#[derive(Clone, Debug, Serialize)]
pub struct Injected {
    /// Names and values; of secrets only that they are set.
    pub variables: Vec<(&'static str, String)>,
    /// Pod Identity's token.
    pub pod_identity_token: Option<Token>,
    /// IRSA's token.
    pub irsa_token: Option<Token>,
}

/// A projected service account token: where it is, and what is in it.
#[derive(Clone, Debug, Serialize)]
pub struct Token {
    /// Its file.
    pub path: String,
    /// Its claims; they are decoded, not verified.
    #[serde(flatten)]
    pub content: Content,
}

/// What was found in a token file.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A token.
    Claims(Box<Claims>),
    /// No such file.
    Missing,
    /// A file that this process may not read: its mode and owner.
    Unreadable(String),
    /// Nothing.
    Empty,
    /// Something that is no JWT.
    Malformed,
}

/// The claims of a projected service account token:
/// <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Claims {
    /// The issuer: the cluster's OIDC provider.
    #[serde(rename(serialize = "issuer"))]
    pub iss: String,
    /// Whom the token is for.
    #[serde(rename(serialize = "audience"))]
    pub aud: Audience,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    #[serde(rename(serialize = "subject"))]
    pub sub: String,
    /// When it expires, in seconds since 1970.
    #[serde(rename(serialize = "expires"))]
    pub exp: u64,
    /// Which pod it is bound to.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Binding,
}

/// One audience or several: RFC 7519 allows both.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Audience {
    /// A string.
    One(String),
    /// An array.
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Audience {
    /// The audiences, in order.
    #[must_use]
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// The `kubernetes.io` claim.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Binding {
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub serviceaccount: Named,
    /// The pod.
    pub pod: Named,
    /// The node.
    pub node: Named,
}

/// An object's name in a claim.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Named {
    /// Its name.
    pub name: String,
}

impl Claims {
    /// How long it still holds, or for how long it has not any more.
    pub fn time_left(&self) -> Result<Duration, Duration> {
        let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(self.exp);
        let now = SystemTime::now();
        expiry.duration_since(now).map_err(|_| now.duration_since(expiry).unwrap_or_default())
    }
}

impl Token {
    /// The token in the file that a variable names, if the variable is set.
    fn named_by(name: &str) -> Option<Self> {
        let path = variable(name)?;
        let content = match fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => Content::Empty,
            Ok(text) => jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(text.trim())
                .map_or(Content::Malformed, |claims| Content::Claims(Box::new(claims))),
            Err(error) if error.kind() == ErrorKind::NotFound => Content::Missing,
            Err(error) => Content::Unreadable(match fs::metadata(&path) {
                Ok(file) => format!(
                    "{error}; mode {:04o}, owner {}, group {}",
                    file.permissions().mode() & 0o7777,
                    file.uid(),
                    file.gid()
                ),
                Err(_) => error.to_string(),
            }),
        };
        Some(Self { path, content })
    }

    /// The claims, if it is a token at all.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        match &self.content {
            Content::Claims(claims) => Some(claims),
            _ => None,
        }
    }
}

impl Injected {
    /// Reads the environment and the token files.
    #[must_use]
    pub fn read() -> Self {
        let variables = VARIABLES.into_iter().filter_map(|name| {
            let value = variable(name)?;
            let secret = SECRET.contains(&name);
            Some((name, if secret { "(set, not shown)".to_owned() } else { value }))
        });
        Self {
            variables: variables.collect(),
            pod_identity_token: Token::named_by(TOKEN_FILE),
            irsa_token: Token::named_by(WEB_IDENTITY_TOKEN_FILE),
        }
    }
}
