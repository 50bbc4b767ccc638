"""A reverse proxy before MiniStack: counts the calls, and fills two gaps.

    proxy.py UPSTREAM LOG

Prints `ready URL` and serves until its stdin closes. Each call is a line in LOG: the action of a query API,
or the method and path, ids as `*`. The gaps, both of MiniStack 1.5.33:

- ListPodIdentityAssociations gives the first 100 and no nextToken. Here it has pages of 100, as EKS documents
  (https://docs.aws.amazon.com/eks/latest/APIReference/API_ListPodIdentityAssociations.html).
- SimulatePrincipalPolicy looks at no ContextEntries. Here MiniStack's own evaluator answers, with the entries
  as condition keys; keys that policies name and the entries do not are MissingContextValues
  (https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html).

While there is a file LOG.refuse, calls that match the pattern in it are refused with AccessDenied.
"""

import http.client
import json
import os
import re
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

from cloud import client
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

UPSTREAM, LOG = sys.argv[1:3]
lock = threading.Lock()


def list_associations(cluster, query):
    upstream = client(UPSTREAM, "eks")
    # botocore refuses more than 100 only on EKS's side; MiniStack takes any number.
    everything = upstream.list_pod_identity_associations(clusterName=cluster, maxResults=100000)["associations"]
    start = int(query.get("nextToken", ["0"])[0])
    page = {"associations": everything[start : start + 100]}
    if start + 100 < len(everything):
        page["nextToken"] = str(start + 100)
    return json.dumps(page, default=str).encode(), "application/json"


def condition_keys(documents):
    return {key for document in documents for statement in document["Statement"]
            for keys in statement.get("Condition", {}).values() for key in keys}


def members(form, prefix):
    found = {int(key[len(prefix):].split(".")[0]) for key in form if key.startswith(prefix)}
    return [f"{prefix}{number}" for number in sorted(found)]


def simulate(form):
    iam = client(UPSTREAM, "iam")
    role = form["PolicySourceArn"].rsplit("/", 1)[-1]
    documents = []
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = policy["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        documents.append(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        documents.append(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    context = {form[f"{entry}.ContextKeyName"].lower(): form[f"{entry}.ContextKeyValues.member.1"]
               for entry in members(form, "ContextEntries.member.")}
    missing = [key for key in condition_keys(documents) if key.lower() not in context]
    action, resource = form["ActionNames.member.1"], form["ResourceArns.member.1"]
    asked = EvalContext(form["PolicySourceArn"], "AssumedRole", "123456789012", action, resource, "us-east-1",
                        source_ip="", principal_keys=context)
    decision = evaluate(asked, [parse_policy_document(document) for document in documents]).decision
    words = {"Allow": "allowed", "Deny": "explicitDeny"}
    lines = "".join(f"<member>{escape(key)}</member>" for key in missing)
    return (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult>'
        f"<EvaluationResults><member><EvalActionName>{action}</EvalActionName><EvalResourceName>{escape(resource)}</EvalResourceName>"
        f"<EvalDecision>{words.get(decision, 'implicitDeny')}</EvalDecision><MissingContextValues>{lines}</MissingContextValues></member>"
        "</EvaluationResults><IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    ).encode(), "text/xml"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        form = dict(urllib.parse.parse_qsl(body.decode(errors="replace"))) if self.command == "POST" else {}
        action = form.get("Action") or f"{self.command} {re.sub('/a-[0-9a-z]+$', '/*', url.path)}"
        with lock, open(LOG, "a") as log:
            log.write(action + "\n")
        refused = open(f"{LOG}.refuse").read().strip() if os.path.exists(f"{LOG}.refuse") else None
        listing = re.fullmatch(r"/clusters/([^/]+)/pod-identity-associations", url.path)
        if refused and re.search(refused, action):
            self.reply(403, json.dumps({"__type": "AccessDeniedException", "message": f"not authorized: {action}"}).encode(), "application/json")
        elif listing and self.command == "GET":
            self.reply(200, *list_associations(listing[1], urllib.parse.parse_qs(url.query)))
        elif action == "SimulatePrincipalPolicy":
            self.reply(200, *simulate(form))
        else:
            upstream = http.client.HTTPConnection(urllib.parse.urlsplit(UPSTREAM).netloc, timeout=30)
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            self.reply(answer.status, answer.read(), answer.getheader("Content-Type", "text/plain"))
            upstream.close()

    do_GET = do_POST = do_PUT = do_DELETE = handle_any


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"ready http://127.0.0.1:{server.server_port}", flush=True)
sys.stdin.read()
