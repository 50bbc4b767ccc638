"""Creates what is audited, in the emulated account and in its cluster:

    cloud.py clean                       a node, and pods with nothing wrong
    cloud.py large ASSOCIATIONS PODS     adds as many associations and pods, with nothing wrong
    cloud.py faulty                      adds pods and associations with faults

CLUSTER_NAME, CLUSTER_STATE and the AWS variables are those of the tests (lib/wiring.sh). The API server and
EKS's webhook make the pods what they are; there is no kubelet, so this sets what a kubelet would report.
"""

import json
import os
import subprocess
import sys
import time

import botocore.session

ACCOUNT = "123456789012"
KUBECTL = os.path.join(os.path.dirname(__file__), "..", "..", "..", ".tools", "cluster", "bin", "kubectl")
STATE = os.environ["CLUSTER_STATE"]
POD_IDENTITY, IRSA = "pods.eks.amazonaws.com", "sts.amazonaws.com"


def kubectl(*words, objects=None):
    text = objects and json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    command = [KUBECTL, "--kubeconfig", os.path.join(STATE, "admin.conf"), *words]
    return subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.PIPE).stdout


def eventually(what, question):
    """The first answer that is not empty, within two minutes."""
    deadline = time.monotonic() + 120
    while not (answer := question()):
        if time.monotonic() > deadline:
            sys.exit(f"not within two minutes: {what}")
        time.sleep(0.2)
    return answer


def trust(*actions, service=POD_IDENTITY, condition=None):
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions or ("sts:AssumeRole", "sts:TagSession"))}
    return {"Version": "2012-10-17", "Statement": statement | ({"Condition": condition} if condition else {})}


def allow(action, resource, condition=None):
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement | ({"Condition": condition} if condition else {})]}


class World:
    def __init__(self, kind):
        session = botocore.session.Session()
        self.eks, self.iam, self.ec2 = map(session.create_client, ("eks", "iam", "ec2"))
        self.kind, self.name = kind, os.environ["CLUSTER_NAME"]
        self.cluster = self.eks.describe_cluster(name=self.name)["cluster"]
        self.issuer = self.cluster["identity"]["oidc"]["issuer"]
        self.objects, self.pods, self.ended = [], [], []
        self.namespaces = set(kubectl("get", "namespaces", "--output", "jsonpath={.items[*].metadata.name}").split())
        nodes = kubectl("get", "nodes", "--output", "jsonpath={.items[*].metadata.name}").split()
        self.node = next((name for name in nodes if name != "node"), None)

    def role(self, name, document, policy=None, attach=()):
        name = f"{self.kind}-{name}"
        arn = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
        if policy:
            self.iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=json.dumps(policy))
        for policy_arn in attach:
            self.iam.attach_role_policy(RoleName=name, PolicyArn=policy_arn)
        return arn

    def instance(self):
        """The cluster's node, with the agent: an instance with a role that may write anything to S3. The
        name of the node is the instance's private DNS name."""
        self.role("node", trust("sts:AssumeRole", service="ec2.amazonaws.com"), allow("s3:Put*", "*"))
        profile = f"{self.kind}-node"
        self.iam.create_instance_profile(InstanceProfileName=profile)
        self.iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=profile)
        tags = [{"Key": f"kubernetes.io/cluster/{self.name}", "Value": "owned"}]
        self.node = self.ec2.run_instances(
            ImageId="ami-12345678", InstanceType="t3.small", MinCount=1, MaxCount=1, IamInstanceProfile={"Name": profile},
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])["Instances"][0]["PrivateDnsName"]
        kubectl("delete", "node/node")  # every node of this cluster is an instance
        kubectl("create", "--filename", "-", objects=[{"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.node}}])
        self.report(f"node/{self.node}", conditions=[{"type": "Ready", "status": "True"}], allocatable={"pods": "1000"})
        self.eks.create_addon(clusterName=self.name, addonName="eks-pod-identity-agent")
        agents = ("--namespace", "kube-system", "--selector", "app.kubernetes.io/name=eks-pod-identity-agent")
        agent = eventually("the agent is on the node", lambda: kubectl(
            "get", "pods", *agents, "--output", f'jsonpath={{.items[?(@.spec.nodeName=="{self.node}")].metadata.name}}'))
        self.report(f"pod/{agent}", "kube-system", phase="Running", conditions=[{"type": "Ready", "status": "True"}])

    def report(self, what, namespace="default", **status):
        """Sets a status, as a kubelet does."""
        kubectl("patch", what, "--namespace", namespace, "--subresource", "status", "--patch", json.dumps({"status": status}))

    def provider(self):
        self.iam.create_open_id_connect_provider(Url=self.issuer, ClientIDList=[IRSA], ThumbprintList=["0" * 40])
        return self.issuer.split("://")[1]

    def irsa_trust(self, subject):
        host = self.issuer.split("://")[1]
        return {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {f"{host}:sub": subject, f"{host}:aud": IRSA}}}]}

    def namespace(self, name):
        if name not in self.namespaces:
            self.namespaces.add(name)
            self.objects.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def account(self, namespace, name, role=None):
        self.namespace(namespace)
        annotations = {"eks.amazonaws.com/role-arn": role} if role else {}
        self.objects.append({"apiVersion": "v1", "kind": "ServiceAccount",
                             "metadata": {"namespace": namespace, "name": name, "annotations": annotations}})

    def associate(self, namespace, name, role, account=True, **more):
        if account:
            self.account(namespace, name)
        return self.eks.create_pod_identity_association(
            clusterName=self.name, namespace=namespace, serviceAccount=name, roleArn=role, **more)["association"]

    def pod(self, namespace, account, name, injected=None, env=(), ended=False, annotations=None, sidecar=False, **spec):
        """A pod into which the webhook is to inject Pod Identity's variables, IRSA's, or none."""
        variables = [{"name": key, "value": value} for key, value in dict(env).items()]
        containers = [{"name": "main", "image": "none", "env": variables}] + ([{"name": "sidecar", "image": "none"}] if sidecar else [])
        self.pods.append((injected, {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name, "annotations": annotations or {}},
            "spec": {"serviceAccountName": account, "nodeName": self.node, "containers": containers} | spec}))
        if ended:
            self.ended.append((namespace, name))

    def settle(self):
        """Creates namespaces, service accounts and pods; the pods when the webhook knows what to inject."""
        if self.objects:
            kubectl("create", "--filename", "-", objects=self.objects)
        # Where it knows the last of the associations and service accounts, it knows those before them.
        last = {(pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]): (injected, pod) for injected, pod in self.pods if injected}
        injections, tried = zip(*list(last.values())[-20:])
        audiences = r'jsonpath={.spec.volumes[*].projected.sources[*].serviceAccountToken.audience}{"\n"}'
        eventually("the webhook injects", lambda: tuple(
            kubectl("create", "--dry-run=server", "--output", audiences, "--filename", "-", objects=tried).splitlines()) == injections)
        kubectl("create", "--filename", "-", objects=[pod for _, pod in self.pods])
        for namespace, name in self.ended:
            self.report(f"pod/{name}", namespace, phase="Succeeded")
        self.objects, self.pods, self.ended = [], [], []

    def trust_target(self, target, first, condition=None, actions=("sts:AssumeRole", "sts:TagSession")):
        """Lets the first role assume the target."""
        document = trust(*actions, condition=condition)
        document["Statement"]["Principal"] = {"AWS": first}
        self.iam.update_assume_role_policy(RoleName=target.rsplit("/", 1)[-1], PolicyDocument=json.dumps(document))


def clean(world):
    """Nothing is wrong here, though much of it looks unusual."""
    world.instance()
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
    world.pod("photos", "writer", "writer-done", POD_IDENTITY, ended=True)
    world.pod("photos", "second", "second-1", POD_IDENTITY, sidecar=True, annotations={"eks.amazonaws.com/skip-containers": "sidecar, other"})
    reader = world.role("reader", trust(), allow("s3:Get*", "*"))
    world.associate("photos", "reader", reader)
    world.pod("photos", "reader", "reader-1", POD_IDENTITY)
    world.provider()
    irsa = world.role("irsa", world.irsa_trust("system:serviceaccount:photos:old"), allow("s3:*", "arn:aws:s3:::pictures/*"))
    world.account("photos", "old", irsa)
    world.pod("photos", "old", "old-1", IRSA)
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
    world.pod("default", "default", "plain-1", hostNetwork=True)
    world.settle()


def faulty(world):
    """One of each of fourteen faults, each in a namespace that bears its id."""
    right = world.role("right", trust())

    # Pods that are older than their association.
    world.account("not-injected", "app")
    world.pod("not-injected", "app", "app-1")
    world.account("irsa-shadows", "app", right)
    world.pod("irsa-shadows", "app", "app-1", IRSA)
    world.settle()
    for namespace in ("not-injected", "irsa-shadows"):
        world.associate(namespace, "app", right, account=False)
    kubectl("annotate", "serviceaccount/app", "--namespace", "irsa-shadows", "eks.amazonaws.com/role-arn-")

    def running(fault, associated=right, targetRoleArn=None, **pod):
        association = world.associate(fault, "app", associated, **({"targetRoleArn": targetRoleArn} if targetRoleArn else {}))
        world.pod(fault, "app", "app-1", POD_IDENTITY, **pod)
        return association["associationId"]

    running("trust-no-tag-session", world.role("untagged", trust("sts:AssumeRole")))
    running("trust-no-service", world.role("ec2", trust(service="ec2.amazonaws.com")))
    running("trust-condition", world.role("other", trust(condition={"StringEquals": {"aws:RequestTag/kubernetes-namespace": "other"}})))
    running("role-missing", f"arn:aws:iam::{ACCOUNT}:role/gone")
    for fault, document in (("target-trust", trust()), ("target-trust-no-tag-session", None), ("target-trust-condition", None)):
        second = world.role(fault, document or trust())
        running(fault, targetRoleArn=second)
        if document is None:
            tags = {"actions": ("sts:AssumeRole",)} if fault.endswith("session") else {"condition": {"StringEquals": {"sts:ExternalId": "another"}}}
            world.trust_target(second, right, **tags)
    running("static-keys", env={"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "none"})
    running("proxy", env={"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "10.0.0.0/8,.svc"})
    world.namespace("service-account-missing")
    world.associate("service-account-missing", "app", right, account=False)
    wrong = world.role("subject", world.irsa_trust("system:serviceaccount:other:app"))
    world.account("irsa-trust-condition", "app", wrong)
    world.pod("irsa-trust-condition", "app", "app-1", IRSA)
    deleted = running("no-association")
    world.settle()
    world.eks.delete_pod_identity_association(clusterName=world.name, associationId=deleted)


def large(world, associations, pods):
    roles = [world.role(f"role-{number}", trust(), allow("s3:PutObject", f"arn:aws:s3:::bucket-{number}/*")) for number in range(min(associations, 50))]
    for number in range(associations):
        world.associate(f"ns-{number % 20}", f"app-{number}", roles[number % len(roles)])
    filler = {f"VARIABLE_{number}": "x" * 60 for number in range(60)}  # pods weigh some 8 KB
    for number in range(pods):
        owner = number % associations
        world.pod(f"ns-{owner % 20}", f"app-{owner}", f"pod-{number}", POD_IDENTITY, env=filler)
    world.settle()


if __name__ == "__main__":
    {"clean": clean, "faulty": faulty, "large": large}[sys.argv[1]](World(sys.argv[1]), *map(int, sys.argv[2:]))
