//! Tests IRSA, the exchange of a web identity token for credentials from STS.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{Cloud, endpoint};
use crate::harness::{Finished, Job, World, until};

const IRSA: &str = "irsa";

/// Adds the variables that EKS's webhook injects for IRSA.
fn with_irsa<'w>(job: Job<'w>, world: &World) -> Job<'w> {
    let env = world.sandbox.sts.env();
    env.iter().fold(job, |job, (name, value)| job.env(name, value))
}

/// Removes the variables that the webhook injects for Pod Identity.
fn without_pod_identity(job: Job<'_>) -> Job<'_> {
    job.without("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        .without("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
}

/// The provider that the program's first line names.
fn provider(done: &Finished) -> Value {
    let lines = done.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut first = lines.filter(|line| !line["destination"].is_null());
    first.next().expect("a first line")["provider"].clone()
}

#[tokio::test]
async fn irsa_alone_uploads() {
    let world = World::new().await;
    let job =
        without_pod_identity(with_irsa(world.job("/random", "--count 3 --interval 0s"), &world));
    let done = job.finish().await.expect(0);
    assert_eq!(world.objects().await.len(), 3);
    assert_eq!((world.sandbox.sts.requests(), world.sandbox.agent.requests()), (1, 0));
    assert_eq!(world.sandbox.credentials.issued()[0].role.name, "irsa");
    assert_eq!(provider(&done), IRSA);
}

#[tokio::test]
async fn irsa_takes_precedence_over_pod_identity() {
    let world = World::new().await;
    let job = with_irsa(world.job("/random", "--count 1"), &world);
    let done = job.finish().await.expect(0);
    assert_eq!((world.sandbox.sts.requests(), world.sandbox.agent.requests()), (1, 0));
    assert_eq!(provider(&done), IRSA);
}

#[tokio::test]
async fn a_role_that_does_not_trust_the_service_account_gives_no_credentials_until_it_does() {
    let world = World::new().await;
    world.sandbox.sts.distrust("demo", "demo");
    let job = world.job("/random", "--interval 100ms --count 1");
    let job = without_pod_identity(with_irsa(job, &world)).start();
    let sts = &world.sandbox.sts;
    let refused = "403 AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity";
    until("a refusal", || sts.refusals().iter().any(|refusal| refusal == refused)).await;
    job.wrote("no credentials yet", 1).await;
    assert!(world.sandbox.credentials.issued().is_empty());
    world.sandbox.sts.trust("demo", "demo");
    job.finish().await.expect(0);
    assert_eq!(world.objects().await.len(), 1);
}

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
        without_pod_identity(with_irsa(job, &cloud.world))
            .env("AWS_ROLE_ARN", &cloud.role_arn)
            .env("AWS_ENDPOINT_URL_STS", endpoint())
    };
    let another = trust("system:serviceaccount:demo:another", &issuer);
    cloud.admin.set_trust("irsa", &another).await.expect("a policy");
    let running = job().start();
    running.wrote("no credentials yet", 1).await;
    running.terminate().await.expect(143);

    let right = trust("system:serviceaccount:demo:demo", &issuer);
    cloud.admin.set_trust("irsa", &right).await.expect("a policy");
    job().finish().await.expect(0);
    assert_eq!(cloud.lengths().await.len(), 1);
    assert_eq!(cloud.world.sandbox.agent.requests(), 0);
}
