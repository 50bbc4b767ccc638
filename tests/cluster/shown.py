"""Holds the outputs that a page shows to those that its blocks have.

    shown.py PAGE FOLDER

A block `text` after a block `sh` is what that block prints, shortened: each of its lines is in the output, in
this order; a line `…` stands for lines that are left out. FOLDER has the output of the n-th block `sh` in the
file n. Words that differ from run to run are not compared: every word with a digit in it, the random parts of
names, and the kinds of pictures.
"""

import re
import sys
from pathlib import Path


def comparable(line: str) -> str:
    line = re.sub(r"\x1b\[[0-9;]*m", "", line)
    line = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "#", line)
    line = re.sub(r"(pod-identity-demo|pod-identity-demo-irsa)-[a-z0-9]{5}\b", r"\1-#", line)
    line = re.sub(r"…[A-Z0-9]{4}\b", "…#", line)
    line = re.sub(r"\.(jpg|png|gif|webp)\b", ".#", line)
    line = re.sub(r"[A-Za-z0-9+]*[0-9][A-Za-z0-9+]*", "#", line)
    line = re.sub(r"#( #)+", "#", " ".join(line.split()))
    return re.sub(r"[-=─]{3,}", "---", line)


def shown(page: str):
    """The number of each block `sh` that has an output, and the lines of that output."""
    number = 0
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        language, text = block.groups()
        if language == "sh":
            number += 1
        elif language == "text":
            yield number, text.splitlines()


page, folder = Path(sys.argv[1]), Path(sys.argv[2])
missing = []
for number, lines in shown(page.read_text()):
    output = iter((folder / f"{number:02}").read_text().splitlines())
    for line in lines:
        if line.strip() != "…" and not any(comparable(line) == comparable(said) for said in output):
            missing.append(f"block {number}: not in its output, or not in this order: {line}")
            break
print("\n".join(missing))
sys.exit(bool(missing))
