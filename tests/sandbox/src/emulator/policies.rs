//! The policies that this project's roles have.

use serde_json::{Value, json};

/// The service that assumes roles for pods.
pub(crate) const POD_IDENTITY_SERVICE: &str = "pods.eks.amazonaws.com";

/// The trust policy that EKS Pod Identity needs, as its user guide has it.
#[must_use]
pub fn pod_identity_trust() -> Value {
    trust_of(POD_IDENTITY_SERVICE, &["sts:AssumeRole", "sts:TagSession"])
}

/// A trust policy that allows a service some actions.
#[must_use]
pub fn trust_of(service: &str, actions: &[&str]) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Principal": { "Service": service }, "Action": actions }
        ]
    })
}

/// The least that the program can do its job with, in one bucket.
#[must_use]
pub fn upload_policy(bucket: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": format!("arn:aws:s3:::{bucket}/*")
        }]
    })
}
