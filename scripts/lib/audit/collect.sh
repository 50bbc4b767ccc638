# shellcheck shell=bash
# What an audit reads, each into a file of $scratch. A fixed number of processes, whatever the size of
# the cluster; the calls are counted in docs/audit.md. Sourced by audit.sh, and so are its variables.
# shellcheck disable=SC2154

# More patience with throttling than the CLI's default.
export AWS_RETRY_MODE=${AWS_RETRY_MODE:-adaptive} AWS_MAX_ATTEMPTS=${AWS_MAX_ATTEMPTS:-8}

# The audit could not look, which is neither clean nor wrong.
failed() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 3
}

read_aws() {
  run aws eks describe-cluster --name "$CLUSTER_NAME" --region "$AWS_REGION" --output json >"$scratch/cluster" ||
    failed "cluster $CLUSTER_NAME cannot be described in $AWS_REGION (see above): check --cluster, --region and AWS_PROFILE"
  run aws eks list-pod-identity-associations --cluster-name "$CLUSTER_NAME" --region "$AWS_REGION" --output json >"$scratch/listed" ||
    failed "the associations cannot be listed (see above): allow eks:ListPodIdentityAssociations"
  describe_associations
  run aws iam get-account-authorization-details --filter Role LocalManagedPolicy AWSManagedPolicy --page-size 1000 \
    --output json >"$scratch/iam" ||
    failed "roles and policies cannot be read (see above): allow iam:GetAccountAuthorizationDetails"
}

# Listing gives no roles: each association must be described. A process of the AWS CLI for each would take
# half a second of CPU; one curl asks for all of them, and the CLI only for what it did not get.
describe_associations() {
  local -a missing
  mkdir "$scratch/described"
  jq -r '.associations[].associationId' "$scratch/listed" >"$scratch/ids"
  if [[ -s $scratch/ids ]]; then
    show aws eks describe-pod-identity-association --cluster-name "$CLUSTER_NAME" --region "$AWS_REGION" \
      --association-id "$(head -n 1 "$scratch/ids")"
    say "… and so on: $(($(wc -l <"$scratch/ids"))) in all"
  fi
  describe_at_once || true
  keep_missing
  if ((${#missing[@]} > 0)); then
    # The first alone: where this is refused, one line says so, and not five hundred.
    aws eks describe-pod-identity-association --cluster-name "$CLUSTER_NAME" --region "$AWS_REGION" \
      --association-id "${missing[0]}" --output json | jq -c . >"$scratch/described/${missing[0]}" ||
      failed "associations cannot be described (see above): allow eks:DescribePodIdentityAssociation; if one was deleted just now, run this again"
    # shellcheck disable=SC2016 # for the shell that xargs starts
    printf '%s\n' "${missing[@]:1}" | sed '/^$/d' | xargs -n 1 -P 8 sh -c \
      '[ -z "$3" ] || aws eks describe-pod-identity-association --cluster-name "$0" --region "$1" --association-id "$3" --output json | jq -c . >"$2/$3"' \
      "$CLUSTER_NAME" "$AWS_REGION" "$scratch/described" || true
    keep_missing
    ((${#missing[@]} == 0)) || failed "${#missing[@]} associations cannot be described: see above, and run this again"
  fi
  jq -s . "$scratch/had" >"$scratch/associations"
}

# Those of the list that are not described yet. EKS's answers and jq -c's are a line each.
keep_missing() {
  find "$scratch/described" -type f -exec awk 1 {} + |
    jq -cR 'fromjson? | .association | select(.associationId)' >"$scratch/had"
  mapfile -t missing < <(jq -r --slurpfile had "$scratch/had" '[.associations[].associationId] - [$had[].associationId] | .[]' "$scratch/listed")
}

# Needs a curl whose signature covers the session token's header, and an endpoint that is EKS's own or
# named in the environment; where that is not so, the CLI does it all, slower.
describe_at_once() {
  local endpoint=${AWS_ENDPOINT_URL_EKS:-${AWS_ENDPOINT_URL-}} version major minor
  [[ -z ${AWS_USE_FIPS_ENDPOINT-}${AWS_USE_DUALSTACK_ENDPOINT-}${AWS_IGNORE_CONFIGURED_ENDPOINT_URLS-} && -s $scratch/ids ]] || return
  version=$(curl --version 2>/dev/null | sed -n '1s/^curl \([0-9.]*\).*/\1/p')
  IFS=. read -r major minor _ <<<"$version"
  ((major > 7 || (major == 7 && minor >= 88))) || return
  if [[ -z $endpoint ]]; then
    ! grep -Eqs '^[[:space:]]*(endpoint_url|use_fips_endpoint|use_dualstack_endpoint)' "${AWS_CONFIG_FILE:-$HOME/.aws/config}" || return
    case $(jq -r '.cluster.arn | split(":")[1]' "$scratch/cluster") in
      aws | aws-us-gov) endpoint=https://eks.$AWS_REGION.amazonaws.com ;;
      aws-cn) endpoint=https://eks.$AWS_REGION.amazonaws.com.cn ;;
      *) return 1 ;;
    esac
  fi
  # Secrets go through the pipe alone: into no file, no variable, no process's words.
  credentials | jq -r --rawfile ids "$scratch/ids" --arg endpoint "${endpoint%/}" \
    --arg cluster "$CLUSTER_NAME" --arg folder "$scratch/described" --arg region "$AWS_REGION" --arg ca "${AWS_CA_BUNDLE-}" '
      def quoted: tojson;
      "user = \("\(.AccessKeyId):\(.SecretAccessKey)" | quoted)", "aws-sigv4 = \("aws:amz:\($region):eks" | quoted)",
      (.SessionToken // "" | select(. != "") | "header = \("x-amz-security-token: \(.)" | quoted)"),
      ($ca | select(. != "") | "cacert = \(quoted)"),
      ($ids | split("\n")[] | select(. != "")
        | "url = \("\($endpoint)/clusters/\($cluster)/pod-identity-associations/\(.)" | quoted)", "output = \("\($folder)/\(.)" | quoted)")' |
    curl --disable --silent --fail --parallel --parallel-max 8 --retry 6 --max-time 30 --config - 2>/dev/null
}

# As the default chain has it: the environment first.
credentials() {
  if [[ -n ${AWS_ACCESS_KEY_ID-} && -n ${AWS_SECRET_ACCESS_KEY-} ]]; then
    jq -n '{AccessKeyId: env.AWS_ACCESS_KEY_ID, SecretAccessKey: env.AWS_SECRET_ACCESS_KEY, SessionToken: env.AWS_SESSION_TOKEN}'
  else
    aws configure export-credentials --format process 2>/dev/null
  fi
}

# Pods, service accounts and namespaces, cut down to what is needed as they come. The kubeconfig is the
# audit's own, so that it cannot be another cluster's, unless a context was named.
read_kubernetes() {
  local -a kubectl=(kubectl)
  if [[ -n $context ]]; then
    kubectl+=(--context "$context")
  else
    run aws eks update-kubeconfig --name "$CLUSTER_NAME" --region "$AWS_REGION" \
      --kubeconfig "$scratch/kubeconfig" >/dev/null ||
      failed "no kubeconfig could be made for cluster $CLUSTER_NAME: see above"
    export KUBECONFIG=$scratch/kubeconfig
  fi
  read_list pods -L "$here" -f "$here/pods.jq"
  read_list serviceaccounts '[.items[].metadata | {namespace, name, role: (.annotations["eks.amazonaws.com/role-arn"] // null),
    audience: (.annotations["eks.amazonaws.com/audience"] // "sts.amazonaws.com")}]'
  read_list namespaces '[.items[].metadata.name]'
}

# read_list RESOURCE JQ-WORDS...
read_list() {
  local resource=$1
  local -a scope=(-A)
  shift
  [[ $resource != namespaces ]] || scope=()
  run "${kubectl[@]}" get "$resource" "${scope[@]+"${scope[@]}"}" -o json | jq -c "$@" >"$scratch/$resource" ||
    failed "$resource cannot be listed (see above): let kubectl reach cluster $CLUSTER_NAME, name a context with --context, or use --no-pods"
}

# What depends on the above: OIDC providers where there is IRSA, and documents of policies that the
# account's details did not have, for roles that matter.
read_rest() {
  local arn version
  echo '[]' >"$scratch/providers"
  if jq -e 'any(.[]?; .role)' "$scratch/serviceaccounts" >/dev/null; then
    run aws iam list-open-id-connect-providers --query OpenIDConnectProviderList --output json >"$scratch/providers" ||
      failed "OIDC providers cannot be listed (see above): allow iam:ListOpenIDConnectProviders"
  fi
  jq -r --slurpfile associations "$scratch/associations" --slurpfile accounts "$scratch/serviceaccounts" '
    ([$associations[0][] | .roleArn, .targetRoleArn] + [$accounts[0] // [] | .[] | .role] | map(select(.) | {key: ., value: true}) | from_entries) as $roles
    | ([.Policies[] | {key: .Arn, value: true}] | from_entries) as $had
    | [.RoleDetailList[] | select($roles[.Arn]) | .AttachedManagedPolicies[]? | .PolicyArn | select($had[.] | not)] | unique[]' \
    "$scratch/iam" >"$scratch/more"
  while read -r arn; do
    version=$(aws iam get-policy --policy-arn "$arn" --query Policy.DefaultVersionId --output text) || continue
    run aws iam get-policy-version --policy-arn "$arn" --version-id "$version" --output json </dev/null |
      jq --arg arn "$arn" '{Arn: $arn, PolicyVersionList: [.PolicyVersion]}' >>"$scratch/policies"
  done <"$scratch/more"
  [[ ! -e $scratch/policies ]] ||
    jq --slurpfile more "$scratch/policies" '.Policies += $more' "$scratch/iam" >"$scratch/iam.new"
  [[ ! -e $scratch/iam.new ]] || mv "$scratch/iam.new" "$scratch/iam"
}
