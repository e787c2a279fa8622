#!/bin/sh
# Start a separate broker on an archive, and check its counts, its users and that it refuses anonymous clients.
#
# Arguments: $1: apply
# Calls: database CONTAINER SOCKET IMAGE FOLDER (host/lib/database.sh);
#   backups FOLDER CONFIG STACK KEEP RECIPIENT, identity (host/lib/archive.sh); archive PATH|latest;
#   files PASSWORDS ACL OPTIONS; finish
# Stdin: the script and its calls. `identity`: an age identity
# Prints: `archive PATH`, of the manifest `stack`, `container`, `image`, `mosquitto`, `written` and `logins`
#   with their value, `retained NUMBER`, `sessions NUMBER`, `queued NUMBER` as found, and
#   `named RETAINED SESSIONS QUEUED` as the manifest says
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/archive.sh

# shellcheck disable=SC2034,SC2154 # defined or read in the scripts before it
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
$(manifest_value mosquitto) wrote ($(manifest_value image)). Nothing was changed. Set broker.image to that image, then restore"
  named="$(manifest_value retained) $(manifest_value sessions) $(manifest_value queued)"
  # shellcheck disable=SC2086 # three numbers each
  within $found $named || fail "$from: a broker finds $found in it (retained messages, sessions, \
queued messages); its manifest says $named. Nothing was changed"
}

# Sessions and messages expire, in an archive, too. A larger count, or no retained message where the
# manifest has some, is an error.
within() { # FOUND NAMED, three numbers each: the counts of a broker, and those of the manifest
  [ "$1" -le "$4" ] && [ "$2" -le "$5" ] && [ "$3" -le "$6" ] && { [ "$1" -gt 0 ] || [ "$4" -eq 0 ]; }
}

report() {
  echo "archive $from"
  sed -n '/^\(stack\|container\|image\|mosquitto\|written\|logins\) /p' "$stage/manifest"
  # shellcheck disable=SC2086 # three numbers
  printf 'retained %s\nsessions %s\nqueued %s\n' $found
  echo "named $named"
}

check_logins() { # IMAGE
  make_rehearsal
  for names in "$passwords passwd" "$acl acl" "$options mosquitto_sub"; do
    cp -- "$stage/config/${names% *}" "$stage/rehearsal/${names#* }" 2>/dev/null ||
      fail "$from: holds no ${names% *}: no user could log in"
  done
  chmod 0600 -- "$stage/rehearsal"/*
  give_rehearsal
  login_from=/mosquitto/data
  rehearse "$1" "$stage/rehearsal" '' <<'EOT'
allow_anonymous false
password_file /mosquitto/data/passwd
acl_file /mosquitto/data/acl
EOT
  rehearses || fail "$from: its own health user is refused with its files"
  status=0
  daemon exec --env XDG_CONFIG_HOME=/nonexistent "$rehearsal" mosquitto_sub -h 127.0.0.1 \
    -t "\$SYS/broker/uptime" -C 1 -W 2 >/dev/null 2>&1 || status=$?
  case $status in
    5) ;;
    0 | 27) fail "$from: with its files, a client without a password is admitted" ;;
    *) fail "$from: whether its files refuse a client without a password is unknown: mosquitto_sub \
ended with $status" ;;
  esac
  end_rehearsal
  [ "$(logins_in "$stage/config/$passwords")" = "$(manifest_value logins)" ] ||
    fail "$from: its password file holds other logins than its manifest says"
}

finish() {
  trap leave EXIT
  in_place
  only_one
  choose
  open_archive "$from"
  same_counts "$image"
  check_logins "$image"
  # An archive of another stack proves nothing for the archives of this one.
  [ "$(manifest_value stack) $(manifest_value container)" != "$stack $container" ] ||
    echo "$(date -u +%s) ${from##*/}" >"$(note drilled)"
  report
}
