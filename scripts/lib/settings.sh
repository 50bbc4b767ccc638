# shellcheck shell=bash
# The names that the scripts for AWS and Kubernetes share; sourced after lib.sh.
# Each gives way to an environment variable of the same name, and is exported,
# so that one script's settings are those of the scripts that it calls. Those
# that take AWS to work out are settled by `settle`, below.

: "${root:?is set by lib.sh, which is sourced first}"

# What stands between a command and its output is no use in a script.
export AWS_PAGER=''

# The region that the AWS CLI would take.
configured_region() {
  local region=''
  if command -v aws >/dev/null; then region=$(aws configure get region 2>/dev/null || true); fi
  echo "${region:-us-east-1}"
}

export AWS_REGION=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(configured_region)}}
export AWS_DEFAULT_REGION=$AWS_REGION # version 1 of the AWS CLI reads this alone

# The cluster. One of this name that is there already is used, and left as it is found.
export CLUSTER_NAME=${CLUSTER_NAME:-pod-identity-demo}
export NAMESPACE=${NAMESPACE:-pod-identity-demo}
export SERVICE_ACCOUNT=${SERVICE_ACCOUNT:-pod-identity-demo}
export IRSA_SERVICE_ACCOUNT=${IRSA_SERVICE_ACCOUNT:-pod-identity-demo-irsa}
# IAM knows no regions, so the names of policies carry it.
export POLICY_NAME=${POLICY_NAME:-$CLUSTER_NAME-$AWS_REGION}
export IRSA_POLICY_NAME=${IRSA_POLICY_NAME:-$CLUSTER_NAME-irsa-$AWS_REGION}
# The tag on all that the scripts make: what does not carry it, they never delete.
export TAG_KEY=pod-identity-demo
export TAG_VALUE=${TAG_VALUE:-$CLUSTER_NAME}
# Who makes the association and its role: eksctl, or the AWS CLI alone (aws).
if [[ -z ${WITH-} ]]; then
  if command -v eksctl >/dev/null; then WITH=eksctl; else WITH=aws; fi
fi
export WITH
# Whether kubectl reaches the cluster: with `none`, what is to be seen or done
# inside of it is left to you, and said.
export KUBERNETES=${KUBERNETES:-kubectl}
# Where templates go when filled in, seen from the project's folder.
export FILLED=${FILLED:-k8s/filled}

# Who the credentials are, as `ACCOUNT ARN`. Where ACCOUNT_ID is set and is
# another account, this is the wrong one: one line, and the end.
aws_caller() {
  local account='' arn=''
  need aws "install the AWS CLI, version 2: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
  read -r account arn <<<"$(aws sts get-caller-identity --region "$AWS_REGION" --query '[Account,Arn]' --output text)"
  [[ $account =~ ^[0-9]{12}$ ]] ||
    die "no usable AWS credentials (what AWS said is above): set AWS_PROFILE, or sign in with: aws sso login"
  [[ ${ACCOUNT_ID:-$account} == "$account" ]] ||
    die "wrong account: the credentials are $arn, but ACCOUNT_ID asks for $ACCOUNT_ID: set AWS_PROFILE, or unset ACCOUNT_ID"
  echo "$account $arn"
}

account_id() {
  local who
  who=$(aws_caller)
  echo "${who%% *}"
}

# What the image is tagged: the program's version and the commit that it is built from.
image_tag() {
  local version commit
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
  commit=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
  echo "$version-$commit"
}

# settle NAME...: sets and exports these settings; asks AWS who is calling,
# unless all that are named have been given. Where ACCOUNT_ID is named it is
# checked, once for a script and those that it calls.
#   ACCOUNT_ID        the account in use; given, it must be that one
#   PARTITION         aws, aws-cn or aws-us-gov
#   BUCKET            pod-identity-demo-ACCOUNT-REGION
#   POLICY_ARN        of POLICY_NAME; and IRSA_POLICY_ARN of IRSA_POLICY_NAME
#   REPOSITORY        where images are pushed to: the account's ECR
#   IMAGE             REPOSITORY:VERSION-COMMIT
settle() {
  local name who arn domain=amazonaws.com settled=yes
  for name in "$@"; do
    [[ -n ${!name-} ]] || settled=''
    [[ $name != ACCOUNT_ID || ${CHECKED-} == "${ACCOUNT_ID-} in $AWS_REGION" ]] || settled=''
  done
  [[ -z $settled ]] || return 0
  who=$(aws_caller)
  ACCOUNT_ID=${who%% *} arn=${who#* }
  PARTITION=$(cut -d : -f 2 <<<"$arn")
  [[ $PARTITION != aws-cn ]] || domain=amazonaws.com.cn
  BUCKET=${BUCKET:-pod-identity-demo-$ACCOUNT_ID-$AWS_REGION}
  POLICY_ARN=${POLICY_ARN:-arn:$PARTITION:iam::$ACCOUNT_ID:policy/$POLICY_NAME}
  IRSA_POLICY_ARN=${IRSA_POLICY_ARN:-arn:$PARTITION:iam::$ACCOUNT_ID:policy/$IRSA_POLICY_NAME}
  REPOSITORY=${REPOSITORY:-$ACCOUNT_ID.dkr.ecr.$AWS_REGION.$domain/pod-identity-demo}
  IMAGE=${IMAGE:-$REPOSITORY:$(image_tag)}
  CHECKED="$ACCOUNT_ID in $AWS_REGION"
  export CHECKED ACCOUNT_ID PARTITION BUCKET POLICY_ARN IRSA_POLICY_ARN REPOSITORY IMAGE
}
