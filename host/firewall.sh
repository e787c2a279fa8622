#!/bin/sh
# With host/files.sh and host/rules.sh before it. After `apply`: the rules are in force, come back
# with the host, and no earlier ones of ours are left; or nothing was changed. After `remove`: no
# rule of ours is left. Nobody else's rule is ever touched.

# shellcheck disable=SC2154 # action and new: host/files.sh has them

backend=''
rules=''
container=''
short=''
service=''
turn=''
allowed=''

firewall() { # BACKEND RULES CONTAINER SHORT UNIT TURN
  backend=$1
  rules=$2
  container=$3
  short=$4
  service=$5
  turn=$6
  folder=/etc/sentient-mqtt/$container
}

unit() { # as `put`; where there is a systemd to read it
  if command -v systemctl >/dev/null 2>&1; then put "$@"; else cat >/dev/null; fi
}

ufw_rule() { # WORD...: after `ufw`
  allowed="$allowed$*
"
}

validate() {
  # Takes the rules apart and holds them against the kernel's, and changes neither.
  case $rules in
    nftables) said=$(nft -c -f "$folder/rules.nft$new" 2>&1) ;;
    iptables)
      said=$(iptables-restore -w --test --noflush <"$folder/rules.v4$new" 2>&1) &&
        { [ ! -e "$folder/rules.v6$new" ] ||
          said=$(ip6tables-restore -w --test --noflush <"$folder/rules.v6$new" 2>&1); }
      ;;
  esac || fail "the host refuses the rules, nothing was changed: $said"
}

settle() {
  if ! said=$(sh "$folder/load" 2>&1); then
    each_path restore
    [ ! -e "$folder/load" ] || sh "$folder/load" || :
    fail "the rules could not be put in force; those before are in place again: $said"
  fi
  # Another backend's, from before: only now that the new ones stand.
  case $rules in
    nftables) unload_iptables ;;
    iptables) unload_nftables ;;
  esac
  settle_ufw
  if [ -e "/etc/systemd/system/$service" ]; then
    systemctl enable --quiet "$service" 2>/dev/null ||
      fail "systemd does not take the unit $service: see systemctl status $service"
    if [ -d /run/systemd/system ]; then
      { systemctl daemon-reload && systemctl start "$service"; } ||
        fail "systemd does not start the unit $service: see systemctl status $service"
    fi
  fi
  text=$(rules_in_force "$backend" "$rules" "$container" "$short")
  digest=$(printf '%s\n' "$text" | sha256sum | cut -d ' ' -f 1)
  printf '%s %s %s %s\n' "$turn" "$digest" "$backend" "$rules" >"$folder/state"
}

# Added before what is no longer wanted goes: nobody who stays on the list is shut out in between.
# A rule that somebody else has made already stays theirs; one of ours from before a container got
# another name is taken over.
settle_ufw() {
  command -v ufw >/dev/null 2>&1 || return 0
  ours=" comment 'sentient-mqtt "
  printf '%s' "$allowed" | while IFS= read -r words; do
    ! ufw show added | grep -F -- "ufw $words" | grep -qvF -- "$ours" || continue
    # shellcheck disable=SC2086 # ufw's grammar, a word each; broker/firewall.py makes them
    said=$(ufw $words comment "sentient-mqtt $container" 2>&1) || fail "ufw refuses: $words: $said"
  done || exit 1
  ufw_ours "$container" | while IFS= read -r words; do
    printf '%s' "$allowed" | grep -qxF -- "$words" || drop_ufw "$words"
  done
}

drop_ufw() { # RULES, a line each, as `ufw show added` has them
  printf '%s\n' "$1" | while IFS= read -r words; do
    # shellcheck disable=SC2086
    [ -z "$words" ] || ufw delete $words >/dev/null </dev/null || :
  done
}

unload_nftables() {
  command -v nft >/dev/null 2>&1 || return 0
  nft delete table inet "sentient-mqtt-$container" 2>/dev/null || :
}

unload_iptables() {
  for command in iptables ip6tables; do
    "$command" -w -t mangle -S 2>/dev/null | grep -E -- " MQTT-(IN|FW)-$short( |\$)" | {
      ours=$(cat)
      printf '%s\n' "$ours" | sed -nE "s/^-A (INPUT|FORWARD) /-D \\1 /p" | while IFS= read -r jump; do
        # shellcheck disable=SC2086 # a rule as iptables -S prints it, a word each
        "$command" -w -t mangle $jump
      done
      for chain in "MQTT-IN-$short" "MQTT-FW-$short"; do
        printf '%s\n' "$ours" | grep -qx -- "-N $chain" || continue
        "$command" -w -t mangle -F "$chain" && "$command" -w -t mangle -X "$chain"
      done
    } || :
  done
}

unsettle() {
  if command -v systemctl >/dev/null 2>&1; then
    systemctl disable --quiet "$service" 2>/dev/null || :
    [ ! -d /run/systemd/system ] || systemctl stop "$service" 2>/dev/null || :
  fi
  unload_nftables
  unload_iptables
  ! command -v ufw >/dev/null 2>&1 || drop_ufw "$(ufw_ours "$container")"
  rm -f -- "$folder/state"
}

tidy() {
  [ "$action" = apply ] || rmdir -- "$folder" /etc/sentient-mqtt 2>/dev/null || :
}
