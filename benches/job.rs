//! Measures the CPU time, memory and wall time of whole processes in the sandbox.
//!
//! `scripts/bench.sh` runs this benchmark with the release build. It prints the measurements
//! without a limit, because they depend on the machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{Sandbox, SandboxOptions, guard_env};
use tempfile::NamedTempFile;
use wait4::Wait4;

const MIB: f64 = 1_048_576.0;

/// A finished process.
struct Cost {
    wall: Duration,
    cpu: Duration,
    peak: u64,
}

struct Bench {
    program: PathBuf,
    sandbox: Sandbox,
    no_profile: NamedTempFile,
    /// Whether the page is served.
    page: bool,
}

impl Bench {
    fn command(&self, mut command: Command, target: &str) -> Command {
        command
            .env_clear()
            .envs(self.sandbox.env())
            .envs(guard_env(self.no_profile.path()))
            .env("IMAGE_URL", self.sandbox.images.url(target))
            // Serves health and metrics as usual, on a free port. The page has rows of its own.
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("PAGE", if self.page { "on" } else { "off" })
            // As in the image, where the CA certificates are one file and not a folder of hundreds.
            .env("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs the program to its end. Its parent is a small process, because a child's peak memory
    /// starts at its parent's.
    fn run(&self, target: &str, arguments: &str) -> Cost {
        let output = self
            .command(Command::new(std::env::current_exe().expect("this program")), target)
            .arg("--measure")
            .arg(&self.program)
            .args(arguments.split_whitespace())
            .stdout(Stdio::piped())
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{target} {arguments}: {}\n{said}", output.status);
        let figures: Vec<u64> = said.split_whitespace().flat_map(str::parse).collect();
        let [wall, cpu, peak] = figures[..] else { panic!("{said}") };
        Cost { wall: Duration::from_micros(wall), cpu: Duration::from_micros(cpu), peak }
    }

    /// The resident bytes that viewers add who only listen, as many as the server keeps, and the
    /// pictures that are uploaded meanwhile in ten seconds, one each half second.
    fn idle_streams(&self, target: &str) -> (u64, usize) {
        let mut command = self.command(Command::new(&self.program), target);
        command.arg("--interval=500ms").arg("--log-format=json").stderr(Stdio::piped());
        let mut job = command.spawn().expect("the program starts");
        let mut log =
            BufReader::new(job.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let address = log.find_map(|line| {
            let event: serde_json::Value = serde_json::from_str(&line).ok()?;
            event["address"].as_str().map(str::to_owned)
        });
        let address = address.expect("it serves its page");
        let log = std::thread::spawn(move || log.count());
        // Until all pictures that are kept are there.
        std::thread::sleep(Duration::from_secs(10));
        let (_, before) = status(job.id());
        let listen = || {
            let mut stream = TcpStream::connect(&address).expect("a connection");
            stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
            // One after another: more than 32 requests at the same time are too many.
            stream.read_exact(&mut [0]).expect("an answer");
            std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()))
        };
        let viewers: Vec<_> = (0..256).map(|_| listen()).collect();
        let uploads = || self.sandbox.s3.requests().len();
        let begun = uploads();
        std::thread::sleep(Duration::from_secs(10));
        let moved = uploads() - begun;
        let (_, after) = status(job.id());
        assert!(viewers.iter().all(|viewer| !viewer.is_finished()), "a viewer was sent away");
        job.kill().and_then(|()| job.wait()).expect("it can be ended");
        drop(log.join());
        (after.saturating_sub(before), moved)
    }

    fn runs(&self, runs: usize, target: &str, arguments: &str) -> Vec<Cost> {
        (0..runs).map(|_| self.run(target, arguments)).collect()
    }
}

fn median<T: Ord>(costs: &[Cost], figure: impl Fn(&Cost) -> T) -> T {
    let mut figures: Vec<T> = costs.iter().map(figure).collect();
    figures.sort();
    figures.swap_remove(figures.len() / 2)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn row(case: &str, figure: &str, bound: &str) {
    println!("| {case:<52} | {figure:>12} | {bound:>9} |");
}

fn megabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a process is smaller than 2^52 bytes")]
    let mib = bytes as f64 / MIB;
    format!("{mib:.1} MiB")
}

/// The voluntary context switches so far and the resident bytes, from Linux's `/proc/PID/status`.
fn status(id: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux's /proc");
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        digits.parse::<u64>().expect("a number")
    };
    (number("voluntary_ctxt_switches:"), number("VmRSS:") * 1024)
}

/// Runs the program, and prints its wall time and CPU time in microseconds, and its peak resident
/// bytes.
fn measure(mut arguments: impl Iterator<Item = String>) {
    let begun = Instant::now();
    let child = Command::new(arguments.next().expect("a program"))
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let used = child.wait4().expect("it can be waited for");
    let wall = begun.elapsed();
    assert!(used.status.success(), "{}", used.status);
    let cpu = used.rusage.utime + used.rusage.stime;
    println!("{} {} {}", wall.as_micros(), cpu.as_micros(), used.rusage.maxrss);
}

fn main() {
    if std::env::args().nth(1).is_some_and(|argument| argument == "--measure") {
        return measure(std::env::args().skip(2));
    }
    let program = std::env::args().nth(1).filter(|argument| argument != "--bench");
    let program = PathBuf::from(program.expect("the path of the program to measure"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sandbox = runtime.block_on(Sandbox::start(SandboxOptions::default())).expect("the sandbox");
    let no_profile = NamedTempFile::new().expect("a file");
    let mut bench = Bench { program, sandbox, no_profile, page: false };
    let small = "/picture?kind=jpeg&size=200KB&picture=fixed";

    row("case", "measured", "at most");
    row(&"-".repeat(52), &"-".repeat(12), &"-".repeat(9));

    let pictures = 2000;
    let start = median(&bench.runs(5, small, "--count 1"), |cost| cost.cpu);
    let many = bench.runs(3, small, &format!("--count {pictures} --interval 0s"));
    let each = median(&many, |cost| cost.cpu).saturating_sub(start) / pictures;
    row("200 KB pictures, one at a time: CPU per picture", &milliseconds(each), "0.55 ms");
    row("the same: peak RSS", &megabytes(median(&many, |cost| cost.peak)), "10 MiB");
    let rate = f64::from(pictures) / median(&many, |cost| cost.wall).as_secs_f64();
    row("the same: pictures a second", &format!("{rate:.0}"), "");

    let first = bench.runs(21, small, "--count 1");
    let first = median(&first, |cost| cost.wall);
    row("start to first object stored, and exit", &milliseconds(first), "12 ms");

    let large = "/large?size=1GiB&framing=chunked&digest=none";
    let large = bench.runs(3, large, "--count 1 --max-image-size 2GiB");
    let cpu = median(&large, |cost| cost.cpu).as_secs_f64();
    row("1 GiB of unknown length: CPU", &format!("{cpu:.2} s"), "1.4 s");
    row("the same: peak RSS", &megabytes(median(&large, |cost| cost.peak)), "32 MiB");

    let before = bench.sandbox.s3.requests().len();
    let mut idle = bench.command(Command::new(&bench.program), small);
    let mut idle = idle.arg("--interval=1h").spawn().expect("the program starts");
    while bench.sandbox.s3.requests().len() == before {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Excludes the work that follows a picture, such as closing connections.
    std::thread::sleep(Duration::from_secs(8));
    let (before, _) = status(idle.id());
    std::thread::sleep(Duration::from_secs(20));
    let (after, resident) = status(idle.id());
    row("between ticks: wake-ups in 20 s", &(after - before).to_string(), "0");
    row("the same: RSS", &megabytes(resident), "9 MiB");
    idle.kill().and_then(|()| idle.wait()).expect("it can be ended");

    bench.page = true;
    let shown = bench.runs(3, small, &format!("--count {pictures} --interval 0s"));
    let each = median(&shown, |cost| cost.cpu).saturating_sub(start) / pictures;
    row("with the page, nobody looking: CPU per picture", &milliseconds(each), "0.55 ms");
    let above = median(&shown, |cost| cost.peak).saturating_sub(median(&many, |cost| cost.peak));
    row("the same: peak RSS above that without", &megabytes(above), "4 MiB");
    let (streams, moved) = bench.idle_streams(small);
    row("256 idle streams of its events: RSS above none", &megabytes(streams), "8 MiB");
    row("the same: pictures in 10 s, of 20", &moved.to_string(), "20");

    let size = std::fs::metadata(Path::new(&bench.program)).expect("the program").len();
    #[expect(clippy::cast_precision_loss, reason = "a program is smaller than 2^52 bytes")]
    let size = size as f64 / 1e6;
    row("stripped binary", &format!("{size:.1} MB"), "9.5 MB");
}
