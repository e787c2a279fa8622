#!/bin/sh
# Create or copy the certificate and key of each listener, try them, and make the running broker serve them.
#
# If the broker does not serve them, the previous ones are put in place again. `remove` deletes the
# stack's own CA and every copied key; the files that a person gave stay. A key and its certificate are
# in one file, so that a kill at any instant leaves no key without its certificate.
#
# Arguments: $1: apply | remove
# Calls: lock PATH; broker CONTAINER SOCKET PORT FOLDER CONF (host/commands/apply_configuration.sh);
#   certificates FOLDER UID GID GRACE; authority;
#   own NAME ADDRESS PORT DAYS BEFORE SUBJECT_ALT_NAMES; given NAME ADDRESS PORT CERTIFICATE KEY CA;
#   supplied NAME ADDRESS PORT; clients NAME CA; finish.
#   NAME: a listener; GRACE: seconds to stop; DAYS, BEFORE: days; CERTIFICATE, KEY, CA: paths
# Stdin: the script and its calls. `supplied`: key and certificates in PEM form
# Prints: `certificate NAME FINGERPRINT DATE` per listener, then the PEM certificate of the stack's own CA
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/put_files.sh
# needs: lib/key_and_certificate.sh
# needs: commands/apply_configuration.sh

# shellcheck disable=SC2154 # defined in host/lib/put_files.sh and host/commands/apply_configuration.sh

ca_folder=''
grace=''
work=''
served=''    # `NAME ADDRESS PORT` per line
trial=''
restart=''   # yes: a file that the broker reads only at its start has changed
replaced=''  # yes: a key and certificate that it may serve has changed, or only their chain

certificates() { # FOLDER UID GID GRACE: the folder of the CA, which no container mounts
  ca_folder=$1
  uid=$2
  gid=$3
  grace=$4
  [ "$action" = apply ] || return 0
  command -v openssl >/dev/null 2>&1 ||
    fail "the command openssl is not installed on this host (Debian, Ubuntu: apt-get install openssl)"
  own_folder "$ca_folder" 0700 0 0
  sweep
  work=$(mktemp -d "$ca_folder/.work.XXXXXX")
}

# Removes keys that a killed run left. The lock guarantees that no other run uses them.
sweep() { rm -rf -- "$ca_folder"/.work.* "$folder/.candidate"; }

tidy() {
  drop_trial
  [ -z "$work" ] || rm -rf -- "$work"
  [ "$action" = remove ] || return 0
  printf '%s' "$served" | while read -r name _; do
    rmdir -- "$folder/tls/$name" 2>/dev/null || :
  done
  rmdir -- "$folder/tls" "$ca_folder" "$(dirname -- "$ca_folder")" /etc/sentient-mqtt 2>/dev/null || :
}

# Completed and then renamed: a key never exists without its certificate.
authority() { # the stack's own CA, valid for ten years
  [ "$action" = apply ] || return 0
  copy=${ca_folder%/*}/ca.pem
  # `new_authority` creates the folder as a whole.
  [ ! -L "$ca_folder/ca" ] && [ -d "$ca_folder/ca" ] || [ ! -e "$ca_folder/ca" ] || move_away "$ca_folder/ca"
  own_authority || new_authority
  own_folder "$ca_folder/ca" 0700 0 0
  chown -h -- 0:0 "$ca_folder/ca/ca.pem" "$ca_folder/ca/ca.key"
  chmod -- 0600 "$ca_folder/ca/ca.pem" "$ca_folder/ca/ca.key"
  # A readable copy for programs on this host that trust the CA.
  [ ! -e "$copy" ] && [ ! -L "$copy" ] || as_applied "$copy" || move_away "$copy"
  cp -- "$ca_folder/ca/ca.pem" "$copy"
  chown -- 0:0 "$copy"
  chmod -- 0644 "$copy"
  made file "$ca_folder/ca/ca.pem"
  made file "$ca_folder/ca/ca.key"
  made file "$copy"
}

# Whether the CA is there as this program created it. A certificate that was changed is restored from its
# copy; a CA whose key was changed is moved away.
own_authority() {
  [ -d "$ca_folder/ca" ] || return 1
  if [ -f "$ca_folder/ca/ca.key" ] && as_applied "$ca_folder/ca/ca.key"; then
    if [ -f "$ca_folder/ca/ca.pem" ] && as_applied "$ca_folder/ca/ca.pem"; then return 0; fi
    if [ -f "$copy" ] && as_applied "$copy" &&
      [ "$(public_of_key "$ca_folder/ca/ca.key")" = "$(public_of_certificate "$copy")" ]; then
      [ ! -d "$ca_folder/ca/ca.pem" ] || move_away "$ca_folder/ca/ca.pem"
      cp -- "$copy" "$work/ca.pem"
      mv -f -- "$work/ca.pem" "$ca_folder/ca/ca.pem"
      return 0
    fi
  fi
  move_away "$ca_folder/ca"
  return 1
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
  mv -- "$work/ca" "$ca_folder/ca"
}

ssl() { output=$(openssl "$@" 2>&1) || fail "openssl $1: $output"; }

new_key() { # PATH
  ssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:named_curve \
    -out "$1"
}

folder_of() { # NAME
  for place_there in "$folder/tls" "$folder/tls/$1"; do
    own_folder "$place_there" 0750 0 "$gid"
  done
}

stays() { # PATH: a file of ours with its content; corrects owner and mode
  chown -- "$uid:$gid" "$1"
  chmod 0600 "$1"
  made loaded "$1"
}

place() { # PATH, the text on stdin: does nothing if the file has this text already
  if [ "$action" = remove ]; then
    put "$1" 0600 "$uid" "$gid" </dev/null
    return 0
  fi
  cat >"$work/text"
  if [ ! -L "$1" ] && cmp -s -- "$work/text" "$1"; then
    stays "$1"
  else
    case $1 in
      */pair.pem) [ ! -e "$1" ] || replaced=yes ;;
    esac
    put "$1" 0600 "$uid" "$gid" <"$work/text"
  fi
}

own() { # NAME ADDRESS PORT DAYS BEFORE SUBJECT_ALT_NAMES: a certificate of the stack's own CA
  served="$served$1 $2 $3
"
  served_file=$folder/tls/$1/pair.pem
  if [ "$action" = remove ]; then
    place "$served_file"
    return 0
  fi
  folder_of "$1"
  echo "$4 $6 $(fingerprint "$ca_folder/ca/ca.pem")" >"$work/request"
  if ! cmp -s -- "$work/request" "$ca_folder/$1.request" || ! same_content "$served_file" ||
    due_within "$5" "$served_file" "$ca_folder/ca/ca.pem" ||
    [ -n "$(key_and_certificate_error "$served_file" "$served_file" "$ca_folder/ca/ca.pem")" ]; then
    issue "$1" "$4" serverAuth "subjectAltName = $6" "$container"
    cat -- "$work/key" "$work/certificate" >"$work/pair"
    place "$served_file" <"$work/pair"
    place "$ca_folder/$1.request" <"$work/request"
  else
    # Corrects owner and mode.
    stays "$served_file"
    stays "$ca_folder/$1.request"
  fi
}

days_within_authority() { # DAYS: prints the smaller of DAYS and the CA's remaining days
  authority=$ca_folder/ca/ca.pem
  ! ends_within 1 "$authority" ||
    fail "the stack's own CA ends $(ends "$authority"): move $ca_folder/ca away, and the next run creates" \
      "another one, which every client needs then. Nothing was changed"
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

issue() { # NAME DAYS USE EXTENSION COMMON_NAME: creates a key and its certificate
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
  days=$(days_within_authority "$2")
  new_key "$work/key"
  ssl req -new -sha256 -config "$work/conf" -key "$work/key" -out "$work/csr"
  ssl x509 -req -sha256 -in "$work/csr" -CA "$ca_folder/ca/ca.pem" -CAkey "$ca_folder/ca/ca.key" \
    -set_serial "0x$(openssl rand -hex 15)" -days "$days" -extfile "$work/conf" \
    -extensions extensions -out "$work/certificate"
}

given() { # NAME ADDRESS PORT CERTIFICATE KEY CA: copies files of the host
  served="$served$1 $2 $3
"
  served_file=$folder/tls/$1/pair.pem
  if [ "$action" = remove ]; then
    place "$served_file"
    return 0
  fi
  wrong=$(key_and_certificate_error "$4" "$5" "$6")
  [ -z "$wrong" ] ||
    fail "sentient-mqtt:broker.listeners.$1.tls.${wrong%% *}: ${wrong#* }. Nothing was changed."
  folder_of "$1"
  key_and_certificate_text "$4" "$5" >"$work/pair"
  place "$served_file" <"$work/pair"
  # The request of a former certificate of the stack's own CA.
  rm -f -- "$ca_folder/$1.request"
}

supplied() { # NAME ADDRESS PORT; key and certificates of the stack's secrets on stdin
  served="$served$1 $2 $3
"
  served_file=$folder/tls/$1/pair.pem
  if [ "$action" = remove ]; then
    cat >/dev/null
    place "$served_file"
    return 0
  fi
  cat >"$work/supplied"
  wrong=$(key_and_certificate_error "$work/supplied" "$work/supplied" '')
  [ -z "$wrong" ] || fail "sentient-mqtt:certificates.$1: ${wrong#* }. Nothing was changed."
  folder_of "$1"
  place "$served_file" <"$work/supplied"
  rm -f -- "$ca_folder/$1.request"
}

clients() { # NAME CA: which CA signs the clients' certificates; '' is the stack's own
  file=$folder/tls/$1/clients.pem
  if [ "$action" = remove ]; then
    place "$file"
    return 0
  fi
  from=${2:-$ca_folder/ca/ca.pem}
  wrong=$(certificate_error clientCa "$from")
  [ -z "$wrong" ] ||
    fail "sentient-mqtt:broker.listeners.$1.tls.clientCa: $from ${wrong#* }. Nothing was changed."
  [ ! -e "$file" ] || { cmp -s -- "$from" "$file" && as_applied "$file"; } || restart=yes
  place "$file" <"$from"
}

# Validates the copies once more, as the originals may have changed during the copy; and with the running
# image, whose OpenSSL may be stricter than that of the host. A broker that can't start with a certificate
# that it refuses loses its database (2.1).
validate() {
  each_path check_match
  if [ -n "$paths" ] && runs; then try_certificates "$(state "$container" '{{.Image}}')"; fi
}

try_certificates() { # IMAGE: starts a second broker, without network or data, on copies
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
$(last_log_lines "$container-candidate")"
    sleep 0.2
  done
  drop_trial
}

overlay() { # PATH: copies its staged file over the copy of the one in place
  case $1 in
    "$folder/tls/"*)
      # The copy may be a link: cp would write to its target.
      rm -rf -- "$trial${1#"$folder"}"
      cp -p -- "$1$new" "$trial${1#"$folder"}"
      ;;
  esac
}

drop_trial() {
  [ -z "$trial" ] || {
    daemon rm --force --volumes "$container-candidate" >/dev/null 2>&1 || :
    rm -rf -- "$trial"
  }
}

check_match() { # PATH
  case $1 in
    */pair.pem)
      [ "$(public_of_key "$1$new")" = "$(public_of_certificate "$1$new")" ] ||
        fail "$1: certificate and key changed while they were copied; nothing was changed"
      ;;
  esac
}

chain() { # prints the certificates on stdin, one per line
  awk '
    /^-----BEGIN CERTIFICATE-----/ { inside = 1; text = ""; next }
    /^-----END CERTIFICATE-----/ { if (inside) print text; inside = 0 }
    inside { sub(/\r$/, ""); text = text $0 }
  '
}

served_at() { # ADDRESS PORT: prints the chain that is served; nothing without TLS
  timeout 5 openssl s_client -connect "$1:$2" -showcerts </dev/null 2>/dev/null | chain || :
}

# Prints the listeners that serve another certificate than the one in place. A listener without TLS is not
# one of them: its container is about to be created. OpenSSL may append certificates to the chain.
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

listeners_with_tls() {
  printf '%s' "$served" | while read -r name address port_there; do
    [ -z "$(served_at "$address" "$port_there")" ] || echo "$name"
  done
}

fresh_within() { # SECONDS LISTENERS_WITH_TLS
  until_then=$(($(date +%s) + $1))
  until [ -z "$(stale)" ] && [ "$(listeners_with_tls)" = "$2" ]; do
    [ "$(date +%s)" -lt "$until_then" ] || return 1
    sleep 0.2
  done
}

# Only a start reads the certificates of libwebsockets listeners (2.0) and the clients' CA. 2.1 empties its
# database if a start fails: the database that it saved at its stop is linked, and restored before the
# next start.
saved=''
in_data() { # SCRIPT: in the data folder, as its owner; $1 is the database, $2 its linked copy
  as_owner "$socket" "$(state "$container" '{{.Image}}')" "$data" rw 60 "$1" \
    mosquitto.db "mosquitto.db$old"
}

restart_broker() {
  data=$(state "$container" \
    '{{range .Mounts}}{{if eq .Destination "/mosquitto/data"}}{{.Source}}{{end}}{{end}}')
  daemon stop --time "$grace" "$container" >/dev/null 2>&1 || :
  # shellcheck disable=SC2016 # expanded by the shell of in_data
  if [ -n "$saved" ]; then
    in_data '[ ! -e "$2" ] || ln -f "$2" "$1"'
  else
    in_data '[ ! -e "$1" ] || ln -f "$1" "$2"'
    saved=yes
  fi
  daemon start "$container" >/dev/null 2>&1 || :
  served_by=$(($(date +%s) + 20))
  until fresh_within 1 "$with_tls"; do
    runs && [ "$(date +%s)" -lt "$served_by" ] || return 0
  done
  # shellcheck disable=SC2016
  in_data 'rm -f "$2"'
  saved=''
}

settle() {
  if runs && ! others_as_applied "$container" configuration; then
    # A reload would put in force what somebody wrote into those files. The command that installs them
    # again reloads the broker, or restarts it.
    if [ -n "$restart" ]; then touch -- "$ca_folder/restart-due"; fi
  elif runs && { [ -n "$restart" ] || [ -n "$replaced" ] || [ -n "$(stale)" ]; }; then
    with_tls=$(listeners_with_tls)
    signal
    if [ -n "$restart" ] || ! fresh_within 3 "$with_tls"; then restart_broker; fi
    if ! fresh_within 20 "$with_tls"; then
      output=$(last_log_lines "$container")
      each_path restore
      restart_broker
      fail "the broker does not serve the new certificates; the previous ones are in place again." \
        "It said:
$output"
    fi
  fi
  forget_removed_listeners
  report
}

# Deletes the files of a removed listener, unless mosquitto.conf still names its certificate.
forget_removed_listeners() {
  for listener_folder in "$folder"/tls/*/; do
    name=$(basename -- "$listener_folder")
    case "
$served" in
      *"
$name "*) continue ;;
    esac
    grep -qF -- "/tls/$name/" "$folder/$conf" 2>/dev/null || {
      rm -f -- "$listener_folder/pair.pem" "$listener_folder/clients.pem" "$ca_folder/$name.request"
      rmdir -- "$listener_folder" 2>/dev/null || :
    }
  done
}

report() { # prints the public part
  printf '%s' "$served" | while read -r name _; do
    served_file=$folder/tls/$name/pair.pem
    echo "certificate $name $(fingerprint "$served_file") $(ends "$served_file")"
  done
  [ ! -e "$ca_folder/ca/ca.pem" ] || cat -- "$ca_folder/ca/ca.pem"
}

unsettle() {
  sweep
  rm -rf -- "$ca_folder"/ca "$ca_folder"/*.sentient-mqtt-moved-* "$ca_folder/../ca.pem" "$ca_folder"/*.request "$ca_folder/turn" "$ca_folder/restart-due" "$ca_folder"/.sign.*
}
