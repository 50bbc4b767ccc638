//! The page when something is wrong, which is when it is needed.

use sandbox::{Answer, Fault};

use crate::browser::Tab;
use crate::harness::World;
use crate::served::Served;

#[tokio::test]
async fn a_refusal_of_s3_is_seen_with_cause_and_fix_until_it_is_over() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 200ms").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for("document.querySelectorAll('.attempt.ok').length >= 1").await;
    world.sandbox.s3.fail("PutObject", usize::MAX, Fault::Status(404, "NoSuchBucket"));
    tab.wait_for("!document.querySelector('#wrong').hidden").await;
    assert!(tab.text("#cause").await.starts_with("there is no bucket pictures"));
    assert!(tab.text("#fix").await.contains("correct S3_BUCKET_NAME"));
    assert_eq!(tab.text("#wrong-id").await, "no_such_bucket");
    let failed = tab.text(".attempt.failed").await;
    assert!(failed.contains("Not stored") && failed.contains("there is no bucket"), "{failed}");
    assert!(tab.text("#say").await.is_empty() || !tab.text("#say").await.contains("undefined"));
    tab.wait_for_text("#link", "failing").await;
    world.sandbox.s3.stop_failing();
    tab.wait_for("document.querySelector('#wrong').hidden").await;
    tab.wait_for("document.querySelectorAll('.attempt')[0].classList.contains('ok')").await;
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn a_failing_image_host_is_seen_in_the_same_line_of_time() {
    let world = World::new().await;
    let served = Served::start(&world, "/x?status=404", "--interval 1h").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text(".attempt.failed", "Not fetched").await;
    let failed = tab.text(".attempt.failed").await;
    assert!(failed.contains("404") && failed.contains("image_host_refuses"), "{failed}");
    let cause = tab.text("#cause").await;
    assert_eq!(
        cause,
        format!("{} answered 404 Not Found instead of a picture", world.sandbox.images.address())
    );
    assert!(tab.text("#fix").await.contains("correct IMAGE_URL"));
    assert_eq!(tab.text("#failure").await, "1");
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn a_silent_s3_is_seen_with_the_age_of_the_picture_and_the_skipped_ticks() {
    let world = World::new().await;
    world.sandbox.s3.fail("PutObject", usize::MAX, Fault::Hang);
    let served = Served::start(&world, "/random", "--interval 1s --shutdown-grace 1s").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text("#slow", "A picture has been under way for ").await;
    assert!(tab.text("#slow").await.contains(" s, longer than the interval of 1 s"));
    tab.wait_for_text("#link", "live, slow").await;
    tab.wait_for_text("#next-label", "1 in flight").await;
    tab.wait_for_text("#skipped", " skipped").await;
    assert_ne!(tab.eval::<String>("$('link').dataset.link").await, "live", "it is not green");
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn without_an_agent_the_page_says_so_and_recovers() {
    let world = World::new().await;
    world.sandbox.agent.set_answer(Answer::Status(500, "[]".to_owned()));
    let served =
        Served::start(&world, "/random", "--interval 10s --require-identity pod-identity").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text("#provider", "No credentials").await;
    tab.wait_for_text("#cause", "the agent answered 500: it gets no answer from EKS Auth").await;
    tab.wait_for_text("#link", "waiting for credentials").await;
    let failed = "document.querySelector('#chain li[data-state=failed]')?.firstChild.data";
    tab.wait_for(&format!("{failed} === 'EKS Pod Identity'")).await;
    world.sandbox.agent.set_answer(Answer::Normal);
    tab.wait_for_text("#provider", "EKS Pod Identity").await;
    tab.wait_for("document.querySelector('#wrong').hidden").await;
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn an_agent_that_goes_down_later_is_seen_and_does_not_end_the_uploads() {
    let world = World::with_lifetime(std::time::Duration::from_secs(20)).await;
    let served = Served::start(&world, "/random", "--interval 200ms").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text("#provider", "EKS Pod Identity").await;
    world.sandbox.agent.set_answer(Answer::Status(500, "[]".to_owned()));
    tab.wait_for_text("#refresh-error", "the credentials in use are still valid").await;
    let answered = "document.querySelector('#chain li[data-state=answered]')?.firstChild.data";
    assert_eq!(tab.eval::<String>(answered).await, "EKS Pod Identity");
    world.sandbox.agent.set_answer(Answer::Normal);
    tab.wait_for("document.querySelector('#refresh-error').hidden").await;
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn a_wrong_identity_is_red_and_stays_to_be_seen_after_the_end() {
    let world = World::new().await;
    // The job waits for the agent, and meanwhile nobody answers; then the requirement is not met.
    world.sandbox.agent.set_answer(Answer::Status(500, "[]".to_owned()));
    let job = world.job("/random", "--require-identity ecs");
    let served = Served::of(&world, job).await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text("#link", "waiting for credentials").await;
    world.sandbox.agent.set_answer(Answer::Normal);
    tab.wait_for_text("#link", "the job has ended with exit code 3").await;
    tab.wait_for_text("#provider", "EKS Pod Identity").await;
    let required = tab.text("#required").await;
    assert!(required.contains("not the required identity, which is ECS task role"), "{required}");
    assert!(
        tab.eval::<bool>("document.querySelector('#identity').classList.contains('wrong')").await
    );
    assert!(tab.text("#cause").await.contains("--require-identity asks for ecs"));
    tab.expect_only_lost_connections(&served.url());
    served.job.finish().await.expect(3);
}
