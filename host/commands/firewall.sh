#!/bin/sh
# Put the firewall rules of a broker in force, and make them survive a reboot; all or none.
#
# The previous rules stay in force behind the new ones, for a container that still listens on its former
# ports, until host/commands/close_former_ports.sh removes them. `remove` removes every rule of this
# broker. Rules of others are never changed.
#
# Arguments: $1: apply | remove
# Calls: firewall BACKEND RULES CONTAINER SHORT UNIT; put PATH MODE UID GID;
#   unit PATH MODE UID GID; ufw_rule WORD...; finish. BACKEND: nftables | iptables | ufw;
#   RULES: nftables | iptables; SHORT: the name of the network interface and of the chains
# Stdin: the script and its calls. `put`, `unit`: the text of the file
# Prints: nothing
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/put_files.sh
# needs: lib/firewall_rules.sh

# shellcheck disable=SC2034,SC2154 # action and new: defined in host/lib/put_files.sh, which reads applied_kind

backend=''
rules=''
container=''
short=''
service=''
allowed=''
left=.left # suffix of the file with the new rules and, behind those of each port, the previous ones

firewall() { # BACKEND RULES CONTAINER SHORT UNIT
  backend=$1
  rules=$2
  container=$3
  short=$4
  service=$5
  folder=/etc/sentient-mqtt/$container
}

unit() { # as `put`, if the host has systemd
  if command -v systemctl >/dev/null 2>&1; then put "$@"; else cat >/dev/null; fi
}

ufw_rule() { # WORD...: arguments of ufw
  allowed="$allowed$*
"
}

validate() {
  for kind in nft v4 v6; do
    [ -e "$folder/rules.$kind$new" ] || continue
    keep_former_ports "$kind" "$folder/rules.$kind"
    for text in "$folder/rules.$kind$new" "$folder/rules.$kind$left$new"; do
      [ ! -e "$text" ] || output=$(check "$kind" "$text" 2>&1) ||
        fail "the host refuses the rules, nothing was changed: $output"
    done
  done
  printf '%s' "$allowed" | while IFS= read -r rule; do
    # shellcheck disable=SC2086 # as in allow_ufw
    output=$(ufw --dry-run $rule 2>&1) || fail "ufw refuses, nothing was changed: $rule: $output"
  done || exit 1
}

check() { # KIND FILE: parses the rules and tests them with the kernel; changes nothing
  case $1 in
    nft) nft -c -f "$2" ;;
    v4) iptables-restore -w --test --noflush <"$2" ;;
    v6) ip6tables-restore -w --test --noflush <"$2" ;;
  esac
}

# Until it is replaced, the present container listens on its former ports, and goes on to if the replacement
# fails: these ports keep their previous rules, unless the new rules name the same port.
keep_former_ports() { # KIND FILE
  before=$2$left
  if [ ! -e "$before" ]; then before=$2; fi
  if [ ! -f "$before" ] || cmp -s -- "$2" "$2$new"; then return 0; fi
  # Rules that another program wrote there are not those of a port.
  same_content "$before" || return 0
  case $1 in
    nft) text=$(both_nftables "$before" "$2$new") ;;
    *) text=$(both_iptables "$before" "$2$new") ;;
  esac
  # host/commands/close_former_ports.sh deletes it.
  applied_kind=''
  put "$2$left" 0644 0 0 <<EOT
$text
EOT
  applied_kind='file'
}

both_nftables() { # BEFORE NEW, as broker/firewall/rules.py renders them
  awk '
    $1 == "chain" { chain = $2 }
    NR == FNR && chain ~ /listener-/ {
      sub(/chain /, "chain left-")
      chains = chains $0 "\n"
      next
    }
    NR == FNR && sub(/ goto /, " goto left-") { jumps[chain] = jumps[chain] $0 "\n" }
    NR == FNR { next }
    $0 == "\tchain input {" { printf "%s", chains }
    chain == "input" && $0 == "\t}" { printf "%s", jumps[chain] }
    chain == "forward" && $0 == "\t\tcounter drop" { printf "%s", jumps[chain] }
    { print }
  ' "$1" "$2"
}

both_iptables() { # BEFORE NEW: the first match decides; the last line of both is the same
  last=$(grep -E '^-A [^ ]+ -j DROP$' "$2")
  grep -vxF -e "$last" -e COMMIT -- "$2"
  grep -e '^-A' -- "$1" | grep -vxF -e "$last" || :
  printf '%s\nCOMMIT\n' "$last"
}

settle() {
  if ! output=$(sh "$folder/load" 2>&1); then
    each_path restore
    [ ! -e "$folder/load" ] || sh "$folder/load" || :
    fail "the rules could not be put in force; the previous ones are in place again: $output"
  fi
  allow_ufw
  if [ -e "/etc/systemd/system/$service" ]; then
    systemctl enable --quiet "$service" 2>/dev/null ||
      fail "systemd does not enable the unit $service: see systemctl status $service"
    if [ -d /run/systemd/system ]; then
      { systemctl daemon-reload && systemctl start "$service"; } ||
        fail "systemd does not start the unit $service: see systemctl status $service"
    fi
  fi
  remember
}

remember() { # records the rules in force; host/commands/drift.sh detects a difference
  text=$(rules_in_force "$backend" "$rules" "$container" "$short")
  digest=$(printf '%s\n' "$text" | sha256sum | cut -d ' ' -f 1)
  if [ -d "$folder/state" ] || [ -L "$folder/state" ]; then move_away "$folder/state"; fi
  # The first word was a revision in earlier versions.
  printf '%s %s %s %s\n' 1 "$digest" "$backend" "$rules" >"$folder/state"
  chown -- 0:0 "$folder/state"
  chmod -- 0600 "$folder/state"
  made written "$folder/state"
}

# New rules are added before former ones are deleted (host/commands/close_former_ports.sh), so that a network
# that stays on the list is never locked out. A rule that another program has added stays as it is; a rule
# of this program for the container's former name is taken over.
allow_ufw() {
  command -v ufw >/dev/null 2>&1 || return 0
  own_comment=" comment 'sentient-mqtt "
  printf '%s' "$allowed" | while IFS= read -r rule; do
    ! ufw show added | grep -F -- "ufw $rule" | grep -qvF -- "$own_comment" || continue
    # shellcheck disable=SC2086 # arguments of ufw; broker/firewall/rules.py renders them
    output=$(ufw $rule comment "sentient-mqtt $container" 2>&1) || fail "ufw refuses: $rule: $output"
  done || exit 1
}

drop_ufw() { # RULES, one per line, as `ufw show added` prints them
  printf '%s\n' "$1" | while IFS= read -r rule; do
    # shellcheck disable=SC2086
    [ -z "$rule" ] || ufw delete $rule >/dev/null </dev/null || :
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
      own_rules=$(cat)
      printf '%s\n' "$own_rules" | sed -nE "s/^-A (INPUT|FORWARD) /-D \\1 /p" | while IFS= read -r jump; do
        # shellcheck disable=SC2086 # a rule as iptables -S prints it
        "$command" -w -t mangle $jump
      done
      for chain in "MQTT-IN-$short" "MQTT-FW-$short"; do
        printf '%s\n' "$own_rules" | grep -qxF -- "-N $chain" || continue
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
  ! command -v ufw >/dev/null 2>&1 || drop_ufw "$(own_ufw_rules "$container")"
  # Those of another backend, too. What replaced a file was moved away, and stays.
  for kind in nft v4 v6; do
    rm -f -- "$folder/rules.$kind" "$folder/rules.$kind$left"
  done
  rm -f -- "$folder/state"
}

tidy() {
  [ "$action" = apply ] || rmdir -- "$folder" /etc/sentient-mqtt 2>/dev/null || :
}
