//! The page when nobody listens at S3's address or at the agent's.

use std::time::Duration;

use sandbox::{Network, Wire};

use crate::browser::Tab;
use crate::harness::World;
use crate::served::Served;

#[tokio::test]
async fn an_s3_that_refuses_connections_is_seen_with_its_cause_until_it_is_back() {
    let world = World::new().await;
    let s3 = Wire::start(world.sandbox.s3.address()).await.expect("a port");
    s3.set(Network::Refuse).await.expect("it can be closed");
    let endpoint = format!("http://{}", s3.address());
    let job = world.job("/random", "--interval 200ms --startup-grace 1h");
    let served = Served::of(&world, job.env("AWS_ENDPOINT_URL_S3", &endpoint)).await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    let cause = format!("the endpoint {endpoint} does not answer: ");
    tab.wait_for_text("#cause", &cause).await;
    assert!(tab.text("#cause").await.contains("Connection refused"));
    assert!(tab.text("#fix").await.contains("check that it is running"));
    assert_eq!(tab.text("#wrong-id").await, "endpoint_unreachable");
    let failed = tab.text(".attempt.failed").await;
    assert!(failed.contains("Not stored") && failed.contains(&cause), "{failed}");
    tab.wait_for_text("#link", "failing").await;
    s3.set(Network::Good).await.expect("its port is still free");
    tab.wait_for("document.querySelector('#wrong').hidden").await;
    tab.wait_for("document.querySelectorAll('.attempt.ok').length >= 1").await;
    tab.wait_for_text("#link", "live").await;
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn an_agent_that_refuses_connections_is_seen_with_its_cause_until_it_is_back() {
    let world = World::new().await;
    world.sandbox.agent.close();
    let served = Served::start(&world, "/random", "--interval 1h --startup-grace 1h").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text("#cause", "the Pod Identity Agent refuses connections").await;
    tab.wait_for_text("#provider", "No credentials").await;
    tab.wait_for_text("#link", "waiting for credentials").await;
    let failed = "document.querySelector('#chain li[data-state=failed]')?.firstChild.data";
    tab.wait_for(&format!("{failed} === 'EKS Pod Identity'")).await;
    world.sandbox.agent.open().await.expect("its port is still free");
    tab.wait_for_text("#provider", "EKS Pod Identity").await;
    tab.wait_for("document.querySelector('#wrong').hidden").await;
    tab.wait_for("document.querySelectorAll('.attempt.ok').length >= 1").await;
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn an_agent_that_refuses_connections_later_is_seen_while_uploads_go_on() {
    let world = World::with_lifetime(Duration::from_secs(30)).await;
    let served = Served::start(&world, "/random", "--interval 200ms").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text("#provider", "EKS Pod Identity").await;
    world.sandbox.agent.close();
    tab.wait_for_text("#refresh-error", "the credentials in use are still valid").await;
    assert!(tab.text("#refresh-error").await.contains("Connection refused"));
    let uploads = tab.text("#success").await;
    tab.wait_for(&format!("document.querySelector('#success').innerText !== {uploads:?}")).await;
    world.sandbox.agent.open().await.expect("its port is still free");
    tab.wait_for("document.querySelector('#refresh-error').hidden").await;
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}
