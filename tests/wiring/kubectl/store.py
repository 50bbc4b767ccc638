"""The cluster's objects, as JSON files in $KUBECTL_STATE, a folder per cluster."""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import sys
import tempfile
import time
import uuid

# plural: (kind, API version, namespaced, other names)
KINDS = {
    "namespaces": ("Namespace", "v1", False, ("ns",)),
    "nodes": ("Node", "v1", False, ("no",)),
    "pods": ("Pod", "v1", True, ("po",)),
    "serviceaccounts": ("ServiceAccount", "v1", True, ("sa",)),
    "configmaps": ("ConfigMap", "v1", True, ("cm",)),
    "events": ("Event", "v1", True, ("ev",)),
    "services": ("Service", "v1", True, ("svc",)),
    "jobs": ("Job", "batch/v1", True, ()),
    "deployments": ("Deployment", "apps/v1", True, ("deploy",)),
    "daemonsets": ("DaemonSet", "apps/v1", True, ("ds",)),
    "networkpolicies": ("NetworkPolicy", "networking.k8s.io/v1", True, ("netpol",)),
    "validatingadmissionpolicies": ("ValidatingAdmissionPolicy", "admissionregistration.k8s.io/v1", False, ()),
    "validatingadmissionpolicybindings": (
        "ValidatingAdmissionPolicyBinding", "admissionregistration.k8s.io/v1", False, ()),
    "customresourcedefinitions": ("CustomResourceDefinition", "apiextensions.k8s.io/v1", False, ("crd",)),
}


class Refused(Exception):
    """What the API server, or kubectl itself, would say instead."""


def plural_of(word):
    """The resource that a word on kubectl's command line names."""
    for plural, (kind, version, _, short) in KINDS.items():
        group = version.rpartition("/")[0]
        names = {plural, kind.lower(), *short}
        if word.lower() in names | {f"{name}.{group}" for name in names if group}:
            return plural
    raise Refused(f'error: the server doesn\'t have a resource type "{word}"')


def qualified(plural):
    """The resource with its API group, as kubectl and the server's errors print it."""
    group = KINDS[plural][1].rpartition("/")[0]
    return f"{plural}.{group}" if group else plural


def printed(plural, name):
    """An object as kubectl prints it: job.batch/NAME."""
    kind, version, _, _ = KINDS[plural]
    group = version.rpartition("/")[0]
    return f"{kind.lower()}{'.' + group if group else ''}/{name}"


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """The objects of the cluster whose API server is at this URL."""

    def __init__(self, server):
        state = os.environ.get("KUBECTL_STATE")
        if not state:
            sys.exit("kubectl (stand-in): KUBECTL_STATE must name a folder for the cluster's objects")
        host = server.split("//")[-1].strip("/").replace(":", "-").replace("/", "-")
        self.root = pathlib.Path(state, host)
        if not self.root.is_dir():
            self.root.mkdir(parents=True, exist_ok=True)
            self.furnish()

    def furnish(self):
        """What a new cluster has: namespaces, and two nodes of two zones."""
        for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
            self.put("namespaces", {"metadata": {"name": name}})
        for number, zone in ((11, "a"), (12, "b")):
            self.put("nodes", {
                "metadata": {"name": f"ip-10-0-1-{number}.ec2.internal",
                             "labels": {"topology.kubernetes.io/zone": f"us-east-1{zone}"}},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}})

    @contextlib.contextmanager
    def lock(self, name="lock"):
        with open(self.root / name, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def alone(self, name):
        """Takes a lock for the rest of this process; None if another one holds it."""
        file = open(self.root / name, "w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def path(self, plural, namespace, name):
        return self.root / plural / (namespace or "_") / f"{name}.json"

    def get(self, plural, namespace, name):
        try:
            return json.loads(self.path(plural, namespace, name).read_text())
        except FileNotFoundError:
            return None

    def list(self, plural, namespace=None):
        files = sorted(self.root.glob(f"{plural}/{namespace or '*'}/*.json"))
        objects = []
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                objects.append(json.loads(file.read_text()))
        return objects

    def put(self, plural, thing):
        """Writes an object, giving a new one what the server gives: uid, time, and, in a new
        namespace, the service account `default`."""
        kind, version, namespaced, _ = KINDS[plural]
        metadata = thing["metadata"]
        thing = {"apiVersion": version, "kind": kind, **thing}
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", now())
        path = self.path(plural, metadata.get("namespace") if namespaced else None, metadata["name"])
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self.root, delete=False) as file:
            json.dump(thing, file)
        os.replace(file.name, path)
        if plural == "namespaces" and new:
            metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]
            thing["status"] = {"phase": "Active"}
            self.put(plural, thing)
            self.put("serviceaccounts", {"metadata": {"name": "default", "namespace": metadata["name"]}})
        return thing

    def drop(self, plural, namespace, name):
        self.path(plural, namespace, name).unlink(missing_ok=True)

    def event(self, thing, reason, message, kind="Normal"):
        metadata = thing["metadata"]
        self.put("events", {
            "metadata": {"name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}", "namespace": metadata["namespace"]},
            "type": kind, "reason": reason, "message": message, "lastTimestamp": now(),
            "x-order": time.time_ns(), "involvedObject": {"kind": thing["kind"], "name": metadata["name"], "namespace": metadata["namespace"]}})
