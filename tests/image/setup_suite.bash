# shellcheck shell=bash
# Builds the image once for all test files.

setup_suite() {
  local command
  # shellcheck source-path=SCRIPTDIR source=world.sh
  . "$BATS_TEST_DIRNAME/world.sh"
  for command in jq openssl rustc podman buildah; do
    command -v "$command" >/dev/null || fail "$command is missing (podman and buildah: scripts/dev/tools.sh containers)" || return 1
  done
  build_image
}
