//! An emulator's administrator, who sets up the resources that an operator sets
//! up in AWS.

use std::error::Error;
use std::io;

use aws_sdk_eks::error::DisplayErrorContext;
use aws_sdk_eks::types::VpcConfigRequest;
use serde_json::Value;

use super::policies::trust_of;
use crate::association::Association;
use crate::credentials::Issued;
use crate::emulator::Emulator;

/// Sets up buckets, roles, the cluster and its associations. A call that fails
/// returns the service's own error.
#[derive(Clone, Debug)]
pub struct Admin {
    emulator: Emulator,
    eks: aws_sdk_eks::Client,
    iam: aws_sdk_iam::Client,
    s3: aws_sdk_s3::Client,
}

impl Admin {
    /// The administrator of this emulator.
    #[must_use]
    pub fn new(emulator: &Emulator) -> Self {
        Self {
            eks: emulator.eks(),
            iam: emulator.iam(),
            s3: emulator.s3(None),
            emulator: emulator.clone(),
        }
    }

    /// Creates the cluster, with a role of its own.
    pub async fn create_cluster(&self) -> io::Result<()> {
        let name = &self.emulator.cluster;
        let trust = trust_of("eks.amazonaws.com", &["sts:AssumeRole"]);
        let role = self.create_role(&format!("{name}-cluster"), &trust).await?;
        // EKS requires at least two subnets, but the emulator does not check
        // them.
        let network = VpcConfigRequest::builder().subnet_ids("subnet-a").subnet_ids("subnet-b");
        let created = self.eks.create_cluster().name(name).role_arn(role);
        created.resources_vpc_config(network.build()).send().await.map_err(failed)?;
        Ok(())
    }

    /// Creates a bucket.
    pub async fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        self.s3.create_bucket().bucket(bucket).send().await.map_err(failed)?;
        Ok(())
    }

    /// Creates a role with this trust policy, and returns its ARN.
    pub async fn create_role(&self, name: &str, trust: &Value) -> io::Result<String> {
        let created = self.iam.create_role().role_name(name);
        let created = created.assume_role_policy_document(trust.to_string()).send().await;
        let role = created.map_err(failed)?.role;
        role.map(|role| role.arn).ok_or_else(|| io::Error::other("IAM created no role"))
    }

    /// Replaces a role's trust policy.
    pub async fn set_trust(&self, role: &str, trust: &Value) -> io::Result<()> {
        let updated = self.iam.update_assume_role_policy().role_name(role);
        updated.policy_document(trust.to_string()).send().await.map_err(failed)?;
        Ok(())
    }

    /// Sets or replaces the policy of a role.
    pub async fn set_policy(&self, role: &str, policy: &Value) -> io::Result<()> {
        let put = self.iam.put_role_policy().role_name(role).policy_name("allowed");
        put.policy_document(policy.to_string()).send().await.map_err(failed)?;
        Ok(())
    }

    /// Deletes the cluster, and its role.
    pub async fn delete_cluster(&self) -> io::Result<()> {
        let name = &self.emulator.cluster;
        self.eks.delete_cluster().name(name).send().await.map_err(failed)?;
        self.delete_role(&format!("{name}-cluster")).await
    }

    /// Deletes a role with its own policies.
    pub async fn delete_role(&self, name: &str) -> io::Result<()> {
        let policies =
            self.iam.list_role_policies().role_name(name).send().await.map_err(failed)?;
        for policy in policies.policy_names {
            let deleted = self.iam.delete_role_policy().role_name(name).policy_name(policy);
            deleted.send().await.map_err(failed)?;
        }
        self.iam.delete_role().role_name(name).send().await.map_err(failed)?;
        Ok(())
    }

    /// Deletes a bucket with its objects.
    pub async fn delete_bucket(&self, bucket: &str) -> io::Result<()> {
        for (key, _) in self.objects(bucket).await? {
            let deleted = self.s3.delete_object().bucket(bucket).key(key);
            deleted.send().await.map_err(failed)?;
        }
        self.s3.delete_bucket().bucket(bucket).send().await.map_err(failed)?;
        Ok(())
    }

    /// Creates a bucket, and a role of the same name with these policies.
    /// Returns the role's ARN.
    pub async fn create_upload_role(
        &self,
        bucket: &str,
        trust: &Value,
        policy: &Value,
    ) -> io::Result<String> {
        self.create_bucket(bucket).await?;
        let role = self.create_role(bucket, trust).await?;
        self.set_policy(bucket, policy).await?;
        Ok(role)
    }

    /// Creates a Pod Identity association, and returns its ID.
    pub async fn associate(
        &self,
        namespace: &str,
        service_account: &str,
        role_arn: &str,
    ) -> io::Result<String> {
        let association = Association::new(namespace, service_account, role_arn);
        Ok(self.create_association(&association).await?.association_id)
    }

    /// Creates a Pod Identity association, and returns it with what EKS has
    /// chosen: its ID, and the external ID for a target role.
    pub async fn create_association(&self, wanted: &Association) -> io::Result<Association> {
        let created = self.eks.create_pod_identity_association();
        let created = created
            .cluster_name(&self.emulator.cluster)
            .namespace(&wanted.namespace)
            .service_account(&wanted.service_account)
            .role_arn(&wanted.role_arn)
            .set_target_role_arn(wanted.target_role_arn.clone())
            .set_policy(wanted.policy.clone())
            .disable_session_tags(wanted.disable_session_tags)
            .send()
            .await
            .map_err(failed)?;
        let created = created.association;
        let created = created.ok_or_else(|| io::Error::other("EKS created no association"))?;
        Ok(Association {
            association_id: created.association_id.unwrap_or_default(),
            association_arn: created.association_arn,
            external_id: created.external_id,
            ..wanted.clone()
        })
    }

    /// Deletes a Pod Identity association.
    pub async fn dissociate(&self, association_id: &str) -> io::Result<()> {
        let deleted = self.eks.delete_pod_identity_association();
        let deleted = deleted.cluster_name(&self.emulator.cluster).association_id(association_id);
        deleted.send().await.map_err(failed)?;
        Ok(())
    }

    /// The keys and lengths of the objects in a bucket.
    pub async fn objects(&self, bucket: &str) -> io::Result<Vec<(String, u64)>> {
        let listed = self.s3.list_objects_v2().bucket(bucket).send().await.map_err(failed)?;
        let objects = listed.contents().iter();
        let objects = objects.map(|object| {
            let length = object.size().and_then(|size| u64::try_from(size).ok());
            (object.key().unwrap_or_default().to_owned(), length.unwrap_or_default())
        });
        Ok(objects.collect())
    }

    /// The number of unfinished multipart uploads in a bucket.
    pub async fn unfinished_uploads(&self, bucket: &str) -> io::Result<usize> {
        let listed = self.s3.list_multipart_uploads().bucket(bucket).send().await;
        Ok(listed.map_err(failed)?.uploads().len())
    }

    /// A client of the emulator's S3 that uses these credentials.
    #[must_use]
    pub fn s3_as(&self, issued: &Issued) -> aws_sdk_s3::Client {
        self.emulator.s3(Some(issued))
    }
}

fn failed(error: impl Error) -> io::Error {
    io::Error::other(DisplayErrorContext(error).to_string())
}
