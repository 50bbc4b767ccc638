//! What is compiled into the program.

use crate::harness::World;
use crate::served::Served;

/// Together, in bytes.
const LIMIT: usize = 40_000;

#[tokio::test]
async fn the_page_has_at_most_40_kb_and_may_load_nothing_from_elsewhere() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h").await;
    let mut total = 0;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = served.response(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        assert_eq!(header("content-type"), kind);
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        let policy = header("content-security-policy");
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(
                policy.split("; ").any(|each| each.trim() == directive),
                "{directive}: {policy}"
            );
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        let text = answer.text().await.expect("text");
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{path}");
        total += text.len();
    }
    assert!(total <= LIMIT, "{total} bytes");
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn with_page_off_nothing_of_it_is_served() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h --page off").await;
    for path in ["/", "/page.js", "/api/status", "/events", "/pictures/1"] {
        assert_eq!(served.response(path).await.status(), 404, "{path}");
    }
    assert_eq!(served.response("/livez").await.status(), 200);
    served.job.terminate().await.expect(143);
}
