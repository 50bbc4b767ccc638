//! The operation `AssumeRoleForPodIdentity`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response};
use jsonwebtoken::errors::ErrorKind;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answers;
use crate::association::{Association, Associations};
use crate::credentials::Issued;
use crate::keys::NoKey;
use crate::net::Hangup;
use crate::service_error::ServiceError;
use crate::session::{Roles, Session};
use crate::token::{Claims, OidcIssuer, POD_IDENTITY};

/// The maximum length of a request, in bytes.
const LONGEST_REQUEST: usize = 64 * 1024;

/// The state of EKS Auth, which its connections share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) cluster: String,
    region: String,
    pub(crate) issuer: OidcIssuer,
    associations: Arc<dyn Associations>,
    roles: Box<dyn Roles>,
    lifetime: Mutex<Duration>,
    pub(crate) answers: Answers,
    log: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    token: String,
    /// Where the pod runs, which newer agents say (botocore 1.44.8, `eks-auth`). Nothing depends on
    /// it here; the service log has it.
    eks_node_name: Option<String>,
    instance_id: Option<String>,
    zone: Option<String>,
}

impl Body {
    fn place(&self) -> String {
        let parts = [&self.eks_node_name, &self.instance_id, &self.zone];
        parts.into_iter().flatten().fold(String::new(), |place, part| place + " " + part)
    }
}

/// Whom a request is answered for: what the response says besides the
/// credentials.
struct Pod {
    claims: Claims,
    association: Association,
    /// The node, instance and zone that the request names.
    place: String,
}

impl Service {
    pub(crate) fn new(
        cluster: String,
        region: String,
        issuer: OidcIssuer,
        associations: Arc<dyn Associations>,
        roles: Box<dyn Roles>,
    ) -> Self {
        let (lifetime, answers) = (Mutex::new(Duration::ZERO), Answers::default());
        Self { cluster, region, issuer, associations, roles, lifetime, answers, log: false }
    }

    pub(crate) fn with(self, lifetime: Duration, log: bool) -> Self {
        Self { lifetime: Mutex::new(lifetime), log, ..self }
    }

    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        *self.lifetime.lock().unwrap_or_else(PoisonError::into_inner) = lifetime;
    }

    /// Answers one request.
    pub(crate) async fn serve(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Hangup> {
        let id = Uuid::new_v4().to_string();
        if let Some((status, text)) = self.answers.next().await? {
            let (code, message) = text.split_once(": ").unwrap_or((&text, ""));
            return Ok(self.refuse(status, ServiceError::new(code, message), &id));
        }
        let (head, body) = request.into_parts();
        let Some(cluster) = (head.method == Method::POST)
            .then(|| head.uri.path().strip_prefix("/clusters/"))
            .flatten()
            .and_then(|rest| rest.strip_suffix("/assume-role-for-pod-identity"))
        else {
            return Ok(self.refuse(404, ServiceError::unknown_operation(), &id));
        };
        let body = Limited::new(body, LONGEST_REQUEST).collect().await;
        let body = body.map_err(|_| Hangup::Close)?.to_bytes();
        Ok(match self.assume_role(cluster, &body).await {
            Ok((pod, issued)) => {
                self.say(&id, &pod.claims.sub, &format!("assumed {}{}", issued.arn(), pod.place));
                response(&id, &self.output(&pod, &issued))
            }
            Err(error) => self.refuse(error.status(), error, &id),
        })
    }

    fn refuse(&self, status: u16, error: ServiceError, id: &str) -> Response<Full<Bytes>> {
        let text = format!("{}: {}", error.code, error.message);
        self.say(id, "", &text);
        self.answers.refused(status, &text);
        error.into_response(status, id)
    }

    fn say(&self, id: &str, subject: &str, message: &str) {
        if self.log {
            let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            println!(
                "{}",
                json!({ "time": time, "request-id": id, "subject": subject, "msg": message })
            );
        }
    }

    async fn assume_role(&self, cluster: &str, body: &[u8]) -> Result<(Pod, Issued), ServiceError> {
        check_cluster_name(cluster)?;
        let body: Body = serde_json::from_slice(body)
            .map_err(|error| ServiceError::new("SerializationException", error.to_string()))?;
        check_token_form(&body.token)?;
        // The cluster of the keys: no other cluster's tokens can be checked.
        if cluster != self.cluster {
            return Err(ServiceError::no_cluster(cluster));
        }
        let arn = self.associations.cluster_arn(cluster).await?;
        let arn = arn.ok_or_else(|| ServiceError::no_cluster(cluster))?;
        let claims = self.claims(&body.token).await?;
        let kubernetes = &claims.kubernetes;
        let (namespace, account) = (&kubernetes.namespace, &kubernetes.serviceaccount.name);
        let association = self.associations.find(cluster, namespace, account).await?;
        let association =
            association.ok_or_else(|| ServiceError::no_association(cluster, namespace, account))?;
        association.check()?;
        let lifetime = *self.lifetime.lock().unwrap_or_else(PoisonError::into_inner);
        let session = Session::new(cluster, arn, kubernetes, &association, lifetime);
        let issued = self.roles.assume(&association, &session).await?;
        Ok((Pod { claims, association, place: body.place() }, issued))
    }

    /// The claims of a valid token that is bound to a pod.
    async fn claims(&self, token: &str) -> Result<Claims, ServiceError> {
        let invalid = |why: &str| {
            let message = format!("The token included in the request is invalid: {why}");
            ServiceError::new("InvalidTokenException", message)
        };
        let decoded = self.issuer.decode::<Value>(token, POD_IDENTITY).await;
        let claims = decoded.map_err(|error| match error {
            NoKey::Server(why) => ServiceError::unavailable(why),
            NoKey::Token(error) if *error.kind() == ErrorKind::ExpiredSignature => {
                let message = "The token included in the request is expired.";
                ServiceError::new("ExpiredTokenException", message)
            }
            NoKey::Token(error) => invalid(&error.to_string()),
        })?;
        if claims.pointer("/kubernetes.io/pod/uid").is_none() {
            return Err(invalid("it is not bound to a pod"));
        }
        let claims: Claims =
            serde_json::from_value(claims).map_err(|error| invalid(&error.to_string()))?;
        let (namespace, account) =
            (&claims.kubernetes.namespace, &claims.kubernetes.serviceaccount.name);
        if claims.sub != format!("system:serviceaccount:{namespace}:{account}") {
            return Err(invalid("its subject is not its service account"));
        }
        Ok(claims)
    }

    /// The output of the operation, as in the model, without `workloadIdentityProviderArn`: that is
    /// returned only for associations with workload identity enabled, which there are none of here.
    fn output(&self, pod: &Pod, issued: &Issued) -> Value {
        let kubernetes = &pod.claims.kubernetes;
        let expires = issued.expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        json!({
            "subject": {
                "namespace": kubernetes.namespace,
                "serviceAccount": kubernetes.serviceaccount.name,
            },
            "audience": POD_IDENTITY,
            "podIdentityAssociation": {
                "associationArn": pod.association.arn(&self.region, &self.cluster),
                "associationId": pod.association.association_id,
            },
            "assumedRoleUser": {
                "arn": issued.arn(),
                "assumeRoleId": format!("{}:{}", issued.role.id, issued.session_name),
            },
            "credentials": {
                "sessionToken": issued.session_token,
                "secretAccessKey": issued.secret_access_key,
                "accessKeyId": issued.access_key_id,
                "expiration": expires.as_secs(),
            },
        })
    }
}

/// `ClusterName` in the model: at most 100 characters,
/// `[0-9A-Za-z][A-Za-z0-9\-_]*`.
fn check_cluster_name(name: &str) -> Result<(), ServiceError> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if first && rest && name.len() <= 100 {
        return Ok(());
    }
    let message = "The cluster name does not match the pattern [0-9A-Za-z][A-Za-z0-9\\-_]*.";
    Err(ServiceError::new("InvalidParameterException", message))
}

/// `JwtToken` in the model: three parts of base64url.
fn check_token_form(token: &str) -> Result<(), ServiceError> {
    let parts: Vec<_> = token.split('.').collect();
    let is_base64 = |part: &&str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte))
    };
    if parts.len() == 3 && parts.iter().all(is_base64) {
        return Ok(());
    }
    let message = "The token does not match the pattern of a JSON Web Token.";
    Err(ServiceError::new("InvalidParameterException", message))
}

fn response(id: &str, output: &Value) -> Response<Full<Bytes>> {
    Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .header("x-amzn-RequestId", id)
        .body(Full::from(output.to_string()))
        .expect("the headers are valid")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::Service;
    use crate::association::Table;
    use crate::credentials::Credentials;
    use crate::eks_auth::own_roles::OwnRoles;
    use crate::token::{self, KubernetesClaims, OidcIssuer, POD_IDENTITY};

    #[tokio::test]
    async fn a_token_without_a_pod_is_invalid_and_one_without_a_node_is_not() {
        let region = "us-east-1".to_owned();
        let table = Arc::new(Table::new("demo", &region, Vec::new()));
        let roles = Box::new(OwnRoles::new(Credentials::new()));
        let issuer = OidcIssuer::fictitious();
        let service = Service::new("demo".to_owned(), region, issuer, table, roles);
        let pod = KubernetesClaims::new("demo", "demo", "demo", "demo");
        let claims = token::claims(&service.issuer.url, POD_IDENTITY, &pod);
        for (missing, code) in [("node", None), ("pod", Some("InvalidTokenException"))] {
            let mut claims = json!(claims);
            claims["kubernetes.io"].as_object_mut().unwrap().remove(missing);
            let checked = service.claims(&token::sign(&claims)).await;
            assert_eq!(checked.err().map(|error| error.code).as_deref(), code, "{missing}");
        }
    }
}
