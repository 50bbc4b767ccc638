#!/usr/bin/env bats
# Tests what scripts/steps/image.sh does after the build: a push to a registry or to ECR, and
# loading the image into a local cluster.
# shellcheck disable=SC2030,SC2031 # each test is a process of its own

# shellcheck source-path=SCRIPTDIR source=world.sh
. "$BATS_TEST_DIRNAME/world.sh"

bats_require_minimum_version 1.5.0

setup() {
  bin=$BATS_TEST_TMPDIR/bin
  mkdir -p "$bin" "$BATS_TEST_TMPDIR/tmp"
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_REGION=us-east-1 TMPDIR=$BATS_TEST_TMPDIR/tmp
}

teardown() {
  stop
}

# stub NAME: replaces a tool by a script that records its arguments, and then runs the commands from stdin.
stub() {
  { printf '#!/usr/bin/env bash\necho "%s $*" >>"%s"\n' "$1" "$BATS_TEST_TMPDIR/calls" && cat; } >"$bin/$1"
  chmod +x "$bin/$1"
  PATH=$bin:$PATH
}

image() {
  "$project/scripts/steps/image.sh" "$@"
}

# called TEXT: fails unless a stub was called with this text in its name and arguments.
called() {
  grep -qF -- "$1" "$BATS_TEST_TMPDIR/calls" || fail "not called: $1" "$(<"$BATS_TEST_TMPDIR/calls")"
}

@test "push sends the image to the given registry, only with the immutable tag" {
  local folder=$BATS_TEST_TMPDIR/pushed tag version
  mkdir "$folder"
  hosts registry "$folder"
  printf '[[registry]]\nlocation = "127.0.0.1:%s"\ninsecure = true\n' "$said" >"$BATS_TEST_TMPDIR/registries.conf"
  export CONTAINERS_REGISTRIES_CONF=$BATS_TEST_TMPDIR/registries.conf REPOSITORY=127.0.0.1:$said/pod-identity-demo
  tag=$(IMAGE='' image build --dry-run)
  version=${tag##*:} version=${version%%-*} # not of a commit, which uncommitted changes follow
  buildah tag "$IMAGE" "$tag" "$REPOSITORY:$version"
  [[ $(IMAGE='' image push) == "$tag" ]]
  buildah rmi "$tag" "$REPOSITORY:$version" >/dev/null
  local digest
  for digest in $(jq -r '.config.digest, .layers[].digest' "$folder/${tag##*:}"); do test -s "$folder/$digest"; done
  [[ ! -e $folder/$version ]] || fail "a mutable tag was pushed"
}

@test "push creates the ECR repository with the project's tag, and logs in; a second push finds the repository" {
  local endpoint host=123456789012.dkr.ecr.eu-west-1.amazonaws.com
  background "$project/scripts/dev/ministack.sh" >"$BATS_TEST_TMPDIR/ministack" 2>"$BATS_TEST_TMPDIR/ministack.log"
  eventually 30 test -s "$BATS_TEST_TMPDIR/ministack"
  endpoint=$(sed -n 's/^ready //p' "$BATS_TEST_TMPDIR/ministack")
  export AWS_ENDPOINT_URL=$endpoint AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test PATH=$project/.tools/aws/bin:$PATH
  # Replace only docker, which would need a real registry.
  # shellcheck disable=SC2016 # for the stub
  stub docker <<<'[[ $1 != login ]] || [[ -n $(cat) ]]'
  export CONTAINER_TOOL=docker IMAGE=$host/pod-identity-demo:1-a
  image push --dry-run
  ! aws ecr describe-repositories --region eu-west-1 --repository-names pod-identity-demo 2>/dev/null || fail "--dry-run created the repository"
  image push
  called "login --username AWS --password-stdin $host"
  called "docker push $IMAGE"
  [[ $(aws ecr describe-repositories --region eu-west-1 --repository-names pod-identity-demo \
    --query 'repositories[0].imageScanningConfiguration.scanOnPush') == true ]]
  [[ $(aws ecr list-tags-for-resource --region eu-west-1 --resource-arn arn:aws:ecr:eu-west-1:123456789012:repository/pod-identity-demo \
    --query 'tags[].[Key, Value]' --output text) == $'pod-identity-demo\tpod-identity-demo' ]]
  image push 2>&1 | grep -q 'already exists: the repository'
}

@test "load gives kind an archive that contains the name that Kubernetes looks for" {
  # shellcheck disable=SC2016 # for the stub
  stub kind <<<'cp "$3" "$(dirname "$0")/../archive.tar"'
  stub kubectl <<<'echo kind-mine'
  buildah tag "$IMAGE" localhost/load-test:1
  IMAGE=load-test:1 image load
  buildah rmi localhost/load-test:1 >/dev/null
  called '--name mine'
  [[ $(tar -xOf "$BATS_TEST_TMPDIR/archive.tar" manifest.json | jq '.[0].RepoTags | index("docker.io/library/load-test:1")') == 0 ]]
}

@test "load rejects a cluster that is not of kind, k3d or minikube, with one line" {
  stub kubectl <<<'echo arn:aws:eks:eu-west-1:1:cluster/x'
  run ! image load
  [[ $output == *'is not of kind, k3d or minikube: push the image to a registry instead' && ${#lines[@]} -eq 1 ]]
}

@test "a missing container tool is reported in one line" {
  export CONTAINER_TOOL=no-such-tool
  run ! image build
  [[ $output == 'image.sh: no no-such-tool'*'install one, or set CONTAINER_TOOL to yours' && ${#lines[@]} -eq 1 ]]
}

@test "unknown arguments without -- are rejected, and --dry-run builds nothing" {
  run ! image build --no-cache
  [[ $output == *'unknown argument --no-cache'* ]]
  stub docker <<<true
  local said
  said=$(CONTAINER_TOOL=docker IMAGE='' REPOSITORY='' image build --dry-run -- --no-cache)
  [[ $said =~ ^pod-identity-demo:[0-9]+\.[0-9]+\.[0-9]+-[0-9a-f]{12}$ ]]
  ! grep -q 'docker build' "$BATS_TEST_TMPDIR/calls" || fail "--dry-run built the image"
}
