//! What the log says, and whether S3 has just that.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use sandbox::{Credentials, Sandbox};
use serde_json::Value;

use crate::program::{REFRESH_FAILED, cause};

/// What the log has said so far.
#[derive(Debug, Default)]
pub struct Account {
    /// Keys and sizes.
    uploaded: HashMap<String, u64>,
    /// How often which failure was logged.
    failed: BTreeMap<String, u64>,
    refreshes_failed: u64,
    pub address: Option<SocketAddr>,
    ended: bool,
}

impl Account {
    /// Reads lines of the log, which must have none of the secrets that were issued until now.
    pub fn read(&mut self, lines: &[String], issued: &Credentials) -> Result<(), String> {
        if let Some(leak) = issued.leak(lines) {
            return Err(format!("a secret is in the output: {leak}"));
        }
        lines.iter().try_for_each(|line| self.read_line(line))
    }

    fn read_line(&mut self, line: &str) -> Result<(), String> {
        let event: Value =
            serde_json::from_str(line).map_err(|why| format!("no event ({why}): {line}"))?;
        match event["message"].as_str().unwrap_or_default() {
            "uploaded" => {
                let key = event["key"].as_str().unwrap_or_default().to_owned();
                let size = event["size"].as_u64().unwrap_or_default();
                if self.uploaded.insert(key, size).is_some() {
                    return Err(format!("it was uploaded before: {line}"));
                }
            }
            "upload failed" => {
                *self.failed.entry(cause(&event).unwrap_or("?").to_owned()).or_default() += 1;
            }
            "health and metrics are served" => {
                self.address = event["address"].as_str().and_then(|text| text.parse().ok());
            }
            "ended" => self.ended = true,
            REFRESH_FAILED => self.refreshes_failed += 1,
            _ => {}
        }
        Ok(())
    }

    pub fn uploaded(&self) -> u64 {
        self.uploaded.len() as u64
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn failed(&self) -> u64 {
        self.failed.values().sum()
    }

    /// The failures after which S3 may have the object: its answer was lost, or was not understood.
    fn unanswered(&self) -> u64 {
        let causes = ["endpoint_unreachable", "not_s3", "s3_service_error"];
        causes.iter().filter_map(|cause| self.failed.get(*cause)).sum()
    }

    /// Of uploads and of refreshes.
    pub fn all_failures(&self) -> u64 {
        self.failed() + self.refreshes_failed
    }

    /// How far it is, for a person.
    pub fn told(&self) -> String {
        format!("{} uploaded, {} failed", self.uploaded(), self.failed())
    }

    /// The failures by cause.
    pub fn failures(&self) -> String {
        let causes = self.failed.iter().map(|(why, times)| format!("{why} {times}"));
        let causes = causes.collect::<Vec<_>>().join(", ");
        let (failed, refreshes) = (self.failed(), self.refreshes_failed);
        format!("{failed} uploads failed ({causes}) and {refreshes} refreshes of credentials")
    }

    /// Compares all objects with the pictures that were served, and with the log.
    pub fn check(&self, sandbox: &Sandbox, pictures: u64) -> Result<String, String> {
        if self.uploaded() != pictures {
            return Err(format!("expected {pictures}: {}", self.told()));
        }
        let served = sandbox.images.served().into_iter().filter(|served| served.whole);
        let mut whole = HashMap::<_, u64>::new();
        for picture in served {
            *whole.entry(picture.sha256).or_default() += 1;
        }
        let (mut known, mut others, mut bytes) = (0_u64, 0_u64, 0);
        for object in sandbox.s3.objects() {
            let key = &object.key;
            let sha256 = object.sha256().map_err(|error| format!("{key}: {error}"))?;
            // Each picture is the object of one attempt at most.
            match whole.get_mut(&sha256) {
                Some(times @ 1..) => *times -= 1,
                Some(_) => return Err(format!("{key} is a picture that is there already")),
                None => {
                    let len = object.len;
                    return Err(format!("{key}, {len} bytes: no picture that was served whole"));
                }
            }
            match self.uploaded.get(key) {
                Some(size) if *size == object.len => known += 1,
                Some(size) => return Err(format!("{key} has not {size} bytes but {}", object.len)),
                None => others += 1,
            }
            bytes += object.len;
        }
        let lost = self.uploaded() - known;
        if lost > 0 {
            return Err(format!("{lost} pictures are not there that the log says are stored"));
        }
        // If the answer of S3 is lost for good, an upload fails although the object is stored.
        if others > self.unanswered() {
            return Err(format!("nothing in the log explains {others} objects: {}", self.told()));
        }
        let megabytes = bytes >> 20;
        Ok(format!("all {known} are in S3, {megabytes} MiB, and {others} whose answer was lost"))
    }
}
