//! Measures the CPU time, memory and wall time of whole processes: this program's, and those of what
//! people use instead.
//!
//! `scripts/bench.sh` runs this benchmark with the release build. It writes all figures to a file in JSON,
//! and judges none, because they depend on the machine. `report.py` makes tables and charts of them.

mod alone;
mod cases;
mod figures;
mod job;
mod measure;
mod page;
mod peers;
mod servers;
mod slow;
mod ticks;

use std::path::PathBuf;
use std::time::Duration;

use cases::Measured;
use peers::Programs;
use servers::{Servers, Way};

struct Options {
    programs: Programs,
    nginx: PathBuf,
    s3s: PathBuf,
    rounds: usize,
    minutes: u32,
    only: Option<String>,
    output: PathBuf,
}

/// From the environment, which `scripts/bench.sh` sets.
fn options() -> Options {
    let text = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is missing"));
    let optional = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let number = |name: &str| text(name).parse().unwrap_or_else(|_| panic!("{name} is no number"));
    Options {
        programs: Programs {
            ours: text("BENCH_PROGRAM").into(),
            baseline: optional("BENCH_BASELINE").map(PathBuf::from),
            tools: text("BENCH_TOOLS").into(),
        },
        nginx: text("BENCH_NGINX").into(),
        s3s: text("BENCH_S3").into(),
        rounds: usize::try_from(number("BENCH_ROUNDS")).expect("few"),
        minutes: number("BENCH_MINUTES"),
        only: optional("BENCH_ONLY"),
        output: text("BENCH_OUTPUT").into(),
    }
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    if std::env::args().nth(1).is_some_and(|argument| argument == measure::MEASURE) {
        arguments.next();
        return measure::parent(arguments);
    }
    let options = options();
    let servers = Servers::start(&options.nginx, &options.s3s);
    let wanted = |id: &str| options.only.as_ref().is_none_or(|only| id.contains(only.as_str()));
    let mut results = Vec::new();
    let mut done = |result: Measured| {
        println!("measured: {}", result.title);
        results.push(result);
        let text = serde_json::to_string_pretty(&results).expect("figures are JSON");
        std::fs::write(&options.output, text).expect("the figures can be written");
    };
    for case in cases::all().iter().filter(|case| wanted(&case.id)) {
        done(cases::measure(case, options.rounds, &options.programs, &servers));
    }
    for (id, way) in [("cores_plain", Way::Plain), ("cores_tls", Way::Tls)] {
        if wanted(id) {
            done(alone::cores(id, way, options.rounds, &options.programs, &servers));
        }
    }
    if wanted("processes") {
        done(alone::processes(options.rounds, &options.programs, &servers));
    }
    if wanted("size") {
        done(alone::size(&options.programs));
    }
    if wanted("page") {
        page::measure(options.rounds, &options.programs, &servers).into_iter().for_each(&mut done);
    }
    if wanted("ticks") {
        let run = |interval, count| ticks::measure(interval, count, &options.programs, &servers);
        run(Duration::from_secs(30), 2 * options.minutes + 1).into_iter().for_each(&mut done);
        run(Duration::from_secs(2), 31).into_iter().for_each(&mut done);
    }
}
