//! The arguments of `identity`.

use aws_types::region::Region;
use clap::Args;

use super::shared::{Guard, PlaceArguments, REQUIRE_IDENTITY};
use crate::config::{IdentityConfig, Problems, check_environment, optional, region_name};

/// The arguments of `identity` as they were given.
#[derive(Args, Clone, Debug)]
pub(crate) struct IdentityArguments {
    #[command(flatten)]
    guard: Guard,

    /// The name or ARN of the role that the association names; the exit code is 3 if the credentials
    /// are for another role. Of an ARN, partition, account and name are compared
    #[arg(long, value_name = "ROLE")]
    expect_role: Option<String>,

    /// Prints one JSON document, for scripts
    #[arg(long)]
    json: bool,

    /// Uploads a small object under the key prefix, to see whether that is allowed
    #[arg(long)]
    probe: bool,

    #[command(flatten)]
    place: PlaceArguments,
}

impl IdentityArguments {
    /// Checks every argument. `region` is the one that the SDK's chain found. The errors are one line
    /// for each unusable argument.
    pub(crate) fn check(self, region: Option<Region>) -> Result<IdentityConfig, Vec<String>> {
        let mut problems = Problems(Vec::new());
        let p = &mut problems;
        let require_identity = p.take(REQUIRE_IDENTITY, self.guard.require_identity.parse());
        let expect_role =
            p.take("--expect-role", optional(self.expect_role.as_deref(), str::parse));
        let probe = self.probe.then(|| self.place.check(p));
        check_environment(p);
        // Without a region, all but the probe can be reported.
        let region = match region {
            None if !self.probe => None,
            region => p.note("AWS_REGION", region_name(region)),
        };
        let json = self.json;
        let config = IdentityConfig { require_identity, expect_role, json, probe, region };
        if problems.0.is_empty() { Ok(config) } else { Err(problems.0) }
    }
}
