#!/bin/sh
# After `apply`: every file has its text, owner and mode, and a broker that runs has read them;
# or, where anything failed, every file is as it was and so is the broker. After `remove`: the
# files are gone.
set -eu
umask 077

action=$1
paths=''     # in the order in which they are put in place, one a line
suffix=.staged
changed=no
container=''
socket=''
port=''

discard() {
  printf '%s' "$paths" | while IFS= read -r path; do
    rm -f -- "$path$suffix" "$path.previous"
  done
}
trap 'status=$?; discard; exit "$status"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "$*" >&2
  exit 1
}

put() { # PATH MODE UID GID, the text on stdin
  paths="$paths$1
"
  if [ "$action" = remove ]; then
    cat >/dev/null
    return 0
  fi
  [ ! -d "$1" ] || fail "$1: is a folder; move it away or choose another path"
  (umask 022 && mkdir -p -- "$(dirname -- "$1")")
  # A full disk ends here: nothing has been put in place yet.
  cat >"$1$suffix" || fail "$1: can't be written; is the disk full? The file in place is untouched"
  chown -- "$3:$4" "$1$suffix"
  chmod -- "$2" "$1$suffix"
}

broker() { # CONTAINER SOCKET PORT: the broker that reads the files, if it runs
  container=$1
  socket=$2
  port=$3
}

in_container() {
  docker -H "$socket" exec "$container" "$@" </dev/null
}

runs() {
  [ -n "$container" ] || return 1
  state=$(docker -H "$socket" inspect --format '{{.State.Running}} {{.State.Restarting}}' \
    "$container" 2>/dev/null </dev/null) || return 1
  [ "$state" = 'true false' ]
}

# 0: the health user, as the files have it, is let in and may not publish. 2: it may: 2.0 drops
# every rule when it reads a bad ACL file, and then the publish, which no rule grants, passes.
obeys() {
  in_container mosquitto_sub -h 127.0.0.1 -p "$port" -t "\$SYS/broker/uptime" -C 1 -W 3 -I apply- \
    >/dev/null 2>&1 || return 1
  passed=yes
  answer=$(in_container mosquitto_pub -h 127.0.0.1 -p "$port" -V 5 -q 1 \
    -t sentient-mqtt/denied -m x -I apply- 2>&1) || passed=no
  case $answer in
    *'ot authori'*) return 0 ;;
  esac
  [ "$passed" = no ] || return 2
  return 1
}

reload() {
  # From inside: `docker kill -s HUP` would mark the container as stopped by hand, and it would
  # not come back after a reboot.
  in_container kill -HUP 1 || return 1
  tries=0
  while :; do
    answered=0
    obeys || answered=$?
    [ "$answered" -ne 0 ] || return 0
    # Of a broker that was well, these two are final: each moment more leaves every client free to
    # do everything (2.0), or the broker down (2.1).
    if [ "$well" = yes ]; then
      [ "$answered" -ne 2 ] && runs || return 1
    fi
    tries=$((tries + 1))
    [ "$tries" -lt 10 ] || return 1
    sleep 0.5
  done
}

restore() {
  printf '%s' "$paths" | while IFS= read -r path; do
    if [ -e "$path.previous" ]; then
      mv -f -- "$path.previous" "$path"
    fi
  done
}

finish() {
  if [ "$action" = remove ]; then
    printf '%s' "$paths" | while IFS= read -r path; do
      rm -f -- "$path"
    done
    return 0
  fi
  # On disk before in place: after a power cut a name must not stand for an empty file.
  sync
  while IFS= read -r path; do
    [ -n "$path" ] || continue
    if [ -e "$path" ]; then
      cmp -s -- "$path" "$path$suffix" || changed=yes
      cp -p -- "$path" "$path.previous" || fail "$path: can't be copied aside; is the disk full? Nothing was changed"
    else
      changed=yes
    fi
  done <<EOT
$paths
EOT
  # A broker that was unwell already has nothing to lose by the new files, and may need them.
  well=no
  if [ "$changed" = yes ] && runs && obeys; then well=yes; fi
  while IFS= read -r path; do
    [ -n "$path" ] || continue
    mv -f -- "$path$suffix" "$path"
  done <<EOT
$paths
EOT
  [ "$changed" = yes ] && runs || return 0
  if ! reload && [ "$well" = yes ]; then
    restore
    in_container kill -HUP 1 || :
    fail "the broker refused the new files; the previous ones are in place again. It said:
$(docker -H "$socket" logs --tail 20 "$container" 2>&1 </dev/null)"
  fi
}
