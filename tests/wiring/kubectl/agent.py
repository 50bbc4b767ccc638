"""The eks-pod-identity-agent: there while the add-on is in the cluster."""

import json

import aws
from store import now

NAME = "eks-pod-identity-agent"
SPACE = "kube-system"
LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": NAME}


# The part of the DaemonSet that people look at, as the agent's Helm chart renders it (charts/eks-pod-identity-agent, 0.1.37).
COMMAND = ["/go-runner", f"/{NAME}"]
POD = {
    "automountServiceAccountToken": False, "hostNetwork": True, "priorityClassName": "system-node-critical",
    "initContainers": [{
        "name": f"{NAME}-init", "image": NAME, "command": [*COMMAND, "initialize"], "securityContext": {"privileged": True}}],
    "containers": [{
        "name": NAME, "image": NAME, "command": [*COMMAND, "server"],
        "ports": [{"name": "proxy", "containerPort": 80, "protocol": "TCP"},
                  {"name": "probes-port", "containerPort": 2703, "protocol": "TCP"}],
        "securityContext": {"capabilities": {"add": ["CAP_NET_BIND_SERVICE"]}}}]}


def template():
    """The DaemonSet's pod template, with the cluster's name in its arguments."""
    [container] = POD["containers"]
    arguments = ["--port", "80", "--cluster-name", aws.cluster(), "--probe-port", "2703"]
    return {"metadata": {"labels": LABELS}, "spec": {**POD, "containers": [{**container, "args": arguments}]}}


def coming(name):
    """Whether the add-on is there, and its DaemonSet may still be on its way."""
    return name == NAME and aws.has_addon(NAME)


def sync(store):
    """Makes the add-on's DaemonSet and its pods, one a node, or takes them away."""
    there = (store.get("daemonsets", SPACE, NAME) or {}).get("x-addon", False)
    wanted = aws.has_addon(NAME)
    nodes = store.list("nodes")
    if wanted == there:
        return
    if not wanted:
        store.drop("daemonsets", SPACE, NAME)
        for pod in pods(store):
            store.drop("pods", SPACE, pod["metadata"]["name"])
        return
    count = len(nodes)
    store.put("daemonsets", {
        "x-addon": True, "metadata": {"name": NAME, "namespace": SPACE, "labels": LABELS},
        "spec": {"selector": {"matchLabels": LABELS}, "template": template()},
        "status": {"desiredNumberScheduled": count, "currentNumberScheduled": count, "updatedNumberScheduled": count,
                   "numberReady": count, "numberAvailable": count, "numberMisscheduled": 0}})
    for number, node in enumerate(nodes):
        store.put("pods", {
            "metadata": {"name": f"{NAME}-{'abcdefgh'[number] * 5}", "namespace": SPACE, "labels": LABELS},
            "spec": {"nodeName": node["metadata"]["name"], "hostNetwork": True, "serviceAccountName": "default",
                     "containers": [{"name": NAME, "image": NAME}]},
            "status": {"phase": "Running", "startTime": now(), "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{
                "name": NAME, "image": NAME, "ready": True, "started": True, "restartCount": 0,
                "state": {"running": {"startedAt": now()}}}]}})


def pods(store):
    return [pod for pod in store.list("pods", SPACE) if pod["metadata"].get("labels", {}).get("app.kubernetes.io/name") == NAME]


def log(store, agent):
    """Lines in the agent's format (logrus's JSON; fields from its internal/cloud/eksauth/service.go and
    internal/middleware/logger): made up from the pods of its node, not written by an agent."""
    lines = []
    for pod in store.list("pods"):
        env = {variable["name"] for variable in pod["spec"]["containers"][0].get("env", [])}
        if pod["spec"].get("nodeName") != agent["spec"]["nodeName"] or "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in env:
            continue
        status, metadata = pod["status"], pod["metadata"]
        address = status.get("podIP", "")
        lines.append(json.dumps({
            "client-addr": f"[{address}]:40000" if ":" in address else f"{address}:40000", "cluster-name": aws.cluster(), "level": "info",
            "msg": "Calling EKS Auth to fetch credentials", "time": metadata["creationTimestamp"]},
            separators=(",", ":")))
    return lines
