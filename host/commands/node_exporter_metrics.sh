#!/bin/sh
# Write a file for node_exporter's textfile collector with metrics that are not in $SYS. No value is secret.
#
# The host's timer runs an installed copy of this script every minute. The log is in a folder of the
# broker's uid: a process in its container reads the new part. If the script fails, the file stays as it was.
#
# Arguments: $1: apply | remove (remove does nothing)
# Calls: textfile FILE BROKER IMAGE; limits CLIENTS REFUSED; container SOCKET NAME; log PATH MEMORY;
#   backups FOLDER SECONDS CONTAINER; certificate LISTENER PATH; finish.
#   CLIENTS, REFUSED, SECONDS: numbers; MEMORY: a file of root with the position in the log
# Stdin: the script and its calls
# Prints: nothing
# Exit codes: 0: done; other: failed, with one message on stderr.
# needs: lib/shared_file.sh

# shellcheck disable=SC2016 # other shells expand these scripts
action=$1
file=''
broker=''
lines=''
image=''
socket=''
container=''

metric() { # NAME TYPE HELP VALUE [LABELS]
  lines="$lines# HELP sentient_mqtt_$1 $3
# TYPE sentient_mqtt_$1 $2
"
  sample "$1" "$4" "${5:-}"
}

sample() { # NAME VALUE LABELS: one more value of a metric
  lines="${lines}sentient_mqtt_$1{broker=\"$broker\"$3} $2
"
}

textfile() { # FILE BROKER IMAGE: an image that is on the host
  file=$1
  broker=$2
  image=$3
}

limits() { # CLIENTS REFUSED
  metric clients_limit gauge "Clients that a listener takes, as declared." "$1"
  metric refused_logins_limit gauge "Refused logins an hour that are too many, as declared." "$2"
}

container() { # SOCKET NAME
  socket=$1
  container=$2
  state=$(docker -H "$1" container inspect --format \
    '{{.State.Running}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}} {{.RestartCount}}' \
    "$2" 2>/dev/null </dev/null) || state='false none 0'
  # shellcheck disable=SC2086 # three words
  set -- $state
  metric container_running gauge "Whether the container runs." "$([ "$1" = true ] && echo 1 || echo 0)"
  metric container_healthy gauge "Whether its health check passes, or is still to begin." \
    "$(case $2 in healthy | starting) echo 1 ;; *) echo 0 ;; esac)"
  metric container_restarts_total counter "Times that Docker started it again." "$3"
}

# Reads only what was appended since the last run; nothing while the broker is stopped.
log() { # PATH MEMORY: the log in the broker's container; a file on the host
  before=$(cat -- "$2" 2>/dev/null) || before=''
  # The first run begins at the end of the log.
  [ -n "$before" ] || before='none 0 0 0'
  # shellcheck disable=SC2086 # four words
  set -- "$1" "$2" $before
  found=$(timeout 30 docker -H "$socket" exec --workdir "${1%/*}" "$container" timeout 20 sh -euc '
size=0
node=0
[ ! -f "$1" ] || { size=$(stat -c %s "$1"); node=$(stat -c %i "$1"); }
from=$3
# Another file, or one that logrotate has truncated.
[ "$2" = "$node" ] && [ "$from" -le "$size" ] || from=0
[ "$2" != none ] || from=$size
echo "$node $size"
[ "$from" -lt "$size" ] || { echo 0 0; exit 0; }
tail -c "+$((from + 1))" "$1" | head -c $((size - from)) | LC_ALL=C awk "
    /disconnected[,:] not authorised\.\$/ { refused++; next }
    # Mosquitto cuts a line at 1000 bytes: a long client id must not hide a refused login.
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
  metric refused_logins_total counter "Logins refused, as the log says." "$4"
  metric denied_messages_total counter "Messages denied: log type debug tells them." "$5"
  metric log_bytes gauge "Size of the log." "$3"
}

# The output of a compromised broker may be anything.
four_numbers() {
  [ $# -eq 4 ] || return 1
  case $1$2$3$4 in *[!0-9]*) return 1 ;; esac
  case $1/$2/$3/$4 in *[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]*) return 1 ;; esac
}

backups() { # FOLDER SECONDS CONTAINER: the notes of backup.sh and verify_backup.sh; the longest declared gap
  metric backup_timestamp_seconds gauge "When the last good backup was made; 0: never." \
    "$(stamp "$1/.verified-$3")"
  metric backup_drill_timestamp_seconds gauge "When one was last tried; 0: never." \
    "$(stamp "$1/.drilled-$3")"
  metric backup_interval_seconds gauge "The longest time between two, as declared." "$2"
}

stamp() { # FILE: prints its first word, seconds since 1970
  root_only "$(dirname -- "$1")" || {
    echo 0
    return 0
  }
  found=$(cut -d ' ' -f 1 -- "$1" 2>/dev/null) || found=''
  case $found in '' | *[!0-9]*) echo 0 ;; *) echo "$found" ;; esac
}

# Prints the seconds from 1970 to DATE, a date of OpenSSL such as `Dec  6 17:23:19 2026 GMT`, which BusyBox's
# date(1) can't read.
seconds_of() { # DATE
  printf '%s\n' "$1" | awk '{
    month = (index("JanFebMarAprMayJunJulAugSepOctNovDec", $1) + 2) / 3
    year = $4
    if (month <= 2) { month += 12; year-- }
    days = 365 * year + int(year / 4) - int(year / 100) + int(year / 400)
    days += int((153 * month - 457) / 5) + $2 - 719469
    split($3, clock, ":")
    printf "%.0f\n", ((days * 24 + clock[1]) * 60 + clock[2]) * 60 + clock[3]
  }'
}

certificate() { # LISTENER PATH
  end=$(openssl x509 -noout -enddate -in "$2" 2>/dev/null) || return 0
  end=$(seconds_of "${end#*=}")
  case $lines in
    *"# TYPE sentient_mqtt_certificate_expiry_"*)
      sample certificate_expiry_timestamp_seconds "$end" ",listener=\"$1\"" ;;
    *)
      metric certificate_expiry_timestamp_seconds gauge "When the certificate ends." "$end" \
        ",listener=\"$1\"" ;;
  esac
}

finish() {
  [ "$action" = apply ] || return 0
  printf '%s' "$lines" | write_shared "$socket" "$image" "$file"
}
