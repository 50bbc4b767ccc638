"""`aws` by way of aws_server.py, whose socket AWS_SERVER names: the same words, the same outcome."""

import json
import os
import socket
import sys

connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["AWS_SERVER"])
message = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode() + b"\n"
sent = socket.send_fds(connection, [message], [0, 1, 2])
connection.sendall(message[sent:])
try:
    status = connection.recv(1)
except KeyboardInterrupt:
    status = bytes([130])
sys.exit(status[0] if status else 1)
