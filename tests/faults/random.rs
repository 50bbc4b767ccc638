//! Faults at random, two at a time, from a seed that is printed and can be given again.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use sandbox::Fault;
use tokio::time::sleep;

use crate::case::{Case, Expect, Inject, Place, Size};
use crate::inject::{inject, recover};
use crate::program::{Program, TIMEOUT, Usage, until};
use crate::run::{FLAT_IN_PARTS, is_at_its_rhythm, is_back, tail};
use crate::world::{Timeouts, World};

/// How many times two faults are injected.
const ROUNDS: usize = 30;

/// In every so many rounds the pictures are in parts.
const EVERY: usize = 5;

/// Pictures after each round, so that a burst would be seen.
const MORE: usize = 4;

/// What the job may hold after the rounds, beyond what it held before: see [`crate::run`].
const SLACK: Usage = Usage { files: 2, memory: 24 << 20 };

/// The seed: `FAULT_SEED`, or another one each time.
pub fn seed() -> u64 {
    let given = std::env::var("FAULT_SEED").ok();
    given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("FAULT_SEED is a number"))
}

/// Runs the job through faults from `cases`, and checks that it goes on, and the invariants.
pub async fn run(seed: u64, cases: Vec<Case>) -> Result<(), String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (small, in_parts): (Vec<_>, Vec<_>) =
        cases.into_iter().filter(fits).partition(|case| case.size == Size::Small);
    // Credentials that end every few seconds are part of it.
    let world = World::start(Duration::from_secs(6)).await;
    let mut command = world.program("/x?kind=png&width=64&height=64", false, Timeouts::Short);
    // Pictures in parts take longer on a machine that has much else to do.
    command.env("FETCH_TIMEOUT", "20s");
    let mut program = Program::start(command);
    until("the first picture is stored", TIMEOUT, || program.uploaded() > 0).await?;
    let before = program.usage();
    program.reset_peak();
    let mut result = Ok(());
    for round in 0..ROUNDS {
        let cases = if round % EVERY == EVERY - 1 { &in_parts } else { &small };
        let pair = [0, 1].map(|_| &cases[random.usize(..cases.len())]);
        let names = pair.map(Case::name).join("; ");
        let pause = Duration::from_millis(random.u64(50..800));
        result = meet(&world, &mut program, pair, pause).await;
        result = result.map_err(|why| format!("{why}, in round {round}: {names}"));
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        result = held(&mut program, before).await;
    }
    if !program.has_ended() {
        program.signal(Signal::TERM);
    }
    let (code, output) = program.end(TIMEOUT).await?;
    if result.is_ok() && code != Some(143) {
        result = Err(format!("the exit code is {code:?}"));
    }
    if result.is_ok() {
        result = world.check(&output, false).await;
    }
    result.map_err(|why| format!("{why}\n{}", tail(&output)))
}

/// Two faults for a moment, after which the job goes on at its rhythm.
async fn meet(
    world: &World,
    program: &mut Program,
    pair: [&Case; 2],
    pause: Duration,
) -> Result<(), String> {
    let in_parts = pair[0].size == Size::Parts;
    world.pictures(if in_parts { "size=9MiB" } else { "" });
    for case in pair {
        inject(world, case, program).await;
    }
    // Pictures in parts take longer.
    sleep(pause * if in_parts { 4 } else { 1 }).await;
    for case in pair {
        recover(world, case, program).await;
    }
    if in_parts {
        stored(program, 1).await?;
        world.pictures("");
    }
    // None in parts is on its way after these: a fault of the network could leave something of it.
    let recovered = Instant::now();
    stored(program, MORE).await?;
    is_at_its_rhythm(world, recovered)
}

/// Waits until the program has stored so many more pictures.
async fn stored(program: &mut Program, more: usize) -> Result<(), String> {
    let stored = program.uploaded();
    let mut ended = false;
    until("it goes on", TIMEOUT, || {
        ended = program.has_ended();
        ended || program.uploaded() >= stored + more
    })
    .await?;
    if ended { Err("the program ended".to_owned()) } else { Ok(()) }
}

/// The program needed no more memory than a few pictures take, and holds what it held before.
async fn held(program: &mut Program, before: Usage) -> Result<(), String> {
    let peak = program.peak();
    if peak > before.memory + FLAT_IN_PARTS {
        return Err(format!("it needed {peak} bytes of memory, and {} before", before.memory));
    }
    let Usage { files, memory } = SLACK;
    is_back(program, Usage { files: before.files + files, memory: before.memory + memory }).await
}

/// Whether the fault can come and go while the job runs, and leaves nothing.
pub fn fits(case: &Case) -> bool {
    let small = Case { size: Size::Small, ..case.clone() };
    // The end of a fault of the network ends connections: CreateMultipartUpload may lose its answer.
    let leaves = match case.inject {
        Inject::Operation("CreateMultipartUpload", _, Fault::LoseAnswer) => true,
        Inject::Network(_) => case.size != Size::Small && case.place == Place::S3,
        _ => false,
    };
    is_short(&small) && !leaves
}

/// Whether the fault can come and go within a tick of a small picture.
fn is_short(case: &Case) -> bool {
    let comes_and_goes = match case.inject {
        Inject::Operation(_, _, Fault::Hang) | Inject::Revoked => false,
        Inject::Network(_)
        | Inject::Host(_)
        | Inject::Operation(..)
        | Inject::Answer(_)
        | Inject::Document(_)
        | Inject::Redirect(_) => true,
        _ => false,
    };
    comes_and_goes
        && case.size == Size::Small
        && case.expect != Expect::Ends
        && case.place != Place::Sts
}
