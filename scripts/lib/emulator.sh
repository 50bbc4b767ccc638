# shellcheck shell=bash
# What the scripts that run an AWS emulator in the foreground share. Each
# sources this after lib.sh, takes its options, calls `begin`, then `serve`.
# Until `serve` says `ready`, stdout is kept free of everything else.

port='' until_stdin_closes='' state='' child=''
scheme=http certificate='' # of an emulator that speaks TLS: the file to trust it by

# Whatever an emulator leaves besides its process: its script may say otherwise.
clear_away() { :; }

# Runs at the end, however that comes: ends the child with all its children.
# shellcheck disable=SC2329 # a trap calls it
finish() {
  local tries
  trap '' HUP INT TERM
  if [[ -n $child ]]; then
    kill -TERM -- "-$child" 2>/dev/null || true
    for ((tries = 0; tries < 100; tries++)); do
      running || break
      sleep 0.1
    done
    kill -KILL -- "-$child" 2>/dev/null || true
  fi
  clear_away
  [[ -z $state ]] || rm -rf "$state"
}

# start FD COMMAND...: as the child, in a process group of its own, its output
# to that descriptor. It ends with this script, even if that is killed.
start() {
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

running() {
  kill -0 "$child" 2>/dev/null
}

# A moment; or the end, when stdin closes and that is to be the end.
pause() {
  local status=0
  [[ -n $until_stdin_closes ]] || { sleep 0.2 && return; }
  read -r -t 0.2 || status=$?
  ((status == 0 || status > 128)) || exit 0
}

finished() {
  while running; do pause; done
  wait "$child"
}

taken() {
  (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

fail() {
  tail -n 20 "$state/log"
  die "$*: its log's end is above"
}

# option WORDS...: one of the options that all of them have; `eaten` words long.
# shellcheck disable=SC2034 # the loop of those who source this reads it
option() {
  eaten=1
  case $1 in
    -h | --help) usage && exit ;;
    --until-stdin-closes) until_stdin_closes=yes ;;
    --port)
      (($# > 1)) || die "$1 wants a value (--help says more)"
      port=$2
      eaten=2
      ;;
    *) die "there is no option $1 (--help says which there are)" ;;
  esac
}

# Settles the port, a free one where none was asked for.
settle_port() {
  need curl "install it with your system's packages"
  if [[ -z $port ]]; then
    # Below the ports that systems give to outgoing connections.
    until port=$((20000 + RANDOM % 10000)) && ! taken "$port"; do :; done
  fi
  if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || ((port > 65535)); then die "--port wants a port number, not '$port'"; fi
  ! taken "$port" || die "port $port is in use: name another, or none, for a free one"
}

# begin NAME: from here on nothing is left behind. Descriptor 3 is stdout, 4 the log.
begin() {
  exec 3>&1 1>&2
  trap finish EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  state=$(mktemp -d "${TMPDIR:-/tmp}/$1.XXXXXX")
  exec 4>"$state/log"
}

# serve NAME HEALTH COMMAND...: runs it until the end; healthy is what answers at that path.
serve() {
  local name=$1 health=$2 deadline=$((SECONDS + 60))
  shift 2
  show "$@"
  start 4 "$@"
  until curl --silent --fail --noproxy '*' --max-time 5 ${certificate:+--cacert "$certificate"} \
    --output "$state/health" "$scheme://127.0.0.1:$port$health"; do
    running || fail "$name ended before it was ready"
    ((SECONDS < deadline)) || fail "$name was not ready after 60 s"
    pause
  done
  running || fail "$name ended before it was ready"
  echo "ready $scheme://127.0.0.1:$port${certificate:+ $certificate}" >&3
  exec 3>&-

  [[ -n $until_stdin_closes ]] || wait "$child" || true
  finished || true
  fail "$name ended by itself"
}
