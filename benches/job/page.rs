//! What the page costs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::cases::{Column, Measured, figures};
use crate::figures::{Figure, Unit, mebibytes, milliseconds};
use crate::job::Job;
use crate::measure::{self, Watch};
use crate::peers::{Peer, Programs, Task};
use crate::servers::{KEPT, LARGEST_KEPT, SMALL, Servers, Way};

/// As many viewers as the server keeps.
const VIEWERS: usize = 256;

/// The pictures while viewers come: 20 until all that are kept are there, 20 without viewers and 20
/// with them.
const PICTURES: u32 = 60;

/// Without the page, with it, and with viewers who only listen.
pub fn measure(rounds: usize, programs: &Programs, servers: &Servers) -> Vec<Measured> {
    let task = Task::new(Way::Plain, SMALL, 1000);
    let with_page = |task, page: &str| {
        let mut command = programs.command(Peer::Ours, task, servers);
        command.env("PAGE", page);
        command
    };
    let columns = [Column::CpuPerPicture, Column::Peak];
    let mut measured = Vec::new();
    for (id, picture) in [("page", SMALL), ("page_300", KEPT), ("page_1000", LARGEST_KEPT)] {
        let task = Task { picture, ..task };
        let names = ["off", "on"];
        let mut costs = [vec![], vec![]];
        for _ in 0..rounds {
            for (page, costs) in names.iter().zip(&mut costs) {
                let cost = measure::run(&with_page(task, page));
                costs.push(cost.unwrap_or_else(|why| panic!("{why}")));
                servers.take(picture.1, task.pictures);
            }
        }
        let rows = names.iter().zip(&costs);
        let rows =
            rows.map(|(page, costs)| (format!("PAGE={page}"), figures(&columns, costs, task)));
        measured.push(Measured {
            id: id.to_owned(),
            title: format!(
                "The page, nobody looking, {} KB pictures, plain HTTP",
                picture.1 / 1000
            ),
            columns: columns.map(|column| column.head(picture.1)).to_vec(),
            compares: true,
            rows: rows.collect(),
        });
    }
    let slowly = Task { pictures: PICTURES, interval: Duration::from_millis(500), ..task };
    measured.push(viewers(with_page(slowly, "on"), servers));
    measured
}

/// A picture each half second, without and with viewers.
fn viewers(command: Command, servers: &Servers) -> Measured {
    let seconds = 10;
    let job = Job::start(command);
    let address = job.next(|event| event["address"].as_str().map(str::to_owned));
    let uploaded = || job.next(|event| (event["message"] == "uploaded").then_some(()));
    // Until all pictures that are kept are there.
    (0..20).for_each(|_| uploaded());
    let mut rows = Vec::new();
    let mut watch = Watch::new(job.id());
    let before = watch.sample();
    let mut streams = Vec::new();
    for viewers in [0, VIEWERS] {
        while streams.len() < viewers {
            let mut stream = TcpStream::connect(&address).expect("a connection");
            stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
            // One after another: more than 32 requests at the same time are too many.
            stream.read_exact(&mut [0]).expect("an answer");
            streams.push(thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink())));
        }
        let begun = watch.sample();
        (0..2 * seconds).for_each(|_| uploaded());
        let now = watch.sample();
        assert!(streams.iter().all(|stream| !stream.is_finished()), "a viewer was sent away");
        let cpu = milliseconds(now.cpu.saturating_sub(begun.cpu));
        let more = mebibytes(now.resident.saturating_sub(before.resident));
        rows.push((format!("{viewers} viewers"), vec![Figure::of([cpu]), Figure::of([more])]));
    }
    drop(job);
    servers.take(SMALL.1, PICTURES);
    Measured {
        id: "viewers".to_owned(),
        title: "Viewers of the page who only listen, a picture of 200 KB every 500 ms".to_owned(),
        columns: vec![("CPU in 10 s", Unit::Milliseconds), ("RSS above none", Unit::Mebibytes)],
        compares: false,
        rows,
    }
}
