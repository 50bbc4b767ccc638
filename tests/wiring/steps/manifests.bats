#!/usr/bin/env bats
# Which settings of the program SETTINGS can have: those that would have no effect, or that would make the
# kubelet kill the pod, are refused in one line.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  toolbox kubectl
  unset COMPONENTS NAMESPACE SERVICE_ACCOUNT IRSA_SERVICE_ACCOUNT ARCHITECTURE FLEET_SIZE CLUSTER_NAME SETTINGS
  export BUCKET=pictures IMAGE=registry.example/pod-identity-demo:1 AWS_REGION=eu-west-1 WITH=aws FILLED=$BATS_FILE_TMPDIR/filled
}

# fill OVERLAY SETTINGS: fills in the manifests with these settings.
fill() {
  SETTINGS=$2 run --separate-stderr "$(script_path manifests)" "$1"
  echo "$1, $2: $stderr"
}

# refused OVERLAY SETTINGS WORDS: one line names the setting and contains these words, and nothing is written.
refused() {
  rm -rf "$FILLED"
  fill "$1" "INTERVAL=10s $2"
  [[ $status == 1 && -z $output && ${#stderr_lines[@]} == 1 && $stderr == "manifests.sh: SETTINGS contains ${2%%=*}"*"$3"* && ! -e $FILLED ]]
}

@test "a variable that the manifests set is refused, and the line says where to change it" {
  local overlay names name file
  for overlay in eks irsa fleet localstack; do
    names=$(kubectl kustomize "$repository/k8s/overlays/$overlay" | sed -n '/^kind: Job$/,/^---$/s/^ *- name: \([A-Z][A-Z0-9_]*\)$/\1/p')
    [[ $names == *POD_NAME* && $names == *REQUIRE_IDENTITY* ]]
    [[ $overlay != fleet || $names == *S3_KEY_PREFIX* ]]
    [[ $overlay != localstack || $names == *AWS_ENDPOINT_URL* ]]
    for name in $names; do
      if [[ $name == AWS_REGION ]]; then
        refused "$overlay" "$name=us-east-1" "set AWS_REGION in the environment"
      else
        refused "$overlay" "$name=x" "would have no effect"
        file=${stderr#*because } file=${file%% *}
        grep -qE "name: $name\$" "$repository/$file"
      fi
    done
    refused "$overlay" S3_BUCKET_NAME=another "set BUCKET in the environment"
  done
}

@test "an address on which the probes do not reach the program is refused" {
  local address
  for address in off 0.0.0.0:9090 127.0.0.1:8080; do
    refused eks "LISTEN_ADDR=$address" "the probes of the pod need port 8080 on all addresses"
  done
  for address in 0.0.0.0:8080 '[::]:8080'; do
    fill eks "LISTEN_ADDR=$address"
    ((status == 0))
    kubectl kustomize "$output" | tr -d "'" | grep -qxF "  LISTEN_ADDR: $address"
  done
}

@test "other settings are in the ConfigMap, the last of a name, and what is no setting is refused" {
  local built
  fill eks "AWS_ENDPOINT_URL=http://10.0.0.1:4566 ALLOW_PRIVATE_SOURCE=true IMAGE_URL=http://10.0.0.1:8081/random?a=b INTERVAL=2s INTERVAL=3s STARTUP_GRACE=1s S3_KEY_PREFIX=a/"
  ((status == 0))
  built=$(kubectl kustomize "$output")
  for line in 'AWS_ENDPOINT_URL: http://10.0.0.1:4566' 'ALLOW_PRIVATE_SOURCE: "true"' 'IMAGE_URL: http://10.0.0.1:8081/random?a=b' 'INTERVAL: 3s' 'STARTUP_GRACE: 1s' 'S3_KEY_PREFIX: a/'; do
    grep -qxF "  $line" <<<"$built"
  done
  refused eks often "it must be a list of NAME=VALUE"
}
