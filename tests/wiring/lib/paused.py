"""Runs scripts/rehearse.sh --pause on a terminal of its own, presses Enter until the text WANTED has
been printed, then Ctrl-C, and prints what was on the terminal: paused.py WANTED COMMAND..."""

import os
import pty
import select
import signal
import sys

PROMPT = b"Press Enter to continue."
pid, terminal = pty.fork()
if pid == 0:
    # Where SIGINT is ignored already, as in what a shell runs in the background, no script can change that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvp(sys.argv[2], sys.argv[2:])
signal.alarm(300)  # whatever hangs then ends with its terminal
seen, answered, ending = b"", 0, False
while True:
    # Bash loses a Ctrl-C that comes between its prompt and its reading, so it is pressed again.
    while ending and not select.select([terminal], [], [], 10)[0]:
        os.write(terminal, b"\x03")
    try:
        read = os.read(terminal, 65536)
    except OSError:  # the terminal closes with the program
        break
    if not read:
        break
    seen += read
    while seen.count(PROMPT) > answered:
        answered += 1
        ending = sys.argv[1].encode() in seen
        os.write(terminal, b"\x03" if ending else b"\n")
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(seen.replace(b"\r\n", b"\n"))
sys.exit(os.waitstatus_to_exitcode(status) % 256)
