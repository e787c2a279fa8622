#!/bin/sh
# Report what the host has. Changes nothing. The reader is broker/host/facts.py.
#
# Arguments: $1: look
# Calls: host SOCKET (first); dialled; daemon_options; image NAME; standin PATTERN; container NAME FOLDER STACK;
#   owners FOLDER CONTAINER; address ADDRESS HEX; network NAME BRIDGE; open_files;
#   logins PATH CONTAINER PATH_IN_CONTAINER; port NUMBER STACK; folder PATH MODE UID GID [NAME...];
#   envfile PATH FIRST_LINE; firewall CONTAINER SHORT; certificates CONTAINER FOLDER;
#   certificate NAME FILE BEFORE CERTIFICATE KEY CA; client_ca NAME CA FILE; applied; finish
# Stdin: the script and its calls. `applied`: host/commands/drift.sh and its calls
# Prints: `KEY SUBJECT=VALUE` per line. VALUE is one line. The last line is `probe -=done`
# Exit codes: 0: every question was put; other: the answer is incomplete (no `probe -=done`)
# needs: lib/paths.sh
# needs: lib/key_and_certificate.sh
set -eu

# The login shell of a user has no folders of system programs.
PATH=$PATH:/usr/sbin:/sbin
socket=''
root=no
docker=absent
architecture='' # of the daemon
present='' # an image of the broker that is on the host
ca_folder=''

say() { # KEY SUBJECT VALUE
  printf '%s %s=%s\n' "$1" "$2" "$(printf '%s' "$3" | tr '\n' ' ')"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

daemon() {
  docker -H "$socket" "$@" </dev/null
}

# Sets `answer` to what Docker prints. Returns 1 if there is no such object; any other failure ends the probe.
inspected() { # WORD... of docker
  answer=$(daemon "$@" 2>/dev/null) && return 0
  message=$(daemon "$@" 2>&1 >/dev/null) || :
  case $message in
    '' | *[Nn]'o such'* | *' not found'*) return 1 ;;
    *) fail "docker $1: $message" ;;
  esac
}

host() { # SOCKET
  socket=$1
  say login - "$(id -un)"
  if as_root true 2>/dev/null; then root=yes; fi
  say root - "$root"
  if command -v docker >/dev/null 2>&1; then
    if answer=$(daemon version --format '{{.Server.Version}} {{.Server.Arch}}' 2>&1); then
      docker=ok
      architecture=${answer##* }
    else
      docker=$answer
    fi
  fi
  say docker - "$docker"
}

# The Docker provider runs this command in the login shell, where DOCKER_HOST and the docker context name
# the daemon. It must be the one of the socket.
dialled() {
  [ "$docker" = ok ] || return 0
  answer=$(printf 'GET /info HTTP/1.0\r\nHost: docker\r\n\r\n' | docker system dial-stdio 2>&1) || :
  case $answer in
    *"\"ID\":\"$(daemon info --format '{{.ID}}' 2>/dev/null)\""*) say dialled - ok ;;
    *'"ID":"'*) say dialled - 'reaches another daemon' ;;
    *) say dialled - "fails: $(printf '%s\n' "$answer" | tail -n 1)" ;;
  esac
}

daemon_options() { # what the daemon does otherwise than by default
  [ "$docker" = ok ] || return 0
  options=$(daemon info --format '{{.MemoryLimit}} {{.SwapLimit}} {{json .SecurityOptions}}' 2>/dev/null) ||
    return 0
  case $options in false\ *) say daemon memory no ;; true\ false\ *) say daemon swap no ;; esac
  case $options in *'"name=userns'*) say daemon userns yes ;; esac
  case $options in *'"name=rootless'*) say daemon rootless yes ;; esac
  # Docker reports this option nowhere.
  if cat /etc/docker/daemon.json 2>/dev/null | tr -d '[:space:]' | grep -q '"userland-proxy":false' ||
    cat "/proc/$(cat /run/docker.pid 2>/dev/null)/cmdline" 2>/dev/null | tr '\0' '\n' |
    grep -qx -e '--userland-proxy=false'; then
    say daemon proxy no
  fi
}

image() { # NAME
  [ "$docker" = ok ] || return 0
  if inspected image inspect --format '{{.Architecture}}' "$1"; then
    say image "$1" present
    present=${present:-$1}
    runs_here "$answer" || say architecture "$1" "$answer on $architecture"
  else
    say image "$1" absent
  fi
}

# Whether the host runs programs of an architecture. Docker names them as Go does.
runs_here() { # ARCHITECTURE
  case $architecture/$1 in "$1/$1" | amd64/386 | arm64/arm) return 0 ;; esac
  # An answer with other words says nothing.
  for name in "$architecture" "$1"; do
    case $name in 386 | amd64 | arm | arm64 | ppc64le | riscv64 | s390x) ;; *) return 0 ;; esac
  done
  # Emulated, binfmt_misc(5).
  for emulator in /proc/sys/fs/binfmt_misc/qemu-*; do
    [ ! -e "$emulator" ] || return 0
  done
  return 1
}

# Whether a program can listen on an address: the host has it, or may bind addresses that it lacks.
address() { # ADDRESS HEX: an IPv6 address as in /proc/net/if_inet6; empty for IPv4
  if { [ -n "$2" ] && has_ipv6 "$2"; } || { [ -z "$2" ] && has_ipv4 "$1"; }; then
    say address "$1" present
  else
    say address "$1" absent
  fi
}

has_ipv4() { # ADDRESS
  [ "$(cat /proc/sys/net/ipv4/ip_nonlocal_bind)" != 1 ] || return 0
  awk -v wanted="$1" '$1 == "|--" { address = $2 }
    / host LOCAL/ && address == wanted { found = 1 } END { exit !found }' /proc/net/fib_trie
}

has_ipv6() { # HEX
  [ "$(cat /proc/sys/net/ipv6/ip_nonlocal_bind 2>/dev/null)" != 1 ] || return 0
  grep -q "^$1 " /proc/net/if_inet6 2>/dev/null
}

open_files() { # the highest limit that a process can have
  say limit open_files "$(cat /proc/sys/fs/nr_open 2>/dev/null)"
}

standin() { # PATTERN: the newest fallback image that matches
  [ "$docker" = ok ] || return 0
  newest=$(daemon image ls --filter "reference=$1" --format '{{.Repository}}:{{.Tag}}') ||
    fail "docker image ls: can't list the images like $1"
  newest=$(printf '%s\n' "$newest" | head -n 1)
  say standin "$1" "$newest"
  present=${present:-$newest}
}

# Reports the stack of a container: its label, or STACK if it has no label and mounts FOLDER, because somebody
# created it again by hand.
container() { # NAME FOLDER STACK
  [ "$docker" = ok ] || return 0
  if inspected container inspect --format '{{index .Config.Labels "sentient-mqtt.stack"}}' "$1"; then
    owner=$answer
    case $owner in
      '' | '<no value>')
        owner='made by hand'
        ! daemon container inspect --format '{{range .Mounts}}{{println .Source}}{{end}}' "$1" | grep -qxF -- "$2" || owner=$3
        ;;
    esac
    say container "$1" "$owner"
    say configuration "$1" \
      "$(daemon container inspect --format '{{index .Config.Labels "sentient-mqtt.configuration"}}' "$1" 2>/dev/null)"
    say revision "$1" \
      "$(daemon container inspect --format '{{index .Config.Labels "sentient-mqtt.revision"}}' "$1" 2>/dev/null)"
    say published "$1" "$(daemon container inspect \
      --format '{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}} {{end}}{{end}}' "$1" 2>/dev/null)"
  else
    say container "$1" none
  fi
}

# The provider can't create a network whose name is taken. Ours is recognized by the name of its bridge.
network() { # NAME BRIDGE
  [ "$docker" = ok ] || return 0
  inspected network inspect --format '{{index .Options "com.docker.network.bridge.name"}}' "$1" || return 0
  if [ "$answer" = "$2" ]; then say network "$1" ours; else say network "$1" other; fi
}

# Prints the record of each broker below FOLDER (host/commands/claim_host.sh), all containers of brokers, and the
# id of the network with the name of CONTAINER, if that is in it.
owners() { # FOLDER CONTAINER
  for record in "$1"/*/owner; do
    [ -f "$record" ] || continue
    name=${record%/owner}
    name=${name##*/}
    {
      cat -- "$record" 2>/dev/null || as_root cat -- "$record"
      printf 'deployed %s\n' "$(cat -- "${record%/owner}/deployed" 2>/dev/null)"
    } | awk -v name="$name" 'NF && !/^#/ { printf "owner %s:%d=%s\n", name, NR, $0 }'
  done
  [ "$docker" = ok ] || return 0
  daemon ps --all --no-trunc --filter label=sentient-mqtt.configuration --format \
    'broker {{.Names}}={{.Label "sentient-mqtt.stack"}};{{.Label "sentient-mqtt.ports"}};{{.Mounts}}' ||
    fail "docker ps: can't list the containers of brokers"
  # shellcheck disable=SC2016 # variables of Docker's template
  say networkid "$2" "$(daemon container inspect --format \
    '{{range $name, $it := .NetworkSettings.Networks}}{{if eq $name (slice $.Name 1)}}{{$it.NetworkID}}{{end}}{{end}}' \
    "$2" 2>/dev/null)"
}

# Prints the logins of the running broker: of `NAME STAMP` lines, read from its container without root.
logins() { # PATH CONTAINER PATH_IN_CONTAINER
  { { root_only "$1" && as_root cat -- "$1" 2>/dev/null; } || daemon exec "$2" cat "$3" 2>/dev/null; } |
    sed 's/^\([^ ]*\) \(.*\)$/known \1=\2/' || :
}

port() { # NUMBER STACK: `ours` if a container of the stack publishes it, under any name
  [ "$docker" = ok ] || return 0
  publishers=$(daemon ps --filter "publish=$1" --format '{{.Names}} {{.Label "sentient-mqtt.stack"}}') ||
    fail "docker ps: can't list the containers that publish port $1"
  others=$(printf '%s\n' "$publishers" | awk -v stack="$2" 'NF && $2 != stack { print $1 }' | tr '\n' ' ')
  others=${others% }
  if [ -n "$others" ]; then
    say port "$1" "container $others"
  elif [ -n "$publishers" ]; then
    say port "$1" ours
  elif daemon ps --filter "label=sentient-mqtt.stack=$2" --filter network=host \
      --format '{{.Label "sentient-mqtt.ports"}}' | tr ' ' '\n' | grep -qx -- "$1"; then
    say port "$1" ours
  elif awk -v port="$(printf '%04X' "$1")" '
      $4 == "0A" { split($2, local, ":"); if (local[2] == port) found = 1 }
      END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null; then
    say port "$1" "another program (ss -ltnp 'sport = :$1' shows which)"
  else
    say port "$1" free
  fi
}

# Prints PATH or its nearest existing parent, in which a missing folder would be created.
nearest_existing() { # PATH
  nearest=$1
  while ! as_root test -e "$nearest" && ! as_root test -L "$nearest"; do
    nearest=$(dirname -- "$nearest")
  done
  printf '%s' "$nearest"
}

# Whether a folder's file system is writable. Not `test -w`, which is true for root in BusyBox.
writable() { # FOLDER
  awk -v folder="$(as_root readlink -f -- "$1")" '
    {
      point = $5
      gsub(/\\040/, " ", point)
      if (point != "/" && folder != point && index(folder, point "/") != 1) next
      if (length(point) < longest) next
      longest = length(point)
      of_mount = "," $6 ","
      for (field = 7; $field != "-"; field++) { }
      of_file_system = "," $(field + 3) ","
    }
    END { exit of_mount ~ /,ro,/ || of_file_system ~ /,ro,/ }
  ' /proc/self/mountinfo
}

# Reports whether host/commands/folders.sh can create or take over a folder. UID may be `archives`: then
# every folder of the path must belong to root.
folder() { # PATH MODE UID GID [NAME...]: names that it may hold already
  # Without root the answer is unknown: the folder of another owner may not be readable.
  [ "$root" = yes ] || return 0
  path=$1
  facts="$4 $2"
  way=$path
  [ "$3" = archives ] || way=$(dirname -- "$path")
  shift 4
  nearest=$(nearest_existing "$path")
  if as_root test -L "$path"; then
    say folder "$path" "is a symbolic link"
  elif ! as_root test -d "$nearest"; then
    say folder "$path" "$nearest exists and is not a folder"
  elif ! root_only "$way"; then
    # shellcheck disable=SC2154 # defined in host/lib/paths.sh
    say folder "$path" "$why"
  elif ! writable "$nearest"; then
    say folder "$path" "$nearest can't be written to (a read-only file system?)"
  elif [ "$nearest" = "$path" ] && ! can_be_taken_over "$facts" "$path" "$@"; then
    say folder "$path" "exists and holds other files than the broker's ($others), \
and would get another owner and mode"
  else
    say folder "$path" ok
  fi
}

# Whether a folder has its group and mode already, or holds nothing but NAMES.
can_be_taken_over() { # GID_AND_MODE PATH [NAME...]
  [ "$(as_root stat -c '%g 0%a' -- "$2")" != "$1" ] || return 0
  place=$2
  shift 2
  others=$(as_root find "$place" -mindepth 1 -maxdepth 1 | but_for "$@")
  [ -z "$others" ]
}

envfile() { # PATH MARK: an env file of this program begins with the line MARK
  [ "$root" = yes ] || return 0
  place=$(dirname -- "$1")
  if ! root_only "$place"; then
    envfile_of_others "$1" "$2"
    return 0
  fi
  nearest=$(nearest_existing "$1")
  if as_root test -L "$1"; then
    say envfile "$1" "is a symbolic link"
  elif as_root test -d "$1"; then
    say envfile "$1" "is a folder"
  elif as_root test -e "$1" && first=$(as_root head -n 1 -- "$1") && [ "$first" != "$2" ]; then
    say envfile "$1" "$(written_by "$first")"
  elif ! as_root test -e "$1" && ! as_root test -d "$nearest"; then
    say envfile "$1" "$nearest exists and is not a folder"
  elif nearest=$(nearest_existing "$place") && ! writable "$nearest"; then
    # The file is written beside its place and renamed: the folder must be writable.
    say envfile "$1" "$nearest can't be written to (a read-only file system?)"
  else
    say envfile "$1" ok
  fi
}

written_by() { # FIRST_LINE of an env file that is not of this stack
  stack_of_file=${1#'# Written by Pulumi, stack '}
  case $1 in
    '# Written by Pulumi, stack '*'. The next '*)
      echo "exists and was written by stack ${stack_of_file%%. The next *}"
      ;;
    *) echo "exists and was not written by this program" ;;
  esac
}

# In a folder that another user may write to. That user can replace a name at any time, so the file is
# inspected without following a link, and read in a container that mounts nothing else.
envfile_of_others() { # PATH MARK
  refused=$why
  if ! root_only "$(dirname -- "$place")"; then
    say envfile "$1" "$why. Of the folders of its path only the last may belong to another user"
  elif mounted "$(readlink -f -- "$place")"; then
    say envfile "$1" "$place is a mount point, and $refused"
  else
    case $(as_root stat -c %F -- "$1" 2>/dev/null || echo absent) in
      absent) say envfile "$1" ok ;;
      directory) say envfile "$1" "is a folder" ;;
      'symbolic link') say envfile "$1" "is a symbolic link" ;;
      *)
        # Without an image of the broker there was no `up` yet, so this program did not write the file.
        # shellcheck disable=SC2016 # expanded by the shell in the container
        first_and_digest=$([ -z "$present" ] ||
          read_confined "$1" sh -c 'text=$(cat; echo .); printf %s "${text%.}" | head -n 1
printf %s "${text%.}" | sha256sum | cut -d " " -f 1')
        say digest "$1" "${first_and_digest##*"
"}"
        first=${first_and_digest%%"
"*}
        if [ "$first" = "$2" ]; then say envfile "$1" ok; else say envfile "$1" "$(written_by "$first")"; fi
        ;;
    esac
  fi
}

# Runs COMMAND on a file in a folder of another user, also on one with mode 0600. No link leads out of the
# container.
read_confined() { # PATH COMMAND...
  confined=$1
  shift
  # shellcheck disable=SC2016 # expanded by the shell in the container
  daemon run --rm --init --pull never --network none --read-only --cap-drop ALL --cap-add DAC_READ_SEARCH \
    --security-opt no-new-privileges:true --user 0:0 --log-driver none \
    --volume "$(dirname -- "$confined"):/folder:ro" --workdir /folder \
    --entrypoint timeout "$present" 10 sh -c '[ -f "./$0" ] && "$@" <"./$0"' "${confined##*/}" "$@" \
    2>/dev/null || :
}

usable() { # COMMAND WORD...: prints ok, absent, or its error message
  if ! command -v "$1" >/dev/null 2>&1; then
    echo absent
  elif output=$(as_root "$@" 2>&1 >/dev/null); then
    echo ok
  else
    echo "${output:-refused}"
  fi
}

bridge_of() { # CONTAINER: prints the bridge of the network with that name
  [ "$docker" = ok ] || return 0
  daemon network inspect --format '{{index .Options "com.docker.network.bridge.name"}}' "$1" \
    2>/dev/null || :
}

firewall() { # CONTAINER SHORT, as in broker/firewall/rules.py
  if [ -d /run/systemd/system ]; then say firewall systemd yes; else say firewall systemd no; fi
  if awk -v name="$2" '{ sub(/:.*/, "") } $1 == name { found = 1 } END { exit !found }' \
    /proc/net/dev && [ "$(bridge_of "$1")" != "$2" ]; then
    say firewall interface taken
  fi
  if [ "$root" != yes ]; then
    # The rules are created through Docker then; this login can't read them.
    for command in nft iptables ip6tables ufw; do
      command -v "$command" >/dev/null 2>&1 || say firewall "$command" absent
    done
    ! grep -qx 'ENABLED=yes' /etc/ufw/ufw.conf 2>/dev/null || say firewall ufw active
    return 0
  fi
  say firewall nft "$(usable nft list tables)"
  say firewall iptables "$(usable iptables -w -t mangle -S)"
  say firewall ip6tables "$(usable ip6tables -w -t mangle -S)"
  if ! command -v ufw >/dev/null 2>&1; then
    say firewall ufw absent
  elif as_root ufw status | grep -q '^Status: active'; then
    say firewall ufw active
    ! grep -qx 'IPV6=no' /etc/default/ufw 2>/dev/null || say firewall ufw-ipv6 no
  else
    say firewall ufw inactive
  fi
}

certificates() { # CONTAINER FOLDER
  ca_folder=$2
  [ "$root" = yes ] || return 0
  if command -v openssl >/dev/null 2>&1; then say openssl - ok; else say openssl - absent; fi
  if as_root test -e "$ca_folder/ca/ca.pem" && ends_within 365 "$ca_folder/ca/ca.pem"; then
    say authority "$1" "ends $(ends "$ca_folder/ca/ca.pem")"
  fi
}

certificate() { # NAME FILE BEFORE CERTIFICATE KEY CA: CERTIFICATE '' is one of the stack's own CA
  { [ "$root" = yes ] && command -v openssl >/dev/null 2>&1 && root_only "$2"; } || return 0
  if [ -n "$4" ]; then
    wrong=$(key_and_certificate_error "$4" "$5" "$6")
    if [ -n "$wrong" ]; then
      say certificate "$1" "wrong $wrong"
    elif ! as_root test -e "$2"; then
      say certificate "$1" "due there is none yet"
    elif ! key_and_certificate_text "$4" "$5" | as_root cmp -s -- - "$2"; then
      say certificate "$1" "due $4 is another one than before"
    else
      say certificate "$1" ok
    fi
    ! ends_within "$3" "$4" || say ends "$1" "$(ends "$4")"
    say names "$1" "$(names "$4")"
  elif ! as_root test -e "$2"; then
    say certificate "$1" "due there is none yet"
  elif ! as_root test -e "$ca_folder/ca/ca.pem"; then
    say certificate "$1" "due its CA is not on the host any more"
  elif due_within "$3" "$2" "$ca_folder/ca/ca.pem"; then
    say certificate "$1" "due it ends $(ends "$2")"
  elif [ "$(public_of_key "$2")" != "$(public_of_certificate "$2")" ]; then
    say certificate "$1" "due it was changed on the host"
  else
    say certificate "$1" ok
  fi
}

client_ca() { # NAME CA FILE; CA '' is the stack's own
  { [ "$root" = yes ] && command -v openssl >/dev/null 2>&1 && root_only "$3"; } || return 0
  if [ -z "$2" ]; then
    if as_root test -e "$3" && ! as_root test -e "$ca_folder/ca/ca.pem"; then
      say clientca "$1" "due its CA is not on the host any more"
    fi
    return 0
  fi
  wrong=$(certificate_error clientCa "$2")
  if [ -n "$wrong" ]; then
    say clientca "$1" "wrong $wrong"
  elif ! as_root cmp -s -- "$2" "$3"; then
    say clientca "$1" "due $2 is another one than before"
  else
    say clientca "$1" ok
  fi
}

# Compares the host with what the last `up` applied. Needs root; without sudo, a container has it.
applied() { # on stdin host/commands/drift.sh with its calls
  if [ "$root" = yes ]; then
    as_root sh -s look
  elif [ -n "$present" ]; then
    docker -H "$socket" run --rm --interactive --init --pull never --log-driver none \
      --network host --cap-add NET_ADMIN --user 0:0 --volume /:/host --entrypoint /bin/sh "$present" -c 'exec chroot /host sh -s look' 2>/dev/null |
      while IFS= read -r fact; do
        printf '%s\n' "$fact"
        case $fact in
          'shared '*)
            fact=${fact#*:}
            fact=${fact%=*}
            say digest "$fact" "$(read_confined "$fact" sha256sum | cut -d ' ' -f 1)"
            ;;
        esac
      done
  else
    cat >/dev/null
  fi
}

finish() {
  say probe - 'done'
}
