//! The arguments that `run` and `identity` share.

use clap::Args;

use crate::config::{Problems, place, timeout};
use crate::upload::{Place, Store};

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

    /// Where the checksum of a picture is: trailer (behind it, so that it is sent while it arrives), header
    /// (pictures of up to 8 MiB are read before they are sent) or none. With auto it is a trailer, at an
    /// endpoint that is not Amazon's what the store takes, and none if the SDK's setting
    /// `request_checksum_calculation` is `when_required`
    #[arg(long, env = "S3_CHECKSUM", value_name = "FORM", default_value = "auto")]
    checksum: String,

    /// Where the bucket's name is in a URL: path, or virtual (in the host's name). With auto it is in the
    /// path at an endpoint that is not Amazon's. Never in the path is that of an ARN
    #[arg(long, env = "S3_ADDRESSING_STYLE", value_name = "STYLE", default_value = "auto")]
    addressing_style: String,

    /// The maximum time in which a request to S3 stands still: no byte of it is taken, and no answer comes
    #[arg(long, env = "S3_TIMEOUT", value_name = "DURATION", default_value = "60s")]
    s3_timeout: String,
}

impl PlaceArguments {
    pub(super) fn check(self, problems: &mut Problems) -> Place {
        let store = Store {
            checksum: problems.take("--checksum / S3_CHECKSUM", self.checksum.parse()),
            addressing: problems
                .take("--addressing-style / S3_ADDRESSING_STYLE", self.addressing_style.parse()),
            timeout: problems.take("--s3-timeout / S3_TIMEOUT", timeout(&self.s3_timeout)),
        };
        place(self.bucket, self.key_prefix, self.pod_name, store, problems)
    }
}

pub(super) const REQUIRE_IDENTITY: &str = "--require-identity / REQUIRE_IDENTITY";
