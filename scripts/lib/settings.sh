# shellcheck shell=bash
# The settings of the scripts for AWS and Kubernetes. Source this file after common.sh.
# An environment variable of the same name overrides a setting. All are exported, so
# that a script passes its settings to the scripts that it calls. `settle`, below,
# sets those that depend on the AWS account.

: "${root:?is set by common.sh, which must be sourced first}"

# Only a dry run can have a plan (plan_without_aws).
[[ -n ${DRY_RUN-} ]] || unset PLAN

# A pager would stop a script.
export AWS_PAGER=''

# configured_region: prints the region that the AWS CLI would use.
configured_region() {
  local region=''
  if command -v aws >/dev/null; then region=$(aws configure get region 2>/dev/null || true); fi
  echo "${region:-us-east-1}"
}

export AWS_REGION=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(configured_region)}}
export AWS_DEFAULT_REGION=$AWS_REGION # version 1 of the AWS CLI reads only this variable

# If a cluster of this name exists already, the scripts use it and do not change it.
export CLUSTER_NAME=${CLUSTER_NAME:-pod-identity-demo}
# The scripts create the namespace, and delete it, unless it is `default`.
export NAMESPACE=${NAMESPACE:-pod-identity-demo}
export SERVICE_ACCOUNT=${SERVICE_ACCOUNT:-pod-identity-demo}
export IRSA_SERVICE_ACCOUNT=${IRSA_SERVICE_ACCOUNT:-pod-identity-demo-irsa}
# IAM is global, so the names of the policies contain the region. A policy is of one service
# account: a second one in the same cluster and region needs another POLICY_NAME.
export POLICY_NAME=${POLICY_NAME:-$CLUSTER_NAME-$AWS_REGION}
export IRSA_POLICY_NAME=${IRSA_POLICY_NAME:-$CLUSTER_NAME-irsa-$AWS_REGION}
# The tag on everything that the scripts create. They never delete anything without it.
export TAG_KEY=pod-identity-demo
export TAG_VALUE=${TAG_VALUE:-$CLUSTER_NAME}
# The number of nodes of a new cluster.
export NODES=${NODES:-2}
# What creates the association and its role: eksctl, or the AWS CLI alone (aws).
if [[ -z ${WITH-} ]]; then
  if command -v eksctl >/dev/null; then WITH=eksctl; else WITH=aws; fi
fi
export WITH
# The file with a session policy, if any, is relative to the folder of whoever calls the script.
[[ ${SESSION_POLICY-} != [!/]* ]] || export SESSION_POLICY=$PWD/$SESSION_POLICY
# The architecture of the nodes: amd64, as those of k8s/nodes.yaml, or arm64. The image
# contains it, and the pods run on no other nodes. `any` is for an image of both.
export ARCHITECTURE=${ARCHITECTURE:-amd64}
# Set this to `none` if kubectl cannot reach the cluster. The scripts then tell what you
# must check or do inside the cluster yourself. up.sh, which deploys the job, needs kubectl.
export KUBERNETES=${KUBERNETES:-kubectl}
# The folder for filled-in templates, relative to the project's folder.
export FILLED=${FILLED:-k8s/filled}

# need_tool aws|eksctl|kubectl [HINT]: ends the script if the tool is missing or too old.
# Checks each tool once for a script and the scripts that it calls. The versions are:
#   aws 2.15.0 and 1.31.0   minor releases after Pod Identity came, on 2023-11-27; some before know it too
#   eksctl 0.215.0          asks EKS which versions of Kubernetes there are
#   kubectl 1.27.0          contains kustomize 5
need_tool() {
  local tool=$1 hint=${2-}
  [[ -z ${PLAN-} && " ${TOOLS-} " != *" $tool "* ]] || return 0
  need "$tool" "$(where_from "$tool")$hint"
  case $tool in
    aws) need_version aws 2.15.0 1.31.0 '' ;;
    eksctl) need_version eksctl 0.215.0 '' "$hint" ;;
    kubectl) need_version kubectl 1.27.0 '' "$hint" ;;
  esac
  export TOOLS="${TOOLS-} $tool"
}

# where_from TOOL: prints where the tool can be had.
where_from() {
  case $1 in
    aws) echo "install the AWS CLI, version 2: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html" ;;
    eksctl) echo "https://eksctl.io/installation/" ;;
    kubectl) echo "https://kubernetes.io/docs/tasks/tools/" ;;
  esac
}

# need_version TOOL MINIMUM MINIMUM-OF-VERSION-1 HINT [SETTING]: ends the script if the tool is older.
# Version 1 of the AWS CLI has numbers of its own. The setting, if any, is the reason.
need_version() {
  local tool=$1 minimum=$2 said='' version=''
  case $tool in
    aws) said=$(aws --version 2>&1) || true ;;
    eksctl) said=$(eksctl version 2>/dev/null) || true ;;
    kubectl) said=$(kubectl version --client 2>/dev/null) || true ;;
  esac
  if [[ $said =~ [0-9]+\.[0-9]+\.[0-9]+ ]]; then version=${BASH_REMATCH[0]}; fi
  [[ $version != 1.* || -z $3 ]] || minimum=$3
  # A version that cannot be read is no reason to refuse.
  [[ -z $version ]] || at_least "$version" "$minimum" ||
    die "$tool $version is too old: $minimum or later is required${5:+ for $5}: $(where_from "$tool")$4"
}

# aws_caller: prints the identity of the credentials as `ACCOUNT ARN`. Ends the script if
# ACCOUNT_ID is set to another account.
aws_caller() {
  local account='' arn=''
  read -r account arn <<<"$(aws sts get-caller-identity --region "$AWS_REGION" --query '[Account,Arn]' --output text)"
  [[ $account =~ ^[0-9]{12}$ ]] ||
    die "no usable AWS credentials (see the error message above): set AWS_PROFILE, or sign in with: aws sso login"
  [[ ${ACCOUNT_ID:-$account} == "$account" ]] ||
    die "wrong account: the credentials are $arn, but ACCOUNT_ID is $ACCOUNT_ID: set AWS_PROFILE, or unset ACCOUNT_ID"
  echo "$account $arn"
}

# plan_without_aws: for a dry run. If AWS cannot be asked, says so, and sets PLAN: the
# scripts then ask nothing of AWS, and print what they would do in an empty account. Does
# so once for a script and the scripts that it calls. A deletion has no such plan: that all
# is deleted already would be a guess.
plan_without_aws() {
  [[ ${action-} != delete && ${action-} != left ]] || return 0
  [[ -z ${PLAN-}${CHECKED-} ]] || return 0
  ! AWS_MAX_ATTEMPTS=1 aws sts get-caller-identity --region "$AWS_REGION" --cli-connect-timeout 5 --cli-read-timeout 10 >/dev/null 2>&1 || return 0
  export PLAN=yes ACCOUNT_ID=${ACCOUNT_ID:-111122223333}
  say "AWS cannot be asked (no AWS CLI, no credentials, or no connection): this is the plan from nothing, as for account $ACCOUNT_ID"
}

# program_version: prints the program's version.
program_version() {
  sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1
}

# uncommitted: prints how what the image is built from differs from the commit; nothing if it does not.
uncommitted() {
  local file sources=(src build.rs Cargo.toml Cargo.lock Dockerfile .dockerignore crates/sandbox/Cargo.toml)
  cd "$root" || exit
  git diff --no-ext-diff --no-textconv --no-color --binary HEAD -- "${sources[@]}"
  git ls-files --others --exclude-standard -z -- "${sources[@]}" | while IFS= read -r -d '' file; do
    printf '%s ' "$file" && git hash-object --no-filters -- "$file"
  done
}

# image_tag: prints the program's version and the commit, with which the image's tag begins. With
# uncommitted changes, a hash of these follows, so that the image is not taken for the commit's.
image_tag() {
  local commit changes
  if commit=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null); then
    changes=$(uncommitted)
    [[ -z $changes ]] || commit+=-dirty-$(git hash-object --stdin <<<"$changes" | cut -c 1-8)
  fi
  echo "$(program_version)-${commit:-unknown}"
}

# is_ecr REPOSITORY: true when it is in ECR.
is_ecr() {
  [[ $1 == *.dkr.ecr.*.amazonaws.com*/* ]]
}

# image_in REPOSITORY: prints the name of the image in the repository. In ECR, where up.sh uses
# an image that is there already, the tag ends with the architecture that the image contains.
image_in() {
  local suffix=''
  ! is_ecr "$1" || suffix=-$ARCHITECTURE
  echo "$1:$(image_tag)$suffix"
}

# settle NAME...: sets and exports these settings. Asks AWS for the account, unless all
# of them are set. If ACCOUNT_ID is among them, checks it against the credentials, once
# for a script and the scripts that it calls.
#   ACCOUNT_ID        the account in use; if it is set, it must match the credentials
#   PARTITION         aws, aws-cn or aws-us-gov
#   BUCKET            pod-identity-demo-ACCOUNT-REGION
#   POLICY_ARN        what the association attaches, by default the policy POLICY_NAME;
#                     and IRSA_POLICY_ARN, by default IRSA_POLICY_NAME
#   REPOSITORY        where images are pushed to: the account's ECR
#   IMAGE             REPOSITORY:VERSION-COMMIT, in ECR REPOSITORY:VERSION-COMMIT-ARCHITECTURE;
#                     with uncommitted changes, COMMIT-dirty-HASH in place of COMMIT
settle() {
  local name who arn domain=amazonaws.com settled=yes
  for name in "$@"; do
    [[ -n ${!name-} ]] || settled=''
    [[ $name != ACCOUNT_ID || ${CHECKED-} == "${ACCOUNT_ID-} in $AWS_REGION" ]] || settled=''
  done
  [[ -z $settled ]] || return 0
  [[ -z ${DRY_RUN-} ]] || plan_without_aws
  need_tool aws
  if [[ -n ${PLAN-} ]]; then who="$ACCOUNT_ID arn:aws:"; else who=$(aws_caller); fi
  ACCOUNT_ID=${who%% *} arn=${who#* }
  PARTITION=$(cut -d : -f 2 <<<"$arn")
  [[ $PARTITION != aws-cn ]] || domain=amazonaws.com.cn
  BUCKET=${BUCKET:-pod-identity-demo-$ACCOUNT_ID-$AWS_REGION}
  POLICY_ARN=${POLICY_ARN:-arn:$PARTITION:iam::$ACCOUNT_ID:policy/$POLICY_NAME}
  IRSA_POLICY_ARN=${IRSA_POLICY_ARN:-arn:$PARTITION:iam::$ACCOUNT_ID:policy/$IRSA_POLICY_NAME}
  REPOSITORY=${REPOSITORY:-$ACCOUNT_ID.dkr.ecr.$AWS_REGION.$domain/pod-identity-demo}
  IMAGE=${IMAGE:-$(image_in "$REPOSITORY")}
  CHECKED="$ACCOUNT_ID in $AWS_REGION"
  export CHECKED ACCOUNT_ID PARTITION BUCKET POLICY_ARN IRSA_POLICY_ARN REPOSITORY IMAGE
}
