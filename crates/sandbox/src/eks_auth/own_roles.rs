//! Roles without an IAM: all of them exist and trust EKS.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::association::Association;
use crate::credentials::{Credentials, Issued};
use crate::role::Role;
use crate::service_error::ServiceError;
use crate::session::{Roles, Session};

/// Issues credentials of the registry.
#[derive(Debug)]
pub(crate) struct OwnRoles {
    registry: Arc<Credentials>,
    /// The roles so far, by name: a role keeps its ID.
    roles: Mutex<HashMap<String, Role>>,
}

impl OwnRoles {
    pub(crate) fn new(registry: Arc<Credentials>) -> Self {
        Self { registry, roles: Mutex::default() }
    }
}

#[async_trait::async_trait]
impl Roles for OwnRoles {
    async fn assume(
        &self,
        association: &Association,
        session: &Session,
    ) -> Result<Issued, ServiceError> {
        // Nothing evaluates policies here, and an association whose target role
        // or policy is ignored would grant too much.
        if association.target_role_arn.is_some() || association.policy.is_some() {
            let message = "The sandbox honours target roles and session policies only with the IAM of an emulator.";
            return Err(ServiceError::unusable(message));
        }
        session.check_size(None)?;
        let name = association.role_arn.rsplit('/').next().unwrap_or_default();
        let role = {
            let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
            roles.entry(name.to_owned()).or_insert_with(|| Role::new(name)).clone()
        };
        Ok(self.registry.issue_to(&role, &session.name, session.lifetime))
    }
}
