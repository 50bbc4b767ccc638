#!/usr/bin/env bash
# Builds the image with docker, podman or buildah, pushes it to a registry, or loads
# it into a local cluster.
#
#   scripts/steps/image.sh build [OPTION...] [-- ARGUMENT...]
#   scripts/steps/image.sh push [OPTION...] [-- ARGUMENT...]
#   scripts/steps/image.sh load [kind|k3d|minikube] [OPTION...] [-- ARGUMENT...]
#
#   --platform OS/ARCH   build for this platform instead of this machine's
#   --dry-run            print the commands, but do not run them
#   -- ARGUMENT...       pass these arguments to the build command
#
# build tags the image REPOSITORY:VERSION-COMMIT and REPOSITORY:VERSION, and prints
# the first of these names to stdout. push pushes only that name, because tags of a
# registry can be immutable. The default repository is in the account's ECR: push
# creates it if necessary, and logs in. load loads the image into the cluster of the
# current kubectl context, or into a cluster of the given kind that CLUSTER_NAME
# names. push and load build the image first if it does not exist.
#
# Set REPOSITORY, IMAGE (repository and tag) or CONTAINER_TOOL to override these.
# Building requires no AWS account. ECR costs $0.10 per GB and month, which is $0.001
# for this image. Building for another platform requires QEMU's binfmt handlers and
# takes half an hour; building on a machine of that platform is faster.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

# find_tool: prints the first tool that is installed; docker only if its daemon responds.
find_tool() {
  local tool
  for tool in ${CONTAINER_TOOL-docker podman buildah}; do
    command -v "$tool" >/dev/null || continue
    [[ ${tool##*/} != docker ]] || docker version >/dev/null 2>&1 || continue
    echo "$tool" && return
  done
  # A dry run only prints the commands.
  if [[ -n $dry_run ]]; then echo docker && return; fi
  die "no ${CONTAINER_TOOL-docker (with its daemon running), podman or buildah} is available: install one, or set CONTAINER_TOOL to yours"
}

# run_tool COMMAND...: prints a command, and runs it unless this is a dry run.
run_tool() {
  show "$@"
  [[ -n $dry_run ]] || "$@" >&2 || die "the command above failed: see its error message"
}

# source_url: prints the web page of the source: the URL of origin without credentials.
source_url() {
  git -C "$root" remote get-url origin 2>/dev/null |
    sed -n 's|^git@\([^:]*\):|https://\1/|; s|\.git$||; s|^https://\([^/]*@\)\{0,1\}|https://|p' || true
}

# created: prints the time of the commit, so that the same source gives the same labels.
created() {
  TZ=UTC git -C "$root" log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || true
}

build() {
  local version=${tag%-*} options=(--tag "$IMAGE")
  [[ $IMAGE != *:"$tag" ]] || options+=(--tag "$repository:$version")
  [[ -z $platform ]] || options+=(--platform "$platform")
  [[ ${tool##*/} != buildah ]] || options+=(--layers) # the other tools cache layers by default
  run_tool "$tool" build "${options[@]}" --build-arg "VERSION=$version" --build-arg "GIT_COMMIT=${tag##*-}" \
    --build-arg "CREATED=$(created)" --build-arg "SOURCE=$(source_url)" ${build_arguments[@]+"${build_arguments[@]}"} "$root"
}

# have_image: true when the image is in the tool's local storage.
have_image() {
  case ${tool##*/} in
    buildah) "$tool" inspect --type image "$IMAGE" ;;
    *) "$tool" image inspect "$IMAGE" ;;
  esac >/dev/null 2>&1
}

# prepare_ecr: creates the repository and logs in. Other registries create a repository
# on the first push; ECR does not.
prepare_ecr() {
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
  [[ $repository != *.dkr.ecr.*.amazonaws.com*/* ]] || prepare_ecr
  run_tool "$tool" push "$IMAGE"
}

# load: uses an archive, because each kind of cluster accepts one from any tool.
load() {
  local context archive=$scratch/image.tar name=$IMAGE cluster=$CLUSTER_NAME
  if [[ -z $kind ]]; then
    need kubectl "https://kubernetes.io/docs/tasks/tools/, or name the kind of cluster: kind, k3d or minikube"
    context=$(kubectl config current-context) || die "kubectl has no current context: name the kind of cluster: kind, k3d or minikube"
    kind=${context%%-*} cluster=${context#*-}
  fi
  case $kind in
    kind | k3d | minikube) need "$kind" "install it, or set the current context of kubectl to its cluster" ;;
    *) die "the cluster of the context $context is not of kind, k3d or minikube: push the image to a registry instead" ;;
  esac
  have_image || build
  # Kubernetes looks for a name without a registry on Docker Hub.
  [[ ${name%%/*} == *[.:]* && $name == */* ]] || name=docker.io/library/$name
  case ${tool##*/} in
    docker) run_tool "$tool" save --output "$archive" "$IMAGE" ;;
    *) run_tool "$tool" push "$IMAGE" "docker-archive:$archive:$name" ;;
  esac
  case $kind in
    kind) run_tool kind load image-archive "$archive" --name "$cluster" ;;
    k3d) run_tool k3d image import "$archive" --cluster "$cluster" ;;
    minikube) run_tool minikube image load "$archive" --profile "$cluster" ;;
  esac
}

action='' kind='' platform='' build_arguments=() step_arguments=()
while (($# > 0)); do
  case $1 in
    -h | --help) usage && exit ;;
    build | push | load) action=$1 ;;
    kind | k3d | minikube) kind=$1 ;;
    --platform)
      (($# > 1)) || die "--platform requires OS/ARCH, such as linux/arm64"
      platform=$2 && shift
      ;;
    --dry-run) step_arguments=(--dry-run) ;;
    --) shift && build_arguments=("$@") && break ;;
    *) die "unknown argument $1; usage: image.sh build|push|load [kind|k3d|minikube] [--platform OS/ARCH] [--dry-run] [-- ARGUMENT...]" ;;
  esac
  shift
done
[[ -n $action ]] || die "missing argument: build, push or load (see --help)"
[[ -z $kind || $action == load ]] || die "only load accepts $kind"
[[ -z $platform || $platform == */* ]] || die "--platform requires OS/ARCH, such as linux/arm64"

chosen=$action
begin_step ${step_arguments[@]+"${step_arguments[@]}"}
tool=$(find_tool)
if [[ $chosen == push && -z ${IMAGE-}${REPOSITORY-} ]]; then settle REPOSITORY IMAGE; fi
tag=$(image_tag)
IMAGE=${IMAGE:-${REPOSITORY:-pod-identity-demo}:$tag}
repository=${IMAGE%@*}
[[ ${repository##*/} != *:* ]] || repository=${repository%:*}
readonly tool tag repository
"$chosen"
echo "$IMAGE"
