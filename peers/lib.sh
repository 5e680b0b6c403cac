# shellcheck shell=bash disable=SC2034
# What the scripts of this folder share. Sourced, never run.
#
# Programs come from package registries through their own clients (Maven, pip, cargo, apt) and are kept in a
# cache, so a second run needs no network.

PEERS_CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/flowkeeper-peers"
JAVA="${JAVA_HOME:+$JAVA_HOME/bin/}java"

die() { echo "${0##*/}: $*" >&2; exit 1; }
note() { echo "${0##*/}: $*" >&2; }

# need PROGRAM... : end with exit status 77 (the usual "skipped" status) when a
# program that this peer needs is not on the machine.
need() {
  local p
  for p in "$@"; do
    command -v "$p" >/dev/null 2>&1 || { echo "${0##*/}: SKIP: no '$p' on this machine" >&2; exit 77; }
  done
}

# lock NAME : waits until no other process fills that part of the cache; held until
# this shell ends.
lock() {
  need flock
  mkdir -p "$PEERS_CACHE"
  exec 9>"$PEERS_CACHE/.lock-$1"
  flock 9
}

# maven_libs NAME GROUP:ARTIFACT:VERSION[:exclude=GROUP:ARTIFACT...]... :
# puts the named artifacts and their runtime dependencies as jars into
# $PEERS_CACHE/NAME/lib (made once; delete the folder to fetch again) and prints
# that folder.
maven_libs() {
  local name=$1; shift
  local home="$PEERS_CACHE/$name" gav g a v x
  # The list of artifacts is part of the stamp, so a changed version refetches.
  local stamp="$home/lib/.complete" want="$*"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then echo "$home/lib"; return 0; fi
  need mvn
  lock "$name"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then echo "$home/lib"; return 0; fi
  rm -rf "${home:?}/lib" "$home/pom.xml"; mkdir -p "$home/lib"
  {
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo "<groupId>flowkeeper.peers</groupId><artifactId>$name</artifactId><version>1</version><packaging>pom</packaging>"
    echo '<dependencies>'
    for gav in "$@"; do
      IFS=: read -r g a v x <<<"$gav"
      echo "<dependency><groupId>$g</groupId><artifactId>$a</artifactId><version>$v</version>"
      if [ -n "$x" ]; then
        echo '<exclusions>'
        local e
        for e in ${x//,/ }; do
          echo "<exclusion><groupId>${e%%/*}</groupId><artifactId>${e##*/}</artifactId></exclusion>"
        done
        echo '</exclusions>'
      fi
      echo '</dependency>'
    done
    echo '</dependencies></project>'
  } >"$home/pom.xml"
  note "resolving $* with Maven (first use only)"
  mvn -q -B -f "$home/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory="$home/lib" >"$home/maven.log" 2>&1 \
    || { tail -20 "$home/maven.log" >&2
         echo "${0##*/}: SKIP: Maven cannot resolve $name (see $home/maven.log)" >&2; exit 77; }
  printf '%s' "$want" >"$stamp"
  echo "$home/lib"
}

# python_libs NAME REQUIREMENT... : prints a virtual environment that has the named packages (made once; delete
# the folder to make it again).
python_libs() {
  local name=$1; shift
  local home="$PEERS_CACHE/python-$name" want="$*"
  local stamp="$home/.complete"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then echo "$home"; return 0; fi
  need python3
  lock "python-$name"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then echo "$home"; return 0; fi
  rm -rf "${home:?}"
  note "installing $* with pip (first use only)"
  python3 -m venv "$home" >"$PEERS_CACHE/python-$name.log" 2>&1 \
    && "$home/bin/pip" install -q "$@" >>"$PEERS_CACHE/python-$name.log" 2>&1 \
    || { tail -5 "$PEERS_CACHE/python-$name.log" >&2
         echo "${0##*/}: SKIP: pip cannot install $* (see $PEERS_CACHE/python-$name.log)" >&2; exit 77; }
  printf '%s' "$want" >"$stamp"
  echo "$home"
}

# Processes. A pid file holds "PID STARTTIME" (field 22 of /proc/PID/stat), so
# that a pid which the system has given to another process is never signalled.
_start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# spawn PIDFILE LOGFILE COMMAND... : runs COMMAND in a session of its own, off
# the terminal, its output appended to LOGFILE.
spawn() {
  local pidfile=$1 log=$2; shift 2
  setsid "$@" </dev/null >>"$log" 2>&1 &
  local pid=$!
  echo "$pid $(_start_time "$pid")" >"$pidfile"
  disown "$pid" 2>/dev/null || true
}

# pid_of PIDFILE : prints the pid when that very process still runs.
pid_of() {
  local pid start
  [ -s "$1" ] && read -r pid start <"$1" && [ -n "$start" ] \
    && [ "$(_start_time "$pid")" = "$start" ] \
    && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null && echo "$pid"
}
alive() { pid_of "$1" >/dev/null; }

# stop_pid PIDFILE [SECONDS] : ends that process: SIGCONT (it may be paused),
# SIGTERM, and SIGKILL when it is still there after SECONDS (default 15).
stop_pid() {
  local pid n=$(( ${2:-15} * 10 ))
  if pid=$(pid_of "$1"); then
    kill -CONT "$pid" 2>/dev/null; kill -TERM "$pid" 2>/dev/null
    while [ $n -gt 0 ] && alive "$1"; do sleep 0.1; n=$((n-1)); done
    if alive "$1"; then kill -KILL "$pid" 2>/dev/null; fi
  fi
  rm -f "$1"
}

# kill_pid PIDFILE [group] : SIGKILL to that process, or to all of its session's
# first process group; returns when it has left the process table (a server may
# look there for the owner of its lock file).
kill_pid() {
  local pid n=100
  pid=$(pid_of "$1") || die "it does not run"
  if [ "${2:-}" = group ]; then kill -KILL -- "-$pid"; else kill -KILL "$pid"; fi
  while [ $n -gt 0 ] && [ -d "/proc/$pid" ]; do sleep 0.05; n=$((n-1)); done
  rm -f "$1"
}

# rss_mib PID : resident memory in MiB.
rss_mib() { awk '/^VmRSS/ { printf "%d", $2/1024 }' "/proc/$1/status" 2>/dev/null; }

# port_open PORT : whether something on the loopback address accepts there.
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port : a port that nothing listens on now, below the range from which the system gives ports to clients.
free_port() {
  local port
  while port=$((20000 + RANDOM % 10000)); port_open "$port"; do :; done
  echo "$port"
}

# The tally of a check. `passed` and `failed` count single tests; `skipped` is for a peer that cannot be had, which
# FK_REQUIRE_PEERS=1 turns into a failure. `tally` prints the sum and is the check's exit status.
PASSED=0 FAILED=0 SKIPPED=0
passed() { PASSED=$((PASSED + ${1:-1})); }
failed() { FAILED=$((FAILED + 1)); echo "FAILED $*"; }
skipped() {
  if [ "${FK_REQUIRE_PEERS:-}" = 1 ]; then failed "$* (FK_REQUIRE_PEERS is set)"; else SKIPPED=$((SKIPPED + 1)); echo "skipped: $*"; fi
}
tally() {
  local skips=
  [ "$SKIPPED" = 0 ] || skips=", $SKIPPED skipped"
  echo "$PASSED passed, $FAILED failed$skips"
  [ "$FAILED" = 0 ]
}

# workspace_binary ARGS... : builds with `cargo build ARGS` and prints the path of the program.
workspace_binary() {
  need cargo python3
  cargo build --locked --message-format json-render-diagnostics "$@" | python3 -c '
import json, sys
found = [m.get("executable") for m in map(json.loads, sys.stdin) if m.get("reason") == "compiler-artifact"]
print([path for path in found if path][-1])'
}
