//! Tests IRSA, the exchange of a web identity token for credentials from STS.

use std::time::Duration;

use serde_json::json;

use crate::cloud::{Cloud, endpoint};

#[tokio::test]
async fn the_emulators_sts_accepts_the_token_of_a_provider_that_the_role_trusts() {
    // MiniStack reads the token's issuer and subject. It does not check the signature, and ignores
    // an audience that is a list, as in Kubernetes, so the policy cannot have a condition on it.
    let trust = |subject: &str, issuer: &str| {
        let provider = issuer.trim_start_matches("https://");
        json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": { "Federated": format!("arn:aws:iam::123456789012:oidc-provider/{provider}") },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": { "StringEquals": { format!("{provider}:sub"): subject } }
        }] })
    };
    let cloud = Cloud::new("irsa", &sandbox::pod_identity_trust(), Duration::from_hours(1)).await;
    cloud.admin.set_policy("irsa", &sandbox::irsa_policy("irsa")).await.expect("a policy");
    let mut issuer = String::new();
    cloud.world.sandbox.sts.mint_token(|claims| issuer.clone_from(&claims.iss));
    let job = || {
        let job = cloud.job("/random", "--interval 100ms --count 1");
        job.without_pod_identity()
            .with_irsa()
            .env("AWS_ROLE_ARN", &cloud.role_arn)
            .env("AWS_ENDPOINT_URL_STS", endpoint())
    };
    let another = trust("system:serviceaccount:demo:another", &issuer);
    cloud.admin.set_trust("irsa", &another).await.expect("a policy");
    let running = job().start();
    running.wrote("waiting for credentials", 1).await;
    running.terminate().await.expect(143);

    let right = trust("system:serviceaccount:demo:demo", &issuer);
    cloud.admin.set_trust("irsa", &right).await.expect("a policy");
    job().finish().await.expect(0);
    assert_eq!(cloud.lengths().await.len(), 1);
    assert_eq!(cloud.world.sandbox.agent.requests(), 0);
}
