#!/bin/sh
# With host/lib/database.sh before it: an archive of a broker, opened only where it is whole. For
# host/commands/backup.sh, host/commands/verify_backup.sh and host/commands/restore.sh, which go on from here.
#
# NAME.tar.gz, or NAME.tar.gz.age: `manifest`, and the files that it names under config/ and data/.
#
# All of it lies in the backups folder, which is root's alone: `stage`, where an archive is made or
# opened, and `stage`/rehearsal, which a broker of the data folder's uid works on. Root touches that
# one again only when its container is gone.
# needs: lib/database.sh
# shellcheck disable=SC2016,SC2034,SC2154 # other shells expand those scripts; they read what is set
backups=''
name='' # of the archives: the container's
config=''
stack=''
keep=''
recipient=''
identity=''
stage=''

backups() { # FOLDER CONFIG STACK KEEP RECIPIENT
  backups=$1
  config=$2
  stack=$3
  keep=$4
  recipient=$5
  name=$container
}

identity() { # on stdin; age(1)
  identity=$(cat)
}

fail() { # host/commands/await_ready.sh has another one
  echo "$*" >&2
  exit 1
}

# The kernel lets go of both when this shell ends, however it ends.
only_one() {
  root_only "$backups" || fail "broker.backups.folder: $why"
  make_folder "$backups"
  chmod 0700 -- "$backups"
  exec 8>"$backups/.lock"
  flock -n 8 || fail "$backups: another backup, drill or restore is under way there; wait for its end"
  alone || fail "$(busy)"
  # Not that of `up`, which may rehearse a broker at the same time.
  rehearsal=$container-backup-rehearsal
  stage=$backups/.stage-$container
  # Of one that was killed.
  clear_stage
  rm -f -- "$backups"/.partial*
}

clear_stage() {
  [ -n "$stage" ] || return 0
  end_of_rehearsal
  rm -rf -- "$stage"
}

end_of_rehearsal() { # whatever came of it: a folder that it has mounted is not touched before
  daemon rm --force --volumes "$rehearsal" >/dev/null 2>&1 || :
  left=$(daemon ps --all --quiet --filter "name=^/$rehearsal\$") && [ -z "$left" ] ||
    fail "container $rehearsal: can't be removed; see docker ps"
}

# Empties `stage`/rehearsal. What is put there belongs to nobody but the uid of the data folder.
make_rehearsal() {
  end_of_rehearsal
  rm -rf -- "$stage/rehearsal"
  mkdir -- "$stage/rehearsal"
}

give_rehearsal() { chown -R -h -- "$(owner)" "$stage/rehearsal"; }

count_stage() { # IMAGE: as `counts`, of the database in the stage
  make_rehearsal
  [ -e "$stage/data/mosquitto.db" ] || {
    echo 0 0 0
    return 0
  }
  ln -- "$stage/data/mosquitto.db" "$stage/rehearsal/mosquitto.db"
  give_rehearsal
  counts "$1" "$stage/rehearsal" ''
}

# Writes a database of the data folder into a file of root's, or no file where there is none. What
# is larger than the room for it is not begun.
read_database() { # NAME FILE
  wanted=$(in_room "$1" "$2") || return 1
  [ "$wanted" = none ] || [ "$(stat -c %s -- "$2")" = "$wanted" ]
}

in_room() {
  room=$(df -Pk -- "${2%/*}" | awk 'NR == 2 { print $4 }')
  status=0
  said=$(in_data ro 900 '[ -f "$1" ] || exit 44
size=$(stat -c %s "$1")
[ $((size / 1024)) -lt "$2" ] || { echo "$1: $((size / 1024)) KiB, and $2 KiB are free" >&2; exit 45; }
echo "size $size" >&2
head -c "$size" "$1"' "$1" "$room" 2>&1 >"$2") || status=$?
  case $status in
    0) ;;
    44)
      rm -f -- "$2"
      echo none
      return 0
      ;;
    *)
      printf '%s\n' "$said" | sed '/^size /d' >&2
      return 1
      ;;
  esac
  printf '%s\n' "$said" | sed -n 's/^size \([0-9]\{1,15\}\)$/\1/p'
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
  clear_stage
  mkdir -- "$stage"
  [ -f "$1" ] || fail "$1: is not on the host"
  packed=$1
  # Else what was looked through may not be what is unpacked.
  root_only "$(dirname -- "$1")" || {
    packed=$stage/.copy
    timeout 900 cat -- "$1" >"$packed" || fail "$1: can't be copied to $stage; is the disk full?"
  }
  case $1 in
    *.age)
      [ -n "$identity" ] || fail "$1: is encrypted; say --identity FILE, the file with the age identity"
      command -v age >/dev/null || fail "$1: is encrypted, and age is not on the host: apt-get install age"
      printf '%s\n' "$identity" | age --decrypt -i - -o "$stage/.packed" "$packed" 2>/dev/null ||
        damaged "$1" "age does not open it with this identity"
      packed=$stage/.packed
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
    fail "$1: can't be unpacked below $backups; is the disk full? Nothing was changed"
  rm -f -- "$stage/.packed" "$stage/.copy" "$stage/.names"
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
  image=$(state '{{.Image}}') || fail "container $container: is not on this host; bring it up first: ./brokerctl up --stack $stack"
}
