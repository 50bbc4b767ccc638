//! One picture becomes one object: a single request if that is possible, several parts otherwise.

mod checksum_trailer;
mod chunks;
mod destination;
mod error;
mod multipart;
mod replay;
mod uploader;

pub(crate) use destination::{Destination, Place, without_secrets};
pub(crate) use error::UploadError;
pub(crate) use multipart::most_requests;
pub(crate) use uploader::{Uploaded, Uploader};
