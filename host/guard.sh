#!/bin/sh
# With host/database.sh before it. After `apply`: where a container is about to be made, the
# database is on disk and linked aside, and the image that follows was seen to read it. Else the
# container is the one that it was.
# needs: database.sh

# shellcheck disable=SC2154 # host/database.sh has the others
digest=''
one_way=no

guard() { # DIGEST ONE_WAY: what the container that follows is made from
  digest=$1
  one_way=$2
}

fail() {
  [ "$only_copy" = yes ] || rm -rf -- "$aside"
  # The files came first: the broker that runs has them.
  if running; then
    echo "$*. The container was not replaced: it runs on, with the new users and rules" >&2
  else
    echo "$*. No container was made, and none runs" >&2
  fi
  exit 1
}

last_words() {
  daemon logs --tail 5 "$rehearsal" 2>&1 || :
}

# What a broker finds: retained messages, sessions, messages that wait.
# shellcheck disable=SC2086 # three numbers each
no_less() { # BEFORE AFTER
  set -- $1 $2
  [ "$4" -ge "$1" ] && [ "$5" -ge "$2" ] && [ "$6" -ge "$3" ]
}

rehearse_both() { # OLD NEW, and what the old one finds
  link_database "$trial" "$aside"
  after=$(counts "$2" "$trial") ||
    fail "image $image: can't start on a copy of the database. It said: $(last_words)"
  no_less "$3" "$after" ||
    fail "image $image: finds $after in a copy of the database, where there are $3 (retained \
messages, sessions, messages that wait)"
  back=$(counts "$1" "$trial") || back='0 0 0'
  no_less "$3" "$back" || [ "$one_way" = yes ] ||
    fail "image $image: the image that runs now would find $back of $3 (retained messages, \
sessions, messages that wait) in what this one writes, so there is no way back. Set \
broker.persistence.oneWay to true if that is meant"
}

finish() {
  # Of a start that did not come to its end there may be no other copy of the database.
  [ "$action" = apply ] || return 0
  # A restore that is under way has its way back there.
  alone || {
    busy >&2
    exit 1
  }
  recover
  known=$(state '{{index .Config.Labels "sentient-mqtt.configuration"}} {{.Image}}') || known=''
  new=$(daemon image inspect --format '{{.Id}}' "$image") || fail "image $image: is not on this host"
  [ "$known" != "$digest $new" ] || return 0
  ! running || write_database ||
    fail "container $container: its database could not be written (is the disk full?)"
  [ "$only_copy" = yes ] || put_aside
  [ -e "$aside/mosquitto.db" ] || {
    rm -rf -- "$aside"
    return 0
  }
  link_database "$trial" "$aside"
  # Of a container that is gone nobody knows the image.
  old=${known#* }
  before=$(counts "${old:-$new}" "$trial") ||
    fail "image ${old:-$image}: can't start on a copy of the database. It said: $(last_words)"
  [ "${old:-$new}" = "$new" ] || rehearse_both "$old" "$new" "$before"
  [ "$only_copy" = yes ] || printf '%s\n' "$before" >"$aside/held"
}
