//! One emulated account for all tests, in which each test has its own resources.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use sandbox::{Admin, AgentOptions, Emulator, MiniStack, SandboxOptions};
use serde_json::Value;

use crate::harness::{Job, World, until};

/// The tests share one emulator, because starting it takes longer than most tests. It ends with the
/// process of the tests.
static MINISTACK: LazyLock<MiniStack> = LazyLock::new(|| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/dev/ministack.sh");
    MiniStack::start(&script).expect("MiniStack starts")
});

/// The URL of the emulator.
pub fn endpoint() -> &'static str {
    MINISTACK.endpoint()
}

/// A cluster, a bucket and a role, all with the same name, and a pod of that cluster.
pub struct Cloud {
    pub admin: Admin,
    pub name: &'static str,
    pub role_arn: String,
    pub world: World,
}

impl Cloud {
    /// Creates them, with this trust policy and the scripts' permissions policy, but without an
    /// association.
    pub async fn new(name: &'static str, trust: &Value, lifetime: Duration) -> Self {
        let emulator = Emulator::new(endpoint(), name);
        let admin = Admin::new(&emulator);
        admin.create_cluster().await.expect("a cluster");
        let policy = sandbox::pod_identity_policy(name, name, "demo", "demo");
        let made = admin.create_upload_role(name, trust, &policy).await;
        let role_arn = made.expect("a bucket and a role");
        let agent = AgentOptions { lifetime, emulator: Some(emulator), ..AgentOptions::default() };
        let world = World::with(SandboxOptions { agent, ..SandboxOptions::default() }).await;
        Self { admin, name, role_arn, world }
    }

    /// Creates them with a role for Pod Identity, and associates it with the pod's service account.
    pub async fn associated(name: &'static str) -> Self {
        let trust = sandbox::pod_identity_trust();
        let cloud = Self::new(name, &trust, Duration::from_hours(1)).await;
        cloud.associate().await;
        cloud
    }

    /// Associates the role with the pod's service account, and returns the association's ID.
    pub async fn associate(&self) -> String {
        self.admin.associate("demo", "demo", &self.role_arn).await.expect("an association")
    }

    /// The program, as [`World::job`], uploading to the emulator.
    pub fn job(&self, target: &str, arguments: &str) -> Job<'_> {
        self.world
            .job(target, arguments)
            .env("AWS_ENDPOINT_URL_S3", endpoint())
            .env("S3_BUCKET_NAME", self.name)
    }

    /// Waits until the agent has refused `count` requests with this text.
    pub async fn refused(&self, text: &str, count: usize) {
        let agent = &self.world.sandbox.agent;
        let refusals = || agent.refusals().into_iter().filter(|refusal| refusal.contains(text));
        until(format!("{count} × {text}"), || refusals().count() >= count).await;
    }

    /// The lengths of the bucket's objects.
    pub async fn lengths(&self) -> Vec<u64> {
        let objects = self.admin.objects(self.name).await.expect("the bucket can be listed");
        objects.into_iter().map(|(_, length)| length).collect()
    }
}
