//! Credentials that have expired on arrival cause no loop.

use std::time::Duration;

use sandbox::Reply;
use serde_json::json;

use super::scripted;
use crate::harness::World;

#[tokio::test]
async fn credentials_that_have_expired_already_are_not_asked_for_in_a_loop() {
    for expiration in ["2020-01-01T00:00:00Z", "1970-01-02T00:00:00Z"] {
        let world = World::new().await;
        let agent = scripted(move |_| {
            let document = json!({
                "AccessKeyId": "ASIAEXAMPLEEXAMPLE12", "SecretAccessKey": "secret", "Token": "token",
                "AccountId": "123456789012", "Expiration": expiration,
            });
            Reply::new(200, document.to_string())
        })
        .await;
        let job = world
            .job("/random", "--interval 1h --startup-grace 1h")
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url("/v1/credentials"))
            .start();
        job.wrote("uploading a picture every", 1).await;
        // That nothing is asked can only be seen over a time.
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(job);
        let (asked, sts) = (agent.asked().len(), world.sandbox.sts.requests());
        assert!(
            asked <= 6 && sts <= 6,
            "{expiration}: {asked} requests to the agent, {sts} to STS"
        );
    }
}
