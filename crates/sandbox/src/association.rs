//! Pod Identity associations, and EKS Auth's own table of them.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use uuid::Uuid;

use crate::credentials::ACCOUNT;
use crate::service_error::ServiceError;

/// A Pod Identity association, with the names of EKS's API model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Association {
    /// The namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// The ARN of the role that EKS assumes.
    pub role_arn: String,
    /// The ARN of the role that the session of the first role assumes.
    #[serde(default)]
    pub target_role_arn: Option<String>,
    /// What `sts:ExternalId` is when the target role is assumed.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The session policy.
    #[serde(default)]
    pub policy: Option<String>,
    /// Whether the session has no tags.
    #[serde(default)]
    pub disable_session_tags: bool,
    /// `a-` and 16 or 17 letters and digits.
    #[serde(default = "new_id")]
    pub association_id: String,
    /// The ARN of the association, if the table's owner gives one.
    #[serde(default)]
    pub association_arn: Option<String>,
}

fn new_id() -> String {
    format!("a-{}", &Uuid::new_v4().simple().to_string()[..17])
}

impl Association {
    /// An association of this service account with this role, and nothing else.
    #[must_use]
    pub fn new(namespace: &str, service_account: &str, role_arn: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
            role_arn: role_arn.to_owned(),
            target_role_arn: None,
            external_id: None,
            policy: None,
            disable_session_tags: false,
            association_id: new_id(),
            association_arn: None,
        }
    }

    pub(crate) fn arn(&self, region: &str, cluster: &str) -> String {
        self.association_arn.clone().unwrap_or_else(|| {
            let id = &self.association_id;
            format!("arn:aws:eks:{region}:{ACCOUNT}:podidentityassociation/{cluster}/{id}")
        })
    }

    /// What EKS itself would not have accepted: a session policy requires that
    /// the session tags are off (`CreatePodIdentityAssociation` in EKS's API
    /// model, at `policy`).
    pub(crate) fn check(&self) -> Result<(), ServiceError> {
        if self.policy.is_some() && !self.disable_session_tags {
            let id = &self.association_id;
            let message = format!(
                "Association {id} has a policy, for which disableSessionTags must be set to true."
            );
            return Err(ServiceError::unusable(message));
        }
        Ok(())
    }
}

/// The associations of a cluster.
#[async_trait::async_trait]
pub(crate) trait Associations: fmt::Debug + Send + Sync {
    /// The association of a service account, if there is one.
    async fn find(
        &self,
        cluster: &str,
        namespace: &str,
        account: &str,
    ) -> Result<Option<Association>, ServiceError>;

    /// The cluster's ARN, as in the session tag `eks-cluster-arn`, if the
    /// cluster exists.
    async fn cluster_arn(&self, cluster: &str) -> Result<Option<String>, ServiceError>;
}

/// Associations in memory, for one cluster.
#[derive(Debug)]
pub(crate) struct Table {
    cluster: String,
    region: String,
    entries: Mutex<Vec<Association>>,
}

impl Table {
    pub(crate) fn new(cluster: &str, region: &str, entries: Vec<Association>) -> Self {
        Self {
            cluster: cluster.to_owned(),
            region: region.to_owned(),
            entries: Mutex::new(entries),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Association>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an association, or replaces that of the same service account.
    pub(crate) fn put(&self, association: Association) {
        self.remove(&association.namespace, &association.service_account);
        self.entries().push(association);
    }

    pub(crate) fn remove(&self, namespace: &str, account: &str) {
        self.entries()
            .retain(|each| each.namespace != namespace || each.service_account != account);
    }
}

#[async_trait::async_trait]
impl Associations for Table {
    async fn find(
        &self,
        _: &str,
        namespace: &str,
        account: &str,
    ) -> Result<Option<Association>, ServiceError> {
        let entries = self.entries();
        let mut entries = entries.iter();
        Ok(entries
            .find(|each| each.namespace == namespace && each.service_account == account)
            .cloned())
    }

    async fn cluster_arn(&self, cluster: &str) -> Result<Option<String>, ServiceError> {
        let region = &self.region;
        let arn = || format!("arn:aws:eks:{region}:{ACCOUNT}:cluster/{cluster}");
        Ok((cluster == self.cluster).then(arn))
    }
}
