//! The registry of credentials, which EKS Auth and STS fill and the S3 checks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::role::Role;

/// The AWS account of the sandbox, which AWS uses in its examples.
pub(crate) const ACCOUNT: &str = "123456789012";

/// The length of a piece of a secret that must not be in any output, in bytes.
const PIECE: usize = 20;

/// A set of temporary credentials, as STS issues them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// `ASIA` and 16 letters and digits.
    pub access_key_id: String,
    /// 40 characters.
    pub secret_access_key: String,
    /// The session token: a few hundred characters.
    pub session_token: String,
    /// 12 digits.
    pub account_id: String,
    /// The expiration time in whole seconds, as in the agent's answer.
    pub expires: SystemTime,
    /// The role that the credentials belong to.
    pub role: Role,
    /// The name of the role session. Pod Identity uses `eks-CLUSTER-POD-UUID`.
    pub session_name: String,
}

impl Issued {
    /// The ARN of the role session:
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    #[must_use]
    pub fn arn(&self) -> String {
        let (role, session) = (&self.role.name, &self.session_name);
        format!("arn:aws:sts::{}:assumed-role/{role}/{session}", self.account_id)
    }
}

/// The reason that a request's credentials are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The access key does not exist, or its session token is missing.
    Unknown,
    /// The session token belongs to another access key.
    WrongToken,
    /// The credentials have expired.
    Expired,
}

/// All credentials that the sandbox has issued. An [`crate::EksAuth`], an
/// [`crate::Sts`] and an [`crate::S3Store`] share one registry.
#[derive(Debug, Default)]
pub struct Credentials(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    issued: Vec<Issued>,
    by_key: HashMap<String, usize>,
    tokens: Vec<String>,
}

impl Credentials {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Issues credentials for a new role. They expire after `lifetime`, rounded
    /// up to the next whole second of the clock.
    pub fn issue(&self, lifetime: Duration) -> Issued {
        self.issue_to(&Role::new("sandbox"), "sandbox", lifetime)
    }

    /// Issues credentials for this role and session name.
    pub(crate) fn issue_to(&self, role: &Role, session: &str, lifetime: Duration) -> Issued {
        let issued = Issued {
            access_key_id: format!("ASIA{}", random(16, ALPHANUMERIC_UPPER)),
            secret_access_key: random(40, BASE64),
            session_token: random(360, BASE64),
            account_id: ACCOUNT.to_owned(),
            expires: whole_second(SystemTime::now() + lifetime),
            role: role.clone(),
            session_name: session.to_owned(),
        };
        self.keep(issued.clone());
        issued
    }

    /// Adds credentials that another service issued, such as an emulator's STS,
    /// and makes them valid here.
    pub(crate) fn keep(&self, issued: Issued) {
        let mut entries = self.entries();
        let index = entries.issued.len();
        entries.by_key.insert(issued.access_key_id.clone(), index);
        entries.issued.push(issued);
    }

    /// Everything issued so far, in order.
    #[must_use]
    pub fn issued(&self) -> Vec<Issued> {
        self.entries().issued.clone()
    }

    /// The values that must never appear in a log: every secret key, session
    /// token and service account token so far.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let entries = self.entries();
        let of_issued = entries
            .issued
            .iter()
            .flat_map(|issued| [issued.secret_access_key.clone(), issued.session_token.clone()]);
        of_issued.chain(entries.tokens.iter().cloned()).collect()
    }

    /// The first of the lines that has a piece of a secret: its beginning, its middle or its end.
    pub fn leak<'l>(&self, lines: &'l [String]) -> Option<&'l str> {
        let text = lines.join("\n");
        let secrets = self.secrets();
        let mut pieces = secrets.iter().flat_map(|secret| {
            let length = PIECE.min(secret.len());
            let last = secret.len() - length;
            [0, last / 2, last].map(|start| &secret[start..start + length])
        });
        let leaked = pieces.find(|piece| text.contains(piece))?;
        lines.iter().map(String::as_str).find(|line| line.contains(leaked))
    }

    /// Makes all credentials issued so far expire now, earlier than their
    /// holders were told.
    pub fn expire_all(&self) {
        for issued in &mut self.entries().issued {
            issued.expires = issued.expires.min(SystemTime::now());
        }
    }

    /// Adds a service account token to the secrets.
    pub(crate) fn keep_token(&self, token: &str) {
        self.entries().tokens.push(token.to_owned());
    }

    /// The secret key of an access key, even if it has expired.
    pub(crate) fn secret_key(&self, access_key_id: &str) -> Option<String> {
        let entries = self.entries();
        let index = *entries.by_key.get(access_key_id)?;
        Some(entries.issued[index].secret_access_key.clone())
    }

    /// Returns the credentials of an access key if they have not expired and
    /// `token` is their session token.
    pub(crate) fn check(
        &self,
        access_key_id: &str,
        token: Option<&str>,
    ) -> Result<Issued, Refused> {
        let entries = self.entries();
        let index = entries.by_key.get(access_key_id).ok_or(Refused::Unknown)?;
        let issued = &entries.issued[*index];
        // AWS treats a temporary key without its token as an unknown key.
        let token = token.ok_or(Refused::Unknown)?;
        if token != issued.session_token {
            return Err(Refused::WrongToken);
        }
        if issued.expires <= SystemTime::now() {
            return Err(Refused::Expired);
        }
        Ok(issued.clone())
    }
}

pub(crate) const ALPHANUMERIC_UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A random text of this length from an alphabet.
pub(crate) fn random(length: usize, alphabet: &[u8]) -> String {
    (0..length).map(|_| char::from(alphabet[fastrand::usize(..alphabet.len())])).collect()
}

/// Rounds up to a whole second, because the agent writes times without
/// fractions.
fn whole_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() + u64::from(since.subsec_nanos() > 0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
