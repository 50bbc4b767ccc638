//! What stands for the services of an emulator in a build without the feature `emulator`, such as
//! that of the local run: a message.

use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;

use super::Emulator;
use crate::agent::AgentOptions;
use crate::association::Associations;
use crate::credentials::Credentials;
use crate::session::Roles;

/// What to do about it.
fn absent<T>() -> io::Result<T> {
    let message = "this sandbox was built without the emulated AWS account, for the local run: \
                   cargo build --package sandbox";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

impl Emulator {
    #[expect(clippy::unused_self, reason = "as in a build with the feature")]
    pub(crate) fn associations(&self) -> io::Result<Arc<dyn Associations>> {
        absent()
    }

    #[expect(clippy::unused_self, reason = "as in a build with the feature")]
    pub(crate) fn roles(&self, _registry: Arc<Credentials>) -> io::Result<Box<dyn Roles>> {
        absent()
    }
}

/// IRSA in an emulator's cluster, which does not exist here.
#[derive(Debug)]
pub enum WebIdentity {}

impl WebIdentity {
    /// There is no emulator to ask for the cluster's OIDC issuer.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn new(
        _registry: &Arc<Credentials>,
        _emulator: &Emulator,
        _pod: &AgentOptions,
        _role_arn: &str,
    ) -> Ready<io::Result<Self>> {
        ready(absent())
    }

    /// The environment that EKS's webhook injects into such a pod.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        match *self {}
    }
}
