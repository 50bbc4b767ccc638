"""A stand-in for kubectl, and for the cluster behind it: README.md, beside this, says what it does."""

import sys
import time

import agent
import aws
import jobs
import printer
from admission import apply, built, parsed
from store import KINDS, Refused, Store, plural_of, printed, qualified
from words import Words, selected


def targets(words):
    """What KIND NAME, KIND/NAME or KIND,KIND on the command line mean: pairs of a resource and a name or None."""
    named = words.named
    if not named:
        raise Refused("error: You must specify the type of resource to get")
    if "/" in named[0]:
        return [(plural_of(word.split("/")[0]), word.split("/")[1]) for word in named]
    plurals = [plural_of(word) for word in named[0].split(",")]
    return [(plural, name) for plural in plurals for name in (named[1:] or [None])]


def found(store, words):
    """The objects that the command line means; one that is named and is not there is an error."""
    things = []
    for plural, name in targets(words):
        namespaced = KINDS[plural][2]
        namespace = words.namespace if namespaced and not words["--all-namespaces"] else None
        if plural in ("pods", "daemonsets") and namespace in (None, "kube-system"):
            agent.sync(store)
        if name is None:
            things += [(plural, thing) for thing in selected(store.list(plural, namespace), words["--selector"])]
            continue
        thing = store.get(plural, namespace, name)
        if thing is not None:
            things.append((plural, thing))
        elif not words["--ignore-not-found"]:
            raise Refused(f'Error from server (NotFound): {qualified(plural)} "{name}" not found')
    return things


def get(store, words):
    single = len(words.named) == 2 or "/" in words.named[0]
    things = found(store, words)
    if single and not things:
        return 0
    printer.show(things, words, single)
    return 0


def apply_all(store, words):
    if words["--dry-run"] not in ("", "server"):
        raise Refused(f"error: --dry-run={words['--dry-run']} is not done by this stand-in")
    file = words["--filename"]
    if words["--kustomize"]:
        text = built(words["--kustomize"])
    elif file:
        text = sys.stdin.read() if file == "-" else open(file, encoding="utf-8").read()
    else:
        raise Refused("error: must specify one of -f and -k")
    things = parsed(text, words.namespace)
    dry_run, refused = bool(words["--dry-run"]), 0
    for thing in things:
        plural = plural_of(thing["kind"])
        try:
            with store.lock():
                done, new = apply(store, thing, dry_run)
        except Refused as error:
            print(error, file=sys.stderr)
            refused = 1
            continue
        if plural == "jobs" and done == "created" and not dry_run:
            jobs.start(store, new)
        if words["--output"]:
            printer.show([(plural, new)], words, True)
        else:
            print(printed(plural, new["metadata"]["name"]), done + (" (server dry run)" if dry_run else ""))
    return refused


def delete(store, words):
    for plural, thing in found(store, words):
        remove(store, plural, thing)
        kind, name = printed(plural, thing["metadata"]["name"]).split("/")
        print(f'{kind} "{name}" deleted')
    return 0


def remove(store, plural, thing):
    """Deletes an object, and with it what it owns or holds."""
    metadata = thing["metadata"]
    namespace, name = metadata.get("namespace"), metadata["name"]
    if plural == "jobs":
        jobs.stop(store, thing)
        for pod in store.list("pods", namespace):
            if pod["metadata"].get("labels", {}).get("job-name") == name:
                jobs.forget(store, pod)
    if plural == "namespaces":
        if name in ("default", "kube-system", "kube-public"):
            raise Refused(f'Error from server (Forbidden): namespaces "{name}" is forbidden: this namespace may not be deleted')
        held = [plural for plural, (_, _, namespaced, _) in KINDS.items() if namespaced]
        for plural_held in sorted(held, key=lambda plural: plural != "jobs"):  # jobs first: they make pods
            for one in store.list(plural_held, name):
                remove(store, plural_held, one)
    if plural == "pods":
        jobs.forget(store, thing)
    store.drop(plural, namespace, name)


def pod_of(store, words):
    """The pod that POD or job/NAME means."""
    word = words.named[0] if words.named else ""
    kind, _, name = word.rpartition("/")
    if kind in ("job", "jobs", "job.batch"):
        pods = selected(store.list("pods", words.namespace), f"job-name={name}")
        if store.get("jobs", words.namespace, name) is None:
            raise Refused(f'Error from server (NotFound): jobs.batch "{name}" not found')
        if not pods:
            raise Refused("error: timed out waiting for the condition")
        return sorted(pods, key=lambda pod: (pod["status"]["phase"] == "Running", pod["metadata"]["creationTimestamp"]))[-1]
    if kind not in ("", "pod", "pods"):
        raise Refused(f"error: no kind {kind} here (stand-in)")
    pod = store.get("pods", words.namespace, name)
    if pod is None:
        raise Refused(f'Error from server (NotFound): pods "{name}" not found')
    return pod


def logs(store, words):
    if words["--selector"]:
        agent.sync(store)
        pods = selected(store.list("pods", words.namespace), words["--selector"])
        tail = int(words["--tail"] or 10)
    else:
        pods, tail = [pod_of(store, words)], int(words["--tail"] or -1)
    for pod in pods:
        name = pod["metadata"]["name"]
        if pod["metadata"].get("labels", {}).get("app.kubernetes.io/name") == agent.NAME:
            lines = agent.log(store, pod)
        else:
            state = pod["status"].get("containerStatuses", [{"state": {"waiting": {"reason": "Pending"}}}])[0]["state"]
            if "waiting" in state:
                container = pod["spec"]["containers"][0]
                raise Refused(f'Error from server (BadRequest): container "{container["name"]}" in pod "{name}" is '
                              f'waiting to start: {state["waiting"]["reason"]}')
            file = store.root / "containers" / name / "log"
            lines = file.read_text(errors="replace").splitlines() if file.exists() else []
        begin = f"[pod/{name}/{pod['spec']['containers'][0]['name']}] " if words["--prefix"] else ""
        for line in lines if tail < 0 else lines[len(lines) - min(tail, len(lines)):]:
            print(begin + line)
    return 0


def events(store, words):
    kind, name = words["--for"].split("/")
    kind = KINDS[plural_of(kind)][0]
    about = [event for event in store.list("events", words.namespace)
             if (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == (kind, name)]
    if not about:
        print(f"No events found in {words.namespace} namespace.", file=sys.stderr)
        return 0
    rows = [["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]]
    for event in sorted(about, key=lambda event: event["x-order"]):
        rows.append([printer.age(event["lastTimestamp"]), event["type"], event["reason"], f"{kind}/{name}", event["message"]])
    printer.table(rows)
    return 0


def execute(store, words):
    if not words.command:
        raise Refused("error: you must specify at least one command for the container")
    return jobs.execute(store, pod_of(store, words), words.command)


def rollout(store, words):
    if words.named[:1] != ["status"] or len(words.named) != 2 or not words.named[1].startswith("daemonset/"):
        raise Refused("error: only `rollout status daemonset/NAME` is done by this stand-in")
    name = words.named[1].split("/")[1]
    deadline = time.monotonic() + (words.seconds() or 600)
    while True:
        agent.sync(store)
        if store.get("daemonsets", words.namespace, name):
            print(f'daemon set "{name}" successfully rolled out')
            return 0
        if not agent.coming(name) or time.monotonic() > deadline:
            raise Refused(f'Error from server (NotFound): daemonsets.apps "{name}" not found')
        time.sleep(0.2)


VERBS = {"get": get, "apply": apply_all, "delete": delete, "logs": logs, "events": events, "exec": execute, "rollout": rollout}


def main(arguments):
    if arguments[:1] == ["--container"]:
        return jobs.container(arguments[1], arguments[2:])
    # What needs no server is done by kubectl itself.
    if arguments[:1] in (["config"], ["kustomize"]) or arguments == ["version", "--client"]:
        return aws.real_kubectl("kubectl", *arguments).returncode
    store = Store(aws.server())
    if arguments[:1] == ["--controller"]:
        return jobs.Controller(store, *arguments[1:]).run()
    words = Words(arguments)
    return VERBS[words.verb](store, words)


try:
    sys.exit(main(sys.argv[1:]))
except Refused as refused:
    print(refused, file=sys.stderr)
    sys.exit(1)
