//! Service account tokens, as the kubelet projects them for Pod Identity and
//! for IRSA.

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, Validation};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::body::hex;
use crate::keys::{Keys, NoKey};

/// The audience of Pod Identity's projected token.
pub(crate) const POD_IDENTITY: &str = "pods.eks.amazonaws.com";
/// The audience of IRSA's projected token.
pub(crate) const STS: &str = "sts.amazonaws.com";

/// The lifetime of a token that the webhook requests: 24 hours.
const TOKEN_LIFETIME: Duration = Duration::from_hours(24);

/// The key of this process. Each server has an issuer of its own. EKS signs with RSA; an API server
/// can also have such a key, and a program that reads its token's claims sees no difference.
static KEY: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
    let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let key = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("ring can generate a key");
    EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).expect("it is a key")
});

/// The claims of a token. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The cluster's OIDC issuer.
    pub iss: String,
    /// The audiences.
    pub aud: Vec<String>,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub sub: String,
    /// Issued at.
    pub iat: u64,
    /// Not before.
    pub nbf: u64,
    /// Expires at.
    pub exp: u64,
    /// The unique ID of the token, from Kubernetes 1.30 on.
    #[serde(default)]
    pub jti: String,
    /// The pod that the token identifies.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: KubernetesClaims,
}

/// The `kubernetes.io` claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesClaims {
    /// The pod's namespace.
    pub namespace: String,
    /// The node that the pod runs on, from Kubernetes 1.30 on.
    #[serde(default)]
    pub node: Named,
    /// The pod.
    pub pod: Named,
    /// Its service account.
    pub serviceaccount: Named,
}

impl KubernetesClaims {
    /// The pod with these names. Each object gets a new UID.
    pub(crate) fn new(namespace: &str, account: &str, pod: &str, node: &str) -> Self {
        let [serviceaccount, pod, node] = [account, pod, node].map(Named::new);
        Self { namespace: namespace.to_owned(), node, pod, serviceaccount }
    }
}

/// A Kubernetes object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The UID.
    pub uid: String,
}

impl Named {
    /// Creates an object with this name and a new UID.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), uid: Uuid::new_v4().to_string() }
    }
}

/// The claims of a token that is valid from now on.
pub(crate) fn claims(issuer: &str, audience: &str, pod: &KubernetesClaims) -> Claims {
    let now =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (namespace, account) = (&pod.namespace, &pod.serviceaccount.name);
    Claims {
        iss: issuer.to_owned(),
        aud: vec![audience.to_owned()],
        sub: format!("system:serviceaccount:{namespace}:{account}"),
        iat: now,
        nbf: now,
        exp: now + TOKEN_LIFETIME.as_secs(),
        jti: Uuid::new_v4().to_string(),
        kubernetes: pod.clone(),
    }
}

/// Signs claims with the key of this process.
pub(crate) fn sign(claims: &impl Serialize) -> String {
    let header = serde_json::json!({ "alg": "ES256", "kid": kid() });
    let payload = serde_json::to_string(claims).expect("claims are plain data");
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message =
        format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload.as_bytes()));
    let signature =
        KEY.sign(&SystemRandom::new(), message.as_bytes()).expect("a key of its own can sign");
    format!("{message}.{}", encode(signature.as_ref()))
}

/// The environment that EKS's webhook injects into a pod whose service account
/// is annotated with the role.
pub(crate) fn irsa_env(role_arn: &str, token_file: &Path) -> Vec<(String, String)> {
    let token_file = token_file.display().to_string();
    [
        ("AWS_ROLE_ARN", role_arn),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &token_file),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A cluster's OIDC issuer, and the keys that its tokens are signed with.
#[derive(Debug)]
pub(crate) struct OidcIssuer {
    /// The issuer's URL, as in the claim `iss`.
    pub(crate) url: String,
    pub(crate) keys: Keys,
}

impl OidcIssuer {
    /// The issuer of a fictitious cluster, whose tokens [`sign`] signs.
    pub(crate) fn fictitious() -> Self {
        let id = Uuid::new_v4().simple().to_string().to_uppercase();
        let url = format!("https://oidc.eks.us-east-1.amazonaws.com/id/{id}");
        Self { url, keys: Keys::Own(KEY.public_key().as_ref().to_vec()) }
    }

    /// Returns a token's claims if it is signed by this issuer for this
    /// audience, and is valid now.
    pub(crate) async fn decode<C: DeserializeOwned>(
        &self,
        token: &str,
        audience: &str,
    ) -> Result<C, NoKey> {
        crate::ring::install();
        let key = self.keys.find(token).await?;
        let mut rules = Validation::new(match key.family() {
            AlgorithmFamily::Ec => Algorithm::ES256,
            _ => Algorithm::RS256,
        });
        rules.set_audience(&[audience]);
        rules.set_issuer(&[&self.url]);
        rules.set_required_spec_claims(&["exp", "aud", "iss"]);
        rules.validate_nbf = true;
        rules.leeway = 0;
        Ok(jsonwebtoken::decode::<C>(token, &key, &rules)?.claims)
    }
}

/// The JSON Web Key Set with the key of this process, as a cluster publishes
/// its keys.
pub(crate) fn own_key_set() -> serde_json::Value {
    // A byte that says "uncompressed", then both coordinates.
    let (x, y) = KEY.public_key().as_ref()[1..].split_at(32);
    serde_json::json!({ "keys": [{
        "use": "sig", "kty": "EC", "crv": "P-256", "kid": kid(), "alg": "ES256",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    }] })
}

fn kid() -> String {
    hex(&KEY.public_key().as_ref()[..20])
}
