//! One program that meets one status after another.

use std::ops::RangeInclusive;

use sandbox::Network;
use serde_json::Value;

use crate::case::Place;
use crate::program::{Program, TIMEOUT, cause, until};
use crate::world::{Timeouts, World};

/// Has the image host or S3 answer each status, until the log tells it.
pub async fn through(
    statuses: RangeInclusive<u16>,
    world: &World,
    place: Place,
    program: &Program,
) -> Result<(), String> {
    for status in statuses {
        answer(world, place, status).await;
        let told = || told(&program.events(), place).iter().any(|(told, _)| *told == status);
        until(&format!("{status} is told"), TIMEOUT, told).await?;
    }
    for (status, cause) in told(&program.events(), place) {
        let expected = expected(place, status);
        if cause != expected {
            return Err(format!("the log says {cause} of {status}, not {expected}"));
        }
    }
    Ok(())
}

/// Has the agent or STS answer each status, and asks for a report each time: while a job has credentials,
/// it asks only every few seconds.
pub async fn reports(
    statuses: RangeInclusive<u16>,
    world: &World,
    place: Place,
) -> Result<String, String> {
    for status in statuses {
        answer(world, place, status).await;
        let mut command = world.program("", place == Place::Sts, Timeouts::Long);
        command.args(["identity", "--json"]);
        let (code, output) = Program::start(command).end(TIMEOUT).await?;
        world.check(&output, false).await?;
        let report = serde_json::from_str::<Value>(&output.lines.join("\n")).unwrap_or_default();
        let diagnosis = &report["verdict"]["diagnosis"];
        let (id, cause) = (diagnosis["id"].as_str(), diagnosis["cause"].as_str());
        let is_quoted = cause.is_some_and(|cause| cause.contains(&status.to_string()));
        if code != Some(3) || id != Some(expected(place, status)) || !is_quoted {
            return Err(format!("{status}: exit code {code:?}, {diagnosis}"));
        }
    }
    Ok(String::new())
}

async fn answer(world: &World, place: Place, status: u16) {
    if place == Place::ImageHost {
        world.sandbox.images.answer_with(&format!("status={status}"));
    } else {
        let bytes = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n").into_bytes();
        world.wire(place).set(Network::Answer(bytes)).await.expect("the port is free");
    }
}

/// The statuses in the log, and what it calls the cause of each failure.
fn told(events: &[Value], place: Place) -> Vec<(u16, String)> {
    let before =
        if place == Place::ImageHost { "the image host answered " } else { "HTTP status " };
    let failures = events.iter().filter(|event| event["message"] == "upload failed");
    let told = failures.filter_map(|event| {
        let error = event["error"].as_str()?;
        let status = match error.split_once(before) {
            Some((_, status)) => status.get(..3)?.parse().ok()?,
            // The SDK has a name for this one.
            None => error.contains("NotFound").then_some(404)?,
        };
        Some((status, cause(event)?.to_owned()))
    });
    told.collect()
}

fn expected(place: Place, status: u16) -> &'static str {
    match (place, status) {
        (Place::ImageHost, _) => "status",
        (Place::S3, 408 | 429 | 500..) => "s3_service_error",
        (Place::S3, _) => "not_s3",
        (Place::Agent, 429) => "agent_busy",
        // Without a text, a status is not the agent's own response.
        (Place::Agent, _) => "not_the_agent",
        (Place::Sts, 429 | 500..) => "sts_service_error",
        (Place::Sts, _) => "not_sts",
        _ => "unknown",
    }
}
