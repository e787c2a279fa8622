#!/bin/sh
# Remove the firewall rules of former ports, and those of another backend, once nothing listens there.
#
# It runs after the container listens where the stack file says. `remove` does nothing:
# host/commands/firewall.sh removes all rules.
#
# Arguments: $1: apply | remove
# Calls: those of host/commands/firewall.sh
# Stdin: the script and its calls
# Prints: nothing
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: commands/firewall.sh

# shellcheck disable=SC2154 # defined in host/commands/firewall.sh

validate() { :; }

settle() {
  rm -f -- "$folder"/rules.*"$left"
  output=$(sh "$folder/load" 2>&1) ||
    fail "the rules could not be put in force without the previous ones: $output"
  case $rules in
    nftables)
      unload_iptables
      rm -f -- "$folder/rules.v4" "$folder/rules.v6"
      ;;
    iptables)
      unload_nftables
      rm -f -- "$folder/rules.nft"
      ;;
  esac
  if command -v ufw >/dev/null 2>&1; then
    own_ufw_rules "$container" | while IFS= read -r rule; do
      printf '%s' "$allowed" | grep -qxF -- "$rule" || drop_ufw "$rule"
    done
  fi
  remember
}

unsettle() { :; }
