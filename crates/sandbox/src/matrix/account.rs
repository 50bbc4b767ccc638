//! The account of the experiment, and those who ask.

use std::io;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use reqwest::header::AUTHORIZATION;
use serde_json::Value;
use uuid::Uuid;

use super::Access;
use crate::agent::{Agent, AgentOptions};
use crate::credentials::{Credentials, Issued};
use crate::emulator::{Admin, Emulator, trust_of};
use crate::role::Role;

/// A pod's cluster, namespace and service account.
pub(super) struct Pod {
    pub(super) cluster: Emulator,
    pub(super) admin: Admin,
    pub(super) namespace: &'static str,
    pub(super) account: &'static str,
}

impl Pod {
    fn new(cluster: &Emulator, namespace: &'static str, account: &'static str) -> Self {
        Self { cluster: cluster.clone(), admin: Admin::new(cluster), namespace, account }
    }

    /// The prefix of its keys.
    pub(super) fn prefix(&self) -> String {
        format!("{}/{}/{}", self.cluster.cluster, self.namespace, self.account)
    }

    /// The pod's credentials, by way of the agent and EKS Auth, or the reason
    /// that it gets none.
    pub(super) async fn credentials(&self) -> io::Result<Result<Issued, String>> {
        let options = AgentOptions {
            lifetime: Duration::from_hours(1),
            namespace: self.namespace.to_owned(),
            service_account: self.account.to_owned(),
            emulator: Some(self.cluster.clone()),
            ..AgentOptions::default()
        };
        let agent = Agent::start(Credentials::new(), options).await?;
        crate::ring::install();
        let client = reqwest::Client::builder().no_proxy().build().map_err(io::Error::other)?;
        let token = std::fs::read_to_string(agent.token_file())?;
        let answer = client.get(agent.uri()).header(AUTHORIZATION, token).send().await;
        let answer = answer.map_err(io::Error::other)?;
        if answer.status().is_success() {
            let issued = agent.issued().into_iter().next();
            return issued.map(Ok).ok_or_else(|| io::Error::other("EKS Auth issued nothing"));
        }
        Ok(Err(answer.text().await.map_err(io::Error::other)?.trim_end().to_owned()))
    }
}

/// Clusters, a bucket and a user in the emulator's account, with names of their
/// own.
pub(super) struct Account {
    pub(super) emulator: Emulator,
    pub(super) admin: Admin,
    /// The bucket; the names of roles and clusters begin with it.
    pub(super) name: String,
    /// This service account, and those in other places.
    pub(super) pods: [Pod; 4],
    /// The session of a node, whose role may do what a node may.
    pub(super) node: Issued,
    /// The keys of a user.
    pub(super) keys: Issued,
}

impl Account {
    pub(super) async fn new(emulator: &Emulator) -> io::Result<Self> {
        let name = format!("matrix-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let cluster =
            |suffix: &str| Emulator { cluster: format!("{name}{suffix}"), ..emulator.clone() };
        let (here, there) = (cluster(""), cluster("-other"));
        let admin = Admin::new(&here);
        admin.create_cluster().await?;
        Admin::new(&there).create_cluster().await?;
        admin.create_bucket(&name).await?;
        let role = format!("{name}-node");
        let trust = trust_of("ec2.amazonaws.com", &["sts:AssumeRole"]);
        let arn = admin.create_role(&role, &trust).await?;
        let node_policy = allow("eks-auth:AssumeRoleForPodIdentity", "*");
        admin.set_policy(&role, &node_policy).await?;
        Ok(Self {
            pods: [
                Pod::new(&here, "demo", "demo"),
                Pod::new(&here, "demo", "other"),
                Pod::new(&here, "other", "demo"),
                Pod::new(&there, "demo", "demo"),
            ],
            node: assumed(emulator, &arn, "i-0123456789abcdef0").await?,
            keys: user(emulator, &name).await?,
            emulator: here,
            admin,
            name,
        })
    }

    /// Deletes what `new` has created, and these roles.
    pub(super) async fn remove(&self, roles: &[String]) -> io::Result<()> {
        let iam = self.emulator.iam();
        let key = self.keys.access_key_id.as_str();
        let deleted = iam.delete_access_key().user_name(&self.name).access_key_id(key);
        deleted.send().await.map_err(|error| failed(&error))?;
        let deleted = iam.delete_user_policy().user_name(&self.name).policy_name("allowed");
        deleted.send().await.map_err(|error| failed(&error))?;
        let deleted = iam.delete_user().user_name(&self.name);
        deleted.send().await.map_err(|error| failed(&error))?;
        self.admin.delete_role(&format!("{}-node", self.name)).await?;
        for role in roles {
            self.admin.delete_role(role).await?;
        }
        self.admin.delete_bucket(&self.name).await?;
        self.admin.delete_cluster().await?;
        self.pods[3].admin.delete_cluster().await
    }

    /// Uploads with these credentials to the prefix of this service account.
    pub(super) async fn upload(&self, issued: &Issued) -> io::Result<Access> {
        let key = format!("{}/picture.jpg", self.pods[0].prefix());
        let put = self.admin.s3_as(issued).put_object().bucket(&self.name).key(key);
        match put.body(Vec::new().into()).send().await {
            Ok(_) => Ok(Access::Allowed),
            Err(error) if error.code() == Some("AccessDenied") => {
                Ok(Access::denied("S3", error.message().unwrap_or_default()))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Assumes a role with credentials that are not a pod's, and uploads with it.
    pub(super) async fn upload_as(&self, issued: &Issued, role: &str) -> io::Result<Access> {
        let request = self.emulator.sts(Some(issued)).assume_role();
        match request.role_arn(role).role_session_name("matrix").send().await {
            Ok(sent) => self.upload(&read(&sent)?).await,
            Err(error) if error.code() == Some("AccessDenied") => {
                Ok(Access::denied("STS", error.message().unwrap_or_default()))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Gives the user the permissions of the role.
    pub(super) async fn set_user_policy(&self, policy: &Value) -> io::Result<()> {
        let put = self.emulator.iam().put_user_policy().user_name(&self.name);
        let put = put.policy_name("allowed").policy_document(policy.to_string());
        put.send().await.map_err(|error| failed(&error))?;
        Ok(())
    }
}

/// A policy that allows an action on a resource.
pub(super) fn allow(action: &str, resource: &str) -> Value {
    serde_json::json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": action, "Resource": resource }
    ] })
}

/// A session of a role, as a service assumes it.
async fn assumed(emulator: &Emulator, arn: &str, session: &str) -> io::Result<Issued> {
    let sent = emulator.sts(None).assume_role().role_arn(arn).role_session_name(session);
    let sent = sent.send().await.map_err(|error| failed(&error))?;
    read(&sent)
}

fn read(sent: &AssumeRoleOutput) -> io::Result<Issued> {
    let credentials = sent.credentials();
    let credentials = credentials.ok_or_else(|| io::Error::other("STS sent no credentials"))?;
    Ok(held(
        credentials.access_key_id(),
        credentials.secret_access_key(),
        credentials.session_token(),
    ))
}

/// A user with access keys.
async fn user(emulator: &Emulator, name: &str) -> io::Result<Issued> {
    let iam = emulator.iam();
    iam.create_user().user_name(name).send().await.map_err(|error| failed(&error))?;
    let created = iam.create_access_key().user_name(name).send().await;
    let created = created.map_err(|error| failed(&error))?.access_key;
    let key = created.ok_or_else(|| io::Error::other("IAM created no key"))?;
    Ok(held(key.access_key_id(), key.secret_access_key(), ""))
}

fn held(access_key_id: &str, secret_access_key: &str, session_token: &str) -> Issued {
    Issued {
        access_key_id: access_key_id.to_owned(),
        secret_access_key: secret_access_key.to_owned(),
        session_token: session_token.to_owned(),
        account_id: String::new(),
        expires: SystemTime::now(),
        role: Role::new(""),
        session_name: String::new(),
    }
}

fn failed(error: &impl std::error::Error) -> io::Error {
    io::Error::other(DisplayErrorContext(error).to_string())
}
