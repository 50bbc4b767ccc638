#!/usr/bin/env bash
# Makes the pictures of the live page for the documentation, in docs/images:
#
#   scripts/dev/screenshots.sh
#
# Runs a job in a local environment, and photographs its page in a browser: light, dark,
# narrow and failing.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

case ${1-} in
  -h | --help) usage && exit ;;
esac
cd "$root"
need cargo "install Rust, https://rustup.rs"
run scripts/dev/tools.sh browser
mkdir -p docs/images
run env SCREENSHOTS="$root/docs/images" cargo test --locked --workspace --test page -- --ignored --exact screenshots::screenshots
ls -l docs/images/page-*.png >&2
