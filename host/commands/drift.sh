#!/bin/sh
# Print how the host differs from what the last `up` applied (host/lib/applied.sh). Changes nothing.
#
# Runs as root: host/commands/probe.sh starts it.
#
# Arguments: $1: look
# Calls: compare CONTAINER COMPONENT...; rules CONTAINER SHORT; containers SOCKET CONTAINER COMPONENT...; finish
#   SHORT: the name of the network interface and of the chains
# Stdin: the script and its calls
# Prints: `KEY SUBJECT=VALUE` per line: `applied COMPONENT=REVISION`, or `applied COMPONENT=never TIME` if
#   there is no record; `differs COMPONENT:PATH=WHAT` per object that differs; `shared COMPONENT:PATH=SHA256 TEXT`
#   per file in a folder of another user, whose content the probe compares; TEXT: who changed it when;
#   `differs COMPONENT:container NAME: KEY=WHAT` per property of a container that differs, or
#   `differs COMPONENT:container NAME=WHAT`; `label COMPONENT=VALUE`: of the recorded sentient-mqtt.revision;
#   `rules CONTAINER=never|missing|in-force|changed`; `left CONTAINER=yes` if an `up` was interrupted before it
#   removed the former rules; `boot CONTAINER=yes|no`: whether the next start of the host loads the rules
# Exit codes: 0: done; other: failed, with one message on stderr
# needs: lib/paths.sh
# needs: lib/firewall_rules.sh
# needs: lib/container_facts.sh

# shellcheck disable=SC2154 # why: defined in host/lib/paths.sh

compare() { # CONTAINER COMPONENT...
  records=/etc/sentient-mqtt/$1/applied
  shift
  for component in "$@"; do
    if [ ! -f "$records/$component" ]; then
      # With the time, so that the next `up` differs from the one before the record was lost.
      echo "applied $component=never $(date +%s)"
      continue
    fi
    while read -r kind mode uid gid digest time path; do
      if [ "$kind" = revision ]; then
        echo "applied $component=$mode"
      elif [ "$kind" != container ]; then
        what=$(difference)
        [ -z "$what" ] || printf 'differs %s:%s=%s\n' "$component" "$path" "$what"
        [ "$kind" != shared ] || echo "shared $component:$path=$digest $([ ! -e "$path" ] || who_and_when)"
      fi
    done <"$records/$component"
  done
}

# Prints what differs in the object of the present line of the record; nothing if it is as applied.
difference() {
  case $kind in
    enabled)
      systemctl is-enabled --quiet "$path" 2>/dev/null || echo 'is not enabled'
      return 0
      ;;
    absent)
      [ ! -e "$path" ] && [ ! -L "$path" ] || echo "was added ($(who_and_when))"
      return 0
      ;;
  esac
  if [ -L "$path" ]; then
    echo "was replaced by a symbolic link ($(who_and_when))"
    return 0
  fi
  if [ ! -e "$path" ]; then
    echo 'was removed'
    return 0
  fi
  found=$(stat -c %F -- "$path")
  case $kind:$found in
    folder:directory | [!f]*:regular* | file:regular*) ;;
    *)
      echo "was replaced by a $found ($(who_and_when))"
      return 0
      ;;
  esac
  list=''
  content
  [ "$(stat -c %a -- "$path")" = "$mode" ] || add "has mode $(stat -c %a -- "$path"), not $mode"
  [ "$(stat -c %u:%g -- "$path")" = "$uid:$gid" ] ||
    add "belongs to $(stat -c %u:%g -- "$path"), not $uid:$gid"
  # The broker may have read another content in between.
  [ -n "$list" ] || [ "$time" = - ] || [ "$(stat -c %Y -- "$path")" = "$time" ] ||
    add "was changed and changed back ($(utc "$(stat -c %Y -- "$path")"))"
  printf '%s' "$list"
}

add() { # TEXT
  list="$list${list:+; }$1"
}

content() {
  case $kind in file | loaded) ;; *) return 0 ;; esac
  # In a folder that another user may write to, root would follow that user's link.
  if ! root_only "$(dirname -- "$path")"; then
    add "can't be compared: $why"
  elif [ "$(sha256sum <"$path" | cut -d ' ' -f 1)" != "$digest" ]; then
    if [ -s "$path" ]; then add "has other content ($(who_and_when))"; else add "was emptied ($(who_and_when))"; fi
  fi
}

who_and_when() {
  owner=$(stat -c %U -- "$path")
  [ "$owner" != UNKNOWN ] || owner="uid $(stat -c %u -- "$path")"
  echo "changed $(utc "$(stat -c %Y -- "$path")"), owner $owner"
}

utc() { # SECONDS since 1970
  date -u -d "@$1" '+%Y-%m-%d %H:%M:%S UTC'
}

containers() { # SOCKET CONTAINER COMPONENT...
  socket=$1
  records=/etc/sentient-mqtt/$2/applied
  shift 2
  for component in "$@"; do
    recorded=$(sed -n 's/^container - - - - - //p' "$records/$component" 2>/dev/null) || :
    [ -z "$recorded" ] || container_differences
  done
}

# Compares the lines of the record, `NAME KEY=VALUE`, with the container.
container_differences() {
  name=${recorded%% *}
  printf '%s\n' "$recorded" |
    sed -n "s/^[^ ]* labels=.*sentient-mqtt\.revision=\([0-9]*\).*/label $component=\1/p
      s/^[^ ]* network=[^ ]* \([0-9]*\)\$/label network=\1/p"
  subject="differs $component:container $name"
  described=$(container_facts "$socket" "$name")
  if [ -z "$described" ]; then
    # A description that Docker did not give says nothing.
    ! docker -H "$socket" container inspect "$name" </dev/null >/dev/null 2>&1 || return 0
    id=$(printf '%s\n' "$recorded" | sed -n 's/^[^ ]* id=//p')
    other=$(docker -H "$socket" container inspect --format '{{.Name}}' "$id" </dev/null 2>/dev/null) || other=''
    if [ -n "$other" ]; then
      echo "$subject: name=is ${other#/}, not $name"
    else
      echo "$subject=was removed"
    fi
    network=$(printf '%s\n' "$recorded" | sed -n 's/^[^ ]* network=//p')
    [ "$(network_of "$socket" "$name")" = "$network" ] || echo "$subject: network=was removed"
    return 0
  fi
  {
    printf '%s\n\n' "$described"
    printf '%s\n' "$recorded" | sed 's/^[^ ]* //'
  } | awk -v subject="$subject" '
    $0 == "" { wanted = 1; next }
    { key = substr($0, 1, index($0, "=") - 1); value = substr($0, index($0, "=") + 1) }
    !wanted { found[key] = value; next }
    key == "id" && found[key] != value {
      print subject ": id=is another container than the one that was created"
      next
    }
    key == "state" {
      if (found[key] != value && found[key] ~ /^(exited|created|paused|dead)$/) print subject ": state=is " found[key]
      next
    }
    key == "network" && found[key] != value {
      print subject ": network=" (found[key] == "" ? "was removed" : "was removed and created again")
      next
    }
    key == "lost" && found[key] != value {
      print subject ": lost=holds on to a folder that was replaced on the host: " found[key]
      next
    }
    found[key] != value {
      print subject ": " key "=is " (found[key] == "" ? "none" : found[key]) ", not " (value == "" ? "none" : value)
    }'
}

rules() { # CONTAINER SHORT, as in broker/firewall/rules.py
  place=/etc/sentient-mqtt/$1
  for former_rules in "$place"/rules.*.left; do
    [ ! -e "$former_rules" ] || echo "left $1=yes"
  done
  if [ ! -f "$place/state" ]; then
    echo "rules $1=never"
    return 0
  fi
  if command -v systemctl >/dev/null 2>&1; then
    if systemctl is-enabled --quiet "sentient-mqtt-firewall-$1.service" 2>/dev/null &&
      [ -e "$place/load" ]; then echo "boot $1=yes"; else echo "boot $1=no"; fi
  fi
  # The backend is recorded beside the digest: the stack file may name another one now.
  read -r _ recorded backend tables <"$place/state" || :
  text=$(rules_in_force "$backend" "$tables" "$1" "$2")
  if [ -z "$text" ]; then
    echo "rules $1=missing"
  elif [ "$(printf '%s\n' "$text" | sha256sum | cut -d ' ' -f 1)" = "$recorded" ]; then
    echo "rules $1=in-force"
  else
    echo "rules $1=changed"
  fi
}

finish() { :; }
