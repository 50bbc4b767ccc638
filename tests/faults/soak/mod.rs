//! The soak: very many pictures, with faults mixed in and credentials that change every few
//! seconds. Meanwhile nothing may grow, get lost or leak: docs/reliability/soak.md.

mod account;
mod options;
mod plot;
mod scrape;
mod trend;

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use fastrand::Rng;
use sandbox::Leftovers;
use tokio::time::{Instant, sleep, timeout};

use crate::case::{Case, Expect, Place, Size};
use crate::cases;
use crate::inject::{inject, recover};
use crate::program::{Program, TIMEOUT};
use crate::random::{fits, seed};
use crate::world::{Timeouts, World};
use account::Account;
pub use options::Options;
use scrape::scrape;
use trend::{Sample, Trend};

/// How long credentials are valid.
const LIFETIME: Duration = Duration::from_secs(6);

/// The pauses between two looks at the output, two samples, two scrapes and two lines of progress.
const LOOK: Duration = Duration::from_millis(100);
const SAMPLE: Duration = Duration::from_millis(250);
const SCRAPE: Duration = Duration::from_secs(5);
const PROGRESS: Duration = Duration::from_secs(15);

const TOO_SHORT: &str = "the run is too short to tell";

/// Lines of the log that are kept for a message.
const LAST: usize = 12;

/// The pictures: one of these at random, none of them like another. They are small, because the
/// sandbox draws them without optimization. Each ends with a mark or begins with its length, and has
/// no filler after it: of others, the program cannot tell that a host has cut them short.
const TARGETS: [&str; 4] = [
    "/x?kind=png&width=16&height=16",
    "/x?kind=png&width=80&height=80",
    "/x?kind=jpeg&width=48&height=48",
    "/x?kind=webp&width=16&height=16",
];
const IN_PARTS: &str = "size=9MiB";

/// Runs the soak, and prints its summary. Only a run that is long enough can tell whether memory and
/// files grow, and then `may_grow` is false.
pub async fn run(options: &Options, may_grow: bool) -> Result<(), String> {
    let seed = seed();
    println!("a soak of {} pictures, FAULT_SEED={seed}", options.pictures);
    let mut soak = Soak::start(options).await;
    let outcome = soak.through_faults(options, seed).await;
    let took = soak.started.elapsed();
    let faults = outcome.map_err(|why| format!("{why}\n{}", soak.account.told()))?;

    let Soak { world, program, mut account, samples, scrapes, .. } = soak;
    let (code, output) = program.end(TIMEOUT).await?;
    account.read(&output.lines, &world.sandbox.credentials)?;
    if code != Some(0) {
        return Err(format!("the exit code is {code:?}\n{}", account.told()));
    }
    world.nothing_unfinished().await?;
    let objects = account.check(&world.sandbox, options.pictures)?;

    let warm_up = samples.partition_point(|sample| sample.pictures < options.pictures / 2);
    let warm = &samples[warm_up..];
    let memory = trend::memory(warm);
    plot::write(options.csv.as_deref(), || plot::csv(&samples))?;
    plot::write(options.plot.as_deref(), || plot::svg(&samples, memory.as_ref()))?;
    let files = trend::files(warm);
    let rate = trend::float(options.pictures) / took.as_secs_f64();
    let issued = world.sandbox.credentials.issued().len();
    let told = |trend: &Option<Trend>| {
        trend.as_ref().map_or_else(|| TOO_SHORT.to_owned(), ToString::to_string)
    };
    // Before the sandbox ends, which takes minutes to remove so many objects.
    println!(
        "{} pictures in {took:.0?}, {rate:.0} a second; {objects}\n{faults} faults; {}\n{issued} sets \
         of credentials, none of them in the output; metrics were read {scrapes} times\nmemory: {}\n\
         files: {}",
        options.pictures,
        account.failures(),
        told(&memory),
        told(&files),
    );
    let grows = [("memory", memory), ("files", files)].into_iter().filter_map(|(what, trend)| {
        let problem = trend.map_or(Some(TOO_SHORT.to_owned()), |trend| trend.problem());
        Some(format!("{what}: {}", problem?))
    });
    match grows.collect::<Vec<_>>() {
        grows if may_grow || grows.is_empty() => Ok(()),
        grows => Err(grows.join("; ")),
    }
}

/// A running soak.
struct Soak {
    world: World,
    program: Program,
    account: Account,
    samples: Vec<Sample>,
    scrapes: usize,
    /// The last lines of the log, for a message.
    last: VecDeque<String>,
    started: Instant,
    sampled: Instant,
    scraped: Instant,
    told: Instant,
}

impl Soak {
    async fn start(options: &Options) -> Self {
        let world = World::start(LIFETIME).await;
        let Options { pictures, concurrency, .. } = options;
        let arguments = format!("--interval=0s --count={pictures} --concurrency={concurrency}");
        let mut command = world.command(&options.program, "", false, Timeouts::Short);
        let images = world.images.address();
        command
            .args(arguments.split_whitespace())
            .env("IMAGE_URL", TARGETS.map(|target| format!("http://{images}{target}")).join(","))
            // What is written for each picture in production, and the servers too.
            .env("RUST_LOG", "info")
            .env("LISTEN_ADDR", "127.0.0.1:0")
            // Buffers are mapped one by one and unmapped when they are free, so that what is resident is
            // in use: glibc would keep up to 45 MiB of large pictures, more or less, and hide a leak.
            .env("MALLOC_ARENA_MAX", "1")
            .env("MALLOC_MMAP_THRESHOLD_", "8192")
            .env("MALLOC_TRIM_THRESHOLD_", "65536")
            // Large pictures take longer in a sandbox without optimization.
            .env("FETCH_TIMEOUT", "10s");
        let program = Program::start(command);
        let now = Instant::now();
        Self {
            world,
            program,
            account: Account::default(),
            samples: Vec::new(),
            scrapes: 0,
            last: VecDeque::new(),
            started: now,
            sampled: now,
            scraped: now,
            told: now,
        }
    }

    /// Runs the job to its end, and returns the number of faults that it met.
    async fn through_faults(&mut self, options: &Options, seed: u64) -> Result<u64, String> {
        let mut random = Rng::with_seed(seed);
        // Pictures in parts have every fifth fault, so that all of the run is alike.
        let mut decks = [Size::Parts, Size::Small].map(|size| (size, VecDeque::new()));
        let mut faults = 0;
        let mut last = "no fault".to_owned();
        let Options { pictures, fault_every, .. } = *options;
        // None that would still be there when the count is reached.
        while (faults + 2) * fault_every <= pictures {
            let due = (faults + 1) * fault_every;
            self.until("the next fault is due", TIMEOUT * 6, |account, _| {
                account.uploaded() >= due
            })
            .await?;
            // Otherwise another fault could keep the program from aborting an upload that met the last one.
            let none_open = |_: &Account, world: &World| {
                let Leftovers { uploads, parts, .. } = world.sandbox.s3.leftovers();
                (uploads, parts) == (0, 0)
            };
            self.until("no upload in parts is open", TIMEOUT, none_open)
                .await
                .map_err(|why| format!("{why}, after fault {faults}: {last}"))?;
            let (size, deck) = &mut decks[usize::from(faults % 5 != 0)];
            if deck.is_empty() {
                let of_size = |case: &Case| case.size == *size && fits(case);
                let mut cases: Vec<_> = cases::all().into_iter().filter(of_size).collect();
                random.shuffle(&mut cases);
                deck.extend(cases);
            }
            if let Some(case) = deck.pop_front() {
                let met = self.fault(&case, &mut random).await;
                met.map_err(|why| format!("{why}, with fault {}: {}", faults + 1, case.name()))?;
                last = case.name();
            }
            faults += 1;
        }
        let end = |account: &Account, _: &World| account.has_ended();
        self.until("the job ends", TIMEOUT * 6, end).await?;
        Ok(faults)
    }

    /// Injects a fault for a moment; the job must go on after it.
    async fn fault(&mut self, case: &Case, random: &mut Rng) -> Result<(), String> {
        let mut time = Duration::from_millis(random.u64(50..800));
        if case.size == Size::Parts {
            self.world.pictures(IN_PARTS);
            time *= 4;
        }
        let (asked, failed) = (self.world.sandbox.agent.requests(), self.account.all_failures());
        inject(&self.world, case, &self.program).await;
        let recovered = Instant::now() + time;
        self.until("the fault ends", TIMEOUT, |_, _| Instant::now() >= recovered).await?;
        if case.place == Place::Agent {
            // It is asked only every few seconds.
            let had_effect = |account: &Account, world: &World| match case.expect {
                Expect::Masked => world.sandbox.agent.requests() > asked,
                _ => account.all_failures() > failed,
            };
            self.until("the fault has an effect", TIMEOUT, had_effect).await?;
        }
        recover(&self.world, case, &self.program).await;
        // A picture in parts is stored after the fault as well.
        let stored = self.account.uploaded();
        self.until("it goes on", TIMEOUT, |account, _| account.uploaded() > stored).await?;
        self.world.pictures("");
        Ok(())
    }

    /// Watches the program until `done`, or until it ends.
    async fn until(
        &mut self,
        what: &str,
        within: Duration,
        done: impl Fn(&Account, &World) -> bool,
    ) -> Result<(), String> {
        let end = Instant::now() + within;
        loop {
            // Asked before its last lines are read.
            let status = self.program.status().await;
            self.look(status.is_none()).await?;
            if done(&self.account, &self.world) || self.account.has_ended() {
                return Ok(());
            }
            if let Some(status) = status {
                let last = self.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
                return Err(format!("the program ended with {status}\n{last}"));
            }
            if Instant::now() > end {
                return Err(format!("not within {within:?}: {what}"));
            }
            sleep(LOOK).await;
        }
    }

    /// Reads the output, and takes a sample of what the program holds.
    async fn look(&mut self, it_runs: bool) -> Result<(), String> {
        let lines = self.program.take_lines();
        self.last.extend(lines.iter().cloned());
        self.last.drain(..self.last.len().saturating_sub(LAST));
        self.account.read(&lines, &self.world.sandbox.credentials)?;
        let uploaded = self.account.uploaded();
        if self.account.has_ended() || !it_runs {
            return Ok(());
        }
        let now = Instant::now();
        if now >= self.scraped + SCRAPE
            && let Some(address) = self.account.address
        {
            self.scraped = now;
            match timeout(TIMEOUT, scrape(address)).await {
                Ok(Ok(())) => self.scrapes += 1,
                // It may just have ended.
                Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {}
                failed => return Err(format!("no metrics: {failed:?}")),
            }
        } else if now >= self.sampled + SAMPLE && uploaded > 0 {
            self.sampled = now;
            let (seconds, usage) = (self.started.elapsed().as_secs_f64(), self.program.usage());
            // It has none at the moment at which it ends.
            if usage.files > 0 {
                self.samples.push(Sample { pictures: uploaded, seconds, usage });
            }
            self.world.sandbox.images.forget_requests();
            self.world.sandbox.s3.forget_requests();
        }
        if now >= self.told + PROGRESS {
            self.told = now;
            println!("{:5.0?} {}", self.started.elapsed(), self.account.told());
        }
        Ok(())
    }
}
