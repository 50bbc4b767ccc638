#!/usr/bin/env bash
# The job in the cluster: namespace, service account, settings and Job, by
# kustomize; then waits for its pod, and for its first object in the bucket.
#
#   scripts/steps/deploy.sh [delete] [--dry-run]
#
# If there is none within DEPLOY_TIMEOUT (240 s) it shows the pod's events, the
# end of its log and the program's own diagnosis, and fails. stdout is the
# object's URL. COMPONENTS adds some of k8s/components,
# such as "network-policy monitoring". With
# delete: the Jobs end, then the namespace, if it is ours, with all in it. It
# needs the AWS CLI, jq, kubectl, and what the earlier steps made. It costs what
# S3 costs.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"
# shellcheck source=../lib/pods.sh
. "$root/scripts/lib/pods.sh"

# The namespace in `answer`, as JSON.
find_namespace() {
  found 'not found' kubectl get "namespace/$NAMESPACE" --ignore-not-found --output json
  [[ -n $answer ]]
}

# It has our label; or eksctl made it for the IRSA account, and nothing else is in it.
namespace_is_ours() {
  is_ours "$answer" && return
  found . "${kube[@]}" get pods,serviceaccounts --output json || return 1
  jq --exit-status --arg name "$IRSA_SERVICE_ACCOUNT" '[.items[] | {kind, name: .metadata.name, by: .metadata.labels["app.kubernetes.io/managed-by"]}]
    | map(select(.kind != "ServiceAccount" or .name != "default")) == [{kind: "ServiceAccount", $name, by: "eksctl"}]' \
    <<<"$answer" >"$scratch/ours"
}

create() {
  settle BUCKET IMAGE
  if ! reach; then
    say "there is no cluster yet, so this cannot be said in more detail"
    change kubectl apply --kustomize "$FILLED/eks"
    return
  fi
  if find_namespace && ! namespace_is_ours; then
    die "there is a namespace $NAMESPACE that these scripts did not make: set NAMESPACE to another name"
  fi
  found 'NoSuchBucket|Not Found|404' aws s3api head-bucket --region "$AWS_REGION" --bucket "$BUCKET" ||
    [[ -n $dry_run ]] || die "there is no bucket $BUCKET: make it with scripts/steps/bucket.sh, or name yours in BUCKET"
  find_association "$SERVICE_ACCOUNT" ||
    say "there is no association for $NAMESPACE/$SERVICE_ACCOUNT yet, and without one the pods get no credentials: scripts/steps/association.sh"
  deploy eks pod-identity-demo
  [[ -z $dry_run ]] || return 0
  await pod-identity-demo "$SERVICE_ACCOUNT"
  echo "$answer"
}

delete() {
  if ! find_cluster; then
    say "gone already: the job, with the cluster $CLUSTER_NAME"
    return
  fi
  need_kubernetes
  if ! find_namespace; then
    say "gone already: the namespace $NAMESPACE, and the job with it"
  elif ! namespace_is_ours; then
    say "left alone: the namespace $NAMESPACE, which these scripts did not make"
  else
    # The Jobs first: their pods are given the time to finish.
    change "${kube[@]}" delete jobs --selector "$ours_label" --wait --timeout=120s
    change kubectl delete namespace "$NAMESPACE" --wait --timeout=300s
  fi
  # Of components/require-pod-identity, outside of any namespace.
  change kubectl delete validatingadmissionpolicybindings,validatingadmissionpolicies --selector "$ours_label" --wait --timeout=60s
}

left() {
  if find_cluster && find_namespace && namespace_is_ours; then echo "the namespace $NAMESPACE"; fi
}

begin "$@"
need_jq
"$action"
