#!/usr/bin/env bats
# For which platforms scripts/steps/image.sh builds, and what the workflow that publishes
# the image asks of docker: stand-ins for the tools note each call, and nothing is built.

# shellcheck disable=SC2030,SC2031 # each test is a process of its own
# shellcheck disable=SC2154 # status, output and stderr are of bats' run
bats_require_minimum_version 1.5.0
repository=$(CDPATH='' cd -- "$BATS_TEST_DIRNAME/../../.." && pwd -P)

setup() {
  unset IMAGE REPOSITORY ARCHITECTURE IMAGE_PLATFORM BUILDX_BUILDER
  export CALLS=$BATS_TEST_TMPDIR/calls CONTAINER_TOOL=docker PATH=$BATS_TEST_TMPDIR:$PATH
  cat >"$BATS_TEST_TMPDIR/docker" <<'DOCKER'
#!/usr/bin/env bash
echo "${BUILDX_BUILDER+with $BUILDX_BUILDER: }docker $*" >>"$CALLS"
case "$1 $2" in
  # As amazon-ecr-credential-helper does, which stores nothing: ecr-login/ecr.go, "not implemented".
  "login "*) cat >/dev/null && [[ ${AWS_ECR_IGNORE_CREDS_STORAGE-} == true ]] || { echo "error storing credentials: not implemented" >&2 && exit 1; } ;;
  "build "*) echo "attestations: ${BUILDX_NO_DEFAULT_ATTESTATIONS-by default}" >>"$CALLS" ;;
  "image inspect") [[ -n ${HAVE-} ]] && echo amd64 || exit 1 ;;
  "save --help") echo "      --platform string   Save only the given platform variant" ;;
  "buildx create") echo created ;;
  "buildx inspect") printf '%s\n' "Driver: ${DRIVER-docker}" "Nodes:" "Platforms:  ${PLATFORMS-linux/amd64*, linux/arm64}" ;;
  "info --format") echo "${STORE-}" ;;
esac
DOCKER
  cat >"$BATS_TEST_TMPDIR/podman" <<'PODMAN'
#!/usr/bin/env bash
echo "podman $*" >>"$CALLS"
case "$1 $2" in
  "info --format") echo "${PLATFORMS-}" ;;
  "manifest exists") [[ -e $CALLS.built ]] || exit 1 ;;
  "build "*) : >"$CALLS.built" ;;
esac
PODMAN
  cat >"$BATS_TEST_TMPDIR/aws" <<'AWS'
#!/usr/bin/env bash
case "$*" in
  *get-caller-identity*) echo "123456789012 arn:aws:iam::123456789012:user/someone" ;;
  *get-login-password*) echo password ;;
  *describe-repositories*) echo arn:aws:ecr:us-east-1:123456789012:repository/demo ;;
esac
AWS
  # shellcheck disable=SC2016 # for the stand-in
  printf '#!/bin/sh\necho "kind $*" >>"$CALLS"\n' >"$BATS_TEST_TMPDIR/kind"
  chmod +x "$BATS_TEST_TMPDIR"/{docker,podman,aws,kind}
}

# image ARGUMENT...: runs the script, whose messages go to $BATS_TEST_TMPDIR/said.
image() {
  "$repository/scripts/steps/image.sh" "$@" 2>"$BATS_TEST_TMPDIR/said"
}

# called TEXT: fails unless a tool was called like this, from the first word on.
called() {
  grep -q "^$1" "$CALLS" || { cat "$CALLS" "$BATS_TEST_TMPDIR/said" >&2 && return 1; }
}

# script_of STEP: what the workflow runs in the step of this name.
script_of() {
  awk -v step="      - name: $1" '
    $0 == step { inside = 1; next }
    /^ ? ? ? ? ? ?[^ ]/ { inside = 0 }
    inside && /^        run: \|$/ { script = 1; next }
    inside && script { sub(/^          /, ""); print }
  ' "$repository/.github/workflows/image.yml"
}

@test "the workflow builds with the builder that it has created, which is pinned" {
  local script
  script=$(script_of "Build and push")
  [[ -n $script ]]
  cd "$repository"
  GITHUB_REPOSITORY=Owner/pod-identity-demo GITHUB_REF_NAME=v0.1.0 ARCH=amd64 BUILDKIT=pinned SBOM_GENERATOR=pinned bash -euo pipefail -c "$script"
  cat "$CALLS"
  grep -qF 'docker buildx create --driver docker-container --driver-opt image=pinned' "$CALLS"
  grep -F 'docker build --tag ghcr.io/owner/pod-identity-demo:0.1.0-amd64' "$CALLS" | grep -q '^with created: '
}

@test "an image that is pushed has both architectures where docker can build them" {
  export IMAGE=registry.example/demo:1
  STORE='[[driver-type io.containerd.snapshotter.v1]]' image push
  called 'docker build --tag registry.example/demo:1 --push --platform linux/amd64,linux/arm64 '
  run ! grep -q '^docker push' "$CALLS"
  grep -qF 'takes half an hour where one is emulated' "$BATS_TEST_TMPDIR/said"

  rm "$CALLS"
  BUILDX_BUILDER=mine DRIVER=docker-container image push
  called 'with mine: docker buildx inspect mine'
  called 'with mine: docker build .*--push --platform linux/amd64,linux/arm64 '
}

@test "otherwise it has the architecture of the nodes" {
  export IMAGE=registry.example/demo:1
  # The older image store of docker takes one platform.
  image push
  called 'docker build --tag registry.example/demo:1 --platform linux/amd64 '
  called 'docker push registry.example/demo:1$'

  rm "$CALLS"
  ARCHITECTURE=arm64 DRIVER=docker-container PLATFORMS='linux/arm64, linux/arm/v7' image push
  called 'docker build --tag registry.example/demo:1 --platform linux/arm64 '

  rm "$CALLS"
  DRIVER=docker-container image push --platform linux/arm64
  called 'docker build --tag registry.example/demo:1 --platform linux/arm64 '

  run ! image push --platform
  ARCHITECTURE=any run ! image push
  grep -q 'cannot build for both amd64 and arm64 here: set ARCHITECTURE' "$BATS_TEST_TMPDIR/said"
}

@test "podman and buildah push both architectures as a manifest" {
  export CONTAINER_TOOL=podman IMAGE=registry.example/demo:1 PLATFORMS=linux/amd64,linux/arm64,
  image push
  called 'podman build --manifest registry.example/demo:1 --platform linux/amd64,linux/arm64 '
  called 'podman manifest push --all registry.example/demo:1 docker://registry.example/demo:1$'
  image build --platform linux/amd64,linux/arm64
  called 'podman manifest rm registry.example/demo:1$'
}

@test "where ECR's credential helper is configured, the login is ignored, and the image is pushed" {
  export IMAGE=123456789012.dkr.ecr.us-east-1.amazonaws.com/demo:1 AWS_REGION=us-east-1 TOOLS=" aws"
  image push
  called 'docker login --username AWS --password-stdin 123456789012.dkr.ecr.us-east-1.amazonaws.com$'
  called 'docker push 123456789012.dkr.ecr.us-east-1.amazonaws.com/demo:1$'
  called 'attestations: by default$'
}

@test "what is loaded into kind has no attestations and one platform, which is what it can load" {
  export IMAGE=registry.example/demo:1
  STORE='[[driver-type io.containerd.snapshotter.v1]]' image load kind
  called 'attestations: 1$'
  called 'docker save --platform linux/[a-z0-9]* --output [^ ]* registry.example/demo:1$'
  called 'kind load image-archive .* --name pod-identity-demo$'
  STORE='[[driver-type io.containerd.snapshotter.v1]]' HAVE=yes image load kind --platform linux/amd64
  called 'docker save --platform linux/amd64 --output '
}

@test "an image for ECR is for the nodes, and any other is for this machine" {
  IMAGE=123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo:1 image build
  called 'docker build --tag [^ ]* --platform linux/amd64 '
  # Its tag says for which, because up.sh looks whether the tag exists.
  REPOSITORY=123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo image build
  called 'docker build --tag [^ ]*/demo:[^ ]*-amd64 --tag [^ ]*/demo:[0-9.]* --platform linux/amd64 '
  REPOSITORY=123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo image build --platform linux/arm64
  called 'docker build --tag [^ ]*/demo:[^ ]*-arm64 --tag [^ ]*/demo:[0-9.]* --platform linux/arm64 '
  rm "$CALLS"
  image build
  run ! grep -q -e --platform "$CALLS"
  run ! image load kind --platform linux/amd64,linux/arm64
}

@test "uncommitted changes of what the image is built from change its tag, and nothing else does" {
  local copy=$BATS_TEST_TMPDIR/copy clean edited
  mkdir -p "$copy/src" "$copy/docs"
  cp -r "$repository/scripts" "$repository/Cargo.toml" "$repository/Cargo.lock" "$repository/Dockerfile" "$copy/"
  echo 'fn main() {}' >"$copy/src/main.rs"
  # shellcheck disable=SC2317 # called below
  commit() { git -C "$copy" -c user.name=test -c user.email=test@example.com commit --quiet --message test "$@"; }
  tag() { REPOSITORY=registry.example/demo "$copy/scripts/steps/image.sh" build --dry-run 2>"$BATS_TEST_TMPDIR/said"; }
  git init --quiet "$copy"
  git -C "$copy" add --all
  commit
  clean=$(tag)
  [[ $clean =~ ^registry.example/demo:[0-9.]+-[0-9a-f]{12}$ ]]
  echo text >"$copy/docs/page.md"
  [[ $(tag) == "$clean" ]]

  echo '// edited' >>"$copy/src/main.rs"
  edited=$(tag)
  [[ $edited =~ ^$clean-dirty-[0-9a-f]{8}$ && $(tag) == "$edited" ]]
  # The program names the commit so as well, and its version has nothing of it.
  grep -qE -e "--tag registry.example/demo:[0-9.]+ --build-arg VERSION=[0-9.]+ --build-arg GIT_COMMIT=${edited#*-} " "$BATS_TEST_TMPDIR/said"
  echo '// again' >>"$copy/src/main.rs"
  [[ $(tag) == "$clean"-dirty-* && $(tag) != "$edited" ]]
  commit --all
  [[ $(tag) != *dirty* && $(tag) != "$clean" ]]

  clean=$(tag)
  echo 'new' >"$copy/src/new.rs"
  edited=$(tag)
  [[ $edited == "$clean"-dirty-* ]]
  echo 'other' >"$copy/src/new.rs"
  [[ $(tag) == "$clean"-dirty-* && $(tag) != "$edited" ]]
}
