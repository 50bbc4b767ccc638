"""The words of eksctl that the scripts use. What they do, and its source: README.md."""

import argparse
import json
import sys

from botocore.exceptions import BotoCoreError, ClientError

from cloud import VERSION, Cloud, log
from config import Refused, load


class Parser(argparse.ArgumentParser):
    """No abbreviations, and an error as eksctl's: one line, exit code 1."""

    def __init__(self, **options):
        super().__init__(**options, allow_abbrev=False, add_help=False)

    def error(self, message):
        raise Refused(message)


def pairs(text):
    try:
        return dict(pair.split("=", 1) for pair in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} must be formatted as key=value") from error


def listed(text):
    return [word.strip() for word in text.split(",")]


TAGS = {"type": pairs, "default": {}}
POLICIES = {"type": listed, "default": []}
# Each command's flags; a Boolean's options are {"action": "store_true"}.
FLAG = {"action": "store_true"}
CLUSTER = {"--cluster": {"required": True}, "--region": {}}
ACCOUNT = {**CLUSTER, "--namespace": {"required": True}}
COMMANDS = {
    "version": {},
    "create cluster": {"--config-file": {"required": True}},
    "create addon": {"--config-file": {"required": True}},
    "create nodegroup": {"--config-file": {"required": True}},
    "delete cluster": {
        "--name": {"required": True},
        "--region": {},
        "--wait": FLAG,
        "--force": FLAG,
        "--disable-nodegroup-eviction": FLAG,
    },
    "get clusters": {"--region": {}},
    "get cluster": {"--name": {"required": True}, "--region": {}, "--output": {"choices": ["table", "json"]}},
    "create podidentityassociation": {
        **ACCOUNT,
        "--service-account-name": {"required": True},
        "--permission-policy-arns": {**POLICIES, "required": True},
        "--tags": TAGS,
    },
    "get podidentityassociation": {
        **CLUSTER,
        "--namespace": {},
        "--service-account-name": {},
        "--output": {"choices": ["table", "json"]},
    },
    "delete podidentityassociation": {**ACCOUNT, "--service-account-name": {"required": True}},
    "utils associate-iam-oidc-provider": {**CLUSTER, "--approve": FLAG},
    "create iamserviceaccount": {
        **ACCOUNT,
        "--name": {"required": True},
        "--attach-policy-arn": {**POLICIES, "required": True},
        "--tags": TAGS,
        "--role-only": FLAG,
        "--approve": FLAG,
        "--override-existing-serviceaccounts": FLAG,
    },
    "delete iamserviceaccount": {**ACCOUNT, "--name": {"required": True}, "--wait": FLAG, "--approve": FLAG},
}


def table(rows, columns):
    widths = {key: max(len(title), *(len(row[key]) for row in rows)) for key, title in columns.items()} if rows else {}
    lines = [columns] + rows
    for row in lines if rows else [columns]:
        print("\t".join(row[key].ljust(widths.get(key, 0)) for key in columns).rstrip())


def show(rows, columns, output):
    if output == "json":
        print(json.dumps(rows, indent=4))
    else:
        table(rows, columns)


def from_config(path):
    config = load(path)
    meta = config["metadata"]
    return config, Cloud(meta["name"], meta["region"], meta.get("tags"))


def act(command, words):
    if command == "version":
        print(VERSION)
        return
    if "config_file" in words:
        config, cloud = from_config(words.config_file)
        make = {"cluster": cloud.create_cluster, "addon": cloud.create_addons, "nodegroup": cloud.create_nodegroups}
        make[command.split()[1]](config)
        return
    if command == "get clusters":
        names = Cloud("all", words.region).eks.list_clusters()["clusters"]
        rows = [{"Name": name, "Region": words.region, "Owned": "True"} for name in names]
        show(rows, {"Name": "NAME", "Region": "REGION", "Owned": "EKSCTL CREATED"}, "table")
        return
    cloud = Cloud(words.name if command.endswith(" cluster") else words.cluster, words.region)
    if command == "delete cluster":
        cloud.delete_cluster(words.force)
    elif command == "get cluster":
        cloud.describe()
        rows = [{"Name": cloud.name, "Region": cloud.region}]
        show(rows, {"Name": "NAME", "Region": "REGION"}, words.output)
    elif command == "create podidentityassociation":
        cloud.associate(words.namespace, words.service_account_name, words.permission_policy_arns, words.tags)
    elif command == "delete podidentityassociation":
        cloud.disassociate(words.namespace, words.service_account_name)
    elif command == "get podidentityassociation":
        columns = {
            "AssociationARN": "ASSOCIATION ARN",
            "Namespace": "NAMESPACE",
            "ServiceAccountName": "SERVICE ACCOUNT NAME",
            "RoleARN": "IAM ROLE ARN",
            "OwnerARN": "OWNER ARN",
        }
        show(list(cloud.associations(words.namespace, words.service_account_name)), columns, words.output)
    elif command == "utils associate-iam-oidc-provider":
        cloud.associate_oidc(words.approve)
    elif command == "create iamserviceaccount":
        if not words.approve:
            log("no changes were applied, run again with '--approve' to apply the changes")
        else:
            cloud.create_account(words.namespace, words.name, words.attach_policy_arn, words.tags, words.role_only)
    elif command == "delete iamserviceaccount":
        cloud.delete_account(words.namespace, words.name)


def main(words):
    command = words[0] if words[:1] == ["version"] else " ".join(words[:2])
    if command not in COMMANDS:
        raise Refused(f'unknown command "{command}"')
    parser = Parser(prog="eksctl " + command)
    for flag, options in COMMANDS[command].items():
        parser.add_argument(flag, **options)
    act(command, parser.parse_args(words[len(command.split()):]))


try:
    main(sys.argv[1:])
except Refused as error:
    sys.exit(f"Error: {error}")
except (BotoCoreError, ClientError) as error:
    sys.exit(f"Error: {error}")
except KeyboardInterrupt:
    sys.exit(130)
