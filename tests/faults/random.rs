//! Faults at random, two at a time, from a seed that is printed and can be given again.

use std::time::Duration;

use rustix::process::Signal;
use sandbox::Fault;
use tokio::time::{Instant, sleep};

use crate::case::{Case, Expect, Inject, Place, Size};
use crate::inject::{inject, recover};
use crate::program::{Program, TIMEOUT, until};
use crate::world::{Patience, World};

/// How many times two faults are injected at most, and for how long: after some faults, the job
/// waits for a minute.
const ROUNDS: usize = 25;
const TIME: Duration = Duration::from_mins(1);

/// The seed: `FAULT_SEED`, or another one each time.
pub fn seed() -> u64 {
    let given = std::env::var("FAULT_SEED").ok();
    given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("FAULT_SEED is a number"))
}

/// Runs the job through faults from `cases`, and checks that it goes on, and the invariants.
pub async fn run(seed: u64, cases: Vec<Case>) -> Result<(), String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let cases: Vec<_> = cases.into_iter().filter(is_short).collect();
    // Credentials that end every few seconds are part of it.
    let world = World::start(Duration::from_secs(6)).await;
    let command = world.program("/x?kind=png&width=64&height=64", false, Patience::Short);
    let mut program = Program::start(command);
    until("the first picture is stored", TIMEOUT, || program.uploaded() > 0).await?;
    let started = Instant::now();
    for round in 0..ROUNDS {
        if started.elapsed() > TIME {
            break;
        }
        let pair = [&cases[random.usize(..cases.len())], &cases[random.usize(..cases.len())]];
        for case in pair {
            inject(&world, case, &program).await;
        }
        sleep(Duration::from_millis(random.u64(50..800))).await;
        for case in pair {
            recover(&world, case, &program).await;
        }
        let stored = program.uploaded();
        let goes_on = until("it goes on", TIMEOUT, || program.uploaded() > stored).await;
        goes_on.map_err(|why| format!("{why}, round {round} of {pair:?}"))?;
        if program.has_ended() {
            return Err(format!("the program ended, round {round} of {pair:?}"));
        }
    }
    program.signal(Signal::TERM);
    let (code, output) = program.end(TIMEOUT).await?;
    if code != Some(143) {
        return Err(format!("the exit code is {code:?}"));
    }
    world.check(&output, false).await
}

/// Whether the fault can come and go within a tick of a small picture.
pub fn is_short(case: &Case) -> bool {
    let comes_and_goes = match case.inject {
        Inject::Operation(_, _, Fault::Hang) | Inject::Revoked => false,
        Inject::Network(_) | Inject::Host(_) | Inject::Operation(..) | Inject::Answer(_) => true,
        _ => false,
    };
    comes_and_goes
        && case.size == Size::Small
        && case.expect != Expect::Ends
        && case.place != Place::Sts
}
