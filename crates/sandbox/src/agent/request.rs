//! What the agent checks itself, before it asks EKS Auth
//! (`internal/validation/request.go`).

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::refusal::Refusal;

/// The addresses of the real agent.
const LINK_LOCAL: [&str; 2] = ["169.254.170.23", "fd00:ec2::23"];

/// The agent refuses other host names, which protects it from server-side
/// request forgery. Here, it also accepts the address that it listens on.
pub(crate) fn check_host(host: &str, own: &str) -> Result<(), Refusal> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name == own || LINK_LOCAL.contains(&name) {
        return Ok(());
    }
    let [v4, v6] = LINK_LOCAL;
    let text = format!(
        "Access Denied. Called agent through invalid address, please use either [{v4} {v6}] address not {name}"
    );
    Err(Refusal { status: 403, text })
}

/// Checks the token as far as that is possible without keys, with the texts of
/// the agent and of golang-jwt.
pub(crate) fn check_token(token: &str) -> Result<(), Refusal> {
    let bad = |text: String| Refusal { status: 400, text };
    if token.is_empty() {
        return Err(bad("Service account token cannot be empty".to_owned()));
    }
    let claims = parse(token).map_err(|why| {
        bad(format!("Service account token cannot be parsed: token is malformed: {why}"))
    })?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = now.as_secs_f64();
    let basic = "Service account token failed basic claim validations";
    if claims["exp"].as_f64().is_some_and(|time| now > time) {
        return Err(bad(format!("{basic}: token is expired")));
    }
    if claims["nbf"].as_f64().is_some_and(|time| now < time) {
        return Err(bad(format!("{basic}: token is not valid yet")));
    }
    Ok(())
}

fn parse(token: &str) -> Result<Value, String> {
    let parts: Vec<_> = token.split('.').collect();
    let [header, claims, _] = parts[..] else {
        return Err("token contains an invalid number of segments".to_owned());
    };
    part(header, "header")?;
    part(claims, "claim")
}

fn part(text: &str, name: &str) -> Result<Value, String> {
    let json = URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .map_err(|error| format!("could not base64 decode {name}: {error}"))?;
    serde_json::from_slice(&json).map_err(|error| format!("could not JSON decode {name}: {error}"))
}
