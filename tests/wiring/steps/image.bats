#!/usr/bin/env bats
# What scripts/steps/image.sh and the workflow that publishes the image ask of docker:
# a stand-in notes each call, and nothing is built.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
bats_require_minimum_version 1.5.0
repository=$(CDPATH='' cd -- "$BATS_TEST_DIRNAME/../../.." && pwd -P)

setup() {
  unset IMAGE REPOSITORY
  export CALLS=$BATS_TEST_TMPDIR/calls CONTAINER_TOOL=docker PATH=$BATS_TEST_TMPDIR:$PATH
  cat >"$BATS_TEST_TMPDIR/docker" <<'DOCKER'
#!/usr/bin/env bash
echo "${BUILDX_BUILDER+with $BUILDX_BUILDER: }docker $*" >>"$CALLS"
[[ "$1 $2" != "buildx create" ]] || echo created
DOCKER
  chmod +x "$BATS_TEST_TMPDIR/docker"
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
