//! The bucket, and the keys in it.

use std::net::Ipv4Addr;

use super::problems::Problems;
use crate::upload::{Place, Store};

/// The longest key in bytes: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>.
const LONGEST_KEY: usize = 1024;

/// The longest name of a pod, which is a DNS subdomain.
const LONGEST_POD_NAME: usize = 253;

/// What follows prefix and pod in the longest key: a day, a UUID and the longest extension.
const REST_OF_KEY: &str = "/2026/01/01/00000000-0000-7000-8000-000000000000.tiff";

/// What the alias of a Multi-Region Access Point ends with.
const MULTI_REGION: &str = ".mrap";

/// Where objects go. After a problem it is a place to which nothing is uploaded.
pub(crate) fn place(
    bucket_name: Option<String>,
    prefix: Option<String>,
    pod: Option<String>,
    store: Store,
    problems: &mut Problems,
) -> Place {
    let bucket = problems.take("--bucket / S3_BUCKET_NAME", bucket(bucket_name));
    let pod = problems.take("--pod-name / POD_NAME", pod_name(pod));
    let prefix = key_prefix(prefix.unwrap_or_default(), &pod);
    Place { bucket, prefix: problems.take("--key-prefix / S3_KEY_PREFIX", prefix), pod, store }
}

pub(super) fn bucket(name: Option<String>) -> Result<String, String> {
    let name = name.filter(|name| !name.is_empty()).ok_or("not set: specify the bucket")?;
    let checked = if name.starts_with("arn:") { access_point(&name) } else { bucket_name(&name) };
    checked.map(|()| name)
}

/// Checks Amazon's rules for the names of buckets:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>. Names that only an
/// access point's alias or a directory bucket may have are usable here.
fn bucket_name(name: &str) -> Result<(), String> {
    let is_well_formed = (3..=63).contains(&name.len())
        && name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-'))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    let why = if !is_well_formed {
        " (3 to 63 of a-z, 0-9, '.' and '-', with a letter or digit at both ends) and not the ARN of an \
         access point"
    } else if name.contains("..") {
        ": two periods must not be adjacent"
    } else if name.parse::<Ipv4Addr>().is_ok() {
        ": it must not look like an IP address"
    } else if ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|taken| name.starts_with(taken)) {
        ": Amazon S3 keeps what it begins with for itself"
    } else if name.ends_with(MULTI_REGION) {
        ": this is a Multi-Region Access Point's alias, which needs signatures (SigV4A) that this \
         program does not make; give one of its buckets"
    } else if name.ends_with("--table-s3") {
        ": this is a table bucket, which has tables instead of objects"
    } else {
        return Ok(());
    };
    Err(format!("{name:?} is not a bucket name{why}"))
}

/// Checks the ARN of an access point, `arn:PARTITION:s3:REGION:ACCOUNT:accesspoint/NAME`, of one on an
/// Outpost (`…:outpost/ID/accesspoint/NAME`) or for Object Lambda:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-naming.html>.
fn access_point(arn: &str) -> Result<(), String> {
    let fields: Vec<_> = arn.splitn(6, ':').collect();
    let [_, _, service, region, account, resource] = fields[..] else {
        return Err(format!("{arn:?} is not the ARN of an access point"));
    };
    if service == "s3" && region.is_empty() && account.is_empty() {
        return Err(format!("{arn:?} is the ARN of a bucket: give its name, {resource:?}"));
    }
    let mut parts = resource.split(['/', ':']);
    let name = match (service, parts.next()) {
        ("s3" | "s3-object-lambda" | "s3express", Some("accesspoint")) => parts.next(),
        ("s3-outposts", Some("outpost")) => {
            parts.nth(1).filter(|kind| *kind == "accesspoint").and_then(|_| parts.next())
        }
        _ => None,
    };
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Err(format!("{arn:?} is not the ARN of an access point"));
    };
    let why = if region.is_empty() || name.ends_with(MULTI_REGION) {
        "a Multi-Region Access Point, which needs signatures (SigV4A) that this program does not make: \
         give one of its buckets, or an access point in one region"
    } else if account.len() != 12 || !account.chars().all(|c| c.is_ascii_digit()) {
        "an access point without the twelve digits of its account"
    } else {
        return Ok(());
    };
    Err(format!("{arn:?} is the ARN of {why}"))
}

/// The pod's name as it is given, or the host's name. The host name is another one where a Job gives its
/// pods an index, and it is cut after 63 characters.
pub(super) fn pod_name(given: Option<String>) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let Some(name) = given.filter(|name| !name.is_empty()) else {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let name = host.chars().map(|c| if is_allowed(c) { c } else { '-' }).collect();
        return Ok(name);
    };
    match name.chars().find(|c| !is_allowed(*c)) {
        Some(c) => Err(format!("{name:?} has {c:?}: use letters, digits and -_.")),
        None if name.chars().all(|c| c == '.') => Err(format!("{name:?} is not a name")),
        None if name.len() > LONGEST_POD_NAME => {
            Err(format!("longer than {LONGEST_POD_NAME} characters, the longest name of a pod"))
        }
        None => Ok(name),
    }
}

/// The prefix of the keys of this pod's objects.
pub(super) fn key_prefix(prefix: String, pod: &str) -> Result<String, String> {
    // Amazon S3's list of characters that are safe in keys, without those that URLs escape.
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "/-_.!~*'()".contains(c);
    let longest = prefix.len() + pod.len() + REST_OF_KEY.len();
    if let Some(c) = prefix.chars().find(|c| !is_safe(*c)) {
        return Err(format!("{c:?} is not safe in a URL: use letters, digits and /-_.!~*'()"));
    }
    if prefix.starts_with('/') {
        return Err("begins with '/': keys have no leading slash".to_owned());
    }
    if let Some(part) = prefix.split('/').find(|part| [".", ".."].contains(part)) {
        return Err(format!(
            "{part:?} between slashes is a relative path, which clients resolve: leave it out"
        ));
    }
    if longest > LONGEST_KEY {
        return Err(format!(
            "keys would have up to {longest} bytes, and S3 allows {LONGEST_KEY}: shorten it by {}",
            longest - LONGEST_KEY
        ));
    }
    Ok(prefix)
}
