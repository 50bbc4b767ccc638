"""What eksctl does in AWS, through the same API calls. Sources: README.md."""

import json
import os
import shutil
import subprocess
import sys
import time

import botocore.session
from botocore.exceptions import ClientError

from config import Refused

VERSION = "0.231.0-dev"
AGENT = "eks-pod-identity-agent"
BY_EKSCTL = {"app.kubernetes.io/managed-by": "eksctl"}


def log(text):
    print(text, file=sys.stderr)


def trust(principal, actions=("sts:AssumeRole",), condition=None):
    statement = {"Effect": "Allow", "Principal": principal, "Action": list(actions)}
    if condition:
        statement["Condition"] = condition
    return {"Version": "2012-10-17", "Statement": [statement]}


def role(trusted, policies):
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": trusted, "ManagedPolicyArns": list(policies)},
    }


def role_template(trusted, policies):
    return {
        "Resources": {"Role1": role(trusted, policies)},
        "Outputs": {"Role1": {"Value": {"Fn::GetAtt": ["Role1", "Arn"]}}},
    }


def outside(command, text=""):
    """Runs another tool: eksctl has its own clients for that."""
    if subprocess.run(command, input=text, text=True, stdout=subprocess.DEVNULL, check=False).returncode:
        raise Refused(f"{' '.join(command)} failed")


POD_IDENTITY = trust({"Service": "pods.eks.amazonaws.com"}, ["sts:AssumeRole", "sts:TagSession"])


class Cloud:
    """One cluster, as eksctl sees it."""

    def __init__(self, name, region, tags=None):
        region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if not name:
            raise Refused("--cluster must be set")
        if not region:
            raise Refused("AWS Region must be set, please set the AWS Region in AWS config file or as environment variable")
        self.name, self.region, self.tags = name, region, tags or {}
        session = botocore.session.get_session()
        self.eks = session.create_client("eks", region_name=region)
        self.iam = session.create_client("iam", region_name=region)
        self.stacks = session.create_client("cloudformation", region_name=region)

    # Stacks

    def stack(self, name, template, tags):
        """Makes a stack, waits for it, and gives its outputs."""
        own = {
            "alpha.eksctl.io/cluster-name": self.name,
            "eksctl.cluster.k8s.io/v1alpha1/cluster-name": self.name,
            "alpha.eksctl.io/eksctl-version": VERSION,
        }
        keys = [*own, *self.tags, *tags]
        if len(set(keys)) < len(keys):  # eksctl sends them all, and CloudFormation answers:
            raise Refused(f'creating CloudFormation stack "{name}": ValidationError: Tags contain duplicate keys; tag keys must be unique')
        tags = {**own, **self.tags, **tags}
        log(f'deploying stack "{name}"')
        self.stacks.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_IAM"],
            EnableTerminationProtection=True,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        while (stack := self.find_stack(name))["StackStatus"].endswith("_IN_PROGRESS"):
            time.sleep(0.05)
        if stack["StackStatus"] != "CREATE_COMPLETE":
            raise Refused(f'unexpected status "{stack["StackStatus"]}" of stack "{name}": {stack.get("StackStatusReason")}')
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def find_stack(self, name):
        try:
            return self.stacks.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise

    def own_stacks(self):
        pages = self.stacks.get_paginator("describe_stacks").paginate()
        for stack in (stack for page in pages for stack in page["Stacks"]):
            tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}
            if tags.get("alpha.eksctl.io/cluster-name") == self.name:
                yield stack["StackName"]

    def delete_stack(self, name):
        if not self.find_stack(name):
            return
        log(f'will delete stack "{name}"')
        self.stacks.update_termination_protection(StackName=name, EnableTerminationProtection=False)
        self.stacks.delete_stack(StackName=name)
        while stack := self.find_stack(name):
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                raise Refused(f'unexpected status "{stack["StackStatus"]}" of stack "{name}"')
            time.sleep(0.05)

    # The cluster

    def describe(self):
        return self.eks.describe_cluster(name=self.name)["cluster"]

    def create_cluster(self, config):
        subnets = {
            f"Subnet{zone.upper()}": {
                "Type": "AWS::EC2::Subnet",
                "Properties": {
                    "VpcId": {"Ref": "VPC"},
                    "CidrBlock": f"192.168.{32 * index}.0/19",
                    "AvailabilityZone": f"{self.region}{zone}",
                },
            }
            for index, zone in enumerate("ab")
        }
        plane = {
            "Name": self.name,
            "Version": config["metadata"].get("version", "1.34"),
            "RoleArn": {"Fn::GetAtt": ["ServiceRole", "Arn"]},
            "ResourcesVpcConfig": {"SubnetIds": [{"Ref": name} for name in subnets]},
        }
        eks = trust({"Service": "eks.amazonaws.com"}, ["sts:AssumeRole", "sts:TagSession"])
        template = {
            "Resources": {
                "VPC": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "192.168.0.0/16"}},
                **subnets,
                "ServiceRole": role(eks, ["arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"]),
                "ControlPlane": {"Type": "AWS::EKS::Cluster", "Properties": plane},
            }
        }
        iam = config.get("iam", {})
        oidc = {"alpha.eksctl.io/cluster-oidc-enabled": str(bool(iam.get("withOIDC"))).lower()}
        self.stack(f"eksctl-{self.name}-cluster", template, oidc)
        if iam.get("withOIDC"):
            self.associate_oidc()
        self.create_addons(config)
        # eksctl writes it last; here kubectl, which makes the service accounts, needs it before.
        if shutil.which("kubectl"):
            update = ["aws", "eks", "update-kubeconfig", "--region", self.region, "--name", self.name]
            outside(update)
        for account in iam.get("serviceAccounts", []):
            meta = account["metadata"]
            self.create_account(meta["namespace"], meta["name"], account.get("attachPolicyARNs", []), account.get("tags", {}))
        for association in iam.get("podIdentityAssociations", []):
            self.associate(
                association["namespace"],
                association["serviceAccountName"],
                association["permissionPolicyARNs"],
                association.get("tags", {}),
            )
        self.create_nodegroups(config)
        log(f'EKS cluster "{self.name}" in "{self.region}" region is ready')

    def create_nodegroups(self, config):
        subnets = self.describe()["resourcesVpcConfig"]["subnetIds"]
        ec2 = trust({"Service": "ec2.amazonaws.com"})
        for group in config.get("managedNodeGroups", []):
            scaling = {"MinSize": group["minSize"], "MaxSize": group["maxSize"], "DesiredSize": group["desiredCapacity"]}
            template = {
                "Resources": {
                    "NodeInstanceRole": role(ec2, ["arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"]),
                    "ManagedNodeGroup": {
                        "Type": "AWS::EKS::Nodegroup",
                        "Properties": {
                            "ClusterName": self.name,
                            "NodegroupName": group["name"],
                            "NodeRole": {"Fn::GetAtt": ["NodeInstanceRole", "Arn"]},
                            "Subnets": subnets,
                            "InstanceTypes": [group["instanceType"]],
                            "ScalingConfig": scaling,
                        },
                    },
                }
            }
            # A managed node group's own tags have the metadata's added to them.
            self.stack(f"eksctl-{self.name}-nodegroup-{group['name']}", template, {**self.tags, **group.get("tags", {})})

    def create_addons(self, config):
        there = self.eks.list_addons(clusterName=self.name)["addons"]
        for addon in config.get("addons", []):
            if addon["name"] in there:
                log(f'"{addon["name"]}" addon is already present on the cluster, as an EKS managed addon, skipping creation')
            else:
                self.create_addon(addon, config.get("addonsConfig", {}))

    def create_addon(self, addon, settings):
        request = {"clusterName": self.name, "addonName": addon["name"], "tags": addon.get("tags", {})}
        if "configurationValues" in addon:
            request["configurationValues"] = addon["configurationValues"]
        # Of the add-ons that are used, the VPC CNI alone has recommended permissions.
        if addon["name"] == "vpc-cni" and settings.get("autoApplyPodIdentityAssociations"):
            name = f"eksctl-{self.name}-addon-vpc-cni-podidentityrole-aws-node"
            policy = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
            arn = self.stack(name, role_template(POD_IDENTITY, [policy]), {})["Role1"]
            request["podIdentityAssociations"] = [{"serviceAccount": "aws-node", "roleArn": arn}]
        log(f'creating addon: {addon["name"]}')
        self.eks.create_addon(**request)

    def delete_cluster(self, force):
        try:
            cluster = self.describe()
        except self.eks.exceptions.ResourceNotFoundException:
            if not force:
                raise
            cluster = None
        if cluster and (arn := self.provider(cluster)):
            self.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        if cluster:
            self.forget()
        names = sorted(self.own_stacks(), key=lambda name: name.endswith("-cluster"))
        for name in names:
            self.delete_stack(name)

    def forget(self):
        """EKS ends these with their cluster; MiniStack keeps them for the next of the name."""
        for addon in self.eks.list_addons(clusterName=self.name)["addons"]:
            self.eks.delete_addon(clusterName=self.name, addonName=addon)
        for one in self.eks.list_pod_identity_associations(clusterName=self.name)["associations"]:
            self.eks.delete_pod_identity_association(clusterName=self.name, associationId=one["associationId"])

    # Pod Identity

    def association(self, namespace, account):
        found = self.eks.list_pod_identity_associations(clusterName=self.name, namespace=namespace, serviceAccount=account)
        return found["associations"]

    def associate(self, namespace, account, policies, tags):
        try:
            if not self.describe().get("computeConfig", {}).get("enabled"):
                self.eks.describe_addon(clusterName=self.name, addonName=AGENT)
        except self.eks.exceptions.ResourceNotFoundException as error:
            hint = f"please enable it using `eksctl create addon --cluster={self.name} --name={AGENT}`"
            raise Refused(f'the "{AGENT}" addon must be installed to create pod identity associations; {hint}') from error
        tags = {**tags, "alpha.eksctl.io/podidentityassociation-name": f"{namespace}/{account}"}
        name = f"eksctl-{self.name}-podidentityrole-{namespace}-{account}"
        arn = self.stack(name, role_template(POD_IDENTITY, policies), tags)["Role1"]
        self.eks.create_pod_identity_association(
            clusterName=self.name, namespace=namespace, serviceAccount=account, roleArn=arn, tags=tags
        )
        log(f'created pod identity association for service account "{account}" in namespace "{namespace}"')

    def disassociate(self, namespace, account):
        self.describe()
        for association in self.association(namespace, account):
            self.eks.delete_pod_identity_association(clusterName=self.name, associationId=association["associationId"])
        self.delete_stack(f"eksctl-{self.name}-podidentityrole-{namespace}-{account}")

    def associations(self, namespace, account):
        filters = {key: value for key, value in (("namespace", namespace), ("serviceAccount", account)) if value}
        for summary in self.eks.list_pod_identity_associations(clusterName=self.name, **filters)["associations"]:
            identifier = {"clusterName": self.name, "associationId": summary["associationId"]}
            one = self.eks.describe_pod_identity_association(**identifier)["association"]
            yield {
                "AssociationARN": one["associationArn"],
                "Namespace": one["namespace"],
                "ServiceAccountName": one["serviceAccount"],
                "RoleARN": one["roleArn"],
                "OwnerARN": one.get("ownerArn", ""),
            }

    # IRSA

    def issuer(self, cluster=None):
        return (cluster or self.describe())["identity"]["oidc"]["issuer"]

    def provider(self, cluster=None):
        """The ARN of the cluster's OIDC provider, where there is one."""
        path = self.issuer(cluster).split("://", 1)[1]
        for provider in self.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
            if provider["Arn"].split(":oidc-provider/", 1)[1] == path:
                return provider["Arn"]
        return None

    def associate_oidc(self, approve=True):
        if self.provider():
            log(f'IAM Open ID Connect provider is already associated with cluster "{self.name}" in "{self.region}"')
            return
        if not approve:
            log(f'(plan) would create IAM Open ID Connect provider for cluster "{self.name}" in "{self.region}"')
            return
        tags = {"alpha.eksctl.io/cluster-name": self.name, "alpha.eksctl.io/eksctl-version": VERSION}
        self.iam.create_open_id_connect_provider(
            Url=self.issuer(),
            ClientIDList=["sts.amazonaws.com"],
            ThumbprintList=["0" * 40],
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        arn = self.describe()["arn"]
        self.eks.tag_resource(resourceArn=arn, tags={"alpha.eksctl.io/cluster-oidc-enabled": "true"})
        log(f'created IAM Open ID Connect provider for cluster "{self.name}" in "{self.region}"')

    def account_stack(self, namespace, account):
        return f"eksctl-{self.name}-addon-iamserviceaccount-{namespace}-{account}"

    def create_account(self, namespace, account, policies, tags, role_only=False):
        provider = self.provider()
        if not provider:
            raise Refused("unable to create iamserviceaccount(s) without IAM OIDC provider enabled")
        if self.find_stack(self.account_stack(namespace, account)):
            log(f"1 existing iamserviceaccount(s) ({namespace}/{account}) will be excluded")
            return
        host = provider.split(":oidc-provider/", 1)[1]
        subject = f"system:serviceaccount:{namespace}:{account}"
        condition = {"StringEquals": {f"{host}:sub": subject, f"{host}:aud": "sts.amazonaws.com"}}
        trusted = trust({"Federated": provider}, ["sts:AssumeRoleWithWebIdentity"], condition)
        tags = {**tags, "alpha.eksctl.io/iamserviceaccount-name": f"{namespace}/{account}"}
        arn = self.stack(self.account_stack(namespace, account), role_template(trusted, policies), tags)["Role1"]
        if not role_only and shutil.which("kubectl"):
            meta = {"name": account, "namespace": namespace, "labels": BY_EKSCTL}
            meta["annotations"] = {"eks.amazonaws.com/role-arn": arn}
            objects = [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
            ]
            # It makes the namespace where there is none, and leaves one that is there as it is.
            there = subprocess.run(["kubectl", "get", "namespace", namespace], capture_output=True, check=False)
            if there.returncode == 0:
                del objects[0]
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
            outside(["kubectl", "apply", "-f", "-"], text)
            log(f'created serviceaccount "{namespace}/{account}"')

    def delete_account(self, namespace, account):
        if not self.provider():
            raise Refused("unable to delete iamserviceaccount(s) without IAM OIDC provider enabled")
        if shutil.which("kubectl") and self.find_stack(self.account_stack(namespace, account)):
            words = ["delete", "serviceaccount", account, "--namespace", namespace, "--ignore-not-found"]
            outside(["kubectl", *words])
        self.delete_stack(self.account_stack(namespace, account))
