#!/usr/bin/env bash
# Measures CPU time, memory and time of the release build, beside what people use
# instead: boto3, rclone, s5cmd, the AWS CLI and curl.
#
#   scripts/bench.sh                    all cases, in about half an hour after the build
#   scripts/bench.sh CASE               the cases whose names contain this, such as tls
#   scripts/bench.sh --write            all cases, into docs/benchmark/ and docs/images
#   scripts/bench.sh --against COMMIT [CASE]
#                                       the program of this commit beside that of the
#                                       working tree, instead of the other contenders
#
# Installs the contenders, nginx and an S3 server into .tools/ first. Requires Linux
# and an idle machine. BENCH_ROUNDS (5) says how often each case is measured, and
# BENCH_MINUTES (10) how long the job with silence between its ticks runs.
# docs/benchmark.md and docs/benchmark/ explain the results.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

only='' write='' against=''
while (($#)); do
  case $1 in
    -h | --help) usage && exit ;;
    --write) write=yes ;;
    --against) against=${2:?"--against needs a commit (see --help)"} && shift ;;
    -*) die "unknown option $1 (see --help)" ;;
    *) only=$1 ;;
  esac
  shift
done
[[ -z $write || -z $only$against ]] || die "--write takes all cases and all contenders (see --help)"
cd "$root"
need cargo "install Rust, https://rustup.rs"
need curl "install it with your system's packages"
need openssl "install it with your system's packages"
need taskset "install util-linux with your system's packages"
[[ -r /proc/self/status ]] || die "/proc is missing: the benchmark requires Linux"
run scripts/dev/tools.sh bench
run cargo build --locked --release --package pod-identity-demo

readonly results=$root/target/benchmark
mkdir -p "$results"
BENCH_BASELINE=''
if [[ -n $against ]]; then
  readonly source=$root/target/baseline
  run rm -rf "$source"
  mkdir -p "$source"
  git archive --format=tar "$against" | tar -x -C "$source" || die "$against is not a commit of this repository"
  run cargo build --locked --release --package pod-identity-demo --manifest-path "$source/Cargo.toml" --target-dir "$source/target"
  BENCH_BASELINE=$source/target/release/pod-identity-demo
fi
export BENCH_BASELINE
nginx=$(command -v nginx || echo "$root/.tools/bench/bin/nginx")
export BENCH_PROGRAM=${CARGO_TARGET_DIR:-$root/target}/release/pod-identity-demo
export BENCH_TOOLS=$root/.tools/bench/bin BENCH_NGINX=$nginx BENCH_S3=$root/.tools/cargo/bin/s3s-fs
export BENCH_ROUNDS=${BENCH_ROUNDS:-5} BENCH_MINUTES=${BENCH_MINUTES:-10} BENCH_ONLY=$only
export BENCH_OUTPUT=$results/figures.json

# version COMMAND...: the first number in what it prints.
version() {
  "$@" 2>&1 | sed -n '1s/^[^.]*[^0-9.]\([0-9][0-9]*\.[^ ,]*\).*/\1/p'
}

# about: the machine, the versions and the commit, as a list in Markdown.
about() {
  local commit
  commit=$(git rev-parse --short HEAD)
  [[ -z $(git status --porcelain -- src Cargo.toml Cargo.lock) ]] || commit+=' with changes'
  echo "- $(date -u +%F), commit $commit, $(nproc) cores of $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n1), $(awk '/MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo) GiB of memory, Linux $(uname -r)"
  echo "- boto3 $("$BENCH_TOOLS/python" -c 'import boto3; print(boto3.__version__)') on Python $(version "$BENCH_TOOLS/python" --version), rclone $(version "$BENCH_TOOLS/rclone" version), s5cmd $(version "$BENCH_TOOLS/s5cmd" version), AWS CLI $(version "$BENCH_TOOLS/aws" --version), curl $(version curl --version), nginx $(version "$nginx" -v), s3s-fs $(version "$BENCH_S3" --version)"
  [[ -z $against ]] || echo "- the baseline is commit $(git rev-parse --short "$against")"
  echo "- $BENCH_ROUNDS rounds (the start twice as many), interleaved: in each round each contender once"
}

about=$(about)
# The harness is not measured, so a fast debug build of it is sufficient.
run cargo bench --locked --profile dev --package pod-identity-demo --bench job
{
  echo "$about"
  echo
  run "$BENCH_TOOLS/python" benches/job/report.py "$BENCH_OUTPUT" "$results"
} | tee "$results/report.md"
say "The figures are in $BENCH_OUTPUT, the tables in $results/report.md, the charts beside them."
if [[ -n $write ]]; then
  run cp "$results"/benchmark-{light,dark}.svg docs/images/
  run sed -i -e "/<!-- figures: begin -->/r $results/report.md" -e '/<!-- figures: begin -->/,/<!-- figures: end -->/{//!d}' docs/benchmark/figures.md
fi
