# shellcheck shell=bash
# Functions that read what an audit needs, each into a file in $scratch. The number of processes does not
# depend on the size of the cluster; docs/audit.md lists the calls. audit.sh sources this file and sets its variables.
# shellcheck disable=SC2154

# Retry throttled calls more often than the CLI does by default.
export AWS_RETRY_MODE=${AWS_RETRY_MODE:-adaptive} AWS_MAX_ATTEMPTS=${AWS_MAX_ATTEMPTS:-8}

# cannot_audit MESSAGE: ends the script with exit code 3, which means that the audit could not be completed.
cannot_audit() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 3
}

read_aws() {
  run aws eks describe-cluster --name "$CLUSTER_NAME" --region "$AWS_REGION" --output json >"$scratch/cluster" ||
    cannot_audit "cluster $CLUSTER_NAME cannot be described in $AWS_REGION (see above): check --cluster, --region and AWS_PROFILE"
  run aws eks list-pod-identity-associations --cluster-name "$CLUSTER_NAME" --region "$AWS_REGION" --output json >"$scratch/listed" ||
    cannot_audit "the associations cannot be listed (see above): allow eks:ListPodIdentityAssociations"
  describe_associations
  run aws iam get-account-authorization-details --filter Role LocalManagedPolicy AWSManagedPolicy --page-size 1000 \
    --output json >"$scratch/iam" ||
    cannot_audit "roles and policies cannot be read (see above): allow iam:GetAccountAuthorizationDetails"
}

# The list of associations does not contain roles, so each association must be described. The AWS CLI would
# take half a second of CPU for each; so one curl requests all of them, and the CLI only those that curl could not get.
describe_associations() {
  local -a missing
  mkdir "$scratch/described"
  jq -r '.associations[].associationId' "$scratch/listed" >"$scratch/ids"
  if [[ -s $scratch/ids ]]; then
    show aws eks describe-pod-identity-association --cluster-name "$CLUSTER_NAME" --region "$AWS_REGION" \
      --association-id "$(head -n 1 "$scratch/ids")"
    say "… and the same for each of the others: $(($(wc -l <"$scratch/ids"))) associations in total"
  fi
  describe_at_once || true
  keep_missing
  if ((${#missing[@]} > 0)); then
    # Try the first one alone, so that a missing permission leads to one message instead of one for each association.
    aws eks describe-pod-identity-association --cluster-name "$CLUSTER_NAME" --region "$AWS_REGION" \
      --association-id "${missing[0]}" --output json | jq -c . >"$scratch/described/${missing[0]}" ||
      cannot_audit "associations cannot be described (see above): allow eks:DescribePodIdentityAssociation; if one was deleted meanwhile, run this again"
    # shellcheck disable=SC2016 # for the shell that xargs starts
    printf '%s\n' "${missing[@]:1}" | sed '/^$/d' | xargs -n 1 -P 8 sh -c \
      '[ -z "$3" ] || aws eks describe-pod-identity-association --cluster-name "$0" --region "$1" --association-id "$3" --output json | jq -c . >"$2/$3"' \
      "$CLUSTER_NAME" "$AWS_REGION" "$scratch/described" || true
    keep_missing
    ((${#missing[@]} == 0)) || cannot_audit "${#missing[@]} associations cannot be described: see above, and run this again"
  fi
  jq -s . "$scratch/had" >"$scratch/associations"
}

# keep_missing: sets `missing` to the listed associations that are not described yet. Each description is one line.
keep_missing() {
  find "$scratch/described" -type f -exec awk 1 {} + |
    jq -cR 'fromjson? | .association | select(.associationId)' >"$scratch/had"
  mapfile -t missing < <(jq -r --slurpfile had "$scratch/had" '[.associations[].associationId] - [$had[].associationId] | .[]' "$scratch/listed")
}

# describe_at_once: describes all associations with one curl process. Requires a version of curl that signs the header
# with the session token, and an endpoint that is EKS's own or is set in the environment. Otherwise it returns an
# error, and the CLI makes all the calls, which takes longer.
describe_at_once() {
  local endpoint=${AWS_ENDPOINT_URL_EKS:-${AWS_ENDPOINT_URL-}} version major minor
  [[ -z ${AWS_USE_FIPS_ENDPOINT-}${AWS_USE_DUALSTACK_ENDPOINT-}${AWS_IGNORE_CONFIGURED_ENDPOINT_URLS-} && -s $scratch/ids ]] || return
  version=$(curl --version 2>/dev/null | sed -n '1s/^curl \([0-9.]*\).*/\1/p')
  IFS=. read -r major minor _ <<<"$version"
  ((major > 7 || (major == 7 && minor >= 88))) || return
  if [[ -z $endpoint ]]; then
    ! grep -Eqs '^[[:space:]]*(endpoint_url|use_fips_endpoint|use_dualstack_endpoint)' "${AWS_CONFIG_FILE:-$HOME/.aws/config}" || return
    read -r _ endpoint <<<"$(partition_of "$AWS_REGION")"
    endpoint=https://eks.$AWS_REGION.$endpoint
  fi
  # Pass secrets only through the pipe, never through a file, a variable or a command line.
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

# Prints the credentials in the order of the default chain: the environment comes first.
credentials() {
  if [[ -n ${AWS_ACCESS_KEY_ID-} && -n ${AWS_SECRET_ACCESS_KEY-} ]]; then
    jq -n '{AccessKeyId: env.AWS_ACCESS_KEY_ID, SecretAccessKey: env.AWS_SECRET_ACCESS_KEY, SessionToken: env.AWS_SESSION_TOKEN}'
  else
    aws configure export-credentials --format process 2>/dev/null
  fi
}

# Reads pods, service accounts and namespaces, and keeps only the fields that are needed. Without --context, it
# writes its own kubeconfig, so that it cannot read from another cluster.
read_kubernetes() {
  local -a kubectl=(kubectl)
  if [[ -n $context ]]; then
    kubectl+=(--context "$context")
  else
    run aws eks update-kubeconfig --name "$CLUSTER_NAME" --region "$AWS_REGION" \
      --kubeconfig "$scratch/kubeconfig" >/dev/null ||
      cannot_audit "cannot write a kubeconfig for cluster $CLUSTER_NAME: see above"
    export KUBECONFIG=$scratch/kubeconfig
  fi
  read_list pods -L "$here" -f "$here/pods.jq"
  read_list serviceaccounts '[.items[].metadata | {namespace, name, role: (.annotations["eks.amazonaws.com/role-arn"] // null),
    audience: (.annotations["eks.amazonaws.com/audience"] // "sts.amazonaws.com")}]'
  read_list namespaces '[.items[].metadata.name]'
}

# read_list RESOURCE JQ-ARGUMENT...
read_list() {
  local resource=$1
  local -a scope=(-A)
  shift
  [[ $resource != namespaces ]] || scope=()
  run "${kubectl[@]}" get "$resource" "${scope[@]+"${scope[@]}"}" -o json | jq -c "$@" >"$scratch/$resource" ||
    cannot_audit "$resource cannot be listed (see above): let kubectl reach cluster $CLUSTER_NAME, name a context with --context, or use --no-pods"
}

# Reads what depends on the above: OIDC providers if there is IRSA, and the documents of attached policies
# that GetAccountAuthorizationDetails did not return.
read_rest() {
  local arn version
  echo '[]' >"$scratch/providers"
  if jq -e 'any(.[]?; .role)' "$scratch/serviceaccounts" >/dev/null; then
    run aws iam list-open-id-connect-providers --query OpenIDConnectProviderList --output json >"$scratch/providers" ||
      cannot_audit "OIDC providers cannot be listed (see above): allow iam:ListOpenIDConnectProviders"
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
