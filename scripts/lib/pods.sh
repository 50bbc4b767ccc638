# shellcheck shell=bash
# Functions for the Jobs and their pods. Source this file after steps.sh.

: "${NAMESPACE:?is set by settings.sh, which must be sourced first}" "${scratch?is set by steps.sh, which must be sourced first}"

# All objects of the manifests have this label, including the namespace.
readonly ours_label=app.kubernetes.io/part-of=pod-identity-demo
readonly kube=(kubectl --namespace "$NAMESPACE")
# shellcheck disable=SC2034 # the scripts that source this file use it
readonly at_eks=(--region "$AWS_REGION" --cluster-name "$CLUSTER_NAME")

# reach_cluster: kubectl can use the cluster. Returns false only in a dry run,
# where the cluster may not exist yet.
reach_cluster() {
  need_jq
  need_kubernetes
}

# is_ours OBJECT: true when the object, given as JSON, has our label.
is_ours() {
  [[ "$(jq -r '.metadata.labels["app.kubernetes.io/part-of"]' <<<"$1")" == "${ours_label#*=}" ]]
}

# section TITLE: prints a title to stdout, above a part of a script's result.
section() {
  printf '\n── %s ──\n' "$1"
}

# pods_of JOB: prints the Job's pods as JSON, the newest last; false when it has none.
pods_of() {
  local pods
  pods=$("${kube[@]}" get pods --selector "batch.kubernetes.io/job-name=$1" --output json |
    jq '.items |= sort_by(.metadata.creationTimestamp)') || die "cannot read the pods of $1: see the message of kubectl above"
  printf '%s\n' "$pods"
  jq --exit-status '.items != []' <<<"$pods" >"$scratch/has-pods"
}

# of_pod PODS JQ-FILTER: prints what the filter selects of the last pod, as text.
of_pod() {
  jq -r ".items | last | $2" <<<"$1"
}

# name_of PODS: prints the name of the last pod, or nothing.
name_of() {
  of_pod "$1" '.metadata.name // ""'
}

# injected PODS: prints what a webhook has injected into the last pod:
# pod-identity, irsa or none.
injected() {
  of_pod "$1" '[.spec.containers[].env // [] | .[].name] |
    if index("AWS_CONTAINER_CREDENTIALS_FULL_URI") then "pod-identity" elif index("AWS_ROLE_ARN") then "irsa" else "none" end'
}

# ended_last PODS: prints the pods, those last that have ended, because their status
# has the reason.
ended_last() {
  jq '.items |= sort_by(.status.containerStatuses[0].state.terminated != null, .metadata.creationTimestamp)' <<<"$1"
}

# ended JOB: prints how and why the Job ended; prints nothing while it runs.
ended() {
  "${kube[@]}" get "job/$1" --ignore-not-found --output json |
    jq -r 'first(.status.conditions // [] | .[] | select(.status == "True" and (.type == "Failed" or .type == "Complete")) |
      "\(.type): \(.reason // ""): \(.message // "")") // empty'
}

# next_pod_is_late JOB: true when the Job has no pod that runs or starts, and waits longer than some seconds before it
# creates the next: 10 s after the first failure, then twice as long after each, up to 10 minutes.
# https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-backoff-failure-policy
next_pod_is_late() {
  local pods
  capture pods pods_of "$1" || return 1
  jq --exit-status '[.items[].status] | length > 0 and all(.[]; .phase == "Failed")
    and (length > 2 or ([.[].containerStatuses[]?.state.terminated.finishedAt // empty | fromdateiso8601] | max // now) < now - 20)' <<<"$pods" >"$scratch/late"
}

# meaning CODE: prints what an exit code of the program means; docs/settings.md lists them.
meaning() {
  case $1 in
    0) echo "COUNT was reached" ;;
    2) echo "unusable settings" ;;
    3) echo "not the identity that is required" ;;
    4) echo "no credentials, or no access to S3, within STARTUP_GRACE" ;;
    130 | 143) echo "the program was asked to stop" ;;
    137) echo "killed: out of memory, or too slow to stop" ;;
    *) echo "see the log" ;;
  esac
}

# readable: turns the program's JSON log lines on stdin into time, level and
# message. Other lines pass unchanged.
readable() {
  jq -Rr '. as $line | try (fromjson | "\(.timestamp[11:19]) \(.level) \(.message)" +
    (if .key then " \(.key) (\(.size) bytes)" else "" end)) catch $line'
}

# first_time TEXT: true only the first time that it is called with this text.
first_time() {
  ! grep -Fxqs -e "$1" "$scratch/said" || return 1
  printf '%s\n' "$1" >>"$scratch/said"
}

# waited POD SECONDS: true when this many seconds have passed since the first call for
# the pod.
waited() {
  local file=$scratch/waited-$1
  [[ -e $file ]] || printf '%s\n' "$SECONDS" >"$file"
  ((SECONDS - $(<"$file") >= $2))
}

# upload_state JOB ACCOUNT: looks at a Job once, and prints one line: `uploaded KEY`,
# `waiting REASON`, or `failed REASON` when waiting longer cannot help.
upload_state() {
  local job=$1 account=$2 pods pod key waiting code failed cannot_pull
  capture pods pods_of "$job" || {
    echo "waiting the Job $job has no pod"
    return
  }
  key=$("${kube[@]}" logs "$(name_of "$pods")" --tail=200 2>/dev/null |
    jq -Rrn '[inputs | fromjson? | select(.message == "uploaded").key] | .[0] // empty' || true)
  if [[ -n $key ]]; then
    echo "uploaded $key"
    return
  fi

  pods=$(ended_last "$pods")
  pod=$(name_of "$pods")
  waiting=$(of_pod "$pods" '.status.containerStatuses[0].state.waiting.reason // .status.phase // ""')
  code=$(of_pod "$pods" '.status.containerStatuses[0].state.terminated.exitCode // ""')
  [[ -z $code ]] || waiting="ended with exit code $code: $(meaning "$code")"
  if first_time "$pod: $waiting"; then say "$pod: $waiting"; fi
  failed=$(ended "$job")
  cannot_pull="$waiting: the image $IMAGE cannot be pulled: push it with scripts/steps/image.sh, or set IMAGE to another"
  case $waiting in
    InvalidImageName) failed=$cannot_pull ;;
    # The kubelet tries again, which helps when the image was pushed a moment ago, or
    # the registry is busy.
    ErrImagePull | ImagePullBackOff)
      if waited "$pod" "$PULL_GRACE"; then failed=$cannot_pull; fi
      ;;
    CreateContainerConfigError | CreateContainerError) failed=$waiting ;;
  esac
  if [[ -n $code && $job == pod-identity-demo && $(injected "$pods") == none ]] && first_time "$pod is not injected"; then
    if find_association "$account" >/dev/null; then
      say "the association exists, but the webhook injected nothing into $pod, which can happen while the association is new: only a new pod can get it, and the Job creates one"
    else
      failed="there is no association for $NAMESPACE/$account: create it with scripts/steps/association.sh, then run this again"
    fi
  fi
  if [[ -n $failed ]]; then echo "failed $failed"; else echo "waiting $pod has uploaded nothing"; fi
}

# show_identity PODS: runs the program's identity command in the last pod.
show_identity() {
  run "${kube[@]}" exec "$(name_of "$1")" -- pod-identity-demo identity ||
    say "the pod does not have the required identity: the output above says what to do"
}

# explain JOB: prints what a person needs to find the problem: events, log, diagnosis.
explain() {
  local pods pod='' code diagnosis
  say ""
  if capture pods pods_of "$1"; then
    pods=$(ended_last "$pods")
    pod=$(name_of "$pods")
  fi
  run "${kube[@]}" get pods --selector "batch.kubernetes.io/job-name=$1" --output wide >&2 || true
  run "${kube[@]}" events --for "${pod:+pod/}${pod:-job/$1}" >&2 || true
  [[ -n $pod ]] || return 0
  show "${kube[@]}" logs "$pod" --tail=10
  "${kube[@]}" logs "$pod" --tail=10 >"$scratch/log" || true
  readable <"$scratch/log" >&2
  code=$(of_pod "$pods" '.status.containerStatuses[0].state.terminated.exitCode // ""')
  [[ -z $code ]] || say "exit code $code: $(meaning "$code")"
  diagnosis=$(jq -Rrn '[inputs | fromjson? | select(.diagnosis)] | last // empty |
    "the program says why (\(.diagnosis)): \(.cause)\nand what to do: \(.fix)"' "$scratch/log")
  [[ -z $diagnosis ]] || say "$diagnosis"
}

# await_upload JOB ACCOUNT: waits until a picture of the Job is in the bucket, and
# prints its URL. Shows the reason and ends the script when there is none in time.
await_upload() {
  local limit=$DEPLOY_TIMEOUT deadline state size pods quiet=$quiet
  deadline=$((SECONDS + limit))
  say "waiting for the first object of the Job $1"
  rm -f "$scratch"/said "$scratch"/waited-*
  while capture state upload_state "$@" && [[ $state == waiting* ]] && ((SECONDS < deadline)); do
    quiet=yes
    sleep "$POLL_PAUSE"
  done
  quiet=''
  if [[ $state != uploaded* ]]; then
    explain "$1"
    [[ $state != failed* ]] || die "${state#* }"
    ! next_pod_is_late "$1" ||
      die "${state#* } within $limit s, and after so many failures the Job waits up to 10 minutes before it creates the next pod: when the reason is gone, run this again, which replaces the Job"
    die "${state#* } within $limit s"
  fi
  capture pods pods_of "$1" || die "the pods of the Job $1 were deleted: run this again"
  capture size found '404|NoSuchKey' aws s3api head-object --region "$AWS_REGION" --bucket "$BUCKET" --key "${state#* }" \
    --query ContentLength --output text ||
    die "the log says that the pod uploaded s3://$BUCKET/${state#* }, but it does not exist: is BUCKET the bucket of the pods?"
  say "running: $(name_of "$pods"), injected for $(injected "$pods"), has uploaded s3://$BUCKET/${state#* } ($size bytes)"
  echo "s3://$BUCKET/${state#* }"
}

# refuses_pods: true when the API server refuses a pod of ours that has no identity.
refuses_pods() {
  ! kubectl create --dry-run=server --filename - >"$scratch/unidentified" 2>&1 <<END || return 1
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "without-identity", "namespace": "$NAMESPACE",
  "labels": {"app.kubernetes.io/name": "pod-identity-demo", "app.kubernetes.io/instance": "$1"}},
 "spec": {"serviceAccountName": "default", "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
  "containers": [{"name": "pod-identity-demo", "image": "$IMAGE",
    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}
END
  grep -q 'Pod Identity was not injected' "$scratch/unidentified"
}

# apply_policy FOLDER OVERLAY: applies everything but the Job, if the admission policy is
# among it, and waits until the policy is enforced. The API server takes a second or two for
# that, in which the Job's first pod would get past the policy.
apply_policy() {
  kubectl kustomize "$1" >"$scratch/objects" || die "the manifests could not be built: see the message of kubectl above"
  grep -q '^kind: ValidatingAdmissionPolicy$' "$scratch/objects" || return 0
  jq -Rsr 'split("\n---\n") | map(select(test("(^|\n)kind: Job(\n|$)") | not)) | join("\n---\n")' <"$scratch/objects" >"$scratch/without-job.yaml"
  say "applying the admission policy before the Job:"
  change kubectl apply --filename "$scratch/without-job.yaml"
  [[ -z $dry_run ]] || return 0
  poll 60 "the API server to enforce the admission policy" refuses_pods "$2" ||
    die "the API server does not refuse a pod without Pod Identity: $(head -n 1 "$scratch/unidentified")"
}

# apply_job OVERLAY JOB: fills in the manifests and applies them, with the components
# that COMPONENTS names. A Job that has ended, or whose pod template or settings
# differ, is deleted first: a Job's pod template cannot be changed. So is one that
# waits long before its next pod.
apply_job() {
  local overlay=$1 job=$2 folder existing why=''
  # shellcheck disable=SC2086 # COMPONENTS is a list of names
  folder=$(scripts/steps/manifests.sh "$overlay" ${COMPONENTS-}) || exit
  existing=$("${kube[@]}" get "job/$job" --ignore-not-found --output json) || die "cannot read the Job $job: see the message of kubectl above"
  if [[ -n $existing ]]; then
    is_ours "$existing" ||
      die "there is a Job $job in $NAMESPACE that these scripts did not create: delete it, or set NAMESPACE and POLICY_NAME"
    why=$(ended "$job")
    if [[ -n $why ]]; then
      why="it has ended (${why%%:*})"
    elif ! kubectl apply --dry-run=server --kustomize "$folder" >"$scratch/server" 2>&1; then
      grep -q 'field is immutable' "$scratch/server" || die "the API server refuses the manifests: $(grep -v 'dry run' "$scratch/server" | head -n 1)"
      why="its pod template has changed, and a Job's pod template is immutable"
    elif grep -q '^configmap/.* configured' "$scratch/server"; then
      why="its settings have changed, and a pod reads them only when it starts"
    elif next_pod_is_late "$job"; then
      why="its pods have failed, and it waits up to 10 minutes before it creates the next"
    fi
  fi
  if [[ -n $why ]]; then
    say "replacing the Job $job: $why"
    # Wait for its pods as well: upload_state would take the upload of an old one for the new Job's.
    change "${kube[@]}" delete "job/$job" --cascade=foreground --wait --timeout=120s
  fi
  apply_policy "$folder" "$overlay"
  change kubectl apply --kustomize "$folder"
  if [[ -n $existing && -z $why ]]; then say "already exists: the Job $job"; fi
}
