//! What the agent checks itself, before it asks EKS Auth. Lines without a file are those of
//! `internal/validation/request.go` in `aws/eks-pod-identity-agent` 0.1.37.

use std::time::SystemTime;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::NO_PAD};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::refusal::Refusal;

/// The addresses of the real agent (`configuration/config.go:4-5`).
const LINK_LOCAL: [&str; 2] = ["169.254.170.23", "fd00:ec2::23"];

/// Go's `base64.RawURLEncoding`: without padding, whatever the last bits are.
const SEGMENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::with_decode_allow_trailing_bits(NO_PAD, true),
);

/// The agent refuses other hosts than its own addresses, which protects it from server-side request
/// forgery (`:75-110`). `own` is another one that this stand-in accepts, if any.
pub(crate) fn check_host(host: &str, own: Option<&str>) -> Result<(), Refusal> {
    // Go's `net.SplitHostPort` fails for an IPv6 address without brackets, which is left as it is.
    let name = match host.rsplit_once(':') {
        Some((name, _)) if !name.contains(':') || name.ends_with(']') => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if own == Some(name) || LINK_LOCAL.contains(&name) {
        return Ok(());
    }
    let [v4, v6] = LINK_LOCAL;
    let text = format!(
        "Access Denied. Called agent through invalid address, please use either [{v4} {v6}] address not {name}"
    );
    Err(Refusal { status: 403, text })
}

/// The claims whose types golang-jwt checks (`RegisteredClaims`).
#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    nbf: Option<f64>,
    #[serde(rename = "iat")]
    _issued_at: Option<f64>,
    #[serde(rename = "iss")]
    _issuer: Option<String>,
    #[serde(rename = "sub")]
    _subject: Option<String>,
}

/// Checks the token as far as that is possible without keys (`:56-71`), with the texts of
/// golang-jwt 5 (`ParseUnverified` in `parser.go`, `Validate` in `validator.go`).
pub(crate) fn check_token(token: &str) -> Result<(), Refusal> {
    let bad = |text: String| Refusal { status: 400, text };
    if token.is_empty() {
        return Err(bad("Service account token cannot be empty".to_owned()));
    }
    let claims = parse(token)
        .map_err(|why| bad(format!("Service account token cannot be parsed: token is {why}")))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = now.as_secs_f64();
    let wrong = [
        claims.exp.is_some_and(|time| now >= time).then_some("token is expired"),
        claims.nbf.is_some_and(|time| now < time).then_some("token is not valid yet"),
    ];
    let wrong: Vec<&str> = wrong.into_iter().flatten().collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let wrong = wrong.join(", ");
    Err(bad(format!("Service account token failed basic claim validations: {wrong}")))
}

fn parse(token: &str) -> Result<Claims, String> {
    let parts: Vec<_> = token.split('.').collect();
    let [header, claims, _] = parts[..] else {
        return Err("malformed: token contains an invalid number of segments".to_owned());
    };
    let header: Value = part(header, "header")?;
    let claims = part(claims, "claim")?;
    match header["alg"].as_str() {
        None => Err("unverifiable: signing method (alg) is unspecified".to_owned()),
        Some(alg) if !is_known(alg) => {
            Err("unverifiable: signing method (alg) is unavailable".to_owned())
        }
        Some(_) => Ok(claims),
    }
}

/// Whether golang-jwt has this signing method.
fn is_known(alg: &str) -> bool {
    let (family, bits) = alg.split_at_checked(2).unwrap_or_default();
    ["none", "EdDSA"].contains(&alg)
        || ["HS", "RS", "ES", "PS"].contains(&family) && ["256", "384", "512"].contains(&bits)
}

fn part<T: DeserializeOwned>(text: &str, name: &str) -> Result<T, String> {
    let json = SEGMENT
        .decode(text)
        .map_err(|error| format!("malformed: could not base64 decode {name}: {error}"))?;
    serde_json::from_slice(&json)
        .map_err(|error| format!("malformed: could not JSON decode {name}: {error}"))
}
