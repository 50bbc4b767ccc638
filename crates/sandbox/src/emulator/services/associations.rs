//! The associations of an emulator's EKS.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_eks::error::ProvideErrorMetadata;

use super::failure::failure;
use crate::association::{Association, Associations};
use crate::emulator::Emulator;
use crate::service_error::ServiceError;

/// The associations that EKS's API has.
#[derive(Debug)]
pub(crate) struct EmulatedAssociations {
    eks: aws_sdk_eks::Client,
    /// The ARNs of the clusters that have been seen, which do not change.
    clusters: Mutex<HashMap<String, String>>,
}

impl EmulatedAssociations {
    pub(crate) fn new(emulator: &Emulator) -> Self {
        Self { eks: emulator.eks(), clusters: Mutex::default() }
    }
}

#[async_trait::async_trait]
impl Associations for EmulatedAssociations {
    /// Lists, and then describes: the list omits the role.
    async fn find(
        &self,
        cluster: &str,
        namespace: &str,
        account: &str,
    ) -> Result<Option<Association>, ServiceError> {
        let listed = self
            .eks
            .list_pod_identity_associations()
            .cluster_name(cluster)
            .namespace(namespace)
            .service_account(account)
            .send()
            .await
            .map_err(|error| failure(&error))?;
        let id = listed.associations().first().and_then(|found| found.association_id());
        let Some(id) = id else { return Ok(None) };
        let described = self
            .eks
            .describe_pod_identity_association()
            .cluster_name(cluster)
            .association_id(id)
            .send()
            .await;
        let described = match described {
            // It was deleted in between.
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
            described => described.map_err(|error| failure(&error))?,
        };
        Ok(described.association.map(|found| Association {
            namespace: namespace.to_owned(),
            service_account: account.to_owned(),
            role_arn: found.role_arn.unwrap_or_default(),
            target_role_arn: found.target_role_arn,
            external_id: found.external_id,
            policy: found.policy,
            disable_session_tags: found.disable_session_tags == Some(true),
            association_id: id.to_owned(),
            association_arn: found.association_arn,
        }))
    }

    async fn cluster_arn(&self, cluster: &str) -> Result<Option<String>, ServiceError> {
        let known = || self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arn) = known().get(cluster) {
            return Ok(Some(arn.clone()));
        }
        let described = self.eks.describe_cluster().name(cluster).send().await;
        let arn = match described {
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
            described => described.map_err(|error| failure(&error))?.cluster.and_then(|it| it.arn),
        };
        if let Some(arn) = &arn {
            known().insert(cluster.to_owned(), arn.clone());
        }
        Ok(arn)
    }
}
