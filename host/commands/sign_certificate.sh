#!/bin/sh
# Sign the certificate request of a client with the stack's own CA. Leaves nothing else on the host.
#
# The client's key is never on the host.
#
# Arguments: $1: look (not used)
# Calls: sign FOLDER DAYS; finish. FOLDER: of the stack's own CA
# Stdin: the script and its calls. `sign`: the request in PEM form
# Prints: the client's certificate in PEM form, then that of the CA
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/paths.sh
set -eu
umask 077

work=''
trap '[ -z "$work" ] || rm -rf -- "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "$*" >&2
  exit 1
}

sign() { # FOLDER DAYS, the request on stdin
  [ -e "$1/ca/ca.pem" ] || fail "the stack's own CA is not on this host yet: run ./brokerctl up first"
  # A client could not log in with it once the CA has expired.
  openssl x509 -noout -checkend "$(($2 * 86400))" -in "$1/ca/ca.pem" >/dev/null ||
    fail "--days $2: the stack's own CA ends before that, on \
$(openssl x509 -noout -enddate -in "$1/ca/ca.pem" | cut -d = -f 2); no certificate can outlive it"
  work=$(mktemp -d "$1/.sign.XXXXXX")
  cat >"$work/request"
  cat >"$work/conf" <<END
[extensions]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
END
  output=$(openssl x509 -req -sha256 -in "$work/request" -CA "$1/ca/ca.pem" -CAkey "$1/ca/ca.key" \
    -set_serial "0x$(openssl rand -hex 15)" -days "$2" -extfile "$work/conf" \
    -extensions extensions -out "$work/certificate" 2>&1) || fail "openssl x509: $output"
  cat -- "$work/certificate" "$1/ca/ca.pem"
}

finish() { :; }
