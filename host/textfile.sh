#!/bin/sh
# Installed on the host, where its own clock runs it each minute. After `apply`: a file for
# node_exporter's textfile collector says what is not in $SYS, whole or as it was; nothing secret.
# needs: paths.sh
set -eu
umask 022

action=$1
file=''
broker=''
lines=''

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

textfile() { # FILE BROKER
  file=$1
  broker=$2
}

limits() { # CLIENTS REFUSED
  tell clients_limit gauge "Clients that a listener takes, as declared." "$1"
  tell refused_logins_limit gauge "Refused logins an hour that are too many, as declared." "$2"
}

container() { # SOCKET NAME
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

log() { # PATH MEMORY: only what came since the last look is read
  size=$(stat -c %s -- "$1" 2>/dev/null) || size=0
  node=$(stat -c %i -- "$1" 2>/dev/null) || node=0
  # A first look begins at the end: what is older is no news.
  before="$node $size 0 0"
  [ ! -s "$2" ] || before=$(cat -- "$2")
  # shellcheck disable=SC2086 # four numbers
  set -- "$1" "$2" $before
  from=$4
  # Another file, or one that logrotate has cut off.
  [ "$3" = "$node" ] && [ "$from" -le "$size" ] || from=0
  found=$(tail -c "+$((from + 1))" -- "$1" 2>/dev/null | head -c $((size - from)) | LC_ALL=C awk '
    /disconnected[,:] not authorised\.$/ { refused++; next }
    # Mosquitto cuts a line at 1000 bytes: with a client id that long nobody hides a refusal.
    /^[0-9T:-]+: Client / && length($0) > 950 { refused++ }
    /: Denied PUBLISH from / { denied++ }
    END { print refused + 0, denied + 0 }')
  refused=$(($5 + ${found% *}))
  denied=$(($6 + ${found#* }))
  echo "$node $size $refused $denied" >"$2.new"
  mv -f -- "$2.new" "$2"
  tell refused_logins_total counter "Logins refused, as the log says." "$refused"
  tell denied_messages_total counter "Messages denied: log type debug tells them." "$denied"
  tell log_bytes gauge "Size of the log." "$size"
}

backups() { # FOLDER SECONDS CONTAINER: what host/backup.sh and host/drill.sh left; the longest gap
  tell backup_timestamp_seconds gauge "When the last good backup was made; 0: never." \
    "$(stamp "$1/.verified-$3")"
  tell backup_drill_timestamp_seconds gauge "When one was last tried; 0: never." \
    "$(stamp "$1/.drilled-$3")"
  tell backup_interval_seconds gauge "The longest time between two, as declared." "$2"
}

stamp() { # FILE: its first word, seconds since 1970
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
  mkdir -p -- "${file%/*}"
  # The collector reads *.prom alone: not what is still being written.
  printf '%s' "$lines" >"$file.new"
  mv -f -- "$file.new" "$file"
}
