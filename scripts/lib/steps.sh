# shellcheck shell=bash
# Functions that the steps share. Source this file after common.sh and settings.sh.
#
# A step is `scripts/steps/NAME.sh [delete] [--dry-run]`. Without `delete` it
# creates the resource that it is named after; with `delete` it deletes it. With
# `left`, which only down.sh uses, it prints what still exists and has our tag. A dry
# run shows only the commands that change something.
# shellcheck disable=SC2034 # the steps read the variables that are set here

: "${root:?is set by common.sh, which must be sourced first}"

action=create       # or delete, or left
dry_run=${DRY_RUN-} # not empty: print the commands that change something, but do not run them
quiet=''            # not empty: do not print reads, because poll has printed them before
scratch=''          # a temporary folder, which is removed when the script ends

# EKS and eksctl take the tag in one form, all other services in the other.
readonly tag_map=$TAG_KEY=$TAG_VALUE tag_pair=Key=$TAG_KEY,Value=$TAG_VALUE

# begin_step ARGUMENT...: reads the arguments, and prepares the temporary folder.
begin_step() {
  local argument
  for argument in "$@"; do
    case $argument in
      -h | --help) usage && exit ;;
      --dry-run) dry_run=yes ;;
      delete | left) action=$argument ;;
      *) die "unknown argument $argument; usage: $(sed -n 's/^#   \(scripts\/.*\)/\1/p' "$0" | head -n 1) (see --help)" ;;
    esac
  done
  export DRY_RUN=$dry_run
  if [[ -n $dry_run && -z $with_given ]]; then export WITH=eksctl; fi
  cd "$root" || exit
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/pod-identity-demo.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# step_heading STEP: announces a step on stderr.
step_heading() {
  say ""
  say "── $1 ──"
}

# capture NAME COMMAND...: sets the variable NAME to what the command prints, and
# returns the command's exit status. Unlike NAME=$(COMMAND), it runs the command in
# this shell, so that `die` inside it ends the script and not only a subshell.
capture() {
  local captured_file=$scratch/captured.${#FUNCNAME[@]} captured_status=0
  "${@:2}" >"$captured_file" || captured_status=$?
  printf -v "$1" %s "$(<"$captured_file")"
  return "$captured_status"
}

# change COMMAND...: prints a command that changes something, and runs it unless
# this is a dry run.
change() {
  show "$@"
  [[ -z $dry_run ]] || return 0
  "$@" >&2 || die "the command above failed: fix what its error message says, then run this again"
}

# found CODES COMMAND...: runs a command that reads, and prints its output. Returns
# false when the AWS CLI's error has one of these codes (`A|B`), or kubectl's message
# matches the pattern, which means that the resource does not exist. Any other error,
# and with `none` each, ends the script, so call it directly or through capture, never in $(...).
found() {
  local pattern=$1 failure
  shift
  # A number such as 404 may be in a name or an account's ID.
  [[ $1 != aws ]] || pattern="An error occurred \\(($pattern)\\) when calling"
  [[ -n $quiet$dry_run ]] || show "$@"
  [[ -z ${PLAN-} ]] || return 1
  if "$@" 2>"$scratch/failure"; then return; fi
  failure=$(<"$scratch/failure")
  [[ ! $failure =~ $pattern ]] || return 1
  [[ -z $dry_run ]] || show "$@"
  cannot_read "$failure"
}

# cannot_read MESSAGE: ends the script because of an unexpected error.
cannot_read() {
  say "$1"
  die "the command above could not read the resource; it has changed nothing"
}

# not COMMAND...: true when the command is not.
not() { ! "$@"; }

# poll SECONDS WHAT COMMAND...: returns true as soon as the command does, and false
# after the time is over. Says what it waits for, if it has to wait.
poll() {
  local deadline=$((SECONDS + $1)) what=$2 said='' quiet=$quiet
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    [[ -n $said ]] || say "waiting for $what"
    said=yes quiet=yes
    sleep "$POLL_PAUSE"
  done
}

# fill TEMPLATE: prints the file with each ${NAME} replaced by that setting.
# A line with ${NAME?} is left out if that setting is not set.
fill() {
  local rest='' line name value
  [[ -r $1 ]] || die "cannot read the template $1"
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line =~ \$\{([A-Z_]+)\?\} ]]; then
      name=${BASH_REMATCH[1]}
      [[ -n ${!name-} ]] || continue
      line=${line/"$name?"/$name}
    fi
    rest+=$line$'\n'
  done <"$1"
  rest=${rest%$'\n'}
  while [[ $rest =~ \$\{([A-Z_][A-Z0-9_]*)\} ]]; do
    name=${BASH_REMATCH[1]}
    value=${!name-}
    [[ -n $value ]] || die "$1 needs \${$name}, which is not set"
    [[ $value != *[\"\\$'\n']* ]] || die "$name contains characters that $1 cannot hold: use letters, digits and -._/:@"
    printf %s "${rest%%"\${$name}"*}$value"
    rest=${rest#*"\${$name}"}
  done
  printf '%s\n' "$rest"
}

# filled TEMPLATE: fills in the template, and prints the name of the file that
# holds the result.
filled() {
  local file=$FILLED/${1##*/}
  mkdir -p "$FILLED"
  fill "$1" >"$file.$$"
  mv "$file.$$" "$file"
  echo "$file"
}

# same_json A B: true when two JSON documents have the same content.
same_json() {
  [[ "$(jq -S . <<<"$1")" == "$(jq -S . <<<"$2")" ]]
}

need_jq() {
  need jq "install it with your system's packages, or from https://jqlang.org"
}

# find_cluster: prints the cluster's status, endpoint, and our tag or None; false
# when the cluster does not exist.
find_cluster() {
  found ResourceNotFoundException aws eks describe-cluster --region "$AWS_REGION" --name "$CLUSTER_NAME" \
    --query "cluster.[status, endpoint, tags.\"$TAG_KEY\"]" --output text
}

# region_of_bucket: prints the region of the bucket; false when it does not exist.
region_of_bucket() {
  found '404|NoSuchBucket' aws s3api head-bucket --region "$AWS_REGION" --bucket "$BUCKET" --query BucketRegion --output text
}

# same_region REGION: ends the script if the bucket is elsewhere: the AWS CLI follows it there.
same_region() {
  [[ $1 == None || -z $1 || $1 == "$AWS_REGION" ]] ||
    die "the bucket $BUCKET is in the region $1, not in $AWS_REGION: set AWS_REGION, or set BUCKET to another name"
}

# need_cluster: prints the endpoint of the cluster, which must be ACTIVE. Returns
# false only in a dry run, where the cluster may not exist yet.
need_cluster() {
  local cluster status endpoint
  if ! capture cluster find_cluster; then
    [[ -n $dry_run ]] || die "the cluster $CLUSTER_NAME does not exist in $AWS_REGION: create it with scripts/steps/cluster.sh, or set CLUSTER_NAME to yours"
    return 1
  fi
  read -r status endpoint _ <<<"$cluster"
  [[ $status == ACTIVE ]] || die "the cluster $CLUSTER_NAME is $status, not ACTIVE: run this again when it is"
  echo "$endpoint"
}

# need_kubernetes: kubectl is installed, and its current context is this cluster.
# Returns false only in a dry run, where the cluster may not exist yet.
need_kubernetes() {
  local endpoint server
  [[ -z ${PLAN-} ]] || return 1
  need_tool kubectl
  capture endpoint need_cluster || return 1
  server=$(kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}' 2>/dev/null || true)
  [[ $server == "$endpoint" ]] ||
    die "kubectl uses ${server:-no cluster}, not $CLUSTER_NAME: aws eks update-kubeconfig --region $AWS_REGION --name $CLUSTER_NAME"
}

# at_cluster: true when kubectl can be asked. Ends the script if its current context is
# another cluster, because what that has would be taken for what this one has; a dry run goes on.
at_cluster() {
  [[ $KUBERNETES != none ]] && command -v kubectl >/dev/null || return 1
  if [[ -n $dry_run ]] && ! (need_kubernetes); then return 1; fi
  need_kubernetes
}

# agent_without_addon: prints which Pod Identity Agent the cluster has instead of the
# add-on; false when it has none, or when there is no kubectl to tell.
agent_without_addon() {
  local enabled own
  if capture enabled found ResourceNotFoundException aws eks describe-cluster --region "$AWS_REGION" --name "$CLUSTER_NAME" \
    --query cluster.computeConfig.enabled --output text && [[ $enabled == True ]]; then
    echo "the Pod Identity Agent of EKS Auto Mode, which is built into its nodes (other nodes of the cluster need the add-on)"
    return
  fi
  at_cluster || return 1
  own=$(kubectl get daemonsets --all-namespaces --selector app.kubernetes.io/name=eks-pod-identity-agent --output name) ||
    die "cannot tell whether the cluster has an agent without the add-on: see the message of kubectl above, or set KUBERNETES=none"
  [[ -n $own ]] || return 1
  echo "a Pod Identity Agent that is not an EKS add-on: ${own%%$'\n'*}"
}

# find_stack NAME: prints the status of a CloudFormation stack, its workload or None, and our tag or None.
# CloudFormation has one code for a stack that does not exist, and for a name that no stack can have.
# eksctl's names of stacks end with namespace and service account, joined by the hyphen that is also in
# these, so its tag decides whose a stack is: NAMESPACE/SERVICE-ACCOUNT (pkg/apis/eksctl.io/v1alpha5/types.go).
find_stack() {
  found ValidationError aws cloudformation describe-stacks --region "$AWS_REGION" --stack-name "$1" --output text --query \
    "Stacks[0].[StackStatus, Tags[?Key=='alpha.eksctl.io/podidentityassociation-name' || Key=='alpha.eksctl.io/iamserviceaccount-name'].Value | [0], Tags[?Key=='$TAG_KEY'].Value | [0]]"
}

# find_stack_of ACCOUNT STACK: like find_stack; false also if the stack is of another service account.
find_stack_of() {
  local found_state whose
  capture found_state find_stack "$2" || return 1
  read -r _ whose _ <<<"$found_state"
  [[ $whose == None || $whose == "$NAMESPACE/$1" ]] || return 1
  echo "$found_state"
}

# can_be_stack NAME: true if CloudFormation accepts the name for a stack:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
can_be_stack() {
  [[ $1 =~ ^[A-Za-z][A-Za-z0-9-]{0,127}$ ]]
}

# stack_rests NAME: true when no operation on the stack is in progress.
stack_rests() {
  local state
  capture state find_stack "$1" || return 0
  [[ ${state%%[[:space:]]*} != *_IN_PROGRESS ]]
}

# delete_stack NAME: deletes a stack. eksctl turns on termination protection for
# its stacks, so that must be turned off first.
delete_stack() {
  [[ $1 != eksctl-* ]] || change aws cloudformation update-termination-protection --region "$AWS_REGION" --stack-name "$1" --no-enable-termination-protection
  change aws cloudformation delete-stack --region "$AWS_REGION" --stack-name "$1"
  [[ -z $dry_run ]] || return 0
  poll 600 "the deletion of the stack $1" stack_rests "$1" || true
  ! find_stack "$1" >/dev/null ||
    die "the stack $1 still exists: aws cloudformation describe-stack-events --region $AWS_REGION --stack-name $1"
}

# find_association ACCOUNT: prints the ID of a service account's association.
find_association() {
  local id
  capture id found ResourceNotFoundException aws eks list-pod-identity-associations --region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" --namespace "$NAMESPACE" \
    --service-account "$1" --query 'associations[0].associationId' --output text || return 1
  [[ -n $id && $id != None ]] || return 1
  echo "$id"
}

# show_role NAME: prints a role's trust policy and its attached policies.
show_role() {
  run aws iam get-role --role-name "$1" --query Role.AssumeRolePolicyDocument --output json
  run aws iam list-attached-role-policies --role-name "$1" --query 'AttachedPolicies[].PolicyArn' --output text
}
