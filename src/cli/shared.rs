//! The arguments that `run` and `identity` share.

use clap::Args;

use crate::config::{Problems, place};
use crate::upload::Place;

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

/// Where objects are stored, for `run` and for `identity --probe`.
#[derive(Args, Clone, Debug)]
pub(super) struct PlaceArguments {
    /// The bucket to which objects are uploaded (required; by `identity` only if it probes)
    #[arg(long, env = "S3_BUCKET_NAME", value_name = "NAME")]
    bucket: Option<String>,

    /// The beginning of every object's key [default: empty]
    #[arg(long, env = "S3_KEY_PREFIX", value_name = "PREFIX")]
    key_prefix: Option<String>,

    /// The pod's name, for keys and metadata of objects [default: the host name]
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,
}

impl PlaceArguments {
    pub(super) fn check(self, problems: &mut Problems) -> Place {
        place(self.bucket, self.key_prefix, self.pod_name, problems)
    }
}

pub(super) const REQUIRE_IDENTITY: &str = "--require-identity / REQUIRE_IDENTITY";
