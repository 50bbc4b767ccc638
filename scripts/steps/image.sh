#!/usr/bin/env bash
# The image, with docker, podman or buildah, whichever is there:
#
#   scripts/steps/image.sh build [--platform OS/ARCH] [--dry-run] [-- WORDS FOR THE BUILD...]
#   scripts/steps/image.sh push  [the same]
#   scripts/steps/image.sh load  [kind|k3d|minikube] [the same]
#
# build tags it REPOSITORY:VERSION-COMMIT and REPOSITORY:VERSION, and prints the
# former to stdout. push sends that one, because a registry's tags may be immutable,
# to REPOSITORY, by default the account's ECR, where it makes the repository if
# there is none, scanned on push, and logs in.
# load puts the image into the cluster of the current kubectl context, or of the
# kind given (CLUSTER_NAME names it). Both build first what is not there yet.
#
# REPOSITORY, IMAGE (all of the former) and CONTAINER_TOOL override.
# It needs no AWS to build. An ECR repository costs $0.10 per GB and month: $0.001.
#
# Without --platform the image is for this machine's. Another one needs QEMU's
# binfmt handlers, and half an hour: better to build on such a machine.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

# The first that is there; docker only where its daemon answers.
find_tool() {
  local tool
  for tool in ${CONTAINER_TOOL-docker podman buildah}; do
    command -v "$tool" >/dev/null || continue
    [[ ${tool##*/} != docker ]] || docker version >/dev/null 2>&1 || continue
    echo "$tool" && return
  done
  die "no ${CONTAINER_TOOL-docker (with its daemon running), podman or buildah} here: install one, or name yours in CONTAINER_TOOL"
}

# For what the container tool does; `change` is for AWS.
act() {
  show "$@"
  [[ -n $dry_run ]] || "$@" >&2 || die "that command failed: its own words are above"
}

# Where the source is published, as a page: what origin is, without its credentials.
source_url() {
  git -C "$root" remote get-url origin 2>/dev/null |
    sed -n 's|^git@\([^:]*\):|https://\1/|; s|\.git$||; s|^https://\([^/]*@\)\{0,1\}|https://|p' || true
}

# The commit's own time, not the clock's: the same source makes the same labels.
created() {
  TZ=UTC git -C "$root" log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || true
}

build() {
  local version=${tag%-*} options=(--tag "$IMAGE")
  [[ $IMAGE != *:"$tag" ]] || options+=(--tag "$repository:$version")
  [[ -z $platform ]] || options+=(--platform "$platform")
  [[ ${tool##*/} != buildah ]] || options+=(--layers) # the others keep them anyway
  act "$tool" build "${options[@]}" --build-arg "VERSION=$version" --build-arg "GIT_COMMIT=${tag##*-}" \
    --build-arg "CREATED=$(created)" --build-arg "SOURCE=$(source_url)" ${words[@]+"${words[@]}"} "$root"
}

# The image is in the tool's own storage.
have_image() {
  case ${tool##*/} in
    buildah) "$tool" inspect --type image "$IMAGE" ;;
    *) "$tool" image inspect "$IMAGE" ;;
  esac >/dev/null 2>&1
}

# ECR wants the repository to be there first; other registries make theirs on the first push.
ecr() {
  local host=${repository%%/*} region
  region=${host#*.ecr.} region=${region%%.*}
  REPOSITORY=$repository "$root/scripts/steps/registry.sh"
  say "$(show aws ecr get-login-password --region "$region" 2>&1) | $tool login --username AWS --password-stdin $host"
  [[ -z $dry_run ]] || return 0
  aws ecr get-login-password --region "$region" | "$tool" login --username AWS --password-stdin "$host" >&2 ||
    die "$tool could not log in to $host: see above"
}

push() {
  have_image || build
  [[ $repository != *.dkr.ecr.*.amazonaws.com*/* ]] || ecr
  act "$tool" push "$IMAGE"
}

# An archive is what all of them take, from whichever tool.
load() {
  local context archive=$scratch/image.tar name=$IMAGE cluster=$CLUSTER_NAME
  if [[ -z $kind ]]; then
    need kubectl "https://kubernetes.io/docs/tasks/tools/, or say which: kind, k3d or minikube"
    context=$(kubectl config current-context) || die "kubectl has no current context: say which cluster: kind, k3d or minikube"
    kind=${context%%-*} cluster=${context#*-}
  fi
  case $kind in
    kind | k3d | minikube) need "$kind" "install it, or make its cluster the current one of kubectl" ;;
    *) die "the cluster of the context $context is no kind, k3d or minikube: push the image to a registry instead" ;;
  esac
  have_image || build
  # To Kubernetes, a name without a registry is one of Docker Hub's.
  [[ ${name%%/*} == *[.:]* && $name == */* ]] || name=docker.io/library/$name
  case ${tool##*/} in
    docker) act "$tool" save --output "$archive" "$IMAGE" ;;
    *) act "$tool" push "$IMAGE" "docker-archive:$archive:$name" ;;
  esac
  case $kind in
    kind) act kind load image-archive "$archive" --name "$cluster" ;;
    k3d) act k3d image import "$archive" --cluster "$cluster" ;;
    minikube) act minikube image load "$archive" --profile "$cluster" ;;
  esac
}

action='' kind='' platform='' words=() begun=()
while (($# > 0)); do
  case $1 in
    -h | --help) usage && exit ;;
    build | push | load) action=$1 ;;
    kind | k3d | minikube) kind=$1 ;;
    --platform)
      (($# > 1)) || die "--platform wants OS/ARCH, such as linux/arm64"
      platform=$2 && shift
      ;;
    --dry-run) begun=(--dry-run) ;;
    --) shift && words=("$@") && break ;;
    *) die "unknown argument $1; the arguments are build, push or load [kind|k3d|minikube] [--platform OS/ARCH] [--dry-run] [-- WORDS...]" ;;
  esac
  shift
done
[[ -n $action ]] || die "do what? build, push or load (--help says more)"
[[ -z $kind || $action == load ]] || die "$kind is for load alone"
[[ -z $platform || $platform == */* ]] || die "--platform wants OS/ARCH, such as linux/arm64"

chosen=$action
begin ${begun[@]+"${begun[@]}"}
tool=$(find_tool)
if [[ $chosen == push && -z ${IMAGE-}${REPOSITORY-} ]]; then settle REPOSITORY IMAGE; fi
tag=$(image_tag)
IMAGE=${IMAGE:-${REPOSITORY:-pod-identity-demo}:$tag}
repository=${IMAGE%@*}
[[ ${repository##*/} != *:* ]] || repository=${repository%:*}
readonly tool tag repository
"$chosen"
echo "$IMAGE"
