//! Tests with a corpus of valid pictures by several encoders (`corpus.py`): none is refused, and none is
//! stored that is cut.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use futures_util::future::join_all;
use sandbox::{Reply, Scripted};

use crate::harness::World;

/// The least number of files that the corpus must have, and of each kind.
const FILES: usize = 300;
const OF_EACH_KIND: usize = 10;

/// The kinds, by the extension that the program gives them.
const KINDS: [(&str, &str); 7] = [
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("gif", "image/gif"),
    ("jpg", "image/jpeg"),
    ("png", "image/png"),
    ("tif", "image/tiff"),
    ("webp", "image/webp"),
];

/// Programs that are sent cut pictures at the same time: each pauses for a second after a failure.
const AT_ONCE: usize = 24;

struct File {
    name: String,
    extension: String,
    content: Vec<u8>,
}

/// The corpus, which takes some seconds to write.
static CORPUS: LazyLock<Vec<File>> = LazyLock::new(write);

fn write() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".tools/corpus/bin/python");
    assert!(python.exists(), "the encoders are missing: run scripts/dev/tools.sh corpus");
    let folder = tempfile::tempdir().expect("a folder");
    let written =
        Command::new(python).arg(root.join("tests/job/corpus.py")).arg(folder.path()).output();
    let written = written.expect("Python runs");
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    let part =
        |part: Option<&std::ffi::OsStr>| part.expect("a name").to_string_lossy().into_owned();
    let read = |path: &PathBuf| File {
        name: part(path.file_name()),
        extension: part(path.extension()),
        content: std::fs::read(path).expect("a file"),
    };
    files.iter().map(read).collect()
}

/// A host that serves these contents one after another, and then none.
async fn host(contents: Vec<Vec<u8>>) -> Scripted {
    let next = AtomicUsize::new(0);
    let script = move |_: &_| match contents.get(next.fetch_add(1, Ordering::SeqCst)) {
        Some(content) => Reply::new(200, content.clone()),
        None => Reply::new(404, ""),
    };
    Scripted::start(script).await.expect("a port")
}

#[tokio::test]
async fn no_valid_picture_is_refused_and_each_is_stored_byte_for_byte_as_what_it_is() {
    let files = &*CORPUS;
    assert!(files.len() >= FILES, "{} files", files.len());
    let world = World::new().await;
    let host = host(files.iter().map(|file| file.content.clone()).collect()).await;
    let arguments = format!("--count {} --interval 0s", files.len());
    let job = world.job_from(&host.url("/"), &arguments).env("RUST_LOG", "info").start();
    tokio::select! {
        () = job.wrote("\"ended\"", 1) => {}
        refused = job.event("upload failed") => {
            let name = &files[host.asked().len() - 1].name;
            panic!("{name}: {refused}");
        }
    }
    let done = job.finish().await.expect(0);
    assert!(done.events("upload failed").is_empty());

    let mut expected: Vec<_> =
        files.iter().map(|file| (file.extension.clone(), file.content.clone())).collect();
    let mut stored: Vec<_> = world
        .objects()
        .await
        .into_iter()
        .map(|object| {
            let extension = object.key.rsplit('.').next().expect("an extension").to_owned();
            let kind = KINDS.iter().find(|(known, _)| *known == extension).expect("a kind").1;
            assert_eq!(object.content_type.as_deref(), Some(kind), "{}", object.key);
            (extension, std::fs::read(object.path).expect("readable"))
        })
        .collect();
    expected.sort();
    stored.sort();
    assert!(stored == expected, "the objects are not the files");
    for (extension, _) in KINDS {
        let number = files.iter().filter(|file| file.extension == extension).count();
        assert!(number >= OF_EACH_KIND, "{number} files of the kind {extension}");
    }
}

#[tokio::test]
async fn no_jpeg_png_or_webp_is_stored_of_which_a_part_is_missing() {
    let files = &*CORPUS;
    // Of those with a second picture behind the first, the first may be whole.
    let is_cut = |file: &&File| {
        ["jpg", "png", "webp"].contains(&file.extension.as_str()) && !file.name.contains("appended")
    };
    let cut: Vec<(String, Vec<u8>)> = files
        .iter()
        .filter(is_cut)
        .flat_map(|file| {
            [1, 2].map(|thirds| {
                let length = file.content.len() * thirds / 3;
                (format!("{} cut to {thirds}/3", file.name), file.content[..length].to_vec())
            })
        })
        .collect();
    assert!(cut.len() > 400, "{} cut pictures", cut.len());
    let world = World::new().await;
    let wrong = Mutex::new(Vec::new());
    let each = cut.chunks(cut.len().div_ceil(AT_ONCE)).map(async |share| {
        let host = host(share.iter().map(|(_, content)| content.clone()).collect()).await;
        let job = world.job_from(&host.url("/"), "--interval 0s").env("RUST_LOG", "info").start();
        job.wrote("upload failed", share.len()).await;
        let done = job.terminate().await.expect(143);
        for ((name, _), failed) in share.iter().zip(done.events("upload failed")) {
            let reason = failed["reason"].as_str().unwrap_or_default();
            if !["truncated", "not_an_image"].contains(&reason) {
                wrong.lock().expect("no panic").push(format!("{name}: {failed}"));
            }
        }
        for stored in done.events("uploaded") {
            wrong.lock().expect("no panic").push(format!("stored: {stored}"));
        }
    });
    join_all(each).await;
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(world.objects().await.len(), 0);
}
