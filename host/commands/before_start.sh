#!/bin/sh
# With host/lib/database.sh before it. After `apply`: where a container is about to be made, the
# database is on disk and linked aside, and the image that follows was seen to read it. Else the
# container is the one that it was.
# needs: lib/database.sh

# shellcheck disable=SC2154 # host/lib/database.sh has the others
digest=''
one_way=no
put_aside=no # whether what is aside is there because of this run

guard() { # DIGEST ONE_WAY: what the container that follows is made from
  digest=$1
  one_way=$2
}

fail() {
  [ "$put_aside" = no ] || in_data rw 60 'rm -rf .before-start .rehearsal' || :
  # The files came first: the broker that runs has them.
  if running_again; then
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
  link_trial .before-start
  after=$(count_trial "$2") ||
    fail "image $image: can't start on a copy of the database. It said: $(last_words)"
  no_less "$3" "$after" ||
    fail "image $image: finds $after in a copy of the database, where there are $3 (retained \
messages, sessions, messages that wait)"
  back=$(count_trial "$1") || back='0 0 0'
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
  new=$(daemon image inspect --format '{{.Id}}' "$image") || fail "image $image: is not on this host"
  recover
  known=$(state '{{index .Config.Labels "sentient-mqtt.configuration"}} {{.Image}}') || known=''
  [ "$known" != "$digest $new" ] || return 0
  ! running || write_database ||
    fail "container $container: its database could not be written (is the disk full?)"
  if [ "$only_copy" = yes ]; then
    link_trial .before-start
  else
    put_aside=yes
    put_aside
  fi
  [ "$database" = yes ] || {
    forget_aside
    return 0
  }
  # Of a container that is gone nobody knows the image.
  old=${known#* }
  before=$(count_trial "${old:-$new}") ||
    fail "image ${old:-$image}: can't start on a copy of the database. It said: $(last_words)"
  [ "${old:-$new}" = "$new" ] || rehearse_both "$old" "$new" "$before"
  [ "$only_copy" = yes ] || hold "$before"
}
