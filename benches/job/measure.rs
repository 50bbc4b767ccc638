//! What a process costs, as the operating system accounts for it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wait4::Wait4;

/// What a process and the processes that it waited for have cost.
#[derive(Clone, Copy)]
pub struct Cost {
    pub wall: Duration,
    /// User and system time of all of them.
    pub cpu: Duration,
    /// The peak resident memory of the largest of them, in bytes.
    pub peak: u64,
}

/// The first argument of this program when it is the small parent of a process that is measured.
pub const MEASURE: &str = "--measure";

/// Runs a command to its end and measures it. Its parent is a small process, because Linux counts the
/// memory of the parent at a child's start to the child's peak.
pub fn run(command: &Command) -> Result<Cost, String> {
    let mut measure = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    measure.arg(MEASURE).arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        measure.env(name, value.unwrap_or_default());
    }
    let output = measure.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<u64> = said.split_whitespace().flat_map(str::parse).collect();
    let ([wall, cpu, peak], true) = (&figures[..], output.status.success()) else {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    };
    Ok(Cost { wall: Duration::from_micros(*wall), cpu: Duration::from_micros(*cpu), peak: *peak })
}

/// The small parent: runs the command, and prints its wall time and CPU time in microseconds, and its
/// peak resident bytes. Its exit code is 1 if the command failed.
pub fn parent(mut command: impl Iterator<Item = OsString>) {
    let begun = Instant::now();
    let child = Command::new(command.next().expect("a program"))
        .args(command)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let used = child.wait4().expect("it can be waited for");
    let wall = begun.elapsed();
    let cpu = used.rusage.utime + used.rusage.stime;
    println!("{} {} {}", wall.as_micros(), cpu.as_micros(), used.rusage.maxrss);
    std::process::exit(i32::from(!used.status.success()));
}

/// The same command on these cores only, such as `0,1`.
pub fn on_cores(cores: &str, command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", cores]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        pinned.env(name, value.unwrap_or_default());
    }
    pinned
}

/// How long the machine's cores have worked since it started, all together, for whomever.
pub fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").expect("Linux's /proc");
    let times = stat.lines().next().expect("all cores").split_whitespace().skip(1);
    let times: Vec<u64> = times.flat_map(str::parse).collect();
    // user, nice, system, idle, iowait, irq, softirq; in hundredths of a second.
    Duration::from_millis(10 * (times[..3].iter().sum::<u64>() + times[5] + times[6]))
}

/// A running process so far.
#[derive(Clone, Copy)]
pub struct Sample {
    /// The time that its threads ran.
    pub cpu: Duration,
    /// How many times its threads began to wait.
    pub waits: u64,
    /// Its resident bytes.
    pub resident: u64,
}

/// Samples a running process, from Linux's `/proc`. It knows living threads only, so those that have ended
/// count as they were when last seen.
pub struct Watch {
    process: PathBuf,
    threads: BTreeMap<OsString, (Duration, u64)>,
}

impl Watch {
    pub fn new(id: u32) -> Self {
        Self { process: format!("/proc/{id}").into(), threads: BTreeMap::new() }
    }

    pub fn sample(&mut self) -> Sample {
        for thread in std::fs::read_dir(self.process.join("task")).expect("Linux's /proc") {
            let thread = thread.expect("a thread");
            let read = |file| std::fs::read_to_string(thread.path().join(file));
            // None of them if the thread has ended meanwhile.
            let (Ok(ran), Ok(status)) = (read("schedstat"), read("status")) else { continue };
            let ran = ran.split(' ').next().and_then(|ran| ran.parse().ok()).unwrap_or(0);
            let waits = number(&status, "voluntary_ctxt_switches:");
            self.threads.insert(thread.file_name(), (Duration::from_nanos(ran), waits));
        }
        let status = std::fs::read_to_string(self.process.join("status")).expect("a process");
        Sample {
            cpu: self.threads.values().map(|(ran, _)| ran).sum(),
            waits: self.threads.values().map(|(_, waits)| waits).sum(),
            resident: number(&status, "VmRSS:") * 1024,
        }
    }
}

/// The number behind a name in a file `status`.
fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
