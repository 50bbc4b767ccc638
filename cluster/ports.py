"""Keeps free ports of the loopback interface for a test cluster, until it runs:

    ports.py STATE NUMBER

Writes the ports to STATE/ports. They are bound and nothing listens, so that a server may listen there (both
allow that with SO_REUSEADDR), but no connection of another process gets one of them. Ends as soon as
STATE/running exists, or with its parent.
"""

import os
import socket
import sys
import time

state, parent = sys.argv[1], os.getppid()
sockets = [socket.socket() for _ in range(int(sys.argv[2]))]
for one in sockets:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", 0))
with open(os.path.join(state, "ports.new"), "w", encoding="utf-8") as file:
    print(*(one.getsockname()[1] for one in sockets), file=file)
os.rename(file.name, os.path.join(state, "ports"))
while os.getppid() == parent and os.path.isdir(state) and not os.path.exists(os.path.join(state, "running")):
    time.sleep(0.1)
