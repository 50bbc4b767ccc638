//! Which addresses an untrusted image host may lead to.
//!
//! A pod's credential endpoints (169.254.170.23, `fd00:ec2::23`, IMDS) and its cluster's services
//! are a redirect or a DNS answer away from any host on the internet. So names are checked on what
//! they resolve to, by the resolver whose answer is dialled, and literal addresses in URLs where
//! they appear.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::special_purpose::special_purpose;

/// Why an image host's address is refused.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct AddressRefused(String);

/// Checks URLs and DNS answers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AddressGuard {
    allow_private: bool,
    /// The hosts of the environment's proxies. The operator chose them, so they may have any
    /// address; an image URL must not name them, because they would bypass the check.
    proxies: Arc<HashSet<String>>,
}

impl AddressGuard {
    /// Reads the environment's proxies. `allow_private` switches the check off.
    pub(crate) fn new(allow_private: bool) -> Self {
        let proxies = ["http_proxy", "https_proxy", "all_proxy"]
            .iter()
            .flat_map(|name| [(*name).to_owned(), name.to_uppercase()])
            .filter_map(|name| std::env::var(name).ok())
            .filter_map(|value| proxy_host(&value))
            .collect();
        Self { allow_private, proxies: Arc::new(proxies) }
    }

    /// Checks what a URL shows before its name is resolved: literal addresses, and the names of the
    /// environment's proxies.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), AddressRefused> {
        let (host, address) = match url.host() {
            Some(Host::Ipv4(v4)) => (v4.to_string(), IpAddr::V4(v4)),
            Some(Host::Ipv6(v6)) => (v6.to_string(), IpAddr::V6(v6)),
            Some(Host::Domain(name)) if self.proxies.contains(name) && !self.allow_private => {
                let why = format!("{name} is this environment's proxy, not an image host");
                return Err(AddressRefused(why));
            }
            _ => return Ok(()),
        };
        self.check_address(&host, address)
    }

    fn check_address(&self, host: &str, address: IpAddr) -> Result<(), AddressRefused> {
        match special_purpose(address) {
            Some(class) if !self.allow_private => Err(AddressRefused(format!(
                "{host} is {address}, a {class} address (--allow-private-source permits such hosts)"
            ))),
            _ => Ok(()),
        }
    }
}

/// The system's resolver, without the names that the guard refuses. One refused address is enough:
/// an answer that mixes public and private addresses is an attack or a mistake.
impl Resolve for AddressGuard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            if !guard.proxies.contains(host) {
                for socket in &found {
                    guard.check_address(host, socket.ip())?;
                }
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The host of a proxy variable's value, which may lack the scheme.
fn proxy_host(value: &str) -> Option<String> {
    let url = Url::parse(value)
        .ok()
        .filter(Url::has_host)
        .or_else(|| Url::parse(&format!("http://{value}")).ok())?;
    url.host_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_addresses_are_refused_however_they_are_written() {
        let guard = AddressGuard { allow_private: false, proxies: Arc::default() };
        for url in [
            "http://169.254.170.23/v1/credentials",
            "http://0xa9feaa17/",
            "http://2852039191/",
            "http://0251.0376.0252.0027/",
            "http://[fd00:ec2::23]/",
            "http://[::ffff:169.254.170.23]/",
            "http://[::ffff:0:a9fe:aa17]/",
            "http://[64:ff9b::169.254.170.23]/",
            "http://[2606:4700::5efe:169.254.170.23]/",
            "http://[2001:0:808:808::5601:55e8]/",
            "http://[5f00::1]/",
            "http://192.88.99.1/",
        ] {
            let url = Url::parse(url).expect(url);
            assert!(guard.check_url(&url).is_err(), "{url}");
        }
        let public = Url::parse("https://picsum.photos/1920/1080").expect("a URL");
        assert!(guard.check_url(&public).is_ok());
    }

    #[test]
    fn a_proxy_may_be_dialled_but_is_no_image_host() {
        assert_eq!(proxy_host("http://user:word@proxy.corp:3128"), Some("proxy.corp".to_owned()));
        assert_eq!(proxy_host("proxy.corp:3128"), Some("proxy.corp".to_owned()));
        let guard = AddressGuard {
            allow_private: false,
            proxies: Arc::new(HashSet::from(["proxy.corp".to_owned()])),
        };
        let url = Url::parse("http://proxy.corp:9090/metrics").expect("a URL");
        assert!(guard.check_url(&url).is_err());
    }
}
