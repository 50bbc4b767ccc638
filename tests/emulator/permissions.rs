//! Tests that the scripts' policy allows what the program needs, and nothing more.

use serde_json::{Value, json};

use crate::cloud::{Cloud, endpoint};

/// A picture of several parts, whose connection fails after two of them.
const CUT: &str = "/large?size=30MiB&cut=17MiB&framing=chunked";
const LEFT: &str = "a multipart upload could not be aborted";

#[tokio::test]
async fn an_interrupted_upload_is_aborted_or_reported_if_the_role_may_not_abort_it() {
    let cloud = Cloud::associated("cut").await;
    let done = cloud.job(CUT, "").until_failed().await;
    assert!(!done.lines.iter().any(|line| line.contains(LEFT)));
    assert_eq!(cloud.admin.unfinished_uploads("cut").await.expect("a list"), 0);

    let only_put = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::cut/*" }
    ] });
    cloud.admin.set_policy("cut", &only_put).await.expect("a policy");
    let done = cloud.job(CUT, "").until_failed().await;
    let said = done.lines.iter().find(|line| line.contains(LEFT)).expect("a warning");
    assert!(said.contains("WARN") && said.contains("AccessDenied"), "{said}");
    assert!(said.contains("s3:AbortMultipartUpload"), "{said}");
    assert_eq!(cloud.admin.unfinished_uploads("cut").await.expect("a list"), 1);
    assert!(cloud.lengths().await.is_empty());
}

#[tokio::test]
async fn the_session_carries_the_six_tags_of_eks() {
    let cloud = Cloud::associated("tagged").await;
    let mut pod = None;
    cloud.world.sandbox.agent.mint_token(|claims| pod = Some(claims.kubernetes.pod.clone()));
    let pod = pod.expect("a pod");
    let policy = |namespace: &str| {
        json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::tagged/*",
            "Condition": { "StringEquals": {
                "aws:PrincipalTag/eks-cluster-arn": "arn:aws:eks:us-east-1:123456789012:cluster/tagged",
                "aws:PrincipalTag/eks-cluster-name": "tagged",
                "aws:PrincipalTag/kubernetes-namespace": namespace,
                "aws:PrincipalTag/kubernetes-service-account": "demo",
                "aws:PrincipalTag/kubernetes-pod-name": pod.name,
                "aws:PrincipalTag/kubernetes-pod-uid": pod.uid,
            } }
        }] })
    };
    cloud.admin.set_policy("tagged", &policy("elsewhere")).await.expect("a policy");
    let done = cloud.job("/random", "").until_failed().await;
    let error = done.events("upload failed")[0]["error"].to_string();
    assert!(error.contains("AccessDenied"), "{error}");

    cloud.admin.set_policy("tagged", &policy("demo")).await.expect("a policy");
    cloud.job("/random", "--count 2 --interval 0s").finish().await.expect(0);
    assert_eq!(cloud.lengths().await.len(), 2);
}

#[tokio::test]
async fn credentials_of_no_role_are_not_of_the_expected_role() {
    let cloud = Cloud::associated("keyed").await;
    let job = cloud
        .job("/random", "identity --json --expect-role keyed")
        .env("AWS_ENDPOINT_URL_STS", endpoint())
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    let done = job.finish().await.expect(3);
    let report: Value = serde_json::from_str(&done.lines.join("\n")).expect("JSON");
    let diagnosis = &report["verdict"]["diagnosis"];
    assert_eq!(diagnosis["id"], "stale_role", "{report:#}");
    let cause = diagnosis["cause"].as_str().expect("a text");
    assert!(cause.contains("of no role, but of arn:aws:iam::123456789012:root"), "{cause}");
}
