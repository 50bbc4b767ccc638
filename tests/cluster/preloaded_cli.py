"""The AWS CLI, loaded once:

    preloaded_cli.py SOCKET OWNER

The scripts start the CLI some thousand times in these tests, and most of what that costs is Python's
loading of it, and the CLI's reading of descriptions of services. This process does both once, and forks
for each caller (preloaded_client.py), with the caller's arguments, environment, folder and files: the CLI that
runs is the installed one, unchanged. Creates SOCKET when it is ready, and ends when the process OWNER has
ended.
"""

import contextlib
import functools
import gc
import marshal
import os
import select
import signal
import socket
import sys
import traceback

import awscli.clidriver
import botocore.exceptions

# Version 2 would note each session in a database in the home folder, for its user agent.
os.environ["AWS_CLI_SESSION_ID_DISABLED"] = "true"
# What the CLI reads while it is loaded. A caller who has set these otherwise gets a CLI that loads them.
READ = [b"AWS_CONFIG_FILE", b"AWS_SHARED_CREDENTIALS_FILE", b"AWS_PROFILE", b"AWS_DEFAULT_PROFILE", b"HOME"]
LOADED = {name: os.environb.get(name) for name in READ}
DRIVER = awscli.clidriver.create_clidriver()
COMMANDS = DRIVER._get_command_table()
# What the CLI (version 1) has set while it was loaded, and what this process has set.
SET = {name: os.environb[name] for name in (b"AWS_DATA_PATH", b"AWS_CLI_SESSION_ID_DISABLED") if name in os.environb}


@functools.cache
def load(word):
    """Reads the descriptions of a service, of which the CLI's session keeps the contents, if the word is its command."""
    command = COMMANDS.get(word)
    if not isinstance(command, awscli.clidriver.ServiceCommand):
        return
    command._get_command_table()
    session, name = DRIVER.session, command.service_model.service_name
    session.create_client(name, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    for description in (session.get_paginator_model, session.get_waiter_model):
        with contextlib.suppress(botocore.exceptions.UnknownServiceError):
            description(name)
    gc.freeze()


def run(files, arguments, folder, environment):
    """Becomes the caller's AWS CLI. Returns its exit code."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environb.update(environment | SET)
    sys.argv = arguments
    gc.disable()  # it would visit what is loaded, and so copy the memory that the processes share
    if all(environment.get(name) == value for name, value in LOADED.items()):
        awscli.clidriver.create_clidriver = lambda *_: DRIVER
    try:
        sys.exit(awscli.clidriver.main())
    except SystemExit as end:
        return end.code or 0
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            pass


def start(caller, listener):
    """Starts the AWS CLI for a caller. Returns its process, and a file that it holds open until it ends."""
    caller.settimeout(10)
    begin, files, _, _ = socket.recv_fds(caller, 8, 3)
    length = int.from_bytes(begin, "big")
    request = b""
    while len(request) < length and (part := caller.recv(length - len(request))):
        request += part
    arguments, folder, environment = marshal.loads(request)
    for word in arguments[1:]:
        load(word)
    ended, held = os.pipe()
    command = os.fork()
    if command == 0:
        listener.close()
        caller.close()
        code = 1
        try:
            code = run(files, arguments, folder, environment)
        except Exception:
            traceback.print_exc()
        os._exit(code)
    for file in [held, *files]:
        os.close(file)
    return command, ended


def main(path, owner):
    os.setsid()  # what interrupts a script does not reach this process
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen(64)
    os.rename(path + ".new", path)
    calls = {}  # each under its caller, and under the file that shows its end
    while True:
        try:
            os.kill(owner, 0)
        except ProcessLookupError:
            return
        for ready in select.select([listener, *calls], [], [], 1)[0]:
            if ready is listener:
                caller, _ = listener.accept()
                with contextlib.suppress(OSError, EOFError, ValueError):  # the caller has gone already
                    command, ended = start(caller, listener)
                    calls[caller] = calls[ended] = caller, ended, command
            elif ready in calls:
                caller, ended, command = calls.pop(ready)
                if ready is caller:  # it has gone
                    os.kill(command, signal.SIGTERM)
                    continue
                calls.pop(caller, None)
                os.close(ended)
                _, status = os.waitpid(command, 0)
                with contextlib.suppress(OSError):
                    caller.sendall(marshal.dumps(os.waitstatus_to_exitcode(status)))
                caller.close()


main(sys.argv[1], int(sys.argv[2]))
