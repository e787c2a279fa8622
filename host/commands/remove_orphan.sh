#!/bin/sh
# Remove a container without data, or a network, of this stack, because Pulumi is about to create it.
#
# Pulumi knows none of this name. One that exists all the same was left behind by an interrupted run. The
# broker's own container is handled by host/commands/prepare_replacement.sh, because it has a database.
#
# Arguments: $1: apply | remove (remove does nothing)
# Calls: orphan_container SOCKET NAME STACK FOLDER; orphan_network SOCKET NAME BRIDGE; finish.
#   FOLDER: a folder of this stack that the container mounts; BRIDGE: the name of the network's bridge
# Stdin: the script and its calls
# Prints: nothing
# Exit codes: 0: nothing has the name any more; other: failed, with one message on stderr.
# needs: lib/paths.sh

action=$1
socket=''

daemon() { docker -H "$socket" "$@" </dev/null; }

orphan_container() { # SOCKET NAME STACK FOLDER
  [ "$action" = apply ] || return 0
  socket=$1
  found=$(daemon container inspect --format '{{index .Config.Labels "sentient-mqtt.stack"}}' "$2" 2>/dev/null) || return 0
  case $found in
    '' | '<no value>')
      daemon container inspect --format '{{range .Mounts}}{{println .Source}}{{end}}' "$2" | grep -qxF -- "$4" ||
        fail "container $2: exists already, and this stack did not create it. Rename or remove it"
      ;;
    *) ;; # Of this program: host/commands/claim_host.sh has refused a broker of another state.
  esac
  daemon rm --force --volumes "$2" >/dev/null 2>&1 || :
  ! daemon container inspect "$2" >/dev/null 2>&1 || fail "container $2: can't be removed"
}

orphan_network() { # SOCKET NAME BRIDGE
  [ "$action" = apply ] || return 0
  socket=$1
  # By id: Docker before 23 can hold several networks of one name.
  for id in $(daemon network ls --no-trunc --filter "name=^$2\$" --format '{{.ID}}'); do
    bridge=$(daemon network inspect --format '{{index .Options "com.docker.network.bridge.name"}}' "$id")
    [ "$bridge" = "$3" ] ||
      fail "network $2: exists already, and this stack did not create it. Remove it: docker network rm $2"
    users=$(daemon network inspect --format '{{range .Containers}}{{.Name}} {{end}}' "$id")
    [ -z "$users" ] ||
      fail "network $2: Pulumi's state does not know it, and it is in use by ${users% }. Stop and remove \
that container (its files stay), then try again"
    daemon network rm "$id" >/dev/null || fail "network $2: can't be removed"
  done
}

finish() { :; }
