#!/bin/sh
# Prepare the replacement of a container: rehearse the new one, save the database, and keep a copy of both.
#
# A container with the options of the new one is created and started beside the old one: without ports, its
# folders read-only, with a command that ends. If Docker can't start it, the old container stays.
#
# Does nothing if the container is already made from DIGEST and the image. If the preparation fails, the
# container is not replaced.
#
# With `take_over`, Pulumi is about to create the container and knows none of this name. One that exists all
# the same was created by an interrupted run, by hand or by an updater: it is prepared likewise, then stopped
# and removed, so that its name is free.
#
# Arguments: $1: apply | remove (remove deletes the copy of the container)
# Calls: database CONTAINER SOCKET IMAGE FOLDER (host/lib/database.sh); guard DIGEST ONE_WAY;
#   rehearse_start OPTION...; former RESTART CONF (host/lib/former_container.sh);
#   take_over STACK CONFIG SECONDS; finish. OPTION: of `docker create`; DIGEST: the start digest of the next container; ONE_WAY: yes | no;
#   CONFIG: the configuration folder; SECONDS: the time that the broker has to stop
# Stdin: the script and its calls
# Prints: nothing
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/database.sh
# needs: lib/former_container.sh

# shellcheck disable=SC2154 # defined in host/lib/database.sh
digest=''
one_way=no
options='' # of the next container, one a line
network=none
stack=''  # of `take_over`
config=''
grace=''
put_aside=no # whether this run linked the copy aside

guard() { # DIGEST ONE_WAY: of the next container
  digest=$1
  one_way=$2
}

rehearse_start() { # NETWORK OPTION...: of `docker create` for the next container
  network=$1
  shift
  options=$(printf '%s\n' "$@")
}

take_over() { # STACK CONFIG SECONDS
  stack=$1
  config=$2
  grace=$3
}

fail() {
  [ "$put_aside" = no ] || in_data rw 60 'rm -rf .before-start .rehearsal' || :
  # The configuration was applied before: the running broker has it.
  if running_again; then
    echo "$*. The container was not replaced: it runs on, with the new users and rules" >&2
  else
    echo "$*. No container was made, and none runs" >&2
  fi
  exit 1
}

last_log_lines() {
  daemon logs --tail 5 "$rehearsal" 2>&1 || :
}

# Whether AFTER has at least the retained messages, sessions and queued messages of BEFORE.
# shellcheck disable=SC2086 # three numbers each
no_less() { # BEFORE AFTER
  set -- $1 $2
  [ "$4" -ge "$1" ] && [ "$5" -ge "$2" ] && [ "$6" -ge "$3" ]
}

rehearse_both() { # OLD NEW COUNTS: of the old image
  link_trial .before-start
  after=$(count_trial "$2") ||
    fail "image $image: can't start on a copy of the database. It said: $(last_log_lines)"
  no_less "$3" "$after" ||
    fail "image $image: finds $after in a copy of the database, where there are $3 (retained \
messages, sessions, queued messages)"
  back=$(count_trial "$1") || back='0 0 0'
  no_less "$3" "$back" || [ "$one_way" = yes ] ||
    fail "image $image: the image that runs now would find $back of $3 (retained messages, \
sessions, queued messages) in the database that this one writes, so the change can't be reverted. Set \
broker.persistence.oneWay to true if that is intended"
}

# Creates and starts a container with the options of the next one; its command prints a usage and ends.
start_rehearsal() {
  [ -n "$options" ] || return 0
  daemon rm --force --volumes "$rehearsal" >/dev/null 2>&1 || :
  # The broker's own network may not exist yet.
  [ "$network" = host ] || daemon network inspect "$network" >/dev/null 2>&1 || network=none
  set -f
  IFS='
'
  # shellcheck disable=SC2086 # one option a line
  set -- $options
  unset IFS
  set +f
  said=$(daemon create --pull never --name "$rehearsal" --restart no --network "$network" "$@" "$new" \
    /usr/sbin/mosquitto -h 2>&1 >/dev/null) || refuse_start "$said"
  said=$(daemon start "$rehearsal" 2>&1 >/dev/null) || refuse_start "$said"
  ended=$(timeout 60 docker -H "$socket" wait "$rehearsal" </dev/null) || ended=no
  # 126, 127: not executable or not there; above: ended by a signal, such as for lack of memory.
  case $ended in
    no) refuse_start 'its command did not end' ;;
    12[5-9] | 1[3-9][0-9] | 2[0-9][0-9]) refuse_start "it ended with $ended. $(last_log_lines)" ;;
  esac
  daemon rm --force --volumes "$rehearsal" >/dev/null 2>&1 || :
}

refuse_start() { # WORDS
  daemon rm --force --volumes "$rehearsal" >/dev/null 2>&1 || :
  fail "container $container: Docker can't start the new one: $1"
}

# Whether the container belongs to the stack: by its label, or by its configuration folder if nobody labelled it.
is_ours() {
  case $(state '{{index .Config.Labels "sentient-mqtt.stack"}}') in
    '' | '<no value>') state '{{range .Mounts}}{{println .Source}}{{end}}' | grep -qxF -- "$config" ;;
    *) return 0 ;; # Of this program: host/commands/claim_host.sh has refused a broker of another state.
  esac
}

end_orphan() {
  daemon stop -t "$grace" "$container" >/dev/null 2>&1 || :
  daemon rm --force --volumes "$container" >/dev/null 2>&1 || :
  [ -z "$(state '{{.Id}}')" ] || fail "container $container: can't be removed"
}

finish() {
  # On `remove` the copy of the database stays: after an incomplete start it may be the only one.
  [ "$action" = apply ] || {
    forget_former
    return 0
  }
  if [ -z "$stack" ]; then
    prepare
  elif [ -n "$(state '{{.Id}}')" ]; then
    is_ours || {
      echo "container $container: exists already, and this stack did not create it. Rename or remove it" >&2
      exit 1
    }
    prepare
    end_orphan
  fi
}

prepare() {
  # A restore that is under way keeps its previous database there.
  alone || {
    busy >&2
    exit 1
  }
  # A paused broker can neither save its database nor handle SIGTERM.
  [ "$(state '{{.State.Paused}}')" != true ] || daemon unpause "$container" >/dev/null
  new=$(daemon image inspect --format '{{.Id}}' "$image") || fail "image $image: is not on this host"
  recover
  known=$(state '{{index .Config.Labels "sentient-mqtt.configuration"}} {{.Image}}') || known=''
  [ "$known" != "$digest $new" ] || [ -n "$stack" ] || return 0
  start_rehearsal
  save_if_running ||
    fail "container $container: its database could not be written (is the disk full?)"
  if [ "$only_copy" = yes ]; then
    link_trial .before-start
  else
    put_aside=yes
    put_aside
  fi
  [ "$database" = yes ] || {
    forget_aside
    keep_former
    return 0
  }
  # The image of a removed container is unknown.
  old=${known#* }
  before=$(count_trial "${old:-$new}") ||
    fail "image ${old:-$image}: can't start on a copy of the database. It said: $(last_log_lines)"
  [ "${old:-$new}" = "$new" ] || rehearse_both "$old" "$new" "$before"
  [ "$only_copy" = yes ] || hold "$before"
  keep_former
}
