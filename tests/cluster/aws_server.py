"""The AWS CLI, loaded once:

    aws_server.py SOCKET OWNER

The scripts start the CLI some thousand times in these tests, and most of what that costs is Python's
loading of it. This process loads it, and forks for each caller (aws_client.py), with the caller's
arguments, environment, folder and files: the CLI that runs is the installed one, unchanged. Creates
SOCKET when it is ready, and ends when the process OWNER has ended.
"""

import gc
import marshal
import os
import select
import signal
import socket
import sys
import traceback

import awscli.clidriver

# The CLI has set it while it was loaded.
DATA_PATH = os.environ["AWS_DATA_PATH"]


def run(files, arguments, folder, environment):
    """Becomes the caller's AWS CLI. Returns its exit code."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment, AWS_DATA_PATH=DATA_PATH)
    sys.argv = arguments
    try:
        sys.exit(awscli.clidriver.main())
    except SystemExit as end:
        return end.code or 0
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            pass


def serve(caller):
    """Runs the AWS CLI for one caller, and ends it if the caller goes away."""
    start, files, _, _ = socket.recv_fds(caller, 8, 3)
    length = int.from_bytes(start, "big")
    request = b""
    while len(request) < length and (part := caller.recv(length - len(request))):
        request += part
    ended, held = os.pipe()  # the CLI holds one end until it ends
    command = os.fork()
    if command == 0:
        caller.close()
        os.close(ended)
        code = 1
        try:
            code = run(files, *marshal.loads(request))
        except Exception:
            traceback.print_exc()
        os._exit(code)
    for file in [held, *files]:
        os.close(file)
    ready, _, _ = select.select([ended, caller], [], [])
    if ended not in ready:
        os.kill(command, signal.SIGTERM)
    _, status = os.waitpid(command, 0)
    caller.sendall(marshal.dumps(os.waitstatus_to_exitcode(status)))


def main(path, owner):
    os.setsid()  # what interrupts a script does not reach this process
    awscli.clidriver.create_clidriver()  # loads what the first call would
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen(64)
    listener.settimeout(1)
    os.rename(path + ".new", path)
    while True:
        try:
            os.kill(owner, 0)
            caller, _ = listener.accept()
        except TimeoutError:
            continue
        except ProcessLookupError:
            return
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                serve(caller)
            except OSError:
                pass  # the caller has gone
            os._exit(0)
        caller.close()


main(sys.argv[1], int(sys.argv[2]))
