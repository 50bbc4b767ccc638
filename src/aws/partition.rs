//! AWS's partitions: separate worlds with names, accounts and DNS domains of their own.

/// A partition.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Its name in ARNs.
    pub(crate) id: &'static str,
    /// What the names of its regions begin with.
    regions: &'static str,
    /// The domains of its endpoints, without and with IPv6.
    domains: [&'static str; 2],
}

/// The largest partition, which also has every region that no other one claims.
const AWS: Partition = Partition { id: "aws", regions: "", domains: ["amazonaws.com", "api.aws"] };

/// All others. The source is the SDK's own table (`endpoint_lib.rs` of aws-sdk-s3 1.157), which it does
/// not export; botocore 1.43.106 has the same one as `data/partitions.json`. A test holds this table to
/// the endpoints that the SDK answers.
const OTHERS: [Partition; 7] = [
    Partition {
        id: "aws-cn",
        regions: "cn-",
        domains: ["amazonaws.com.cn", "api.amazonwebservices.com.cn"],
    },
    Partition {
        id: "aws-eusc",
        regions: "eusc-",
        domains: ["amazonaws.eu", "api.amazonwebservices.eu"],
    },
    Partition { id: "aws-iso", regions: "us-iso-", domains: ["c2s.ic.gov", "api.aws.ic.gov"] },
    Partition {
        id: "aws-iso-b",
        regions: "us-isob-",
        domains: ["sc2s.sgov.gov", "api.aws.scloud"],
    },
    Partition {
        id: "aws-iso-e",
        regions: "eu-isoe-",
        domains: ["cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"],
    },
    Partition {
        id: "aws-iso-f",
        regions: "us-isof-",
        domains: ["csp.hci.ic.gov", "api.aws.hci.ic.gov"],
    },
    Partition { id: "aws-us-gov", regions: "us-gov-", domains: ["amazonaws.com", "api.aws"] },
];

impl Partition {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        std::iter::once(&AWS).chain(&OTHERS)
    }

    /// The partition of a region.
    pub(crate) fn of_region(region: &str) -> &'static Self {
        OTHERS.iter().find(|partition| region.starts_with(partition.regions)).unwrap_or(&AWS)
    }
}

/// Whether a host is an endpoint of AWS, in whichever partition.
pub(crate) fn is_amazons(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let is_below = |domain: &str| {
        host.strip_suffix(domain).is_some_and(|name| name.len() > 1 && name.ends_with('.'))
    };
    Partition::all().flat_map(|partition| partition.domains).any(is_below)
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
    use url::Url;

    use super::*;

    /// Regions of each partition.
    const REGIONS: [(&str, &[&str]); 8] = [
        ("aws", &["us-east-1", "us-west-2", "eu-west-1", "ap-southeast-7", "mx-central-1"]),
        ("aws-cn", &["cn-north-1", "cn-northwest-1"]),
        ("aws-eusc", &["eusc-de-east-1"]),
        ("aws-iso", &["us-iso-east-1", "us-iso-west-1"]),
        ("aws-iso-b", &["us-isob-east-1", "us-isob-west-1"]),
        ("aws-iso-e", &["eu-isoe-west-1"]),
        ("aws-iso-f", &["us-isof-south-1", "us-isof-east-1"]),
        ("aws-us-gov", &["us-gov-west-1", "us-gov-east-1"]),
    ];

    /// What the SDK answers: the host, or why there is none.
    async fn host(region: &str, bucket: &str, dual_stack: bool) -> Result<String, String> {
        let params = Params::builder().region(region).bucket(bucket).use_dual_stack(dual_stack);
        let params = params.build().expect("parameters");
        let endpoint = ResolveEndpoint::resolve_endpoint(&DefaultResolver::new(), &params).await;
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let url = Url::parse(endpoint.url()).expect("a URL");
        Ok(url.host_str().expect("a host").to_owned())
    }

    #[tokio::test]
    async fn each_regions_partition_and_endpoints_are_those_of_the_sdk() {
        assert!(Partition::all().map(|known| known.id).eq(REGIONS.map(|(id, _)| id)));
        for (id, regions) in REGIONS {
            for region in regions {
                let partition = Partition::of_region(region);
                assert_eq!(partition.id, id, "{region}");
                // S3's endpoints with IPv6 are not in the domain for IPv6.
                let [domain, domain_of_ipv6] = partition.domains;
                for (dual_stack, infix) in [(false, ""), (true, ".dualstack")] {
                    let host = host(region, "pictures", dual_stack).await.expect("an endpoint");
                    assert_eq!(host, format!("pictures.s3{infix}.{region}.{domain}"));
                    assert!(is_amazons(&host), "{host}");
                }
                assert!(is_amazons(&format!("sts.{region}.{domain_of_ipv6}")));
                // The SDK names a region's partition only where it is not that of the client.
                let client = if id == "aws" { "cn-north-1" } else { "us-east-1" };
                let arn = format!("arn:{id}:s3:{region}:123456789012:accesspoint/pictures");
                let refusal = host(client, &arn, false).await.expect_err("another partition");
                assert!(refusal.ends_with(&format!("has `{id}`")), "{region}: {refusal}");
            }
        }
    }

    #[test]
    fn only_amazons_domains_are_amazons() {
        for host in ["s3.eu-west-1.amazonaws.com", "s3.us-gov-west-1.amazonaws.com."] {
            assert!(is_amazons(host), "{host}");
        }
        for host in
            ["", "amazonaws.com", ".amazonaws.com", "s3.notamazonaws.com", "c2s.ic.gov.example"]
        {
            assert!(!is_amazons(host), "{host}");
        }
    }
}
