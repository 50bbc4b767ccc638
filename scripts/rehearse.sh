#!/usr/bin/env bash
# Runs the whole walkthrough on this machine, without an AWS account: the real
# scripts, AWS CLI and program run against MiniStack, an emulated AWS that enforces
# IAM. The program gets its credentials over the agent's protocol, from the
# association that the scripts created. At the end, everything is deleted.
#
#   scripts/rehearse.sh [--pause]
#
#   --pause        wait for Enter before each scene
#
# In place of Kubernetes, the job is a local process. cluster/cluster.sh starts a real
# cluster on this machine, in which scripts/up.sh and all steps run against the same AWS.
#
# Requires Rust, Python and jq. Installs the AWS CLI if it is missing. Takes two
# minutes after the build, and is free of charge.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

pause='' number=0
for argument in "$@"; do
  case $argument in
    -h | --help) usage && exit ;;
    --pause) pause=yes ;;
    *) die "unknown argument $argument; usage: rehearse.sh [--pause] (see --help)" ;;
  esac
done

# scene TITLE SENTENCE...: announces what happens next, and what to look at.
scene() {
  say "" "━━ $((++number)). $1" "${@:2}" ""
  [[ -z $pause ]] || read -rp '   Press Enter to continue. ' _ </dev/tty
}

# Starts the emulated AWS in its own process group, so that Ctrl-C reaches only this
# script. The emulator ends when this script ends.
emulate() {
  local url certificate
  set -m
  coproc EMULATOR { exec "$root/scripts/dev/ministack.sh" --tls --until-stdin-closes; }
  set +m
  read -r _ url certificate <&"${EMULATOR[0]}" || die "the emulated AWS did not start: see the messages above"
  # Keep the caller's settings out: profile, keys, names and clusters.
  local name
  for name in "${!AWS_@}"; do unset "$name"; done
  unset ACCOUNT_ID BUCKET CLUSTER_NAME NAMESPACE SERVICE_ACCOUNT IRSA_SERVICE_ACCOUNT POLICY_NAME POLICY_ARN \
    IRSA_POLICY_NAME IRSA_POLICY_ARN REPOSITORY TAG_VALUE CHECKED DRY_RUN TARGET_ROLE_ARN EXTERNAL_ID SESSION_POLICY SESSION_TAGS PERMISSIONS_BOUNDARY
  export AWS_ENDPOINT_URL=$url AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
  # The bucket's policy requires TLS, so the AWS CLI and the program must trust the certificate.
  export AWS_CA_BUNDLE=$certificate SSL_CERT_FILE=$certificate
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
  export KUBECONFIG=$scratch/kubeconfig FILLED=$scratch/filled POLL_PAUSE=1 LAG=10
}

# account_contents: prints everything in the account that the scripts can create.
account_contents() {
  aws s3api list-buckets --query 'Buckets[].["bucket", Name]' --output text
  aws iam list-policies --scope Local --query 'Policies[].["policy", Arn]' --output text
  aws iam list-roles --query 'Roles[].["role", Arn]' --output text
  aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].["provider", Arn]' --output text
  aws cloudformation list-stacks --query "StackSummaries[?StackStatus != 'DELETE_COMPLETE'].['stack', StackName]" --output text
  aws ecr describe-repositories --query 'repositories[].["repository", repositoryName]' --output text
  aws eks list-clusters --query 'clusters[].["cluster", @]' --output text
}

# in_pod OPTION... -- COMMAND...: runs the command as if in a pod of the job's service
# account: with the variables that the webhook injects, against the emulated AWS.
in_pod() {
  "$target/sandbox" --emulator "$AWS_ENDPOINT_URL" --cluster "$CLUSTER_NAME" --region "$AWS_REGION" --bucket "$BUCKET" \
    --namespace "$NAMESPACE" --service-account "$SERVICE_ACCOUNT" --pod pod-identity-demo-1 "$@"
}

# Runs the steps outside of Kubernetes one by one, and the job as a local process.
story() {
  export KUBERNETES=none WITH=aws
  scene "A bucket, and the permissions for it" \
    "The policy allows two actions, only on this bucket, and only to sessions whose tags name this" \
    "service account of this cluster. The scripts print each command, as you could type it yourself."
  "$root/scripts/steps/bucket.sh"
  "$root/scripts/steps/policy.sh"
  run cat "$FILLED/pod-identity.json" >&2

  scene "A cluster, with the Pod Identity Agent as an add-on" \
    "Here the cluster is only a record in the emulated EKS. On AWS, scripts/steps/cluster.sh creates one in 15 minutes."
  run aws iam create-role --role-name "$CLUSTER_NAME-cluster" --query Role.Arn --output text --assume-role-policy-document \
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"eks.amazonaws.com"},"Action":"sts:AssumeRole"}]}' >&2
  run aws eks create-cluster --name "$CLUSTER_NAME" --role-arn "arn:aws:iam::$ACCOUNT_ID:role/$CLUSTER_NAME-cluster" \
    --resources-vpc-config subnetIds=subnet-1 --query cluster.arn --output text >&2
  "$root/scripts/steps/addon.sh"

  scene "The association of the service account with the role" \
    "The association is a record in EKS. The cluster itself contains no annotation and no secret."
  "$root/scripts/steps/association.sh"

  local pictures=3 listen=off look="It has a live page: scripts/rehearse.sh --pause leaves the time to look at it."
  # Whoever presses Enter can also open a browser in time.
  [[ -z $pause ]] || pictures=20 listen=127.0.0.1:8080 look="Now look at the live page, http://$listen/: it is there for 20 seconds."
  scene "The job: $pictures pictures" \
    "The program contains no code for this: the default chain of the SDK finds what the webhook injected." \
    "The first line of the log tells whose credentials the program uses." "$look"
  in_pod -- "$target/pod-identity-demo" --require-identity pod-identity --count "$pictures" --interval 1s --listen "$listen"
  run aws s3 ls "s3://$BUCKET" --recursive >&2

  scene "The identity, as the pod sees it" "The claims of the token, the providers of the chain, and the role that STS returns."
  in_pod --quiet -- "$target/pod-identity-demo" identity --require-identity pod-identity >&2

  scene "The role allows nothing else" "With the same identity, the AWS CLI is not allowed even to list the bucket that the job writes to."
  ! in_pod --quiet -- aws --ca-bundle "$AWS_CA_BUNDLE" s3api list-objects-v2 --bucket "$BUCKET" 2>"$scratch/refused" ||
    die "the role can list the bucket, but should not"
  say "$(<"$scratch/refused")"
  grep -q AccessDenied "$scratch/refused" || die "IAM should have refused this, but it failed for another reason"

  scene "Who gets access, by what the association sets" \
    "The role alone would also serve other workloads. Session tags, a session policy and a target role keep them out." \
    "Each cell is an upload to the bucket, tried with the credentials of whoever asks; IAM gives the reasons."
  run "$target/sandbox" matrix --emulator "$AWS_ENDPOINT_URL" >&2

  scene "A pod that was created before its association" \
    "The webhook injected nothing into this pod. Without its check, the program would silently use the node's role." \
    "Instead it exits with code 3 and tells why. In Kubernetes, the Job then creates a new pod."
  local status=0
  in_pod --quiet --injected none -- "$target/pod-identity-demo" --require-identity pod-identity --listen off || status=$?
  ((status == 3)) || die "the program should have exited with code 3, not $status"

  scene "Audit: which service accounts have which role" "Without a Kubernetes API, the audit reads only from AWS. With one, it checks each pod as well."
  "$root/scripts/audit.sh" --no-pods

  scene "Delete everything"
  "$root/scripts/down.sh"
  run aws eks delete-cluster --name "$CLUSTER_NAME" --query cluster.status --output text >&2
  run aws iam delete-role --role-name "$CLUSTER_NAME-cluster"
}

need cargo "install Rust, https://rustup.rs"
need jq "install it with your system's packages, or from https://jqlang.org"
command -v aws >/dev/null || { run "$root/scripts/dev/tools.sh" aws && PATH=$PATH:$root/.tools/aws/bin; }
run cargo build --locked --manifest-path "$root/Cargo.toml" --package pod-identity-demo --package sandbox
target=${CARGO_TARGET_DIR:-$root/target}/debug
scratch=$(mktemp -d "${TMPDIR:-/tmp}/pod-identity-demo.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

scene "An emulated AWS" "MiniStack on the loopback interface, which enforces IAM. The account contains only its root user."
emulate
# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
settle ACCOUNT_ID BUCKET
account_contents >"$scratch/before"
story

scene "Check that nothing is left" "Compares all buckets, policies, roles, providers, stacks, repositories and clusters of the account."
account_contents >"$scratch/after"
diff "$scratch/before" "$scratch/after" >&2 || die "the emulated account still contains the resources above"
say "Nothing is left: the account is as it was before."
pid=$EMULATOR_PID input=${EMULATOR[1]}
exec {input}>&-
wait "$pid" || true
