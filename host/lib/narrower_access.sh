#!/bin/sh
# What two versions of a file of Mosquitto's both allow. host/commands/apply_configuration.sh puts it in place where a broker
# did not take a change, or nobody could ask it: what the change takes away stays taken away, and
# what it grants is put back.
#
# Nobody may do with the result what one of the two versions forbids. Where the change only takes
# away, the result grants what the new version grants; where it only grants, what the old one does.
# A right that the change moves from one kind of line to the other (`topic` to `pattern`), or that
# takes several lines of the old version to cover, is in neither half and waits for the next apply.
# needs: lib/paths.sh

# The logins of NEW that OLD has too, each with its hash of NEW: an old password stays dead. NAME is
# one that OLD needn't have, and WITHOUT one that is left out.
logins_of_both() { # OLD NEW WITHOUT NAME
  LC_ALL=C awk -F : '
    BEGIN { without = ARGV[3]; known[ARGV[4]]; ARGV[3] = ARGV[4] = "" }
    FILENAME == ARGV[1] { known[$1]; next }
    $1 in known && $1 != without
  ' "$1" "$2" "$3" "$4"
}

# The same of the file that a preview compares with (`NAME STAMP`), and that it is neither version.
stamps_of_both() { # OLD NEW MARK
  LC_ALL=C awk '
    BEGIN { mark = ARGV[3]; ARGV[3] = "" }
    FILENAME == ARGV[1] { known[$1]; next }
    $1 == ":rules" { print $1, mark; next }
    $1 in known
  ' "$1" "$2" "$3"
}

# The rules that are within both: of each user, of anonymous clients (lines before the first `user`),
# and of everybody (`pattern`). Those of each NAME are those of NEW.
rules_of_both() { # OLD NEW [NAME...]
  narrower_old=$1
  narrower_new=$2
  shift 2
  LC_ALL=C awk '
    # A filter by its levels. "#" is "+/#": a topic has one level at least.
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

    # One rule of version V: who, read | write | deny, and the filter. Each once.
    function add(v, who, what, filter) {
      if ((v, who, what, filter) in has) return
      has[v, who, what, filter]
      rules[v, who, what, ++count[v, who, what]] = filter
      if (!(who in known)) { known[who]; order[++last] = who }
    }

    # The filters of WHAT in version V that one of the other version includes.
    function keep(v, other, who, what,    i, j) {
      for (i = 1; i <= count[v, who, what]; i++)
        for (j = 1; j <= count[other, who, what]; j++)
          if (includes(rules[other, who, what, j], rules[v, who, what, i], who == patterns)) {
            add("both", who, what, rules[v, who, what, i])
            break
          }
    }

    function all(v, who, what,    i) {
      for (i = 1; i <= count[v, who, what]; i++) add("both", who, what, rules[v, who, what, i])
    }

    function show(who, what, word, unless,    i, filter) {
      for (i = 1; i <= count["both", who, what]; i++) {
        filter = rules["both", who, what, i]
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
      for (i = 3; i < ARGC; i++) { ours[ARGV[i]]; ARGV[i] = "" }
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
      } else if (rest ~ / /) next # no line that Mosquitto reads
      who = kind == "pattern" ? patterns : user
      if (access == "deny") add(version, who, "deny", rest)
      if (access == "read" || access == "readwrite") add(version, who, "read", rest)
      if (access == "write" || access == "readwrite") add(version, who, "write", rest)
    }
    END {
      for (n = 1; n <= last; n++) {
        who = order[n]
        all("new", who, "deny")
        if (who in ours) {
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
      # What stands before the first user is for anonymous clients: they come first.
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
