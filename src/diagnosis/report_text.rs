//! The report as text for a person.

use std::fmt;
use std::time::Duration;

use super::report::{PrincipalReport, Report};
use crate::identity::{Content, LinkState, Token};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Injected")?;
        if self.injected.variables.is_empty() {
            writeln!(f, "  nothing: no variable of Pod Identity, IRSA or the SDK is set")?;
        }
        for (name, value) in &self.injected.variables {
            writeln!(f, "  {name}={value}")?;
        }
        for (name, token) in [
            ("Pod Identity", &self.injected.tokens.pod_identity),
            ("IRSA", &self.injected.tokens.irsa),
        ] {
            if let Some(token) = token {
                write_token(f, name, token)?;
            }
        }
        writeln!(f, "\nChain")?;
        for link in &self.chain {
            let state = match link.state {
                LinkState::Answered => "answered",
                LinkState::WouldAnswer => "would answer, but an earlier provider did",
                LinkState::NotConfigured => "not configured",
                LinkState::Failed => "fails",
                LinkState::NotAsked => "not asked",
            };
            let why = link.detail.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            writeln!(f, "  {:<13} {state}{why}", link.provider.name())?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        writeln!(f, "\nPrincipal")?;
        match &self.principal {
            None => writeln!(f, "  none: there are no credentials")?,
            Some(found) => write_principal(f, found)?,
        }
        if let Some(access) = &self.access {
            writeln!(f, "\nAccess")?;
            if let Some(key) = &access.key {
                writeln!(f, "  allowed: put {key}")?;
            }
            if let Some(checksum) = &access.checksum {
                writeln!(f, "  checksum: {checksum}")?;
            }
            if let Some(diagnosis) = &access.diagnosis {
                writeln!(f, "  denied: {}\n  fix: {}", diagnosis.cause, diagnosis.fix)?;
            }
        }
        writeln!(f, "\nVerdict")?;
        let result = if self.verdict.ok { "ok" } else { "NOT OK" };
        writeln!(f, "  {result}: {}", self.verdict.summary)?;
        match &self.verdict.diagnosis {
            Some(diagnosis) => writeln!(f, "  fix: {}", diagnosis.fix),
            None => Ok(()),
        }
    }
}

fn write_token(f: &mut fmt::Formatter<'_>, name: &str, token: &Token) -> fmt::Result {
    writeln!(f, "  {name} token (decoded, not verified), {}", token.path)?;
    let claims = match &token.content {
        Content::Claims(claims) => claims,
        Content::Missing => return writeln!(f, "    the file does not exist"),
        Content::Unreadable(why) => return writeln!(f, "    the file cannot be read: {why}"),
        Content::TooManyOpenFiles => return writeln!(f, "    the program may open no more files"),
        Content::Empty => return writeln!(f, "    the file is empty"),
        Content::Malformed => return writeln!(f, "    the file does not contain a JWT"),
    };
    let bound = &claims.kubernetes;
    let left = match claims.time_left() {
        Ok(left) => in_seconds(left),
        Err(past) => format!("{} AGO", whole_seconds(past)),
    };
    for (claim, value) in [
        ("issuer", claims.iss.as_str()),
        ("audience", &claims.aud.join(", ")),
        ("namespace", &bound.namespace),
        ("service account", &bound.serviceaccount.name),
        ("pod", &bound.pod.name),
        ("node", &bound.node.name),
        ("expires", &left),
    ] {
        writeln!(f, "    {claim:<15} {value}")?;
    }
    Ok(())
}

fn write_principal(f: &mut fmt::Formatter<'_>, report: &PrincipalReport) -> fmt::Result {
    let principal = &report.principal;
    let left = report
        .expires_in_seconds
        .map_or_else(|| "never".to_owned(), |left| in_seconds(Duration::from_secs(left)));
    for (name, value) in [
        ("provider", Some(principal.provider.name())),
        ("account", principal.account.as_deref()),
        ("role", principal.role.as_deref()),
        ("session", principal.session.as_deref()),
        ("arn", principal.arn.as_deref()),
        ("access key", Some(format!("…{}", principal.access_key_ending)).as_deref()),
        ("expires", Some(left.as_str())),
        ("STS", report.sts_error.as_deref()),
    ] {
        if let Some(value) = value {
            writeln!(f, "  {name:<13} {value}")?;
        }
    }
    Ok(())
}

fn in_seconds(time: Duration) -> String {
    format!("in {}", whole_seconds(time))
}

fn whole_seconds(time: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(time.as_secs()))
}
