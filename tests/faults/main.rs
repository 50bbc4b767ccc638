//! The fault suite: each fault at each place, and what must be true after it.
//!
//! The program runs in a sandbox (crate `sandbox`) with a network in front of each server that can
//! be made to fail. A case has good ticks, the fault, and good ticks again. The run prints the
//! matrix; `UPDATE_DOCS=1` writes it to `docs/reliability/matrix.md`. An argument selects cases by name.
//! `--soak` as the first argument runs a soak instead (scripts/soak.sh); the others are its own.

mod bomb;
mod case;
mod cases;
mod documents;
mod inject;
mod matrix;
mod program;
mod random;
mod run;
mod signal;
mod soak;
mod tls;
mod walk;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Cases that run at the same time: most of the time they wait.
const AT_ONCE: usize = 16;

/// The longest that a case may take, on a machine that has much else to do.
const CASE_TIME: Duration = Duration::from_mins(15);

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|argument| argument == "--soak") {
        return match soak::run(&soak::Options::parse_from(std::env::args().skip(1)), false).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                println!("FAIL  {why}");
                ExitCode::FAILURE
            }
        };
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let selected = |name: &str| filter.as_ref().is_none_or(|part| name.contains(part.as_str()));
    let cases = cases::all().into_iter().filter(|case| selected(&case.name()));
    let started = Instant::now();
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    // The longest first, so that the others run beside them.
    let mut cases: Vec<_> = cases.enumerate().collect();
    cases.sort_by_key(|(_, case)| !case.is_long());
    for (number, case) in cases {
        let permits = Arc::clone(&permits);
        running.spawn(async move {
            let _permit = permits.acquire().await;
            let began = Instant::now();
            let result = match timeout(CASE_TIME, run::run(&case)).await {
                Ok(result) => result,
                Err(_) => Err(format!("it took more than {CASE_TIME:?}")),
            };
            if std::env::var_os("VERBOSE").is_some() {
                eprintln!("{:6.1?} {} {result:?}", began.elapsed(), case.name());
            }
            (number, case, result)
        });
    }
    let mut results = running.join_all().await;
    results.sort_by_key(|(number, case, _)| (case.place, *number));
    let mut failures = results.iter().filter(|(_, _, result)| result.is_err()).count();
    for (_, case, result) in &results {
        match result {
            Ok(told) if told.is_empty() => println!("ok    {}", case.name()),
            Ok(told) => println!("ok    {} ({told})", case.name()),
            Err(why) => println!("FAIL  {}\n      {why}", case.name()),
        }
    }
    if selected("soak")
        && let Err(why) = soak::run(&soak::Options::quick(), true).await
    {
        println!("FAIL  the soak: {why}");
        failures += 1;
    }
    if filter.is_none() {
        let seed = random::seed();
        println!("at random, FAULT_SEED={seed}");
        if let Err(why) = random::run(seed, cases::all()).await {
            println!("FAIL  {why}");
            failures += 1;
        }
    }
    if selected("matrix")
        && let Err(why) = matrix::check(&cases::all())
    {
        println!("FAIL  {why}");
        failures += 1;
    }
    println!("{} cases, {failures} failed, {:.0?}", results.len(), started.elapsed());
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
