#!/usr/bin/env bats
# Tests the content of the image, and that the program works in a container that is as
# restricted as in a cluster, and that has neither a C library nor a shell.

# shellcheck source-path=SCRIPTDIR source=world.sh
. "$BATS_TEST_DIRNAME/world.sh"

teardown() {
  remove_containers
  stop
}

# Exports the image as an OCI layout, and sets `manifest` and `config` to the paths of these two documents.
unpack() {
  layout=$BATS_TEST_TMPDIR/layout
  buildah push --quiet "$IMAGE" "oci:$layout:image"
  manifest=$layout/blobs/sha256/$(jq -r '.manifests[0].digest | ltrimstr("sha256:")' "$layout/index.json")
  config=$layout/blobs/sha256/$(jq -r '.config.digest | ltrimstr("sha256:")' "$manifest")
}

# config JQ-FILTER: prints the result of the filter for the image's configuration.
config() {
  jq --compact-output --raw-output "$1" "$config"
}

# Prints the paths of the image's layers.
layers() {
  jq -r '.layers[].digest | ltrimstr("sha256:")' "$manifest" | while read -r digest; do echo "$layout/blobs/sha256/$digest"; done
}

# Starts a name server that knows only pictures.test. The options in `resolve` make a container use it.
start_hosts() {
  hosts dns pictures.test
  printf 'nameserver %s\n' "$said" >"$world/resolv.conf"
  resolve=(--volume "$world/resolv.conf:/etc/resolv.conf:ro")
}

# Starts a TLS proxy for the image host, as pictures.test, with a self-signed certificate. Sets `secure` to its port.
start_tls() {
  # The certificate must not be a CA certificate, which clients do not accept from a server.
  printf '%s\n' '[req]' 'distinguished_name = name' 'x509_extensions = server' '[name]' '[server]' 'subjectAltName = DNS:pictures.test' >"$world/openssl.cnf"
  openssl req -x509 -config "$world/openssl.cnf" -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 \
    -subj /CN=pictures.test -keyout "$world/key.pem" -out "$world/certificate.pem" 2>/dev/null
  cat "$world/key.pem" "$world/certificate.pem" >"$world/both.pem"
  hosts tls "$world/both.pem" "$port"
  secure=$said
}

@test "the image contains the program and CA certificates, and nothing else" {
  unpack
  for layer in $(layers); do tar -tvzf "$layer"; done | awk '!/^d/ { print $1, $2, $NF }' | sort -k 3 >"$BATS_TEST_TMPDIR/files"
  diff - "$BATS_TEST_TMPDIR/files" <<END
-rw-r--r-- 0/0 etc/ssl/certs/ca-certificates.crt
-rwxr-xr-x 0/0 usr/local/bin/pod-identity-demo
END
  for layer in $(layers); do tar -xzOf "$layer" etc/ssl/certs/ca-certificates.crt; done >"$BATS_TEST_TMPDIR/certificates"
  (($(grep -c 'BEGIN CERTIFICATE' "$BATS_TEST_TMPDIR/certificates") > 50))
}

@test "the image is at most 4.5 MB compressed and 9 MB uncompressed" {
  unpack
  local compressed uncompressed
  compressed=$(jq '[.layers[].size] | add' "$manifest")
  uncompressed=$(for layer in $(layers); do gzip -dc "$layer"; done | wc -c)
  echo "# $compressed bytes compressed, $((uncompressed)) uncompressed" >&3
  ((compressed <= 4500000 && uncompressed <= 9000000))
}

@test "the image has all labels, an unprivileged user, and an entry point without a shell" {
  unpack
  [[ $(config .config.User) == 65532:65532 ]]
  [[ $(config .config.Entrypoint) == '["/usr/local/bin/pod-identity-demo"]' ]]
  [[ $(config .config.Cmd) == null && $(config .config.Volumes) == null ]]
  [[ $(config .os) == linux ]]
  local label
  for label in title description licenses version revision created; do
    [[ -n $(config ".config.Labels[\"org.opencontainers.image.$label\"] // empty") ]] || fail "no label $label"
  done
  [[ $(config '.config.Labels["org.opencontainers.image.revision"]') == 0123456789ab ]]
  start_world
  run_image -- --version
  ends 0
  [[ $(podman logs "$container") == "pod-identity-demo $(config '.config.Labels["org.opencontainers.image.version"]') (0123456789ab)" ]]
}

@test "in a restricted container, the job resolves names and uploads, and SIGTERM ends it with 143" {
  start_world
  start_hosts
  run_image "${resolve[@]}" --env "IMAGE_URL=http://pictures.test:$port/random,http://pictures.test:$port/big?size=40MiB" -- --interval 100ms
  eventually 30 uploaded 12

  local pid status
  pid=$(state_of Pid)
  status=$(<"/proc/$pid/status")
  grep -qE '^Uid:[[:space:]]+65532[[:space:]]+65532[[:space:]]+65532[[:space:]]+65532$' <<<"$status"
  grep -qE '^Gid:[[:space:]]+65532[[:space:]]' <<<"$status"
  grep -qE '^CapBnd:[[:space:]]+0+$' <<<"$status"
  grep -qE '^CapEff:[[:space:]]+0+$' <<<"$status"
  grep -qE '^NoNewPrivs:[[:space:]]+1$' <<<"$status"
  grep -qE ' / / ro[, ]| /[^ ]* / ro[, ]' "/proc/$pid/mountinfo"
  [[ $(memory_limit "$pid") == 67108864 ]]
  echo "# $(sed -n 's/^VmHWM:[[:space:]]*//p' <<<"$status") resident at most, of 64 MiB" >&3

  # Assign the output first, because jq succeeds on empty input and would hide a failure.
  local identity
  identity=$(podman exec "$container" pod-identity-demo identity --json)
  [[ $(jq -r .verdict.summary <<<"$identity") == *'EKS Pod Identity'* ]]

  podman kill --signal TERM "$container" >/dev/null
  ends 143
  grep -q 'asked pictures.test 1$' "$BATS_TEST_TMPDIR/dns"
  local sent
  sent=$(events uploaded)
  [[ $(find "$world/s3/pictures" -type f | wc -l) -eq $sent ]] || fail "the log has $sent uploads, but the bucket has another number of objects"
}

# memory_limit PID: prints the memory limit of the process's cgroup, of version 2 or 1.
memory_limit() {
  local path
  path=$(sed -n 's/^0:://p' "/proc/$1/cgroup")
  cat "/sys/fs/cgroup$path/memory.max" 2>/dev/null && return
  path=$(sed -n 's/^[0-9]*:memory://p' "/proc/$1/cgroup")
  cat "/sys/fs/cgroup/memory$path/memory.limit_in_bytes"
}

@test "a name in /etc/hosts is resolved, although the name server does not know it" {
  start_world
  start_hosts
  run_image "${resolve[@]}" --add-host alias.test:127.0.0.1 --env "IMAGE_URL=http://alias.test:$port/random" -- --count 1
  ends 0
  uploaded 1
}

@test "an unknown host name is logged as a failed connection, and does not end the job" {
  start_world
  start_hosts
  run_image "${resolve[@]}" --env "IMAGE_URL=http://unknown.test:$port/random" -- --fetch-timeout 1s
  eventually 30 failed_to_connect
  podman kill --signal TERM "$container" >/dev/null
  ends 143
}

failed_to_connect() {
  podman logs "$container" 2>&1 | grep '"message":"upload failed' | grep -q '"reason":"connect"'
}

@test "HTTPS certificates are verified against the CA certificates of the image" {
  start_world
  start_hosts
  start_tls
  local url=https://pictures.test:$secure/random
  # The server's certificate is not among the CA certificates, and is rejected.
  run_image "${resolve[@]}" --env "IMAGE_URL=$url" -- --fetch-timeout 1s
  eventually 30 failed_to_connect
  podman logs "$container" 2>&1 | grep -q certificate
  # The server's certificate replaces the CA certificates, and is accepted.
  run_image "${resolve[@]}" --volume "$world/certificate.pem:/etc/ssl/certs/ca-certificates.crt:ro" --env "IMAGE_URL=$url" -- --count 1
  ends 0
}

@test "invalid settings end the container with exit code 2" {
  start_world
  run_image --env S3_BUCKET_NAME= --
  ends 2
}
