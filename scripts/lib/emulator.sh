# shellcheck shell=bash
# Functions for the scripts that run an AWS emulator in the foreground. A script
# sources this file after common.sh, reads its options, calls `begin_emulator`, then
# `serve`. Nothing else than the `ready` line of `serve` goes to stdout.

port='' until_stdin_closes='' state='' child=''
scheme=http certificate='' # the CA certificate file of an emulator that uses TLS

# remove_leftovers: removes what an emulator leaves besides its process. Scripts can
# override it.
remove_leftovers() { :; }

# stop_emulator: runs when the script ends, and ends the child with all its children.
# shellcheck disable=SC2329 # a trap calls it
stop_emulator() {
  local tries
  trap '' HUP INT TERM
  if [[ -n $child ]]; then
    kill -TERM -- "-$child" 2>/dev/null || true
    for ((tries = 0; tries < 100; tries++)); do
      child_running || break
      sleep 0.1
    done
    kill -KILL -- "-$child" 2>/dev/null || true
  fi
  remove_leftovers
  [[ -z $state ]] || rm -rf "$state"
}

# start_child FD COMMAND...: starts the child in its own process group, with its
# output to that descriptor. The child ends with this script, even if that is killed.
start_child() {
  local output=$1
  shift
  set -m
  coproc {
    set +m
    exec >&"$output" 2>&1 3>&-
    { read -r || kill -TERM 0; } <&0 &
    exec "$@"
  }
  set +m
  child=$COPROC_PID
}

child_running() {
  kill -0 "$child" 2>/dev/null
}

# pause: waits a moment, and ends the script when stdin closes and the option
# --until-stdin-closes was given.
pause() {
  local status=0
  [[ -n $until_stdin_closes ]] || { sleep 0.2 && return; }
  read -r -t 0.2 || status=$?
  ((status == 0 || status > 128)) || exit 0
}

# child_ended: waits until the child ends, and returns its exit status.
child_ended() {
  while child_running; do pause; done
  wait "$child"
}

# port_taken PORT: true when a process listens on the port.
port_taken() {
  (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# die_with_log MESSAGE: ends the script, and shows the end of the emulator's log.
die_with_log() {
  tail -n 20 "$state/log"
  die "$*: see the end of its log above"
}

# option NAME [VALUE]: reads one of the options that all emulators have. Returns 1
# when the option has a value, so that the caller skips that as well.
option() {
  case $1 in
    -h | --help) usage && exit ;;
    --until-stdin-closes) until_stdin_closes=yes ;;
    --port)
      (($# > 1)) || die "$1 requires a value (see --help)"
      port=$2
      return 1
      ;;
    *) die "unknown option $1 (see --help)" ;;
  esac
}

# choose_port: checks the port, or chooses a free one if none was given.
choose_port() {
  need curl "install it with your system's packages"
  if [[ -z $port ]]; then
    # Stay below the ports that operating systems use for outgoing connections.
    until port=$((20000 + RANDOM % 10000)) && ! port_taken "$port"; do :; done
  fi
  if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || ((port > 65535)); then die "--port requires a port number, not '$port'"; fi
  ! port_taken "$port" || die "port $port is in use: choose another, or omit --port to use a free one"
}

# begin_emulator NAME: creates the temporary folder, and makes sure that nothing is
# left when the script ends. Descriptor 3 is stdout, descriptor 4 the log.
begin_emulator() {
  exec 3>&1 1>&2
  trap stop_emulator EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  state=$(mktemp -d "${TMPDIR:-/tmp}/$1.XXXXXX")
  exec 4>"$state/log"
}

# serve NAME HEALTH COMMAND...: runs the emulator until it ends. It is healthy
# as soon as it responds at the path HEALTH.
serve() {
  local name=$1 health=$2 deadline=$((SECONDS + 60))
  shift 2
  show "$@"
  start_child 4 "$@"
  until curl --silent --fail --noproxy '*' --max-time 5 ${certificate:+--cacert "$certificate"} \
    --output "$state/health" "$scheme://127.0.0.1:$port$health"; do
    child_running || die_with_log "$name ended before it was ready"
    ((SECONDS < deadline)) || die_with_log "$name was not ready after 60 s"
    pause
  done
  child_running || die_with_log "$name ended before it was ready"
  echo "ready $scheme://127.0.0.1:$port${certificate:+ $certificate}" >&3
  exec 3>&-

  [[ -n $until_stdin_closes ]] || wait "$child" || true
  child_ended || true
  die_with_log "$name ended by itself"
}
