"""The Job controller and the kubelet in the small: a process a Job, which makes
its pods and runs their containers as local processes."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import aws
from admission import admit
from store import Refused, Store, now

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent


def program():
    return os.environ.get("POD_IDENTITY_DEMO", str(ROOT / "target/debug/pod-identity-demo"))


def sandbox():
    return os.environ.get("SANDBOX", str(ROOT / "target/debug/sandbox"))


def start(store, job):
    """Starts the process of a Job that has just been applied."""
    metadata = job["metadata"]
    words = [sys.executable, str(HERE), "--controller", metadata["namespace"], metadata["name"]]
    with open(store.root / "controllers.log", "ab") as log:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 10
    while child.poll() is None and time.monotonic() < deadline:
        if (store.root / lock_of(metadata)).exists():
            return
        time.sleep(0.02)


def lock_of(metadata):
    return f"job.{metadata['namespace']}.{metadata['name']}.lock"


def stop(store, job):
    """Ends the process of a Job, and with it the pod's; waits for that."""
    name = lock_of(job["metadata"])
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        held = store.alone(name)
        if held:  # nobody runs it
            held.close()
        else:
            os.kill(int((store.root / f"{name}.pid").read_text()), signal.SIGTERM)
            with store.lock(name):
                pass
    (store.root / name).unlink(missing_ok=True)
    (store.root / f"{name}.pid").unlink(missing_ok=True)


class Terminated(Exception):
    pass


class Controller:
    """Pods one after another, until one succeeds, the Job's policy says stop, or it is deleted."""

    def __init__(self, store, namespace, name):
        self.store, self.namespace, self.name = store, namespace, name
        self.backoff = float(os.environ.get("KUBECTL_JOB_BACKOFF", "10"))
        self.child = None

    def run(self):
        job = self.job()
        store = self.store
        held = store.alone(lock_of(job["metadata"]))
        if not held:
            return
        signal.signal(signal.SIGTERM, self.terminated)
        (store.root / f"{lock_of(job['metadata'])}.pid").write_text(str(os.getpid()))
        failed = 0
        try:
            while True:
                self.status(active=1, failed=failed)
                code = self.one_pod(job)
                failed += code != 0
                verdict = self.verdict(job, code, failed)
                if verdict:
                    kind, why, message = verdict
                    self.status(failed=failed, succeeded=int(code == 0), conditions=[
                        {"type": kind, "status": "True", "reason": why, "message": message, "lastTransitionTime": now()}])
                    return
                self.status(failed=failed)
                self.sleep(min(self.backoff * 2 ** (failed - 1), 360))
        except Terminated:
            pass
        finally:
            self.end()

    def job(self):
        return self.store.get("jobs", self.namespace, self.name)

    def terminated(self, *_):
        raise Terminated

    def status(self, **status):
        job = self.job()
        if job is None:
            raise Terminated
        self.store.put("jobs", {**job, "status": {"startTime": now(), **status}})

    def sleep(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.store.root.is_dir():  # the test that it belonged to is over
                raise Terminated
            time.sleep(min(0.2, seconds))

    def verdict(self, job, code, failed):
        """How the Job ends after a pod that ended with this code; None if it does not."""
        if code == 0:
            return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
        for rule in (job["spec"].get("podFailurePolicy") or {}).get("rules", []):
            codes = rule.get("onExitCodes")
            if codes and (code in codes["values"]) == (codes["operator"] == "In"):
                if rule["action"] == "FailJob":
                    return ("Failed", "PodFailurePolicy",
                            f"Container {codes.get('containerName')} failed with exit code {code} matching FailJob rule")
                break
        if failed > job["spec"].get("backoffLimit", 6):
            return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        return None

    def one_pod(self, job):
        """Makes a pod and sees it to its end; its exit code."""
        store, template = self.store, job["spec"]["template"]
        labels = {**template["metadata"].get("labels", {}), "job-name": self.name, "batch.kubernetes.io/job-name": self.name}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": self.name, "uid": job["metadata"]["uid"], "controller": True}
        while True:
            try:
                pod = admit(store, {"metadata": {
                    "generateName": f"{self.name}-", "namespace": self.namespace, "labels": labels,
                    "ownerReferences": [owner]}, "spec": template["spec"]})
                break
            except Refused as refused:
                store.event(job, "FailedCreate", f"Error creating: {refused}", "Warning")
                self.sleep(self.backoff)
        number = len(store.list("pods", self.namespace)) + 20
        pod["spec"]["nodeName"] = store.list("nodes")[number % 2]["metadata"]["name"]
        self.address = f"{os.environ.get('KUBECTL_POD_NETWORK', '10.0.1.')}{number}"
        pod["spec"].setdefault("restartPolicy", "Never")
        container = pod["spec"]["containers"][0]
        pod = self.pod = store.put("pods", {**pod, "status": {"phase": "Pending"}})
        name, image = pod["metadata"]["name"], container["image"]
        store.event(job, "SuccessfulCreate", f"Created pod: {name}")
        store.event(pod, "Scheduled", f"Successfully assigned {self.namespace}/{name} to {pod['spec']['nodeName']}")
        if image in os.environ.get("KUBECTL_MISSING_IMAGES", "").split() or image in os.environ.get("KUBECTL_LATE_IMAGES", "").split():
            message = f'Failed to pull image "{image}": failed to resolve reference "{image}": not found'
            store.event(pod, "Pulling", f'Pulling image "{image}"')
            store.event(pod, "Failed", message, "Warning")
            store.event(pod, "Failed", "Error: ErrImagePull", "Warning")
            self.pod_status("Pending", {"waiting": {"reason": "ErrImagePull", "message": message}})
            while image in os.environ.get("KUBECTL_MISSING_IMAGES", "").split():
                self.sleep(3600)
            # Late images can be pulled at the second attempt.
            self.sleep(1)
            self.pod_status("Pending", {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}})
            self.sleep(1)
        store.event(pod, "Pulled", f'Container image "{image}" already present on machine')
        store.event(pod, "Created", f"Created container: {container['name']}")
        store.event(pod, "Started", f"Started container {container['name']}")
        log = store.root / "containers" / name
        log.mkdir(parents=True)
        self.pod_status("Running", {"running": {"startedAt": now()}})
        self.child = subprocess.Popen(
            self.command(pod, log), env=self.environment(pod), cwd=log, stdin=subprocess.DEVNULL,
            stdout=(log / "sandbox.out").open("wb"), stderr=(log / "sandbox.log").open("wb"))
        while self.child.poll() is None:
            self.sleep(0.1)
        code, self.child = self.child.returncode, None
        reason = "Completed" if code == 0 else "Error"
        lines = (log / "log").read_text(errors="replace")[-2048:] if (log / "log").exists() else ""
        state = {"exitCode": code, "reason": reason, "finishedAt": now()}
        if code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            state["message"] = lines
        self.pod_status("Succeeded" if code == 0 else "Failed", {"terminated": state})
        return code

    def pod_status(self, phase, state):
        container = self.pod["spec"]["containers"][0]
        running = "running" in state
        self.pod["status"] = {"phase": phase, "podIP": self.address, "startTime": now(), "containerStatuses": [{
            "name": container["name"], "image": container["image"], "state": state, "ready": running,
            "started": running, "restartCount": 0}]}
        self.pod = self.store.put("pods", self.pod)

    def environment(self, pod):
        """The container's, of its manifest: of this machine's nothing but the path."""
        container = pod["spec"]["containers"][0]
        maps = lambda name: (self.store.get("configmaps", self.namespace, name) or {"data": {}})["data"]
        env = {}
        for source in container.get("envFrom", []):
            env.update(maps(source["configMapRef"]["name"]))
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            if source.get("fieldRef", {}).get("fieldPath") == "metadata.name":
                value = pod["metadata"]["name"]
            elif "configMapKeyRef" in source:
                value = maps(source["configMapKeyRef"]["name"]).get(source["configMapKeyRef"]["key"], "")
            else:
                value = variable.get("value", "")
            env[variable["name"]] = value
        self.bucket = env.get("S3_BUCKET_NAME", "")
        # Pods have a network each; these processes share one.
        env["LISTEN_ADDR"] = "off"
        env.update(pair.split("=", 1) for pair in os.environ.get("KUBECTL_POD_ENV", "").split())
        outside = ("PATH", "SSL_CERT_FILE")  # the latter to trust the emulator by
        return {**env, **{name: os.environ[name] for name in outside if name in os.environ}}

    def command(self, pod, folder):
        self.environment(pod)
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        env = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
        injected, role = "none", []
        if "AWS_CONTAINER_CREDENTIALS_FULL_URI" in env:
            injected = "pod-identity"
        elif "AWS_ROLE_ARN" in env:
            injected, role = "irsa", ["--role-arn", env["AWS_ROLE_ARN"]]
        return [sandbox(), "--emulator", aws.emulator(), "--cluster", aws.cluster(),
                "--region", aws.region(), "--namespace", self.namespace, "--bucket", self.bucket,
                "--service-account", spec["serviceAccountName"], "--pod", pod["metadata"]["name"],
                "--node", spec["nodeName"], "--injected", injected, *role,
                "--", sys.executable, str(HERE), "--container", str(folder), program(), *container.get("args", [])]

    def end(self):
        """Ends the container: SIGTERM, the pod's grace, SIGKILL."""
        if self.child and self.child.poll() is None:
            self.child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(self.pod["spec"].get("terminationGracePeriodSeconds", 30))
            if self.child.poll() is None:
                self.child.kill()
                self.child.wait()


def container(folder, command):
    """Runs in the sandbox: notes the environment for `kubectl exec`, and becomes the program."""
    folder = pathlib.Path(folder)
    (folder / "env").write_text(json.dumps(dict(os.environ)))
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.execv(command[0], command)


def execute(store, pod, command):
    """`kubectl exec`: the program once more, in the environment that the container has."""
    state = pod["status"]["containerStatuses"][0]["state"]
    name = pod["metadata"]["name"]
    if "running" not in state:
        raise Refused(f"error: cannot exec into a container in a completed pod; current phase is {pod['status']['phase']}")
    if os.path.basename(command[0]) != "pod-identity-demo":
        raise Refused(f'error: Internal error occurred: exec: "{command[0]}": executable file not found in $PATH')
    file = store.root / "containers" / name / "env"
    deadline = time.monotonic() + 10
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    done = subprocess.run([program(), *command[1:]], env=json.loads(file.read_text()), check=False)
    if done.returncode:
        print(f"command terminated with exit code {done.returncode}", file=sys.stderr)
    return done.returncode


def forget(store, pod):
    """Removes a pod and its log."""
    metadata = pod["metadata"]
    store.drop("pods", metadata["namespace"], metadata["name"])
    shutil.rmtree(store.root / "containers" / metadata["name"], ignore_errors=True)
