#!/usr/bin/env bash
# Fills in the manifests, so that `kubectl apply -k` can apply them.
#
#   scripts/steps/manifests.sh OVERLAY [COMPONENT...]
#
# Overlays: eks (Pod Identity), irsa, fleet (FLEET_SIZE pods, 10 by default), and
# localstack (any cluster, no AWS). Components: require-pod-identity, monitoring, and
# network-policy or, with Cilium, network-policy-cilium. Writes
# k8s/filled/OVERLAY/kustomization.yaml, which builds on k8s/overlays/OVERLAY and sets
# namespace, service account, bucket, region and image from scripts/lib/settings.sh.
# Prints that folder; changes nothing else.
#
# The pods run only on nodes of the architecture that ARCHITECTURE names: amd64 by
# default, arm64, or any. In the overlay localstack they run on all nodes.
#
# SETTINGS adds settings of the program to the ConfigMap, such as
# "INTERVAL=10s IMAGE_URL=https://example.com/photo.jpg"; docs/settings.md lists them, and
# docs/operations.md those that the manifests fix.
#
# Asks AWS for the account, unless BUCKET and IMAGE are set. The overlay localstack
# requires neither: it has its own bucket, and uses an image that
# scripts/steps/image.sh has loaded into the cluster.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"

# image_entry: prints IMAGE as an entry of a kustomization: name, tag or digest.
image_entry() {
  local name=${IMAGE%%@*} tag=''
  if [[ ${name##*/} == *:* ]]; then
    tag=${name##*:}
    name=${name%:*}
  fi
  case $IMAGE in
    *@*) echo "{name: pod-identity-demo, newName: \"$name\", digest: \"${IMAGE#*@}\"}" ;;
    *) echo "{name: pod-identity-demo, newName: \"$name\", newTag: \"${tag:-latest}\"}" ;;
  esac
}

# replace KIND PATH VALUE [PATH VALUE...]: prints a patch. The caller quotes the values.
replace() {
  printf '  - target: {kind: %s, name: pod-identity-demo.*}\n    patch: |\n' "$1"
  shift
  printf '      - {op: replace, path: %s, value: %s}\n' "$@"
}

# allowed NAME VALUE: ends the script if SETTINGS cannot have this setting: a variable in
# `env` overrides the ConfigMap, and the kubelet asks the program at a fixed address.
allowed() {
  local file=''
  case $overlay/$1 in
    */S3_BUCKET_NAME) die "SETTINGS contains S3_BUCKET_NAME: remove it there, and set BUCKET in the environment" ;;
    */AWS_REGION) die "SETTINGS contains AWS_REGION: remove it there, and set AWS_REGION in the environment" ;;
    */LISTEN_ADDR)
      [[ $2 == 0.0.0.0:8080 || $2 == '[::]:8080' ]] ||
        die "SETTINGS contains LISTEN_ADDR=$2: remove it, because the probes of the pod need port 8080 on all addresses"
      ;;
    */POD_NAME | */SKIP_CONTAINERS) file=base/job.yaml ;;
    fleet/REQUIRE_IDENTITY) file=overlays/eks/job.yaml ;;
    fleet/S3_KEY_PREFIX | fleet/JOB_COMPLETION_INDEX) file=overlays/fleet/kustomization.yaml ;;
    */REQUIRE_IDENTITY) file=overlays/$overlay/job.yaml ;;
    localstack/STARTUP_GRACE | localstack/AWS_DEFAULT_REGION | localstack/AWS_ENDPOINT_URL | localstack/AWS_ROLE_ARN | \
      localstack/AWS_STS_REGIONAL_ENDPOINTS | localstack/AWS_WEB_IDENTITY_TOKEN_FILE) file=overlays/localstack/job.yaml ;;
  esac
  [[ -z $file ]] || die "SETTINGS contains $1, which would have no effect, because k8s/$file sets it: remove it, or change that file"
}

# settings: prints patches that add SETTINGS to the ConfigMap.
settings() {
  local setting name value
  # shellcheck disable=SC2086 # SETTINGS is a list
  for setting in ${SETTINGS-}; do
    [[ $setting =~ ^([A-Z][A-Z0-9_]*)=([][A-Za-z0-9._:/?\&=%@,+~-]*)$ ]] || die "SETTINGS contains $(printf %q "$setting"): it must be a list of NAME=VALUE, separated by spaces"
    name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    allowed "$name" "$value"
    printf '  - target: {kind: ConfigMap, name: pod-identity-demo.*}\n    patch: |\n      - {op: add, path: /data/%s, value: "%s"}\n' "$name" "$value"
  done
}

# node_architecture: prints a patch that selects the nodes whose architecture the image has.
node_architecture() {
  [[ $ARCHITECTURE != any && $overlay != localstack ]] || return 0
  printf '  - target: {kind: Job, name: pod-identity-demo.*}\n    patch: |\n      - {op: add, path: /spec/template/spec/nodeSelector/kubernetes.io~1arch, value: %s}\n' \
    "$ARCHITECTURE"
}

# way_up PATH: prints the relative path from PATH up to its first folder.
way_up() {
  sed 's,/[^/][^/]*,/..,g; s,^/,,' <<<"$1"
}

# kustomization UP COMPONENT...: prints the file. UP is the relative path from its
# folder to the project.
kustomization() {
  local up=$1 component
  shift
  printf '%s\n' "# Written by scripts/steps/manifests.sh, which overwrites it." \
    "apiVersion: kustomize.config.k8s.io/v1beta1" "kind: Kustomization" "namespace: $NAMESPACE" \
    "images:" "  - $(image_entry)" "resources:" "  - $up/k8s/overlays/$overlay"
  if (($# > 0)); then echo "components:"; fi
  for component in "$@"; do echo "  - $up/k8s/components/$component"; done
  echo "patches:"
  replace ConfigMap /data/S3_BUCKET_NAME "\"$BUCKET\"" /data/AWS_REGION "\"$AWS_REGION\""
  [[ -z $added ]] || printf '%s\n' "$added"
  replace Job /spec/template/spec/serviceAccountName "\"$account\""
  node_architecture
  case $overlay in
    irsa) ;; # eksctl creates its service account
    *) replace ServiceAccount /metadata/name "\"$account\"" ;;
  esac
  case $overlay in
    fleet) replace Job /spec/completions "$FLEET_SIZE" /spec/parallelism "$FLEET_SIZE" ;;
  esac
  [[ $NAMESPACE != default ]] || in_default "$@"
  case " $* " in
    *" require-pod-identity "*) cluster_scoped ;;
  esac
}

# in_default COMPONENT...: prints the patches for the namespace `default`. It is not
# ours, so the manifests neither contain it nor set its labels.
in_default() {
  # shellcheck disable=SC2016 # kustomize's directive
  printf '  - target: {kind: Namespace}\n    patch: |\n      %s\n' '{$patch: delete, apiVersion: v1, kind: Namespace, metadata: {name: default}}'
  case " $* " in
    *" require-pod-identity "*)
      replace ValidatingAdmissionPolicyBinding /spec/matchResources/namespaceSelector/matchLabels '{kubernetes.io/metadata.name: default}'
      ;;
  esac
}

# cluster_scoped: prints a patch that removes the namespace of the policy and its
# binding. kustomize adds one, because it does not know that these kinds have none;
# later versions do not (kubernetes-sigs/kustomize issue 6056), and would fail to
# remove what is not there, so the patch adds it first. A merge patch with null
# changes nothing: kustomize restores the namespace after it.
cluster_scoped() {
  cat <<'EOF'
transformers:
  - |
    apiVersion: builtin
    kind: PatchTransformer
    metadata:
      name: cluster-scoped
    target:
      kind: ValidatingAdmissionPolicy.*
    patch: |
      - {op: add, path: /metadata/namespace, value: none}
      - {op: remove, path: /metadata/namespace}
EOF
}

case ${1-} in
  -h | --help) usage && exit ;;
  eks | irsa | fleet | localstack) overlay=$1 ;;
  '') die "missing argument: the overlay eks, irsa, fleet or localstack (see --help)" ;;
  *) die "unknown overlay $1: choose eks, irsa, fleet or localstack" ;;
esac
shift
for component in "$@"; do
  case $overlay/$component in
    */monitoring | eks/require-pod-identity | fleet/require-pod-identity) ;;
    */require-pod-identity) die "require-pod-identity is for eks and fleet: the pods of $overlay have no Pod Identity" ;;
    localstack/network-policy*) die "network-policy would block the traffic to LocalStack: omit it, or choose another overlay" ;;
    */network-policy | */network-policy-cilium)
      [[ " $* " != *" network-policy "* || " $* " != *" network-policy-cilium "* ]] ||
        die "network-policy-cilium contains network-policy: omit one of them"
      ;;
    *) die "unknown component '$component': choose from require-pod-identity, network-policy, network-policy-cilium and monitoring" ;;
  esac
done

account=$SERVICE_ACCOUNT
case $overlay in
  localstack)
    BUCKET=${BUCKET:-pod-identity-demo}
    IMAGE=${IMAGE:-$(image_in "${REPOSITORY:-pod-identity-demo}")}
    ;;
  irsa) account=$IRSA_SERVICE_ACCOUNT ;;
esac
settle BUCKET IMAGE
added=$(settings)

cd "$root"
mkdir -p "$FILLED/$overlay"
folder=$(cd "$FILLED/$overlay" && pwd -P)
# kustomize accepts only a relative path.
case $folder in
  "$root"/*) to_root=$(way_up "/${folder#"$root"/}") ;;
  *) to_root=$(way_up "$folder")$root ;;
esac
kustomization "$to_root" "$@" >"$folder/kustomization.new"
mv "$folder/kustomization.new" "$folder/kustomization.yaml"
say "filled in: $overlay for namespace $NAMESPACE, service account $account, bucket $BUCKET in $AWS_REGION, image $IMAGE"
if [[ $OLDPWD == "$root" ]]; then echo "$FILLED/$overlay"; else echo "$folder"; fi
