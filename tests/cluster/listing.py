"""All that the emulated account holds of what the scripts can make, a line each, sorted. The environment
names the emulator: AWS_ENDPOINT_URL and AWS_CA_BUNDLE."""

import functools

import botocore.session

session = botocore.session.get_session()


@functools.cache  # to read the service's model takes longest
def client(service):
    return session.create_client(service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


def pages(service, operation, key, **words):
    paginator = client(service).get_paginator(operation)
    for page in paginator.paginate(**words):
        yield from page[key]


lines = [f"bucket {bucket['Name']}" for bucket in client("s3").list_buckets()["Buckets"]]
lines += [f"stack {stack['StackName']} {stack['StackStatus']}" for stack in pages("cloudformation", "describe_stacks", "Stacks")]
lines += [f"role {role['RoleName']}" for role in pages("iam", "list_roles", "Roles")]
lines += [f"user {user['UserName']}" for user in pages("iam", "list_users", "Users")]
lines += [f"instance profile {one['InstanceProfileName']}" for one in pages("iam", "list_instance_profiles", "InstanceProfiles")]
for policy in pages("iam", "list_policies", "Policies", Scope="Local"):
    versions = pages("iam", "list_policy_versions", "Versions", PolicyArn=policy["Arn"])
    lines.append(f"policy {policy['Arn']} {sorted(version['VersionId'] for version in versions)}")
for provider in client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]:
    lines.append(f"provider {provider['Arn']}")
for repository in pages("ecr", "describe_repositories", "repositories"):
    lines.append(f"repository {repository['repositoryName']}")
for vpc in pages("ec2", "describe_vpcs", "Vpcs"):
    lines.append(f"vpc {vpc['VpcId']}")
for subnet in pages("ec2", "describe_subnets", "Subnets"):
    lines.append(f"subnet {subnet['SubnetId']}")
for group in pages("ec2", "describe_security_groups", "SecurityGroups"):
    lines.append(f"security group {group['GroupId']}")
for cluster in pages("eks", "list_clusters", "clusters"):
    lines.append(f"cluster {cluster}")
    lines += [f"node group {cluster} {group}" for group in pages("eks", "list_nodegroups", "nodegroups", clusterName=cluster)]
    lines += [f"add-on {cluster} {addon}" for addon in pages("eks", "list_addons", "addons", clusterName=cluster)]
    for one in pages("eks", "list_pod_identity_associations", "associations", clusterName=cluster):
        lines.append(f"association {cluster} {one['namespace']}/{one['serviceAccount']} {one['associationId']}")
print("\n".join(sorted(lines)))
