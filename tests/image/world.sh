# shellcheck shell=bash
# What the tests of the image share: the tools, a stand-in for the base image,
# and the local world that the container does its job in.
# shellcheck disable=SC2034 # the tests read what is set here

project=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
state=$project/.tools/image-test
export PATH=$project/.tools/containers/bin:$PATH
export IMAGE=localhost/pod-identity-demo:test CONTAINER_TOOL=buildah
# Storage of their own, kept, so that a second run builds only what has changed.
export CONTAINERS_STORAGE_CONF=$state/storage.conf

# A container of containers may not raise its limits to what podman's defaults are.
readonly limits=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024)

# fail ARGUMENTS...: ends the test with the reason.
fail() {
  printf '%s\n' "$*" >&2
  return 1
}

# eventually COMMAND...: polls until it is true, for at most 30 seconds.
eventually() {
  local deadline=$((SECONDS + 30))
  until "$@"; do
    ((SECONDS < deadline)) || fail "not within 30 seconds: $*" || return 1
    sleep 0.1
  done
}

# Runs in the caller's group of processes and ends with the test: `stop` has its id.
background() {
  "$@" 3>&- &
  echo $! >>"$BATS_TEST_TMPDIR/background"
}

# hosts ARGUMENTS...: begins hosts.py, whose first line is then in `said`, and the rest in $BATS_TEST_TMPDIR/WORD.
hosts() {
  background "$project/.tools/lint/bin/python" "$project/tests/image/hosts.py" "$@" >"$BATS_TEST_TMPDIR/$1" 2>&1
  eventually test -s "$BATS_TEST_TMPDIR/$1" || return 1
  said=$(head -n 1 "$BATS_TEST_TMPDIR/$1")
}

# Ends what `background` began.
stop() {
  local pid
  [[ -e $BATS_TEST_TMPDIR/background ]] || return 0
  while read -r pid; do kill "$pid" 2>/dev/null || true; done <"$BATS_TEST_TMPDIR/background"
}

# The base image's stand-in: this machine's compiler, C library and Rust, bound
# into an image that holds nothing but the places for them. It has the base
# image's name by --build-context alone, so nothing else takes it for that.
readonly from_host=(/usr/bin /usr/lib /usr/lib64 /usr/libexec /usr/include /etc/ssl /etc/alternatives)

stand_in() {
  local folder=$state/stand-in path link
  rm -rf "$folder" && mkdir -p "$folder/usr/local/rustup" "$folder/usr/local/cargo" "$folder/tmp"
  for path in "${from_host[@]}"; do mkdir -p "$folder$path"; done
  for link in bin lib lib64; do ln -s "usr/$link" "$folder/$link"; done
  printf '%s\n' 'FROM scratch' 'COPY . /' 'ENV PATH=/usr/local/rustup/bin:/usr/bin CARGO_HOME=/usr/local/cargo' |
    buildah build --quiet --layers --timestamp 0 --tag localhost/stand-in --file - "$folder"
}

# Configures the storage of images.
prepare_storage() {
  mkdir -p "$state/tmp"
  printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$state/storage" "$state/run" >"$CONTAINERS_STORAGE_CONF"
}

# Builds $IMAGE from the Dockerfile, by scripts/steps/image.sh.
build_image() {
  local base path options=(--network host --isolation oci "${limits[@]}")
  prepare_storage
  base=$(sed -n 's/^FROM \(rust:.*\) AS build$/\1/p' "$project/Dockerfile")
  [[ -n $base ]] || fail "the Dockerfile builds from no rust image" || return 1
  stand_in || fail "no stand-in for $base" || return 1
  options+=(--build-context "$base=container-image://localhost/stand-in" --volume "$(rustc --print sysroot):/usr/local/rustup:ro")
  for path in "${from_host[@]}"; do
    [[ ! -e $path ]] || options+=(--volume "$path:$path:ro")
  done
  # One commit for all, or each would link the program anew.
  options+=(--build-arg GIT_COMMIT=0123456789ab)
  TMPDIR=$state/tmp "$project/scripts/steps/image.sh" build -- "${options[@]}"
}

# The image host, agent and S3, until the test ends; their variables in $world/env.
start_world() {
  world=$BATS_TEST_TMPDIR/world
  local sandbox=${CARGO_TARGET_DIR:-$project/target}/debug/sandbox token
  [[ -x $sandbox ]] || fail "$sandbox is missing: cargo build --package sandbox" || return 1
  mkdir -p "$world"
  # shellcheck disable=SC2016 # for the inner shell
  background "$sandbox" --root "$world/s3" -- sh -c 'env >"$0/all.new" && mv "$0/all.new" "$0/all" && exec sleep 600' "$world" 2>"$world/log"
  eventually test -e "$world/all" || fail "$(<"$world/log")" || return 1
  # The kubelet's token is for all to read, and where the webhook says.
  token=$(sed -n 's/^AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=//p' "$world/all")
  install -m 444 "$token" "$world/token"
  grep -E '^(AWS_|S3_BUCKET_NAME=|ALLOW_PRIVATE_SOURCE=)' "$world/all" | grep -vE '^AWS_(CONTAINER_AUTHORIZATION_TOKEN_FILE|CONFIG_FILE|SHARED_CREDENTIALS_FILE)=' >"$world/env"
  echo LISTEN_ADDR=off >>"$world/env" # the containers share this machine's ports
  pictures=$(sed -n 's/^IMAGE_URL=//p' "$world/all")
  port=${pictures##*:} port=${port%%/*}
}

# run_image [PODMAN-ARGUMENTS...] -- ARGUMENTS...: starts the container as a cluster
# would under the restricted Pod Security Standard; its name is in `container`.
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

state_of() {
  podman inspect --format "{{.State.$1}}" "$container"
}

ended() {
  [[ $(state_of Status) != running ]]
}

# ends CODE: the container ends by itself, with that exit code.
ends() {
  eventually ended || fail "$(podman logs "$container" 2>&1)" || return 1
  local code
  code=$(state_of ExitCode)
  [[ $code == "$1" ]] || fail "exit code $code, not $1:" "$(podman logs "$container" 2>&1)"
}

# events MESSAGE: how many lines of the log have it.
events() {
  podman logs "$container" 2>&1 | grep -c "\"message\":\"$1" || true
}

uploaded() {
  (($(events uploaded) >= $1))
}
