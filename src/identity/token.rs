//! Projected service account tokens: where they are, and what is in them.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize};

use super::injected::{Injected, TOKEN_FILE, WEB_IDENTITY_TOKEN_FILE};

/// The tokens that the injected variables name.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Tokens {
    #[serde(rename = "pod_identity_token")]
    pub(super) pod_identity: Option<Token>,
    #[serde(rename = "irsa_token")]
    pub(super) irsa: Option<Token>,
}

/// A token's file and what was found there.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Token {
    pub(super) path: String,
    #[serde(flatten)]
    pub(super) content: Content,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    /// A token's claims, which are decoded and not verified.
    Claims(Box<Claims>),
    Missing,
    /// The process may not read the file: the error, and the file's mode and owner.
    Unreadable(String),
    /// The process, or the whole machine, has as many open files as it may.
    TooManyOpenFiles,
    Empty,
    /// The file contains something that is not a JWT.
    Malformed,
}

/// The claims of a projected service account token:
/// <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Claims {
    /// The issuer: the cluster's OIDC provider.
    #[serde(rename(serialize = "issuer"))]
    pub(super) iss: String,
    #[serde(rename(serialize = "audience"), deserialize_with = "one_or_several")]
    pub(super) aud: Vec<String>,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    #[serde(rename(serialize = "subject"))]
    pub(super) sub: String,
    /// The expiry, in seconds since 1970.
    #[serde(rename(serialize = "expires"))]
    pub(super) exp: u64,
    #[serde(rename = "kubernetes.io")]
    pub(super) kubernetes: Binding,
}

/// One audience or several: RFC 7519 allows both.
fn one_or_several<'de, D: Deserializer<'de>>(audience: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Audience::deserialize(audience)? {
        Audience::One(one) => vec![one],
        Audience::Several(several) => several,
    })
}

/// What a token is bound to: the `kubernetes.io` claim.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Binding {
    pub(super) namespace: String,
    pub(super) serviceaccount: Named,
    pub(super) pod: Named,
    pub(super) node: Named,
}

/// The name of a Kubernetes object in a claim.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Named {
    pub(super) name: String,
}

/// The pod as the claims of its token name it. They are decoded and not verified.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Subject {
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    pub(crate) pod: String,
    pub(crate) node: String,
}

impl Subject {
    /// Reads the injected token: Pod Identity's, or otherwise IRSA's.
    pub(crate) fn read(injected: &Injected) -> Option<Self> {
        let tokens = Tokens::read(injected);
        let token = tokens.pod_identity.or(tokens.irsa)?;
        let Binding { namespace, serviceaccount, pod, node } = token.claims()?.kubernetes.clone();
        let (service_account, pod, node) = (serviceaccount.name, pod.name, node.name);
        Some(Self { namespace, service_account, pod, node })
    }
}

impl Claims {
    /// How long the token is still valid, or as an error for how long it has not been.
    pub(super) fn time_left(&self) -> Result<Duration, Duration> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let left = Duration::from_secs(self.exp).checked_sub(now);
        left.ok_or_else(|| now.saturating_sub(Duration::from_secs(self.exp)))
    }
}

impl Tokens {
    /// Reads the files anew: the kubelet replaces them.
    pub(super) fn read(injected: &Injected) -> Self {
        let token = |variable| injected.variable(variable).map(Token::read);
        Self { pod_identity: token(TOKEN_FILE), irsa: token(WEB_IDENTITY_TOKEN_FILE) }
    }
}

impl Content {
    pub(super) fn of(text: &str) -> Self {
        match text.trim() {
            "" => Self::Empty,
            token => jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token)
                .map_or(Self::Malformed, |claims| Self::Claims(Box::new(claims))),
        }
    }
}

/// EMFILE and ENFILE, for which the standard library has no kind: 24 and 23 on Linux and macOS.
const TOO_MANY_OPEN_FILES: [i32; 2] = [24, 23];

impl Token {
    fn read(path: &str) -> Self {
        let content = match fs::read_to_string(path) {
            Ok(text) => Content::of(&text),
            Err(error) => match error.kind() {
                _ if error
                    .raw_os_error()
                    .is_some_and(|code| TOO_MANY_OPEN_FILES.contains(&code)) =>
                {
                    Content::TooManyOpenFiles
                }
                ErrorKind::NotFound => Content::Missing,
                ErrorKind::InvalidData => Content::Malformed,
                _ => Content::Unreadable(match fs::metadata(path) {
                    Ok(file) => format!(
                        "{error}; mode {:04o}, owner {}, group {}",
                        file.permissions().mode() & 0o7777,
                        file.uid(),
                        file.gid()
                    ),
                    Err(_) => error.to_string(),
                }),
            },
        };
        Self { path: path.to_owned(), content }
    }

    pub(super) fn claims(&self) -> Option<&Claims> {
        match &self.content {
            Content::Claims(claims) => Some(claims),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::untrusted::{claims, token, with_claims};
    use super::*;
    use crate::fuzzing::TEXT;

    proptest! {
        #[test]
        fn any_text_is_a_token_or_not(text in TEXT, encoded in "[A-Za-z0-9_.-]{0,200}") {
            token(&text);
            token(&encoded);
        }

        #[test]
        fn any_claims_are_read_or_refused(
            exp in any::<u64>(),
            audience in "\"[a-z\"]{0,9}|[\\[\\]a-z\",]{0,20}",
            name in "[a-z\\\\u0-9]{0,12}",
        ) {
            let known = format!(r#"{{"exp":{exp},"aud":["a","b"],"sub":"s"}}"#);
            prop_assert!(matches!(Content::of(&with_claims(&known)), Content::Claims(_)));
            claims(&known);
            let odd = format!(r#"{{"aud":{audience},"kubernetes.io":{{"namespace":"{name}"}}}}"#);
            claims(&odd);
        }
    }

    #[test]
    fn one_audience_is_read_as_a_list_of_one() {
        let Content::Claims(claims) = Content::of(&with_claims(r#"{"aud":"one"}"#)) else {
            panic!("it is in order");
        };
        assert_eq!(claims.aud, ["one"]);
    }
}
