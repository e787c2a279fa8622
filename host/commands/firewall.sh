#!/bin/sh
# With host/lib/put_files.sh and host/lib/firewall_rules.sh before it. After `apply`: the rules are in force and come back
# with the host, or nothing was changed; behind them stand those from before, for a container that
# still listens where it did, until host/commands/close_former_ports.sh takes them away. After `remove`: no rule of ours is
# left. Nobody else's rule is ever touched.
# needs: lib/put_files.sh
# needs: lib/firewall_rules.sh

# shellcheck disable=SC2154 # action and new: host/lib/put_files.sh has them

backend=''
rules=''
container=''
short=''
service=''
turn=''
allowed=''
left=.left # beside a file of rules: it, and behind each of its ports the rules from before

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
  for kind in nft v4 v6; do
    [ -e "$folder/rules.$kind$new" ] || continue
    stay_behind "$kind" "$folder/rules.$kind"
    for text in "$folder/rules.$kind$new" "$folder/rules.$kind$left$new"; do
      [ ! -e "$text" ] || said=$(check "$kind" "$text" 2>&1) ||
        fail "the host refuses the rules, nothing was changed: $said"
    done
  done
  printf '%s' "$allowed" | while IFS= read -r words; do
    # shellcheck disable=SC2086 # as in allow_ufw
    said=$(ufw --dry-run $words 2>&1) || fail "ufw refuses, nothing was changed: $words: $said"
  done || exit 1
}

check() { # KIND FILE: takes the rules apart and holds them against the kernel's, and changes neither
  case $1 in
    nft) nft -c -f "$2" ;;
    v4) iptables-restore -w --test --noflush <"$2" ;;
    v6) ip6tables-restore -w --test --noflush <"$2" ;;
  esac
}

# The container from before listens where it did until it is replaced, and goes on if that is
# refused: its ports keep their lists, but for what the new rules say of the same port.
stay_behind() { # KIND FILE
  before=$2$left
  if [ ! -e "$before" ]; then before=$2; fi
  if [ ! -e "$before" ] || cmp -s -- "$2" "$2$new"; then return 0; fi
  case $1 in
    nft) text=$(both_nftables "$before" "$2$new") ;;
    *) text=$(both_iptables "$before" "$2$new") ;;
  esac
  put "$2$left" 0644 0 0 <<EOT
$text
EOT
}

both_nftables() { # BEFORE NEW, as broker/firewall/rules.py renders them
  awk '
    $1 == "chain" { chain = $2 }
    NR == FNR && chain ~ /listener-/ {
      sub(/chain /, "chain left-")
      chains = chains $0 "\n"
      next
    }
    NR == FNR && sub(/ goto /, " goto left-") { gates[chain] = gates[chain] $0 "\n" }
    NR == FNR { next }
    $0 == "\tchain input {" { printf "%s", chains }
    chain == "input" && $0 == "\t}" { printf "%s", gates[chain] }
    chain == "forward" && $0 == "\t\tcounter drop" { printf "%s", gates[chain] }
    { print }
  ' "$1" "$2"
}

both_iptables() { # BEFORE NEW: what is asked first decides, and the last line of both is the same
  last=$(grep -E '^-A [^ ]+ -j DROP$' "$2")
  grep -vxF -e "$last" -e COMMIT -- "$2"
  grep -e '^-A' -- "$1" | grep -vxF -e "$last" || :
  printf '%s\nCOMMIT\n' "$last"
}

settle() {
  if ! said=$(sh "$folder/load" 2>&1); then
    each_path restore
    [ ! -e "$folder/load" ] || sh "$folder/load" || :
    fail "the rules could not be put in force; those before are in place again: $said"
  fi
  allow_ufw
  if [ -e "/etc/systemd/system/$service" ]; then
    systemctl enable --quiet "$service" 2>/dev/null ||
      fail "systemd does not take the unit $service: see systemctl status $service"
    if [ -d /run/systemd/system ]; then
      { systemctl daemon-reload && systemctl start "$service"; } ||
        fail "systemd does not start the unit $service: see systemctl status $service"
    fi
  fi
  remember
}

remember() { # how the rules were left: host/commands/probe.sh holds it against what it finds
  text=$(rules_in_force "$backend" "$rules" "$container" "$short")
  digest=$(printf '%s\n' "$text" | sha256sum | cut -d ' ' -f 1)
  printf '%s %s %s %s\n' "$turn" "$digest" "$backend" "$rules" >"$folder/state"
}

# Added before what is no longer wanted goes (host/commands/close_former_ports.sh): nobody who stays on the list is shut
# out in between. A rule that somebody else has made already stays theirs; one of ours from before a
# container got another name is taken over.
allow_ufw() {
  command -v ufw >/dev/null 2>&1 || return 0
  ours=" comment 'sentient-mqtt "
  printf '%s' "$allowed" | while IFS= read -r words; do
    ! ufw show added | grep -F -- "ufw $words" | grep -qvF -- "$ours" || continue
    # shellcheck disable=SC2086 # ufw's grammar, a word each; broker/firewall/rules.py makes them
    said=$(ufw $words comment "sentient-mqtt $container" 2>&1) || fail "ufw refuses: $words: $said"
  done || exit 1
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
    "$command" -w -t mangle -S 2>/dev/null |
      grep -E -- " MQTT-(IN|FW)-$(literally "$short")( |\$)" | {
      ours=$(cat)
      printf '%s\n' "$ours" | sed -nE "s/^-A (INPUT|FORWARD) /-D \\1 /p" | while IFS= read -r jump; do
        # shellcheck disable=SC2086 # a rule as iptables -S prints it, a word each
        "$command" -w -t mangle $jump
      done
      for chain in "MQTT-IN-$short" "MQTT-FW-$short"; do
        printf '%s\n' "$ours" | grep -qxF -- "-N $chain" || continue
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
  # Of another backend's, too.
  rm -f -- "$folder/state" "$folder"/rules.*
}

tidy() {
  [ "$action" = apply ] || rmdir -- "$folder" /etc/sentient-mqtt 2>/dev/null || :
}
