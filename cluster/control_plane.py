"""What EKS's control plane does in a cluster: the webhook's configuration, and the add-ons' objects."""

import json
import os
import subprocess

import botocore.config
import botocore.session

import fills

HERE = os.path.dirname(os.path.abspath(__file__))
KUBECTL = os.path.join(HERE, "..", ".tools", "cluster", "bin", "kubectl")
ADDONS = {fills.AGENT: "agent.yaml", "vpc-cni": "aws-node.yaml"}


class ControlPlane:
    """Brings one cluster, the first that the emulator lists, into the API server."""

    def __init__(self, state, emulator, endpoint):
        self.state, self.endpoint = state, endpoint
        session = botocore.session.get_session()
        session.set_credentials("test", "test")
        retries = botocore.config.Config(retries={"max_attempts": 0})
        self.eks = session.create_client(
            "eks", region_name="us-east-1", endpoint_url=emulator, verify=os.environ["SSL_CERT_FILE"], config=retries)
        self.listed = set()
        self.cluster, self.identities, self.addons, self.groups = None, None, {}, []

    def reconcile(self):
        if not os.path.exists(os.path.join(self.state, "jwks.json")):
            return  # the API server is not there yet, or never
        clusters = self.eks.list_clusters()["clusters"]
        cluster = clusters[0] if clusters else None
        if self.cluster and self.cluster not in clusters:
            self.forget(self.cluster)
        self.cluster = cluster
        self.write_identities(self.associations(cluster) if cluster else [])
        there = self.listed = set(self.eks.list_addons(clusterName=cluster)["addons"]) if cluster else set()
        groups = self.eks.list_nodegroups(clusterName=cluster)["nodegroups"] if cluster else []
        if groups != self.groups:
            self.label_node(groups)
            self.groups = groups
        for addon, manifest in ADDONS.items():
            wanted = cluster if addon in there else None
            if self.addons.get(addon) != wanted:
                self.apply(addon, manifest, cluster or self.addons[addon], delete=wanted is None)
                self.addons[addon] = wanted

    def forget(self, cluster):
        """EKS deletes the add-ons and associations of a cluster with it; the emulator keeps them."""
        for addon in self.listed:
            self.eks.delete_addon(clusterName=cluster, addonName=addon)

    def associations(self, cluster):
        """Each with the keys that the webhook reads (pkg/containercredentials in its source)."""
        found = fills.all_associations(cluster)
        return sorted(({"namespace": one["namespace"], "serviceAccount": one["serviceAccount"]} for one in found), key=json.dumps)

    def write_identities(self, identities):
        if identities == self.identities:
            return
        path = os.path.join(self.state, "identities.json")
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump({"identities": identities}, file)
        os.rename(path + ".new", path)
        self.identities = identities

    def label_node(self, groups):
        """The only node becomes a node of the first node group, by the labels that EKS and eksctl give."""
        name = groups[0] if groups else None
        labels = ("eks.amazonaws.com/nodegroup", "alpha.eksctl.io/nodegroup-name")
        self.kubectl("label", "node/node", "--overwrite", *(f"{label}={name}" if name else f"{label}-" for label in labels))

    def kubectl(self, *words, text=None):
        subprocess.run([KUBECTL, "--kubeconfig", os.path.join(self.state, "admin.conf"), *words], input=text, text=True, check=True)

    def apply(self, addon, manifest, cluster, delete):
        with open(os.path.join(HERE, "addons", manifest), encoding="utf-8") as file:
            text = file.read()
        with open(os.path.join(self.state, "issuer"), encoding="utf-8") as file:
            issuer = file.read().strip()
        for key, value in {"STATE": self.state, "CLUSTER": cluster, "EMULATOR": self.endpoint, "ISSUER": issuer}.items():
            text = text.replace("${%s}" % key, value)
        command = ["delete", "--ignore-not-found", "--wait=false"] if delete else ["apply"]
        installed = fills.installed(addon)
        if delete and os.path.exists(installed):
            os.remove(installed)
        self.kubectl(*command, "--filename", "-", text=text)
        if not delete:
            open(installed, "w", encoding="utf-8").close()
