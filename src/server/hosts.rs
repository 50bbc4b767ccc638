//! The host names under which browsers may read what is served.
//!
//! A web site can make its own name resolve to this address, and then its scripts may read what is
//! served here, unless the server looks at the name in the request: DNS rebinding. No web site has
//! the name `localhost`, and none is called by an IP address that it does not have.

use hyper::Request;
use hyper::header::HOST;
use hyper::http::uri::Authority;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The host names that browsers may use, besides `localhost` and IP addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts(pub(crate) Vec<String>);

impl Hosts {
    /// Whether a request names a host that only this server can have.
    pub(super) fn allow<B>(&self, request: &Request<B>) -> bool {
        let mut named = request.headers().get_all(HOST).iter();
        let header = match (named.next(), named.next()) {
            (Some(name), None) => {
                name.to_str().ok().and_then(|name| name.parse::<Authority>().ok())
            }
            _ => None,
        };
        // The target overrides the header, where it has a host (RFC 9112, section 3.2.2).
        let target = request.uri().authority().cloned();
        header.is_some_and(|header| self.allow_name(target.as_ref().unwrap_or(&header).host()))
    }

    fn allow_name(&self, name: &str) -> bool {
        let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_address = match bracketed {
            Some(name) => name.parse::<Ipv6Addr>().is_ok(),
            None => name.parse::<Ipv4Addr>().is_ok(),
        };
        is_address
            || name.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(target: &str, hosts: &[&str]) -> bool {
        let mut request = Request::get(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let request = request.body(()).expect("a request");
        Hosts(vec!["demo.example.com".to_owned()]).allow(&request)
    }

    #[test]
    fn addresses_localhost_and_the_given_names_are_allowed() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "10.1.2.3:8080",
            "[::1]:8080",
            "[fd00::1]",
            "localhost:8080",
            "LocalHost",
            "demo.example.com",
            "Demo.Example.COM:443",
        ] {
            assert!(allowed("/", &[host]), "{host}");
        }
    }

    #[test]
    fn every_other_name_is_refused() {
        for host in [
            "attacker.example",
            "attacker.example:8080",
            "localhost.attacker.example",
            "127.0.0.1.attacker.example",
            "demo.example.com.attacker.example",
            "2130706433",
            "user@attacker.example",
            "",
            "local host",
        ] {
            assert!(!allowed("/", &[host]), "{host}");
        }
        assert!(!allowed("/", &[]), "without a host");
        assert!(!allowed("/", &["localhost", "attacker.example"]), "with two hosts");
        assert!(!allowed("http://attacker.example/", &["localhost"]), "the target counts");
        assert!(allowed("http://localhost:8080/", &["localhost:8080"]));
    }
}
