#!/bin/sh
# With host/lib/put_files.sh, host/lib/firewall_rules.sh and host/commands/firewall.sh before it, once no container of ours listens
# but where the stack file says. After `apply`: the rules are the stack file's alone, and none from
# before stands behind them, nor another backend's beside them. `remove` leaves all to
# host/commands/firewall.sh.
# needs: commands/firewall.sh

# shellcheck disable=SC2154 # folder, rules, left, allowed, container: host/commands/firewall.sh has them

validate() { :; }

settle() {
  rm -f -- "$folder"/rules.*"$left"
  said=$(sh "$folder/load" 2>&1) ||
    fail "the rules could not be put in force without those from before: $said"
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
    ufw_ours "$container" | while IFS= read -r words; do
      printf '%s' "$allowed" | grep -qxF -- "$words" || drop_ufw "$words"
    done
  fi
  remember
}

unsettle() { :; }
