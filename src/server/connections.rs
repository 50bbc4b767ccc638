//! The open connections, and which of them is closed when there are too many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::AbortHandle;

/// Connections at the same time, without those that are streams of events, and streams. Most of the former
/// only wait for a request, and cost a few kilobytes.
const CONNECTIONS: usize = 2048;
const STREAMS: usize = 256;

/// A connection, of which there is a task.
#[derive(Debug)]
struct Connection {
    peer: Peer,
    task: AbortHandle,
    marks: Arc<Marks>,
}

/// What a connection's task says of it.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Whether it had its turn: what the client had sent by then has been read, and answered if that was
    /// a whole request.
    had_turn: AtomicBool,
    /// Whether it has become a stream of events.
    streams: AtomicBool,
}

/// Who is at the other end: an address, or of IPv6 the network of a host, which has many addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Peer(IpAddr);

/// The open connections, and those that have ended since the last look.
#[derive(Debug)]
pub(super) struct Connections {
    /// The oldest first.
    list: Vec<Connection>,
    /// How many there may be that are no streams.
    limit: usize,
    /// How many may be added before the next look.
    room: usize,
}

impl Marks {
    pub(super) fn had_turn(&self) {
        self.had_turn.store(true, Ordering::Relaxed);
    }

    pub(super) fn streams(&self) {
        self.streams.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stream(&self) -> bool {
        self.streams.load(Ordering::Relaxed)
    }
}

impl Peer {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl Connections {
    /// None yet. Streams, others and what else a process does share the `files` that it may open.
    pub(super) fn new(files: usize) -> Self {
        Self { list: Vec::new(), limit: CONNECTIONS.min(files / 2), room: 0 }
    }

    pub(super) fn add(&mut self, peer: IpAddr, task: AbortHandle, marks: Arc<Marks>) {
        self.list.push(Connection { peer: Peer::of(peer), task, marks });
        self.room = self.room.saturating_sub(1);
    }

    /// Makes room for one more connection. Returns whether there is some: no connection is closed before it
    /// had its turn.
    pub(super) fn make_room(&mut self) -> bool {
        if self.room == 0 {
            self.list.retain(|connection| !connection.task.is_finished());
            let streams = self.close_some(true, STREAMS, 1);
            // Several at once, because a look at all of them takes longer than one more.
            let others = self.close_some(false, self.limit, self.limit / 8);
            self.room = streams.min(others);
        }
        self.room > 0
    }

    /// Closes connections of one sort if there are as many as there may be, until there is `room`: the
    /// oldest of the peer that has the most, so that no peer takes all of the room. Returns how much room
    /// there is.
    fn close_some(&mut self, streams: bool, limit: usize, room: usize) -> usize {
        let of_this_sort = |each: &Connection| each.marks.is_stream() == streams;
        let mut counts = HashMap::new();
        let mut count = 0;
        for each in self.list.iter().filter(|each| of_this_sort(each)) {
            count += 1;
            *counts.entry(each.peer).or_insert(0_usize) += 1;
        }
        if count < limit {
            return limit - count;
        }
        let mut surplus = HashMap::<Peer, usize>::new();
        for _ in limit - room..count {
            if let Some((peer, most)) = counts.iter_mut().max_by_key(|(_, count)| **count) {
                *most -= 1;
                *surplus.entry(*peer).or_default() += 1;
            }
        }
        self.list.retain(|each| {
            let goes = of_this_sort(each) && each.marks.had_turn.load(Ordering::Relaxed);
            match surplus.get_mut(&each.peer).filter(|surplus| goes && **surplus > 0) {
                Some(surplus) => {
                    *surplus -= 1;
                    count -= 1;
                    each.task.abort();
                    false
                }
                None => true,
            }
        });
        limit.saturating_sub(count)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn none() -> Connections {
        Connections::new(1024)
    }

    const LIMIT: usize = 512;

    /// Opens a connection of this peer, and says whether there was room for it.
    fn open(connections: &mut Connections, peer: &str, had_turn: bool) -> bool {
        let room = connections.make_room();
        let marks = Arc::new(Marks::default());
        marks.had_turn.store(had_turn, Ordering::Relaxed);
        let task = tokio::spawn(pending::<()>()).abort_handle();
        connections.add(peer.parse().expect("an address"), task, marks);
        room
    }

    fn of(connections: &Connections, peer: &str) -> usize {
        let peer = Peer::of(peer.parse().expect("an address"));
        connections.list.iter().filter(|each| each.peer == peer).count()
    }

    #[tokio::test]
    async fn a_peer_with_many_connections_leaves_room_for_others() {
        let mut connections = none();
        assert!(open(&mut connections, "10.0.0.1", true));
        for _ in 0..4 * LIMIT {
            assert!(open(&mut connections, "10.0.0.2", true));
            assert!(connections.list.len() <= LIMIT);
        }
        assert_eq!(of(&connections, "10.0.0.1"), 1, "the one of another peer is still there");
        for number in 0..2 * LIMIT {
            assert!(open(&mut connections, "::ffff:10.0.0.1", true), "{number}");
            assert!(connections.list.len() <= LIMIT);
        }
        let other = of(&connections, "10.0.0.2");
        assert!(other >= LIMIT / 2 - LIMIT / 8, "each keeps its share: {other}");
    }

    #[tokio::test]
    async fn the_addresses_of_one_ipv6_network_are_one_peer() {
        let mut connections = none();
        assert!(open(&mut connections, "2001:db8:0:1::1", true));
        for number in 0..2 * LIMIT {
            assert!(open(&mut connections, &format!("2001:db8:0:2::{number:x}"), true));
        }
        assert_eq!(of(&connections, "2001:db8:0:1::1"), 1);
    }

    #[tokio::test]
    async fn none_is_closed_before_it_had_its_turn() {
        let mut connections = none();
        for _ in 0..LIMIT {
            assert!(open(&mut connections, "10.0.0.1", false));
        }
        assert!(!connections.make_room());
        assert_eq!(connections.list.len(), LIMIT);
        connections.list[7].marks.had_turn();
        assert!(connections.make_room());
        assert_eq!(connections.list.len(), LIMIT - 1);
    }

    #[tokio::test]
    async fn streams_are_counted_on_their_own() {
        let mut connections = none();
        for _ in 0..STREAMS {
            open(&mut connections, "10.0.0.1", true);
        }
        connections.list.iter().for_each(|each| each.marks.streams());
        let streams =
            |all: &Connections| all.list.iter().filter(|each| each.marks.is_stream()).count();
        for _ in 0..2 * LIMIT {
            assert!(open(&mut connections, "10.0.0.1", true));
        }
        assert_eq!(streams(&connections), STREAMS - 1);
        assert!(connections.list.len() < STREAMS + LIMIT);
    }
}
