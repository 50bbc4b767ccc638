"""The AWS CLI of .tools/lint, imported once: half a second of each call is its imports.

    aws_server.py SOCKET

listens there until its stdin closes. For each connection it forks, and the fork runs the
CLI with the words, the environment, the folder and the descriptors that it was sent by
aws_client.py, whose exit code is the CLI's. When the client goes away, so does the fork.
"""

import functools
import gc
import io
import json
import os
import signal
import socket
import sys
import threading

import awscli.clidriver
from awscli.botocore.loaders import JSONFileLoader, Loader

# Importing the CLI has said where its models are.
DATA_PATH = os.environ["AWS_DATA_PATH"]


def serve(connection, driver):
    """In the fork: what `aws` does, whose main() makes the driver and calls it."""
    message, descriptors, *_ = socket.recv_fds(connection, 1 << 20, 3)
    while not message.endswith(b"\n"):
        message += connection.recv(1 << 20)
    words, environment, folder = json.loads(message)
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment, AWS_DATA_PATH=DATA_PATH)
    threading.Thread(target=lambda: connection.recv(1) or os._exit(130), daemon=True).start()
    try:
        status = driver.main(words)
    except SystemExit as end:
        status = end.code
    except BaseException as error:  # as an interpreter says it
        print(error, file=sys.stderr)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    connection.sendall(bytes([int(status or 0) & 255]))


def warm():
    """Reads what each call would: what changes in a fork does not come back."""
    JSONFileLoader.load_file = functools.lru_cache(None)(JSONFileLoader.load_file)
    # Which services there are, from hundreds of folders, is asked five times in each call.
    listing, known = Loader.list_available_services, {}

    def services(self, type_name):
        if type_name not in known:
            known[type_name] = listing(self, type_name)
        return list(known[type_name])

    Loader.list_available_services = services
    real = sys.stdout, sys.stderr
    for words in ("sts get-caller-identity", "s3api list-buckets", "iam list-policies", "eks list-clusters",
                  "cloudformation list-stacks", "ecr describe-repositories", "resourcegroupstaggingapi get-resources"):
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
        sys.argv = ["aws", *words.split(), "--region", "us-east-1", "--generate-cli-skeleton"]
        try:
            awscli.clidriver.main()
        finally:
            sys.stdout, sys.stderr = real


def main():
    path = sys.argv[1]
    warm()
    # It reads the environment, which is each call's own, when it is called.
    driver = awscli.clidriver.create_clidriver()
    # A call is over before there is garbage worth collecting.
    gc.collect()
    gc.freeze()
    gc.disable()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            serve(connection, driver)
            os._exit(0)
        connection.close()


main()
