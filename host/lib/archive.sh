#!/bin/sh
# Create, list and open archives of a broker. An archive is used only if it is complete.
#
# An archive is NAME-TIME.tar.gz or NAME-TIME.tar.gz.age: `manifest`, and the files that it names below
# config/ and data/. All work is done in the backups folder, which only root may write: `stage`, where an
# archive is made or opened, and `stage`/rehearsal, where a broker of the data folder's uid works. Root
# uses that folder again only after its container is removed.
#
# Arguments: $1: as in the command that follows
# Calls: backups FOLDER CONFIG STACK KEEP RECIPIENT; identity
# Stdin: `identity`: an age identity
# Prints: nothing by itself
# Exit codes: of `fail`: 1, with one message on stderr
# needs: lib/database.sh
# shellcheck disable=SC2016,SC2034,SC2154 # other shells expand these scripts; other scripts read what is set
backups=''
name='' # of the archives: the container
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

identity() { # an age(1) identity on stdin
  identity=$(cat)
}

fail() { # replaces that of host/commands/await_ready.sh in the same shell
  echo "$*" >&2
  exit 1
}

# Takes two locks; the kernel releases them when this shell ends.
only_one() {
  root_only "$backups" || fail "broker.backups.folder: $why"
  make_folder "$backups"
  chmod 0700 -- "$backups"
  exec 8>"$backups/.lock"
  # A process that BusyBox's timeout(1) leaves behind has the lock for another second.
  lock_within 5 8 || fail "$backups: another backup, drill or restore is under way there; wait for its end"
  alone || fail "$(busy)"
  # Not the name that `up` uses: it may rehearse a broker at the same time.
  rehearsal=$container-backup-rehearsal
  stage=$backups/.stage-$container
  # A killed run may have left it.
  clear_stage
  rm -f -- "$backups"/.partial*
}

clear_stage() {
  [ -n "$stage" ] || return 0
  end_of_rehearsal
  rm -rf -- "$stage"
}

end_of_rehearsal() { # removes the container, before its mounted folder is changed
  daemon rm --force --volumes "$rehearsal" >/dev/null 2>&1 || :
  left=$(daemon ps --all --quiet --filter "name=^/$rehearsal\$") && [ -z "$left" ] ||
    fail "container $rehearsal: can't be removed; see docker ps"
}

# Empties `stage`/rehearsal. Files put there will belong to the uid of the data folder.
make_rehearsal() {
  end_of_rehearsal
  rm -rf -- "$stage/rehearsal"
  mkdir -- "$stage/rehearsal"
}

give_rehearsal() { chown -R -h -- "$(owner)" "$stage/rehearsal"; }

count_stage() { # IMAGE: prints the `counts` of the database in the stage
  make_rehearsal
  [ -e "$stage/data/mosquitto.db" ] || {
    echo 0 0 0
    return 0
  }
  ln -- "$stage/data/mosquitto.db" "$stage/rehearsal/mosquitto.db"
  give_rehearsal
  counts "$1" "$stage/rehearsal" ''
}

# Copies a database of the data folder into a file of root; no file if there is no database. Fails before
# copying if the disk has no room for it.
read_database() { # NAME FILE
  expected_size=$(copy_if_room "$1" "$2") || return 1
  [ "$expected_size" = none ] || [ "$(stat -c %s -- "$2")" = "$expected_size" ]
}

copy_if_room() { # NAME FILE: prints the size, or none
  room=$(df -Pk -- "${2%/*}" | awk 'NR == 2 { print $4 }')
  status=0
  messages=$(in_data ro 900 '[ -f "$1" ] || exit 44
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
      printf '%s\n' "$messages" | sed '/^size /d' >&2
      return 1
      ;;
  esac
  printf '%s\n' "$messages" | sed -n 's/^size \([0-9]\{1,15\}\)$/\1/p'
}

# Prints the paths of the archives, oldest first by the time in the name. A time in the future is of a wrong
# clock: such an archive sorts first, so that it is neither the latest nor kept longer than newer ones.
archives() {
  now=$(date -u +%Y%m%d%H%M%S)
  for path in "$backups/$name"-*Z.tar.gz "$backups/$name"-*Z.tar.gz.age; do
    case ${path#"$backups/$name-"} in
      [0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z.tar.gz*)
        made=${path#"$backups/$name-"}
        made=${made%%Z*}
        era=1
        [ "${made%T*}${made#*T}" -le "$now" ] || era=0
        printf '%s %s\n' "$era" "$path"
        ;;
    esac
  done | LC_ALL=C sort | cut -d ' ' -f 2-
}

# Prints the path of a note about the archives; other containers may have notes in the same folder.
note() { # verified|drilled|filled
  printf '%s/.%s-%s' "$backups" "$1" "$name"
}

manifest_value() { # KEY
  sed -n "s/^$1 //p" "$stage/manifest"
}

damaged() {
  fail "$1: is damaged or was changed: $2. Nothing of it was used; take another archive"
}

# Unpacks an archive into $stage, which then holds exactly the files that its manifest names.
open_archive() { # PATH
  clear_stage
  mkdir -- "$stage"
  [ -f "$1" ] || fail "$1: is not on the host"
  packed=$1
  # In a folder of another user the archive could change between validation and unpacking.
  root_only "$(dirname -- "$1")" || {
    packed=$stage/.copy
    timeout 900 cat -- "$1" >"$packed" || fail "$1: can't be copied to $stage; is the disk full?"
  }
  case $1 in
    *.age)
      [ -n "$identity" ] || fail "$1: is encrypted; add --identity FILE, the file with the age identity"
      command -v age >/dev/null || fail "$1: is encrypted, and age is not installed on the host: apt-get install age"
      printf '%s\n' "$identity" | age --decrypt -i - -o "$stage/.packed" "$packed" 2>/dev/null ||
        damaged "$1" "age does not open it with this identity"
      packed=$stage/.packed
      ;;
  esac
  gzip -t <"$packed" 2>/dev/null || damaged "$1" "it is truncated, or is not a gzip file"
  # A small archive may unpack to any size: it must not fill the disk. The rest of its stream is not read.
  free=$(df -Pk -- "$stage" | awk 'NR == 2 { print $4 }')
  unpacked=$(gzip -dc <"$packed" 2>/dev/null | head -c "$((free * 1024))" | wc -c)
  [ "$((unpacked + unpacked / 8))" -lt "$((free * 1024))" ] ||
    fail "$1: unpacks to $((unpacked / 1048576)) MiB or more, and $((free / 1024)) MiB are free below $backups. \
Nothing was changed"
  tar -tzf "$packed" >"$stage/.names" 2>/dev/null || damaged "$1" "it is not a tar file"
  # An archive of this program has no links and no paths outside its folder.
  ! tar -tvzf "$packed" | grep -q '^[^-d]' || damaged "$1" "it holds links or special files"
  if grep -qvE '^(manifest|(config|data)(/.*)?)$' "$stage/.names" ||
    grep -qE '(^|/)\.\.?(/|$)' "$stage/.names"; then
    damaged "$1" "this program did not make it"
  fi
  tar -C "$stage" -xzf "$packed" 2>/dev/null ||
    fail "$1: can't be unpacked below $backups; is the disk full? Nothing was changed"
  rm -f -- "$stage/.packed" "$stage/.copy" "$stage/.names"
  [ "$(sed -n 1p "$stage/manifest" 2>/dev/null)" = 'format 1' ] ||
    damaged "$1" "it has no manifest of a known format"
  (
    cd -- "$stage"
    # 64 digits exactly: sha256sum skips a line that is not in its format.
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

in_place() { # sets image to that of the container
  image=$(state '{{.Image}}') || fail "container $container: is not on this host; bring it up first: ./brokerctl up --stack $stack"
}
