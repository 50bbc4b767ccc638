//! The arguments that `run` and `identity` share.

use clap::Args;

/// The identity that is required, for `run` and for `identity`.
#[derive(Args, Clone, Debug)]
pub(super) struct Guard {
    /// The identity that must answer: any, pod-identity, irsa, ecs, container (pod-identity or ecs),
    /// environment, profile or instance. If another answers, nothing is uploaded and the exit code
    /// is 3: in a Job with restartPolicy Never this creates a new pod, which passes admission again,
    /// and only that recovers from a missed injection
    #[arg(long, env = "REQUIRE_IDENTITY", value_name = "IDENTITY", default_value = "any")]
    pub(super) require_identity: String,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Pod {
    /// The pod's name, for keys and metadata of objects [default: the host name]
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub(super) pod_name: Option<String>,
}

pub(super) const REQUIRE_IDENTITY: &str = "--require-identity / REQUIRE_IDENTITY";
