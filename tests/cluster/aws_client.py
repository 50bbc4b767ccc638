"""`aws` in the tests of the scripts: asks aws_server.py to run the AWS CLI as this process would."""

import marshal
import os
import signal
import socket
import sys

# An interrupted AWS CLI says nothing.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
server = socket.socket(socket.AF_UNIX)
server.connect(os.path.join(os.path.dirname(os.path.dirname(sys.argv[0])), "aws.socket"))
request = marshal.dumps((sys.argv, os.getcwd(), dict(os.environ)))
socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
server.sendall(request)
answer = server.recv(64)
if not answer:
    sys.exit("aws_client.py: the server has ended")
code = marshal.loads(answer)
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
