# shellcheck shell=bash
# The Job and its pods, as `kube` has them: kubectl, as the cluster's administrator.
# shellcheck disable=SC2154 # project and within are of calls.bash

# filled OVERLAY [COMPONENT...]: fills in the manifests. Prints their folder.
filled() {
  FILLED=$BATS_FILE_TMPDIR/filled "${within[@]}" "$project/scripts/steps/manifests.sh" "$@" | tail -n 1
}

# apply OVERLAY [COMPONENT...]: fills in the manifests and applies them, without waiting.
apply() {
  kube apply --kustomize "$(filled "$@")"
}

# pods NAMESPACE [ARGUMENT...]: the program's pods in the namespace, the newest last.
pods() {
  kube --namespace "$1" get pods --selector app.kubernetes.io/name=pod-identity-demo --sort-by .metadata.creationTimestamp "${@:2}"
}

newest() {
  pods "$1" --output 'jsonpath={.items[-1:].metadata.name}'
}

# has_uploaded NAMESPACE: true when the newest pod runs, and its log has an upload.
has_uploaded() {
  local pod
  pod=$(pods "$1" --output 'jsonpath={.items[-1:].status.phase}/{.items[-1:].metadata.name}')
  [[ $pod == Running/* ]] && kube --namespace "$1" logs "${pod#*/}" 2>/dev/null | grep -q '"message":"uploaded"'
}

# exit_codes NAMESPACE: the exit codes of the ended pods, in the order of their creation.
exit_codes() {
  pods "$1" --output 'jsonpath={.items[*].status.containerStatuses[0].state.terminated.exitCode}'
}

# ended_with NAMESPACE CODE...: true when exactly these pods have ended.
ended_with() {
  [[ $(exit_codes "$1") == "${*:2}" ]]
}

# job NAMESPACE PATH: a part of the Job, by a path as in JSONPath.
job() {
  kube --namespace "$1" get job/pod-identity-demo --output "jsonpath={$2}"
}

# condition NAMESPACE TYPE: the reason of the Job's condition of this type.
condition() {
  job "$1" ".status.conditions[?(@.type==\"$2\")].reason"
}
