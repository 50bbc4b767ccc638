# shellcheck shell=bash
# What the steps that deal with the Jobs and their pods share; sourced after steps.sh.

: "${NAMESPACE:?is set by settings.sh, which is sourced first}" "${scratch?is set by steps.sh, which is sourced first}"

# The label of all that the manifests make, the namespace too.
readonly ours_label=app.kubernetes.io/part-of=pod-identity-demo
readonly kube=(kubectl --namespace "$NAMESPACE")
# shellcheck disable=SC2034 # for those who source this
readonly at_eks=(--region "$AWS_REGION" --cluster-name "$CLUSTER_NAME")

pods=''     # of a Job, newest last, as JSON; set by look_at
pod=''      # the newest of them, by name
outcome=''  # how waiting for a Job ended: the key of an object, or what is wrong
hopeless='' # not empty: waiting longer is of no use
heard=''    # what has been said about the pods already

# The cluster answers; false in a dry run before there is one.
reach() {
  need_jq
  need_kubernetes
  [[ -n $answer ]]
}

# An object has our label.
is_ours() {
  [[ "$(jq -r '.metadata.labels["app.kubernetes.io/part-of"]' <<<"$1")" == "${ours_label#*=}" ]]
}

# Above a part of what a script found, on stdout as that is.
heading() {
  printf '\n── %s ──\n' "$1"
}

# of_pod JQ-FILTER: something of the newest pod, as text.
of_pod() {
  jq -r ".items | last | $1" <<<"$pods"
}

# What a webhook has put into the newest pod: pod-identity, irsa or none.
injected() {
  of_pod '[.spec.containers[].env // [] | .[].name] |
    if index("AWS_CONTAINER_CREDENTIALS_FULL_URI") then "pod-identity" elif index("AWS_ROLE_ARN") then "irsa" else "none" end'
}

# look_at JOB: sets `pods` and `pod`; false when it has none.
look_at() {
  pods=$("${kube[@]}" get pods --selector "batch.kubernetes.io/job-name=$1" --output json |
    jq '.items |= sort_by(.metadata.creationTimestamp)') || die "the pods of $1 cannot be read: what kubectl said is above"
  pod=$(of_pod '.metadata.name // ""')
  [[ -n $pod ]]
}

# Turns to a pod that has ended, where there is one: it can say why.
turn_to_ended() {
  pods=$(jq '.items |= sort_by(.status.containerStatuses[0].state.terminated != null, .metadata.creationTimestamp)' <<<"$pods")
  pod=$(of_pod .metadata.name)
}

# ended JOB: its conditions that hold, and the reason; empty while it runs.
ended() {
  "${kube[@]}" get "job/$1" --ignore-not-found --output json |
    jq -r 'first(.status.conditions // [] | .[] | select(.status == "True" and (.type == "Failed" or .type == "Complete")) |
      "\(.type): \(.reason // ""): \(.message // "")") // empty'
}

# What the program's exit codes mean: README.md.
meaning() {
  case $1 in
    0) echo "COUNT was reached" ;;
    2) echo "unusable settings" ;;
    3) echo "not the identity that is required" ;;
    4) echo "no credentials, or no access to S3, within STARTUP_GRACE" ;;
    130 | 143) echo "it was told to end" ;;
    137) echo "killed: out of memory, or too slow to end" ;;
    *) echo "see the log" ;;
  esac
}

# A person's view of the log: time, level, message; what is not JSON stays.
readable() {
  jq -Rr '. as $line | try (fromjson | "\(.timestamp[11:19]) \(.level) \(.message)" +
    (if .key then " \(.key) (\(.size) bytes)" else "" end)) catch $line'
}

news() {
  [[ $heard != *"<$1>"* ]] || return 0
  heard+="<$1>"
  say "$1"
}

# waited_enough JOB ACCOUNT: one look at a Job: true when a pod of it has
# uploaded, or when none ever will; `outcome` and `hopeless` say which.
waited_enough() {
  local job=$1 account=$2 waiting code
  outcome="no pod of the Job $job has uploaded anything"
  if ! look_at "$job"; then
    outcome="the Job $job has no pod"
    return 1
  fi
  outcome=$("${kube[@]}" logs "$pod" --tail=200 2>/dev/null |
    jq -Rrn '[inputs | fromjson? | select(.message == "uploaded").key] | .[0] // empty' || true)
  [[ -z $outcome ]] || return 0

  turn_to_ended
  outcome="$pod has uploaded nothing"
  waiting=$(of_pod '.status.containerStatuses[0].state.waiting.reason // .status.phase // ""')
  code=$(of_pod '.status.containerStatuses[0].state.terminated.exitCode // ""')
  [[ -z $code ]] || waiting="ended with exit code $code: $(meaning "$code")"
  news "$pod: $waiting"
  hopeless=$(ended "$job")
  case $waiting in
    ErrImagePull | ImagePullBackOff | InvalidImageName)
      hopeless="$waiting: the image $IMAGE cannot be pulled: push it with scripts/steps/image.sh, or name another in IMAGE"
      ;;
    CreateContainerConfigError | CreateContainerError) hopeless=$waiting ;;
  esac
  if [[ -n $code && $job == pod-identity-demo && $(injected) == none && $heard != *"<$pod is not injected>"* ]]; then
    heard+="<$pod is not injected>"
    if find_association "$account"; then
      news "there is an association, but the webhook injected nothing into $pod, as happens while it is new: only a new pod can have it, and the Job makes one"
    else
      hopeless="there is no association for $NAMESPACE/$account: make it with scripts/steps/association.sh, then run this again"
    fi
  fi
  [[ -z $hopeless ]] || outcome=$hopeless
  [[ -n $hopeless ]]
}

# explain JOB: what a person would look for: events, log, diagnosis.
explain() {
  local code diagnosis
  say ""
  if look_at "$1"; then turn_to_ended; fi
  run "${kube[@]}" get pods --selector "batch.kubernetes.io/job-name=$1" --output wide >&2 || true
  run "${kube[@]}" events --for "${pod:+pod/}${pod:-job/$1}" >&2 || true
  [[ -n $pod ]] || return 0
  show "${kube[@]}" logs "$pod" --tail=10
  "${kube[@]}" logs "$pod" --tail=10 >"$scratch/log" || true
  readable <"$scratch/log" >&2
  code=$(of_pod '.status.containerStatuses[0].state.terminated.exitCode // ""')
  [[ -z $code ]] || say "exit code $code: $(meaning "$code")"
  diagnosis=$(jq -Rrn '[inputs | fromjson? | select(.diagnosis)] | last // empty |
    "the program says why (\(.diagnosis)): \(.cause)\nand what to do: \(.fix)"' "$scratch/log")
  [[ -z $diagnosis ]] || say "$diagnosis"
}

# await JOB ACCOUNT: until a picture of the Job is in the bucket. Its URL is in `answer`.
await() {
  local limit=${DEPLOY_TIMEOUT:-240} size
  hopeless='' heard=''
  if ! poll "$limit" "the first object of the Job $1" waited_enough "$@" || [[ -n $hopeless ]]; then
    explain "$1"
    [[ -z $hopeless ]] || die "$hopeless"
    die "$outcome within $limit s"
  fi
  found '404|Not Found|NoSuchKey' aws s3api head-object --region "$AWS_REGION" --bucket "$BUCKET" --key "$outcome" \
    --query ContentLength --output text ||
    die "$pod says that it uploaded s3://$BUCKET/$outcome, but it is not there: is BUCKET the bucket of the pods?"
  size=$answer
  answer=s3://$BUCKET/$outcome
  say "at work: $pod, injected for $(injected), has uploaded $answer ($size bytes)"
}

# deploy OVERLAY JOB: fills in the manifests and applies them, with the components
# that COMPONENTS names; a Job that has
# ended, or whose pods would be others, is made again.
deploy() {
  local overlay=$1 job=$2 folder was why=''
  # shellcheck disable=SC2086 # COMPONENTS is a list of words
  folder=$(scripts/steps/manifests.sh "$overlay" ${COMPONENTS-})
  was=$("${kube[@]}" get "job/$job" --ignore-not-found --output json) || die "the Job $job cannot be read: what kubectl said is above"
  if [[ -n $was ]]; then
    is_ours "$was" ||
      die "there is a Job $job in $NAMESPACE that these scripts did not make: delete it, or set NAMESPACE"
    why=$(ended "$job")
    if [[ -n $why ]]; then
      why="has ended (${why%%:*})"
    elif ! kubectl apply --dry-run=server --kustomize "$folder" >"$scratch/server" 2>&1; then
      grep -q 'field is immutable' "$scratch/server" || die "the manifests are refused: $(grep -v 'dry run' "$scratch/server" | head -n 1)"
      why="is to have other pods, and a Job's pod template is immutable"
    elif grep -q '^configmap/.* configured' "$scratch/server"; then
      why="is to have other settings, and a pod reads them when it starts"
    fi
  fi
  if [[ -n $why ]]; then
    say "made again: the Job $job $why"
    change "${kube[@]}" delete "job/$job" --wait --timeout=120s
  fi
  change kubectl apply --kustomize "$folder"
  if [[ -n $was && -z $why ]]; then say "there already: the Job $job"; fi
}
