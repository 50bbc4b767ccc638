# shellcheck shell=bash
# Functions that the tests of the image share. They find the tools and run containers in the sandbox.
# shellcheck disable=SC2034 # the tests read what is set here

project=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source-path=SCRIPTDIR source=../wait.bash
. "$project/tests/wait.bash"
root=$project
# shellcheck source-path=SCRIPTDIR source=../../cluster/image.sh
. "$project/cluster/image.sh"

# fail REASON...: prints the reason, and fails the test.
fail() {
  printf '%s\n' "$*" >&2
  return 1
}

# background COMMAND...: starts the command in the caller's process group, and records its ID for `stop`.
background() {
  "$@" 3>&- &
  echo $! >>"$BATS_TEST_TMPDIR/background"
}

# hosts SERVER ARGUMENTS...: starts a server of hosts.py. Sets `said` to its first line; $BATS_TEST_TMPDIR/SERVER has
# all its output.
hosts() {
  background "$project/.tools/lint/bin/python" "$project/tests/image/hosts.py" "$@" >"$BATS_TEST_TMPDIR/$1" 2>&1
  eventually 30 test -s "$BATS_TEST_TMPDIR/$1" || return 1
  said=$(head -n 1 "$BATS_TEST_TMPDIR/$1")
}

# Ends the commands that `background` started.
stop() {
  local pid
  [[ -e $BATS_TEST_TMPDIR/background ]] || return 0
  while read -r pid; do kill "$pid" 2>/dev/null || true; done <"$BATS_TEST_TMPDIR/background"
}

# Starts the sandbox, which runs until the test ends, and writes its variables to $world/env.
start_world() {
  world=$BATS_TEST_TMPDIR/world
  local sandbox=${CARGO_TARGET_DIR:-$project/target}/debug/sandbox token
  [[ -x $sandbox ]] || fail "$sandbox is missing: cargo build --package sandbox" || return 1
  mkdir -p "$world"
  # shellcheck disable=SC2016 # for the inner shell
  background "$sandbox" --root "$world/s3" -- sh -c 'env >"$0/all.new" && mv "$0/all.new" "$0/all" && exec sleep 600' "$world" 2>"$world/log"
  eventually 30 test -e "$world/all" || fail "$(<"$world/log")" || return 1
  # As in a pod, every user can read the token, and run_image mounts it at the webhook's path.
  token=$(sed -n 's/^AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=//p' "$world/all")
  install -m 444 "$token" "$world/token"
  grep -E '^(AWS_|S3_BUCKET_NAME=|ALLOW_PRIVATE_SOURCE=)' "$world/all" | grep -vE '^AWS_(CONTAINER_AUTHORIZATION_TOKEN_FILE|CONFIG_FILE|SHARED_CREDENTIALS_FILE)=' >"$world/env"
  echo LISTEN_ADDR=off >>"$world/env" # the containers share this machine's ports
  pictures=$(sed -n 's/^IMAGE_URL=//p' "$world/all")
  port=${pictures##*:} port=${port%%/*}
}

# run_image [PODMAN-ARGUMENTS...] -- ARGUMENTS...: starts a container as a cluster does under
# the restricted Pod Security Standard, and sets `container` to its name.
run_image() {
  local options=()
  while [[ $1 != -- ]]; do options+=("$1") && shift; done
  shift
  container=image-test-$$-$BATS_TEST_NUMBER-$RANDOM
  echo "$container" >>"$BATS_TEST_TMPDIR/containers"
  local token=/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token
  podman run --detach --name "$container" --network host --read-only --cap-drop ALL --memory 64m --memory-swap 64m \
    --security-opt no-new-privileges "${limits[@]}" --log-driver k8s-file \
    --env-file "$world/env" --env "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=$token" --volume "$world/token:$token:ro" \
    ${options[@]+"${options[@]}"} "$IMAGE" "$@" >/dev/null
}

remove_containers() {
  local name
  [[ -e $BATS_TEST_TMPDIR/containers ]] || return 0
  while read -r name; do podman rm --force --time 0 "$name" >/dev/null; done <"$BATS_TEST_TMPDIR/containers"
}

# state_of FIELD: prints a field of the container's state.
state_of() {
  podman inspect --format "{{.State.$1}}" "$container"
}

ended() {
  [[ $(state_of Status) != running ]]
}

# ends CODE: waits until the container has ended, and fails if its exit code is another one.
ends() {
  eventually 30 ended || fail "$(podman logs "$container" 2>&1)" || return 1
  local code
  code=$(state_of ExitCode)
  [[ $code == "$1" ]] || fail "exit code $code, not $1:" "$(podman logs "$container" 2>&1)"
}

# events MESSAGE: prints how many log events have a message that starts with MESSAGE.
events() {
  podman logs "$container" 2>&1 | grep -c "\"message\":\"$1" || true
}

# uploaded COUNT: whether the container has uploaded at least this many pictures.
uploaded() {
  (($(events uploaded) >= $1))
}
