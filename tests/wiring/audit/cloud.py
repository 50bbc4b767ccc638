"""Makes a cluster in MiniStack, and the Kubernetes objects that the stand-in for kubectl shows.

    cloud.py UPSTREAM FOLDER clean|faulty
    cloud.py UPSTREAM FOLDER large ASSOCIATIONS PODS
    cloud.py UPSTREAM POLICY auditor...   prints credentials of a role with that policy alone

The cluster has the name of the kind. What a pod looks like once the webhook has seen it is from
amazon-eks-pod-identity-webhook, pkg/handler/handler.go.
"""

import json
import os
import sys

import botocore.session

ACCOUNT, REGION = "123456789012", "us-east-1"
POD_IDENTITY, IRSA = "pods.eks.amazonaws.com", "sts.amazonaws.com"


def client(upstream, service):
    return botocore.session.Session().create_client(
        service, REGION, endpoint_url=upstream, aws_access_key_id="test", aws_secret_access_key="test")


def trust(*actions, service=POD_IDENTITY, condition=None):
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions or ("sts:AssumeRole", "sts:TagSession"))}
    return {"Version": "2012-10-17", "Statement": statement | ({"Condition": condition} if condition else {})}


def allow(action, resource, condition=None):
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement | ({"Condition": condition} if condition else {})]}


class World:
    def __init__(self, upstream, name):
        self.eks, self.iam, self.ec2 = (client(upstream, service) for service in ("eks", "iam", "ec2"))
        self.name = name
        own = self.role("cluster", trust(service="eks.amazonaws.com"))
        self.cluster = self.eks.create_cluster(
            name=name, roleArn=own, resourcesVpcConfig={"subnetIds": ["subnet-1"]})["cluster"]
        self.issuer = self.cluster["identity"]["oidc"]["issuer"]
        self.node = self.instance()
        self.pods, self.accounts, self.namespaces = [], [], ["default", "kube-system"]
        self.pod("kube-system", "agent", name="agent-1", labels={"app.kubernetes.io/name": "eks-pod-identity-agent"})

    def role(self, name, document, policy=None, attach=()):
        name = f"{self.name}-{name}"
        arn = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
        if policy:
            self.iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=json.dumps(policy))
        for policy_arn in attach:
            self.iam.attach_role_policy(RoleName=name, PolicyArn=policy_arn)
        return arn

    def instance(self):
        """A node: an instance with a role that may write anything to S3. Its name is its private DNS name."""
        self.role("node", trust("sts:AssumeRole", service="ec2.amazonaws.com"), allow("s3:Put*", "*"))
        profile = f"{self.name}-node"
        self.iam.create_instance_profile(InstanceProfileName=profile)
        self.iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=profile)
        tags = [{"Key": f"kubernetes.io/cluster/{self.name}", "Value": "owned"}]
        return self.ec2.run_instances(
            ImageId="ami-12345678", InstanceType="t3.small", MinCount=1, MaxCount=1, IamInstanceProfile={"Name": profile},
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])["Instances"][0]["PrivateDnsName"]

    def provider(self):
        self.iam.create_open_id_connect_provider(Url=self.issuer, ClientIDList=[IRSA], ThumbprintList=["0" * 40])
        return self.issuer.split("://")[1]

    def irsa_trust(self, subject):
        host = self.issuer.split("://")[1]
        return {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {f"{host}:sub": subject, f"{host}:aud": IRSA}}}]}

    def account(self, namespace, name, role=None):
        if namespace not in self.namespaces:
            self.namespaces.append(namespace)
        self.accounts.append({"metadata": {"namespace": namespace, "name": name} | (
            {"annotations": {"eks.amazonaws.com/role-arn": role}} if role else {})})

    def associate(self, namespace, name, role, account=True, **more):
        if account:
            self.account(namespace, name)
        return self.eks.create_pod_identity_association(
            clusterName=self.name, namespace=namespace, serviceAccount=name, roleArn=role, **more)["association"]

    def pod(self, namespace, account, name=None, injected=None, role=None, env=(), created="2100-01-01T00:00:00Z", phase="Running",
            labels=None, annotations=None, sidecar=False, **spec):
        """A pod that the webhook has injected with Pod Identity's audience, IRSA's, or not at all."""
        name = name or f"{account}-{len(self.pods)}"
        variables, volumes = [{"name": key, "value": value} for key, value in dict(env).items()], []
        if injected == POD_IDENTITY:
            folder = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
            variables += [{"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "http://169.254.170.23/v1/credentials"},
                          {"name": "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "value": f"{folder}/eks-pod-identity-token"}]
        elif injected == IRSA:
            variables += [{"name": "AWS_ROLE_ARN", "value": role},
                          {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"}]
        if injected:
            volumes.append({"name": "token", "projected": {"sources": [{"serviceAccountToken": {"audience": injected, "path": "token"}}]}})
        containers = [{"name": "main", "image": "none", "env": variables}] + ([{"name": "sidecar", "image": "none"}] if sidecar else [])
        self.pods.append({
            "metadata": {"namespace": namespace, "name": name, "uid": f"uid-{namespace}-{name}", "creationTimestamp": created,
                         "labels": labels or {}, "annotations": annotations or {}},
            "spec": {"serviceAccountName": account, "nodeName": self.node, "containers": containers, "volumes": volumes} | spec,
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}})

    def trust_target(self, target, first, condition=None, actions=("sts:AssumeRole", "sts:TagSession")):
        """Lets the first role assume the target."""
        document = trust(*actions, condition=condition)
        document["Statement"]["Principal"] = {"AWS": first}
        self.iam.update_assume_role_policy(RoleName=target.rsplit("/", 1)[-1], PolicyDocument=json.dumps(document))

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        names = [{"metadata": {"name": name}} for name in self.namespaces]
        for kind, items in (("pods", self.pods), ("serviceaccounts", self.accounts), ("namespaces", names)):
            with open(f"{folder}/{kind}.json", "w") as file:
                json.dump({"kind": "List", "items": items}, file)


def clean(world):
    """Nothing is wrong here, though much of it looks unusual."""
    mine = {"StringEquals": {"aws:PrincipalTag/kubernetes-namespace": "photos", "aws:PrincipalTag/kubernetes-service-account": "writer"}}
    document = json.dumps(allow(["s3:PutObject", "s3:AbortMultipartUpload"], "arn:aws:s3:::pictures/*", mine))
    managed = world.iam.create_policy(PolicyName="pictures", PolicyDocument=document)["Policy"]["Arn"]
    exact = {"StringEquals": {"aws:SourceAccount": ACCOUNT, "aws:RequestTag/eks-cluster-name": world.name,
                              "aws:RequestTag/kubernetes-namespace": ["photos", "other"]},
             "ArnEquals": {"aws:SourceArn": world.cluster["arn"]}, "StringNotEquals": {"aws:RequestTag/kubernetes-service-account": "reader"},
             "StringLike": {"aws:RequestTag/kubernetes-pod-name": "*"}}
    shared = world.role("shared", trust("sts:*", condition=exact), attach=[managed])
    # One role for two service accounts, of which the policy's tags let one upload.
    world.associate("photos", "writer", shared)
    world.associate("photos", "second", shared)
    world.pod("photos", "writer", "writer-1", POD_IDENTITY)
    world.pod("photos", "writer", "writer-2", POD_IDENTITY, env={"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,169.254.0.0/16"})
    world.pod("photos", "writer", "writer-done", phase="Succeeded")
    world.pod("photos", "second", "second-1", POD_IDENTITY, sidecar=True, annotations={"eks.amazonaws.com/skip-containers": "sidecar, other"})
    reader = world.role("reader", trust(), allow("s3:Get*", "*"))
    world.associate("photos", "reader", reader)
    world.pod("photos", "reader", "reader-1", POD_IDENTITY)
    world.provider()
    irsa = world.role("irsa", world.irsa_trust("system:serviceaccount:photos:old"), allow("s3:*", "arn:aws:s3:::pictures/*"))
    world.account("photos", "old", irsa)
    world.pod("photos", "old", "old-1", IRSA, role=irsa)
    # The policy of the association itself narrows the role's; a role of another account can only be shown.
    world.associate("photos", "narrow", world.role("wide", trust("sts:AssumeRole"), allow("s3:*", "*")), disableSessionTags=True,
                    policy=json.dumps(allow("s3:ListBucket", "*")))
    world.pod("photos", "narrow", "narrow-1", POD_IDENTITY)
    # This one may upload from one address alone, which nobody here knows.
    office = allow("s3:PutObject", "*", {"IpAddress": {"aws:SourceIp": "192.0.2.1/32"}})
    world.associate("photos", "office", world.role("office", trust(), office))
    world.pod("photos", "office", "office-1", POD_IDENTITY)
    # A target role that trusts the first one, and asks for the association's external ID.
    first, second = world.role("first", trust()), world.role("second", trust(), allow("s3:PutObject", "*"))
    external = world.associate("photos", "target", first, targetRoleArn=second)["externalId"]
    world.trust_target(second, first, {"StringEquals": {
        "sts:ExternalId": external, "aws:RequestTag/kubernetes-namespace": "photos", "aws:PrincipalAccount": ACCOUNT}})
    world.pod("photos", "target", "target-1", POD_IDENTITY, hostNetwork=True)
    world.account("default", "default")
    world.pod("default", "default", "plain-1", hostNetwork=True)


def faulty(world):
    """One of each of fourteen faults, each in a namespace that bears its id."""
    right = world.role("right", trust())
    world.provider()

    def running(fault, associated=right, targetRoleArn=None, **pod):
        world.associate(fault, "app", associated, **({"targetRoleArn": targetRoleArn} if targetRoleArn else {}))
        world.pod(fault, "app", "app-1", **({"injected": POD_IDENTITY} | pod))

    running("trust-no-tag-session", world.role("untagged", trust("sts:AssumeRole")))
    running("trust-no-service", world.role("ec2", trust(service="ec2.amazonaws.com")))
    running("trust-condition", world.role("other", trust(condition={"StringEquals": {"aws:RequestTag/kubernetes-namespace": "other"}})))
    running("role-missing", f"arn:aws:iam::{ACCOUNT}:role/gone")
    running("not-injected", injected=None, created="2020-01-01T00:00:00Z")
    for fault, document in (("target-trust", trust()), ("target-trust-no-tag-session", None), ("target-trust-condition", None)):
        second = world.role(fault, document or trust())
        running(fault, targetRoleArn=second)
        if document is None:
            tags = {"actions": ("sts:AssumeRole",)} if fault.endswith("session") else {"condition": {"StringEquals": {"sts:ExternalId": "another"}}}
            world.trust_target(second, right, **tags)
    running("irsa-shadows", injected=IRSA, role=right)
    running("static-keys", env={"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "none"})
    running("proxy", env={"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "10.0.0.0/8,.svc"})
    world.namespaces.append("service-account-missing")
    world.associate("service-account-missing", "app", right, account=False)
    wrong = world.role("subject", world.irsa_trust("system:serviceaccount:other:app"))
    world.account("irsa-trust-condition", "app", wrong)
    world.pod("irsa-trust-condition", "app", "app-1", IRSA, role=wrong)
    world.account("no-association", "app")
    world.pod("no-association", "app", "app-1", POD_IDENTITY)


def large(world, associations, pods):
    roles = [world.role(f"role-{number}", trust(), allow("s3:PutObject", f"arn:aws:s3:::bucket-{number}/*")) for number in range(min(associations, 50))]
    for number in range(associations):
        world.associate(f"ns-{number % 20}", f"app-{number}", roles[number % len(roles)])
    filler = [{"name": f"VARIABLE_{number}", "value": "x" * 60} for number in range(60)]  # pods weigh some 8 KB
    for number in range(pods):
        owner = number % associations
        world.pod(f"ns-{owner % 20}", f"app-{owner}", f"pod-{number}", POD_IDENTITY)
        world.pods[-1]["spec"]["containers"][0]["env"] += filler


def auditor(upstream, name, policy):
    iam = client(upstream, "iam")
    root = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}]}
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(root))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="audit", PolicyDocument=policy)
    keys = client(upstream, "sts").assume_role(RoleArn=arn, RoleSessionName="audit")["Credentials"]
    print(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


if __name__ == "__main__":
    upstream, folder, kind = sys.argv[1:4]
    if kind.startswith("auditor"):
        sys.exit(auditor(upstream, kind, folder))
    world = World(upstream, kind)
    {"clean": clean, "faulty": faulty, "large": large}[kind](world, *map(int, sys.argv[4:]))
    world.write(folder)
