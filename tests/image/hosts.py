"""Servers that stand in for hosts on the network. Each prints its address or port when it is ready.

hosts.py dns NAME             A name server on port 53 of a loopback address, which it prints. It
                              resolves NAME to 127.0.0.1, and knows no other name.
hosts.py registry FOLDER      An image registry on a port of 127.0.0.1, which it prints. It implements
                              the part of the OCI distribution protocol that a push needs, and stores
                              the pushed content in FOLDER.
hosts.py tls CERTIFICATE PORT A proxy on a port of 127.0.0.1, which it prints. It terminates TLS, and
                              forwards to PORT of 127.0.0.1.
"""

import hashlib
import pathlib
import random
import socket
import ssl
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def dns(name: str) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # resolv.conf cannot name another port than 53. All of 127.0.0.0/8 is the loopback interface, so a
    # random address avoids conflicts.
    address = "127.%d.%d.%d" % (random.randint(1, 254), random.randint(0, 254), random.randint(1, 254))
    try:
        server.bind((address, 53))
    except PermissionError:
        sys.exit("cannot bind port 53: run as root, or set sysctl net.ipv4.ip_unprivileged_port_start=53")
    print(address, flush=True)
    while True:
        query, client = server.recvfrom(4096)
        labels, end = [], 12
        while query[end]:
            labels.append(query[end + 1 : end + 1 + query[end]].decode())
            end += query[end] + 1
        asked, kind = ".".join(labels).lower(), struct.unpack(">H", query[end + 1 : end + 3])[0]
        print("asked", asked, kind, flush=True)
        answers = kind == 1 and asked == name
        head = struct.pack(">HHHHH", 0x8180 if asked == name else 0x8183, 1, int(answers), 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH4B", 1, 1, 5, 4, 127, 0, 0, 1)
        server.sendto(query[:2] + head + query[12 : end + 5] + (record if answers else b""), client)


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client: socket.socket, context: ssl.SSLContext, port: int) -> None:
    try:
        with context.wrap_socket(client, server_side=True) as inside:
            with socket.create_connection(("127.0.0.1", port)) as server:
                threading.Thread(target=pump, args=(inside, server), daemon=True).start()
                pump(server, inside)
    except OSError:
        pass  # a client that does not trust the certificate disconnects during the handshake


def tls(certificate: str, port: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, context, int(port)), daemon=True).start()


class Registry(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: pathlib.Path

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def do_GET(self) -> None:
        self.answer(200 if self.path == "/v2/" else 404)

    def do_HEAD(self) -> None:
        self.answer(200 if (self.folder / self.path.rpartition("/")[2]).exists() else 404)

    def do_POST(self) -> None:
        self.body()
        (self.folder / "upload").write_bytes(b"")
        self.answer(202, Location=self.path + "one")

    def do_PATCH(self) -> None:
        with (self.folder / "upload").open("ab") as upload:
            upload.write(self.body())
        self.answer(202, Location=self.path)

    def do_PUT(self) -> None:
        path, _, digest = self.path.replace("%3A", ":").partition("?digest=")
        body = self.body() if not digest else (self.folder / "upload").read_bytes() + self.body()
        is_ = "sha256:" + hashlib.sha256(body).hexdigest()
        if digest and digest != is_:
            return self.answer(400)
        for name in {is_, digest or path.rpartition("/")[2]}:
            (self.folder / name).write_bytes(body)
        self.answer(201, Docker_Content_Digest=is_, Location=path)

    def log_message(self, *_: object) -> None:
        pass


def registry(folder: str) -> None:
    Registry.folder = pathlib.Path(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    print(server.server_port, flush=True)
    server.serve_forever()


{"dns": dns, "registry": registry, "tls": tls}[sys.argv[1]](*sys.argv[2:])
