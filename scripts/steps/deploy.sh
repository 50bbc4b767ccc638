#!/usr/bin/env bash
# Deploys the job to the cluster: namespace, service account, settings and Job, with
# kustomize. Then waits for its pod, and for its first object in the bucket.
#
#   scripts/steps/deploy.sh [delete] [--dry-run]
#
# Prints the object's URL to stdout. If there is no object within DEPLOY_TIMEOUT
# (240 s), shows the pod's events, the end of its log and the program's own
# diagnosis, and fails. Fails earlier if waiting longer cannot help: for example if the
# image could not be pulled for PULL_GRACE (60 s). COMPONENTS adds components from k8s/components, such as
# "network-policy monitoring". With delete, deletes the Jobs, then the namespace
# with its contents if these scripts created it; in the namespace `default`, only
# what these scripts created there. Requires the AWS CLI, jq, kubectl,
# and the resources of the earlier steps. Only S3 requests and storage cost money.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"
# shellcheck source=../lib/pods.sh
. "$root/scripts/lib/pods.sh"

# find_namespace: prints the namespace as JSON; false when it does not exist.
find_namespace() {
  local namespace
  capture namespace found 'not found' kubectl get "namespace/$NAMESPACE" --ignore-not-found --output json
  [[ -n $namespace ]] || return 1
  printf '%s\n' "$namespace"
}

# only_irsa_account KINDS: true when the namespace has of these kinds nothing but what Kubernetes
# puts into each, and the IRSA service account that eksctl creates.
only_irsa_account() {
  local objects
  capture objects found none "${kube[@]}" get "$1" --output json || return 1
  jq --exit-status --arg name "$IRSA_SERVICE_ACCOUNT" '[.items[] | {kind, name: .metadata.name, by: .metadata.labels["app.kubernetes.io/managed-by"]}]
    | map(select(("\(.kind)/\(.name)" | IN("ServiceAccount/default", "ConfigMap/kube-root-ca.crt")) | not))
    == [{kind: "ServiceAccount", $name, by: "eksctl"}]' <<<"$objects" >"$scratch/ours"
}

# namespace_is_ours NAMESPACE: true when it has our label, or when eksctl created it
# for the IRSA service account and it contains nothing else.
namespace_is_ours() {
  is_ours "$1" && return
  # Only where that account is alone are the permissions to list all the other kinds needed.
  only_irsa_account serviceaccounts &&
    only_irsa_account serviceaccounts,secrets,configmaps,persistentvolumeclaims,services,pods,deployments,statefulsets,daemonsets,jobs,cronjobs
}

# refuse_others_objects: ends the script if objects that are not ours have the names of
# ours. Only the namespace `default` may contain such objects.
refuse_others_objects() {
  local name object
  for name in "serviceaccount/$SERVICE_ACCOUNT" configmap/pod-identity-demo; do
    object=$("${kube[@]}" get "$name" --ignore-not-found --output json) || die "cannot read $name: see the message of kubectl above"
    [[ -z $object ]] || is_ours "$object" ||
      die "there is a $name in the namespace $NAMESPACE that these scripts did not create: set $([[ $name != serviceaccount/* ]] || echo 'SERVICE_ACCOUNT or ')NAMESPACE to another name, and likewise POLICY_NAME, then run scripts/steps/policy.sh and association.sh"
  done
}

# delete_admission_policy: deletes the objects of components/require-pod-identity, which are in no
# namespace. Without the component, they need no permission in the whole cluster.
delete_admission_policy() {
  local kinds=validatingadmissionpolicybindings,validatingadmissionpolicies objects
  if ! capture objects found "doesn't have a resource type|[Ff]orbidden" kubectl get "$kinds" --selector "$ours_label" --output name; then
    [[ ! $(<"$scratch/failure") =~ [Ff]orbidden ]] ||
      say "not checked: the admission policy of require-pod-identity, which you may not list: if you deployed that component, have an administrator run:" \
        "kubectl delete $kinds --selector $ours_label"
    return 0
  fi
  [[ -z $objects ]] || change kubectl delete "$kinds" --selector "$ours_label" --wait --timeout=60s
}

# our_kinds: prints the kinds of objects that the manifests have in a namespace, those
# of operators only if the cluster has them.
our_kinds() {
  local kind defined kinds=jobs,configmaps,serviceaccounts,networkpolicies
  for kind in podmonitors.monitoring.coreos.com prometheusrules.monitoring.coreos.com ciliumnetworkpolicies.cilium.io; do
    defined=$(kubectl get "customresourcedefinition/$kind" --ignore-not-found --output name) || die "cannot tell whether the cluster has $kind: see the message of kubectl above"
    [[ -z $defined ]] || kinds+=,$kind
  done
  echo "$kinds"
}

# our_objects: prints the names of our objects in the namespace.
our_objects() {
  local kinds
  capture kinds our_kinds
  "${kube[@]}" get "$kinds" --selector "$ours_label" --output name || die "cannot read the objects in the namespace $NAMESPACE: see the message of kubectl above"
}

create() {
  local namespace folder region
  settle BUCKET IMAGE
  if ! reach_cluster; then
    # shellcheck disable=SC2086 # COMPONENTS is a list of names
    folder=$(scripts/steps/manifests.sh eks ${COMPONENTS-}) || exit
    change kubectl apply --kustomize "$folder"
    return
  fi
  if [[ $NAMESPACE == default ]]; then
    refuse_others_objects
  elif capture namespace find_namespace && ! namespace_is_ours "$namespace"; then
    die "there is a namespace $NAMESPACE that these scripts did not create: set NAMESPACE and POLICY_NAME to other names, then run scripts/steps/policy.sh and association.sh"
  fi
  if capture region region_of_bucket; then
    same_region "$region"
  elif [[ -z $dry_run ]]; then
    die "there is no bucket $BUCKET: create it with scripts/steps/bucket.sh, or set BUCKET to yours"
  fi
  find_association "$SERVICE_ACCOUNT" >/dev/null ||
    say "there is no association for $NAMESPACE/$SERVICE_ACCOUNT yet, and without one the pods get no credentials: run scripts/steps/association.sh"
  apply_job eks pod-identity-demo
  [[ -z $dry_run ]] || return 0
  await_upload pod-identity-demo "$SERVICE_ACCOUNT"
}

delete() {
  local namespace names kinds
  if ! find_cluster >/dev/null; then
    say "already deleted: the job, together with the cluster $CLUSTER_NAME"
    return
  fi
  need_kubernetes
  if [[ $NAMESPACE == default ]]; then
    capture names our_objects
    if [[ -n $names ]]; then
      capture kinds our_kinds
      change "${kube[@]}" delete "$kinds" --selector "$ours_label" --cascade=foreground --wait --timeout=120s
    else
      say "already deleted: the job, its settings and its service account in the namespace default"
    fi
  elif ! capture namespace find_namespace; then
    say "already deleted: the namespace $NAMESPACE, together with the job"
  elif ! namespace_is_ours "$namespace"; then
    say "left alone: the namespace $NAMESPACE, which these scripts did not create"
    return
  else
    # Delete the Jobs first, and wait for their pods, which need the rest of the namespace until they have finished.
    change "${kube[@]}" delete jobs --selector "$ours_label" --cascade=foreground --wait --timeout=120s
    change kubectl delete namespace "$NAMESPACE" --wait --timeout=300s
  fi
  delete_admission_policy
}

left() {
  local namespace names
  if [[ $NAMESPACE == default ]]; then
    if find_cluster >/dev/null && capture names our_objects && [[ -n $names ]]; then echo "objects of the job in the namespace default"; fi
  elif find_cluster >/dev/null && capture namespace find_namespace && namespace_is_ours "$namespace"; then echo "the namespace $NAMESPACE"; fi
}

begin_step "$@"
need_jq
[[ -z $dry_run ]] || plan_without_aws
need_tool aws # settle asks nothing of AWS if BUCKET and IMAGE are set
"$action"
