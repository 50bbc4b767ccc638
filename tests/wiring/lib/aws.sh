# shellcheck shell=bash
# What starts the AWS CLI for tests: for all of them in run.sh, or for one file.

: "${repository:?is the folder of the project}"

# start_aws FOLDER: aws_server.py, with its socket there; unless one is at work. It
# ends when this shell does, which holds its standard input in aws_pipe.
# shellcheck disable=SC2034 # for stop_cloud
start_aws() {
  [[ -z ${AWS_SERVER-} ]] || return 0
  export AWS_SERVER=$1/aws
  exec {aws_pipe}> >(exec "$repository/.tools/lint/bin/python" "$repository/tests/wiring/lib/aws_server.py" "$AWS_SERVER" >"$AWS_SERVER.log" 2>&1 3>&-)
  aws_pid=$!
  until [[ -S $AWS_SERVER ]]; do
    kill -0 "$aws_pid" || return 1
    sleep 0.1
  done
}
