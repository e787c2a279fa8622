#!/bin/sh
# Print the firewall rules of a broker that are in force, and no rule of others.
#
# Arguments: none
# Calls: none; host/commands/probe.sh and host/commands/firewall.sh call the functions
# Stdin: nothing
# Prints: `rules_in_force`: the rules as nft, iptables -S and ufw print them; `own_ufw_rules`: `allow ...` per line
# Exit codes: none of its own

set -eu

PATH=$PATH:/usr/sbin:/sbin

privileged() { # COMMAND...: as root; the probe may run as another login
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

literally() { # NAME: prints a regular expression that matches only NAME; dots are escaped
  printf '%s' "$1" | sed 's,[.],\\.,g'
}

rules_in_force() { # BACKEND RULES CONTAINER SHORT, as in broker/firewall/rules.py
  case $2 in
    nftables) privileged nft -s list table inet "sentient-mqtt-$3" 2>/dev/null || : ;;
    iptables)
      for command in iptables ip6tables; do
        privileged "$command" -w -t mangle -S 2>/dev/null |
          grep -E -- " MQTT-(IN|FW)-$(literally "$4")( |\$)" || :
      done
      ;;
  esac
  [ "$1" != ufw ] || own_ufw_rules "$3"
}

own_ufw_rules() { # CONTAINER: prints `allow ...` per line
  privileged ufw show added 2>/dev/null |
    sed -n "s/^ufw \\(.*\\) comment 'sentient-mqtt $(literally "$1")'\$/\\1/p"
}
