"""`aws` in the tests of the scripts: asks preloaded_cli.py to run the AWS CLI as this process would. The modules
below are those behind os, signal and socket, whose loading takes half of the time of this program."""

import _signal
import _socket
import marshal
import posix
import sys

# An interrupted AWS CLI says nothing.
if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
server = _socket.socket(_socket.AF_UNIX)
server.connect(sys.argv[0].rsplit("/", 2)[0] + "/aws.socket")
request = marshal.dumps((sys.argv, posix.getcwd(), posix.environ))
files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
server.sendmsg([len(request).to_bytes(8, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
server.sendall(request)
answer = server.recv(64)
if not answer:
    sys.exit("preloaded_client.py: the server has ended")
code = marshal.loads(answer)
if code < 0:
    posix.kill(posix.getpid(), -code)
sys.exit(code)
