//! What a process costs, as the operating system accounts for it.

use std::ffi::OsString;
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

/// A running process so far, from Linux's `/proc`.
#[derive(Clone, Copy)]
pub struct Sample {
    /// The time that its threads ran.
    pub cpu: Duration,
    /// How many times its threads began to wait.
    pub waits: u64,
    /// Its resident bytes.
    pub resident: u64,
}

pub fn sample(id: u32) -> Sample {
    let mut sample = Sample { cpu: Duration::ZERO, waits: 0, resident: 0 };
    for thread in std::fs::read_dir(format!("/proc/{id}/task")).expect("Linux's /proc") {
        let thread = thread.expect("a thread").path();
        let read = |file| std::fs::read_to_string(thread.join(file)).unwrap_or_default();
        let ran = read("schedstat").split(' ').next().and_then(|ran| ran.parse().ok());
        sample.cpu += Duration::from_nanos(ran.unwrap_or(0));
        let status = read("status");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let number = line.split_whitespace().next().and_then(|number| number.parse().ok());
            number.unwrap_or(0_u64)
        };
        sample.waits += number("voluntary_ctxt_switches:");
        sample.resident = number("VmRSS:") * 1024;
    }
    sample
}
