#!/bin/sh
# Compute what two versions of an access file of Mosquitto both allow.
#
# host/commands/apply_configuration.sh puts the result in place if a broker did not load a change or could
# not be asked: revoked access stays revoked, and granted access is reverted. The result allows nothing that
# one of the two versions forbids. If the change only revokes, it allows what the new version allows; if it
# only grants, what the old one allows. A right that the change moves from `topic` to `pattern` lines, or
# that takes several lines of the old version to cover, is not in the result and waits for the next apply.
#
# Arguments: none
# Calls: none; host/commands/apply_configuration.sh calls the functions
# Stdin: nothing
# Prints: `logins_of_both`: lines of a password file; `stamps_of_both`: `NAME STAMP` per line;
#   `rules_of_both`: an ACL file
# Exit codes: none of its own
# needs: lib/paths.sh

# Prints the logins of NEW that OLD has, too, with the hashes of NEW: an old password stays invalid. The
# login NAME need not be in OLD, and the login WITHOUT is left out.
logins_of_both() { # OLD NEW WITHOUT NAME
  LC_ALL=C awk -F : '
    BEGIN { without = ARGV[3]; known[ARGV[4]]; ARGV[3] = ARGV[4] = "" }
    FILENAME == ARGV[1] { known[$1]; next }
    $1 in known && $1 != without
  ' "$1" "$2" "$3" "$4"
}

# Does the same for the file that a preview compares with (`NAME STAMP`), and marks it as neither version.
stamps_of_both() { # OLD NEW MARK
  LC_ALL=C awk '
    BEGIN { mark = ARGV[3]; ARGV[3] = "" }
    FILENAME == ARGV[1] { known[$1]; next }
    $1 == ":rules" { print $1, mark; next }
    $1 in known
  ' "$1" "$2" "$3"
}

# Prints the rules that both allow: of every user, of anonymous clients (lines before the first `user`),
# and of all clients (`pattern`). A user NAME has its rules of NEW.
rules_of_both() { # OLD NEW [NAME...]
  narrower_old=$1
  narrower_new=$2
  shift 2
  LC_ALL=C awk '
    # Splits a filter into its levels. "#" is "+/#": a topic has at least one level.
    function levels(filter, into) { return split(filter == "#" ? "+/#" : filter, into, "/") }

    # Whether every topic of INNER is one of OUTER. In a pattern, %u and %c stand for names that may
    # have a "/" (2.0) or begin with "$": they are compared as text.
    function includes(outer, inner, pattern,    wide, narrow, wides, narrows, i) {
      wides = levels(outer, wide)
      narrows = levels(inner, narrow)
      for (i = 1; ; i++) {
        if (i == wides && wide[i] == "#") return 1
        if (i > wides || i > narrows) return i > wides && i > narrows
        if (narrow[i] == "#") return 0
        if (wide[i] == narrow[i]) continue
        if (wide[i] != "+") return 0
        if (i == 1 && substr(narrow[i], 1, 1) == "$") return 0
        if (pattern && narrow[i] ~ /%[uc]/) return 0
      }
    }

    # Adds a rule of version V once. RIGHT: read | write | deny.
    function add(v, who, right, filter) {
      if ((v, who, right, filter) in has) return
      has[v, who, right, filter]
      rules[v, who, right, ++count[v, who, right]] = filter
      if (!(who in known)) { known[who]; order[++last] = who }
    }

    # Adds the filters of version V that a filter of the other version includes.
    function keep(v, other, who, right,    i, j) {
      for (i = 1; i <= count[v, who, right]; i++)
        for (j = 1; j <= count[other, who, right]; j++)
          if (includes(rules[other, who, right, j], rules[v, who, right, i], who == patterns)) {
            add("both", who, right, rules[v, who, right, i])
            break
          }
    }

    function all(v, who, right,    i) {
      for (i = 1; i <= count[v, who, right]; i++) add("both", who, right, rules[v, who, right, i])
    }

    function show(who, right, word, unless,    i, filter) {
      for (i = 1; i <= count["both", who, right]; i++) {
        filter = rules["both", who, right, i]
        if (unless == "" || !(("both", who, unless, filter) in has))
          print (who == patterns ? "pattern" : "topic"), word, filter
      }
    }

    function show_who(who,    i, filter) {
      show(who, "deny", "deny", "")
      for (i = 1; i <= count["both", who, "read"]; i++) {
        filter = rules["both", who, "read", i]
        if (("both", who, "write", filter) in has)
          print (who == patterns ? "pattern" : "topic"), "readwrite", filter
      }
      show(who, "read", "read", "write")
      show(who, "write", "write", "read")
    }

    BEGIN {
      anonymous = "\001anonymous"
      patterns = "\001patterns"
      for (i = 3; i < ARGC; i++) { as_new[ARGV[i]]; ARGV[i] = "" }
      version = "old"
    }
    FNR == 1 { version = FILENAME == ARGV[1] ? "old" : "new"; user = anonymous }
    {
      sub(/^ +/, "")
      sub(/[ \t\r\v\f]+$/, "")
      kind = $0
      sub(/ .*/, "", kind)
      rest = substr($0, length(kind) + 1)
      sub(/^ +/, "", rest)
    }
    kind == "user" && rest != "" { user = rest; next }
    (kind == "topic" || kind == "pattern") && rest != "" {
      access = "readwrite"
      if (match(rest, /^(read|write|readwrite|deny) +/)) {
        access = substr(rest, 1, RLENGTH)
        sub(/ +$/, "", access)
        rest = substr(rest, RLENGTH + 1)
      } else if (rest ~ / /) next # Mosquitto ignores such a line
      who = kind == "pattern" ? patterns : user
      if (access == "deny") add(version, who, "deny", rest)
      if (access == "read" || access == "readwrite") add(version, who, "read", rest)
      if (access == "write" || access == "readwrite") add(version, who, "write", rest)
    }
    END {
      for (n = 1; n <= last; n++) {
        who = order[n]
        all("new", who, "deny")
        if (who in as_new) {
          all("new", who, "read")
          all("new", who, "write")
          continue
        }
        all("old", who, "deny")
        keep("new", "old", who, "read")
        keep("new", "old", who, "write")
        keep("old", "new", who, "read")
        keep("old", "new", who, "write")
      }
      # Rules before the first user apply to anonymous clients: they come first.
      show_who(anonymous)
      show_who(patterns)
      for (n = 1; n <= last; n++) {
        who = order[n]
        if (who == anonymous || who == patterns) continue
        print "user " who
        show_who(who)
      }
    }
  ' "$narrower_old" "$narrower_new" "$@"
}
