//! Tests EKS Auth with a client of AWS's, botocore, which knows the service model as the agent's SDK
//! does, and in front of the emulator's IAM. Its errors are tested in `crates/sandbox/tests`.

use std::sync::Arc;
use std::time::Duration;

use sandbox::{Association, Credentials, EksAuth, EksAuthOptions, Emulator, KeySource};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::cloud::{Cloud, endpoint};

/// Calls the operation, and prints the parsed output, or code and message of the error.
const CLIENT: &str = r#"
import json, os, sys
import botocore.config, botocore.exceptions, botocore.session
config = botocore.config.Config(retries={"total_max_attempts": 1})
client = botocore.session.get_session().create_client("eks-auth", config=config)
try:
    got = client.assume_role_for_pod_identity(clusterName=sys.argv[1], token=os.environ["TOKEN"])
    got["credentials"]["expiration"] = got["credentials"]["expiration"].timestamp()
    print(json.dumps(got))
except client.exceptions.ClientError as error:
    print(json.dumps({"error": type(error).__name__, "message": error.response["Error"]["Message"]}))
"#;

/// What a client of AWS's gets for this token.
async fn call(cloud: &Cloud, cluster: &str, token: &str) -> Value {
    call_at(&cloud.world.sandbox.agent.eks_auth().endpoint(), cluster, token).await
}

async fn call_at(eks_auth: &str, cluster: &str, token: &str) -> Value {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/ministack/bin/python");
    let done = Command::new(python)
        .args(["-c", CLIENT, cluster])
        .env_clear()
        .env("TOKEN", token)
        .env("AWS_ENDPOINT_URL_EKS_AUTH", eks_auth)
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
async fn a_table_of_associations_replaces_those_of_the_emulators_eks_and_not_its_iam() {
    const ISSUER: &str = "https://oidc.example/id/2";
    let cloud = Cloud::new("table", &sandbox::pod_identity_trust(), Duration::from_hours(1)).await;
    let options = EksAuthOptions {
        cluster: "table".to_owned(),
        issuer: Some((ISSUER.to_owned(), KeySource::Json(EksAuth::own_keys()))),
        associations: Some(vec![Association::new("demo", "demo", &cloud.role_arn)]),
        emulator: Some(Emulator::new(endpoint(), "table")),
        ..EksAuthOptions::default()
    };
    let registry = Credentials::new();
    let eks_auth = EksAuth::start(Arc::clone(&registry), options).await.expect("it starts");
    let agent = &cloud.world.sandbox.agent;
    let token = agent.mint_token(|claims| ISSUER.clone_into(&mut claims.iss));
    let got = call_at(&eks_auth.endpoint(), "table", &token).await;
    let arn = got["assumedRoleUser"]["arn"].as_str().unwrap_or_else(|| panic!("{got}"));
    assert!(arn.starts_with("arn:aws:sts::123456789012:assumed-role/table/eks-table-demo-"));
    // The emulator's STS knows the credentials, and its IAM has judged the role.
    let client = cloud.admin.s3_as(&registry.issued()[0]);
    client.put_object().bucket("table").key("a").send().await.expect("the upload is allowed");
    let trust = sandbox::trust_of("ec2.amazonaws.com", &["sts:AssumeRole", "sts:TagSession"]);
    cloud.admin.set_trust("table", &trust).await.expect("a policy");
    let got = call_at(&eks_auth.endpoint(), "table", &token).await;
    assert_eq!(got["error"], "AccessDeniedException", "{got}");
    // The emulator's EKS has no association.
    let token = self::token(&cloud);
    assert_eq!(call(&cloud, "table", &token).await["error"], "ResourceNotFoundException");
}

#[tokio::test]
async fn conditions_and_denials_of_the_first_roles_trust_policy_are_judged() {
    let cloud = Cloud::associated("judged").await;
    let token = token(&cloud);
    let allow = sandbox::pod_identity_trust()["Statement"][0].clone();
    let with = |statements: Value| json!({ "Version": "2012-10-17", "Statement": statements });
    let on = |condition: Value| {
        let mut statement = allow.clone();
        statement["Condition"] = json!({ "StringEquals": condition });
        with(json!([statement]))
    };
    let deny = json!({
        "Effect": "Deny", "Principal": { "Service": "pods.eks.amazonaws.com" }, "Action": "sts:AssumeRole",
    });
    for (trust, error) in [
        (on(json!({ "aws:RequestTag/kubernetes-namespace": "demo" })), None),
        (
            on(json!({ "aws:RequestTag/kubernetes-namespace": "other" })),
            Some("AccessDeniedException"),
        ),
        (with(json!([allow, deny])), Some("AccessDeniedException")),
        // EKS accepts these two; the emulator's STS does not know the keys.
        (on(json!({ "aws:SourceAccount": "123456789012" })), Some("AccessDeniedException")),
        (
            on(json!({ "aws:SourceArn": "arn:aws:eks:us-east-1:123456789012:cluster/judged" })),
            Some("AccessDeniedException"),
        ),
        (with(json!([allow])), None),
    ] {
        cloud.admin.set_trust("judged", &trust).await.expect("a policy");
        let got = call(&cloud, "judged", &token).await;
        assert_eq!(got["error"].as_str(), error, "{trust:#} {got:#}");
        if error.is_some() {
            let said = got["message"].as_str().unwrap_or_default();
            assert!(said.starts_with("Unauthorized Exception! EKS does not have"), "{said}");
        }
    }
}
