//! Tests what the image host sends.

mod common;

use std::collections::HashSet;

use common::get;
use sandbox::{ImageHost, Kind};
use sha2::{Digest, Sha256};

#[tokio::test]
async fn pictures_can_be_decoded_and_are_all_different() {
    let host = ImageHost::start().await.unwrap();
    let mut seen = HashSet::new();
    for kind in Kind::ALL.into_iter().chain(Kind::ALL) {
        let url = host.url(&format!("/picture?kind={}&width=48&height=40", kind.name()));
        let answer = get(&url).await;
        assert_eq!(answer.header("content-type"), Some(kind.media_type()));
        let picture = image::load_from_memory(&answer.body).expect("it decodes");
        assert_eq!((picture.width(), picture.height()), (48, 40));
        let served = host.served().pop().expect("it is in the record");
        assert!(served.whole && served.kind == kind, "{served:?}");
        assert_eq!(served.sha256, common::hex(&Sha256::digest(&answer.body)));
        assert_eq!(served.crc32, crc32fast::hash(&answer.body));
        assert!(seen.insert(served.sha256), "the same picture twice");
    }
}

#[tokio::test]
async fn a_picture_has_exactly_the_requested_size_and_can_be_decoded() {
    let host = ImageHost::start().await.unwrap();
    for size in ["20000", "3MiB", "700001"] {
        for framing in ["length", "close"] {
            let path = format!("/any?kind=png&size={size}&framing={framing}&digest=sha256");
            let answer = get(&host.url(&path)).await;
            let served = host.served().pop().unwrap();
            assert_eq!(served.len, answer.body.len() as u64);
            assert_eq!(served.crc32, crc32fast::hash(&answer.body));
            assert_eq!(served.sha256, common::hex(&Sha256::digest(&answer.body)));
            assert_eq!(answer.header("content-length").is_some(), framing == "length");
            assert!(image::load_from_memory(&answer.body).is_ok());
        }
    }
    let lengths: Vec<u64> = host.served().iter().map(|served| served.len).collect();
    assert_eq!(lengths, [20_000, 20_000, 3 << 20, 3 << 20, 700_001, 700_001]);
}

#[tokio::test]
async fn a_fixed_picture_is_the_same_for_every_request() {
    let host = ImageHost::start().await.unwrap();
    let url = host.url("/fixed?picture=fixed&size=200KB");
    let (first, second) = (get(&url).await, get(&url).await);
    assert!(first.body == second.body && first.body.len() == 200_000);
    assert_eq!(host.served()[1].crc32, crc32fast::hash(&second.body));
}
