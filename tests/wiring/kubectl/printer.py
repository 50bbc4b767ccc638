"""What `kubectl get` prints."""

import datetime
import json

from store import printed


def age(time):
    then = datetime.datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    seconds = max(0, int((datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()))
    return f"{seconds}s" if seconds < 120 else f"{seconds // 60}m" if seconds < 7200 else f"{seconds // 3600}h"


def table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def clean(thing):
    return {key: value for key, value in thing.items() if not key.startswith("x-")}


def show(things, words, single):
    output = words["--output"]
    objects = [clean(thing) for _, thing in things]
    if output in ("json", "yaml"):
        whole = objects[0] if single else {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": objects}
        if output == "json":
            print(json.dumps(whole, indent=4))
        else:
            import yaml
            print(yaml.safe_dump(whole, sort_keys=True), end="")
    elif output == "name":
        for plural, thing in things:
            print(printed(plural, thing["metadata"]["name"]))
    elif not things:
        print("No resources found" + (f" in {words.namespace} namespace." if not words["--all-namespaces"] else ""))
    else:
        kinds = list(dict.fromkeys(plural for plural, _ in things))
        for plural in kinds:
            rows = [row(plural, thing, output == "wide", len(kinds) > 1) for kind, thing in things if kind == plural]
            heads = [] if words["--no-headers"] else [list(rows[0])]
            table(heads + [list(cells.values()) for cells in rows])
            print(end="" if plural == kinds[-1] else "\n")


def row(plural, thing, wide, qualified):
    """An object as a line of a table: by column."""
    metadata, status = thing["metadata"], thing.get("status", {})
    name = printed(plural, metadata["name"]) if qualified else metadata["name"]
    since = age(metadata["creationTimestamp"])
    if plural == "pods":
        container = (status.get("containerStatuses") or [{"state": {}, "ready": False}])[0]
        state = container["state"].get("waiting") or container["state"].get("terminated") or {}
        cells = {"NAME": name, "READY": f"{int(container['ready'])}/1", "STATUS": state.get("reason") or status["phase"],
                 "RESTARTS": "0", "AGE": since}
        return {**cells, "IP": status.get("podIP", "<none>"), "NODE": thing["spec"].get("nodeName", "<none>")} if wide else cells
    if plural == "jobs":
        ended = [one["type"] for one in status.get("conditions", []) if one["status"] == "True"]
        return {"NAME": name, "STATUS": ended[0] if ended else "Running", "COMPLETIONS": f"{status.get('succeeded', 0)}/1",
                "DURATION": since, "AGE": since}
    if plural == "daemonsets":
        cells = {key.upper(): str(status[field]) for key, field in (
            ("desired", "desiredNumberScheduled"), ("current", "currentNumberScheduled"), ("ready", "numberReady"))}
        return {"NAME": name, **cells, "AGE": since}
    if plural in ("namespaces", "nodes"):
        return {"NAME": name, "STATUS": status.get("phase", "Ready"), "AGE": since}
    return {"NAME": name, "AGE": since}
