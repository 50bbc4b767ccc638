"""Makes what the steps before `deploy` make, in one process and in a second:

    world.py FOLDER WHAT...

WHAT is any of: cluster, addon, bucket, role, policy (IRSA's), association. Names are those of
scripts/lib/settings.sh, from the environment; the kubeconfig goes to FOLDER/kubeconfig.
"""

import json
import os
import sys

import botocore.session
import yaml

CLUSTER, REGION, BUCKET = os.environ["CLUSTER_NAME"], os.environ["AWS_REGION"], os.environ["BUCKET"]
NAMESPACE, ACCOUNT = os.environ["NAMESPACE"], os.environ["SERVICE_ACCOUNT"]
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]  # never AWS itself
TAGS = {"pod-identity-demo": CLUSTER}


def trust(service, actions):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": actions}]})


def main(folder, *wanted):
    session = botocore.session.Session()
    eks, iam, s3 = (session.create_client(name, region_name=REGION, endpoint_url=ENDPOINT) for name in ("eks", "iam", "s3"))
    if "cluster" in wanted:
        role = iam.create_role(RoleName=f"{CLUSTER}-control-plane", AssumeRolePolicyDocument=trust(
            "eks.amazonaws.com", ["sts:AssumeRole"]))["Role"]["Arn"]
        eks.create_cluster(name=CLUSTER, roleArn=role, resourcesVpcConfig={"subnetIds": ["subnet-a", "subnet-b"]}, tags=TAGS)
        described = eks.describe_cluster(name=CLUSTER)["cluster"]
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "demo", "users": [{"name": "demo", "user": {}}],
                  "clusters": [{"name": "demo", "cluster": {"server": described["endpoint"]}}],
                  "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}]}
        with open(f"{folder}/kubeconfig", "w", encoding="utf-8") as file:
            yaml.safe_dump(config, file)
    if "addon" in wanted:
        eks.create_addon(clusterName=CLUSTER, addonName="eks-pod-identity-agent", tags=TAGS)
    if "bucket" in wanted:
        s3.create_bucket(Bucket=BUCKET)
    if "role" in wanted:
        iam.create_role(RoleName=f"{CLUSTER}-uploader", AssumeRolePolicyDocument=trust(
            "pods.eks.amazonaws.com", ["sts:AssumeRole", "sts:TagSession"]))
        iam.put_role_policy(RoleName=f"{CLUSTER}-uploader", PolicyName="upload", PolicyDocument=json.dumps({
            "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
                "Resource": f"arn:aws:s3:::{BUCKET}/*",
                "Condition": {"StringEquals": {"aws:PrincipalTag/kubernetes-namespace": NAMESPACE}}}]}))
    if "policy" in wanted:
        iam.create_policy(PolicyName=f"{CLUSTER}-irsa-{REGION}", PolicyDocument=json.dumps({
            "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
                "Resource": f"arn:aws:s3:::{BUCKET}/*"}]}))
    if "association" in wanted:
        role = iam.get_role(RoleName=f"{CLUSTER}-uploader")["Role"]["Arn"]
        eks.create_pod_identity_association(
            clusterName=CLUSTER, namespace=NAMESPACE, serviceAccount=ACCOUNT, roleArn=role, tags=TAGS)


main(*sys.argv[1:])
