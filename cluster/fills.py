"""What MiniStack 1.5.33 lacks and the scripts or eksctl ask for.

Each answer names its source: a page of the AWS API reference, or the caller that reads it. As long as
the file STATE/auto-mode exists, clusters use EKS Auto Mode.

STATE/unasked gets the actions that AWS would ask IAM for and the emulator does not, because a call is
answered here, or reaches the emulator as the root user's.
"""

import base64
import json
import os
import urllib.parse
from xml.sax.saxutils import escape

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
from ministack.core import iam_evaluator
from strict import JSON, XML

AGENT = "eks-pod-identity-agent"
state = ""
iam = eks = None


def configure(folder, emulator):
    global state, iam, eks
    state = folder
    session = botocore.session.get_session()
    session.set_credentials("test", "test")
    iam, eks = (session.create_client(service, region_name="us-east-1", endpoint_url=emulator, verify=os.environ["SSL_CERT_FILE"])
                for service in ("iam", "eks"))


def caller(query):
    """The ARN of whoever presigned this GetCallerIdentity, or None."""
    parameters = urllib.parse.parse_qs(query)
    scope = parameters.get("X-Amz-Credential", [""])[0].split("/")
    token = parameters.get("X-Amz-Security-Token", [None])[0]
    if scope[0] == "test":
        return "arn:aws:iam::123456789012:root"
    return None if not token else "arn:aws:sts::123456789012:assumed-role/unknown/session"


def before(line, path, body):
    """An answer instead of the emulator's, or None."""
    parts = urllib.parse.urlsplit(path)
    if line.startswith("read eks GET /cluster-versions"):
        # https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeClusterVersions.html
        versions = [{"clusterVersion": version, "clusterType": "eks", "defaultPlatformVersion": "eks.1", "status": "STANDARD_SUPPORT",
                     "versionStatus": "STANDARD_SUPPORT", "defaultVersion": version == "1.35"} for version in ("1.35", "1.34", "1.33")]
        return unasked("eks:DescribeClusterVersions", JSON, json.dumps({"clusterVersions": versions}).encode())
    if line.endswith(" ec2 DescribeInstanceTypeOfferings"):
        return unasked("ec2:DescribeInstanceTypeOfferings", XML, instance_types(body))
    if line.startswith("read eks GET /addons/supported-versions"):
        return unasked("eks:DescribeAddonVersions", JSON, supported_addons(parts.query))
    if line.startswith("read eks GET /clusters/") and parts.path.endswith("/fargate-profiles"):
        # https://docs.aws.amazon.com/eks/latest/APIReference/API_ListFargateProfiles.html
        return unasked("eks:ListFargateProfiles", JSON, json.dumps({"fargateProfileNames": []}).encode())
    if line.startswith("read eks GET /addons/configuration-schemas"):
        # https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeAddonConfiguration.html
        asked = dict(urllib.parse.parse_qsl(parts.query))
        cni = [{"serviceAccount": "aws-node", "recommendedManagedPolicies": ["arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"]}]
        configuration = {**asked, "configurationSchema": "{}", "podIdentityConfiguration": cni if asked["addonName"] == "vpc-cni" else []}
        return unasked("eks:DescribeAddonConfiguration", JSON, json.dumps(configuration).encode())
    if line.endswith(" TagOpenIDConnectProvider"):
        return unasked("iam:TagOpenIDConnectProvider", XML, tag_provider(body))
    return None


def unasked(action, headers=None, content=b""):
    """The answer, whose action is noted."""
    with open(os.path.join(state, "unasked"), "a", encoding="utf-8") as file:
        file.write(action + "\n")
    return 200, headers, content


def exists(name):
    return os.path.exists(os.path.join(state, name))


def tag_provider(body):
    """https://docs.aws.amazon.com/IAM/latest/APIReference/API_TagOpenIDConnectProvider.html
    The emulator has a provider's tags from its creation alone, so the provider is created again."""
    form = dict(urllib.parse.parse_qsl(body.decode()))
    arn = form["OpenIDConnectProviderArn"]
    provider = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    added = {form[f"Tags.member.{number}.Key"]: form[f"Tags.member.{number}.Value"]
             for number in range(1, 51) if f"Tags.member.{number}.Key" in form}
    tags = {tag["Key"]: tag["Value"] for tag in provider.get("Tags", [])} | added
    iam.create_open_id_connect_provider(
        Url="https://" + provider["Url"].removeprefix("https://"), ClientIDList=provider["ClientIDList"], ThumbprintList=provider["ThumbprintList"],
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
    return b"<TagOpenIDConnectProviderResponse/>"


def instance_types(body):
    """Every zone has every instance type that was asked for.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypeOfferings.html"""
    form = dict(urllib.parse.parse_qsl(body.decode()))
    wanted = [value for key, value in form.items() if key.startswith("Filter.") and ".Value." in key and "." in value]
    items = "".join(
        f"<item><instanceType>{kind}</instanceType><locationType>availability-zone</locationType><location>us-east-1{zone}</location></item>"
        for kind in wanted for zone in "abcdef")
    text = (f'<DescribeInstanceTypeOfferingsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            f"<instanceTypeOfferingSet>{items}</instanceTypeOfferingSet></DescribeInstanceTypeOfferingsResponse>")
    return text.encode()


def supported_addons(query):
    """https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeAddonVersions.html"""
    name = urllib.parse.parse_qs(query).get("addonName", [None])[0]
    names = [name] if name else [AGENT, "vpc-cni", "coredns", "kube-proxy"]
    compatible = [{"clusterVersion": "1.35", "defaultVersion": True, "platformVersions": ["*"]},
                  {"clusterVersion": "1.34", "defaultVersion": True, "platformVersions": ["*"]}]
    addons = [{"addonName": one, "type": "networking", "owner": "aws", "addonVersions": [
        {"addonVersion": "v1.3.9-eksbuild.1", "architecture": ["amd64", "arm64"], "compatibilities": compatible,
         "requiresIamPermissions": one == "vpc-cni", "requiresConfiguration": False}]} for one in names]
    return json.dumps({"addons": addons}).encode()


# Types of resources that the emulator's CloudFormation does not have.
LACKING = {"AWS::EC2::EIP", "AWS::EC2::NatGateway", "AWS::EC2::SecurityGroupIngress"}


def request(line, body):
    """The body that the emulator gets: a stack's template without the resources that it lacks, and an OIDC
    provider's URL without the default port, which IAM leaves out (eksctl adds it: pkg/iam/oidc/api.go)."""
    if line.endswith(" CreateOpenIDConnectProvider"):
        return body.replace(b"%3A443&", b"&").replace(b"%3A443%2F", b"%2F")
    if line.endswith(" AssumeRoleWithWebIdentity"):
        form = dict(urllib.parse.parse_qsl(body.decode()))
        form["WebIdentityToken"] = with_one_audience(form["WebIdentityToken"])
        return urllib.parse.urlencode(form).encode()
    if not line.endswith((" CreateStack", " UpdateStack", " CreateChangeSet")):
        return body
    form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
    template = json.loads(form.get("TemplateBody", "{}"))
    resources = template.get("Resources", {})
    lacking = {key for key, resource in resources.items() if resource["Type"] in LACKING}
    if not lacking:
        return body
    template["Resources"] = {key: resource for key, resource in resources.items() if key not in lacking}
    form["TemplateBody"] = json.dumps(without(template, lacking))
    return urllib.parse.urlencode(form).encode()


def with_one_audience(token):
    """The token with its only audience as a string. In trust policies, the emulator compares the audience
    only in this form; Kubernetes writes a list of one. The emulator does not check the token's signature."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if isinstance(claims["aud"], list) and len(claims["aud"]) == 1:
        claims["aud"] = claims["aud"][0]
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return ".".join((header, payload, signature))


def signed(line, path, headers, body):
    """Signs a changed request again, as the account's root user: the emulator checks signatures."""
    if not any(key.lower() == "authorization" for key, _ in headers):
        return [*((key, value) for key, value in headers if key.lower() != "content-length"), ("Content-Length", str(len(body)))]
    unasked(":".join(line.split()[1:3]))
    drop = ("authorization", "x-amz-date", "content-length", "x-amz-content-sha256", "x-amz-security-token", "connection")
    kept = {key: value for key, value in headers if key.lower() not in drop}
    sign = botocore.awsrequest.AWSRequest("POST", f"http://{kept['Host']}{path}", kept, body)
    credentials = botocore.credentials.Credentials("test", "test")
    botocore.auth.SigV4Auth(credentials, line.split()[1], "us-east-1").add_auth(sign)
    return [*sign.headers.items(), ("Content-Length", str(len(body)))]


def without(node, lacking):
    """The template without what refers to these resources; a reference becomes an invented ID."""
    if isinstance(node, list):
        return [without(item, lacking) for item in node if not (isinstance(item, str) and item in lacking)]
    if not isinstance(node, dict):
        return node
    target = node.get("Ref", node.get("Fn::GetAtt"))
    target = target[0] if isinstance(target, list) else str(target).partition(".")[0]
    if len(node) == 1 and target in lacking:
        return f"{target.lower()}-0123456789abcdef0"
    return {key: without(value, lacking) for key, value in node.items() if not (key == "DependsOn" and isinstance(value, str) and value in lacking)}


def after(line, body, status, headers, content):
    """The emulator's answer, with what it lacks; what it refuses stays refused."""
    if status == 200 and line.startswith("read eks GET /clusters/") and line.count("/") == 2:
        cluster = json.loads(content)
        if exists("auto-mode"):
            # https://docs.aws.amazon.com/eks/latest/APIReference/API_ComputeConfigResponse.html
            cluster["cluster"]["computeConfig"] = {"enabled": True}
        cluster["cluster"].update(endpoint=issuer(), certificateAuthority={"data": certificate()},
                                  identity={"oidc": {"issuer": issuer()}})
        return status, headers, json.dumps(cluster).encode()
    if status == 200 and line == "read iam SimulatePrincipalPolicy":
        return 200, XML, simulated(dict(urllib.parse.parse_qsl(body.decode())))
    if status == 200 and line.startswith("read eks GET /clusters/") and line.partition("?")[0].endswith("/pod-identity-associations"):
        content = page_of_associations(line.split()[-1], content)
    if status == 200 and " eks " in line and "/pod-identity-associations" in line and b'"ownerArn"' in content:
        # Only an association that an add-on owns has this field; eksctl does not ask for its value.
        answer = json.loads(content)
        for one in [answer.get("association", {}), *answer.get("associations", [])]:
            if not one.get("ownerArn"):
                one.pop("ownerArn", None)
        return status, headers, json.dumps(answer).encode()
    if status == 200 and " eks " in line and "/addons" in line and b'"addon"' in content:
        # The emulator repeats the associations as they were asked for; EKS answers with their ARNs.
        addon = json.loads(content)
        asked = addon["addon"].get("podIdentityAssociations") or []
        addon["addon"]["podIdentityAssociations"] = [one for one in asked if isinstance(one, str)]
        # The emulator's add-ons are active at once. EKS's are when their objects are in the cluster, which
        # control_plane.py sees to. For the others, eksctl would wait its 10 seconds.
        if addon["addon"]["addonName"] == AGENT and exists("jwks.json") and not os.path.exists(installed(AGENT)):
            addon["addon"]["status"] = "CREATING"
        return status, headers, json.dumps(addon).encode()
    return status, headers, content


def installed(addon):
    """The file that exists as long as the add-on's objects are in the cluster."""
    return os.path.join(state, f"installed-{addon}")


def all_associations(cluster, **filters):
    """The emulator takes any number as the size of a page, and gives one page alone."""
    return eks.list_pod_identity_associations(clusterName=cluster, maxResults=1_000_000, **filters)["associations"]


def page_of_associations(path, content):
    """Pages of 100, or of what was asked for: the emulator gives the first without a token for the next.
    https://docs.aws.amazon.com/eks/latest/APIReference/API_ListPodIdentityAssociations.html"""
    url = urllib.parse.urlsplit(path)
    query = dict(urllib.parse.parse_qsl(url.query))
    start, size = int(query.get("nextToken", 0)), int(query.get("maxResults", 100))
    if len(json.loads(content)["associations"]) < size:
        return content  # there are no more
    found = all_associations(url.path.split("/")[2], **{key: query[key] for key in ("namespace", "serviceAccount") if key in query})
    page = {"associations": found[start:start + size]}
    if start + size < len(found):
        page["nextToken"] = str(start + size)
    return json.dumps(page).encode()


def policies(role):
    """The documents of the role's policies."""
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
        yield iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        yield iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]


def simulated(form):
    """The decisions for the actions on one resource. The emulator does not read ContextEntries, so its own
    evaluator is asked with these as condition keys. Keys that the policies name and the entries do not are
    MissingContextValues. https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html"""
    documents = list(policies(form["PolicySourceArn"].rsplit("/", 1)[-1]))
    context = {value.lower(): form[f"{key.removesuffix('.ContextKeyName')}.ContextKeyValues.member.1"]
               for key, value in form.items() if key.endswith(".ContextKeyName")}
    named = {key for document in documents for statement in document["Statement"]
             for keys in statement.get("Condition", {}).values() for key in keys}
    missing = "".join(f"<member>{escape(key)}</member>" for key in sorted(named) if key.lower() not in context)
    resource, parsed = form["ResourceArns.member.1"], [iam_evaluator.parse_policy_document(document) for document in documents]
    results = ""
    for action in (value for key, value in form.items() if key.startswith("ActionNames.member.")):
        asked = iam_evaluator.EvalContext(form["PolicySourceArn"], "AssumedRole", "123456789012", action, resource, "us-east-1",
                                          source_ip="", principal_keys=context)
        word = {"Allow": "allowed", "Deny": "explicitDeny"}.get(iam_evaluator.evaluate(asked, parsed).decision, "implicitDeny")
        results += (f"<member><EvalActionName>{action}</EvalActionName><EvalResourceName>{escape(resource)}</EvalResourceName>"
                    f"<EvalDecision>{word}</EvalDecision><MissingContextValues>{missing}</MissingContextValues></member>")
    return (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult>'
        f"<EvaluationResults>{results}</EvaluationResults><IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>").encode()


def issuer():
    with open(os.path.join(state, "issuer"), encoding="utf-8") as file:
        return file.read().strip()


def certificate():
    with open(os.path.join(state, "pki", "ca.crt"), "rb") as file:
        return base64.b64encode(file.read()).decode()
