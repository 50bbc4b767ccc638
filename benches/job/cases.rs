//! The cases that all contenders take part in.

use std::time::Duration;

use serde::Serialize;

use crate::figures::{Figure, Unit, mebibytes, milliseconds};
use crate::measure::{self, Cost};
use crate::peers::{Peer, Programs, Task};
use crate::servers::{FIVE, LARGE, SMALL, Servers, Way};

/// A case: a task, and who does how many pictures of it.
pub struct Case {
    pub id: &'static str,
    pub title: &'static str,
    pub way: Way,
    pub picture: (&'static str, u64),
    /// How many pictures a contender takes that is one process for all of them.
    pub pictures: u32,
    pub at_once: u32,
    pub columns: &'static [Column],
    pub peers: &'static [Peer],
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    CpuPerPicture,
    PicturesPerSecond,
    PicturesPerCpuSecond,
    Cpu,
    Wall,
    Peak,
}

impl Column {
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuPerPicture => "CPU per picture",
            Self::PicturesPerSecond => "pictures a second",
            Self::PicturesPerCpuSecond => "pictures per second of CPU",
            Self::Cpu => "CPU",
            Self::Wall => "wall",
            Self::Peak => "peak RSS",
        }
    }

    pub const fn unit(self, picture: u64) -> Unit {
        match self {
            Self::PicturesPerSecond | Self::PicturesPerCpuSecond => Unit::PerSecond,
            // Seconds for the large picture alone.
            Self::Cpu | Self::Wall if picture == LARGE.1 => Unit::Seconds,
            Self::CpuPerPicture | Self::Cpu | Self::Wall => Unit::Milliseconds,
            Self::Peak => Unit::Mebibytes,
        }
    }

    fn of(self, cost: &Cost, task: Task) -> f64 {
        let pictures = f64::from(task.pictures);
        let time = |time| match self.unit(task.picture.1) {
            Unit::Seconds => milliseconds(time) / 1e3,
            _ => milliseconds(time),
        };
        match self {
            Self::CpuPerPicture => milliseconds(cost.cpu) / pictures,
            Self::PicturesPerSecond => pictures / cost.wall.as_secs_f64(),
            Self::PicturesPerCpuSecond => pictures / cost.cpu.as_secs_f64(),
            Self::Cpu => time(cost.cpu),
            Self::Wall => time(cost.wall),
            Self::Peak => mebibytes(cost.peak),
        }
    }
}

const ONE_BY_ONE: &[Column] = &[Column::CpuPerPicture, Column::PicturesPerSecond, Column::Peak];
const ONE: &[Column] = &[Column::Wall, Column::Cpu, Column::Peak];
const AT_ONCE: &[Column] = &[Column::PicturesPerCpuSecond, Column::PicturesPerSecond, Column::Peak];
const PROCESSES: &[Peer] = &[Peer::Ours, Peer::Boto3, Peer::Boto3Whole, Peer::Rclone];

/// The comparison.
pub const CASES: [Case; 9] = [
    Case {
        id: "pictures_plain",
        title: "200 KB pictures, one at a time, plain HTTP",
        way: Way::Plain,
        picture: SMALL,
        pictures: 1000,
        at_once: 1,
        columns: ONE_BY_ONE,
        peers: &Peer::ALL,
    },
    Case {
        id: "pictures_tls",
        title: "200 KB pictures, one at a time, TLS",
        way: Way::Tls,
        picture: SMALL,
        pictures: 1000,
        at_once: 1,
        columns: ONE_BY_ONE,
        peers: &Peer::ALL,
    },
    Case {
        id: "start_plain",
        title: "From the start to the first object, 200 KB, plain HTTP",
        way: Way::Plain,
        picture: SMALL,
        pictures: 1,
        at_once: 1,
        columns: ONE,
        peers: &Peer::ALL,
    },
    Case {
        id: "start_tls",
        title: "From the start to the first object, 200 KB, TLS",
        way: Way::Tls,
        picture: SMALL,
        pictures: 1,
        at_once: 1,
        columns: ONE,
        peers: &Peer::ALL,
    },
    Case {
        id: "at_once_plain",
        title: "200 KB pictures, 64 at a time, plain HTTP",
        way: Way::Plain,
        picture: SMALL,
        pictures: 1000,
        at_once: 64,
        columns: AT_ONCE,
        peers: PROCESSES,
    },
    Case {
        id: "at_once_tls",
        title: "200 KB pictures, 64 at a time, TLS",
        way: Way::Tls,
        picture: SMALL,
        pictures: 1000,
        at_once: 64,
        columns: AT_ONCE,
        peers: PROCESSES,
    },
    Case {
        id: "large_plain",
        title: "1 GiB of unknown length, plain HTTP",
        way: Way::Plain,
        picture: LARGE,
        pictures: 1,
        at_once: 1,
        columns: ONE,
        peers: &Peer::STREAMING,
    },
    Case {
        id: "large_tls",
        title: "1 GiB of unknown length, TLS",
        way: Way::Tls,
        picture: LARGE,
        pictures: 1,
        at_once: 1,
        columns: ONE,
        peers: &Peer::STREAMING,
    },
    Case {
        id: "slow",
        title: "5 MiB from an image host of 10 MB/s to an S3 of 10 MB/s",
        way: Way::Slow,
        picture: FIVE,
        pictures: 1,
        at_once: 1,
        columns: &[Column::Wall],
        peers: &Peer::STREAMING,
    },
];

/// A case's figures: for each contender one for each column.
#[derive(Serialize)]
pub struct Result {
    pub id: String,
    pub title: String,
    pub columns: Vec<(&'static str, Unit)>,
    /// Whether the rows are to be compared with the first.
    pub compares: bool,
    pub rows: Vec<(String, Vec<Figure>)>,
}

/// Measures a case: in each round each contender once, and the first is another in each round.
pub fn measure(case: &Case, rounds: usize, programs: &Programs, servers: &Servers) -> Result {
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); case.peers.len()];
    let task = |peer: Peer| {
        let pictures = match peer {
            // Half a second each.
            Peer::AwsCli => case.pictures.min(4),
            peer if peer.is_one_process() => case.pictures,
            _ => case.pictures.min(20),
        };
        Task {
            way: case.way,
            picture: case.picture,
            pictures,
            at_once: case.at_once,
            interval: Duration::ZERO,
        }
    };
    // The start is short and varies most.
    let rounds = if case.id.starts_with("start") { 2 * rounds } else { rounds };
    for round in 0..rounds {
        for turn in 0..case.peers.len() {
            let index = (round + turn) % case.peers.len();
            let (peer, task) = (case.peers[index], task(case.peers[index]));
            let command = programs.command(peer, task, servers);
            let cost =
                measure::run(&command).unwrap_or_else(|why| panic!("{}: {why}", peer.name()));
            let stored = servers.take(case.picture.1);
            assert_eq!(
                stored,
                task.pictures as usize,
                "objects of {}, {}",
                peer.name(),
                case.title
            );
            costs[index].push(cost);
        }
    }
    let rows = case.peers.iter().zip(&costs).map(|(peer, costs)| {
        let figure = |column: &Column| {
            Figure::of(costs.iter().map(|cost| column.of(cost, task(*peer)))).expect("a round")
        };
        (peer.name().to_owned(), case.columns.iter().map(figure).collect())
    });
    let unit = |column: &Column| (column.name(), column.unit(case.picture.1));
    Result {
        id: case.id.to_owned(),
        title: case.title.to_owned(),
        compares: true,
        rows: rows.collect(),
        columns: case.columns.iter().map(unit).collect(),
    }
}
