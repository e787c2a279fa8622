"""The broker's host: what it has, what it must have, what lies where, script calls."""
