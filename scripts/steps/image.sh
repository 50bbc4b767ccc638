#!/usr/bin/env bash
# Builds the image with docker, podman or buildah, pushes it to a registry, or loads
# it into a local cluster.
#
#   scripts/steps/image.sh build [OPTION...] [-- ARGUMENT...]
#   scripts/steps/image.sh push [OPTION...] [-- ARGUMENT...]
#   scripts/steps/image.sh load [kind|k3d|minikube] [OPTION...] [-- ARGUMENT...]
#
#   --platform OS/ARCH[,OS/ARCH]   build for these platforms (or set IMAGE_PLATFORM)
#   --dry-run                      print the commands, but do not run them
#   -- ARGUMENT...                 pass these arguments to the build command
#
# build tags the image REPOSITORY:VERSION-COMMIT (in ECR, VERSION-COMMIT-ARCHITECTURE) and
# REPOSITORY:VERSION, and prints the first of these names to stdout. With uncommitted changes,
# COMMIT is followed by -dirty- and a hash of them. push pushes only that
# name, because tags of a registry can be immutable. The default repository is in the account's ECR: push
# creates it if necessary, and logs in. load loads the image into the cluster of the
# current kubectl context, or into a cluster of the given kind that CLUSTER_NAME
# names. push and load build the image first if it does not exist.
#
# An image for ECR, and each that push builds, is for the nodes: for amd64 and arm64 if
# the builder is able to build both, otherwise for ARCHITECTURE (amd64 by default). All
# others are for this machine.
#
# Set REPOSITORY, IMAGE (repository and tag) or CONTAINER_TOOL to override these.
# Building requires no AWS account. ECR costs $0.10 per GB and month, which is $0.001
# for this image. Building for another platform requires QEMU's binfmt handlers and
# takes half an hour; building on a machine of that platform is faster. docker builds
# for two platforms with its containerd image store, or with the builder that
# BUILDX_BUILDER names.

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

# emulates ARCH: true when Linux runs programs of this architecture on a machine of
# another one.
emulates() {
  case $1 in
    amd64) [[ -e /proc/sys/fs/binfmt_misc/qemu-x86_64 || -e /proc/sys/fs/binfmt_misc/rosetta ]] ;;
    arm64) [[ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]] ;;
  esac
}

# platforms: prints the platforms that the builder can build for at once, separated by
# commas. Prints nothing if that is only one, or unknown.
platforms() {
  local arch
  case ${tool##*/} in
    docker)
      "$tool" buildx inspect "${BUILDX_BUILDER:-$("$tool" context show)}" >"$scratch/builder" || return 0
      # With docker's older image store, the docker driver builds for one platform.
      ! grep -Eq '^Driver: *docker$' "$scratch/builder" || [[ $("$tool" info --format '{{.DriverStatus}}') == *io.containerd.snapshotter* ]] || return 0
      sed -n 's/^ *Platforms: *//p' "$scratch/builder" | tr -d ' *'
      ;;
    *)
      "$tool" info --format '{{range .Host.EmulatedArchitectures}}{{.}},{{end}}' || true # since podman 4.8
      for arch in amd64 arm64; do
        if [[ $(machine) == "$arch" ]] || emulates "$arch"; then echo "linux/$arch"; fi
      done
      ;;
  esac 2>/dev/null | tr '\n' ,
}

# machine: prints this machine's architecture as images name it.
machine() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) uname -m ;;
  esac
}

# for_nodes: sets platform, unless it was given, to what an image for the nodes needs.
for_nodes() {
  local able
  [[ -z $platform ]] || return 0
  able=,$(platforms),
  if [[ $able == *,linux/amd64,* && $able == *,linux/arm64,* ]]; then
    platform=linux/amd64,linux/arm64
    say "building for amd64 and arm64, which takes half an hour where one is emulated; --platform or IMAGE_PLATFORM restricts it"
  elif [[ $ARCHITECTURE == any ]]; then
    die "$tool cannot build for both amd64 and arm64 here: set ARCHITECTURE to the architecture of the nodes, or see --help"
  else
    platform=linux/$ARCHITECTURE
  fi
}

build() {
  local version options=(--tag "$IMAGE")
  # Attestations are for registries: docker would save them for a local cluster as images of an unknown platform,
  # which kind cannot load. https://docs.docker.com/build/metadata/attestations/
  [[ $chosen == push ]] || export BUILDX_NO_DEFAULT_ATTESTATIONS=1
  version=$(program_version)
  [[ $IMAGE != "$(image_in "$repository")" ]] || options+=(--tag "$repository:$version")
  case $platform/${tool##*/} in
    # The builder may have nowhere else to put an image of several platforms.
    *,*/docker) [[ $chosen != push ]] || options=(--tag "$IMAGE" --push) ;;
    *,*)
      options=(--manifest "$IMAGE")
      # A build adds to a manifest that exists.
      ! "$tool" manifest exists "$IMAGE" 2>/dev/null || run_tool "$tool" manifest rm "$IMAGE"
      ;;
  esac
  [[ -z $platform ]] || options+=(--platform "$platform")
  [[ ${tool##*/} != buildah ]] || options+=(--layers) # the other tools cache layers by default
  run_tool "$tool" build "${options[@]}" --build-arg "VERSION=$version" --build-arg "GIT_COMMIT=${tag#"$version"-}" \
    --build-arg "CREATED=$(created)" --build-arg "SOURCE=$(source_url)" ${build_arguments[@]+"${build_arguments[@]}"} "$root"
}

# have_image: true when the image is in the tool's local storage, for the platform.
have_image() {
  local found arch=${platform#*/}
  case $platform/${tool##*/} in
    *,*/docker) return 1 ;;
    *,*) "$tool" manifest exists "$IMAGE" 2>/dev/null && return ;;
    */buildah) found=$("$tool" inspect --type image --format '{{.OCIv1.Architecture}}' "$IMAGE" 2>/dev/null) ;;
    *) found=$("$tool" image inspect --format '{{.Architecture}}' "$IMAGE" 2>/dev/null) ;;
  esac && [[ -z $platform || $found == "${arch%%/*}" ]]
}

# prepare_ecr: creates the repository and logs in. Other registries create a repository
# on the first push; ECR does not.
prepare_ecr() {
  local host=${repository%%/*} region
  region=${host#*.ecr.} region=${region%%.*}
  REPOSITORY=$repository "$root/scripts/steps/registry.sh"
  say "$(show aws ecr get-login-password --region "$region" 2>&1) | AWS_ECR_IGNORE_CREDS_STORAGE=true $tool login --username AWS --password-stdin $host"
  [[ -z $dry_run ]] || return 0
  # Where ECR's credential helper is configured, a login would fail: it stores nothing. The variable makes it ignore
  # the login, which the push does not need then: https://github.com/awslabs/amazon-ecr-credential-helper#configuration
  aws ecr get-login-password --region "$region" | AWS_ECR_IGNORE_CREDS_STORAGE=true "$tool" login --username AWS --password-stdin "$host" >&2 ||
    die "$tool could not log in to $host: see above"
}

push() {
  case $platform/${tool##*/} in
    *,*/docker)
      ! is_ecr "$repository" || prepare_ecr
      build
      ;;
    *)
      have_image || build
      ! is_ecr "$repository" || prepare_ecr
      case $platform in
        *,*) run_tool "$tool" manifest push --all "$IMAGE" "docker://$IMAGE" ;;
        *) run_tool "$tool" push "$IMAGE" ;;
      esac
      ;;
  esac
}

# load: uses an archive, because each kind of cluster accepts one from any tool.
load() {
  local context archive=$scratch/image.tar name=$IMAGE cluster=$CLUSTER_NAME one=()
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
    docker)
      # With docker's containerd image store, an archive has all platforms that were pulled, and attestations.
      if "$tool" save --help 2>/dev/null | grep -q -e --platform; then one=(--platform "${platform:-linux/$(machine)}"); fi
      run_tool "$tool" save ${one[@]+"${one[@]}"} --output "$archive" "$IMAGE"
      ;;
    *) run_tool "$tool" push "$IMAGE" "docker-archive:$archive:$name" ;;
  esac
  case $kind in
    kind) run_tool kind load image-archive "$archive" --name "$cluster" ;;
    k3d) run_tool k3d image import "$archive" --cluster "$cluster" ;;
    minikube) run_tool minikube image load "$archive" --profile "$cluster" ;;
  esac
}

action='' kind='' platform=${IMAGE_PLATFORM-} build_arguments=() step_arguments=()
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
    *) die "unknown argument $1; usage: image.sh build|push|load [kind|k3d|minikube] [--platform OS/ARCH[,OS/ARCH]] [--dry-run] [-- ARGUMENT...]" ;;
  esac
  shift
done
[[ -n $action ]] || die "missing argument: build, push or load (see --help)"
[[ -z $kind || $action == load ]] || die "only load accepts $kind"
[[ -z $platform || $platform == */* ]] || die "--platform requires OS/ARCH, such as linux/arm64"
[[ $action != load || $platform != *,* ]] || die "load accepts one platform, that of the cluster's nodes"

# The tag tells the architecture.
[[ -z $platform || $platform == *,* ]] || IFS=/ read -r _ ARCHITECTURE _ <<<"$platform"
chosen=$action
begin_step ${step_arguments[@]+"${step_arguments[@]}"}
tool=$(find_tool)
if [[ $chosen == push && -z ${IMAGE-}${REPOSITORY-} ]]; then settle REPOSITORY IMAGE; fi
tag=$(image_tag)
IMAGE=${IMAGE:-$(image_in "${REPOSITORY:-pod-identity-demo}")}
repository=${IMAGE%@*}
[[ ${repository##*/} != *:* ]] || repository=${repository%:*}
readonly tool tag repository
if [[ $chosen == push ]] || { [[ $chosen == build ]] && is_ecr "$repository"; }; then for_nodes; fi
"$chosen"
echo "$IMAGE"
