//! A TCP connection as the kernel knows it.

use std::net::SocketAddr;

/// The addresses of a TCP connection: this machine's and the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends(pub(super) SocketAddr, pub(super) SocketAddr);

impl Ends {
    /// How many bytes of the connection the peer has not acknowledged yet, if the kernel says it. The
    /// buffer of a connection may have megabytes that a slow peer takes minutes for.
    #[cfg(target_os = "linux")]
    pub(super) fn unacknowledged(self) -> Option<u64> {
        let Self(local, remote) = self;
        let entries =
            if local.is_ipv4() { procfs::net::tcp() } else { procfs::net::tcp6() }.ok()?;
        let own = entries
            .into_iter()
            .find(|entry| (entry.local_address, entry.remote_address) == (local, remote));
        own.map(|entry| u64::from(entry.tx_queue))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn unacknowledged(self) -> Option<u64> {
        None
    }
}
