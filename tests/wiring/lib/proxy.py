"""A proxy between the AWS CLI and the emulator: it notes each call, and can fail one.

    proxy.py EMULATOR-URL FOLDER

prints `ready URL`, and runs until its stdin closes. FOLDER/calls gets a line for each
call: `read` or `write`, the service and the action, or the method and path where the
API is REST. FOLDER/fault, when it is there, holds a kind of fault and a regular
expression; the first call whose line matches gets it, and the file goes:

    refuse   403 with AccessDenied, as AWS words it; the emulator sees nothing
    drop     the connection closes; the emulator sees nothing
    lose     the connection closes after the emulator has done what was asked
    hang     no answer at all, until the caller goes away; the emulator sees nothing

While there is a file FOLDER/tagged, the tagging API lists the ARNs in it: it lags behind the services.
While there is a file FOLDER/auto-mode, clusters use EKS Auto Mode, which the emulator does not know.
"""

import http.client
import json
import os
import re
import ssl
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "cluster"))
import calls

upstream, folder = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]
trusted = ssl.create_default_context()  # of SSL_CERT_FILE


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def body(self):
        if self.headers.get("Expect", "").lower() == "100-continue":
            pass  # http.server has answered it
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def refuse(self, line):
        words = f"User: arn:aws:iam::123456789012:user/test is not authorized to perform: {line}"
        text, kind = f'{{"message": "{words}"}}', "application/json"
        if " eks " not in line:
            text = f"<ErrorResponse><Error><Code>AccessDenied</Code><Message>{words}</Message></Error></ErrorResponse>"
            kind = "text/xml"
            if " s3 " in line:
                text = text.replace("<ErrorResponse>", "").replace("</ErrorResponse>", "")
        self.send_response(403)
        self.send_header("Content-Type", kind)
        self.send_header("x-amzn-ErrorType", "AccessDeniedException")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def pass_on(self):
        body = self.body()
        line = calls.name(self.command, self.path, self.headers, body)
        kind = calls.fault(folder, line)
        if kind == "refuse":
            self.refuse(line)
            return
        if kind in ("drop", "hang"):
            if kind == "hang":
                self.rfile.read(1)
            self.close_connection = True
            return
        tagged = os.path.join(folder, "tagged")
        if line == "read tagging GetResources" and os.path.exists(tagged):
            with open(tagged, encoding="utf-8") as file:
                content = json.dumps({"ResourceTagMappingList": [{"ResourceARN": arn.strip(), "Tags": []} for arn in file]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        connection = http.client.HTTPSConnection(upstream.hostname, upstream.port, timeout=60, context=trusted)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for key, value in self.headers.items():
                if key.lower() not in ("connection", "expect"):
                    connection.putheader(key, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if kind == "lose":
            self.close_connection = True
            return
        if re.fullmatch("read eks GET /clusters/[^/]+", line) and answer.status == 200 and os.path.exists(os.path.join(folder, "auto-mode")):
            described = json.loads(content)
            described["cluster"]["computeConfig"] = {"enabled": True}
            content = json.dumps(described).encode()
        self.send_response_only(answer.status, answer.reason)
        for key, value in answer.getheaders():
            if key.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(key, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = pass_on


server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
server.daemon_threads = True
print(f"ready http://127.0.0.1:{server.server_address[1]}", flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
