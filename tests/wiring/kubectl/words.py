"""kubectl's command line, as far as the scripts use it: anything else is an error."""

from store import Refused

# flag: (short, takes a value)
FLAGS = {
    "--namespace": ("-n", True), "--all-namespaces": ("-A", False), "--selector": ("-l", True), "--output": ("-o", True),
    "--filename": ("-f", True), "--kustomize": ("-k", True), "--dry-run": ("", True), "--ignore-not-found": ("", False),
    "--wait": ("", False), "--timeout": ("", True), "--tail": ("", True), "--container": ("-c", True),
    "--for": ("", True), "--no-headers": ("", False), "--chunk-size": ("", True), "--prefix": ("", False),
    "--field-selector": ("", True), "--all": ("", False),
}
ALLOWED = {
    "get": {"--namespace", "--all-namespaces", "--selector", "--output", "--ignore-not-found", "--no-headers", "--chunk-size",
            "--field-selector"},
    "apply": {"--namespace", "--filename", "--kustomize", "--dry-run", "--output"},
    "delete": {"--namespace", "--selector", "--ignore-not-found", "--wait", "--timeout", "--all"},
    "logs": {"--namespace", "--tail", "--container", "--selector", "--prefix"},
    "events": {"--namespace", "--for"},
    "exec": {"--namespace", "--container"},
    "rollout": {"--namespace", "--timeout"},
}
OUTPUTS = {"json", "yaml", "wide", "name", ""}


class Words:
    """The subcommand, what it is about, and its flags by their long names."""

    def __init__(self, arguments):
        self.flags, self.named, self.command = {}, [], []
        rest = list(arguments)
        while rest:
            word = rest.pop(0)
            if word == "--":
                self.command, rest = rest, []
            elif word.startswith("-") and word != "-":
                self.flag(word, rest)
            else:
                self.named.append(word)
        self.verb = self.named.pop(0) if self.named else ""
        if self.verb not in ALLOWED:
            raise Refused(f'error: unknown command "{self.verb}" for "kubectl" (stand-in)')
        for name in self.flags:
            if name not in ALLOWED[self.verb]:
                raise Refused(f"error: unknown flag: {name} (kubectl {self.verb}, stand-in)")
        if self["--output"] not in OUTPUTS:
            raise Refused(f'error: unable to match a printer suitable for the output format "{self["--output"]}"')

    def flag(self, word, rest):
        name, _, value = word.partition("=")
        long = next((long for long, (short, _) in FLAGS.items() if name in (long, short) and name), None)
        if long is None:
            raise Refused(f"error: unknown flag: {name} (stand-in)")
        if FLAGS[long][1]:
            if "=" not in word:
                if not rest:
                    raise Refused(f"error: flag needs an argument: {name}")
                value = rest.pop(0)
        elif "=" not in word:
            value = "true"
        self.flags[long] = "" if value == "false" else value

    def __getitem__(self, name):
        return self.flags.get(name, "")

    @property
    def namespace(self):
        return self["--namespace"] or "default"

    def seconds(self):
        text = self["--timeout"] or "0s"
        unit = {"s": 1, "m": 60}.get(text[-1])
        if unit is None or not text[:-1].isdigit():
            raise Refused(f'error: invalid argument "{text}" for "--timeout" flag')
        return int(text[:-1]) * unit


def selected(things, selector):
    """Those whose labels fit `a=b,c!=d,e,!f`."""
    for term in filter(None, (selector or "").split(",")):
        if "!=" in term:
            key, value = term.split("!=")
            test = lambda labels, key=key, value=value: labels.get(key) != value
        elif "=" in term:
            key, value = term.replace("==", "=").split("=")
            test = lambda labels, key=key, value=value: labels.get(key) == value
        elif term.startswith("!"):
            test = lambda labels, key=term[1:]: key not in labels
        else:
            test = lambda labels, key=term: key in labels
        things = [thing for thing in things if test(thing["metadata"].get("labels") or {})]
    return things
