#!/usr/bin/env bash
# Fills in the manifests, so that `kubectl apply -k` works as it stands:
#
#   scripts/steps/manifests.sh OVERLAY [COMPONENT...]
#
# Overlays: eks (Pod Identity), irsa, fleet (FLEET_SIZE pods, 10 by default), and
# localstack (any cluster, no AWS). Components: require-pod-identity,
# network-policy, monitoring. Writes k8s/filled/OVERLAY/kustomization.yaml on top
# of k8s/overlays/OVERLAY, with namespace, service account, bucket, region and
# image from scripts/lib/settings.sh, and prints that folder. Changes nothing else.
#
# It asks AWS which account this is, unless BUCKET and IMAGE are given;
# localstack needs neither: a bucket of its own, and an image loaded into the
# cluster by scripts/steps/image.sh.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"

# matches NAME PATTERN EXAMPLE: the setting is what can be written into YAML.
matches() {
  local LC_ALL=C # a-z is 26 letters
  [[ ${!1} =~ ^($2)$ ]] || die "$1 is $(printf %q "${!1}"): it must be like $3"
}

# image: IMAGE as kustomize has it, taken apart into name, tag and digest.
image() {
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

# replace KIND PATH VALUE [PATH VALUE...]: a patch; values are quoted as they are to be.
replace() {
  printf '  - target: {kind: %s, name: pod-identity-demo.*}\n    patch: |\n' "$1"
  shift
  printf '      - {op: replace, path: %s, value: %s}\n' "$@"
}

# up PATH: as many steps up as the path has down.
up() {
  sed 's,/[^/][^/]*,/..,g; s,^/,,' <<<"$1"
}

# kustomization UP COMPONENT...: UP leads from its folder to the project's.
kustomization() {
  local up=$1 component
  shift
  printf '%s\n' "# Written by scripts/steps/manifests.sh, and written anew each time." \
    "apiVersion: kustomize.config.k8s.io/v1beta1" "kind: Kustomization" "namespace: $NAMESPACE" \
    "images:" "  - $(image)" "resources:" "  - $up/k8s/overlays/$overlay"
  if (($# > 0)); then echo "components:"; fi
  for component in "$@"; do echo "  - $up/k8s/components/$component"; done
  echo "patches:"
  replace ConfigMap /data/S3_BUCKET_NAME "\"$BUCKET\"" /data/AWS_REGION "\"$AWS_REGION\""
  replace Job /spec/template/spec/serviceAccountName "\"$account\""
  case $overlay in
    irsa) ;; # its service account is eksctl's
    *) replace ServiceAccount /metadata/name "\"$account\"" ;;
  esac
  case $overlay in
    fleet) replace Job /spec/completions "$FLEET_SIZE" /spec/parallelism "$FLEET_SIZE" ;;
  esac
  case " $* " in
    *" require-pod-identity "*) cluster_scoped ;;
  esac
}

# kustomize takes the policy and its binding for namespaced, as its list of kinds
# is older than they are: away with the namespace that it gives them.
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
      - {op: remove, path: /metadata/namespace}
EOF
}

case ${1-} in
  -h | --help) usage && exit ;;
  eks | irsa | fleet | localstack) overlay=$1 ;;
  '') die "which overlay? eks, irsa, fleet or localstack (--help says more)" ;;
  *) die "there is no overlay $1: choose eks, irsa, fleet or localstack" ;;
esac
shift
for component in "$@"; do
  case $overlay/$component in
    */monitoring | eks/require-pod-identity | fleet/require-pod-identity) ;;
    */require-pod-identity) die "require-pod-identity is for eks and fleet: the pods of $overlay have no Pod Identity" ;;
    localstack/network-policy) die "network-policy lets nobody reach LocalStack: leave it out, or choose another overlay" ;;
    */network-policy) ;;
    *) die "there is no component '$component': choose among require-pod-identity, network-policy and monitoring" ;;
  esac
done

account=$SERVICE_ACCOUNT
case $overlay in
  localstack)
    BUCKET=${BUCKET:-pod-identity-demo}
    IMAGE=${IMAGE:-${REPOSITORY:-pod-identity-demo}:$(image_tag)}
    ;;
  irsa) account=$IRSA_SERVICE_ACCOUNT ;;
esac
settle BUCKET IMAGE
FLEET_SIZE=${FLEET_SIZE:-10}

label='[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
matches NAMESPACE "$label" pod-identity-demo
matches SERVICE_ACCOUNT "$label(\\.$label)*" pod-identity-demo
matches IRSA_SERVICE_ACCOUNT "$label(\\.$label)*" pod-identity-demo-irsa
matches BUCKET '[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]|arn:[a-z0-9:/._-]+' my-bucket
matches AWS_REGION '[a-z]+(-[a-z]+)+-[0-9]+' us-east-1
matches IMAGE '[A-Za-z0-9._:/-]+(@sha256:[0-9a-f]{64})?' registry.example/pod-identity-demo:0.1.0
matches FLEET_SIZE '[1-9][0-9]{0,4}' 10

cd "$root"
mkdir -p "$FILLED/$overlay"
folder=$(cd "$FILLED/$overlay" && pwd -P)
# kustomize wants the way there as a relative path.
case $folder in
  "$root"/*) to_root=$(up "/${folder#"$root"/}") ;;
  *) to_root=$(up "$folder")$root ;;
esac
kustomization "$to_root" "$@" >"$folder/kustomization.new"
mv "$folder/kustomization.new" "$folder/kustomization.yaml"
say "filled in: $overlay for namespace $NAMESPACE, service account $account, bucket $BUCKET in $AWS_REGION, image $IMAGE"
if [[ $OLDPWD == "$root" ]]; then echo "$FILLED/$overlay"; else echo "$folder"; fi
