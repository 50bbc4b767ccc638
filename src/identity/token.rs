//! Projected service account tokens: where they are, and what is in them.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize};

use super::injected::{Injected, TOKEN_FILE, WEB_IDENTITY_TOKEN_FILE};
use crate::aws::{clean, keep_secret};

/// How many audiences of a token are read: EKS's has one.
const MOST_AUDIENCES: usize = 10;

/// The longest token that is read, in bytes: Kubernetes' have some 1.2 kB.
const LONGEST_TOKEN: u64 = 64 << 10;

/// The tokens that the injected variables name.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Tokens {
    #[serde(rename = "pod_identity_token")]
    pub(crate) pod_identity: Option<Token>,
    #[serde(rename = "irsa_token")]
    pub(crate) irsa: Option<Token>,
}

/// A token's file and what was found there.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Token {
    pub(crate) path: String,
    #[serde(flatten)]
    pub(crate) content: Content,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
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
pub(crate) struct Claims {
    /// The issuer: the cluster's OIDC provider.
    #[serde(rename(serialize = "issuer"), deserialize_with = "clean_text")]
    pub(crate) iss: String,
    #[serde(rename(serialize = "audience"), deserialize_with = "one_or_several")]
    pub(crate) aud: Vec<String>,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    #[serde(rename(serialize = "subject"), deserialize_with = "clean_text")]
    pub(crate) sub: String,
    /// The expiry, in seconds since 1970.
    #[serde(rename(serialize = "expires"))]
    pub(crate) exp: u64,
    #[serde(rename = "kubernetes.io")]
    pub(crate) kubernetes: Binding,
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
        Audience::One(one) => vec![clean(&one)],
        Audience::Several(several) => {
            several.iter().take(MOST_AUDIENCES).map(|audience| clean(audience)).collect()
        }
    })
}

/// Whoever writes the token's file chooses the claims: they are cleaned where they enter.
fn clean_text<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    String::deserialize(text).map(|text| clean(&text))
}

/// What a token is bound to: the `kubernetes.io` claim.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Binding {
    #[serde(deserialize_with = "clean_text")]
    pub(crate) namespace: String,
    pub(crate) serviceaccount: Named,
    pub(crate) pod: Named,
    pub(crate) node: Named,
}

/// The name of a Kubernetes object in a claim.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Named {
    #[serde(deserialize_with = "clean_text")]
    pub(crate) name: String,
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
    pub(crate) fn time_left(&self) -> Result<Duration, Duration> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let left = Duration::from_secs(self.exp).checked_sub(now);
        left.ok_or_else(|| now.saturating_sub(Duration::from_secs(self.exp)))
    }
}

impl Tokens {
    /// Reads the files anew: the kubelet replaces them.
    pub(crate) fn read(injected: &Injected) -> Self {
        let path = |variable| injected.variable(variable).filter(|path| !path.is_empty());
        let token = |variable| path(variable).map(Token::read);
        Self { pod_identity: token(TOKEN_FILE), irsa: token(WEB_IDENTITY_TOKEN_FILE) }
    }
}

impl Content {
    pub(crate) fn of(text: &str) -> Self {
        match text.trim() {
            "" => Self::Empty,
            token => jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token)
                .map_or(Self::Malformed, |claims| Self::Claims(Box::new(claims))),
        }
    }
}

/// EMFILE and ENFILE, for which the standard library has no kind: 24 and 23 on Linux and macOS.
const TOO_MANY_OPEN_FILES: [i32; 2] = [24, 23];

fn read_token(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST_TOKEN).read_to_string(&mut text)?;
    Ok(text)
}

impl Token {
    fn read(path: &str) -> Self {
        let content = match read_token(path) {
            Ok(text) => {
                keep_secret(&text);
                Content::of(&text)
            }
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
        Self { path: clean(path), content }
    }

    pub(crate) fn claims(&self) -> Option<&Claims> {
        match &self.content {
            Content::Claims(claims) => Some(claims),
            _ => None,
        }
    }
}

/// A token with these claims, in base64 for URLs without padding.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn with_claims(json: &str) -> String {
    use aws_smithy_types::base64;
    let encoded =
        |text: &str| base64::encode(text).trim_end_matches('=').replace('+', "-").replace('/', "_");
    format!("{}.{}.c2lnbmF0dXJl", encoded(r#"{"alg":"RS256"}"#), encoded(json))
}

/// What holds for all tokens. Each panics where it does not hold.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz_logic {
    use super::{Content, with_claims};

    /// A text is a token or is none; it is never taken for a missing file. The input is a whole token, and
    /// the claims of one.
    pub fn token(input: &[u8]) {
        let text = String::from_utf8_lossy(input);
        check(&Content::of(&text));
        check(&Content::of(&with_claims(&text)));
    }

    fn check(content: &Content) {
        match content {
            Content::Claims(claims) => {
                let (Ok(time) | Err(time)) = claims.time_left();
                assert!(!humantime::format_duration(time).to_string().is_empty());
            }
            Content::Empty | Content::Malformed => {}
            Content::Missing | Content::Unreadable(_) | Content::TooManyOpenFiles => {
                panic!("no file was read: {content:?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fuzz_logic::token;
    use super::*;
    use crate::seeds::{TEXT, each_seed};

    #[test]
    fn the_property_holds_for_the_seeds() {
        each_seed("token", token);
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_not(text in TEXT, encoded in "[A-Za-z0-9_.-]{0,200}") {
            token(text.as_bytes());
            token(encoded.as_bytes());
        }

        #[test]
        fn any_claims_are_read_or_refused(
            exp in any::<u64>(),
            audience in "\"[a-z\"]{0,9}|[\\[\\]a-z\",]{0,20}",
            name in "[a-z\\\\u0-9]{0,12}",
        ) {
            let known = format!(r#"{{"exp":{exp},"aud":["a","b"],"sub":"s"}}"#);
            prop_assert!(matches!(Content::of(&with_claims(&known)), Content::Claims(_)));
            token(known.as_bytes());
            let odd = format!(r#"{{"aud":{audience},"kubernetes.io":{{"namespace":"{name}"}}}}"#);
            token(odd.as_bytes());
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
