"""The fields of ClusterConfig that k8s/cluster.yaml may use; any other is an error.

Source: https://eksctl.io/usage/schema/
"""

import yaml

TAGS = {str: str}
SCHEMA = {
    "apiVersion": "eksctl.io/v1alpha5",
    "kind": "ClusterConfig",
    "metadata": {"name": str, "region": str, "version": str, "tags": TAGS},
    "upgradePolicy": {"supportType": str},
    "autoModeConfig": {"enabled": bool},
    "managedNodeGroups": [
        {
            "name": str,
            "amiFamily": str,
            "instanceType": str,
            "desiredCapacity": int,
            "minSize": int,
            "maxSize": int,
            "volumeSize": int,
            "volumeEncrypted": bool,
            "privateNetworking": bool,
            "disablePodIMDS": bool,
            "tags": TAGS,
        }
    ],
    "addonsConfig": {"autoApplyPodIdentityAssociations": bool},
    "addons": [{"name": str, "version": str, "configurationValues": str, "tags": TAGS}],
    "iam": {
        "withOIDC": bool,
        "podIdentityAssociations": [
            {
                "namespace": str,
                "serviceAccountName": str,
                "createServiceAccount": bool,
                "permissionPolicyARNs": [str],
                "tags": TAGS,
            }
        ],
        "serviceAccounts": [
            {"metadata": {"name": str, "namespace": str}, "attachPolicyARNs": [str], "tags": TAGS}
        ],
    },
}
REQUIRED = {"apiVersion", "kind", "metadata", "metadata.name", "metadata.region"}
VERSIONS = {"1.30", "1.31", "1.32", "1.33", "1.34", "1.35"}


class Refused(Exception):
    """One line for the user."""


def check(value, schema, path=""):
    if schema is TAGS:
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise Refused(f"{path}: want a map of strings")
    elif isinstance(schema, dict):
        if not isinstance(value, dict):
            raise Refused(f"{path}: want a map")
        for key, inner in value.items():
            if key not in schema:
                raise Refused(f'unknown field "{(path + "." + key).lstrip(".")}"')
            check(inner, schema[key], f"{path}.{key}".lstrip("."))
    elif isinstance(schema, list):
        if not isinstance(value, list):
            raise Refused(f"{path}: want a list")
        for index, inner in enumerate(value):
            check(inner, schema[0], f"{path}[{index}]")
    elif isinstance(schema, str):
        if value != schema:
            raise Refused(f"{path}: want {schema}, not {value}")
    elif not isinstance(value, schema):
        raise Refused(f"{path}: want {schema.__name__}, not {value!r}")


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            config = yaml.safe_load(file)
    except (OSError, yaml.YAMLError) as error:
        raise Refused(f"loading config file {path!r}: {error}") from error
    check(config, SCHEMA)
    for field in REQUIRED:
        value = config
        for key in field.split("."):
            value = (value or {}).get(key)
        if value is None:
            raise Refused(f"{field} must be set")
    if config["metadata"].get("version", "1.34") not in VERSIONS:
        raise Refused(f"invalid version {config['metadata']['version']}")
    iam = config.get("iam", {})
    names = {addon["name"] for addon in config.get("addons", [])}
    if iam.get("podIdentityAssociations") and "eks-pod-identity-agent" not in names:
        raise Refused("the eks-pod-identity-agent addon must be installed to create pod identity associations")
    if iam.get("serviceAccounts") and not iam.get("withOIDC"):
        raise Refused("iam.withOIDC must be enabled explicitly for iam.serviceAccounts to be created")
    return config
