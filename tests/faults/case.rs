//! What a case is: a place, a fault, and what the log must say about it.

use std::ops::RangeInclusive;

use sandbox::{Answer, Fault, Network};

use crate::documents::Spoilt;
use crate::tls::Flaw;

/// Where a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    ImageHost,
    S3,
    Agent,
    Sts,
    Program,
}

impl Place {
    pub const ALL: [Self; 5] = [Self::ImageHost, Self::S3, Self::Agent, Self::Sts, Self::Program];

    pub const fn name(self) -> &'static str {
        match self {
            Self::ImageHost => "image host",
            Self::S3 => "S3",
            Self::Agent => "agent",
            Self::Sts => "STS",
            Self::Program => "the program itself",
        }
    }

    /// Its name where a heading begins.
    pub const fn title(self) -> &'static str {
        match self {
            Self::ImageHost => "Image host",
            Self::S3 => "S3",
            Self::Agent => "Pod Identity Agent",
            Self::Sts => "STS",
            Self::Program => "The program itself",
        }
    }
}

/// What is done to the place.
#[derive(Clone, Debug)]
pub enum Inject {
    /// The network between the program and the place fails.
    Network(Network),
    /// The image host answers with these parameters.
    Host(String),
    /// So many requests of this operation fail.
    Operation(&'static str, usize, Fault),
    /// The agent or STS answers like this.
    Answer(Answer),
    /// The place is reached over TLS, and its certificate has a flaw.
    Certificate(Flaw),
    /// The place has a name that does not exist: for good.
    NoName,
    /// The image host is reached over TLS, and redirects to plain HTTP.
    Downgrade,
    /// The image host or S3 answers each of these statuses, one after another.
    EachStatus(RangeInclusive<u16>),
    /// S3 and STS revoke all credentials while a picture is on its way.
    Revoked,
    /// The agent or STS answers with credentials that are spoilt like this.
    Document(Spoilt),
    /// The place redirects with this status to a server that must learn nothing.
    Redirect(u16),
    /// The program may open no more files, and has no connection to the place: the image host and S3
    /// if the place is the program itself.
    NoFiles,
    /// A signal arrives at this stage.
    Signal(Stage, Ending),
}

/// How far the job is when a signal arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Credentials,
    Head,
    Body,
    Operation(&'static str),
    /// The operation has taken effect, and its answer is still on its way.
    Late(&'static str),
    Abort,
    BetweenTicks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Terminate,
    Kill,
}

/// What the log must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// An upload or a refresh fails, for one of these reasons or diagnoses.
    Fails(&'static [&'static str]),
    /// Uploads fail for several reasons, in these words.
    FailsEach(&'static str),
    /// No failure: a retry succeeds, or the fault has no effect.
    Masked,
    /// The program ends as the signal asks.
    Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// One request to S3 suffices.
    Small,
    /// One request suffices, but no buffer of a connection holds it.
    Large,
    /// A multipart upload is needed.
    Parts,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub place: Place,
    /// The fault, in the words of the matrix.
    pub fault: String,
    pub inject: Inject,
    pub size: Size,
    pub expect: Expect,
    /// What the log must quote of the error, always if it calls the cause `unknown`: one of these.
    pub quotes: &'static [&'static str],
}

impl Case {
    pub fn new(place: Place, fault: &str, inject: Inject, expect: Expect) -> Self {
        Self { place, fault: fault.to_owned(), inject, size: Size::Small, expect, quotes: &[] }
    }

    pub fn quotes(mut self, quoted: &'static [&'static str]) -> Self {
        self.quotes = quoted;
        self
    }

    pub fn sized(mut self, size: Size) -> Self {
        self.size = size;
        self
    }

    /// Whether the program must be impatient, so that the case takes seconds: only where the fault
    /// is that the image host is slow, and where it answers one status after another, most of which
    /// the program asks about again. In all other cases a machine that stalls for seconds must not look
    /// like a slow host.
    pub fn is_about_time(&self) -> bool {
        let is_walk = matches!(self.inject, Inject::EachStatus(_));
        self.expect == Expect::Fails(&["timeout"]) || is_walk && self.place == Place::ImageHost
    }

    /// Whether it takes minutes: the program waits for S3, and asks again.
    pub fn is_long(&self) -> bool {
        use Network::{BlackHole, Deaf, DeafAfter, Sip, Stall};
        match &self.inject {
            Inject::Operation(_, _, Fault::Hang) => true,
            Inject::Network(BlackHole | Deaf | DeafAfter(_) | Sip(..) | Stall(_)) => {
                self.place == Place::S3
            }
            _ => false,
        }
    }

    pub fn name(&self) -> String {
        format!("{}: {}", self.place.name(), self.fault)
    }
}
