#!/usr/bin/env bats
# What status.sh asks of S3. A stand-in for kubectl has a Job with a pod and its log.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud
  toolbox aws chmod
  export POD=$BATS_FILE_TMPDIR/pod BUCKET=pictures ENDPOINT
  a_cluster
  ENDPOINT=$(aws eks describe-cluster --name pod-identity-demo --query cluster.endpoint --output text)
  cat >"$BATS_FILE_TMPDIR/toolbox/kubectl" <<'KUBECTL'
#!/usr/bin/env bash
case "$*" in
  config*) echo "$ENDPOINT" ;;
  *"get jobs "*json) echo '{"items": [{"metadata": {"name": "pod-identity-demo"}}]}' ;;
  *"get pods "*json) echo '{"items": [{"metadata": {"name": "pod-1"}}]}' ;;
  *" logs "*) tail -n "${5#*=}" "$POD" ;; # --namespace, its name, logs, the pod, --tail=NUMBER
esac
KUBECTL
  chmod +x "$BATS_FILE_TMPDIR/toolbox/kubectl"
}

teardown_file() { stop_cloud; }

# uploaded NUMBER: the log's line about this object.
uploaded() {
  echo '{"timestamp": "2026-11-28T05:00:00Z", "level": "INFO", "message": "uploaded", "size": 1, "key": "some/pod-1/2026/11/28/'"$1"'.jpg"}'
}

@test "the newest objects of the pod are listed with one request, whatever else is in the bucket" {
  local number
  admin s3api create-bucket --bucket pictures
  for number in some/pod-0/2026/11/28/100{1..9} some/pod-1/2026/11/28/100{1..9}; do
    admin s3api put-object --bucket pictures --key "$number.jpg" --body "$BATS_FILE_TMPDIR/toolbox/kubectl"
  done
  { for number in 100{1..9}; do uploaded "$number"; done && echo '{"timestamp": "2026-11-28T05:00:00Z", "level": "ERROR", "message": "no picture"}'; } >"$POD"
  step status
  ((status == 0))
  [[ $(grep -o 'some/pod.*jpg$' <<<"$output" | sort | tr '\n' ' ') == "$(printf 'some/pod-1/2026/11/28/100%s.jpg ' {5..9})" ]]
  (($(grep -c ' s3 ' "$CLUSTER_STATE/calls") == 1))
  [[ -z $(writes) ]]
}

@test "a pod that has uploaded nothing has no objects" {
  echo '{"timestamp": "2026-11-28T05:00:00Z", "level": "ERROR", "message": "no picture"}' >"$POD"
  step status
  ((status == 0))
  [[ $stderr == *"the end of the log of pod-1 names no object"* ]]
  (($(grep -c ' s3 ' "$CLUSTER_STATE/calls") == 0))
}

@test "a bucket that does not exist is said to be that" {
  uploaded 1001 >"$POD"
  BUCKET=not-there step status
  ((status == 0))
  [[ $stderr == *"the bucket not-there does not exist"* ]]
}
