# shellcheck shell=bash
# What the tests of the wiring share: `load ../lib/wiring.sh`.
# An emulated AWS account for each file of tests, behind a proxy that notes each call and can
# fail one (cluster/eks.py); if asked for, with a Kubernetes control plane; and a PATH with
# nothing but what the scripts say they need.

bats_require_minimum_version 1.5.0
# shellcheck source-path=SCRIPTDIR source=../../cluster/calls.bash
. "${BASH_SOURCE[0]%/*}/../../cluster/calls.bash"
# shellcheck source-path=SCRIPTDIR source=../../cluster/objects.bash
. "$project/tests/cluster/objects.bash"
repository=$project

# toolbox TOOL...: sets PATH to these tools and those that every script uses.
toolbox() {
  local tool box=${BATS_FILE_TMPDIR:?}/toolbox
  rm -rf "$box" && mkdir "$box"
  for tool in bash sh env cat cksum cut date diff dirname git grep head jq mkdir mktemp mv rm sed sleep sort tail tr uname "$@"; do
    case $tool in
      kubectl) ln -s "$(kubectl_program)" "$box/$tool" ;;
      eksctl) ln -s "$repository/.tools/cluster/bin/$tool" "$box/$tool" ;;
      aws) start_aws "$box" ;;
      *) ln -s "$(command -v "$tool")" "$box/$tool" ;;
    esac
  done
  PATH=$box
}

# kubectl_program: the cluster's own, or where that is not built, the one from PyPI.
kubectl_program() {
  local built=$repository/.tools/cluster/bin/kubectl
  if [[ -x $built ]]; then echo "$built"; else echo "$repository/.tools/manifests/bin/kubectl"; fi
}

# start_cloud [LEVEL]: starts an emulated account, or as much of a cluster as LEVEL says
# (cluster/cluster.sh). The bucket's policy wants TLS, which the proxy speaks with the emulator.
start_cloud() {
  export CLUSTER_STATE=$BATS_FILE_TMPDIR/cluster CLUSTER_OWNER=$$ KUBECONFIG=$BATS_FILE_TMPDIR/cluster/kubeconfig
  "$repository/cluster/cluster.sh" up "${1:-account}"
  cloud_settings
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
  # Without the caller's settings, second attempts and long waits.
  unset AWS_PROFILE AWS_SESSION_TOKEN ACCOUNT_ID CHECKED CLUSTER_NAME BUCKET IMAGE REPOSITORY WITH DRY_RUN TAG_VALUE NAMESPACE SERVICE_ACCOUNT \
    TARGET_ROLE_ARN EXTERNAL_ID SESSION_POLICY SESSION_TAGS
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true AWS_MAX_ATTEMPTS=1
  export POLL_PAUSE=0.1 LAG=5 FILLED=$BATS_FILE_TMPDIR/filled NODES=1
  # Each script would ask the tools for their versions, which steps/versions.bats tests.
  export TOOLS=" aws eksctl kubectl"
}

# cloud_settings: exports the addresses of the account.
# shellcheck disable=SC2034,SC2154 # of and for settings.sh
cloud_settings() {
  local state root=$repository
  # shellcheck source-path=SCRIPTDIR source=../../../cluster/settings.sh
  . "$repository/cluster/settings.sh" "$CLUSTER_STATE"
  export AWS_ENDPOINT_URL=$aws_endpoint
  # eksctl asks the OIDC issuer for its certificate; whatever asks the emulator itself checks its own.
  export SSL_CERT_FILE=$pki/ca.crt
  MINISTACK=https://127.0.0.1:$emulator_port
  AWS_CA_BUNDLE=$(cut -d ' ' -f 3 "$CLUSTER_STATE/ministack")
  export MINISTACK AWS_CA_BUNDLE
}

# stop_cloud: also with the tools that toolbox leaves out.
stop_cloud() {
  PATH=$PATH:/usr/bin:/bin "$repository/cluster/cluster.sh" down
}

# kube ARGUMENT...: kubectl, as the cluster's administrator. It asks nobody for a token, as the scripts' kubectl does.
kube() {
  "$repository/.tools/cluster/bin/kubectl" --kubeconfig "$CLUSTER_STATE/admin.conf" "$@"
}

# admin ARGUMENT...: the AWS CLI as the root user, without the proxy, so that the noted calls are only those of the scripts.
admin() {
  AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_SESSION_TOKEN='' AWS_ENDPOINT_URL=$MINISTACK aws --output text "$@"
}

# become NAME POLICY: from here on as a session of a role with that policy alone.
become() {
  local keys
  keys=$(session_of "$1" "$2" admin)
  read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN <<<"$keys"
  export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
}

# a_cluster: creates an EKS cluster without our tag and without an add-on. Its control plane is the one
# that start_cloud has started, if any. Prints the ARN of a role that trusts EKS.
a_cluster() {
  local role
  role=$(admin iam create-role --role-name theirs --assume-role-policy-document "$trust" --query Role.Arn)
  admin eks create-cluster --name "${CLUSTER_NAME:-pod-identity-demo}" --role-arn "$role" --resources-vpc-config subnetIds=subnet-1,subnet-2 >/dev/null
  aws eks update-kubeconfig --name "${CLUSTER_NAME:-pod-identity-demo}" >/dev/null
  echo "$role"
}

# listing: prints every resource of the account, one per line.
listing() {
  AWS_ENDPOINT_URL=$MINISTACK "$repository/.tools/ministack/bin/python" "$repository/tests/cluster/listing.py"
}

# survives STEP KIND PATTERN...: runs the step once for each fault, and it fails each time. Then one run
# completes the step, the next finds everything there, and `delete` leaves the account as before.
survives() {
  local step=$1 before
  shift
  before=$(listing)
  while (($# > 0)); do
    fail_on "$1" "$2"
    if [[ $1 == hang ]]; then
      interrupted "$step"
      ((status == 130))
    else
      step "$step"
      ((status == 1))
      [[ $stderr == *"run this again"* || $stderr == *"it has changed nothing"* ]]
    fi
    [[ -e $CLUSTER_STATE/fault.done ]] # it came to that
    shift 2
  done
  step "$step"
  ((status == 0))
  step "$step"
  ((status == 0))
  [[ $stderr == *"already exists"* && -z $(writes) ]]
  step "$step" delete
  ((status == 0))
  [[ $(listing) == "$before" ]]
}
