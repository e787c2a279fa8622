#!/bin/sh
# Prints the firewall's rules that are ours and in force, and nobody else's. For host/commands/probe.sh and
# host/commands/firewall.sh, which go on from here.

set -eu

PATH=$PATH:/usr/sbin:/sbin

privileged() { # a look from a login that is not root
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

literally() { # NAME: as a regular expression; a dot would stand for any character, and name others
  printf '%s' "$1" | sed 's,[.],\\.,g'
}

rules_in_force() { # BACKEND RULES CONTAINER SHORT, of broker/firewall/rules.py
  case $2 in
    nftables) privileged nft -s list table inet "sentient-mqtt-$3" 2>/dev/null || : ;;
    iptables)
      for command in iptables ip6tables; do
        privileged "$command" -w -t mangle -S 2>/dev/null |
          grep -E -- " MQTT-(IN|FW)-$(literally "$4")( |\$)" || :
      done
      ;;
  esac
  [ "$1" != ufw ] || ufw_ours "$3"
}

ufw_ours() { # CONTAINER: `allow ...` a line
  privileged ufw show added 2>/dev/null |
    sed -n "s/^ufw \\(.*\\) comment 'sentient-mqtt $(literally "$1")'\$/\\1/p"
}
