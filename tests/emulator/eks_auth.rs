//! Tests EKS Auth as a server of its own with a client of AWS's: botocore, which knows the service
//! model, as the agent's SDK does.

use std::time::Duration;

use sandbox::{Association, Claims};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::cloud::Cloud;
use crate::harness::until;

/// Calls the operation, and prints the parsed output, or status, code and message of the error.
const CLIENT: &str = r#"
import json, os, sys
import botocore.config, botocore.exceptions, botocore.session
config = botocore.config.Config(retries={"total_max_attempts": 1})
client = botocore.session.get_session().create_client("eks-auth", config=config)
try:
    got = client.assume_role_for_pod_identity(clusterName=sys.argv[1], token=os.environ["TOKEN"])
    got["credentials"]["expiration"] = got["credentials"]["expiration"].timestamp()
    del got["ResponseMetadata"]["HTTPHeaders"]["date"]
    print(json.dumps(got))
except client.exceptions.ClientError as error:
    modelled = type(error).__name__
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    print(json.dumps({"error": modelled, "status": status, "message": error.response["Error"]["Message"]}))
"#;

/// What a client of AWS's gets for this token.
async fn call(cloud: &Cloud, cluster: &str, token: &str) -> Value {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/ministack/bin/python");
    let done = Command::new(python)
        .args(["-c", CLIENT, cluster])
        .env_clear()
        .env("TOKEN", token)
        .env("AWS_ENDPOINT_URL_EKS_AUTH", cloud.world.sandbox.agent.eks_auth().endpoint())
        .env("AWS_ACCESS_KEY_ID", "node")
        .env("AWS_SECRET_ACCESS_KEY", "node")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .await
        .expect("python runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn token(cloud: &Cloud) -> String {
    cloud.world.sandbox.agent.mint_token(|_| {})
}

#[tokio::test]
async fn a_client_of_aws_understands_the_answer() {
    let cloud = Cloud::new("model", &sandbox::pod_identity_trust(), Duration::from_hours(6)).await;
    let id = cloud.associate().await;
    let got = call(&cloud, "model", &token(&cloud)).await;
    assert_eq!(got["subject"], json!({ "namespace": "demo", "serviceAccount": "demo" }));
    assert_eq!(got["audience"], "pods.eks.amazonaws.com");
    assert_eq!(got["podIdentityAssociation"]["associationId"], id);
    let arn = got["podIdentityAssociation"]["associationArn"].as_str().expect("an ARN");
    let prefix = "arn:aws:eks:us-east-1:123456789012:podidentityassociation/model/";
    assert_eq!(arn, format!("{prefix}{id}"));
    let arn = got["assumedRoleUser"]["arn"].as_str().expect("an ARN");
    let prefix = "arn:aws:sts::123456789012:assumed-role/model/eks-model-demo-";
    assert!(arn.starts_with(prefix), "{arn}");
    let id = got["assumedRoleUser"]["assumeRoleId"].as_str().expect("an ID");
    assert!(id.starts_with("AROA") && id.contains(":eks-model-demo-"), "{id}");
    let issued = &cloud.world.sandbox.agent.issued()[0];
    let credentials = &got["credentials"];
    assert_eq!(credentials["accessKeyId"], issued.access_key_id);
    assert_eq!(credentials["secretAccessKey"], issued.secret_access_key);
    assert_eq!(credentials["sessionToken"], issued.session_token);
    let expires = issued.expires.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    assert_eq!(credentials["expiration"].as_f64(), Some(expires.as_secs_f64().floor()));
}

#[tokio::test]
async fn each_error_has_the_type_and_status_of_the_model() {
    let cloud = Cloud::new("errors", &sandbox::pod_identity_trust(), Duration::from_hours(1)).await;
    let agent = &cloud.world.sandbox.agent;
    let mint = |change: fn(&mut Claims)| agent.mint_token(change);
    let expired = mint(|claims| claims.exp = claims.iat - 1);
    let audience = mint(|claims| claims.aud = vec!["sts.amazonaws.com".to_owned()]);
    let issuer = mint(|claims| claims.iss = "https://oidc.example/id/1".to_owned());
    let subject = mint(|claims| claims.sub = "system:serviceaccount:kube-system:admin".to_owned());
    let good = token(&cloud);
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    for (cluster, token, error, status) in [
        ("errors", "no-token", "InvalidParameterException", 400),
        ("errors", &expired, "ExpiredTokenException", 400),
        ("errors", &audience, "InvalidTokenException", 400),
        ("errors", &issuer, "InvalidTokenException", 400),
        ("errors", &subject, "InvalidTokenException", 400),
        ("errors", &forged, "InvalidTokenException", 400),
        ("elsewhere", &good, "ResourceNotFoundException", 404),
        ("errors", &good, "ResourceNotFoundException", 404),
    ] {
        let got = call(&cloud, cluster, token).await;
        assert_eq!((&got["error"], &got["status"]), (&json!(error), &json!(status)), "{got}");
    }
    let association = cloud.associate().await;
    let trust = sandbox::trust_of("ec2.amazonaws.com", &["sts:AssumeRole"]);
    cloud.admin.set_trust("errors", &trust).await.expect("a policy");
    let got = call(&cloud, "errors", &good).await;
    assert_eq!((&got["error"], &got["status"]), (&json!("AccessDeniedException"), &json!(400)));

    // EKS refuses such an association; the emulator does not.
    cloud.admin.dissociate(&association).await.expect("it can be deleted");
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "s3:*", "Resource": "*" }
    ] });
    let tagged = Association {
        policy: Some(policy.to_string()),
        ..Association::new("demo", "demo", &cloud.role_arn)
    };
    cloud.admin.create_association(&tagged).await.expect("an association");
    let got = call(&cloud, "errors", &good).await;
    assert_eq!(got["error"], "InvalidRequestException");
    assert!(got["message"].as_str().is_some_and(|text| text.contains("disableSessionTags")));

    let answer = sandbox::Answer::Status(429, "ThrottlingException: Rate exceeded".to_owned());
    agent.eks_auth().set_answer(answer);
    let got = call(&cloud, "errors", &good).await;
    assert_eq!((&got["error"], &got["status"]), (&json!("ThrottlingException"), &json!(429)));
    until("all are recorded", || agent.eks_auth().refusals().len() == 11).await;
    assert!(agent.issued().is_empty());
}
