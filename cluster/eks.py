"""What EKS does around a cluster, and what the AWS emulator lacks, for the test cluster:

    eks.py STATE EMULATOR-URL ADDRESS:PORT

- A proxy in front of the emulator (MiniStack 1.5.33), at ADDRESS:PORT. fills.py answers the calls that
  the emulator lacks; strict.py refuses what AWS refuses and the emulator accepts.
- EKS's authenticator: the API server's TokenReviews for the tokens of `aws eks get-token`, at
  /_cluster/authenticate. Such a token is a presigned GetCallerIdentity, whose access key alone is read;
  nobody checks its signature.
- EKS's control plane: twice a second it reads the associations and add-ons of the emulator's cluster.
  Associations go to the file that the webhook watches; the add-ons become DaemonSets.

STATE/calls gets a line for each call: `read` or `write`, the service and the action, or the method and
path where the API is REST. STATE/fault, when it exists, holds a kind of fault and a regular expression;
the first call whose line matches gets the fault, and the file is renamed to fault.done:

    refuse   403 with AccessDenied, as AWS words it; the emulator sees nothing
    drop     the connection closes; the emulator sees nothing
    lose     the connection closes after the emulator has done what was asked
    hang     no answer at all, until the caller goes away; the emulator sees nothing
"""

import base64
import http.client
import json
import ssl
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import calls
import control_plane
import fills
import strict

STATE, UPSTREAM = sys.argv[1], urllib.parse.urlsplit(sys.argv[2])
ADDRESS, _, PORT = sys.argv[3].rpartition(":")
TRUSTED = ssl.create_default_context()  # of SSL_CERT_FILE
ANSWERED = {}  # the answers to writing calls, by the SDK's invocation ID


def forward(method, path, headers, body):
    """Asks the emulator: status, headers and content of its answer."""
    connection = http.client.HTTPSConnection(UPSTREAM.hostname, UPSTREAM.port, timeout=60, context=TRUSTED)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for key, value in headers:
            if key.lower() not in ("connection", "expect"):
                connection.putheader(key, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def authenticate(review):
    """The TokenReview's status. As in EKS, the token is `k8s-aws-v1.` and a presigned URL in base64, and
    the name of the cluster is one of the signed headers (aws-iam-authenticator, pkg/token/token.go)."""
    token = review["spec"]["token"]
    if not token.startswith("k8s-aws-v1."):
        return {"authenticated": False}
    encoded = token.removeprefix("k8s-aws-v1.")
    url = urllib.parse.urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    arn = fills.caller(url.query)
    if not arn:
        return {"authenticated": False, "error": "the token's access key is not known"}
    # Whoever may use the emulated account created the cluster, and is its administrator.
    return {"authenticated": True, "user": {"username": arn, "uid": arn, "groups": ["system:masters"]}}


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError as error:  # the caller went away
            print(f"{getattr(self, 'path', '')}: {error!r}", flush=True)
            self.close_connection = True

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, headers, content):
        self.send_response_only(status)
        for key, value in headers:
            if key.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(key, value)
        length = dict((key.lower(), value) for key, value in headers).get("content-length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def pass_on(self):
        body = self.body()
        if self.path.startswith("/_cluster/authenticate"):
            review = json.loads(body)
            review["status"] = authenticate(review)
            self.answer(200, [("Content-Type", "application/json")], json.dumps(review).encode())
            return
        line = calls.name(self.command, self.path, self.headers, body)
        # Now and then eksctl asks a second time although the emulator has answered; the cause was not
        # found. The second attempt has the invocation ID of the first, and gets the same answer, because
        # otherwise the emulator would refuse to create something twice.
        invocation = self.headers.get("amz-sdk-invocation-id") if line.startswith("write") else None
        if invocation in ANSWERED:
            print(f"answered again: {line}", flush=True)
            self.answer(*ANSWERED[invocation])
            return
        kind = calls.fault(STATE, line)
        if kind == "refuse":
            refusal = strict.denied(line)
            if invocation:
                ANSWERED[invocation] = refusal
            self.answer(*refusal)
            return
        if kind in ("drop", "hang"):
            if kind == "hang":
                self.rfile.read(1)
            self.close_connection = True
            return
        filled = strict.stale(line, body) or strict.before(line, body) or fills.before(line, self.path, body)
        if filled:
            self.answer(*filled)
            return
        sent = fills.request(line, body)
        own = self.headers.items() if sent is body else fills.signed(line, self.path, self.headers.items(), sent)
        status, headers, content = forward(self.command, self.path, own, sent)
        if status >= 400:
            print(f"{status} {line}: {content[:300]!r}", flush=True)
        if kind == "lose":
            self.close_connection = True
            return
        answer = fills.after(line, body, status, headers, strict.after(line, body, status, content))
        strict.remember(line, body, answer)
        if invocation and status < 400 and " s3 " not in line:
            ANSWERED[invocation] = answer
        self.answer(*answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = pass_on


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # on a busy machine, more callers wait than the default of 5


def main():
    fills.configure(STATE, sys.argv[2])
    strict.configure(STATE, sys.argv[2])
    server = Server((ADDRESS, int(PORT)), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    plane = control_plane.ControlPlane(STATE, sys.argv[2], f"http://{ADDRESS}:{PORT}")
    while True:
        try:
            plane.reconcile()
        except Exception as error:  # the cluster may be half there; the next round tries again
            print(f"reconcile: {error!r}", flush=True)
        time.sleep(0.5)


main()
