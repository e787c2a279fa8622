#!/bin/sh
# Correct what can be corrected of a container without replacing it, and record how it is.
#
# Name, networks, restart policy, limits of memory and processes, and whether it runs: nobody is disconnected by
# that, except where the container could not be reached anyway.
#
# Arguments: $1: apply
# Calls: created SOCKET NAME ID NETWORK RESTART MEMORY PROCESSES. ID: the container that Pulumi created;
#   NETWORK: its only one; empty on the host's network; MEMORY: in MiB; PROCESSES: empty for no limit
# Stdin: nothing
# Prints: nothing
# Exit codes: of `fail`: 1, with one message on stderr
# needs: lib/applied.sh
# needs: lib/container_facts.sh

created_socket=''
created_name=''
created_id=''
created_network=''
created_restart=''
created_memory=''
created_processes=''

created() { # SOCKET NAME ID NETWORK RESTART MEMORY PROCESSES
  created_socket=$1
  created_name=$2
  created_id=$3
  created_network=$4
  created_restart=$5
  created_memory=$6
  created_processes=$7
}

created_docker() { docker -H "$created_socket" "$@" </dev/null; }

created_state() { # FORMAT
  created_docker container inspect --format "$1" "$created_name" 2>/dev/null
}

mend_container() {
  [ -n "$created_name" ] || return 0
  created_rename
  [ -n "$(created_state '{{.State.Status}}')" ] || return 0
  [ "$(created_state '{{.State.Paused}}')" != true ] || created_docker unpause "$created_name" >/dev/null
  [ -z "$created_network" ] || created_networks
  # All in one call: Docker refuses memory above the limit with swap.
  # shellcheck disable=SC2086 # an option or none
  created_docker update --restart "$created_restart" --memory "${created_memory}m" \
    --memory-swap "${created_memory}m" ${created_processes:+--pids-limit "$created_processes"} \
    "$created_name" >/dev/null || fail "container $created_name: Docker can't update it"
  case $(created_state '{{.State.Status}}') in
    exited | created | dead)
      said=$(created_docker start "$created_name" 2>&1 >/dev/null) ||
        fail "container $created_name: Docker can't start it: $said"
      ;;
  esac
}

# Gives the container of Pulumi its name again, unless another one has it.
created_rename() {
  [ -z "$(created_state '{{.State.Status}}')" ] || return 0
  created_docker rename "$created_id" "$created_name" >/dev/null 2>&1 || :
}

created_networks() {
  # shellcheck disable=SC2016 # a Go template
  found=$(created_state '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}')
  printf '%s\n' "$found" | grep -qxF -- "$created_network" ||
    created_docker network connect "$created_network" "$created_name" >/dev/null ||
    fail "container $created_name: can't be connected to its network"
  printf '%s\n' "$found" | while IFS= read -r other; do
    [ -z "$other" ] || [ "$other" = "$created_network" ] ||
      created_docker network disconnect --force "$other" "$created_name" >/dev/null
  done
}

# Adds the container, as it is now, to the record of host/lib/applied.sh.
record_container() {
  [ -n "$created_name" ] || return 0
  # It was started: another state is a difference, also if it ended by itself meanwhile.
  described=$(container_facts "$created_socket" "$created_name" | sed 's/^state=.*/state=running/')
  while IFS= read -r fact; do
    [ -z "$fact" ] || made container "- - - - - $created_name $fact"
  done <<EOT
$described
EOT
}
