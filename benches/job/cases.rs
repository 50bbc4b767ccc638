//! The cases that all contenders take part in.

use serde::Serialize;

use crate::figures::{Figure, Unit, mebibytes, milliseconds};
use crate::measure::{self, Cost};
use crate::peers::{Peer, Programs, Task};
use crate::servers::{FIVE, LARGE, SMALL, Servers, Way};

/// A case: a task, and who does it.
pub struct Case {
    pub id: String,
    pub title: String,
    /// For a contender that is one process for all pictures.
    pub task: Task,
    pub columns: &'static [Column],
    pub peers: &'static [Peer],
}

/// What is measured.
#[derive(Clone, Copy)]
pub enum Column {
    CpuPerPicture,
    PicturesPerSecond,
    PicturesPerCpuSecond,
    Cpu,
    Wall,
    Peak,
}

impl Column {
    /// The head of the column in a case with this picture.
    pub fn head(self, picture: u64) -> Head {
        (self.name(), self.unit(picture))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::CpuPerPicture => "CPU per picture",
            Self::PicturesPerSecond => "pictures a second",
            Self::PicturesPerCpuSecond => "pictures per second of CPU",
            Self::Cpu => "CPU",
            Self::Wall => "wall",
            Self::Peak => "peak RSS",
        }
    }

    const fn unit(self, picture: u64) -> Unit {
        match self {
            Self::PicturesPerSecond | Self::PicturesPerCpuSecond => Unit::PerSecond,
            // Seconds for the large picture alone.
            Self::Cpu | Self::Wall if picture == LARGE.1 => Unit::Seconds,
            Self::CpuPerPicture | Self::Cpu | Self::Wall => Unit::Milliseconds,
            Self::Peak => Unit::Mebibytes,
        }
    }

    pub fn of(self, cost: &Cost, task: Task) -> f64 {
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
pub fn all() -> Vec<Case> {
    let both = [(Way::Plain, "plain", "plain HTTP"), (Way::Tls, "tls", "TLS")];
    let mut cases = Vec::new();
    for (id, title, task, columns, peers) in [
        (
            "pictures",
            "200 KB pictures, one at a time",
            Task::new(Way::Plain, SMALL, 1000),
            ONE_BY_ONE,
            &Peer::ALL as &[_],
        ),
        (
            "start",
            "From the start to the first object, 200 KB",
            Task::new(Way::Plain, SMALL, 1),
            ONE,
            &Peer::ALL,
        ),
        (
            "at_once",
            "200 KB pictures, 64 at a time",
            Task { at_once: 64, ..Task::new(Way::Plain, SMALL, 1000) },
            AT_ONCE,
            PROCESSES,
        ),
        (
            "large",
            "1 GiB of unknown length",
            Task::new(Way::Plain, LARGE, 1),
            ONE,
            &Peer::STREAMING,
        ),
    ] {
        cases.extend(both.map(|(way, suffix, name)| Case {
            id: format!("{id}_{suffix}"),
            title: format!("{title}, {name}"),
            task: Task { way, ..task },
            columns,
            peers,
        }));
    }
    cases.push(Case {
        id: "slow".to_owned(),
        title: "5 MiB from an image host of 10 MB/s to an S3 of 10 MB/s".to_owned(),
        task: Task::new(Way::Slow, FIVE, 1),
        columns: &[Column::Wall],
        peers: &Peer::BOTH_WAYS,
    });
    cases
}

/// The head of a column: what it has, and its unit.
pub type Head = (&'static str, Unit);

/// A case's figures: for each contender one for each column.
#[derive(Serialize)]
pub struct Measured {
    pub id: String,
    pub title: String,
    pub columns: Vec<Head>,
    /// Whether the rows are to be compared with the first.
    pub compares: bool,
    pub rows: Vec<(String, Vec<Figure>)>,
}

/// Measures a case: in each round each contender once, and the first is another in each round.
pub fn measure(case: &Case, rounds: usize, programs: &Programs, servers: &Servers) -> Measured {
    let peers = programs.contenders(case.peers);
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); peers.len()];
    let task = |peer: Peer| {
        let pictures = match peer {
            // Half a second each.
            Peer::AwsCli => case.task.pictures.min(4),
            peer if peer.is_one_process() => case.task.pictures,
            _ => case.task.pictures.min(20),
        };
        Task { pictures, ..case.task }
    };
    // The start is short and varies most.
    let rounds = if case.id.starts_with("start") { 2 * rounds } else { rounds };
    for round in 0..rounds {
        for turn in 0..peers.len() {
            let index = (round + turn) % peers.len();
            let (peer, task) = (peers[index], task(peers[index]));
            let cost = measure::run(&programs.command(peer, task, servers));
            let cost = cost.unwrap_or_else(|why| panic!("{}: {why}", peer.name()));
            servers.take(task.picture.1, peer.objects(task.pictures));
            costs[index].push(cost);
        }
    }
    let rows = peers
        .iter()
        .zip(&costs)
        .map(|(peer, costs)| (peer.name().to_owned(), figures(case.columns, costs, task(*peer))));
    Measured {
        id: case.id.clone(),
        title: case.title.clone(),
        columns: case.columns.iter().map(|column| column.head(case.task.picture.1)).collect(),
        compares: true,
        rows: rows.collect(),
    }
}

/// A figure for each column, of the runs of one task.
pub fn figures(columns: &[Column], costs: &[Cost], task: Task) -> Vec<Figure> {
    let figure = |column: &Column| Figure::of(costs.iter().map(|cost| column.of(cost, task)));
    columns.iter().map(figure).collect()
}
