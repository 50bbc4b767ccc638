"""What the cluster knows from EKS: whose it is, its associations, its add-on."""

import functools
import os
import re
import subprocess

import yaml

from store import Refused


@functools.cache
def server():
    """The URL of the API server that the current context names."""
    files = os.environ.get("KUBECONFIG", os.path.expanduser("~/.kube/config")).split(os.pathsep)
    for file in files:
        try:
            with open(file, encoding="utf-8") as text:
                config = yaml.safe_load(text) or {}
        except FileNotFoundError:
            continue
        named = {context["name"]: context["context"] for context in config.get("contexts") or []}
        clusters = {cluster["name"]: cluster["cluster"] for cluster in config.get("clusters") or []}
        context = named.get(config.get("current-context"))
        if context:
            return clusters[context["cluster"]]["server"]
    raise Refused("The connection to the server localhost:8080 was refused - did you specify the right host or port?")


@functools.cache
def region():
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def emulator():
    """The cluster's own way to the emulator of AWS, and its pods': never AWS itself. A test that
    notes what the scripts ask of AWS has another for these."""
    return os.environ.get("KUBECTL_CLOUD") or os.environ["AWS_ENDPOINT_URL"]


@functools.cache
def eks():
    import botocore.session  # it takes a fifth of a second
    return botocore.session.Session().create_client("eks", region_name=region(), endpoint_url=emulator())


@functools.cache
def cluster():
    """The EKS cluster whose endpoint that server is."""
    for name in eks().list_clusters()["clusters"]:
        if eks().describe_cluster(name=name)["cluster"].get("endpoint") == server():
            return name
    raise Refused(f"Unable to connect to the server: dial tcp: lookup {re.sub('^https?://', '', server())}: no such host")


def associated(namespace, service_account):
    """Whether the pods of this service account have an association."""
    listed = eks().list_pod_identity_associations(
        clusterName=cluster(), namespace=namespace, serviceAccount=service_account)
    return bool(listed["associations"])


def has_addon(name):
    try:
        return eks().describe_addon(clusterName=cluster(), addonName=name)["addon"]["status"] == "ACTIVE"
    except eks().exceptions.ResourceNotFoundException:
        return False


def real_kubectl(*words, **options):
    """The kubectl that scripts/dev/tools.sh installs, for what needs no server."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    tools = os.environ.get("KUBECTL_TOOLS", os.path.join(root, ".tools/manifests/bin"))
    try:
        return subprocess.run([os.path.join(tools, words[0]), *words[1:]], check=False, **options)
    except FileNotFoundError as error:
        raise Refused(f"kubectl (stand-in): {error.filename} is missing: scripts/dev/tools.sh manifests") from error
