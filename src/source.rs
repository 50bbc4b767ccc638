//! One picture from an image host that is not trusted: the request, its redirects, its limits, and
//! the rules that make a picture whole.

mod address_guard;
mod completeness;
mod error;
mod fetch;
mod image_kind;
mod limits;
mod picture;
mod redirect;
mod rest;
mod special_purpose;
mod stall_timer;
mod tee;

#[cfg(test)]
pub(crate) use address_guard::AddressGuard;
#[cfg(feature = "fuzzing")]
pub use completeness::fuzz_logic;
pub(crate) use error::FetchError;
pub(crate) use fetch::{Source, host};
pub(crate) use image_kind::ImageKind;
pub(crate) use limits::Limits;
pub(crate) use picture::Picture;
pub(crate) use tee::{Tee, Tees};
