#!/bin/sh
# Says since when each password is the one it is: `NAME GENERATION TIME` a line. It runs where
# Pulumi does. What it said the last time stands in PULUMI_COMMAND_STDOUT; a pair that stands
# there keeps its time.
set -eu

generations() { # `NAME GENERATION` a line, on stdin
  awk -v now="$(date -u +%Y-%m-%dT%H:%M:%SZ)" '
    BEGIN {
      count = split(ENVIRON["PULUMI_COMMAND_STDOUT"], lines, "\n")
      for (i = 1; i <= count; i++) {
        split(lines[i], part, " ")
        since[part[1] " " part[2]] = part[3]
      }
    }
    { print $1, $2, ($1 " " $2 in since ? since[$1 " " $2] : now) }
  '
}

finish() { :; }
