//! What concerns this program alone: several processes side by side, and its size.

use std::thread;
use std::time::Instant;

use crate::cases::{Column, Measured};
use crate::figures::{Figure, Unit, milliseconds};
use crate::measure;
use crate::peers::{Peer, Programs, Task};
use crate::servers::{SMALL, Servers, Way};

/// Pictures of one process.
const PICTURES: u32 = 500;

/// 1, 2, 4 and 8 processes at the same time, over TLS.
pub fn processes(rounds: usize, programs: &Programs, servers: &Servers) -> Measured {
    let counts = [1_u32, 2, 4, 8];
    let mut rates = vec![Vec::new(); counts.len()];
    let mut cpu = vec![Vec::new(); counts.len()];
    let task = Task::new(Way::Tls, SMALL, PICTURES);
    for _ in 0..rounds {
        for (index, &count) in counts.iter().enumerate() {
            let begun = Instant::now();
            let costs: Vec<_> = thread::scope(|scope| {
                let run = || measure::run(&programs.command(Peer::Ours, task, servers));
                let running: Vec<_> = (0..count).map(|_| scope.spawn(run)).collect();
                let costs = running.into_iter().map(|run| run.join().expect("no panic"));
                costs.map(|cost| cost.unwrap_or_else(|why| panic!("{why}"))).collect()
            });
            let pictures = count * PICTURES;
            rates[index].push(f64::from(pictures) / begun.elapsed().as_secs_f64());
            let total: f64 = costs.iter().map(|cost| milliseconds(cost.cpu)).sum();
            cpu[index].push(total / f64::from(pictures));
            servers.take(SMALL.1, pictures);
        }
    }
    let rows = counts.into_iter().zip(rates.into_iter().zip(cpu)).map(|(count, (rates, cpu))| {
        let name = if count == 1 { "1 process".to_owned() } else { format!("{count} processes") };
        (name, vec![Figure::of(rates), Figure::of(cpu)])
    });
    let columns = [Column::PicturesPerSecond, Column::CpuPerPicture];
    Measured {
        id: "processes".to_owned(),
        title: "200 KB pictures, one at a time in each process, TLS".to_owned(),
        columns: columns.map(|column| column.head(SMALL.1)).to_vec(),
        compares: true,
        rows: rows.collect(),
    }
}

/// The size of the binary.
pub fn size(programs: &Programs) -> Measured {
    let bytes = std::fs::metadata(&programs.ours).expect("the program").len();
    #[expect(clippy::cast_precision_loss, reason = "a program is smaller than 2^52 bytes")]
    let figure = Figure::of([bytes as f64 / 1e6]);
    Measured {
        id: "size".to_owned(),
        title: "The program's file".to_owned(),
        columns: vec![("size", Unit::Megabytes)],
        compares: false,
        rows: vec![("stripped binary".to_owned(), vec![figure])],
    }
}
