//! Which addresses an untrusted image host may lead to.
//!
//! A pod's credential endpoints (169.254.170.23, `fd00:ec2::23`, IMDS) and its cluster's services
//! are a redirect or a DNS answer away from any host on the internet. So names are checked on what
//! they resolve to, by the resolver whose answer is dialled, and literal addresses in URLs where
//! they appear.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Why an image host's address is refused.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct AddressRefused(String);

/// The class of address that an untrusted host may not use, or `None` for a public address.
///
/// The ranges are those of IANA's special-purpose address registries (RFC 6890) that are not
/// globally reachable. IPv6 forms that carry an IPv4 address are judged by it.
fn refused_class(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => refused_v4(v4),
        IpAddr::V6(v6) => embedded_v4(v6).map_or_else(|| refused_v6(v6), refused_v4),
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("unspecified"),
        [127, ..] => Some("loopback"),
        [169, 254, ..] => Some("link-local"),
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Some("private"),
        [100, 64..=127, ..] => Some("carrier-grade NAT"),
        [192, 0, 0, _] | [198, 18 | 19, ..] => Some("special-purpose"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("documentation"),
        [224..=239, ..] => Some("multicast"),
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xfec0..=0xfeff, ..] => Some("site-local"),
        // Unique local addresses, fd00:ec2::/32 (AWS's own endpoints) among them; and local-use
        // NAT64 (RFC 8215), which leads wherever the network likes.
        [0xfc00..=0xfdff, ..] | [0x64, 0xff9b, 1, ..] => Some("private"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        [0x100, 0, 0, 0, ..] => Some("discard-only"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("documentation"),
        _ => None,
    }
}

/// The IPv4 address inside a mapped (`::ffff:0:0/96`), compatible (`::/96`), NAT64
/// (`64:ff9b::/96`, RFC 6052) or 6to4 (`2002::/16`, RFC 3056) one.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

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
        match refused_class(address) {
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
    fn addresses_are_judged_by_range_and_by_what_they_embed() {
        let cases = [
            ("169.254.170.23", Some("link-local")),
            ("169.254.169.254", Some("link-local")),
            ("127.0.0.1", Some("loopback")),
            ("0.0.0.0", Some("unspecified")),
            ("10.1.2.3", Some("private")),
            ("172.16.0.1", Some("private")),
            ("172.31.255.255", Some("private")),
            ("192.168.1.1", Some("private")),
            ("100.64.0.1", Some("carrier-grade NAT")),
            ("100.127.255.255", Some("carrier-grade NAT")),
            ("198.18.0.1", Some("special-purpose")),
            ("224.0.0.1", Some("multicast")),
            ("255.255.255.255", Some("reserved")),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("fe80::1", Some("link-local")),
            ("fd00:ec2::23", Some("private")),
            ("fd00:ec2::254", Some("private")),
            ("fc00::1", Some("private")),
            ("ff02::1", Some("multicast")),
            ("::ffff:169.254.170.23", Some("link-local")),
            ("::ffff:10.0.0.1", Some("private")),
            ("::127.0.0.1", Some("loopback")),
            ("64:ff9b::a9fe:aa17", Some("link-local")),
            ("64:ff9b:1::1", Some("private")),
            ("2002:a9fe:aa17::1", Some("link-local")),
            ("1.1.1.1", None),
            ("172.32.0.1", None),
            ("100.128.0.1", None),
            ("11.0.0.1", None),
            ("2606:4700::1111", None),
            ("::ffff:8.8.8.8", None),
            ("64:ff9b::808:808", None),
        ];
        for (address, class) in cases {
            let parsed: IpAddr = address.parse().expect(address);
            assert_eq!(refused_class(parsed), class, "{address}");
        }
    }

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
