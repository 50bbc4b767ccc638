//! Runs one case: good ticks, a tick with the fault, good ticks, and the invariants after them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sandbox::{
    AgentOptions, Answer, Fault, Network, S3Options, Sandbox, SandboxOptions, StsOptions, Wire,
    guard_env,
};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::case::{Case, Ending, Expect, Inject, Place, Size, Stage};
use crate::program::{Held, Output, Program, until};
use crate::tls::{Authority, Flaw, Tls};
use crate::walk;

/// How long an event may take on a machine that has much else to do. The longest is an answer of S3
/// that never comes: a minute and a half.
pub const TIMEOUT: Duration = Duration::from_mins(4);

/// So often in a row nothing has passed when the network counts as quiet.
const QUIET: u32 = 10;

/// How long the program waits for the image host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Longer than a loaded machine may stall.
    Long,
    /// A second or two: only a fault of time needs that.
    Short,
}

/// How much more than before the fault is no leak: what the allocator keeps, and idle connections to
/// S3 of which a picture in parts may need two at the same time.
const SLACK: [(Size, Held); 3] = [
    (Size::Small, Held { files: 0, memory: 16 << 20 }),
    (Size::Large, Held { files: 0, memory: 24 << 20 }),
    (Size::Parts, Held { files: 2, memory: 24 << 20 }),
];

/// How much more memory the program may need at its peak during a fault, in bytes: what the allocator
/// keeps, and three parts of a picture.
const FLAT: u64 = 16 << 20;
const FLAT_IN_PARTS: u64 = 40 << 20;

const INTERVAL: Duration = Duration::from_millis(150);

/// Log events with a diagnosis, apart from those of uploads: of a refresh, and of the start.
const NO_CREDENTIALS: &str = "no usable credentials";
pub const REFRESH_FAILED: &str = "credentials could not be refreshed; those in use are still valid";

/// Everything outside the program, with a network in front of each server.
pub struct World {
    pub sandbox: Sandbox,
    pub images: Wire,
    pub s3: Wire,
    pub agent: Wire,
    pub sts: Wire,
    authority: Authority,
    tls: Option<Tls>,
    empty: NamedTempFile,
}

impl World {
    /// `lifetime` is that of credentials.
    pub async fn start(lifetime: Duration) -> Self {
        let options = SandboxOptions {
            // Without the agent's cache, which would hide a fault behind it for hours.
            agent: AgentOptions { lifetime, retention: Duration::ZERO, ..AgentOptions::default() },
            sts: StsOptions { lifetime, ..StsOptions::default() },
            s3: S3Options::default(),
        };
        let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
        let wire = async |to: SocketAddr| Wire::start(to).await.expect("a port");
        Self {
            images: wire(sandbox.images.address()).await,
            s3: wire(sandbox.s3.address()).await,
            agent: wire(sandbox.agent.address()).await,
            sts: wire(sandbox.sts.address()).await,
            authority: Authority::new(),
            tls: None,
            empty: NamedTempFile::new().expect("a file"),
            sandbox,
        }
    }

    fn wire(&self, place: Place) -> &Wire {
        match place {
            Place::ImageHost => &self.images,
            Place::S3 | Place::Program => &self.s3,
            Place::Agent => &self.agent,
            Place::Sts => &self.sts,
        }
    }

    /// The program. With `irsa` its credentials are from STS, else from the agent.
    pub fn program(&self, target: &str, irsa: bool, patience: Patience) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_pod-identity-demo"));
        self.command(program, target, irsa, patience)
    }

    /// The same with another build of the program.
    pub fn command(&self, program: &Path, target: &str, irsa: bool, patience: Patience) -> Command {
        let (fetch, read) = match patience {
            Patience::Long => ("20s", "20s"),
            Patience::Short => ("2s", "700ms"),
        };
        let mut command = Command::new(program);
        command.env_clear().envs(self.sandbox.env()).envs(guard_env(self.empty.path()));
        if irsa {
            command
                .env_remove("AWS_CONTAINER_CREDENTIALS_FULL_URI")
                .env_remove("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
                .envs(self.sandbox.sts.env());
        } else {
            let uri = format!("http://{}/v1/credentials", self.agent.address());
            command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri);
        }
        command
            .env("AWS_ENDPOINT_URL_S3", format!("http://{}", self.s3.address()))
            .env("AWS_ENDPOINT_URL_STS", format!("http://{}", self.sts.address()))
            .env("IMAGE_URL", format!("http://{}{target}", self.images.address()))
            .env("SSL_CERT_FILE", self.authority.file.path())
            .env("LISTEN_ADDR", "off")
            // Log as much as possible, so that the output would contain a leaked secret.
            .env("RUST_LOG", "trace")
            .env("INTERVAL", format!("{}ms", INTERVAL.as_millis()))
            .env("FETCH_TIMEOUT", fetch)
            .env("READ_TIMEOUT", read)
            .env("CONNECT_TIMEOUT", read)
            .env("MAX_IMAGE_SIZE", "12MiB")
            .env("SHUTDOWN_GRACE", "300ms");
        command
    }

    /// No multipart upload, part or temporary file is left in S3.
    pub async fn nothing_unfinished(&self) -> Result<(), String> {
        let empty = || self.sandbox.s3.leftovers().is_empty();
        until("nothing unfinished remains in S3", TIMEOUT, empty).await
    }

    /// What must be true after any fault, however the program ended.
    pub async fn check(&self, output: &Output, may_leave: bool) -> Result<(), String> {
        for secret in self.sandbox.agent.secrets() {
            if let Some(leak) = output.lines.iter().find(|line| line.contains(&secret)) {
                return Err(format!("a secret is in the output: {leak}"));
            }
        }
        let s3 = &self.sandbox.s3;
        if !may_leave {
            self.nothing_unfinished().await?;
        }
        let served = self.sandbox.images.served();
        let whole: HashSet<_> =
            served.iter().filter(|served| served.whole).map(|served| &served.sha256).collect();
        let objects = s3.objects();
        for object in &objects {
            let sha256 = object.sha256().map_err(|error| error.to_string())?;
            if !whole.contains(&sha256) {
                return Err(format!("{} is no picture that was served whole", object.key));
            }
        }
        let keys: HashSet<_> = objects.iter().map(|object| object.key.as_str()).collect();
        for event in output.events("uploaded") {
            if !event["key"].as_str().is_some_and(|key| keys.contains(key)) {
                return Err(format!("the log says that it is stored, and it is not: {event}"));
            }
        }
        Ok(())
    }
}

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
    let patience = if case.is_about_time() { Patience::Short } else { Patience::Long };
    let mut command = world.program(target, irsa, patience);
    if case.size != Size::Small {
        // Several of these run at the same time, and none may be late only because of the others.
        command.env("FETCH_TIMEOUT", "60s");
    }
    match &case.inject {
        Inject::Signal(stage, ending) => return signal(&world, case, *stage, *ending).await,
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
    let before = program.held();

    let issued = || world.sandbox.credentials.issued().len();
    // What a machine that stalled made of the impatient program's good ticks is not the fault's.
    let seen = if case.expect == Expect::Masked { 0 } else { program.events().len() };
    let failed = || failure(&program.events()[seen..], case.place);
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
        failed().unwrap_or_default()
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
    heal(world, case, program).await;
    program.signal(Signal::CONT);

    let (stored, had, healed) = (program.uploaded(), issued(), Instant::now());
    // So many small ones that a burst would be seen.
    let more = if case.size == Size::Small { 8 } else { good };
    let goes_on = || program.uploaded() >= stored + more;
    until("the job goes on after the fault", TIMEOUT, goes_on).await?;
    is_at_its_rhythm(world, healed)?;
    if matches!(case.place, Place::Agent | Place::Sts) {
        until("credentials are refreshed again", TIMEOUT, || issued() > had).await?;
    }
    match &case.expect {
        Expect::Fails(expected) if !expected.contains(&told.as_str()) => {
            return Err(format!("the log says {told}, not {expected:?}"));
        }
        Expect::Masked if failed().is_some() => return Err("a failure was logged".to_owned()),
        _ => {}
    }
    let slack = SLACK.iter().find(|(size, _)| *size == case.size).expect("both are listed").1;
    let before = Held { files: before.files + slack.files, memory: before.memory + slack.memory };
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
fn is_at_its_rhythm(world: &World, since: Instant) -> Result<(), String> {
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
async fn is_back(program: &mut Program, before: Held) -> Result<(), String> {
    let mut now = before;
    let back = until("", TIMEOUT, || {
        now = program.held();
        now.files <= before.files && now.memory <= before.memory
    });
    back.await.map_err(|_| format!("expected at most: {before:?}; after the fault: {now:?}"))?;
    if program.has_ended() { Err("the program ended".to_owned()) } else { Ok(()) }
}

/// What the log names as the cause of the first failure: of an upload or of a refresh.
fn failure(events: &[Value], place: Place) -> Option<String> {
    let failed = [NO_CREDENTIALS, REFRESH_FAILED, "upload failed"];
    let failed = failed.map(|what| events.iter().filter(move |event| event["message"] == what));
    let told = failed.into_iter().flatten().filter_map(|event| {
        event["diagnosis"].as_str().or(event["reason"].as_str()).map(str::to_owned)
    });
    // A picture that was signed just before the credentials ended may arrive just after it.
    let ended =
        |id: &str| id == "credentials_rejected" && matches!(place, Place::Agent | Place::Sts);
    told.into_iter().find(|id| !ended(id))
}

pub async fn inject(world: &World, case: &Case, program: &Program) {
    match &case.inject {
        Inject::Network(network) => {
            world.wire(case.place).set(network.clone()).await.expect("the port is free");
        }
        Inject::Host(parameters) => world.sandbox.images.answer_with(parameters),
        Inject::Operation(operation, times, fault) => {
            world.sandbox.s3.fail(operation, *times, fault.clone());
        }
        Inject::Answer(answer) if case.place == Place::Sts => {
            world.sandbox.sts.set_answer(answer.clone());
        }
        Inject::Answer(answer) => world.sandbox.agent.set_answer(answer.clone()),
        Inject::Certificate(flaw) => {
            world.tls.as_ref().expect("it was started").set(&world.authority, *flaw);
        }
        Inject::Revoked => {
            let slow = "drip=200,100";
            world.sandbox.images.answer_with(slow);
            let requests = world.sandbox.s3.requests().len();
            let arrived = || world.sandbox.s3.requests().len() > requests;
            let _ = until("an upload begins", TIMEOUT, arrived).await;
            world.sandbox.credentials.expire_all();
        }
        Inject::NoFiles => {
            // New connections are needed for the fault to be seen.
            program.limit_files(true);
            let wires = match case.place {
                Place::Program => vec![&world.images, &world.s3],
                place => vec![world.wire(place)],
            };
            for wire in wires {
                wire.set(Network::Good).await.expect("the port is free");
            }
        }
        Inject::Downgrade => {
            let plain = world.images.address();
            world.sandbox.images.answer_with(&format!("redirect=http://{plain}/x"));
        }
        Inject::NoName | Inject::EachStatus(_) | Inject::Signal(..) => {}
    }
}

pub async fn heal(world: &World, case: &Case, program: &Program) {
    match &case.inject {
        Inject::Network(_) => {
            world.wire(case.place).set(Network::Good).await.expect("the port is free");
        }
        Inject::EachStatus(_) => {
            world.sandbox.images.answer_with("");
            world.s3.set(Network::Good).await.expect("the port is free");
        }
        Inject::Host(_) | Inject::Downgrade | Inject::Revoked => {
            world.sandbox.images.answer_with("");
        }
        Inject::Operation(..) => world.sandbox.s3.stop_failing(),
        Inject::Answer(_) => {
            world.sandbox.agent.set_answer(Answer::Normal);
            world.sandbox.sts.set_answer(Answer::Normal);
        }
        Inject::Certificate(_) => {
            world.tls.as_ref().expect("it was started").set(&world.authority, Flaw::None);
        }
        Inject::NoFiles => program.limit_files(false),
        Inject::NoName | Inject::Signal(..) => {}
    }
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
    let failed = || failure(&program.events(), case.place).is_some();
    let result = until("a failure is logged", TIMEOUT, failed).await;
    if expected_code == 143 {
        program.signal(Signal::TERM);
    }
    let (code, output) = program.end(TIMEOUT).await?;
    result.map_err(|why| format!("{why}\n{}", tail(&output)))?;
    world.check(&output, false).await?;
    let told = failure(&output.events, case.place).unwrap_or_default();
    match &case.expect {
        Expect::Fails(expected)
            if expected.contains(&told.as_str()) && code == Some(expected_code) =>
        {
            Ok(told)
        }
        expected => Err(format!("the log says {told}, not {expected:?}; exit code {code:?}")),
    }
}

/// A signal while the job is at this stage.
async fn signal(
    world: &World,
    case: &Case,
    stage: Stage,
    ending: Ending,
) -> Result<String, String> {
    let (images, s3) = (&world.sandbox.images, &world.sandbox.s3);
    let mut target = "/x?kind=jpeg&size=20KB".to_owned();
    let mut interval = "1s";
    match stage {
        Stage::Credentials => world.sandbox.agent.set_answer(Answer::Hang),
        Stage::Head => target.push_str("&delay=60s"),
        Stage::Body => target.push_str("&stall=10KB"),
        Stage::Operation("PutObject") => s3.fail("PutObject", 9, Fault::Hang),
        Stage::Operation(operation) => {
            "/x?kind=jpeg&size=9MiB".clone_into(&mut target);
            s3.fail(operation, 9, Fault::Hang);
        }
        Stage::Abort => {
            "/x?kind=jpeg&size=9MiB".clone_into(&mut target);
            s3.fail("UploadPart", 9, Fault::Status(403, "AccessDenied"));
            s3.fail("AbortMultipartUpload", 9, Fault::Hang);
        }
        Stage::BetweenTicks => interval = "1h",
    }
    let mut command = world.program(&target, false, Patience::Long);
    // No stage may end by itself.
    command.env("INTERVAL", interval).env("READ_TIMEOUT", "1h").env("FETCH_TIMEOUT", "1h");
    let program = Program::start(command);
    let arrived = |operation: &str| {
        let requests = s3.requests();
        requests.iter().any(|request| request.operation == operation)
    };
    let reached = || match stage {
        Stage::Credentials => world.sandbox.agent.requests() > 0,
        Stage::Head | Stage::Body => !images.requests().is_empty(),
        Stage::Operation(operation) => arrived(operation),
        Stage::Abort => arrived("AbortMultipartUpload"),
        Stage::BetweenTicks => program.uploaded() > 0,
    };
    let reached = until("the stage is reached", TIMEOUT, reached).await;
    program.signal(if ending == Ending::Kill { Signal::KILL } else { Signal::TERM });
    let (code, output) = program.end(TIMEOUT).await?;
    reached.map_err(|why| format!("{why}\n{}", tail(&output)))?;
    let expected = if ending == Ending::Kill { None } else { Some(143) };
    if code != expected {
        return Err(format!("the exit code is {code:?}\n{}", tail(&output)));
    }
    // An abort that S3 does not answer cannot remove anything.
    let may_leave = ending == Ending::Kill || stage == Stage::Abort;
    world.check(&output, may_leave).await.map_err(|why| format!("{why}\n{}", tail(&output)))?;
    debug_assert_eq!(case.expect, Expect::Ends);
    Ok(String::new())
}

/// The end of the output, for a message.
fn tail(output: &Output) -> String {
    let from = output.events.len().saturating_sub(12);
    let lines: Vec<_> = output.events[from..].iter().map(Value::to_string).collect();
    lines.join("\n")
}
