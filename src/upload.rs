//! Stores each picture as one object: with a single request if possible, otherwise in several parts.

mod checksum_trailer;
mod chunks;
mod destination;
mod failure;
mod multipart;
mod replay;
mod uploader;

pub(crate) use destination::{Destination, Place, without_secrets};
pub(crate) use failure::{S3Failure, UploadError};
pub(crate) use multipart::most_requests;
pub(crate) use uploader::{Uploaded, Uploader};
