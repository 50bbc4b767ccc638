//! Runs one case: good ticks, a tick with the fault, good ticks, and the invariants after them.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use sandbox::Fault;
use serde_json::Value;
use tokio::process::Command;

use crate::case::{Case, Expect, Inject, Place, Size};
use crate::inject::{inject, recover};
use crate::program::{Output, Program, REFRESH_FAILED, TIMEOUT, Usage, cause, until};
use crate::signal;
use crate::tls::Tls;
use crate::walk;
use crate::world::{INTERVAL, Timeouts, World};

/// So often in a row nothing has passed when the network counts as quiet.
const QUIET: u32 = 10;

/// How much more than before the fault is no leak: what the allocator keeps, and idle connections to
/// S3 of which a picture in parts may need two at the same time.
const SLACK: [(Size, Usage); 3] = [
    (Size::Small, Usage { files: 0, memory: 16 << 20 }),
    (Size::Large, Usage { files: 0, memory: 24 << 20 }),
    (Size::Parts, Usage { files: 2, memory: 24 << 20 }),
];

/// How much more memory the program may need at its peak during a fault, in bytes: what the allocator
/// keeps, and two parts of a picture.
const FLAT: u64 = 16 << 20;
pub const FLAT_IN_PARTS: u64 = 40 << 20;

/// The log event of a start without credentials.
const NO_CREDENTIALS: &str = "no usable credentials";

/// What the log said about the fault.
pub async fn run(case: &Case) -> Result<String, String> {
    // Long enough to see a refresh fail, and to see the credentials end.
    let short = matches!(case.place, Place::Agent | Place::Sts);
    let lifetime = Duration::from_secs(if short { 5 } else { 3600 });
    let mut world = World::start(lifetime).await;
    let target = match case.size {
        Size::Small => "/x?kind=png&width=64&height=64",
        Size::Large => "/x?kind=jpeg&size=7MiB",
        Size::Parts => "/x?kind=jpeg&size=9MiB",
    };
    let irsa = case.place == Place::Sts;
    let timeouts = if case.is_about_time() { Timeouts::Short } else { Timeouts::Long };
    let mut command = world.program(target, irsa, timeouts);
    if case.size != Size::Small {
        // Several of these run at the same time, and none may be late only because of the others.
        command.env("FETCH_TIMEOUT", "60s");
    }
    if case.is_long() {
        command.env("S3_TIMEOUT", "20s");
    }
    match &case.inject {
        Inject::Signal(stage, ending) => return signal::run(&world, *stage, *ending).await,
        Inject::EachStatus(statuses) if matches!(case.place, Place::Agent | Place::Sts) => {
            return walk::reports(statuses.clone(), &world, case.place).await;
        }
        Inject::NoName => return no_name(&world, case, command).await,
        Inject::Certificate(_) | Inject::Downgrade => {
            let tls = Tls::start(&world.authority, world.wire(case.place).address()).await;
            let url = format!("https://localhost:{}", tls.port);
            match case.place {
                Place::ImageHost => command.env("IMAGE_URL", format!("{url}{target}")),
                Place::S3 => command.env("AWS_ENDPOINT_URL_S3", url),
                _ => command.env("AWS_ENDPOINT_URL_STS", url),
            };
            world.tls = Some(tls);
        }
        _ => {}
    }
    let mut program = Program::start(command);
    let result = with_program(&world, case, &mut program).await;
    program.limit_files(false);
    program.signal(Signal::TERM);
    let (code, output) = program.end(TIMEOUT).await?;
    let told = result.map_err(|why| format!("{why}\n{}", tail(&output)))?;
    if code != Some(143) {
        return Err(format!("the exit code is {code:?}\n{}", tail(&output)));
    }
    // Nobody knows the identifier of an upload whose creation was not answered.
    let may_leave =
        matches!(case.inject, Inject::Operation("CreateMultipartUpload", _, Fault::LoseAnswer));
    world.check(&output, may_leave).await.map_err(|why| format!("{why}\n{}", tail(&output)))?;
    Ok(told)
}

async fn with_program(world: &World, case: &Case, program: &mut Program) -> Result<String, String> {
    let good = if case.size == Size::Small { 2 } else { 1 };
    until("the first pictures are stored", TIMEOUT, || program.uploaded() >= good).await?;
    let before = program.usage();

    let issued = || world.sandbox.credentials.issued().len();
    // What a machine that stalled made of the impatient program's good ticks is not the fault's.
    let seen = if case.expect == Expect::Masked { 0 } else { program.events().len() };
    let failed = || failure(&program.events()[seen..], case);
    if case.expect == Expect::Masked {
        stop_quietly(world, program).await?;
    }
    let (stored, had) = (program.uploaded(), issued());
    program.reset_peak();
    inject(world, case, program).await;
    program.signal(Signal::CONT);
    let told = if let Inject::EachStatus(statuses) = &case.inject {
        walk::through(statuses.clone(), world, case.place, program).await?;
        String::new()
    } else if let Expect::Fails(_) = &case.expect {
        until("a failure is logged", TIMEOUT, || failed().is_some()).await?;
        let (id, text) = failed().unwrap_or_default();
        is_as_expected(case, &id, &text)?;
        id
    } else {
        let refreshed = || !matches!(case.place, Place::Agent | Place::Sts) || issued() > had;
        let goes_on = || program.uploaded() > stored + good && refreshed();
        until("the job goes on under the fault", TIMEOUT, goes_on).await?;
        stop_quietly(world, program).await?;
        String::new()
    };
    let peak = program.peak();
    let flat = if case.size == Size::Small { FLAT } else { FLAT_IN_PARTS };
    if peak > before.memory + flat {
        return Err(format!("it needed {peak} bytes of memory, and {} before", before.memory));
    }
    recover(world, case, program).await;
    program.signal(Signal::CONT);

    let (stored, had, recovered) = (program.uploaded(), issued(), Instant::now());
    // So many small ones that a burst would be seen.
    let more = if case.size == Size::Small { 8 } else { good };
    let goes_on = || program.uploaded() >= stored + more;
    until("the job goes on after the fault", TIMEOUT, goes_on).await?;
    is_at_its_rhythm(world, recovered)?;
    if matches!(case.place, Place::Agent | Place::Sts) {
        until("credentials are refreshed again", TIMEOUT, || issued() > had).await?;
    }
    match &case.expect {
        Expect::Masked if failed().is_some() => return Err("a failure was logged".to_owned()),
        _ => {}
    }
    let slack = SLACK.iter().find(|(size, _)| *size == case.size).expect("both are listed").1;
    let before = Usage { files: before.files + slack.files, memory: before.memory + slack.memory };
    is_back(program, before).await?;
    Ok(told)
}

/// Stops the program at a moment at which nothing is on its way between it and the servers: a change
/// of the network ends connections, and that must not be the fault.
async fn stop_quietly(world: &World, program: &Program) -> Result<(), String> {
    program.signal(Signal::STOP);
    let passed = || [&world.images, &world.s3, &world.agent, &world.sts].map(sandbox::Wire::passed);
    let (mut last, mut quiet) = (passed(), 0);
    let is_quiet = || {
        let now = passed();
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
        quiet > QUIET
    };
    until("the network is quiet", TIMEOUT, is_quiet).await
}

/// The pictures since then were asked for at the interval at most: no burst makes up for ticks that
/// passed during the fault.
pub fn is_at_its_rhythm(world: &World, since: Instant) -> Result<(), String> {
    let arrivals = world.sandbox.images.arrivals().into_iter().map(|arrival| arrival.at);
    let times: Vec<_> = arrivals.filter(|at| *at >= since).collect();
    for (first, begin) in times.iter().enumerate() {
        for (number, end) in times[first..].iter().enumerate() {
            // One at the beginning, one that was late before it, and one that is asked again.
            let allowed = (*end - *begin).as_millis() / INTERVAL.as_millis() + 3;
            if number as u128 + 1 > allowed {
                return Err(format!("{} pictures within {:?}", number + 1, *end - *begin));
            }
        }
    }
    Ok(())
}

/// Memory and files are back to where they were before the fault.
pub async fn is_back(program: &mut Program, before: Usage) -> Result<(), String> {
    let mut now = before;
    let back = until("", TIMEOUT, || {
        now = program.usage();
        now.files <= before.files && now.memory <= before.memory
    });
    back.await.map_err(|_| format!("expected at most: {before:?}; after the fault: {now:?}"))?;
    if program.has_ended() { Err("the program ended".to_owned()) } else { Ok(()) }
}

/// The log names the cause that the case expects, and quotes of the error what the case asks for.
fn is_as_expected(case: &Case, id: &str, text: &str) -> Result<(), String> {
    let Case { expect, quotes, .. } = case;
    match expect {
        Expect::Fails(expected) if !expected.contains(&id) => {
            Err(format!("the log says {id}, not {expected:?}: {text}"))
        }
        _ if (id == "unknown" || !quotes.is_empty())
            && !quotes.iter().any(|quoted| text.contains(quoted)) =>
        {
            Err(format!("the log quotes none of {quotes:?}: {text}"))
        }
        _ => Ok(()),
    }
}

/// What the log names as the cause of the first failure, and how it explains it: of an upload or of
/// a refresh.
fn failure(events: &[Value], case: &Case) -> Option<(String, String)> {
    let failed = [NO_CREDENTIALS, REFRESH_FAILED, "upload failed"];
    let failed = failed.map(|what| events.iter().filter(move |event| event["message"] == what));
    let told = failed.into_iter().flatten().filter_map(|event| Some((cause(event)?, event)));
    // A picture that was signed just before the credentials ended may arrive just after it.
    let late = match (&case.expect, case.place) {
        (Expect::Fails(expected), Place::Agent | Place::Sts) => {
            !expected.contains(&"credentials_rejected")
        }
        (_, place) => matches!(place, Place::Agent | Place::Sts),
    };
    let ended = |id: &str| late && id == "credentials_rejected";
    let (id, event) = told.into_iter().find(|(id, _)| !ended(id))?;
    let text = ["error", "cause"].map(|field| event[field].as_str().unwrap_or_default());
    Some((id.to_owned(), text.join(": ")))
}

/// A name that does not exist, from the start to the end.
async fn no_name(world: &World, case: &Case, mut command: Command) -> Result<String, String> {
    match case.place {
        Place::ImageHost => command.env("IMAGE_URL", "http://no-such-host.invalid/"),
        Place::S3 => command.env("AWS_ENDPOINT_URL_S3", "http://no-such-host.invalid"),
        // Without credentials, the program ends when its grace does.
        _ => command
            .env("AWS_ENDPOINT_URL_STS", "http://no-such-host.invalid")
            .env("STARTUP_GRACE", "0s"),
    };
    let expected_code = if case.place == Place::Sts { 4 } else { 143 };
    let program = Program::start(command);
    let failed = || failure(&program.events(), case).is_some();
    let result = until("a failure is logged", TIMEOUT, failed).await;
    if expected_code == 143 {
        program.signal(Signal::TERM);
    }
    let (code, output) = program.end(TIMEOUT).await?;
    result.map_err(|why| format!("{why}\n{}", tail(&output)))?;
    world.check(&output, false).await?;
    let (id, text) = failure(&output.events, case).unwrap_or_default();
    is_as_expected(case, &id, &text)?;
    if code == Some(expected_code) { Ok(id) } else { Err(format!("the exit code is {code:?}")) }
}

/// The end of the output, for a message.
pub fn tail(output: &Output) -> String {
    let from = output.events.len().saturating_sub(12);
    let lines: Vec<_> = output.events[from..].iter().map(Value::to_string).collect();
    lines.join("\n")
}
