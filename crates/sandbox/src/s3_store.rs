//! An S3 server that stores objects in a folder.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpResponse};
use s3s_fs::FileSystem;

use crate::access::Gate;
use crate::credentials::Credentials;
use crate::error_answer::ErrorAnswer;
use crate::fault::{Fault, Front, Request};
use crate::net::{Answering, Hangup, Server, serve_http};
use crate::objects::{self, Leftovers, Stored};
use crate::store::Store;
use crate::uploads::Uploads;

/// The initial configuration of an [`S3Store`].
#[derive(Clone, Debug)]
pub struct S3Options {
    /// The folder whose subfolders are the buckets. Default: a temporary
    /// folder.
    pub root: Option<PathBuf>,
    /// The name of the only initial bucket: 3 to 63 characters.
    pub bucket: String,
}

impl Default for S3Options {
    fn default() -> Self {
        Self { root: None, bucket: "pictures".to_owned() }
    }
}

/// An S3 server (s3s and s3s-fs) on 127.0.0.1 with path-style URLs. It accepts
/// requests that are signed with valid credentials of its registry, stores each
/// object as a plain file, and produces faults on demand.
#[derive(Debug)]
pub struct S3Store {
    server: Server,
    front: Arc<Front>,
    root: PathBuf,
    bucket: String,
    /// Deletes a temporary folder when the store is dropped.
    _temporary: Option<tempfile::TempDir>,
}

impl S3Store {
    /// Starts the server.
    ///
    /// # Errors
    ///
    /// The folder cannot be created, or a port cannot be bound.
    pub async fn start(registry: Arc<Credentials>, options: S3Options) -> io::Result<Self> {
        let (root, temporary) = if let Some(root) = options.root {
            (root, None)
        } else {
            let folder = tempfile::Builder::new().prefix("s3-").tempdir()?;
            (folder.path().to_owned(), Some(folder))
        };
        std::fs::create_dir_all(root.join(&options.bucket))?;
        let root = root.canonicalize()?;
        let files =
            FileSystem::new(&root).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let uploads = Uploads::default();
        let mut builder = S3ServiceBuilder::new(Store { files, root: root.clone(), uploads });
        builder.set_auth(Gate(Arc::clone(&registry)));
        builder.set_access(Gate(registry));
        let service = builder.build();

        let front = Arc::new(Front::default());
        let shared = Arc::clone(&front);
        let server = Server::start(move |stream| {
            let (front, service) = (Arc::clone(&shared), service.clone());
            let handle = move |request| -> Answering<Body> {
                Box::pin(answer(Arc::clone(&front), service.clone(), request))
            };
            serve_http(stream, handle)
        })
        .await?;
        Ok(Self { server, front, root, bucket: options.bucket, _temporary: temporary })
    }

    /// The address of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL for `AWS_ENDPOINT_URL_S3`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The folder that contains the bucket's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The variables that the manifest sets in a pod, and the endpoint.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        vec![
            ("AWS_ENDPOINT_URL_S3".to_owned(), self.endpoint()),
            ("S3_BUCKET_NAME".to_owned(), self.bucket.clone()),
        ]
    }

    /// The objects in the bucket, sorted by key.
    ///
    /// # Panics
    ///
    /// The folder cannot be read, for example because it was deleted.
    #[must_use]
    pub fn objects(&self) -> Vec<Stored> {
        objects::list(&self.root, &self.bucket).expect("the bucket's folder can be read")
    }

    /// What unfinished uploads have left on disk, in all buckets.
    ///
    /// # Panics
    ///
    /// The folder cannot be read, for example because it was deleted.
    #[must_use]
    pub fn leftovers(&self) -> Leftovers {
        Leftovers::count(&self.root).expect("the store's folder can be read")
    }

    /// The requests so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.front.requests()
    }

    /// Forgets the requests so far, which take 2 KB each, so that a run may be long.
    pub fn forget_requests(&self) {
        self.front.forget();
    }

    /// Applies a fault to the next `times` requests of an operation
    /// ([`Request::operation`]). Faults of one operation apply in the order of
    /// these calls.
    ///
    /// # Panics
    ///
    /// There is no operation with this name.
    pub fn fail(&self, operation: &str, times: usize, fault: Fault) {
        self.front.plan(operation, times, fault);
    }

    /// Removes the faults that have not been applied.
    pub fn stop_failing(&self) {
        self.front.unplan();
    }
}

async fn answer(
    front: Arc<Front>,
    service: S3Service,
    mut request: hyper::Request<Incoming>,
) -> Result<HttpResponse, Hangup> {
    let (number, fault) = front.arrived(&request);
    let lose = fault == Some(Fault::LoseAnswer);
    let late = if let Some(Fault::LateAnswer(time)) = fault { time } else { Duration::ZERO };
    match fault {
        None | Some(Fault::LoseAnswer | Fault::LateAnswer(_)) => {}
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        Some(Fault::Status(status, code)) => {
            front.answered(number, status);
            return Ok(ErrorAnswer::new(status, code).into_response());
        }
        Some(Fault::StatusAfter(bytes, status, code)) => {
            read(request.body_mut(), bytes).await;
            front.answered(number, status);
            return Ok(ErrorAnswer::new(status, code).into_response());
        }
        Some(Fault::Error(error)) => {
            front.answered(number, error.status);
            return Ok(error.into_response());
        }
        Some(Fault::ResetAfter(bytes)) => {
            read(request.body_mut(), bytes).await;
            return Err(Hangup::Reset);
        }
        Some(Fault::NotOfS3(text)) => {
            read(request.body_mut(), u64::MAX).await;
            front.answered(number, 200);
            return Ok(HttpResponse::new(Body::from(text.to_owned())));
        }
        Some(Fault::Hang) => {
            read(request.body_mut(), u64::MAX).await;
            std::future::pending::<()>().await;
        }
    }
    // Runs in a task of its own. If the connection fails, the body ends with an
    // error and s3s-fs deletes its temporary file. If the future were dropped
    // instead, the file would remain.
    let served = tokio::spawn(async move { service.call(request.map(Body::from)).await });
    let response = served.await.map_err(|_| Hangup::Close)?.map_err(|_| Hangup::Close)?;
    if lose {
        return Err(Hangup::Reset);
    }
    tokio::time::sleep(late).await;
    front.answered(number, response.status().as_u16());
    Ok(response)
}

/// Reads about this many bytes of a body, or all of a shorter one.
async fn read(body: &mut Incoming, bytes: u64) {
    let mut seen = 0;
    while seen < bytes
        && let Some(Ok(frame)) = body.frame().await
    {
        seen += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
}
