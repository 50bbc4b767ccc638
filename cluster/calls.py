"""The calls that pass a proxy to the emulator: what each does, and the fault that it is to have."""

import os
import re
import threading
import urllib.parse

READS = re.compile(r"(Get|List|Describe|Simulate|BatchGet|AssumeRole)")
LOCK = threading.Lock()


def name(method, path, headers, body):
    """What a call does: `read` or `write`, and which it is."""
    service = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", headers.get("Authorization", ""))
    service = service.group(1) if service else "unsigned"
    target = headers.get("X-Amz-Target", "").rpartition(".")[2]
    if not target and b"Action=" in body and service not in ("s3", "eks"):
        target = urllib.parse.parse_qs(body.decode()).get("Action", [""])[0]
    if target:
        return f"{'read' if READS.match(target) else 'write'} {service} {target}"
    return f"{'read' if method in ('GET', 'HEAD') else 'write'} {service} {method} {path}"


def fault(folder, line):
    """Notes the call in FOLDER/calls, and returns the kind of fault that it is to have, once."""
    path = os.path.join(folder, "fault")
    with LOCK:
        with open(os.path.join(folder, "calls"), "a", encoding="utf-8") as calls:
            calls.write(line + "\n")
        try:
            with open(path, encoding="utf-8") as file:
                kind, pattern = file.read().strip().split(" ", 1)
        except FileNotFoundError:
            return ""
        if not re.search(pattern, line):
            return ""
        os.rename(path, path + ".done")
        return kind
