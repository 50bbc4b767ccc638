//! What the AWS SDK and the TLS library read from the environment themselves, checked at the start like
//! the program's own settings.

use std::env;
use std::fs::File;
use std::io;

use aws_types::region::Region;

use super::problems::Problems;
use crate::aws;

/// The keys and tokens in the environment that a header of a request carries.
const SENT: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

/// Notes keys and tokens that no request can carry (at some of them the SDK panics), endpoints and
/// proxies that are no URLs, and certificates that cannot be read.
pub(crate) fn check_environment(problems: &mut Problems) {
    for name in SENT {
        let value = env::var(name).unwrap_or_default();
        let is_blank = value.trim_matches(' ').is_empty();
        if !is_blank && !value.chars().all(|c| c.is_ascii_graphic()) {
            let why = "has a line break, a blank or another character that cannot be sent: set it \
                       again, without its value's surroundings";
            problems.0.push(format!("{name}: {why}"));
        }
    }
    problems.0.extend(aws::unusable_endpoints().iter().map(ToString::to_string));
    for name in aws::unusable_proxies() {
        let why =
            "not the URL of a proxy such as http://proxy.example.com:3128: correct it, or unset it";
        problems.0.push(format!("{name}: {why}"));
    }
    problems.note("SSL_CERT_FILE", certificate_file());
    problems.note("SSL_CERT_DIR", certificate_folder());
}

/// What `SSL_CERT_FILE` names takes the place of the system's certificates, even if it cannot be read.
fn certificate_file() -> Result<(), String> {
    let Some(file) = env::var_os("SSL_CERT_FILE") else { return Ok(()) };
    let shown = file.to_string_lossy();
    let unusable =
        |why: &str| format!("{shown:?}: {why}: give a file of certificates in PEM, or unset it");
    let opened = File::open(&file).and_then(|opened| opened.metadata());
    match opened {
        Err(error) => Err(unusable(&error.to_string())),
        Ok(about) if about.is_dir() => {
            Err(unusable(&io::Error::from(io::ErrorKind::IsADirectory).to_string()))
        }
        Ok(_) if env::var_os("SSL_CERT_DIR").is_none() && !aws::has_certificates() => {
            Err(unusable("it has no certificate"))
        }
        Ok(_) => Ok(()),
    }
}

fn certificate_folder() -> Result<(), String> {
    match env::var_os("SSL_CERT_DIR") {
        Some(folders) if env::var_os("SSL_CERT_FILE").is_none() && !aws::has_certificates() => {
            let shown = folders.to_string_lossy();
            Err(format!(
                "{shown:?}: no certificate can be read there: give a folder of them, or unset it"
            ))
        }
        _ => Ok(()),
    }
}

pub(crate) fn region_name(region: Option<Region>) -> Result<String, String> {
    let region = region.map(|region| region.as_ref().to_owned()).filter(|name| !name.is_empty());
    let region = region.ok_or_else(|| {
        "not set, and the profile has none: set it to the bucket's region".to_owned()
    })?;
    check_region(&region).map(|()| region)
}

/// Anything else than a region's name makes no host name; the SDK panics at some of it.
fn check_region(name: &str) -> Result<(), String> {
    if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        Ok(())
    } else {
        Err(format!("{name:?} is not the name of a region, such as eu-west-1"))
    }
}
