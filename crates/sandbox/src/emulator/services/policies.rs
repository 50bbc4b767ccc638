//! The policies of this project's roles.

use serde_json::{Value, json};

/// The principal that assumes roles for pods.
pub(crate) const POD_IDENTITY_SERVICE: &str = "pods.eks.amazonaws.com";

/// The trust policy that EKS Pod Identity requires, from the EKS user guide.
#[must_use]
pub fn pod_identity_trust() -> Value {
    trust_of(POD_IDENTITY_SERVICE, &["sts:AssumeRole", "sts:TagSession"])
}

/// A trust policy that allows a service principal to perform some actions.
#[must_use]
pub fn trust_of(service: &str, actions: &[&str]) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Principal": { "Service": service }, "Action": actions }
        ]
    })
}

/// The policy that the scripts attach to the Pod Identity role: the least
/// privilege that the program needs, for its service account only.
#[must_use]
pub fn pod_identity_policy(bucket: &str, cluster: &str, namespace: &str, account: &str) -> Value {
    filled(
        include_str!("../../../../../scripts/steps/policies/pod-identity.json"),
        &[
            ("BUCKET", bucket),
            ("CLUSTER_NAME", cluster),
            ("NAMESPACE", namespace),
            ("SERVICE_ACCOUNT", account),
        ],
    )
}

/// The policy that the scripts attach to the IRSA role.
#[must_use]
pub fn irsa_policy(bucket: &str) -> Value {
    filled(include_str!("../../../../../scripts/steps/policies/irsa.json"), &[("BUCKET", bucket)])
}

fn filled(template: &str, settings: &[(&str, &str)]) -> Value {
    let mut text = template.replace("${PARTITION}", "aws");
    for (name, value) in settings {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    serde_json::from_str(&text).expect("the template is JSON")
}
