#!/bin/sh
# With host/lib/put_files.sh, host/lib/key_and_certificate.sh and host/commands/apply_configuration.sh before it. After `apply`: each listener's
# certificate and key are in place, are a pair that lasts, and a broker that runs serves them; or
# the old ones are in place and it serves those. Prints what is public of them. After `remove`: the
# stack's own CA and every key are gone from here; given files are somebody else's and stay.
#
# A key and its certificate are one file: killed at any instant, there is no half of a pair.
# needs: lib/put_files.sh
# needs: lib/key_and_certificate.sh
# needs: commands/apply_configuration.sh

# shellcheck disable=SC2154 # action, new, old, folder, container: host/lib/put_files.sh and host/commands/apply_configuration.sh

keeps=''
grace=''
turn=''
work=''
served=''    # NAME ADDRESS PORT, a line each
trial=''
anew=''      # what only a start of the broker reads has changed
replaced=''  # a pair that it may serve has changed, and be it behind its first certificate

certificates() { # FOLDER UID GID GRACE TURN: where the CA is, in a folder that no container sees
  keeps=$1
  uid=$2
  gid=$3
  grace=$4
  turn=$5
  [ "$action" = apply ] || return 0
  command -v openssl >/dev/null 2>&1 ||
    fail "the command openssl is not on this host (Debian, Ubuntu: apt-get install openssl)"
  make_folder "$keeps"
  chmod 0700 "$keeps"
  sweep
  work=$(mktemp -d "$keeps/.work.XXXXXX")
}

# Where a run was killed there are keys in what it worked with. Under the lock nobody else does.
sweep() { rm -rf -- "$keeps"/.work.* "$folder/.candidate"; }

tidy() {
  drop_trial
  [ -z "$work" ] || rm -rf -- "$work"
  [ "$action" = remove ] || return 0
  printf '%s' "$served" | while read -r name _; do
    rmdir -- "$folder/tls/$name" 2>/dev/null || :
  done
  rmdir -- "$folder/tls" "$keeps" "$(dirname -- "$keeps")" /etc/sentient-mqtt 2>/dev/null || :
}

# Made whole and renamed: a key is never there without its certificate.
authority() { # the stack's own, for ten years
  [ "$action" = apply ] || return 0
  [ -e "$keeps/ca/ca.pem" ] || new_authority
  # For whoever on this host is to trust it.
  cp -- "$keeps/ca/ca.pem" "$keeps/../ca.pem"
  chmod 0644 "$keeps/../ca.pem"
}

new_authority() {
  mkdir -- "$work/ca"
  cat >"$work/ca.conf" <<END
[req]
distinguished_name = subject
x509_extensions = extensions
prompt = no
[subject]
CN = $container CA $(openssl rand -hex 4)
[extensions]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
  new_key "$work/ca/ca.key"
  ssl req -x509 -new -sha256 -config "$work/ca.conf" -key "$work/ca/ca.key" -days 3650 \
    -out "$work/ca/ca.pem"
  sync
  mv -- "$work/ca" "$keeps/ca"
}

ssl() { said=$(openssl "$@" 2>&1) || fail "openssl $1: $said"; }

new_key() { # PATH
  ssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:named_curve \
    -out "$1"
}

folder_of() { # NAME
  for place_there in "$folder/tls" "$folder/tls/$1"; do
    make_folder "$place_there"
    chown -- "0:$gid" "$place_there"
    chmod 0750 "$place_there"
  done
}

place() { # PATH, the text on stdin: nothing where it is that already
  if [ "$action" = remove ]; then
    put "$1" 0600 "$uid" "$gid" </dev/null
    return 0
  fi
  cat >"$work/text"
  if cmp -s -- "$work/text" "$1"; then
    chown -- "$uid:$gid" "$1"
    chmod 0600 "$1"
  else
    case $1 in
      */pair.pem) [ ! -e "$1" ] || replaced=yes ;;
    esac
    put "$1" 0600 "$uid" "$gid" <"$work/text"
  fi
}

own() { # NAME ADDRESS PORT DAYS BEFORE SUBJECT_ALT_NAMES: of the stack's own CA
  served="$served$1 $2 $3
"
  pair=$folder/tls/$1/pair.pem
  if [ "$action" = remove ]; then
    place "$pair"
    return 0
  fi
  folder_of "$1"
  echo "$4 $6 $(fingerprint "$keeps/ca/ca.pem")" >"$work/request"
  if ! cmp -s -- "$work/request" "$keeps/$1.request" ||
    due_within "$5" "$pair" "$keeps/ca/ca.pem" ||
    [ -n "$(wrong_pair "$pair" "$pair" "$keeps/ca/ca.pem")" ]; then
    issue "$1" "$4" serverAuth "subjectAltName = $6" "$container"
    cat -- "$work/key" "$work/certificate" >"$work/pair"
    place "$pair" <"$work/pair"
    place "$keeps/$1.request" <"$work/request"
  fi
}

left_of() { # DAYS: so many, or as many as the CA has left; what outlives it is refused all the same
  authority=$keeps/ca/ca.pem
  ! ends_within 1 "$authority" ||
    fail "the stack's own CA ends $(ends "$authority"): move $keeps/ca away, and the next run makes" \
      "another one, which every client must be given. Nothing was changed"
  if ! ends_within "$1" "$authority"; then
    echo "$1"
    return 0
  fi
  least=1
  most=$1
  while [ $((most - least)) -gt 1 ]; do
    middle=$(((most + least) / 2))
    if ends_within "$middle" "$authority"; then most=$middle; else least=$middle; fi
  done
  echo "$least"
}

issue() { # NAME DAYS USE EXTENSION COMMON_NAME: a new key, and its certificate
  cat >"$work/conf" <<END
[req]
distinguished_name = subject
prompt = no
[subject]
CN = $5
[extensions]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = $3
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
$4
END
  lasts=$(left_of "$2")
  new_key "$work/key"
  ssl req -new -sha256 -config "$work/conf" -key "$work/key" -out "$work/csr"
  ssl x509 -req -sha256 -in "$work/csr" -CA "$keeps/ca/ca.pem" -CAkey "$keeps/ca/ca.key" \
    -set_serial "0x$(openssl rand -hex 15)" -days "$lasts" -extfile "$work/conf" \
    -extensions extensions -out "$work/certificate"
}

given() { # NAME ADDRESS PORT CERTIFICATE KEY CA: somebody's files, copied
  served="$served$1 $2 $3
"
  pair=$folder/tls/$1/pair.pem
  if [ "$action" = remove ]; then
    place "$pair"
    return 0
  fi
  wrong=$(wrong_pair "$4" "$5" "$6")
  [ -z "$wrong" ] ||
    fail "sentient-mqtt:broker.listeners.$1.tls.${wrong%% *}: ${wrong#* }. Nothing was changed."
  folder_of "$1"
  pair_of "$4" "$5" >"$work/pair"
  place "$pair" <"$work/pair"
  # Of an own certificate that was there before, nothing is to be remembered.
  rm -f -- "$keeps/$1.request"
}

supplied() { # NAME ADDRESS PORT; key and certificates on stdin, from the stack's secrets
  served="$served$1 $2 $3
"
  pair=$folder/tls/$1/pair.pem
  if [ "$action" = remove ]; then
    cat >/dev/null
    place "$pair"
    return 0
  fi
  cat >"$work/supplied"
  wrong=$(wrong_pair "$work/supplied" "$work/supplied" '')
  [ -z "$wrong" ] || fail "sentient-mqtt:certificates.$1: ${wrong#* }. Nothing was changed."
  folder_of "$1"
  place "$pair" <"$work/supplied"
  rm -f -- "$keeps/$1.request"
}

clients() { # NAME CA: what their certificates must be of; '' is the stack's own
  file=$folder/tls/$1/clients.pem
  if [ "$action" = remove ]; then
    place "$file"
    return 0
  fi
  from=${2:-$keeps/ca/ca.pem}
  wrong=$(wrong_certificate clientCa "$from")
  [ -z "$wrong" ] ||
    fail "sentient-mqtt:broker.listeners.$1.tls.clientCa: $from ${wrong#* }. Nothing was changed."
  [ ! -e "$file" ] || cmp -s -- "$from" "$file" || anew=yes
  place "$file" <"$from"
}

# What is about to be read is looked at once more: the files were somebody else's a moment ago. And
# by the image that runs: OpenSSL there may ask for more than here, and a broker that can't be
# started again with a pair that it refuses loses its database (2.1).
validate() {
  each_path proper
  if [ -n "$paths" ] && runs; then try_pairs "$(state "$container" '{{.Image}}')"; fi
}

try_pairs() { # IMAGE: a second broker, without network or data, on copies
  trial=$folder/.candidate
  drop_trial
  mkdir -p -- "$trial"
  cp -Rp -- "$folder/tls" "$trial/tls"
  each_path overlay
  {
    echo "allow_anonymous false"
    printf '%s' "$served" | while read -r name _ port_there; do
      echo "listener $port_there"
      echo "certfile /mosquitto/config/tls/$name/pair.pem"
      echo "keyfile /mosquitto/config/tls/$name/pair.pem"
      [ ! -e "$trial/tls/$name/clients.pem" ] ||
        echo "cafile /mosquitto/config/tls/$name/clients.pem"
    done
  } >"$trial/trial.conf"
  hand_over "$trial" "$uid" "$gid"
  daemon run --detach --name "$container-candidate" --network none --read-only --cap-drop ALL \
    --security-opt no-new-privileges:true --user "$uid:$gid" --volume "$trial:/mosquitto/config:ro" \
    "$1" /usr/sbin/mosquitto -c /mosquitto/config/trial.conf >/dev/null ||
    fail "image $1: a trial of the certificates could not be started; nothing was changed"
  patience=$(($(date +%s) + 10))
  until daemon logs "$container-candidate" 2>&1 | grep -q ' running$'; do
    [ "$(state "$container-candidate" '{{.State.Running}}')" = true ] &&
      [ "$(date +%s)" -lt "$patience" ] ||
      fail "Mosquitto refuses the certificates; nothing was changed. It said:
$(words "$container-candidate")"
    sleep 0.2
  done
  drop_trial
}

overlay() { # PATH: staged, over the copy of what is in place
  case $1 in
    "$folder/tls/"*) cp -p -- "$1$new" "$trial${1#"$folder"}" ;;
  esac
}

drop_trial() {
  [ -z "$trial" ] || {
    daemon rm --force --volumes "$container-candidate" >/dev/null 2>&1 || :
    rm -rf -- "$trial"
  }
}

proper() { # PATH
  case $1 in
    */pair.pem)
      [ "$(public_of_key "$1$new")" = "$(public_of_certificate "$1$new")" ] ||
        fail "$1: certificate and key changed while they were copied; nothing was changed"
      ;;
  esac
}

chain() { # the certificates on stdin, each in a line
  awk '
    /^-----BEGIN CERTIFICATE-----/ { inside = 1; text = ""; next }
    /^-----END CERTIFICATE-----/ { if (inside) print text; inside = 0 }
    inside { sub(/\r$/, ""); text = text $0 }
  '
}

served_at() { # ADDRESS PORT: the chain that is served; nothing where no TLS is spoken
  timeout 5 openssl s_client -connect "$1:$2" -showcerts </dev/null 2>/dev/null | chain || :
}

# Listeners that serve another certificate than the one in place. One that speaks no TLS yet does
# not: its container is about to be made. Behind ours OpenSSL may add what it knows.
stale() {
  printf '%s' "$served" | while read -r name address port_there; do
    there=$(served_at "$address" "$port_there")
    case "$there
" in
      '
' | "$(chain <"$folder/tls/$name/pair.pem")
"*) ;;
      *) echo "$name" ;;
    esac
  done
}

speaking() {
  printf '%s' "$served" | while read -r name address port_there; do
    [ -z "$(served_at "$address" "$port_there")" ] || echo "$name"
  done
}

fresh_within() { # SECONDS SPEAKING
  until_then=$(($(date +%s) + $1))
  until [ -z "$(stale)" ] && [ "$(speaking)" = "$2" ]; do
    [ "$(date +%s)" -lt "$until_then" ] || return 1
    sleep 0.2
  done
}

# The listeners of libwebsockets (2.0) and the clients' CA are read at a start alone.
# 2.1 empties its database where a start fails: what its end wrote is linked, and is in place again
# before the next start.
saved=''
in_data() { # SCRIPT: $1 is the database, $2 what was linked aside; the folder is the broker's
  as_owner "$socket" "$(state "$container" '{{.Image}}')" "$data" rw 60 "$1" \
    mosquitto.db "mosquitto.db$old"
}

start_anew() {
  data=$(state "$container" \
    '{{range .Mounts}}{{if eq .Destination "/mosquitto/data"}}{{.Source}}{{end}}{{end}}')
  daemon stop --time "$grace" "$container" >/dev/null 2>&1 || :
  # shellcheck disable=SC2016 # the words of in_data
  if [ -n "$saved" ]; then
    in_data '[ ! -e "$2" ] || ln -f "$2" "$1"'
  else
    in_data '[ ! -e "$1" ] || ln -f "$1" "$2"'
    saved=yes
  fi
  daemon start "$container" >/dev/null 2>&1 || :
  served_by=$(($(date +%s) + 20))
  until fresh_within 1 "$speaking"; do
    runs && [ "$(date +%s)" -lt "$served_by" ] || return 0
  done
  # shellcheck disable=SC2016
  in_data 'rm -f "$2"'
  saved=''
}

settle() {
  if runs && { [ -n "$anew" ] || [ -n "$replaced" ] || [ -n "$(stale)" ]; }; then
    speaking=$(speaking)
    signal
    if [ -n "$anew" ] || ! fresh_within 3 "$speaking"; then start_anew; fi
    if ! fresh_within 20 "$speaking"; then
      said=$(words "$container")
      each_path restore
      start_anew
      fail "the broker does not serve the new certificates; the previous ones are in place again." \
        "It said:
$said"
    fi
  fi
  forget_others
  echo "$turn" >"$keeps/turn"
  report
}

# A listener that was taken away; not while the broker's own file still names its certificate.
forget_others() {
  for each in "$folder"/tls/*/; do
    name=$(basename -- "$each")
    case "
$served" in
      *"
$name "*) continue ;;
    esac
    grep -qF -- "/tls/$name/" "$folder/$conf" 2>/dev/null || {
      rm -f -- "$each/pair.pem" "$each/clients.pem" "$keeps/$name.request"
      rmdir -- "$each" 2>/dev/null || :
    }
  done
}

report() { # what is public
  printf '%s' "$served" | while read -r name _; do
    pair=$folder/tls/$name/pair.pem
    echo "certificate $name $(fingerprint "$pair") $(ends "$pair")"
  done
  [ ! -e "$keeps/ca/ca.pem" ] || cat -- "$keeps/ca/ca.pem"
}

unsettle() {
  sweep
  rm -rf -- "$keeps/ca" "$keeps/../ca.pem" "$keeps"/*.request "$keeps/turn" "$keeps"/.sign.*
}
