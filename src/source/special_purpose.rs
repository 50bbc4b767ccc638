//! Addresses that lead to no host on the internet: IANA's special-purpose address registries.
//!
//! The tables have every row of both registries as of 2026-07-18, multicast beside them, and whether the
//! registry calls a block globally reachable. To bring them up to date, compare them with
//! <https://www.iana.org/assignments/iana-ipv4-special-registry/iana-ipv4-special-registry-1.csv> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry/iana-ipv6-special-registry-1.csv>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses: the first one, how many of its bits the others share, and what they are if they
/// are not globally reachable.
type Block<A> = (A, u32, Option<&'static str>);

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

const fn v6(a: u16, b: u16, c: u16, d: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)
}

const IPV4: [Block<Ipv4Addr>; 27] = [
    (v4(0, 0, 0, 0), 8, Some("unspecified")),  // "This network"
    (v4(0, 0, 0, 0), 32, Some("unspecified")), // "This host on this network"
    (v4(10, 0, 0, 0), 8, Some("private")),
    (v4(100, 64, 0, 0), 10, Some("carrier-grade NAT")), // Shared Address Space
    (v4(127, 0, 0, 0), 8, Some("loopback")),
    (v4(169, 254, 0, 0), 16, Some("link-local")),
    (v4(172, 16, 0, 0), 12, Some("private")),
    (v4(192, 0, 0, 0), 24, Some("special-purpose")), // IETF Protocol Assignments
    (v4(192, 0, 0, 0), 29, Some("special-purpose")), // IPv4 Service Continuity Prefix
    (v4(192, 0, 0, 8), 32, Some("special-purpose")), // IPv4 dummy address
    (v4(192, 0, 0, 9), 32, None),                    // Port Control Protocol Anycast
    (v4(192, 0, 0, 10), 32, None),                   // Traversal Using Relays around NAT Anycast
    (v4(192, 0, 0, 170), 32, Some("special-purpose")), // NAT64/DNS64 Discovery
    (v4(192, 0, 0, 171), 32, Some("special-purpose")), // NAT64/DNS64 Discovery
    (v4(192, 0, 2, 0), 24, Some("documentation")),
    (v4(192, 31, 196, 0), 24, None),                   // AS112-v4
    (v4(192, 52, 193, 0), 24, None),                   // AMT
    (v4(192, 88, 99, 0), 24, Some("special-purpose")), // Deprecated (6to4 Relay Anycast)
    (v4(192, 88, 99, 2), 32, Some("special-purpose")), // 6a44-relay anycast address
    (v4(192, 168, 0, 0), 16, Some("private")),
    (v4(192, 175, 48, 0), 24, None), // Direct Delegation AS112 Service
    (v4(198, 18, 0, 0), 15, Some("special-purpose")), // Benchmarking
    (v4(198, 51, 100, 0), 24, Some("documentation")),
    (v4(203, 0, 113, 0), 24, Some("documentation")),
    (v4(224, 0, 0, 0), 4, Some("multicast")), // of a registry of its own
    (v4(240, 0, 0, 0), 4, Some("reserved")),
    (v4(255, 255, 255, 255), 32, Some("reserved")), // Limited Broadcast
];

const IPV6: [Block<Ipv6Addr>; 29] = [
    // Only addresses of this block are allocated to hosts: RFC 4291, and the registry of the address space.
    (v6(0, 0, 0, 0), 0, Some("reserved")),
    (v6(0x2000, 0, 0, 0), 3, None),
    (Ipv6Addr::LOCALHOST, 128, Some("loopback")),
    (Ipv6Addr::UNSPECIFIED, 128, Some("unspecified")),
    // It and the next one are what the IPv4 address in them is.
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, None), // IPv4-mapped Address
    (v6(0x64, 0xff9b, 0, 0), 96, None),                     // IPv4-IPv6 Translat.
    (v6(0x64, 0xff9b, 1, 0), 48, Some("private")),          // the same for local use
    (v6(0x100, 0, 0, 0), 64, Some("discard-only")),
    (v6(0x100, 0, 0, 1), 64, Some("special-purpose")), // Dummy IPv6 Prefix
    (v6(0x2001, 0, 0, 0), 23, Some("special-purpose")), // IETF Protocol Assignments
    (v6(0x2001, 0, 0, 0), 32, Some("Teredo")),
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 1), 128, None), // Port Control Protocol Anycast
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 2), 128, None), // Traversal Using Relays around NAT Anycast
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 3), 128, None), // DNS-SD Service Registration Anycast
    (v6(0x2001, 2, 0, 0), 48, Some("special-purpose")),      // Benchmarking
    (v6(0x2001, 3, 0, 0), 32, None),                         // AMT
    (v6(0x2001, 4, 0x112, 0), 48, None),                     // AS112-v6
    (v6(0x2001, 0x10, 0, 0), 28, Some("special-purpose")),   // Deprecated (previously ORCHID)
    (v6(0x2001, 0x20, 0, 0), 28, None),                      // ORCHIDv2
    (v6(0x2001, 0x30, 0, 0), 28, None),                      // Drone Remote ID Protocol Entity Tags
    (v6(0x2001, 0xdb8, 0, 0), 32, Some("documentation")),
    (v6(0x2002, 0, 0, 0), 16, None), // 6to4: it is what the IPv4 address in it is
    (v6(0x2620, 0x4f, 0x8000, 0), 48, None), // Direct Delegation AS112 Service
    (v6(0x3fff, 0, 0, 0), 20, Some("documentation")),
    (v6(0x5f00, 0, 0, 0), 16, Some("special-purpose")), // Segment Routing (SRv6) SIDs
    // AWS's own endpoints among them: fd00:ec2::/32.
    (v6(0xfc00, 0, 0, 0), 7, Some("private")), // Unique-Local
    (v6(0xfe80, 0, 0, 0), 10, Some("link-local")),
    (v6(0xfec0, 0, 0, 0), 10, Some("site-local")), // not in the registry: RFC 3879
    (v6(0xff00, 0, 0, 0), 8, Some("multicast")),   // of a registry of its own
];

/// What an address is that is not globally reachable, or `None`. An IPv6 address that has IPv4 addresses in
/// it is also what these are.
pub(super) fn special_purpose(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => {
            embedded(address).into_iter().flatten().find_map(of_v4).or_else(|| of_v6(address))
        }
    }
}

fn of_v4(address: Ipv4Addr) -> Option<&'static str> {
    let has = |(first, length, _): &&Block<Ipv4Addr>| {
        let differing = address.to_bits() ^ first.to_bits();
        differing.leading_zeros() >= *length
    };
    IPV4.iter().filter(has).max_by_key(|(_, length, _)| length)?.2
}

fn of_v6(address: Ipv6Addr) -> Option<&'static str> {
    let has = |(first, length, _): &&Block<Ipv6Addr>| {
        let differing = address.to_bits() ^ first.to_bits();
        differing.leading_zeros() >= *length
    };
    IPV6.iter().filter(has).max_by_key(|(_, length, _)| length)?.2
}

/// The IPv4 addresses in an IPv6 one.
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let join = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    let segments = address.segments();
    let in_prefix = match segments {
        // 6to4 (RFC 3056, section 2), and the server of Teredo (RFC 4380, section 4).
        [0x2002, high, low, ..] | [0x2001, 0, high, low, ..] => Some(join(high, low)),
        // RFC 6052, section 2.2: a prefix of 48 bits has 16 bits of the address on each side of the bits 64
        // to 71.
        [0x64, 0xff9b, 1, high, low, lowest, ..] => Some(join(high, (low << 8) | (lowest >> 8))),
        _ => None,
    };
    let at_end = match segments {
        // The unspecified and the loopback address look like IPv4-compatible ones.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // IPv4-compatible and IPv4-mapped (RFC 4291, section 2.5.5), IPv4-translated (RFC 2765, section
        // 2.1), and NAT64 (RFC 6052, section 2.1; RFC 8215).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0 | 1, 0, 0, 0, high, low] => Some(join(high, low)),
        // The client of Teredo, whose bits are inverted.
        [0x2001, 0, _, _, _, _, high, low] => Some(join(!high, !low)),
        _ => None,
    };
    let in_interface = match segments {
        // ISATAP (RFC 5214, section 6.1), in any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(join(high, low)),
        _ => None,
    };
    [in_prefix, at_end, in_interface]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(address: &str) -> Option<&'static str> {
        special_purpose(address.parse().expect(address))
    }

    /// Both registries as they were published, each block with whether it is globally reachable: no for all
    /// that are not called so.
    const REGISTRIES: &str = "
        0.0.0.0/8 no, 0.0.0.0/32 no, 10.0.0.0/8 no, 100.64.0.0/10 no, 127.0.0.0/8 no, 169.254.0.0/16 no,
        172.16.0.0/12 no, 192.0.0.0/24 no, 192.0.0.0/29 no, 192.0.0.8/32 no, 192.0.0.9/32 yes,
        192.0.0.10/32 yes, 192.0.0.170/32 no, 192.0.0.171/32 no, 192.0.2.0/24 no, 192.31.196.0/24 yes,
        192.52.193.0/24 yes, 192.88.99.0/24 no, 192.88.99.2/32 no, 192.168.0.0/16 no, 192.175.48.0/24 yes,
        198.18.0.0/15 no, 198.51.100.0/24 no, 203.0.113.0/24 no, 240.0.0.0/4 no, 255.255.255.255/32 no,
        ::1/128 no, ::/128 no, 64:ff9b:1::/48 no, 100::/64 no, 100:0:0:1::/64 no, 2001::/23 no, 2001::/32 no,
        2001:1::1/128 yes, 2001:1::2/128 yes, 2001:1::3/128 yes, 2001:2::/48 no, 2001:3::/32 yes,
        2001:4:112::/48 yes, 2001:10::/28 no, 2001:20::/28 yes, 2001:30::/28 yes, 2001:db8::/32 no,
        2620:4f:8000::/48 yes, 3fff::/20 no, 5f00::/16 no, fc00::/7 no, fe80::/10 no,
        224.0.0.0/4 no, ff00::/8 no, fec0::/10 no";

    /// The first and the last address of a block, and those before and after it.
    fn edges(block: &str) -> [Option<IpAddr>; 4] {
        let (first, length) = block.split_once('/').expect(block);
        let length: u32 = length.parse().expect(block);
        match first.parse().expect(block) {
            IpAddr::V4(first) => {
                let first = first.to_bits();
                let last = first | u32::MAX.checked_shr(length).unwrap_or(0);
                [first.checked_sub(1), Some(first), Some(last), last.checked_add(1)]
                    .map(|bits| bits.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))))
            }
            IpAddr::V6(first) => {
                let first = first.to_bits();
                let last = first | u128::MAX.checked_shr(length).unwrap_or(0);
                [first.checked_sub(1), Some(first), Some(last), last.checked_add(1)]
                    .map(|bits| bits.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))))
            }
        }
    }

    fn blocks() -> impl Iterator<Item = (&'static str, bool)> {
        REGISTRIES.split(',').map(|row| {
            let (block, reachable) = row.trim().split_once(' ').expect(row);
            (block, reachable == "yes")
        })
    }

    /// How many bits the smallest block has in common that has the address, and whether it is reachable.
    fn smallest(address: IpAddr) -> Option<(u32, bool)> {
        let has = |block: &str| {
            let [_, Some(first), Some(last), _] = edges(block) else { return false };
            first.is_ipv4() == address.is_ipv4() && (first..=last).contains(&address)
        };
        let length = |block: &str| block.split_once('/')?.1.parse().ok();
        blocks()
            .filter(|(block, _)| has(block))
            .filter_map(|(block, reachable)| Some((length(block)?, reachable)))
            .max()
    }

    #[test]
    fn each_block_of_the_registries_is_judged_to_its_edges() {
        let mut judged = 0;
        for (block, _) in blocks() {
            for address in edges(block).into_iter().flatten() {
                let of_hosts = match address {
                    IpAddr::V4(_) => true,
                    IpAddr::V6(address) => address.segments()[0] >> 13 == 1,
                };
                let expected = smallest(address).map_or(of_hosts, |(_, reachable)| reachable);
                // Of these the IPv4 address in them decides.
                let is_embedding =
                    matches!(address, IpAddr::V6(v6) if embedded(v6).iter().any(Option::is_some));
                if !is_embedding || !expected {
                    assert_eq!(
                        special_purpose(address).is_none(),
                        expected,
                        "{address} of {block}"
                    );
                    judged += 1;
                }
            }
        }
        assert!(judged > 180, "{judged}");
    }

    #[test]
    fn the_names_of_classes_are_those_that_people_know() {
        for (address, class_of_it) in [
            ("169.254.170.23", "link-local"),
            ("169.254.169.254", "link-local"),
            ("127.0.0.1", "loopback"),
            ("0.0.0.0", "unspecified"),
            ("172.31.255.255", "private"),
            ("100.127.255.255", "carrier-grade NAT"),
            ("198.18.0.1", "special-purpose"),
            ("192.88.99.1", "special-purpose"),
            ("239.255.255.255", "multicast"),
            ("255.255.255.255", "reserved"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("fe80::1", "link-local"),
            ("fd00:ec2::23", "private"),
            ("fd00:ec2::254", "private"),
            ("ff02::1", "multicast"),
            ("2001:0:808:808::f7f7:f7f7", "Teredo"),
            ("4000::1", "reserved"),
        ] {
            assert_eq!(class(address), Some(class_of_it), "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_is_judged_in_whichever_form_it_is_embedded() {
        let forms: [fn(u16, u16) -> Ipv6Addr; 9] = [
            |high, low| Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            |high, low| Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            |high, low| Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            |high, low| Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            |high, low| Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            |high, low| Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0x5efe, high, low),
            |high, low| Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0x200, 0x5efe, high, low),
            |high, low| Ipv6Addr::new(0x2001, 0, 0x808, 0x808, 0, 0, !high, !low),
            |high, low| Ipv6Addr::new(0x64, 0xff9b, 1, high, low >> 8, low << 8, 0, 0),
        ];
        for (v4, class) in [
            ("169.254.170.23", "link-local"),
            ("10.0.0.1", "private"),
            ("127.0.0.1", "loopback"),
            ("100.64.0.1", "carrier-grade NAT"),
        ] {
            let [a, b, c, d] = v4.parse::<Ipv4Addr>().expect(v4).octets().map(u16::from);
            for form in forms {
                let address = form((a << 8) | b, (c << 8) | d);
                assert_eq!(special_purpose(IpAddr::V6(address)), Some(class), "{v4} in {address}");
            }
        }
        for public in [
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2606:4700::5efe:808:808",
            "2606:4700::1111",
        ] {
            assert_eq!(class(public), None, "{public}");
        }
    }
}
