//! Stores each picture as one object: with a single request if possible, otherwise in several parts.

mod checksum;
mod checksum_trailer;
mod chunks;
mod content;
mod destination;
mod failure;
mod form;
mod multipart;
mod proof;
mod replay;
mod single;
mod uploader;
mod white_space;

pub(crate) use destination::{Destination, Place, Store, without_secrets};
pub(crate) use failure::{Doubt, S3Failure, UploadError};
pub(crate) use multipart::most_requests;
pub(crate) use uploader::{Probed, Uploaded, Uploader};
