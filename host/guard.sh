#!/bin/sh
# With host/database.sh before it. After `apply`: where the container is about to be replaced, its
# database is on disk and linked aside, and the image that follows was seen to read it. Else
# nothing was changed.

# shellcheck disable=SC2154 # host/database.sh has the others
digest=''
one_way=no

guard() { # DIGEST ONE_WAY: what the container that follows is made from
  digest=$1
  one_way=$2
}

fail() {
  rm -rf -- "$aside"
  echo "$*. Nothing was changed: the broker runs on as it was" >&2
  exit 1
}

last_words() {
  daemon logs --tail 5 "$rehearsal" 2>&1 || :
}

finish() {
  # A restore that is under way has its way back there.
  exec 9>"/run/sentient-mqtt-$container.lock"
  flock -w 120 9 || {
    echo "container $container: its files have been changing for two minutes; try again" >&2
    exit 1
  }
  rm -rf -- "$aside"
  [ "$action" = apply ] || return 0
  known=$(state '{{index .Config.Labels "sentient-mqtt.configuration"}} {{.Image}}') || return 0
  new=$(daemon image inspect --format '{{.Id}}' "$image") || fail "image $image: is not on this host"
  [ "$known" != "$digest $new" ] || return 0
  if [ "$(state '{{.State.Running}} {{.State.Restarting}}')" = 'true false' ]; then
    write_database || fail "container $container: its database could not be written (is the disk full?)"
  fi
  link_database "$aside"
  old=${known#* }
  link_database "$trial"
  before=$(retained "$old" "$trial") ||
    fail "container $container: its own image can't read its database. It said: $(last_words)"
  if [ "$old" != "$new" ]; then
    link_database "$trial"
    after=$(retained "$new" "$trial") ||
      fail "image $image: can't start on a copy of the database. It said: $(last_words)"
    [ "$after" -ge "$before" ] ||
      fail "image $image: finds $after of $before retained messages in a copy of the database"
    back=$(retained "$old" "$trial") || back=0
    [ "$back" -ge "$before" ] || [ "$one_way" = yes ] ||
      fail "image $image: the image that runs now would find $back of $before retained messages in \
what this one writes, so there is no way back. Set broker.persistence.oneWay to true if that is meant"
  fi
  printf '%s\n' "$before" >"$aside/retained"
}
