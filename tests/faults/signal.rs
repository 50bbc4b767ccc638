//! A signal at each stage of the job.

use std::time::Duration;

use rustix::process::Signal;
use sandbox::{Answer, Fault};

use crate::case::{Ending, Stage};
use crate::program::{Output, Program, TIMEOUT, until};
use crate::run::tail;
use crate::world::{GRACE, Timeouts, World};

/// How long the program may take to end: its grace, what it waits for requests in flight and for the
/// abort of an upload (`ABORT_TIMEOUT` each), and what a loaded machine adds.
const END: Duration =
    GRACE.saturating_add(Duration::from_secs(2 * 5)).saturating_add(Duration::from_secs(20));

/// Later than the grace, and within the time that the program waits for the identifier of an upload.
const LATE: Duration = Duration::from_secs(2);

/// Sends the signal while the job is at this stage.
pub async fn run(world: &World, stage: Stage, ending: Ending) -> Result<String, String> {
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
        Stage::Late(operation) => {
            "/x?kind=jpeg&size=9MiB".clone_into(&mut target);
            s3.fail(operation, 1, Fault::LateAnswer(LATE));
        }
        Stage::Abort => {
            "/x?kind=jpeg&size=9MiB".clone_into(&mut target);
            s3.fail("UploadPart", 9, Fault::Status(403, "AccessDenied"));
            s3.fail("AbortMultipartUpload", 9, Fault::Hang);
        }
        Stage::BetweenTicks => interval = "1h",
    }
    let mut command = world.program(&target, false, Timeouts::Long);
    // No stage may end by itself.
    command.env("INTERVAL", interval).env("READ_TIMEOUT", "1h").env("FETCH_TIMEOUT", "1h");
    let program = Program::start(command);
    let arrived = |operation: &str| {
        let requests = s3.requests();
        requests.iter().any(|request| request.operation == operation)
    };
    let reached = || match stage {
        Stage::Credentials => world.sandbox.agent.requests() > 0,
        Stage::Head => !images.requests().is_empty(),
        // The program sends a picture on as soon as its first bytes are there.
        Stage::Body => arrived("PutObject"),
        Stage::Operation(operation) | Stage::Late(operation) => arrived(operation),
        Stage::Abort => arrived("AbortMultipartUpload"),
        Stage::BetweenTicks => program.uploaded() > 0,
    };
    let reached = until("the stage is reached", TIMEOUT, reached).await;
    program.signal(if ending == Ending::Kill { Signal::KILL } else { Signal::TERM });
    let (code, output) = program.end(END).await?;
    let result = match reached.and_then(|()| said_so(code, &output, ending)) {
        // An abort that S3 does not answer cannot remove anything.
        Ok(()) => world.check(&output, ending == Ending::Kill || stage == Stage::Abort).await,
        wrong => wrong,
    };
    result.map(|()| String::new()).map_err(|why| format!("{why}\n{}", tail(&output)))
}

/// The exit code is the signal's, and the log ends with it, if the program can tell.
fn said_so(code: Option<i32>, output: &Output, ending: Ending) -> Result<(), String> {
    let expected = if ending == Ending::Kill { None } else { Some(143) };
    if code != expected {
        return Err(format!("the exit code is {code:?}"));
    }
    let told: Vec<_> = output.events("ended").map(|event| event["exit_code"].as_i64()).collect();
    let told_last = output.events.last().is_some_and(|event| event["message"] == "ended");
    match ending {
        Ending::Terminate if told != [Some(143)] || !told_last => {
            Err(format!("the log does not end with \"ended\" and 143: {told:?}"))
        }
        Ending::Kill if !told.is_empty() => Err("the log says that it ended".to_owned()),
        _ => Ok(()),
    }
}
