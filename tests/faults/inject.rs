//! How each fault begins and ends.

use sandbox::{Answer, Network, Request};

use crate::case::{Case, Inject, Place, Size};
use crate::cases::raw;
use crate::documents;
use crate::program::{Program, TIMEOUT, until};
use crate::tls::Flaw;
use crate::world::World;

/// Makes the case's fault begin.
pub async fn inject(world: &World, case: &Case, program: &Program) {
    match &case.inject {
        Inject::Network(network) => {
            world.wire(case.place).set(network.clone()).await.expect("the port is free");
        }
        Inject::Host(parameters) => world.host(parameters),
        Inject::Document(spoilt) => {
            let answer = documents::answer(case.place, &world.sandbox.credentials, *spoilt);
            world.wire(case.place).set(Network::Answer(answer)).await.expect("the port is free");
        }
        Inject::Redirect(status) => {
            let to = world.elsewhere.address();
            let head = format!("HTTP/1.1 {status} Go\nLocation: http://{to}/x\nContent-Length: 0");
            let answer = Network::Answer(raw(&head, b""));
            world.wire(case.place).set(answer).await.expect("the port is free");
        }
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
            let in_parts = case.size == Size::Parts;
            // So slowly that the rest is sent with the credentials that are no longer valid.
            world.host(if in_parts { "drip=65536,10" } else { "drip=200,100" });
            let begun = || {
                let requests = world.sandbox.s3.requests().into_iter();
                let stored = |request: &Request| {
                    request.operation == "UploadPart" && request.status == Some(200)
                };
                requests.filter(|request| !in_parts || stored(request)).count()
            };
            let before = begun();
            let _ = until("an upload begins", TIMEOUT, || begun() > before).await;
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
            world.host(&format!("redirect=http://{plain}/x"));
        }
        Inject::NoName | Inject::EachStatus(_) | Inject::Signal(..) => {}
    }
}

/// Ends the case's fault.
pub async fn recover(world: &World, case: &Case, program: &Program) {
    match &case.inject {
        Inject::Network(_) | Inject::Document(_) | Inject::Redirect(_) => {
            world.wire(case.place).set(Network::Good).await.expect("the port is free");
        }
        Inject::EachStatus(_) => {
            world.host("");
            world.s3.set(Network::Good).await.expect("the port is free");
        }
        Inject::Host(_) | Inject::Downgrade | Inject::Revoked => world.host(""),
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
