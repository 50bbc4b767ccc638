#!/usr/bin/env bats
# Clusters that have the Pod Identity Agent without the add-on: EKS Auto Mode, and an
# agent that somebody installed otherwise.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud control-plane
  toolbox aws eksctl kubectl
  a_cluster
  "$repository/scripts/steps/policy.sh"
}

teardown_file() { stop_cloud; }

@test "EKS Auto Mode has the agent built in: no add-on is installed, and eksctl makes the association" {
  : >"$CLUSTER_STATE/auto-mode"
  step addon
  ((status == 0))
  [[ $stderr == *"already exists: the Pod Identity Agent of EKS Auto Mode"* && -z $(writes) ]]
  step association
  ((status == 0))
  [[ $stderr == *"the cluster has the Pod Identity Agent of EKS Auto Mode"*'$ eksctl create podidentityassociation'* ]]
  step association delete
  ((status == 0))
  rm "$CLUSTER_STATE/auto-mode"
}

@test "an agent that is not an add-on is not changed, and the AWS CLI creates the association, because eksctl would refuse" {
  step association
  ((status == 1))
  [[ $stderr == *"install it with scripts/steps/addon.sh" && -z $(writes) ]]
  kubectl apply -f - <<'YAML'
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: their-agent
  namespace: kube-system
  labels: {app.kubernetes.io/name: eks-pod-identity-agent}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: eks-pod-identity-agent}}
  template:
    metadata: {labels: {app.kubernetes.io/name: eks-pod-identity-agent}}
    spec:
      containers: [{name: agent, image: agent}]
YAML
  step addon
  ((status == 0))
  [[ $stderr == *"already exists: a Pod Identity Agent that is not an EKS add-on: daemonset.apps/their-agent"* && -z $(writes) ]]
  step association
  ((status == 0))
  [[ $stderr == *"daemonset.apps/their-agent"*'$ aws eks create-pod-identity-association'* ]]
  step association delete
  ((status == 0))
}
