#!/bin/sh
# Validate a certificate and its key. Changes nothing.
#
# Arguments: none
# Calls: none; host/commands/probe.sh and host/commands/certificates.sh call the functions
# Stdin: nothing
# Prints: `key_and_certificate_error`, `certificate_error`: `FIELD MESSAGE`, or nothing if both are valid;
#   FIELD: certificate | key | ca | clientCa
# Exit codes: none of its own
# needs: lib/paths.sh

# shellcheck disable=SC2154 # why: defined in host/lib/paths.sh
elevated() { # COMMAND...: as root; the probe may run as another login
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

ends() { # PEM: prints the end date as OpenSSL writes it
  elevated openssl x509 -in "$1" -noout -enddate 2>/dev/null | cut -d = -f 2
}

names() { # PEM: prints the host names and IP addresses of the first certificate in it
  elevated openssl x509 -in "$1" -noout -ext subjectAltName 2>/dev/null | tr ',' '\n' |
    sed -n -e 's/^ *DNS:\([^ ]*\) *$/\1/p' -e 's/^ *IP Address:\([^ ]*\) *$/\1/p'
}

fingerprint() { # PEM: of the first certificate in it
  elevated openssl x509 -in "$1" -noout -fingerprint -sha256 2>/dev/null | cut -d = -f 2
}

ends_within() { # DAYS PEM
  ! elevated openssl x509 -in "$2" -noout -checkend "$(($1 * 86400))" >/dev/null 2>&1
}

due_within() { # DAYS PEM CA: whether PEM ends and its CA does not
  ends_within "$1" "$2" && ! ends_within "$1" "$3"
}

key_and_certificate_text() { # CERTIFICATE KEY: prints both as one file, with the chain
  elevated openssl pkey -in "$2" -passin pass: 2>/dev/null && elevated cat -- "$1"
}

public_of_key() { elevated openssl pkey -in "$1" -passin pass: -pubout 2>/dev/null; }

public_of_certificate() { elevated openssl x509 -in "$1" -noout -pubkey 2>/dev/null; }

# Prints why OpenSSL rejects a certificate, without its codes and the file's name.
verify_error() { # CERTIFICATE CA; with the certificate itself as CA, only dates and purpose are verified
  elevated openssl verify -purpose sslserver -partial_chain -trusted "$2" -untrusted "$1" "$1" 2>&1 |
    sed -n 's/^error [0-9]* at [0-9]* depth lookup: *//p' | head -n 1
}

certificate_error() { # FIELD PEM
  if ! root_only "$2"; then
    echo "$1 is not safe there: $why"
  elif ! elevated test -f "$2"; then
    echo "$1 is not there, or not a file"
  elif [ -z "$(public_of_certificate "$2")" ]; then
    echo "$1 holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
  elif ends_within 0 "$2"; then
    echo "$1 has expired: it ended $(ends "$2"); put the renewed one there"
  fi
}

key_and_certificate_error() { # CERTIFICATE KEY CA: prints `FIELD MESSAGE`; CA may be ''
  error=$(certificate_error certificate "$1")
  [ -n "$error" ] || [ -z "$3" ] || error=$(certificate_error ca "$3")
  if [ -n "$error" ]; then
    echo "$error"
  elif ! root_only "$2"; then
    echo "key is not safe there: $why"
  elif ! elevated test -f "$2"; then
    echo "key is not there, or not a file"
  elif elevated grep -q ENCRYPTED "$2"; then
    echo "key is encrypted, and a broker that starts can't ask for a passphrase; write it without" \
      "(openssl pkey -in $2 -out ...)"
  elif ! public=$(public_of_key "$2") || [ -z "$public" ]; then
    echo "key holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"
  elif [ "$public" != "$(public_of_certificate "$1")" ]; then
    echo "key is not the key of $1; name the one that its request was signed with"
  elif [ -n "$(verify_error "$1" "$1")" ]; then
    echo "certificate is refused by OpenSSL: $(verify_error "$1" "$1")"
  elif [ -n "$3" ] && [ -n "$(verify_error "$1" "$3")" ]; then
    echo "certificate is not of the CA in $3: $(verify_error "$1" "$3")"
  fi
}
