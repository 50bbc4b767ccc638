# shellcheck shell=bash
# Builds the project's image from its Dockerfile on a machine that can pull no base image: `. image.sh`, after
# common.sh has set `root`. The cluster and the tests of the image share the result.

: "${root:?is set by common.sh, which must be sourced first}"

image_state=$root/.tools/image-test
export PATH=$root/.tools/containers/bin:$PATH
export IMAGE=localhost/pod-identity-demo:test CONTAINER_TOOL=buildah
# The image is for this machine, also when it is pushed.
case $(uname -m) in
  aarch64 | arm64) export IMAGE_PLATFORM=linux/arm64 ;;
  *) export IMAGE_PLATFORM=linux/amd64 ;;
esac
# A storage of its own, which is kept, so that a second run builds only what has changed.
export CONTAINERS_STORAGE_CONF=$image_state/storage.conf

# If this runs in a container itself, podman cannot raise the limits to its defaults.
# shellcheck disable=SC2034 # the tests start containers with them
readonly limits=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024)

# The stand-in for the base image contains only empty folders, into which the build mounts
# this machine's compiler, C library and Rust. Only --build-context gives it the name of the
# base image, so that nothing else uses it by mistake.
readonly from_host=(/usr/bin /usr/lib /usr/lib64 /usr/libexec /usr/include /etc/ssl /etc/alternatives)

stand_in() {
  local folder=$image_state/stand-in path link
  rm -rf "$folder" && mkdir -p "$folder/usr/local/rustup" "$folder/usr/local/cargo" "$folder/tmp"
  for path in "${from_host[@]}"; do mkdir -p "$folder$path"; done
  for link in bin lib lib64; do ln -s "usr/$link" "$folder/$link"; done
  printf '%s\n' 'FROM scratch' 'COPY . /' 'ENV PATH=/usr/local/rustup/bin:/usr/bin CARGO_HOME=/usr/local/cargo' |
    buildah build --quiet --layers --timestamp 0 --tag localhost/stand-in --file - "$folder"
}

# Configures the storage of images.
prepare_storage() {
  mkdir -p "$image_state/tmp"
  printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$image_state/storage" "$image_state/run" >"$CONTAINERS_STORAGE_CONF"
}

# Builds $IMAGE from the Dockerfile, with scripts/steps/image.sh.
build_image() {
  local base path options=(--network host --isolation oci "${limits[@]}")
  prepare_storage
  base=$(sed -n 's/^FROM \(rust:.*\) AS build$/\1/p' "$root/Dockerfile")
  [[ -n $base ]] || die "the Dockerfile has no build stage FROM rust"
  stand_in || die "cannot build the stand-in for $base"
  options+=(--build-context "$base=container-image://localhost/stand-in" --volume "$(rustc --print sysroot):/usr/local/rustup:ro")
  for path in "${from_host[@]}"; do
    [[ ! -e $path ]] || options+=(--volume "$path:$path:ro")
  done
  # The commit is always the same. Otherwise each build would have to link the program again.
  options+=(--build-arg GIT_COMMIT=0123456789ab)
  TMPDIR=$image_state/tmp "$root/scripts/steps/image.sh" build -- "${options[@]}"
}
