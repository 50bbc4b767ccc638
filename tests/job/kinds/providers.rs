//! The provider that failed is the one that is named, whatever else is configured.

use sandbox::Answer;

use super::{Profiles, Right, Wrong, bare, identity, irsa};
use crate::harness::World;

#[tokio::test]
async fn an_earlier_provider_that_fails_shadows_pod_identity() {
    let mut wrong = Wrong::default();
    for (required, id) in [("pod-identity", "shadowed_by_irsa"), ("any", "irsa_provider")] {
        let world = World::new().await;
        let text = "InvalidIdentityToken: No OpenIDConnect provider found in your account for https://oidc.example";
        world.sandbox.sts.set_answer(Answer::Status(400, text.to_owned()));
        let mut job = identity(&world, &format!("--require-identity {required}"));
        job = job.with_irsa();
        let right = Right {
            id,
            code: 3,
            cause: &["No OpenIDConnect provider found in your account"],
            ..Right::default()
        };
        let report = wrong.told(&format!("irsa, {required}"), job, right).await;
        wrong.expect("irsa in the chain", failed(&report) == ["irsa"], &report["chain"]);

        for (what, config, credentials, says) in [
            ("process", "[default]\ncredential_process = /bin/false\n", "", ""),
            ("empty keys", "", "[default]\naws_access_key_id =\naws_secret_access_key =\n", ""),
            ("no secret", "", "[default]\naws_access_key_id = AKIA\n", ""),
        ] {
            let world = World::new().await;
            let profiles = Profiles::new(config, credentials);
            let job = identity(&world, "--require-identity pod-identity");
            let right =
                Right { id: "shadowed_by_profile", code: 3, cause: &[says], ..Right::default() };
            let report = wrong.told(what, profiles.of(job), right).await;
            wrong.expect(what, failed(&report) == ["profile"], &report["chain"]);
        }
    }
    let world = World::new().await;
    let job = identity(&world, "--require-identity pod-identity")
        .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials");
    wrong.told("ecs", job, Right { id: "shadowed_by_ecs", code: 3, ..Right::default() }).await;
    wrong.none();
}

/// The providers that failed, as the report's chain has them.
fn failed(report: &serde_json::Value) -> Vec<&str> {
    let chain = report["chain"].as_array().into_iter().flatten();
    let failed = chain.filter(|link| link["state"] == "failed");
    failed.filter_map(|link| link["provider"].as_str()).collect()
}

#[tokio::test]
async fn half_a_key_and_empty_variables_are_named() {
    let world = World::new().await;
    let mut wrong = Wrong::default();
    for (set, missing) in [
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
    ] {
        for required in ["any", "environment"] {
            let job = bare(&world, &format!("--require-identity {required}"));
            let right = Right {
                id: "incomplete_static_keys",
                code: 3,
                cause: &[missing],
                ..Right::default()
            };
            wrong.told(missing, job.env(set, "AKIAHALFHALFHALFHALF"), right).await;
        }
    }
    for name in ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"] {
        let job = irsa(&world, "").env(name, "");
        let right = Right { id: "empty_variable", code: 3, cause: &[name], ..Right::default() };
        wrong.told(name, job, right).await;
    }
    for name in ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
        let job = identity(&world, "").env(name, "");
        let right = Right { id: "empty_variable", code: 3, cause: &[name], ..Right::default() };
        wrong.told(name, job, right).await;
    }
    wrong.none();
}
