# shellcheck shell=bash
# What the steps share; sourced after lib.sh and settings.sh. A step is
# `scripts/NAME.sh [delete] [--dry-run]`; without `delete` it makes what it is
# named after, with `delete` it undoes that, and with `left` it prints to stdout
# what of it is there and has our tag, which is for down.sh.
# shellcheck disable=SC2034 # the steps read what is set here

: "${root:?is set by lib.sh, which is sourced first}"

action=create       # or delete, or left
dry_run=${DRY_RUN-} # not empty: print what would change something, and do not do it
answer=''           # what `found` found
failure=''          # what AWS said instead
quiet=''            # not empty: reads are not printed, as they have been before
scratch=''          # a folder that ends with the script

# Two ways to say the tag: in EKS and eksctl, and everywhere else.
readonly tag_map=$TAG_KEY=$TAG_VALUE tag_pair=Key=$TAG_KEY,Value=$TAG_VALUE

# begin WORDS...: what the script was asked to do.
begin() {
  local word
  for word in "$@"; do
    case $word in
      -h | --help) usage && exit ;;
      --dry-run) dry_run=yes ;;
      delete | left) action=$word ;;
      *) die "unknown argument $word; the arguments are [delete] [--dry-run] (--help says more)" ;;
    esac
  done
  export DRY_RUN=$dry_run
  cd "$root" || exit
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/pod-identity-demo.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# heading STEP: where one step of several begins.
heading() {
  say ""
  say "── $1 ──"
}

# For what changes something: prints the command, and runs it unless --dry-run.
change() {
  show "$@"
  [[ -z $dry_run ]] || return 0
  "$@" >&2 || die "that command failed, and AWS's words are above: when it is put right, run this again"
}

# found PATTERN COMMAND...: a read that decides. True, and its stdout is in
# `answer`; false when what AWS says instead matches the pattern; anything else
# is the end. Not for $(...), where the end would be that of the subshell.
found() {
  local pattern=$1
  shift
  [[ -n $quiet ]] || show "$@"
  if answer=$("$@" 2>"$scratch/failure"); then return; fi
  failure=$(<"$scratch/failure")
  [[ ! $failure =~ $pattern ]] || return 1
  say "$failure"
  die "that read failed, and AWS's words are above: nothing has been changed by it"
}

# poll SECONDS WHAT COMMAND...: true as soon as the command is, false after so long.
poll() {
  local deadline=$((SECONDS + $1))
  say "waiting for $2"
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || { quiet='' && return 1; }
    quiet=yes
    sleep "${POLL_PAUSE:-5}"
  done
  quiet=''
}

# fill TEMPLATE: the file with each ${NAME} replaced by that setting.
fill() {
  local rest name value
  rest=$(<"$1") || die "the template $1 cannot be read"
  while [[ $rest =~ \$\{([A-Z_][A-Z0-9_]*)\} ]]; do
    name=${BASH_REMATCH[1]}
    value=${!name-}
    [[ -n $value ]] || die "$1 wants \${$name}, which is not set"
    [[ $value != *[\"\\$'\n']* ]] || die "$name would not survive quoting in $1: use letters, digits and -._/:@"
    printf %s "${rest%%"\${$name}"*}$value"
    rest=${rest#*"\${$name}"}
  done
  printf '%s\n' "$rest"
}

# filled TEMPLATE: fills it into the folder for that; the file's name is in `answer`.
filled() {
  answer=$FILLED/${1##*/}
  mkdir -p "$FILLED"
  fill "$1" >"$answer.$$"
  mv "$answer.$$" "$answer"
}

# Two JSON documents say the same.
same_json() {
  [[ "$(jq -S . <<<"$1")" == "$(jq -S . <<<"$2")" ]]
}

need_jq() {
  need jq "install it with your system's packages, or from https://jqlang.org"
}

# The cluster's state in `answer`: status, endpoint, and our tag or None.
find_cluster() {
  found ResourceNotFoundException aws eks describe-cluster --region "$AWS_REGION" --name "$CLUSTER_NAME" \
    --query "cluster.[status, endpoint, tags.\"$TAG_KEY\"]" --output text
}

# The cluster is there and ACTIVE; false only in a dry run, where it may come later.
need_cluster() {
  local status
  if ! find_cluster; then
    [[ -n $dry_run ]] || die "there is no cluster $CLUSTER_NAME in $AWS_REGION: make it with scripts/steps/cluster.sh, or name yours in CLUSTER_NAME"
    return 1
  fi
  read -r status _ <<<"$answer"
  [[ $status == ACTIVE ]] || die "the cluster $CLUSTER_NAME is $status, not ACTIVE: when it is, run this again"
}

# kubectl is there and speaks to this cluster and no other.
need_kubernetes() {
  local endpoint server
  need kubectl "https://kubernetes.io/docs/tasks/tools/"
  need_cluster || return 0
  read -r _ endpoint _ <<<"$answer"
  server=$(kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}' 2>/dev/null || true)
  [[ $server == "$endpoint" ]] ||
    die "kubectl speaks to ${server:-no cluster}, not to $CLUSTER_NAME: aws eks update-kubeconfig --region $AWS_REGION --name $CLUSTER_NAME"
}

# find_stack NAME: a CloudFormation stack's status and our tag, or None, in `answer`.
find_stack() {
  found 'does not exist' aws cloudformation describe-stacks --region "$AWS_REGION" --stack-name "$1" \
    --query "Stacks[0].[StackStatus, Tags[?Key=='$TAG_KEY'].Value | [0]]" --output text
}

# stack_rests NAME: it is not in the middle of something; `answer` as of find_stack, or empty.
stack_rests() {
  find_stack "$1" || answer=''
  [[ ${answer%%[[:space:]]*} != *_IN_PROGRESS ]]
}

# delete_stack NAME: eksctl protects its stacks against this, so that goes first.
delete_stack() {
  [[ $1 != eksctl-* ]] || change aws cloudformation update-termination-protection --region "$AWS_REGION" --stack-name "$1" --no-enable-termination-protection
  change aws cloudformation delete-stack --region "$AWS_REGION" --stack-name "$1"
  [[ -z $dry_run ]] || return 0
  poll 600 "the stack $1 to be gone" stack_rests "$1" && [[ -z $answer ]] ||
    die "the stack $1 is not gone: aws cloudformation describe-stack-events --region $AWS_REGION --stack-name $1"
}

# find_association ACCOUNT: the association of a service account; `answer` is its id.
find_association() {
  found ResourceNotFoundException aws eks list-pod-identity-associations --region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" --namespace "$NAMESPACE" \
    --service-account "$1" --query 'associations[0].associationId' --output text || return 1
  [[ -n $answer && $answer != None ]]
}

# show_role NAME: whom a role trusts, and what is attached to it.
show_role() {
  run aws iam get-role --role-name "$1" --query Role.AssumeRolePolicyDocument --output json
  run aws iam list-attached-role-policies --role-name "$1" --query 'AttachedPolicies[].PolicyArn' --output text
}
