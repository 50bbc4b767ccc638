//! How each fault begins and ends.

use sandbox::{Answer, Network};

use crate::case::{Case, Inject, Place};
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
            world.host("drip=200,100");
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
            world.host(&format!("redirect=http://{plain}/x"));
        }
        Inject::NoName | Inject::EachStatus(_) | Inject::Signal(..) => {}
    }
}

/// Ends the case's fault.
pub async fn recover(world: &World, case: &Case, program: &Program) {
    match &case.inject {
        Inject::Network(_) => {
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
