"""What happens to an object on its way into the cluster: validation, and the
mutation of pods by EKS's Pod Identity webhook."""

import copy
import os
import random
import string
import tempfile

import yaml

import aws
from store import KINDS, Refused, plural_of

# Where the webhook mounts a token (aws/amazon-eks-pod-identity-webhook, pkg/handler).
TOKENS = {
    "pods.eks.amazonaws.com": (
        "eks-pod-identity-token", "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount", "eks-pod-identity-token"),
    "sts.amazonaws.com": ("aws-iam-token", "/var/run/secrets/eks.amazonaws.com/serviceaccount", "token"),
}


def built(folder):
    """What `kubectl kustomize` makes of a folder."""
    done = aws.real_kubectl("kubectl", "kustomize", folder, capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout


def parsed(text, namespace):
    """The objects in a YAML stream, each strictly valid for its kind and with its namespace."""
    things = []
    for thing in filter(None, yaml.safe_load_all(text)):
        things += thing["items"] if thing.get("kind") == "List" else [thing]
    for thing in things:
        kind, version = thing.get("kind", ""), thing.get("apiVersion", "")
        plural = next((name for name, (known, of, _, _) in KINDS.items() if (known, of) == (kind, version)), None)
        if not plural:
            raise Refused(f'error: resource mapping not found for name: "{thing["metadata"]["name"]}" namespace: '
                          f'"{thing["metadata"].get("namespace", "")}" from "STDIN": no matches for kind "{kind}" in '
                          f'version "{version}"\nensure CRDs are installed first')
        if KINDS[plural][2]:
            thing["metadata"].setdefault("namespace", namespace)
    validate(yaml.safe_dump_all(things))
    return things


def validate(text):
    """Strictly, as an API server of EKS 1.35 validates what `kubectl apply` sends."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        version = os.environ.get("KUBECTL_SERVER_VERSION", "1.35")
        done = aws.real_kubectl("kubernetes-validate", "-k", version, "--strict", "--quiet", "--no-warn",
                                file.name, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise Refused(f"Error from server (BadRequest): error when creating: strict decoding error: {said}")


def admit(store, pod):
    """A pod as it is after admission: the service account must be there; then the webhook."""
    pod = copy.deepcopy(pod)
    metadata, spec = pod["metadata"], pod["spec"]
    namespace = metadata["namespace"]
    if store.get("namespaces", None, namespace) is None:
        raise Refused(f'Error from server (NotFound): namespaces "{namespace}" not found')
    if "name" not in metadata:
        metadata["name"] = metadata.pop("generateName") + "".join(random.choices(string.ascii_lowercase, k=5))
    name = spec.setdefault("serviceAccountName", "default")
    account = store.get("serviceaccounts", namespace, name)
    if account is None:
        raise Refused(f'Error from server (Forbidden): error when creating "STDIN": pods "{metadata["name"]}" is '
                      f'forbidden: error looking up service account {namespace}/{name}: serviceaccount "{name}" not found')
    role = (account["metadata"].get("annotations") or {}).get("eks.amazonaws.com/role-arn")
    # Container credentials take precedence: pkg/handler/handler.go.
    if aws.associated(namespace, name):
        metadata.setdefault("labels", {})["eks.amazonaws.com/pod-identity"] = "enabled"
        inject(spec, "pods.eks.amazonaws.com", lambda file: {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file})
    elif role:
        inject(spec, "sts.amazonaws.com", lambda file: {"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": file})
    return pod


def inject(spec, audience, variables):
    volume, folder, file = TOKENS[audience]
    source = {"serviceAccountToken": {"audience": audience, "expirationSeconds": 86400, "path": file}}
    spec.setdefault("volumes", []).append({"name": volume, "projected": {"sources": [source], "defaultMode": 420}})
    for container in spec.get("initContainers", []) + spec["containers"]:
        env = container.setdefault("env", [])
        there = {variable["name"] for variable in env}
        general = {"AWS_STS_REGIONAL_ENDPOINTS": "regional", "AWS_DEFAULT_REGION": aws.region(), "AWS_REGION": aws.region()}
        if there & {"AWS_REGION", "AWS_DEFAULT_REGION"}:
            del general["AWS_REGION"], general["AWS_DEFAULT_REGION"]
        for name, value in {**general, **variables(f"{folder}/{file}")}.items():
            if name not in there:
                env.append({"name": name, "value": value})
        container.setdefault("volumeMounts", []).append({"name": volume, "readOnly": True, "mountPath": folder})


def merged(old, applied_before, new):
    """The three-way merge of `kubectl apply`, with lists taken whole."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return copy.deepcopy(new)
    before = applied_before if isinstance(applied_before, dict) else {}
    result = {key: value for key, value in old.items() if key in new or key not in before}
    for key, value in new.items():
        result[key] = merged(old.get(key), before.get(key), value)
    return result


def apply(store, thing, dry_run):
    """Applies one object; gives what kubectl says about it, and the object."""
    plural = plural_of(thing["kind"])
    metadata = thing["metadata"]
    namespace, name = metadata.get("namespace"), metadata.get("name", metadata.get("generateName"))
    if namespace and store.get("namespaces", None, namespace) is None:
        raise Refused(f'Error from server (NotFound): namespaces "{namespace}" not found')
    old = store.get(plural, namespace, name)
    if old is None:
        new = admit(store, thing) if plural == "pods" else copy.deepcopy(thing)
        done = "created"
    else:
        new = merged(old, old.get("x-applied"), thing)
        done = "unchanged" if old.get("x-applied") == thing else "configured"
        if plural == "jobs" and new["spec"]["template"] != old["spec"]["template"]:
            raise Refused(f'The Job "{name}" is invalid: spec.template: Invalid value: (the template): field is immutable')
    if not dry_run:
        new["x-applied"] = thing
        new = store.put(plural, new)
    return done, new
