//! Tests all of an association: the target role, its external ID, session tags on and off, and the
//! session policy; and that `identity` tells which of them failed.

use std::time::Duration;

use sandbox::{Admin, Association, Emulator};
use serde_json::{Value, json};

use crate::cloud::{Cloud, endpoint};

const HOUR: Duration = Duration::from_hours(1);
const BOTH: [&str; 2] = ["sts:AssumeRole", "sts:TagSession"];

fn policy(statement: &Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}

/// A permissions policy that allows these actions on a resource.
fn allow(actions: &[&str], resource: &str) -> Value {
    policy(&json!({ "Effect": "Allow", "Action": actions, "Resource": resource }))
}

/// A trust policy for a role, which demands this external ID.
fn trust(role_arn: &str, actions: &[&str], external_id: &str) -> Value {
    policy(&json!({
        "Effect": "Allow",
        "Principal": { "AWS": role_arn },
        "Action": actions,
        "Condition": { "StringEquals": { "sts:ExternalId": external_id } },
    }))
}

/// An association with a first role that may only assume its target, which may upload.
struct Chain {
    cloud: Cloud,
    /// The administrator of the target's account.
    there: Admin,
    target: String,
    target_arn: String,
    association: Association,
}

impl Chain {
    async fn new(name: &'static str, account: &str, tags: bool) -> Self {
        let cloud = Cloud::new(name, &sandbox::pod_identity_trust(), HOUR).await;
        let there = if account == "123456789012" {
            cloud.admin.clone()
        } else {
            // The root user of another account.
            Admin::new(&Emulator {
                access_key_id: account.to_owned(),
                ..Emulator::new(endpoint(), name)
            })
        };
        let target = format!("{name}-target");
        let target_arn = there.create_role(&target, &trust(&cloud.role_arn, &BOTH, "none")).await;
        let target_arn = target_arn.expect("a role");
        assert!(target_arn.contains(account), "{target_arn}");
        let association = Association {
            target_role_arn: Some(target_arn.clone()),
            disable_session_tags: !tags,
            ..Association::new("demo", "demo", &cloud.role_arn)
        };
        let association = cloud.admin.create_association(&association).await.expect("it is made");
        let chain = Self { cloud, there, target, target_arn, association };
        chain.permit(&BOTH).await;
        chain.trust(&BOTH).await;
        let upload = allow(&["s3:PutObject"], &format!("arn:aws:s3:::{name}/*"));
        chain.there.set_policy(&chain.target, &upload).await.expect("a policy");
        chain
    }

    fn external_id(&self) -> &str {
        self.association.external_id.as_deref().expect("EKS chooses an external ID")
    }

    /// Allows the first role these actions on the target.
    async fn permit(&self, actions: &[&str]) {
        let policy = allow(actions, &self.target_arn);
        self.cloud.admin.set_policy(self.cloud.name, &policy).await.expect("a policy");
    }

    /// Has the target allow the first role these actions.
    async fn trust(&self, actions: &[&str]) {
        self.demand(actions, self.external_id()).await;
    }

    async fn demand(&self, actions: &[&str], external_id: &str) {
        let trust = trust(&self.cloud.role_arn, actions, external_id);
        self.there.set_trust(&self.target, &trust).await.expect("a policy");
    }

    async fn uploads(&self) {
        self.cloud.job("/random", "--count 1").finish().await.expect(0);
    }
}

/// The diagnosis of `identity`, which finds no credentials.
async fn diagnosis(cloud: &Cloud) -> Value {
    let done = cloud.job("/random", "identity --json").finish().await.expect(3);
    let report: Value = serde_json::from_str(&done.lines.join("\n")).expect("JSON");
    report["verdict"]["diagnosis"].clone()
}

/// The diagnosis of the upload that `identity --probe` tries.
async fn probe(cloud: &Cloud) -> Value {
    let done = cloud.job("/random", "identity --json --probe").finish().await.expect(0);
    let report: Value = serde_json::from_str(&done.lines.join("\n")).expect("JSON");
    report["access"]["diagnosis"].clone()
}

fn assert_told(diagnosis: &Value, id: &str, cause: &str) {
    assert_eq!(diagnosis["id"], id, "{diagnosis:#}");
    assert!(diagnosis["cause"].as_str().is_some_and(|said| said.contains(cause)), "{diagnosis:#}");
}

#[tokio::test]
async fn the_target_role_uploads_and_each_broken_link_is_told() {
    let chain = Chain::new("chain", "123456789012", true).await;
    chain.uploads().await;
    let issued = &chain.cloud.world.sandbox.agent.issued()[0];
    assert_eq!(issued.role.name, "chain-target");

    chain.permit(&["sts:TagSession"]).await;
    let arn = chain.target_arn.as_str();
    assert_told(&diagnosis(&chain.cloud).await, "target_role_permission", "sts:AssumeRole");
    chain.permit(&["sts:AssumeRole"]).await;
    assert_told(&diagnosis(&chain.cloud).await, "target_role_permission", "sts:TagSession");
    chain.permit(&BOTH).await;
    chain.trust(&["sts:AssumeRole"]).await;
    assert_told(&diagnosis(&chain.cloud).await, "target_role_trust", "sts:TagSession");
    chain.demand(&BOTH, "another").await;
    assert_told(&diagnosis(&chain.cloud).await, "target_role_trust", arn);
    let first = sandbox::trust_of("ec2.amazonaws.com", &BOTH);
    chain.cloud.admin.set_trust("chain", &first).await.expect("a policy");
    assert_told(&diagnosis(&chain.cloud).await, "trust_policy", "service account demo");
}

#[tokio::test]
async fn the_target_role_may_belong_to_another_account() {
    let chain = Chain::new("abroad", "210987654321", true).await;
    let done = chain.cloud.job("/random", "identity --json").finish().await.expect(0);
    let report: Value = serde_json::from_str(&done.lines.join("\n")).expect("JSON");
    assert_eq!(report["verdict"]["ok"], true, "{report:#}");
    let issued = &chain.cloud.world.sandbox.agent.issued()[0];
    assert_eq!(
        (issued.account_id.as_str(), issued.role.name.as_str()),
        ("210987654321", "abroad-target")
    );
    chain.demand(&BOTH, "another").await;
    // IAM gives accounts no reasons about each other.
    assert_told(&diagnosis(&chain.cloud).await, "target_role", &chain.target_arn);
}

#[tokio::test]
async fn the_tags_of_the_first_session_are_those_of_the_second() {
    for (name, tags) in [("tags-on", true), ("tags-off", false)] {
        let chain = Chain::new(name, "123456789012", tags).await;
        let tagged = policy(&json!({
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": format!("arn:aws:s3:::{name}/*"),
            "Condition": { "StringEquals": { "aws:PrincipalTag/kubernetes-namespace": "demo" } },
        }));
        chain.there.set_policy(&chain.target, &tagged).await.expect("a policy");
        if tags {
            chain.uploads().await;
        } else {
            assert_told(&probe(&chain.cloud).await, "s3_access_denied", name);
        }
    }
}

#[tokio::test]
async fn without_session_tags_neither_role_has_to_allow_them() {
    let chain = Chain::new("untagged", "123456789012", false).await;
    let first = sandbox::trust_of("pods.eks.amazonaws.com", &["sts:AssumeRole"]);
    chain.cloud.admin.set_trust("untagged", &first).await.expect("a policy");
    chain.permit(&["sts:AssumeRole"]).await;
    chain.trust(&["sts:AssumeRole"]).await;
    chain.uploads().await;
}

/// A cloud whose role may upload to its bucket, with this session policy.
async fn restricted(name: &'static str, session_policy: &Value) -> Cloud {
    let cloud = Cloud::new(name, &sandbox::pod_identity_trust(), HOUR).await;
    let upload = allow(&["s3:PutObject"], &format!("arn:aws:s3:::{name}/*"));
    cloud.admin.set_policy(name, &upload).await.expect("a policy");
    let association = Association {
        policy: Some(session_policy.to_string()),
        disable_session_tags: true,
        ..Association::new("demo", "demo", &cloud.role_arn)
    };
    cloud.admin.create_association(&association).await.expect("an association");
    cloud
}

#[tokio::test]
async fn a_session_policy_restricts_what_the_role_may_do() {
    // It allows one prefix, and another bucket, which the role does not.
    let session = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::narrowed/in/*", "arn:aws:s3:::narrowed-other/*"],
    }] });
    let cloud = restricted("narrowed", &session).await;
    cloud.admin.create_bucket("narrowed-other").await.expect("a bucket");
    let uploads = |prefix: &str, bucket: &str| {
        cloud
            .job("/random", "identity --json --probe")
            .env("S3_KEY_PREFIX", prefix)
            .env("S3_BUCKET_NAME", bucket)
    };
    for (prefix, bucket, allowed) in
        [("in/", "narrowed", true), ("out/", "narrowed", false), ("in/", "narrowed-other", false)]
    {
        let done = uploads(prefix, bucket).finish().await.expect(0);
        let report: Value = serde_json::from_str(&done.lines.join("\n")).expect("JSON");
        assert_eq!(report["access"]["allowed"], allowed, "{prefix} {bucket}: {report:#}");
    }
}

#[tokio::test]
async fn a_session_policy_restricts_the_target_role_and_not_the_first() {
    let chain = Chain::new("last", "123456789012", false).await;
    let id = &chain.association.association_id;
    chain.cloud.admin.dissociate(id).await.expect("it can be deleted");
    // The policy does not allow sts:AssumeRole, which the first role needs.
    let association = Association {
        policy: Some(allow(&["s3:PutObject"], "arn:aws:s3:::last/in/*").to_string()),
        ..chain.association.clone()
    };
    let association = chain.cloud.admin.create_association(&association).await.expect("it is made");
    chain.demand(&BOTH, association.external_id.as_deref().expect("an ID")).await;
    for (prefix, allowed) in [("in/", true), ("out/", false)] {
        let job =
            chain.cloud.job("/random", "identity --json --probe").env("S3_KEY_PREFIX", prefix);
        let done = job.finish().await.expect(0);
        let report: Value = serde_json::from_str(&done.lines.join("\n")).expect("JSON");
        assert_eq!(report["access"]["allowed"], allowed, "{prefix}: {report:#}");
    }
}

#[tokio::test]
async fn a_session_policy_that_sts_does_not_take_is_told() {
    let broken = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow" }] });
    let cloud = restricted("broken", &broken).await;
    assert_told(&diagnosis(&cloud).await, "session_policy_rejected", "MalformedPolicyDocument");

    // Random names hardly compress.
    let names = (0..24).map(|_| {
        let name: String = (0..50).map(|_| fastrand::alphanumeric()).collect();
        format!("arn:aws:s3:::{name}")
    });
    let resources: Vec<_> = names.collect();
    let large = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "s3:PutObject", "Resource": resources }
    ] });
    assert!(large.to_string().len() < 2048);
    let cloud = restricted("large", &large).await;
    assert_told(&diagnosis(&cloud).await, "session_too_large", "session policy");
}
