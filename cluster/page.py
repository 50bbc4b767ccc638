"""Serves the live page of a pod of the test cluster on this machine's loopback interface, until it is ended:

    page.py PID PORT ADDRESS

The listening socket is of this machine's network, and what connects to ADDRESS, port 8080, is of the network of
the process PID. A socket stays in the network in which it was created.
"""

import ctypes
import os
import socket
import sys
import threading

CLONE_NEWNET = 0x40000000
pid, port, address = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def pass_on(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one side has gone, so the other is not needed
        for one in (source, target):
            one.close()


def serve(client):
    try:
        pod = socket.create_connection((address, 8080), timeout=10)
    except OSError as error:
        print(f"page.py: the pod does not answer: {error}", file=sys.stderr)
        client.close()
        return
    pod.settimeout(None)
    threading.Thread(target=pass_on, args=(client, pod), daemon=True).start()
    pass_on(pod, client)


try:
    listener = socket.create_server(("127.0.0.1", port))
except OSError as error:
    sys.exit(f"page.py: port {port} cannot be used: {error.strerror}: name another")
with open(f"/proc/{pid}/ns/net", encoding="utf-8") as network:
    # os.setns is in Python 3.12 and later.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network.fileno(), CLONE_NEWNET):
        sys.exit(f"page.py: the cluster's network cannot be entered: {os.strerror(ctypes.get_errno())}")
print(f"http://127.0.0.1:{port}/ is the page of the pod at {address}; Ctrl-C ends this", flush=True)
try:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
except KeyboardInterrupt:
    pass
