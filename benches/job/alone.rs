//! What concerns this program alone: many pictures at the same time, several processes side by side, and
//! its size.

use std::thread;
use std::time::Instant;

use crate::cases::{Column, Measured, figures};
use crate::figures::{Figure, Unit, milliseconds};
use crate::measure;
use crate::peers::{Peer, Programs, Task};
use crate::servers::{SMALL, Servers, Way};

/// Pictures of one process.
const PICTURES: u32 = 500;

/// One picture at a time and 64, on one core and on two, in turn. The servers may run on all cores.
pub fn cores(
    id: &str,
    way: Way,
    rounds: usize,
    programs: &Programs,
    servers: &Servers,
) -> Measured {
    let allowed = allowed_cores();
    let ways = [(1, "one at a time"), (64, "64 at a time")];
    let mut rows = Vec::new();
    for (count, on) in [(1, "one core"), (2, "two cores")] {
        let cores = allowed.get(..count).expect("two cores").join(",");
        rows.extend(ways.map(|(at_once, name)| (at_once, cores.clone(), format!("{name}, {on}"))));
    }
    let task = |at_once| Task { at_once, ..Task::new(way, SMALL, 2 * PICTURES) };
    let mut costs = vec![Vec::new(); rows.len()];
    for round in 0..rounds {
        for turn in 0..rows.len() {
            let index = (round + turn) % rows.len();
            let (at_once, cores, _) = &rows[index];
            let command = programs.command(Peer::Ours, task(*at_once), servers);
            let cost = measure::run(&measure::on_cores(cores, &command));
            costs[index].push(cost.unwrap_or_else(|why| panic!("{why}")));
            servers.take(SMALL.1, 2 * PICTURES);
        }
    }
    let columns = [Column::PicturesPerCpuSecond, Column::PicturesPerSecond];
    let name = if way == Way::Tls { "TLS" } else { "plain HTTP" };
    let rows = rows.into_iter().zip(&costs);
    let rows =
        rows.map(|((at_once, _, name), costs)| (name, figures(&columns, costs, task(at_once))));
    Measured {
        id: id.to_owned(),
        title: format!("200 KB pictures, this program on one core and on two, {name}"),
        columns: columns.map(|column| column.head(SMALL.1)).to_vec(),
        compares: true,
        rows: rows.collect(),
    }
}

/// The cores that this process may run on, by their numbers.
fn allowed_cores() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux's /proc");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    // Such as 0-3,6.
    let ranges = list.expect("a list").trim().split(',').map(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<usize>().expect("a number");
        number(from)..=number(to)
    });
    ranges.flatten().map(|core| core.to_string()).collect()
}

/// 1, 2, 4 and 8 processes at the same time, over TLS, and how many cores they and the servers keep busy.
pub fn processes(rounds: usize, programs: &Programs, servers: &Servers) -> Measured {
    let counts = [1_u32, 2, 4, 8];
    let mut runs = counts.map(|_| [vec![], vec![], vec![]]);
    let task = Task::new(Way::Tls, SMALL, PICTURES);
    for _ in 0..rounds {
        for (&count, [rates, cpu, busy]) in counts.iter().zip(&mut runs) {
            let (begun, before) = (Instant::now(), measure::busy());
            let costs: Vec<_> = thread::scope(|scope| {
                let run = || measure::run(&programs.command(Peer::Ours, task, servers));
                let running: Vec<_> = (0..count).map(|_| scope.spawn(run)).collect();
                let costs = running.into_iter().map(|run| run.join().expect("no panic"));
                costs.map(|cost| cost.unwrap_or_else(|why| panic!("{why}"))).collect()
            });
            let (wall, now) = (begun.elapsed(), measure::busy());
            let pictures = count * PICTURES;
            rates.push(f64::from(pictures) / wall.as_secs_f64());
            let total: f64 = costs.iter().map(|cost| milliseconds(cost.cpu)).sum();
            cpu.push(total / f64::from(pictures));
            busy.push(now.saturating_sub(before).as_secs_f64() / wall.as_secs_f64());
            servers.take(SMALL.1, pictures);
        }
    }
    let rows = counts.into_iter().zip(runs).map(|(count, runs)| {
        let name = if count == 1 { "1 process".to_owned() } else { format!("{count} processes") };
        (name, runs.map(Figure::of).to_vec())
    });
    let [rate, cpu] = [Column::PicturesPerSecond, Column::CpuPerPicture];
    let columns = [rate, cpu].map(|column| column.head(SMALL.1)).into_iter();
    Measured {
        id: "processes".to_owned(),
        title: "200 KB pictures, one at a time in each process, TLS".to_owned(),
        columns: columns.chain([("busy cores, servers included", Unit::Cores)]).collect(),
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
