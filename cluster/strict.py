"""Where AWS is stricter or slower than MiniStack 1.5.33. Each rule names its source.

Files in the folder STATE change the account, as long as they exist:

    stale                `COUNT PATTERN`: IAM and EKS are eventually consistent, so this many reads that match
                         get the answer that the same question got the first time
    no-tags-on-creation  a bucket's creation with tags is refused, as it is without s3:TagResource
    tagged               the tagging API lists the ARNs in it as well
"""

import json
import os
import re
import urllib.parse

import botocore.session

JSON = [("Content-Type", "application/json")]
XML = [("Content-Type", "text/xml")]
state = ""
eks = tagging = None
first_answers = {}  # to the reads that `stale` names
listed = {}  # what had tags before something was deleted, by ARN


def configure(folder, emulator):
    global state, eks, tagging
    state = folder
    session = botocore.session.get_session()
    session.set_credentials("test", "test")
    eks, tagging = (
        session.create_client(name, region_name="us-east-1", endpoint_url=emulator, verify=os.environ["SSL_CERT_FILE"])
        for name in ("eks", "resourcegroupstaggingapi"))


def refused(status, code, message):
    """An error of a REST API, as EKS words it, and of the tagging API, whose clients read the code in the body."""
    headers = [*JSON, ("x-amzn-ErrorType", code)]
    return status, headers, json.dumps({"__type": code, "message": message}).encode()


def query_error(code, message):
    """An error of a query API, as CloudFormation and IAM word it."""
    text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    return 400, XML, text.encode()


def denied(line):
    message = f"User: arn:aws:iam::123456789012:user/test is not authorized to perform: {line}"
    if " eks " in line or " tagging " in line:
        return refused(403, "AccessDeniedException", message)
    error = f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
    text = error if " s3 " in line else f"<ErrorResponse>{error}</ErrorResponse>"
    return 403, XML, text.encode()


def stale(line, body):
    """The first answer to the same read, as long as `stale` says so, or None."""
    file = os.path.join(state, "stale")
    if not line.startswith("read ") or not os.path.exists(file) or (line, body) not in first_answers:
        return None
    with open(file, encoding="utf-8") as opened:
        count, _, pattern = opened.read().strip().partition(" ")
    if int(count) < 1 or not re.search(pattern, line):
        return None
    with open(file, "w", encoding="utf-8") as opened:
        opened.write(f"{int(count) - 1} {pattern}")
    return first_answers[line, body]


def remember(line, body, answer):
    """Keeps the first answer to a read while `stale` exists."""
    if not os.path.exists(os.path.join(state, "stale")):
        first_answers.clear()
    elif line.startswith("read "):
        first_answers.setdefault((line, body), answer)


def before(line, body):
    """A refusal of what the emulator would accept, or None."""
    if line.endswith((" CreateStack", " DescribeStacks")) and (refusal := impossible_name(body)):
        return refusal
    if line.endswith(" CreateStack"):
        return duplicate_tags(body)
    if line.startswith("write s3 PUT /") and b"<Tags>" in body and os.path.exists(os.path.join(state, "no-tags-on-creation")):
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html, "Permissions"
        return denied(line)
    cluster = re.match(r"\S+ eks \S+ /clusters/([^/?]+)/addons", line)
    if cluster and cluster[1] not in eks.list_clusters()["clusters"]:
        # The emulator keeps the add-ons of a cluster that is deleted, until control_plane.py looks.
        return refused(404, "ResourceNotFoundException", f"No cluster found for name: {cluster[1]}.")
    if re.match(r"write \S+ (DELETE |Delete)", line):
        listed.update({one["ResourceARN"]: one for one in tagging.get_resources()["ResourceTagMappingList"]})
    return None


def impossible_name(body):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html, "StackName" """
    name = dict(urllib.parse.parse_qsl(body.decode())).get("StackName", "a")
    if name.startswith("arn:") or re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", name):
        return None
    return query_error("ValidationError", f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: "
                       "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*")


def duplicate_tags(body):
    """CloudFormation refuses stacks with two tags of one key since March 2026 (elastic/cloud-on-k8s issue 9232)."""
    form = dict(urllib.parse.parse_qsl(body.decode()))
    keys = [value for key, value in form.items() if key.startswith("Tags.member.") and key.endswith(".Key")]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        return query_error("ValidationError", f"Duplicate tag keys found: {', '.join(twice)}")
    with open(os.path.join(state, "stacks"), "a", encoding="utf-8") as file:
        file.write(json.dumps({"name": form.get("StackName"), "tags": keys}) + "\n")
    return None


def after(line, body, status, content):
    """The emulator's answer. The tagging API goes on listing what is deleted: "Returns all the tagged or
    previously tagged resources", https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html"""
    if status != 200 or line != "read tagging GetResources":
        return content
    answer = json.loads(content)
    there = {one["ResourceARN"] for one in answer["ResourceTagMappingList"]}
    filters = json.loads(body).get("TagFilters", [])
    gone = [one for one in listed.values() if one["ResourceARN"] not in there and matches(one, filters)]
    try:
        with open(os.path.join(state, "tagged"), encoding="utf-8") as file:
            gone += [{"ResourceARN": arn, "Tags": []} for arn in file.read().split() if arn not in there]
    except FileNotFoundError:
        pass
    answer["ResourceTagMappingList"] += gone
    return json.dumps(answer).encode()


def matches(one, filters):
    tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
    return all(wanted["Key"] in tags and tags[wanted["Key"]] in wanted.get("Values", [tags[wanted["Key"]]]) for wanted in filters)
