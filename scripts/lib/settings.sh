# shellcheck shell=bash
# The settings of the scripts for AWS and Kubernetes. Source this file after common.sh.
# An environment variable of the same name overrides a setting. All are exported, so
# that a script passes its settings to the scripts that it calls. `settle`, below,
# sets those that depend on the AWS account.

# read_setting NAME KIND [DEFAULT]: exports a setting, and ends the script unless its value is of the kind. Nothing
# uses the value before: in arithmetic, bash would run the command in `a[$(command)]`. Without a value and a
# default, the setting is not set.
read_setting() {
  local name=$1 value=${!1:-${3-}} must pattern
  local label='[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
  local LC_ALL=C # so that a-z matches only ASCII letters
  case $2 in
    number) pattern='[1-9][0-9]{0,4}' must="be a number such as 10" ;;
    seconds) pattern='0|[1-9][0-9]{0,4}' must="be a number of seconds such as 240" ;;
    pause) pattern='[0-9]{1,4}(\.[0-9]{1,3})?' must="be a number of seconds such as 0.5" ;;
    region) pattern='[a-z]+(-[a-z]+)+-[0-9]+' must="be similar to us-east-1" ;;
    account) pattern='[0-9]{12}' must="be an account's ID, 12 digits" ;;
    cluster) pattern='[A-Za-z0-9][A-Za-z0-9_-]{0,99}' must="be similar to pod-identity-demo" ;;
    namespace) pattern=$label must="be similar to pod-identity-demo" ;;
    service-account) pattern="$label(\\.$label)*" must="be similar to pod-identity-demo" ;;
    policy-name) pattern='[A-Za-z0-9+=,.@_-]{1,128}' must="be similar to pod-identity-demo-us-east-1" ;;
    policy) pattern='arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9+=,.@_/-]+' must="be the ARN of a policy, such as arn:aws:iam::111122223333:policy/pictures" ;;
    role) pattern='arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+' must="be the ARN of a role, such as arn:aws:iam::111122223333:role/pictures" ;;
    tag) pattern='[A-Za-z0-9+=.:@_/-]{1,256}' must="be similar to pod-identity-demo" ;;
    bucket) pattern='[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]|arn:[a-z0-9:/._-]+' must="be similar to my-bucket" ;;
    repository) pattern='[A-Za-z0-9._:/-]+' must="be similar to registry.example/pod-identity-demo" ;;
    image) pattern='[A-Za-z0-9._:/-]+(@sha256:[0-9a-f]{64})?' must="be similar to registry.example/pod-identity-demo:0.1.0" ;;
    instance-type) pattern='[a-z][a-z0-9-]*\.[a-z0-9-]+' must="be similar to t3.medium" ;;
    *) pattern=${2// or /|} must="be $2" ;;
  esac
  [[ -n $value ]] || return 0
  [[ $value =~ ^($pattern)$ ]] || die "$name is $(printf %q "$value"): it must $must"
  export "$name=$value"
}

: "${root:?is set by common.sh, which must be sourced first}"

# Only a dry run can have a plan (plan_without_aws).
[[ -n ${DRY_RUN-} ]] || unset PLAN

# A pager would stop a script.
export AWS_PAGER=''
# The scripts look for the code of an error as in `An error occurred (NoSuchEntity) when calling`. Since
# 2.34, the AWS CLI prints errors in other forms as well, if its configuration says so.
export AWS_CLI_ERROR_FORMAT=legacy

# configured_region: prints the region that the AWS CLI would use.
configured_region() {
  local region=''
  if command -v aws >/dev/null; then region=$(aws configure get region 2>/dev/null || true); fi
  echo "${region:-us-east-1}"
}

read_setting AWS_REGION region "${AWS_DEFAULT_REGION:-$(configured_region)}"
export AWS_DEFAULT_REGION=$AWS_REGION # version 1 of the AWS CLI reads only this variable

# If a cluster of this name exists already, the scripts use it and do not change it.
read_setting CLUSTER_NAME cluster pod-identity-demo
# The scripts create the namespace, and delete it, unless it is `default`.
read_setting NAMESPACE namespace pod-identity-demo
read_setting SERVICE_ACCOUNT service-account pod-identity-demo
read_setting IRSA_SERVICE_ACCOUNT service-account pod-identity-demo-irsa
# IAM is global, so the names of the policies contain the region. A policy is of one service
# account: a second one in the same cluster and region needs another POLICY_NAME.
read_setting POLICY_NAME policy-name "$CLUSTER_NAME-$AWS_REGION"
read_setting IRSA_POLICY_NAME policy-name "$CLUSTER_NAME-irsa-$AWS_REGION"
# The tag on everything that the scripts create. They never delete anything without it.
export TAG_KEY=pod-identity-demo
read_setting TAG_VALUE tag "$CLUSTER_NAME"
# The policy that limits each role that the scripts create, where a company requires one.
read_setting PERMISSIONS_BOUNDARY policy
# What creates the association and its role: eksctl, or the AWS CLI alone (aws). A dry run shows eksctl.
# shellcheck disable=SC2034 # steps.sh reads it
with_given=${WITH-}
read_setting WITH "eksctl or aws" "$(if command -v eksctl >/dev/null; then echo eksctl; else echo aws; fi)"
# The file with a session policy, if any, is relative to the folder of whoever calls the script.
[[ ${SESSION_POLICY-} != [!/]* ]] || export SESSION_POLICY=$PWD/$SESSION_POLICY
# The architecture of the nodes: amd64, as those of k8s/nodes.yaml, or arm64. The image
# contains it, and the pods run on no other nodes. `any` is for an image of both.
read_setting ARCHITECTURE "amd64 or arm64 or any" amd64
# The number of nodes of a new cluster, and their type.
read_setting NODES number 2
read_setting INSTANCE_TYPE instance-type "$(if [[ $ARCHITECTURE == arm64 ]]; then echo t4g.medium; else echo t3.medium; fi)"
# Set this to `none` if kubectl cannot reach the cluster. The scripts then tell what you
# must check or do inside the cluster yourself. up.sh, which deploys the job, needs kubectl.
read_setting KUBERNETES "kubectl or none" kubectl
# The number of pods of the overlay fleet.
read_setting FLEET_SIZE number 10
# How many seconds deploy.sh waits for the first object, for an image that cannot be pulled, and down.sh for
# what AWS still lists; and the pause between two looks.
read_setting DEPLOY_TIMEOUT seconds 240
read_setting PULL_GRACE seconds 60
read_setting LAG seconds 120
read_setting POLL_PAUSE pause 5
# The options of an association.
read_setting TARGET_ROLE_ARN role
read_setting SESSION_TAGS "on or off" on
# The namespace of the bucket's default name. Names in the account's regional one, which not every region has, nobody
# else can take: https://docs.aws.amazon.com/AmazonS3/latest/userguide/gpbucketnamespaces.html
read_setting BUCKET_NAMESPACE "global or account-regional" global
# What `settle` finds out, unless it is set.
read_setting ACCOUNT_ID account
read_setting BUCKET bucket
read_setting POLICY_ARN policy
read_setting IRSA_POLICY_ARN policy
read_setting REPOSITORY repository
read_setting IMAGE image
# The folder for filled-in templates, relative to the project's folder.
export FILLED=${FILLED:-k8s/filled}

# need_tool aws|eksctl|kubectl [HINT]: ends the script if the tool is missing or too old.
# Checks each tool once for a script and the scripts that it calls. A dry run shows eksctl's commands
# without it. The versions are:
#   aws 2.15.0 and 1.31.0   minor releases after Pod Identity came, on 2023-11-27; some before know it too
#   eksctl 0.215.0          asks EKS which versions of Kubernetes there are
#   kubectl 1.27.0          contains kustomize 5
need_tool() {
  local tool=$1 hint=${2-}
  [[ -z ${PLAN-} && " ${TOOLS-} " != *" $tool "* ]] || return 0
  [[ $tool != eksctl || -z ${DRY_RUN-} ]] || command -v eksctl >/dev/null || return 0
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

# partition_of REGION: prints the partition, and the domain of its services. The list is botocore's partitions.json.
partition_of() {
  case $1 in
    cn-*) echo aws-cn amazonaws.com.cn ;;
    eusc-*) echo aws-eusc amazonaws.eu ;;
    us-gov-*) echo aws-us-gov amazonaws.com ;;
    us-iso-*) echo aws-iso c2s.ic.gov ;;
    us-isob-*) echo aws-iso-b sc2s.sgov.gov ;;
    eu-isoe-*) echo aws-iso-e cloud.adc-e.uk ;;
    us-isof-*) echo aws-iso-f csp.hci.ic.gov ;;
    *) echo aws amazonaws.com ;;
  esac
}

# is_ecr REPOSITORY: true when it is in ECR. BASH_REMATCH then has account, region and name.
is_ecr() {
  [[ $1 =~ ^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.[a-z0-9.-]+/(.+)$ ]]
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
#   PARTITION         that of the region: aws, aws-cn, aws-eusc or aws-us-gov, for example
#   BUCKET            pod-identity-demo-ACCOUNT-REGION, with -an in the account's regional namespace
#   POLICY_ARN        what the association attaches, by default the policy POLICY_NAME;
#                     and IRSA_POLICY_ARN, by default IRSA_POLICY_NAME
#   REPOSITORY        where images are pushed to: the account's ECR
#   IMAGE             REPOSITORY:VERSION-COMMIT, in ECR REPOSITORY:VERSION-COMMIT-ARCHITECTURE;
#                     with uncommitted changes, COMMIT-dirty-HASH in place of COMMIT
settle() {
  local name who domain suffix='' settled=yes
  for name in "$@"; do
    [[ -n ${!name-} ]] || settled=''
    [[ $name != ACCOUNT_ID || ${CHECKED-} == "${ACCOUNT_ID-} in $AWS_REGION" ]] || settled=''
  done
  [[ -z $settled ]] || return 0
  [[ -z ${DRY_RUN-} ]] || plan_without_aws
  need_tool aws
  if [[ -n ${PLAN-} ]]; then who=$ACCOUNT_ID; else who=$(aws_caller); fi
  ACCOUNT_ID=${who%% *}
  read -r PARTITION domain <<<"$(partition_of "$AWS_REGION")"
  [[ $BUCKET_NAMESPACE == global ]] || suffix=-an
  BUCKET=${BUCKET:-pod-identity-demo-$ACCOUNT_ID-$AWS_REGION$suffix}
  POLICY_ARN=${POLICY_ARN:-arn:$PARTITION:iam::$ACCOUNT_ID:policy/$POLICY_NAME}
  IRSA_POLICY_ARN=${IRSA_POLICY_ARN:-arn:$PARTITION:iam::$ACCOUNT_ID:policy/$IRSA_POLICY_NAME}
  REPOSITORY=${REPOSITORY:-$ACCOUNT_ID.dkr.ecr.$AWS_REGION.$domain/pod-identity-demo}
  IMAGE=${IMAGE:-$(image_in "$REPOSITORY")}
  CHECKED="$ACCOUNT_ID in $AWS_REGION"
  export CHECKED ACCOUNT_ID PARTITION BUCKET POLICY_ARN IRSA_POLICY_ARN REPOSITORY IMAGE
}
