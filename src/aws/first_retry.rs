//! The first retry of a request to an AWS service is worth a line in the log: that all of them have failed
//! may be known only minutes later.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use hyper::Uri;

use super::connect::name_of;
use super::exchange::Exchange;
use crate::errors::{find_cause, one_line};

/// Logs the first retry of each request, with the host and why.
#[derive(Debug)]
pub(crate) struct FirstRetry;

/// Why the last attempt failed, in one line.
#[derive(Debug)]
struct Failure(String);

impl Storable for Failure {
    type Storer = StoreReplace<Self>;
}

#[dyn_dispatch_hint]
impl Intercept for FirstRetry {
    fn name(&self) -> &'static str {
        "FirstRetry"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Err(error)) = context.output_or_error() {
            let error = match (context.response(), find_cause::<Exchange>(error)) {
                (Some(response), _) => format!("HTTP status {}", response.status()),
                (None, Some(exchange)) => exchange.to_string(),
                (None, None) => one_line(error),
            };
            config.interceptor_state().store_put(Failure(error));
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_first_retry = config.load::<RequestAttempts>().is_some_and(|it| it.attempts() == 2);
        if let Some(Failure(error)) = config.load::<Failure>().filter(|_| is_first_retry) {
            let uri = context.request().uri().parse::<Uri>();
            let host = uri.map(|uri| name_of(&uri)).unwrap_or_default();
            tracing::warn!(host, error, "asking S3 again");
        }
        Ok(())
    }
}
