//! Ticks with silence between them: what each costs, and what the silence costs.

use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::cases::Measured;
use crate::figures::{Figure, Unit, mebibytes, milliseconds};
use crate::job::Job;
use crate::measure::{self, Sample, Watch};
use crate::peers::{Peer, Programs, Task};
use crate::servers::{SMALL, Servers, Way};

/// So long after a picture is stored, the program waits for the next tick.
const SETTLING: Duration = Duration::from_millis(50);

/// Within this time after a tick, idle connections are closed (5 s) and idle threads end (tokio's 10 s).
const CLOSING: Duration = Duration::from_secs(12);

/// So long before a tick, the silence is over. tokio's last wake-up for the tick is 64 ms before it.
const BEFORE: Duration = Duration::from_millis(10);

fn time_of(event: &Value) -> Option<SystemTime> {
    humantime::parse_rfc3339(event["timestamp"].as_str()?).ok()
}

/// Runs the job over TLS with health, metrics and page as usual. Between ticks, if they are far enough
/// apart, one curl fetches the picture and another one puts it, both anew.
pub fn measure(
    interval: Duration,
    ticks: u32,
    programs: &Programs,
    servers: &Servers,
) -> Vec<Measured> {
    let apart = interval > 2 * CLOSING;
    let task = Task { interval, ..Task::new(Way::Tls, SMALL, ticks) };
    let mut command = programs.command(Peer::Ours, task, servers);
    command.env("PAGE", "on");
    let job = Job::start(command);
    // Ticks are so long apart, beginning with this line of the log.
    let started = job.next(|event| event["destination"].as_str().and(time_of(event)));
    let stored =
        |event: &Value| (event["message"] == "uploaded").then(|| time_of(event).expect("a time"));
    let (mut wall, mut cpu, mut silence) = (vec![], vec![], Silence::default());
    let (mut curl_wall, mut curl_cpu) = (vec![], vec![]);
    let mut watch = Watch::new(job.id());
    let mut before: Option<Sample> = None;
    for tick in 0..ticks {
        let stored = job.next(stored);
        let due = started + interval * tick;
        // The first one has the start in it.
        if tick > 0 {
            wall.push(milliseconds(stored.duration_since(due).unwrap_or_default()));
        }
        if tick + 1 == ticks {
            break;
        }
        let next = due + interval;
        let now = if apart {
            thread::sleep(SETTLING);
            let settled = watch.sample();
            thread::sleep(CLOSING);
            let closed = watch.sample();
            let one = Task { pictures: 1, ..task };
            let curl = measure::run(&programs.command(Peer::Curl, one, servers)).expect("curl");
            curl_wall.push(milliseconds(curl.wall));
            curl_cpu.push(milliseconds(curl.cpu));
            thread::sleep((next - BEFORE).duration_since(SystemTime::now()).unwrap_or_default());
            let now = watch.sample();
            silence.push(settled, closed, now);
            now
        } else {
            thread::sleep(interval / 2);
            watch.sample()
        };
        if let Some(before) = before.replace(now) {
            cpu.push(milliseconds(now.cpu.saturating_sub(before.cpu)));
        }
    }
    // As the system accounts for it, with the end.
    let total = job.end();
    // Those of curl have the same name.
    servers.take(SMALL.1, ticks + u32::from(apart));
    let seconds = interval.as_secs();
    let mut tick = Measured {
        id: format!("tick_{seconds}"),
        title: format!("A tick after {seconds} s of silence, 200 KB, TLS"),
        columns: vec![("tick to object stored", Unit::Milliseconds), ("CPU", Unit::Milliseconds)],
        compares: true,
        rows: vec![(Peer::Ours.name().to_owned(), vec![Figure::of(wall), Figure::of(cpu)])],
    };
    if !apart {
        return vec![tick];
    }
    let curl = vec![Figure::of(curl_wall), Figure::of(curl_cpu)];
    tick.rows.push((Peer::Curl.name().to_owned(), curl));
    let silence = Measured {
        id: format!("silence_{seconds}"),
        title: format!("A job of {ticks} ticks, {seconds} s apart, 200 KB, TLS"),
        columns: vec![
            ("CPU of all with start and end", Unit::Milliseconds),
            ("CPU between two ticks", Unit::Milliseconds),
            ("wake-ups between two ticks", Unit::Count),
            ("of these, after 12 s", Unit::Count),
            ("RSS between ticks", Unit::Mebibytes),
        ],
        compares: false,
        rows: vec![(Peer::Ours.name().to_owned(), silence.figures(total))],
    };
    vec![tick, silence]
}

/// What the silences between ticks cost.
#[derive(Default)]
struct Silence {
    cpu: Vec<f64>,
    wakes: Vec<f64>,
    late_wakes: Vec<f64>,
    resident: Vec<f64>,
}

impl Silence {
    /// Of a silence: its beginning, when the connections have closed, and its end.
    fn push(&mut self, settled: Sample, closed: Sample, now: Sample) {
        let wakes =
            |since: Sample| f64::from(u32::try_from(now.waits - since.waits).unwrap_or(u32::MAX));
        self.cpu.push(milliseconds(now.cpu.saturating_sub(settled.cpu)));
        self.wakes.push(wakes(settled));
        self.late_wakes.push(wakes(closed));
        self.resident.push(mebibytes(now.resident));
    }

    fn figures(self, total: Duration) -> Vec<Figure> {
        let silences = [self.cpu, self.wakes, self.late_wakes, self.resident];
        let total = Figure::of([milliseconds(total)]);
        std::iter::once(total).chain(silences.map(Figure::of)).collect()
    }
}
