//! Tests that the program works only with an association and a role that trusts EKS.

use std::time::{Duration, SystemTime};

use crate::cloud::Cloud;
use crate::harness::until;

const HOUR: Duration = Duration::from_hours(1);
const NOT_ASSOCIATED: &str = "(ResourceNotFoundException): No association found";
const NOT_TRUSTED: &str = "(AccessDeniedException): Unauthorized Exception! EKS does not have \
                           permissions to assume the associated role., fault: client";

#[tokio::test]
async fn uploads_start_with_the_association_and_stop_after_its_deletion() {
    let trust = sandbox::pod_identity_trust();
    let cloud = Cloud::new("comes-and-goes", &trust, Duration::from_secs(3)).await;
    let agent = &cloud.world.sandbox.agent;
    let job = cloud.job("/random", "--interval 100ms").start();
    cloud.refused(NOT_ASSOCIATED, 1).await;
    job.wrote("waiting for credentials", 1).await;
    assert!(agent.issued().is_empty());
    assert!(cloud.lengths().await.is_empty());

    let association = cloud.associate().await;
    job.wrote("\"uploaded\"", 3).await;
    assert!(cloud.lengths().await.len() >= 3);

    cloud.admin.dissociate(&association).await.expect("it can be deleted");
    // The credentials stay valid until they expire, up to a second later than the answer says.
    let expires = agent.issued().iter().map(|issued| issued.expires).max().expect("credentials");
    let end = expires + Duration::from_secs(1);
    until("the last credentials have expired", || SystemTime::now() > end).await;
    let before = agent.refusals().len();
    cloud.refused(NOT_ASSOCIATED, before + 1).await;
    let after = cloud.lengths().await.len();
    cloud.refused(NOT_ASSOCIATED, before + 2).await;
    job.wrote("upload failed", 1).await;
    job.terminate().await.expect(143);
    assert_eq!(cloud.lengths().await.len(), after);
    assert_eq!(agent.issued()[0].role.name, "comes-and-goes");
}

#[tokio::test]
async fn single_and_multipart_uploads_are_stored_completely() {
    let cloud = Cloud::associated("uploads").await;
    cloud.job("/large?size=200KiB", "--count 1").finish().await.expect(0);
    assert_eq!(cloud.lengths().await, [200 * 1024]);
    cloud.job("/large?size=30MiB&framing=chunked", "--count 1").finish().await.expect(0);
    let mut lengths = cloud.lengths().await;
    lengths.sort_unstable();
    assert_eq!(lengths, [200 * 1024, 30 * 1024 * 1024]);
    assert_eq!(cloud.admin.unfinished_uploads(cloud.name).await.expect("a list"), 0);
}

#[tokio::test]
async fn a_role_that_does_not_trust_eks_gives_no_credentials_until_it_does() {
    let trust = sandbox::trust_of("ec2.amazonaws.com", &["sts:AssumeRole", "sts:TagSession"]);
    let cloud = Cloud::new("distrustful", &trust, HOUR).await;
    cloud.associate().await;
    let job = cloud.job("/random", "--interval 100ms").start();
    cloud.refused(NOT_TRUSTED, 1).await;
    job.wrote("waiting for credentials", 1).await;

    let without_tags = sandbox::trust_of("pods.eks.amazonaws.com", &["sts:AssumeRole"]);
    cloud.admin.set_trust(cloud.name, &without_tags).await.expect("a policy");
    let before = cloud.world.sandbox.agent.refusals().len();
    // The first of these requests may still have been evaluated under the old policy.
    cloud.refused(NOT_TRUSTED, before + 2).await;
    assert!(cloud.world.sandbox.agent.issued().is_empty());
    assert!(cloud.lengths().await.is_empty());

    let trust = sandbox::pod_identity_trust();
    cloud.admin.set_trust(cloud.name, &trust).await.expect("a policy");
    job.wrote("\"uploaded\"", 1).await;
    job.terminate().await.expect(143);
}

#[tokio::test]
async fn a_missing_role_gives_no_credentials() {
    let cloud = Cloud::new("roleless", &sandbox::pod_identity_trust(), HOUR).await;
    let role = "arn:aws:iam::123456789012:role/nobody";
    cloud
        .admin
        .associate("demo", "demo", role)
        .await
        .expect("EKS does not check whether the role exists");
    let job = cloud.job("/random", "").start();
    cloud.refused(NOT_TRUSTED, 1).await;
    job.wrote("waiting for credentials", 1).await;
    job.terminate().await.expect(143);
}
