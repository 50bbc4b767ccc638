#!/usr/bin/env bash
# The whole story on this machine, with no AWS account: an emulated AWS that
# enforces IAM (MiniStack, from PyPI), and in it the real scripts, with the real
# AWS CLI, and the real program, whose credentials come over the agent's protocol
# from the association that the scripts made. At the end nothing is left.
#
#   scripts/rehearse.sh [--pause] [--kubernetes]
#
#   --pause        waits for Enter before each scene
#   --kubernetes   scripts/up.sh and all steps inside a cluster as well: with the
#                  eksctl and kubectl on your PATH, against the emulated AWS
#
# It needs Rust, Python and jq, and the AWS CLI, which is taken from PyPI where it
# is missing. It takes two minutes once all is built, and costs nothing.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

pause='' kubernetes='' number=0
for word in "$@"; do
  case $word in
    -h | --help) usage && exit ;;
    --pause) pause=yes ;;
    --kubernetes) kubernetes=yes ;;
    *) die "unknown argument $word; the arguments are [--pause] [--kubernetes] (--help says more)" ;;
  esac
done

# scene TITLE SENTENCE...: what comes, and what to look at.
scene() {
  say "" "━━ $((++number)). $1" "${@:2}" ""
  [[ -z $pause ]] || read -rp '   Enter goes on. ' _ </dev/tty
}

# The emulated AWS, in a process group of its own: Ctrl-C is for this script,
# and the emulator ends when this script has.
emulate() {
  local url certificate
  set -m
  coproc EMULATOR { exec "$root/scripts/dev/ministack.sh" --tls --until-stdin-closes; }
  set +m
  read -r _ url certificate <&"${EMULATOR[0]}" || die "the emulated AWS did not start: see above"
  # Nothing of the caller's gets in: no profile, no keys, no names, no other cluster.
  local name
  for name in "${!AWS_@}"; do unset "$name"; done
  unset ACCOUNT_ID BUCKET CLUSTER_NAME NAMESPACE SERVICE_ACCOUNT IRSA_SERVICE_ACCOUNT POLICY_NAME POLICY_ARN \
    IRSA_POLICY_NAME IRSA_POLICY_ARN REPOSITORY TAG_VALUE CHECKED DRY_RUN
  export AWS_ENDPOINT_URL=$url AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
  # Over TLS, because the bucket's policy insists: trusted by the CLI, and by the program.
  export AWS_CA_BUNDLE=$certificate SSL_CERT_FILE=$certificate
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
  export KUBECONFIG=$scratch/kubeconfig FILLED=$scratch/filled POLL_PAUSE=1 LAG=10
}

# All that the account holds of what the scripts make, a line each.
account() {
  aws s3api list-buckets --query 'Buckets[].["bucket", Name]' --output text
  aws iam list-policies --scope Local --query 'Policies[].["policy", Arn]' --output text
  aws iam list-roles --query 'Roles[].["role", Arn]' --output text
  aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].["provider", Arn]' --output text
  aws cloudformation list-stacks --query "StackSummaries[?StackStatus != 'DELETE_COMPLETE'].['stack', StackName]" --output text
  aws ecr describe-repositories --query 'repositories[].["repository", repositoryName]' --output text
  aws eks list-clusters --query 'clusters[].["cluster", @]' --output text
}

# in_pod WORDS... -- COMMAND...: the command as in a pod of the job's service
# account: with what the webhook injects there, and the emulated AWS around it.
in_pod() {
  "$target/sandbox" --emulator "$AWS_ENDPOINT_URL" --cluster "$CLUSTER_NAME" --region "$AWS_REGION" --bucket "$BUCKET" \
    --namespace "$NAMESPACE" --service-account "$SERVICE_ACCOUNT" --pod pod-identity-demo-1 "$@"
}

# The steps outside of Kubernetes, one by one, and the job as a process of this machine.
story() {
  export KUBERNETES=none WITH=aws
  scene "A bucket, and who may do what in it" \
    "The policy allows two actions, on this bucket alone, and only to sessions whose tags say" \
    "that they are this service account of this cluster. Look at the printed commands: they are what you would type."
  "$root/scripts/steps/bucket.sh"
  "$root/scripts/steps/policy.sh"
  run cat "$FILLED/pod-identity.json" >&2

  scene "A cluster, with the Pod Identity Agent as an add-on" \
    "Here the cluster is a record in the emulated EKS; on AWS, scripts/steps/cluster.sh makes one in 15 minutes."
  run aws iam create-role --role-name "$CLUSTER_NAME-cluster" --query Role.Arn --output text --assume-role-policy-document \
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"eks.amazonaws.com"},"Action":"sts:AssumeRole"}]}' >&2
  run aws eks create-cluster --name "$CLUSTER_NAME" --role-arn "arn:aws:iam::$ACCOUNT_ID:role/$CLUSTER_NAME-cluster" \
    --resources-vpc-config subnetIds=subnet-1 --query cluster.arn --output text >&2
  "$root/scripts/steps/addon.sh"

  scene "The association: this service account gets that role" \
    "It is a record in EKS. Nothing is written into the cluster: no annotation, no secret."
  "$root/scripts/steps/association.sh"

  scene "The job: three pictures" \
    "The program knows nothing of all this: it asks the SDK's default chain, which finds what was injected." \
    "Look at the first log line, which says whose credentials these are."
  in_pod -- "$target/pod-identity-demo" --require-identity pod-identity --count 3 --interval 1s --listen off
  run aws s3 ls "s3://$BUCKET" --recursive >&2

  scene "Who is it, from inside?" "The token's claims, the chain's providers, and the role that STS names."
  in_pod --quiet -- "$target/pod-identity-demo" identity --require-identity pod-identity >&2

  scene "What else may it do? Nothing." "The same identity, and the AWS CLI: listing the bucket that it writes to is refused."
  ! in_pod --quiet -- aws --ca-bundle "$AWS_CA_BUNDLE" s3api list-objects-v2 --bucket "$BUCKET" 2>"$scratch/refused" ||
    die "the role may list the bucket, and should not"
  say "$(<"$scratch/refused")"
  grep -q AccessDenied "$scratch/refused" || die "that was to be refused by IAM, and failed otherwise"

  scene "A pod that was created before its association" \
    "The webhook has injected nothing, and without the guard the job would take the node's role, silently." \
    "With it, it ends with exit code 3 and says why; in Kubernetes the Job then makes a new pod."
  local status=0
  in_pod --quiet --injected none -- "$target/pod-identity-demo" --require-identity pod-identity --listen off || status=$?
  ((status == 3)) || die "that was to end with exit code 3, not $status"

  scene "Audit: who has which role, and is it right?" "Without a Kubernetes API it looks at AWS alone; with one, at each pod as well."
  "$root/scripts/audit.sh" --no-pods

  scene "And back to nothing"
  "$root/scripts/down.sh"
  run aws eks delete-cluster --name "$CLUSTER_NAME" --query cluster.status --output text >&2
  run aws iam delete-role --role-name "$CLUSTER_NAME-cluster"
}

# The same, by the scripts for all of it.
story_in_kubernetes() {
  export IMAGE=${IMAGE:-pod-identity-demo:rehearsal}
  scene "From nothing to the job at work: scripts/up.sh" "Bucket, policies, cluster, add-on, association, job."
  "$root/scripts/up.sh"
  scene "One screen: scripts/status.sh"
  "$root/scripts/status.sh"
  scene "Inside Pod Identity: scripts/inspect.sh"
  "$root/scripts/inspect.sh"
  scene "IRSA beside it: scripts/compare.sh"
  "$root/scripts/compare.sh"
  scene "Who has which role: scripts/audit.sh"
  "$root/scripts/audit.sh"
  scene "And back to nothing: scripts/down.sh"
  "$root/scripts/down.sh"
}

need cargo "install Rust, https://rustup.rs"
need jq "install it with your system's packages, or from https://jqlang.org"
command -v aws >/dev/null || { run "$root/scripts/dev/tools.sh" lint && PATH=$PATH:$root/.tools/lint/bin; }
run cargo build --locked --manifest-path "$root/Cargo.toml" --package pod-identity-demo --package sandbox
target=${CARGO_TARGET_DIR:-$root/target}/debug
scratch=$(mktemp -d "${TMPDIR:-/tmp}/pod-identity-demo.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

scene "An AWS of one's own" "MiniStack, on loopback, with IAM in force. It knows nothing yet but its root user."
emulate
# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
settle ACCOUNT_ID BUCKET
account >"$scratch/before"
if [[ -n $kubernetes ]]; then
  story_in_kubernetes
else
  story
fi

scene "Is anything left?" "All buckets, policies, roles, providers, stacks, repositories and clusters of the account, before and after."
account >"$scratch/after"
diff "$scratch/before" "$scratch/after" >&2 || die "that is left in the emulated account"
say "Nothing is left: the account is as it was before."
pid=$EMULATOR_PID input=${EMULATOR[1]}
exec {input}>&-
wait "$pid" || true
