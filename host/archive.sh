#!/bin/sh
# With host/database.sh before it: an archive of a broker, opened only where it is whole. For
# host/backup.sh, host/drill.sh and host/restore.sh, which go on from here.
#
# NAME.tar.gz, or NAME.tar.gz.age: `manifest`, and the files that it names under config/ and data/.
# needs: database.sh
# shellcheck disable=SC2034,SC2154 # they read what is set here; host/database.sh has the others
backups=''
name='' # of the archives: the container's
config=''
stack=''
keep=''
recipient=''
identity=''
stage=''

umask 077

backups() { # FOLDER CONFIG STACK KEEP RECIPIENT
  backups=$1
  config=$2
  stack=$3
  keep=$4
  recipient=$5
  name=$container
  # Nobody's yet: who is told to wait has nothing to tidy.
  trial=''
}

identity() { # on stdin; age(1)
  identity=$(cat)
}

fail() {
  echo "$*" >&2
  exit 1
}

# The kernel lets go of both when this shell ends, however it ends.
only_one() {
  mkdir -p -- "$backups" || fail "$backups: can't be made"
  chmod 0700 -- "$backups"
  exec 8>"$backups/.lock"
  flock -n 8 || fail "$backups: another backup, drill or restore is under way there; wait for its end"
  alone || fail "$(busy)"
  # Not those of `up`, which may rehearse a broker at the same time.
  trial=$folder/.backup-rehearsal
  rehearsal=$container-backup-rehearsal
  stage=$folder/.backup
  # Of one that was killed.
  rm -rf -- "$stage" "$trial" "$backups"/.partial*
}

# Oldest first; the name says when. One of a time to come was made by a clock that was wrong: it is
# neither the latest, nor does it outlive those that came after it.
archives() {
  now=$(date -u +%Y%m%d%H%M%S)
  for each in "$backups/$name"-*Z.tar.gz "$backups/$name"-*Z.tar.gz.age; do
    case ${each#"$backups/$name-"} in
      [0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z.tar.gz*)
        made=${each#"$backups/$name-"}
        made=${made%%Z*}
        era=1
        [ "${made%T*}${made#*T}" -le "$now" ] || era=0
        printf '%s %s\n' "$era" "$each"
        ;;
    esac
  done | LC_ALL=C sort | cut -d ' ' -f 2-
}

# What is known of them, beside them; other containers may have theirs in the same folder.
note() { # verified|drilled|filled
  printf '%s/.%s-%s' "$backups" "$1" "$name"
}

said() { # KEY: what the manifest says
  sed -n "s/^$1 //p" "$stage/manifest"
}

damaged() {
  fail "$1: is damaged or was changed: $2. Nothing of it was used; take another archive"
}

# After it, $stage holds what the archive's manifest names, byte for byte, and nothing else.
open_archive() { # PATH
  rm -rf -- "$stage"
  mkdir -p -- "$stage"
  [ -f "$1" ] || fail "$1: is not on the host"
  packed=$1
  case $1 in
    *.age)
      [ -n "$identity" ] || fail "$1: is encrypted; say IDENTITY=, the file with the age identity"
      command -v age >/dev/null || fail "$1: is encrypted, and age is not on the host: apt-get install age"
      packed=$stage/.packed
      printf '%s\n' "$identity" | age --decrypt -i - -o "$packed" "$1" 2>/dev/null ||
        damaged "$1" "age does not open it with this identity"
      ;;
  esac
  gzip -t <"$packed" 2>/dev/null || damaged "$1" "it ends early, or is no gzip"
  tar -tzf "$packed" >"$stage/.names" 2>/dev/null || damaged "$1" "it is no tar"
  # A link, a path that leaves the folder: none of ours has them.
  ! tar -tvzf "$packed" | grep -q '^[^-d]' || damaged "$1" "it holds something else than files"
  if grep -qvE '^(manifest|(config|data)(/.*)?)$' "$stage/.names" ||
    grep -qE '(^|/)\.\.?(/|$)' "$stage/.names"; then
    damaged "$1" "it is none of ours"
  fi
  tar -C "$stage" -xzf "$packed" 2>/dev/null ||
    fail "$1: can't be unpacked below $folder; is the disk full? Nothing was changed"
  rm -f -- "$stage/.packed" "$stage/.names"
  [ "$(sed -n 1p "$stage/manifest" 2>/dev/null)" = 'format 1' ] ||
    damaged "$1" "it has no manifest of a format that is known here"
  (
    cd -- "$stage"
    # Not a shorter one: sha256sum passes over a line that it takes for none.
    sed -n 's/^file \([0-9a-f]\{64\}\) [0-9]* \(.*\)$/\1  \2/p' manifest >.sums
    sha256sum -c .sums >/dev/null 2>&1
  ) || damaged "$1" "a file differs from the manifest"
  sed 's/^[0-9a-f]*  //' "$stage/.sums" | LC_ALL=C sort >"$stage/.named"
  (cd -- "$stage" && find config data -type f | LC_ALL=C sort) | cmp -s - "$stage/.named" ||
    damaged "$1" "it holds files that the manifest does not name"
  rm -f -- "$stage/.sums" "$stage/.named"
}

logins_in() { # PASSWORD-FILE
  grep -c '^[^:]*:\$[67]\$' "$1" 2>/dev/null || :
}

in_place() { # the image of the container that is there
  image=$(state '{{.Image}}') || fail "container $container: is not on this host; bring it up first: make up STACK=$stack"
}
