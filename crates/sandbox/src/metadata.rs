//! A stand-in for the metadata service of an EC2 instance.

use std::time::SystemTime;

use serde_json::json;

use crate::credentials::Issued;
use crate::scripted::{Asked, Reply};

const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/";

/// How the metadata service of an instance with this role and these credentials answers, in version 2:
/// a session token for `PUT /latest/api/token`, and for a GET with that token the role's name and its
/// credentials. Without the token it answers 401, and 404 to all else. It is a script for a
/// [`crate::Scripted`] server, whose URL is for `AWS_EC2_METADATA_SERVICE_ENDPOINT`. Paths, headers and
/// the document are those of the EC2 user guide, [Use the Instance Metadata Service][service] and
/// [Retrieve security credentials][credentials].
///
/// [service]: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
/// [credentials]: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
pub fn metadata(role: &str, issued: Issued) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    let role = role.to_owned();
    move |asked| {
        let header = |name: &str| asked.headers.get(name).map_or("", String::as_str);
        match (asked.method.as_str(), asked.target.strip_prefix(CREDENTIALS)) {
            ("PUT", None) if asked.target == "/latest/api/token" => {
                let ttl = header("x-aws-ec2-metadata-token-ttl-seconds");
                if ttl.parse::<u32>().is_ok() {
                    Reply::new(200, "AQAEAE-session-token==")
                        .header("x-aws-ec2-metadata-token-ttl-seconds", ttl)
                } else {
                    Reply::new(400, "")
                }
            }
            _ if header("x-aws-ec2-metadata-token").is_empty() => Reply::new(401, ""),
            ("GET", Some("")) => Reply::new(200, role.clone()),
            ("GET", Some(name)) if name == role => Reply::new(200, document(&issued)),
            _ => Reply::new(404, ""),
        }
    }
}

fn document(issued: &Issued) -> String {
    let time = |time| humantime::format_rfc3339_seconds(time).to_string();
    json!({
        "Code": "Success",
        "LastUpdated": time(SystemTime::now()),
        "Type": "AWS-HMAC",
        "AccessKeyId": issued.access_key_id,
        "SecretAccessKey": issued.secret_access_key,
        "Token": issued.session_token,
        "Expiration": time(issued.expires),
    })
    .to_string()
}
