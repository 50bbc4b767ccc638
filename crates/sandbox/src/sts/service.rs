//! The answers and refusals of STS.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, Method, Request, Response};
use jsonwebtoken::errors::ErrorKind;

use super::query::{Parameters, QueryError, result};
use crate::answer::Answers;
use crate::credentials::{Credentials, Refused};
use crate::keys::NoKey;
use crate::net::Hangup;
use crate::role::Role;
use crate::token::{self, Claims, OidcIssuer};

/// The maximum length of a request, in bytes.
const LONGEST_REQUEST: usize = 64 * 1024;

/// The state of STS, which its connections share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) registry: Arc<Credentials>,
    /// The OIDC issuer whose tokens are accepted.
    pub(crate) oidc: OidcIssuer,
    pub(crate) role: Role,
    lifetime: Duration,
    pub(crate) answers: Answers,
}

impl Service {
    pub(crate) fn new(registry: Arc<Credentials>, role: Role, lifetime: Duration) -> Self {
        let (oidc, answers) = (OidcIssuer::fictitious(), Answers::default());
        Self { registry, oidc, role, lifetime, answers }
    }

    /// Answers one request.
    pub(crate) async fn serve(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Hangup> {
        if let Some((status, text)) = self.answers.next().await? {
            let (code, message) = text.split_once(": ").unwrap_or((&text, ""));
            return Ok(self.refuse(QueryError::new(status, code, message)));
        }
        let (head, body) = request.into_parts();
        if head.method != Method::POST || head.uri.path() != "/" {
            return Ok(self.refuse(unknown_action("")));
        }
        let body = Limited::new(body, LONGEST_REQUEST).collect().await;
        let form = body.map_err(|_| Hangup::Close)?.to_bytes();
        let parameters = Parameters::parse(&form);
        let answer = match parameters.get("Action") {
            "GetCallerIdentity" => self.caller_identity(&head.headers),
            "AssumeRoleWithWebIdentity" => self.web_identity(&parameters).await,
            other => Err(unknown_action(other)),
        };
        Ok(answer.unwrap_or_else(|error| self.refuse(error)))
    }

    fn refuse(&self, error: QueryError) -> Response<Full<Bytes>> {
        self.answers.refused(error.status, &error.text());
        error.into_response()
    }

    fn caller_identity(&self, headers: &HeaderMap) -> Result<Response<Full<Bytes>>, QueryError> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/sts/aws4_request, …`
        let key = header(AUTHORIZATION.as_str())
            .and_then(|value| value.split_once("Credential="))
            .and_then(|(_, scope)| scope.split('/').next());
        let key = key.ok_or_else(|| {
            let message = "Request is missing Authentication Token";
            QueryError::new(403, "MissingAuthenticationToken", message)
        })?;
        let held = self.registry.check(key, header("x-amz-security-token"));
        let issued = held.map_err(|why| match why {
            Refused::Expired => {
                let message = "The security token included in the request is expired";
                QueryError::new(403, "ExpiredToken", message)
            }
            Refused::Unknown | Refused::WrongToken => {
                let message = "The security token included in the request is invalid.";
                QueryError::new(403, "InvalidClientTokenId", message)
            }
        })?;
        let (arn, role) = (issued.arn(), &issued.role);
        let user_id = format!("{}:{}", role.id, issued.session_name);
        let fields = [("Arn", &arn), ("UserId", &user_id), ("Account", &issued.account_id)];
        Ok(result("GetCallerIdentity", &fields.map(|(name, value)| (name, value.as_str()))))
    }

    async fn web_identity(
        &self,
        parameters: &Parameters,
    ) -> Result<Response<Full<Bytes>>, QueryError> {
        let (role_arn, session) =
            (parameters.need("RoleArn")?, parameters.need("RoleSessionName")?);
        let token = parameters.need("WebIdentityToken")?;
        let claims: Claims =
            self.oidc.decode(token, token::STS).await.map_err(|error| bad(&error))?;
        if role_arn != self.role.arn() {
            let message = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
            return Err(QueryError::new(403, "AccessDenied", message));
        }
        let seconds = parameters.get("DurationSeconds").parse();
        let lifetime = seconds.map_or(self.lifetime, Duration::from_secs);
        let issued = self.registry.issue_to(&self.role, session, lifetime);
        let expires = humantime::format_rfc3339_seconds(issued.expires).to_string();
        let provider = claims.iss.trim_start_matches("https://");
        let provider = format!("arn:aws:iam::{}:oidc-provider/{provider}", issued.account_id);
        let user_id = format!("{}:{session}", issued.role.id);
        Ok(result(
            "AssumeRoleWithWebIdentity",
            &[
                ("Audience", token::STS),
                ("AssumedRoleUser/AssumedRoleId", &user_id),
                ("AssumedRoleUser/Arn", &issued.arn()),
                ("Provider", &provider),
                ("Credentials/AccessKeyId", &issued.access_key_id),
                ("Credentials/SecretAccessKey", &issued.secret_access_key),
                ("Credentials/SessionToken", &issued.session_token),
                ("Credentials/Expiration", &expires),
                ("SubjectFromWebIdentityToken", &claims.sub),
            ],
        ))
    }
}

fn unknown_action(action: &str) -> QueryError {
    let message = format!("Could not find operation {action} for version 2011-06-15");
    QueryError::new(400, "InvalidAction", &message)
}

/// STS's error for a web identity token that it refuses.
fn bad(error: &NoKey) -> QueryError {
    let NoKey::Token(error) = error else {
        return QueryError::new(400, "IDPCommunicationError", "The keys cannot be fetched.");
    };
    let message = match error.kind() {
        ErrorKind::ExpiredSignature => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let message = format!(
                "Token expired: current date/time {} must be before the expiration date/time of the token",
                now.as_secs()
            );
            return QueryError::new(400, "ExpiredTokenException", &message);
        }
        ErrorKind::InvalidAudience => "Incorrect token audience",
        ErrorKind::InvalidIssuer => {
            "No OpenIDConnect provider found in your account for the token's issuer"
        }
        ErrorKind::InvalidSignature => {
            "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"
        }
        _ => {
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
        }
    };
    QueryError::new(400, "InvalidIdentityToken", message)
}
