#!/bin/sh
# Report what is still on the host after a broker was removed. Changes nothing.
#
# Arguments: $1: look
# Calls: removed SOCKET IMAGE; container NAME; network NAME; file PATH; env_file PATH FIRST_LINE;
#   rules CONTAINER SHORT (as in host/lib/firewall_rules.sh); finish.
#   IMAGE: of the container that reads a file in a folder of another user
# Stdin: the script and its calls
# Prints: `left KIND NAME` for each thing that is still there, and at the end `looked`
# Exit codes: 0: every question was put; other: the answer is incomplete (no `looked`), with a message on stderr
# needs: lib/paths.sh
# needs: lib/firewall_rules.sh

# shellcheck disable=SC2154 # defined in host/lib/paths.sh
socket=''
image=''

removed() { # SOCKET IMAGE
  socket=$1
  image=$2
}

# Not in a pipe: if Docker does not answer, that must not be taken for "there is none".
listed() { # NAME WORD...: whether Docker lists it
  listed_name=$1
  shift
  listed_names=$(docker -H "$socket" "$@" </dev/null) || exit 1
  printf '%s\n' "$listed_names" | grep -qxF -- "$listed_name"
}

container() { # NAME
  ! listed "$1" ps --all --format '{{.Names}}' || echo "left container $1"
}

network() { # NAME
  ! listed "$1" network ls --format '{{.Name}}' || echo "left network $1"
}

file() { # PATH: a file or a folder
  if [ -e "$1" ] || [ -L "$1" ]; then echo "left file $1"; fi
}

env_file() { # PATH FIRST_LINE: a file of another program has another first line
  env_folder=$(dirname -- "$1")
  if [ ! -f "$1" ] || [ -L "$1" ]; then return 0; fi
  if root_only "$env_folder"; then
    begins=$(head -n 1 -- "$1")
  else
    # shellcheck disable=SC2016 # expanded by the shell of as_owner
    begins=$(as_owner "$socket" "$image" "$env_folder" ro 20 'head -n 1 -- "./$1"' "${1##*/}" \
      </dev/null 2>/dev/null) || begins=''
  fi
  [ "$begins" != "$2" ] || echo "left file $1"
}

rules() { # CONTAINER SHORT: of every backend, because the stack file may name another one now
  [ -z "$(rules_in_force ufw nftables "$1" "$2")$(rules_in_force '' iptables "$1" "$2")" ] ||
    echo "left rules $1"
}

finish() {
  echo looked
}
