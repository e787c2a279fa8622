#!/bin/sh
# Describe a container as `KEY=VALUE` lines, so that two descriptions can be compared.
#
# No value is a secret: of the environment there are only the names.
#
# Arguments: none
# Calls: none; the other scripts call the functions
# Stdin: nothing
# Prints: `container_facts`: `KEY=VALUE` per line; nothing if there is no such container
# Exit codes: none of its own
# needs: lib/paths.sh

# shellcheck disable=SC2016 # Go templates
container_facts() { # SOCKET NAME
  facts=$(docker -H "$1" container inspect --format 'id={{.ID}}
state={{.State.Status}}
image={{.Image}}
command={{.Path}}{{range .Args}} {{.}}{{end}}
{{with .Config}}user={{.User}}
environment={{range .Env}}{{index (split . "=") 0}} {{end}}
labels={{range $name, $value := .Labels}}{{$name}}={{$value}} {{end}}
health={{with .Healthcheck}}{{range .Test}}{{.}} {{end}}{{.Interval}} {{.Timeout}} {{.Retries}}{{end}}
{{end}}{{with .HostConfig}}restart={{.RestartPolicy.Name}}
memory={{.Memory}}
swap={{.MemorySwap}}
limits={{.MemoryReservation}} {{.NanoCPUs}} {{.CPUShares}} {{.CPUQuota}} {{.CpusetCpus}}
pids={{with .PidsLimit}}{{.}}{{end}}
files={{range .Ulimits}}{{.Name}} {{.Soft}} {{.Hard}} {{end}}
capabilities=add {{range .CapAdd}}{{.}} {{end}}drop {{range .CapDrop}}{{.}} {{end}}
security={{range .SecurityOpt}}{{.}} {{end}}
privileged={{.Privileged}}
read-only={{.ReadonlyRootfs}}
ports={{range $port, $bindings := .PortBindings}}{{$port}} {{range $bindings}}{{.HostPort}} {{end}}{{end}}
log={{.LogConfig.Type}} {{range $name, $value := .LogConfig.Config}}{{$name}}={{$value}} {{end}}
{{end}}unordered={{range .Mounts}}{{.Source}}:{{.Destination}}:{{.RW}} {{end}}
networks={{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}
pid={{.State.Pid}}' "$2" 2>/dev/null) || return 0
  pid=$(printf '%s\n' "$facts" | sed -n 's/^pid=//p')
  # Docker reports the mounts in any order.
  mounts=$(printf '%s\n' "$facts" | sed -n 's/^unordered=//p' | tr ' ' '\n' | sort | tr '\n' ' ')
  printf '%s\n' "$facts" | sed '/^pid=/d; /^unordered=/d; s/ *$//'
  printf 'mounts=%s\n' "$mounts" | sed 's/= */=/; s/ *$//'
  echo "network=$(network_of "$1" "$2")"
  echo "lost=$(lost_folders "$pid" "$mounts" | tr '\n' ' ' | sed 's/ *$//')"
}

# Prints the id of the network that has the container's name, and its revision if it has one. The id changes if
# somebody removes and creates the network.
# shellcheck disable=SC2016 # Go templates
network_of() { # SOCKET NAME
  docker -H "$1" network inspect --format \
    '{{.ID}}{{with index .Labels "sentient-mqtt.revision"}} {{.}}{{end}}' "$2" 2>/dev/null | sed -n 1p
}

# Prints each mounted folder in whose place the host has another one by now: the container holds on to the
# folder that was there when it started.
lost_folders() { # PID MOUNTS
  [ "$1" != 0 ] || return 0
  for mount in $2; do
    inside=${mount%:*}
    inside=${inside#*:}
    [ "$(stat -c %i -- "${mount%%:*}" 2>/dev/null)" = "$(stat -c %i -- "/proc/$1/root$inside" 2>/dev/null)" ] ||
      printf '%s\n' "${mount%%:*}"
  done
}
