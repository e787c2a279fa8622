#!/bin/sh
# With host/lib/database.sh and host/lib/archive.sh before it: an archive is opened, a broker of its own
# starts on it and holds what the manifest says, and lets its users in and nobody else.
# needs: lib/archive.sh

# shellcheck disable=SC2034,SC2154 # the scripts before it have the others, and read what is set
from=''
passwords=''
acl=''
options=''

archive() { # PATH, or `latest`
  from=$1
}

files() { # PASSWORDS ACL OPTIONS: names in the configuration folder
  passwords=$1
  acl=$2
  options=$3
}

leave() {
  ended=$?
  (clear_stage) || :
  tidy "$ended"
}

choose() {
  [ "$from" = latest ] || return 0
  from=$(archives | tail -n 1)
  [ -n "$from" ] || fail "$backups: holds no backup of $container; make one: ./brokerctl backup create --stack $stack"
}

same_counts() { # IMAGE
  found=$(count_stage "$1") ||
    fail "$from: $(state '{{.Config.Image}}') can't read its database, which Mosquitto \
$(said mosquitto) wrote ($(said image)). Nothing was changed. Set broker.image to that one, and restore then"
  named="$(said retained) $(said sessions) $(said queued)"
  # shellcheck disable=SC2086 # three numbers each
  within $found $named || fail "$from: a broker finds $found in it (retained messages, sessions, \
messages that wait); its manifest says $named. Nothing was changed"
}

# Sessions end and messages expire by themselves, in an archive too. More than there were, or of
# retained messages none, is another matter.
within() { # what was found, and what the manifest says
  [ "$1" -le "$4" ] && [ "$2" -le "$5" ] && [ "$3" -le "$6" ] && { [ "$1" -gt 0 ] || [ "$4" -eq 0 ]; }
}

report() {
  echo "archive $from"
  sed -n '/^\(stack\|container\|image\|mosquitto\|written\|logins\) /p' "$stage/manifest"
  # shellcheck disable=SC2086 # three numbers
  printf 'retained %s\nsessions %s\nqueued %s\n' $found
  echo "named $named"
}

lets_in() { # IMAGE
  make_rehearsal
  for each in "$passwords passwd" "$acl acl" "$options mosquitto_sub"; do
    cp -- "$stage/config/${each% *}" "$stage/rehearsal/${each#* }" 2>/dev/null ||
      fail "$from: holds no ${each% *}: nobody could log in"
  done
  chmod 0600 -- "$stage/rehearsal"/*
  give_rehearsal
  login_from=/mosquitto/data
  rehearse "$1" "$stage/rehearsal" '' <<'EOT'
allow_anonymous false
password_file /mosquitto/data/passwd
acl_file /mosquitto/data/acl
EOT
  rehearses || fail "$from: its own user is not let in with its files"
  status=0
  daemon exec --env XDG_CONFIG_HOME=/nonexistent "$rehearsal" mosquitto_sub -h 127.0.0.1 \
    -t "\$SYS/broker/uptime" -C 1 -W 2 >/dev/null 2>&1 || status=$?
  case $status in
    5) ;;
    0 | 27) fail "$from: with its files, a client without a password is let in" ;;
    *) fail "$from: whether its files refuse a client without a password is unknown: mosquitto_sub \
ended with $status" ;;
  esac
  end_rehearsal
  [ "$(logins_in "$stage/config/$passwords")" = "$(said logins)" ] ||
    fail "$from: its password file holds other logins than its manifest says"
}

finish() {
  trap leave EXIT
  in_place
  only_one
  choose
  open_archive "$from"
  same_counts "$image"
  lets_in "$image"
  # Another stack's tells nothing about this one's.
  [ "$(said stack) $(said container)" != "$stack $container" ] ||
    echo "$(date -u +%s) ${from##*/}" >"$(note drilled)"
  report
}
