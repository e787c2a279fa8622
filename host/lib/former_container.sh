#!/bin/sh
# Keep a stopped copy of a container while it is replaced, and start the copy if the new one does not start.
#
# Pulumi removes a container before it creates its successor, so the successor's failure would leave none.
# The copy is created from what Docker reports about the container, by whomever it was made. It is started with
# the mosquitto.conf of the last container that answered, because a new one may name other ports.
#
# Arguments: none
# Calls: former RESTART CONF. RESTART: the restart policy of the container; CONF: the path of mosquitto.conf
# Stdin: nothing
# Prints: nothing
# Exit codes: none of its own
# needs: lib/database.sh

# shellcheck disable=SC2154 # container, socket: defined in host/lib/database.sh
restart_policy=unless-stopped
conf_file=''

former() { # RESTART CONF
  restart_policy=$1
  conf_file=$2
}

# The copy of mosquitto.conf with which the broker answered last.
answered_conf() { echo "/etc/sentient-mqtt/$container/answered.conf"; }

keep_conf() {
  [ -n "$conf_file" ] && [ -f "$conf_file" ] && root_only "$(dirname -- "$conf_file")" || return 0
  make_folder "/etc/sentient-mqtt/$container"
  cp -p -- "$conf_file" "$(answered_conf).new" || fail "$(answered_conf): can't be written; is the disk full?"
  mv -f -- "$(answered_conf).new" "$(answered_conf)"
}

forget_conf() {
  rm -f -- "$(answered_conf)" "$(answered_conf).new"
  rmdir -- "/etc/sentient-mqtt/$container" 2>/dev/null || :
}

# The next preview reports mosquitto.conf as changed, and its `up` puts the declared one in place again.
bring_conf_back() {
  [ -n "$conf_file" ] && [ -f "$(answered_conf)" ] && root_only "$(dirname -- "$conf_file")" || return 0
  ! cmp -s -- "$(answered_conf)" "$conf_file" || return 0
  if cp -p -- "$(answered_conf)" "$conf_file.sentient-mqtt-former"; then
    mv -f -- "$conf_file.sentient-mqtt-former" "$conf_file"
  else
    rm -f -- "$conf_file.sentient-mqtt-former"
  fi
}

former_name() { echo "$container-former"; }

# Prints the options of `docker create` for the container, one a line, then `--`, the image, and its command.
# A health check that is no shell command becomes one: the docker command can't create another.
# shellcheck disable=SC2016 # a Go template
as_created() {
  state '{{with .Config -}}
--user={{.User}}
{{range .Env}}--env={{.}}
{{end}}{{range $name, $value := .Labels}}--label={{$name}}={{$value}}
{{end}}{{with .StopSignal}}--stop-signal={{.}}
{{end}}{{with .StopTimeout}}--stop-timeout={{.}}
{{end}}{{with .Healthcheck}}{{if .Test}}--health-cmd={{if eq (index .Test 0) "CMD-SHELL"}}{{index .Test 1}}{{else -}}
{{range $i, $word := .Test}}{{if $i}}'\''{{$word}}'\'' {{end}}{{end}}{{end}}
--health-interval={{.Interval}}
--health-timeout={{.Timeout}}
--health-retries={{.Retries}}
{{end}}{{end}}{{end}}{{with .HostConfig -}}
{{if .ReadonlyRootfs}}--read-only
{{end}}{{if eq (json .Init) "true"}}--init
{{end}}{{range .CapAdd}}--cap-add={{.}}
{{end}}{{range .CapDrop}}--cap-drop={{.}}
{{end}}{{range .SecurityOpt}}--security-opt={{.}}
{{end}}{{range .Ulimits}}--ulimit={{.Name}}={{.Soft}}:{{.Hard}}
{{end}}{{if .Memory}}--memory={{.Memory}}
--memory-swap={{.MemorySwap}}
{{end}}{{with .PidsLimit}}--pids-limit={{.}}
{{end}}--log-driver={{.LogConfig.Type}}
{{range $name, $value := .LogConfig.Config}}--log-opt={{$name}}={{$value}}
{{end}}{{end}}{{range .Mounts}}{{if eq .Type "bind"}}--volume={{.Source}}:{{.Destination}}:{{if .RW}}rw{{else}}ro{{end}}
{{end}}{{end}}{{range $name, $_ := .NetworkSettings.Networks}}--network={{$name}}
{{end}}--
{{.Image}}
{{range .Config.Cmd}}{{.}}
{{end}}'
}

# Prints the options for the published ports; the names of their fields in a template depend on the version.
ports_as_created() {
  daemon port "$container" | while read -r inside _ outside; do
    address=${outside%:*}
    case $address in
      \[*) ;;
      *:*) address="[$address]" ;;
    esac
    echo "--publish=$address:${outside##*:}:$inside"
  done
}

# Creates the copy of a container that runs; keeps an earlier copy of one that does not. It never starts by
# itself, also not when Docker starts. Without a copy the replacement goes on.
keep_former() {
  running || return 0
  forget_former
  { ports_as_created && as_created; } | {
    set --
    words=no
    while IFS= read -r line; do
      if [ "$words" = yes ] || [ "$line" = -- ]; then
        [ "$line" != -- ] || [ "$words" = yes ] || {
          words=yes
          continue
        }
        # docker inspect ends with an empty line.
        [ -z "$line" ] || set -- "$@" "$line"
      else
        case $line in --*) set -- "$@" "$line" ;; esac
      fi
    done
    docker -H "$socket" create --pull never --name "$(former_name)" --restart no "$@" </dev/null
  } >/dev/null 2>&1 || forget_former
}

forget_former() {
  daemon rm --force --volumes "$(former_name)" >/dev/null 2>&1 || :
}

# Puts the copy in the place of a container that did not start, or of none. Returns 1 if there is no copy, or
# if it does not start either.
bring_former_back() {
  daemon container inspect "$(former_name)" >/dev/null 2>&1 || return 1
  daemon rm --force --volumes "$container" >/dev/null 2>&1 || :
  daemon rename "$(former_name)" "$container" >/dev/null 2>&1 || return 1
  daemon update --restart "$restart_policy" "$container" >/dev/null 2>&1 || :
  bring_conf_back
  daemon start "$container" >/dev/null 2>&1 && return 0
  # Its network was created anew under the same name.
  # shellcheck disable=SC2016 # a Go template
  for network in $(state '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}'); do
    daemon network disconnect --force "$network" "$container" >/dev/null 2>&1 || :
    daemon network connect "$network" "$container" >/dev/null 2>&1 || :
  done
  daemon start "$container" >/dev/null 2>&1
}
