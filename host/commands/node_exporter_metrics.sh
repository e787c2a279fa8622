#!/bin/sh
# Installed on the host, where its own clock runs it each minute. After `apply`: a file for
# node_exporter's textfile collector says what is not in $SYS, whole or as it was; nothing secret.
#
# The log lies in a folder of the broker's uid: its container is asked what is new in it.
# needs: lib/shared_file.sh

# shellcheck disable=SC2016 # other shells expand those scripts
action=$1
file=''
broker=''
lines=''
image=''
socket=''
container=''

tell() { # NAME TYPE HELP VALUE [LABELS]
  lines="$lines# HELP sentient_mqtt_$1 $3
# TYPE sentient_mqtt_$1 $2
"
  also "$1" "$4" "${5:-}"
}

also() { # NAME VALUE LABELS: another value of the same
  lines="${lines}sentient_mqtt_$1{broker=\"$broker\"$3} $2
"
}

textfile() { # FILE BROKER IMAGE: one that is on the host
  file=$1
  broker=$2
  image=$3
}

limits() { # CLIENTS REFUSED
  tell clients_limit gauge "Clients that a listener takes, as declared." "$1"
  tell refused_logins_limit gauge "Refused logins an hour that are too many, as declared." "$2"
}

container() { # SOCKET NAME
  socket=$1
  container=$2
  state=$(docker -H "$1" inspect --format \
    '{{.State.Running}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}} {{.RestartCount}}' \
    "$2" 2>/dev/null </dev/null) || state='false none 0'
  # shellcheck disable=SC2086 # three words
  set -- $state
  tell container_running gauge "Whether the container runs." "$([ "$1" = true ] && echo 1 || echo 0)"
  tell container_healthy gauge "Whether its health check passes, or is still to begin." \
    "$(case $2 in healthy | starting) echo 1 ;; *) echo 0 ;; esac)"
  tell container_restarts_total counter "Times that Docker started it again." "$3"
}

# Only what came since the last look is read. A broker that does not run says nothing new.
log() { # PATH MEMORY: in the broker's container, and on the host
  before=$(cat -- "$2" 2>/dev/null) || before=''
  # A first look begins at the end: what is older is no news.
  [ -n "$before" ] || before='none 0 0 0'
  # shellcheck disable=SC2086 # four words
  set -- "$1" "$2" $before
  found=$(timeout 30 docker -H "$socket" exec --workdir "${1%/*}" "$container" timeout 20 sh -euc '
size=0
node=0
[ ! -f "$1" ] || { size=$(stat -c %s "$1"); node=$(stat -c %i "$1"); }
from=$3
# Another file, or one that logrotate has cut off.
[ "$2" = "$node" ] && [ "$from" -le "$size" ] || from=0
[ "$2" != none ] || from=$size
echo "$node $size"
[ "$from" -lt "$size" ] || { echo 0 0; exit 0; }
tail -c "+$((from + 1))" "$1" | head -c $((size - from)) | LC_ALL=C awk "
    /disconnected[,:] not authorised\.\$/ { refused++; next }
    # Mosquitto cuts a line at 1000 bytes: with a client id that long nobody hides a refusal.
    /^[0-9T:-]+: Client / && length(\$0) > 950 { refused++ }
    /: Denied PUBLISH from / { denied++ }
    END { print refused + 0, denied + 0 }"' sh "${1##*/}" "$3" "$4" </dev/null 2>/dev/null) || found=''
  # shellcheck disable=SC2086 # four words
  if four_numbers $found; then
    # shellcheck disable=SC2086 # six words
    set -- "$2" $found "$5" "$6"
    set -- "$1" "$2" "$3" "$(($4 + $6))" "$(($5 + $7))"
    echo "$2 $3 $4 $5" >"$1.new"
    mv -f -- "$1.new" "$1"
  else
    shift
  fi
  tell refused_logins_total counter "Logins refused, as the log says." "$4"
  tell denied_messages_total counter "Messages denied: log type debug tells them." "$5"
  tell log_bytes gauge "Size of the log." "$3"
}

# What a broker that was taken over says may be anything.
four_numbers() {
  [ $# -eq 4 ] || return 1
  case $1$2$3$4 in *[!0-9]*) return 1 ;; esac
  case $1/$2/$3/$4 in *[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]*) return 1 ;; esac
}

backups() { # FOLDER SECONDS CONTAINER: what host/commands/backup.sh and host/commands/verify_backup.sh left; the longest gap
  tell backup_timestamp_seconds gauge "When the last good backup was made; 0: never." \
    "$(stamp "$1/.verified-$3")"
  tell backup_drill_timestamp_seconds gauge "When one was last tried; 0: never." \
    "$(stamp "$1/.drilled-$3")"
  tell backup_interval_seconds gauge "The longest time between two, as declared." "$2"
}

stamp() { # FILE: its first word, seconds since 1970
  root_only "$(dirname -- "$1")" || {
    echo 0
    return 0
  }
  found=$(cut -d ' ' -f 1 -- "$1" 2>/dev/null) || found=''
  case $found in '' | *[!0-9]*) echo 0 ;; *) echo "$found" ;; esac
}

certificate() { # LISTENER PATH
  end=$(openssl x509 -noout -enddate -in "$2" 2>/dev/null) || return 0
  end=$(date -u -d "${end#*=}" +%s) || return 0
  case $lines in
    *"# TYPE sentient_mqtt_certificate_expiry_"*)
      also certificate_expiry_timestamp_seconds "$end" ",listener=\"$1\"" ;;
    *)
      tell certificate_expiry_timestamp_seconds gauge "When the certificate ends." "$end" \
        ",listener=\"$1\"" ;;
  esac
}

finish() {
  [ "$action" = apply ] || return 0
  printf '%s' "$lines" | write_shared "$socket" "$image" "$file"
}
