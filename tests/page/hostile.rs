//! The page with a hostile image host, a hostile S3 and hostile web sites.

use std::net::SocketAddr;

use sandbox::{ErrorAnswer, Fault};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::browser::Tab;
use crate::harness::World;
use crate::served::{Served, TIMEOUT};

/// A picture by its first bytes, and a script or a document by the others.
const SCRIPT: &[u8] = b"GIF89a=1;/*  !\xfe*/window.pwned='script';document.title='pwned';//\0;";
const DOCUMENT: &[u8] =
    b"GIF89a\x01\0\x01\0\0\0\0!\xfe<html><script>document.title='pwned';window.pwned='document'</script></html>";
const SVG: &[u8] =
    b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>document.title='pwned'</script></svg>";

const MARKUP: &str =
    "<img src=x onerror=\"document.title='pwned'\"><script>window.pwned='text'</script>";

/// An image host that answers each request with these bytes, and calls them HTML.
async fn image_host(body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/<b>picture</b>", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
        }
    });
    url
}

#[tokio::test]
async fn a_picture_that_is_also_a_script_never_runs() {
    for (bytes, kind) in [(SCRIPT, "script"), (DOCUMENT, "document")] {
        let world = World::new().await;
        let url = image_host(bytes).await;
        let served = Served::of(&world, world.job_from(&url, "--interval 1h")).await;
        served.job.wrote("\"uploaded\"", 1).await;
        let status = served.status().await;
        let path = status["attempts"][0]["picture"].as_str().expect("a path").to_owned();

        let answer = served.response(&path).await;
        assert_eq!(answer.headers()["content-type"], "image/gif", "{kind}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["content-security-policy"], "sandbox; default-src 'none'");
        assert_eq!(answer.headers()["cross-origin-resource-policy"], "same-origin");
        assert_eq!(answer.bytes().await.expect("bytes"), bytes);

        let tab = Tab::new().await;
        tab.open(&served.url()).await;
        tab.wait_for("document.querySelectorAll('.attempt').length === 1").await;
        // As a script of the page itself, where its policy allows the page's own files.
        let loaded: String =
            tab.eval(&format!("import('{path}').then(() => 'ran', () => 'refused')")).await;
        assert_eq!(loaded, "refused", "{kind}");
        assert!(!tab.eval::<bool>("'pwned' in window").await, "{kind}");
        // As a document of its own.
        tab.open(&format!("http://{}{path}", served.at)).await;
        tab.wait_for(&format!(
            "location.pathname === '{path}' && document.readyState === 'complete'"
        ))
        .await;
        assert!(!tab.eval::<bool>("'pwned' in window").await, "{kind}");
        assert_ne!(tab.eval::<String>("document.title").await, "pwned", "{kind}");
        served.job.terminate().await.expect(143);
    }
}

#[tokio::test]
async fn an_svg_is_no_picture() {
    let world = World::new().await;
    let url = image_host(SVG).await;
    let served = Served::of(&world, world.job_from(&url, "--interval 1h")).await;
    served.job.wrote("upload failed", 1).await;
    let attempt = served.status().await["attempts"][0].clone();
    assert_eq!(attempt["result"], "failure");
    assert_eq!(attempt["reason"], "not_an_image");
    assert_eq!(attempt["diagnosis"]["id"], "picture_not_an_image");
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn markup_in_the_texts_of_servers_is_shown_as_text() {
    let world = World::new().await;
    let error = ErrorAnswer::new(409, "Strange").message(MARKUP);
    world.sandbox.s3.fail("PutObject", usize::MAX, Fault::Error(error));
    let served = Served::start(&world, "/random", "--interval 1h").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text(".attempt.failed", MARKUP).await;
    assert!(tab.text("#cause").await.contains(MARKUP));
    assert_eq!(
        tab.eval::<u32>("document.querySelectorAll('#cause *, .attempt img').length").await,
        0
    );
    assert!(!tab.eval::<bool>("'pwned' in window").await);
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn a_web_site_that_rebinds_its_name_gets_nothing() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h").await;
    served.job.wrote("\"uploaded\"", 1).await;
    let path = served.status().await["attempts"][0]["picture"].as_str().expect("a path").to_owned();
    let tab = Tab::new().await;
    tab.open(&format!("http://rebound.example:{}/", served.at.port())).await;
    tab.wait_for_text("body", "the page is not available under this name").await;

    for path in ["/", "/page.js", "/api/status", "/events", "/metrics", "/readyz", &path] {
        let status = ask(served.at, path, "rebound.example").await;
        assert!(status.starts_with("HTTP/1.1 421 "), "{path}: {status}");
        assert!(!status.contains("pod-identity\""), "{path}: {status}");
        for host in ["localhost:8080", "127.0.0.1", "[::1]:8080", "10.0.0.7:8080"] {
            let status = ask(served.at, path, host).await;
            assert!(status.starts_with("HTTP/1.1 200 "), "{path} of {host}: {status}");
        }
    }
    // These two tell nothing but that it is alive.
    for path in ["/livez", "/healthz"] {
        let status = ask(served.at, path, "rebound.example").await;
        assert!(status.starts_with("HTTP/1.1 200 "), "{path}: {status}");
    }
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn kubelets_and_prometheus_may_call_a_pod_by_any_name() {
    let world = World::new().await;
    let job = world.job("/random", "--interval 1h --listen 0.0.0.0:0").start();
    let event = job.event("health and metrics are served").await;
    let at: SocketAddr = event["address"].as_str().and_then(|at| at.parse().ok()).expect("it is");
    let at = SocketAddr::from(([127, 0, 0, 1], at.port()));
    job.wrote("\"uploaded\"", 1).await;
    for path in ["/livez", "/healthz", "/readyz", "/metrics"] {
        let status = ask(at, path, "pod-identity-demo.demo.svc").await;
        assert!(status.starts_with("HTTP/1.1 200 "), "{path}: {status}");
    }
    let page = ask(at, "/api/status", "pod-identity-demo.demo.svc").await;
    assert!(page.starts_with("HTTP/1.1 421 "), "{page}");
    job.terminate().await.expect(143);
}

#[tokio::test]
async fn page_hosts_allows_a_name() {
    let world = World::new().await;
    let arguments = "--interval 1h --page-hosts rebound.example,other.example";
    let served = Served::start(&world, "/random", arguments).await;
    let tab = Tab::new().await;
    let url = format!("http://rebound.example:{}/", served.at.port());
    tab.open(&url).await;
    tab.wait_for_text("#link", "live").await;
    tab.expect_quiet(&url);
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn no_answer_has_a_secret() {
    let world = World::new().await;
    let url = world.sandbox.images.url("/random").replace("http://", "http://user:hunter2@");
    let served = Served::of(&world, world.job_from(&url, "--interval 200ms")).await;
    served.job.wrote("\"uploaded\"", 2).await;
    world.sandbox.s3.fail("PutObject", usize::MAX, Fault::Status(403, "AccessDenied"));
    served.status_when(|status| !status["diagnosis"].is_null()).await;
    let token = std::fs::read_to_string(world.sandbox.agent.token_file()).expect("a token");
    let mut secrets = world.sandbox.agent.secrets();
    secrets.push(token);
    secrets.push("hunter2".to_owned());
    let pictures = served.status().await;
    let pictures = pictures["attempts"].as_array().expect("a list").iter();
    let pictures = pictures.filter_map(|each| each["picture"].as_str().map(str::to_owned));
    let paths = ["/", "/style.css", "/page.js", "/icon.svg", "/api/status", "/metrics", "/readyz"];
    for path in paths.map(str::to_owned).into_iter().chain(pictures) {
        let answer = served.response(&path).await;
        let headers = format!("{:?}", answer.headers());
        let body = String::from_utf8_lossy(&answer.bytes().await.expect("bytes")).into_owned();
        for secret in &secrets {
            assert!(!body.contains(secret) && !headers.contains(secret), "{path} has a secret");
        }
    }
    let events = ask(served.at, "/events", "localhost").await;
    assert!(events.contains("data: {\"now\":"), "{events}");
    for secret in &secrets {
        assert!(!events.contains(secret), "the events have a secret");
    }
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn an_event_has_an_identifier_and_a_reconnect_gets_a_whole_document() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h").await;
    served.job.wrote("\"uploaded\"", 1).await;
    for last in ["", "Last-Event-ID: 1\r\n", "Last-Event-ID: 99999\r\n"] {
        let said = ask_with(served.at, "/events", "localhost", last).await;
        assert!(said.contains("content-type: text/event-stream\r\n"), "{said}");
        let event = said.split_once("retry: 1000\nid: ").expect("an event").1;
        let (id, data) = event.split_once("\ndata: ").expect("data");
        assert!(id.parse::<u64>().is_ok(), "{id}");
        // Chunks of HTTP stand between the parts of the event.
        assert!(data.contains("\"attempts\":[{\"number\":1,"), "{data}");
    }
    served.job.terminate().await.expect(143);
}

async fn ask(at: SocketAddr, path: &str, host: &str) -> String {
    ask_with(at, path, host, "").await
}

/// The beginning of the answer, up to its end or the end of its first event.
async fn ask_with(at: SocketAddr, path: &str, host: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(at).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut said = Vec::new();
    let read = async {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            said.extend_from_slice(&buffer[..length]);
            if path == "/events" && said.windows(3).any(|end| end == b"}\n\n") {
                break;
            }
        }
    };
    timeout(TIMEOUT, read).await.expect("an answer");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn no_picture_is_kept_that_is_too_large_or_too_many() {
    let world = World::new().await;
    let target = "/x?kind=png&size=900KB";
    let served =
        Served::start(&world, target, "--interval 250ms --keep-pictures 3 --count 20").await;
    let status =
        served.status_when(|status| status["uploads"]["success"].as_u64() >= Some(6)).await;
    let kept = |status: &Value| {
        let attempts = status["attempts"].as_array().expect("a list").iter();
        attempts.filter(|each| each["picture"].is_string()).count()
    };
    // Three times 900 kB is more than all pictures together may have.
    assert_eq!(kept(&status), 2, "{status}");
    assert_eq!(served.response("/pictures/1").await.status(), 404);
    served.job.terminate().await.expect(143);

    let served = Served::start(&world, "/x?kind=png&size=2MB", "--interval 1h").await;
    served.job.wrote("\"uploaded\"", 1).await;
    assert_eq!(kept(&served.status().await), 0);
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text(".attempt .view", "2.0 MB: too large to keep").await;
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);

    let served = Served::start(&world, "/random", "--interval 1h --keep-pictures 0").await;
    served.job.wrote("\"uploaded\"", 1).await;
    assert_eq!(kept(&served.status().await), 0);
    served.job.terminate().await.expect(143);
}
