#!/usr/bin/env bash
# Builds the images that the test cluster imports, as archives in .tools/cluster/images:
# the project's own image from its Dockerfile, and the sandbox's servers.

# shellcheck source-path=SCRIPTDIR source=../scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"
# shellcheck source=image.sh
. "$root/cluster/image.sh"

readonly images=$root/.tools/cluster/images
readonly program=${CARGO_TARGET_DIR:-$root/target}/debug/sandbox
mkdir -p "$images"
# Two runs of the tests share the images.
exec {lock}>"$images/lock"
flock "$lock"

# archive IMAGE NAME: writes the image to NAME.tar, unless that has this image already.
archive() {
  local id
  id=$(buildah inspect --type image --format '{{.FromImageID}}' "$1")
  [[ -e $images/$2.tar && $(cat "$images/$2.id" 2>/dev/null) == "$id" ]] && return
  rm -f "$images/$2.tar" "$images/$2.id"
  buildah push --quiet "$1" "docker-archive:$images/$2.tar:$1"
  echo "$id" >"$images/$2.id"
}

# sandbox_image IMAGE ARGUMENT...: builds an image that runs the sandbox's servers with these
# arguments. It contains the program and the C library that it is linked to, and nothing else.
sandbox_image() {
  local folder=$images/context entrypoint
  rm -rf "${folder:?}" && mkdir -p "$folder/tmp"
  chmod 1777 "$folder/tmp"
  cp "$program" "$folder/sandbox"
  ldd "$program" | grep -o '/[^ ]*' | while IFS= read -r library; do
    mkdir -p "$folder${library%/*}"
    cp --dereference "$library" "$folder$library"
  done
  entrypoint=$(jq --null-input --compact-output '$ARGS.positional' --args /sandbox "${@:2}")
  printf '%s\n' 'FROM scratch' 'COPY . /' "ENTRYPOINT $entrypoint" | buildah build --quiet --layers --timestamp 0 --tag "$1" --file - "$folder" >&2
  rm -rf "${folder:?}"
}

prepare_storage
build_image
archive "$IMAGE" pod-identity-demo
sandbox_image localhost/sandbox:1
archive localhost/sandbox:1 sandbox
sandbox_image localhost/pause:1 pause
archive localhost/pause:1 pause
