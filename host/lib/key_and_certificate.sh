#!/bin/sh
# Says what is wrong with a certificate and its key, or nothing. For host/commands/probe.sh and
# host/commands/certificates.sh, which go on from here. None of it is changed.
# needs: lib/paths.sh

# shellcheck disable=SC2154 # why: host/lib/paths.sh has it
elevated() { # also a look from a login that is not root
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

ends() { # PEM: when, in OpenSSL's words
  elevated openssl x509 -in "$1" -noout -enddate 2>/dev/null | cut -d = -f 2
}

fingerprint() { # PEM: of the first certificate in it
  elevated openssl x509 -in "$1" -noout -fingerprint -sha256 2>/dev/null | cut -d = -f 2
}

ends_within() { # DAYS PEM
  ! elevated openssl x509 -in "$2" -noout -checkend "$(($1 * 86400))" >/dev/null 2>&1
}

due_within() { # DAYS PEM CA: another one would last longer
  ends_within "$1" "$2" && ! ends_within "$1" "$3"
}

pair_of() { # CERTIFICATE KEY: as one file, with all that stands behind the certificate
  elevated openssl pkey -in "$2" -passin pass: 2>/dev/null && elevated cat -- "$1"
}

public_of_key() { elevated openssl pkey -in "$1" -passin pass: -pubout 2>/dev/null; }

public_of_certificate() { elevated openssl x509 -in "$1" -noout -pubkey 2>/dev/null; }

# The reason why OpenSSL does not take it, without its codes and the file's name.
refused() { # CERTIFICATE CA; without a CA of its own, the dates and the purpose alone
  elevated openssl verify -purpose sslserver -partial_chain -trusted "$2" -untrusted "$1" "$1" 2>&1 |
    sed -n 's/^error [0-9]* at [0-9]* depth lookup: *//p' | head -n 1
}

wrong_certificate() { # FIELD PEM
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

wrong_pair() { # CERTIFICATE KEY CA: `FIELD SENTENCE` of the stack file's setting; CA may be ''
  said=$(wrong_certificate certificate "$1")
  [ -n "$said" ] || [ -z "$3" ] || said=$(wrong_certificate ca "$3")
  if [ -n "$said" ]; then
    echo "$said"
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
  elif [ -n "$(refused "$1" "$1")" ]; then
    echo "certificate is refused by OpenSSL: $(refused "$1" "$1")"
  elif [ -n "$3" ] && [ -n "$(refused "$1" "$3")" ]; then
    echo "certificate is not of the CA in $3: $(refused "$1" "$3")"
  fi
}
